"""Descriptors (NetBSD: kern_descrip.c, sys_descrip.c)."""

from __future__ import annotations

from collections.abc import Callable, Generator
from functools import partial
from typing import Any, Final

from rumpfs.abi import errno
from rumpfs.abi.fcntl import (
    F_CLOSEM,
    F_DUPFD,
    F_DUPFD_CLOEXEC,
    F_FSCTL,
    F_FSIN,
    F_GETFD,
    F_GETFL,
    F_GETLK,
    F_GETNOSIGPIPE,
    F_GETOWN,
    F_GETPATH,
    F_MAXFD,
    F_PARAM_MASK,
    F_PARAM_SHIFT,
    F_SETFD,
    F_SETFL,
    F_SETLK,
    F_SETLKW,
    F_SETNOSIGPIPE,
    F_SETOWN,
    FCNTLFLAGS,
    FD_CLOEXEC,
    FREAD,
    FWRITE,
    O_ASYNC,
    O_CLOEXEC,
    O_NONBLOCK,
    O_NOSIGPIPE,
)
from rumpfs.abi.ioctl import FIOASYNC, FIOGETOWN, FIONBIO, FIOSETOWN
from rumpfs.abi.limits import PATH_MAX
from rumpfs.base.copy import Body, CopyIn, CopyOut, Request
from rumpfs.base.errors import VfsError
from rumpfs.kern.descrip import File, VnodeFile
from rumpfs.kern.pipe import pipe1
from rumpfs.kern.proc import Proc
from rumpfs.kern.sigio import fo_ioctl
from rumpfs.kern.sys_lock import fcntl_lock
from rumpfs.kern.syscall import syscall
from rumpfs.vfs.getcwd import vnode_to_path


@syscall("close")
def sys_close(p: Proc, fd: int) -> int:
    """Close a descriptor. Errors: EBADF."""
    p.fd.close(fd)
    return 0


@syscall("dup")
def sys_dup(p: Proc, fd: int) -> int:
    """Copy a descriptor to the lowest free one. Errors: EBADF, EMFILE."""
    return p.fd.alloc(p.fget(fd))


def _dup2(p: Proc, old: int, new: int, flags: int) -> int:
    fp = p.fget(old)
    if not 0 <= new < p.fd.limit:
        raise VfsError(errno.EBADF)
    if new == old:
        return new
    if flags & ~(O_CLOEXEC | O_NONBLOCK | O_NOSIGPIPE):
        raise VfsError(errno.EINVAL)
    if new < len(p.fd.files) and p.fd.files[new] is not None:
        p.fd.close(new)
    p.fd.put(new, fp)
    fp.f_flag |= flags & (O_NONBLOCK | O_NOSIGPIPE)
    if flags & O_CLOEXEC:
        p.fd.cloexec.add(new)
    return new


@syscall("dup2")
def sys_dup2(p: Proc, old: int, new: int) -> int:
    """Make `new` a copy of `old`. Errors: EBADF (also for a `new` out of range)."""
    return _dup2(p, old, new, 0)


@syscall("dup3")
def sys_dup3(p: Proc, old: int, new: int, flags: int) -> int:
    """Make `new` a copy of `old`, with O_CLOEXEC, O_NONBLOCK and O_NOSIGPIPE as `flags` say.

    Nothing happens, as for dup2, when both are the same. Errors: EBADF, EINVAL (flags).
    """
    return _dup2(p, old, new, flags)


@syscall("__dup3100")
def sys_dup3100(p: Proc, old: int, new: int, flags: int) -> int:
    """Make `new` a copy of `old` as dup3; both being the same is an error.

    Errors: EINVAL (the same), those of dup3.
    """
    if old == new:
        raise VfsError(errno.EINVAL)
    return _dup2(p, old, new, flags)


def _dupfd(p: Proc, fd: int, fp: File, arg: int, cloexec: bool = False) -> int:
    minimum = arg & 0xFFFFFFFF
    if minimum >= p.fd.limit:
        raise VfsError(errno.EINVAL)
    return p.fd.alloc(fp, minimum, cloexec=cloexec)


def _setfd(p: Proc, fd: int, fp: File, arg: int) -> int:
    (p.fd.cloexec.add if arg & FD_CLOEXEC else p.fd.cloexec.discard)(fd)
    return 0


def _setfl(p: Proc, fd: int, fp: File, arg: int) -> int:
    for flag, command in ((O_NONBLOCK, FIONBIO), (O_ASYNC, FIOASYNC)):
        if (fp.f_flag ^ arg) & flag:
            fo_ioctl(p, fp, command, int(bool(arg & flag)).to_bytes(4, "little"))
    fp.f_flag = (fp.f_flag & ~FCNTLFLAGS) | (arg & FCNTLFLAGS)
    return 0


def _setown(p: Proc, fd: int, fp: File, arg: int) -> int:
    fo_ioctl(p, fp, FIOSETOWN, (arg & 0xFFFFFFFF).to_bytes(4, "little"))
    return 0


def _setnosigpipe(p: Proc, fd: int, fp: File, arg: int) -> int:
    fp.f_flag = fp.f_flag | O_NOSIGPIPE if arg else fp.f_flag & ~O_NOSIGPIPE
    return 0


def _getpath(p: Proc, fd: int, fp: File, arg: int) -> Body:
    """Store the path of a file. Errors: EOPNOTSUPP (no vnode), those of `vnode_to_path`, EFAULT."""
    if not isinstance(fp, VnodeFile):
        raise VfsError(errno.EOPNOTSUPP)
    yield CopyOut(arg, vnode_to_path(p, fp.f_vnode, fp.f_name, PATH_MAX) + b"\0")
    return 0


#: what the commands on an open descriptor do
_FCNTL: Final[dict[int, Callable[[Proc, int, File, int], int | Body]]] = {
    F_DUPFD: _dupfd,
    F_DUPFD_CLOEXEC: partial(_dupfd, cloexec=True),
    F_GETFD: lambda p, fd, fp, arg: int(fd in p.fd.cloexec),
    F_SETFD: _setfd,
    F_GETFL: lambda p, fd, fp, arg: (fp.f_flag & ~(FREAD | FWRITE)) | ((fp.f_flag & (FREAD | FWRITE)) - 1),
    F_SETFL: _setfl,
    F_GETOWN: lambda p, fd, fp, arg: int.from_bytes(fo_ioctl(p, fp, FIOGETOWN, b""), "little", signed=True),
    F_SETOWN: _setown,
    F_GETNOSIGPIPE: lambda p, fd, fp, arg: int(bool(fp.f_flag & O_NOSIGPIPE)),
    F_SETNOSIGPIPE: _setnosigpipe,
    F_GETPATH: _getpath,
}


@syscall("fcntl", raw=True)
def sys_fcntl(p: Proc, fd: int, cmd: int, arg: int) -> int | Body:
    """Inspect and change descriptors.

    Errors: EBADF, EINVAL (command, descriptor), EMFILE; ENOTTY, ESRCH, EINVAL, EPERM (flags and the owner:
    what the file says, `fo_ioctl`); EOPNOTSUPP (a command for the file system); `fcntl_lock`, `_getpath`.
    """
    if cmd in (F_GETLK, F_SETLK, F_SETLKW):
        return fcntl_lock(p, fd, cmd, arg)
    if cmd == F_CLOSEM:
        if fd < 0:
            raise VfsError(errno.EBADF)
        p.fd.close_all(fd)
        return 0
    if cmd == F_MAXFD:
        return p.fd.highest()
    fp = p.fget(fd)
    if cmd & F_FSCTL:
        return fcntl_forfs(fp, cmd, arg)
    command = _FCNTL.get(cmd)
    if command is None:
        raise VfsError(errno.EINVAL)
    return command(p, fd, fp, arg)


def fcntl_forfs(fp: File, cmd: int, arg: int) -> Generator[Request, Any, int]:
    """Refuse a command for the file system: none of ours has any.

    Errors: EBADF (open for neither reading nor writing), EFAULT, EOPNOTSUPP.
    """
    if not fp.f_flag & (FREAD | FWRITE):
        raise VfsError(errno.EBADF)
    length = cmd >> F_PARAM_SHIFT & F_PARAM_MASK
    if cmd & F_FSIN and length:
        yield CopyIn(arg, length)
    raise VfsError(errno.EOPNOTSUPP)


def _pipe(p: Proc, flags: int) -> tuple[int, int]:
    reader, writer = pipe1(p.kernel.pipes, p.cred, flags & (O_NONBLOCK | O_NOSIGPIPE))
    cloexec = bool(flags & O_CLOEXEC)
    first = p.fd.alloc(reader, cloexec=cloexec)
    try:
        return first, p.fd.alloc(writer, cloexec=cloexec)
    except VfsError:
        p.fd.close(first)
        raise


@syscall("pipe")
def sys_pipe(p: Proc) -> tuple[int, int]:
    """Make a pipe and return its descriptors. Errors: EMFILE."""
    return _pipe(p, 0)


@syscall("pipe2", raw=True)
def sys_pipe2(p: Proc, fildes: int, flags: int) -> Body:
    """Make a pipe and store its descriptors. Errors: EINVAL (flags), EMFILE, EFAULT."""
    if flags & ~(O_CLOEXEC | O_NONBLOCK | O_NOSIGPIPE):
        raise VfsError(errno.EINVAL)
    first, second = _pipe(p, flags)
    yield CopyOut(fildes, first.to_bytes(4, "little") + second.to_bytes(4, "little"))
    return 0


@syscall("__fstat50")
def sys_fstat(p: Proc, fd: int) -> bytes:
    """Return struct stat of a descriptor. Errors: EBADF, EIO."""
    return p.fget(fd).stat()
