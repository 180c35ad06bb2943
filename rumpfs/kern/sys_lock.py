"""Advisory locks: fcntl(2) with F_GETLK, F_SETLK, F_SETLKW, and flock(2) (NetBSD: sys_descrip.c)."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from rumpfs.abi import errno
from rumpfs.abi.fcntl import (
    F_GETLK,
    F_RDLCK,
    F_SETLKW,
    F_UNLCK,
    F_WRLCK,
    FLOCK,
    FREAD,
    FWRITE,
    LOCK_EX,
    LOCK_NB,
    LOCK_SH,
    LOCK_UN,
    SEEK_CUR,
    SEEK_END,
    SEEK_SET,
)
from rumpfs.base.copy import Body, CopyIn, CopyOut, Request
from rumpfs.base.errors import VfsError
from rumpfs.kern.descrip import VnodeFile
from rumpfs.kern.proc import Proc
from rumpfs.kern.syscall import syscall
from rumpfs.vfs.lockf import EOF, Advlocks, Lock, Owner, byte_range
from rumpfs.vfs.vnode import VFIFO

#: what l_type needs of the descriptor
_MODE = {F_RDLCK: FREAD, F_WRLCK: FWRITE, F_UNLCK: 0}
#: what flock asks for
_TYPE = {LOCK_SH: F_RDLCK, LOCK_EX: F_WRLCK, LOCK_UN: F_UNLCK}


def _advlocks(p: Proc, fp: VnodeFile) -> Advlocks:
    """Return the kernel's locks. Errors: EINVAL: a FIFO has none."""
    if fp.f_vnode.v_type == VFIFO:
        raise VfsError(errno.EINVAL)
    assert p.kernel.vfs is not None
    return p.kernel.vfs.advlocks


def fcntl_lock(p: Proc, fd: int, cmd: int, arg: int) -> Generator[Request, Any, int]:
    """Carry out F_GETLK, F_SETLK or F_SETLKW (do_fcntl_lock).

    Errors: EBADF, EINVAL (no vnode), EFAULT; EINVAL (type, whence, range); EBADF: an exclusive lock needs a
    descriptor for writing, a shared one a descriptor for reading; EAGAIN, EDEADLK, ENOLCK, EINTR.
    """
    fp = p.vnode_file(fd)
    return fp.held(_fcntl_lock(p, fp, fd, cmd, arg))


def _fcntl_lock(p: Proc, fp: VnodeFile, fd: int, cmd: int, arg: int) -> Generator[Request, Any, int]:
    start, length, pid, kind, whence = FLOCK.unpack((yield CopyIn(arg, FLOCK.size)))
    if fd >= len(p.fd.files) or p.fd.files[fd] is not fp:
        raise VfsError(errno.EBADF)  # closed meanwhile
    mode = _MODE.get(kind)
    if mode is None:
        raise VfsError(errno.EINVAL)
    if cmd != F_GETLK and fp.f_flag & mode != mode:
        raise VfsError(errno.EBADF)
    advlocks = _advlocks(p, fp)
    lock = Lock(kind, *byte_range(_absolute(fp, start, whence), length), p.cred.euid)
    owner = Owner(p, p.pid, posix=True)
    if cmd == F_GETLK:
        found = advlocks.getlock(fp.f_vnode, owner, lock)
        if found is None:
            yield CopyOut(arg, FLOCK.pack(start, length, pid, F_UNLCK, whence))
        else:
            (kind, start, end, _), pid = found
            length = 0 if end == EOF else end - start + 1
            yield CopyOut(arg, FLOCK.pack(start, length, pid, kind, SEEK_SET))
        return 0
    p.fd.advlock = p
    waiting = advlocks.advlock(fp.f_vnode, owner, lock, wait=cmd == F_SETLKW)
    if waiting is not None:
        yield from waiting
    return 0


def _absolute(fp: VnodeFile, start: int, whence: int) -> int:
    """Return l_start from the beginning of the file. Errors: EINVAL (whence)."""
    if whence == SEEK_SET:
        return start
    if whence == SEEK_CUR:
        return start + fp.f_offset
    if whence == SEEK_END:
        return start + fp.size()
    raise VfsError(errno.EINVAL)


def lock_file(p: Proc, fp: VnodeFile, how: int) -> Generator[Request, Any, None] | None:
    """Lock a whole file for its open file, as flock and O_SHLOCK, O_EXLOCK do.

    Args:
        how: LOCK_SH, LOCK_EX or LOCK_UN, and LOCK_NB.

    Returns:
        None when it is done, or something to run that waits until it is.

    Errors: EINVAL (a FIFO), EAGAIN (LOCK_NB), ENOLCK.
    """
    lock = Lock(_TYPE[how & ~LOCK_NB], 0, EOF, p.cred.euid)
    return _advlocks(p, fp).advlock(fp.f_vnode, Owner(fp), lock, wait=not how & LOCK_NB)


@syscall("flock", raw=True)
def sys_flock(p: Proc, fd: int, how: int) -> int | Body:
    """Lock or unlock a whole file. Errors: EBADF, EOPNOTSUPP (no vnode), EINVAL, EAGAIN, ENOLCK, EINTR."""
    fp = p.vnode_file(fd, errno.EOPNOTSUPP)
    if how & ~LOCK_NB not in _TYPE:
        raise VfsError(errno.EINVAL)
    waiting = lock_file(p, fp, how)
    return 0 if waiting is None else fp.held(_wait(waiting))


def _wait(waiting: Generator[Request, Any, None]) -> Generator[Request, Any, int]:
    yield from waiting
    return 0
