"""Descriptors (NetBSD: kern_descrip.c, sys_descrip.c)."""

from __future__ import annotations

from rumpfs.abi import errno
from rumpfs.abi.fcntl import (
    F_CLOSEM,
    F_DUPFD,
    F_DUPFD_CLOEXEC,
    F_GETFD,
    F_GETFL,
    F_GETLK,
    F_GETNOSIGPIPE,
    F_MAXFD,
    F_SETFD,
    F_SETFL,
    F_SETLK,
    F_SETLKW,
    F_SETNOSIGPIPE,
    FCNTLFLAGS,
    FD_CLOEXEC,
    FREAD,
    FWRITE,
    O_CLOEXEC,
    O_NONBLOCK,
    O_NOSIGPIPE,
)
from rumpfs.base.copy import Body, CopyOut
from rumpfs.base.errors import VfsError
from rumpfs.kern.pipe import pipe1
from rumpfs.kern.proc import Proc
from rumpfs.kern.sys_lock import fcntl_lock
from rumpfs.kern.syscall import syscall


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


@syscall("fcntl", raw=True)
def sys_fcntl(p: Proc, fd: int, cmd: int, arg: int) -> int | Body:
    """Inspect and change descriptors. Errors: EBADF, EINVAL (command, descriptor), EMFILE; `fcntl_lock`."""
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
    if cmd in (F_DUPFD, F_DUPFD_CLOEXEC):
        minimum = arg & 0xFFFFFFFF
        if minimum >= p.fd.limit:
            raise VfsError(errno.EINVAL)
        return p.fd.alloc(fp, minimum, cloexec=cmd == F_DUPFD_CLOEXEC)
    if cmd == F_GETFD:
        return int(fd in p.fd.cloexec)
    if cmd == F_SETFD:
        (p.fd.cloexec.add if arg & FD_CLOEXEC else p.fd.cloexec.discard)(fd)
        return 0
    if cmd == F_GETFL:
        return (fp.f_flag & ~(FREAD | FWRITE)) | ((fp.f_flag & (FREAD | FWRITE)) - 1)
    if cmd == F_SETFL:
        fp.f_flag = (fp.f_flag & ~FCNTLFLAGS) | (arg & FCNTLFLAGS)
        return 0
    if cmd == F_GETNOSIGPIPE:
        return int(bool(fp.f_flag & O_NOSIGPIPE))
    if cmd == F_SETNOSIGPIPE:
        fp.f_flag = fp.f_flag | O_NOSIGPIPE if arg & 0xFFFFFFFF else fp.f_flag & ~O_NOSIGPIPE
        return 0
    raise VfsError(errno.EINVAL)


def _pipe(p: Proc, flags: int) -> tuple[int, int]:
    reader, writer = pipe1(flags & (O_NONBLOCK | O_NOSIGPIPE))
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
