"""What a file's storage is told: to be synced, allocated, given back; advice.

NetBSD: vfs_syscalls.c, sys_descrip.c.
"""

from __future__ import annotations

from rumpfs.abi import errno
from rumpfs.abi.fcntl import FDATASYNC, FFILESYNC, FWRITE, POSIX_FADV_NOREUSE, POSIX_FADV_NORMAL
from rumpfs.base.errors import VfsError
from rumpfs.kern.descrip import VnodeFile
from rumpfs.kern.pipe import PipeFile
from rumpfs.kern.proc import Proc
from rumpfs.kern.syscall import syscall
from rumpfs.vfs.vnode import VDIR, Vnode

OFF_MAX = 2**63 - 1


@syscall("fsync_range")
def sys_fsync_range(p: Proc, fd: int, flags: int, start: int, length: int) -> int:
    """Bring a part of a file to stable storage; more of it may come along.

    Errors: EBADF (or not open for writing), EINVAL (no vnode; not one of FDATASYNC and FFILESYNC; the end
    lies before the start), EIO.
    """
    fp = p.vnode_file(fd)
    if not fp.f_flag & FWRITE:
        raise VfsError(errno.EBADF)
    if flags & (FDATASYNC | FFILESYNC) not in (FDATASYNC, FFILESYNC):
        raise VfsError(errno.EINVAL)
    if length and not start <= start + length <= OFF_MAX:
        raise VfsError(errno.EINVAL)
    fp.fsync()
    return 0


def _space(p: Proc, fd: int, pos: int, length: int) -> Vnode:
    """Return the vnode for posix_fallocate and fdiscard.

    Errors: EINVAL (range, no vnode), EBADF (or not open for writing), EISDIR.
    """
    if pos < 0 or length < 0 or length > OFF_MAX - pos:
        raise VfsError(errno.EINVAL)
    fp = p.vnode_file(fd)
    if not fp.f_flag & FWRITE:
        raise VfsError(errno.EBADF)
    if fp.f_vnode.v_type == VDIR:
        raise VfsError(errno.EISDIR)
    return fp.f_vnode


@syscall("posix_fallocate")
def sys_posix_fallocate(p: Proc, fd: int, pos: int, length: int) -> int:
    """Allocate space for a range of a file; returns the errno, and never fails.

    Errors: EINVAL, EBADF, EISDIR, EOPNOTSUPP; ENOSPC, EFBIG, EIO.
    """
    try:
        _space(p, fd, pos, length).fallocate(pos, length)
    except VfsError as error:
        return error.errno
    return 0


@syscall("fdiscard")
def sys_fdiscard(p: Proc, fd: int, pos: int, length: int) -> int:
    """Give the space of a range back. Errors: EINVAL, EBADF, EISDIR, EOPNOTSUPP, EIO."""
    _space(p, fd, pos, length).fdiscard(pos, length)
    return 0


@syscall("__posix_fadvise50")
def sys_posix_fadvise(p: Proc, fd: int, offset: int, length: int, advice: int) -> int:
    """Take advice about how a file will be used, and leave it at that; returns the errno.

    Errors: EINVAL (range), EBADF, ESPIPE (pipe), EOPNOTSUPP (no file), EINVAL (advice).
    """
    try:
        _fadvise(p, fd, offset, length, advice)
    except VfsError as error:
        return error.errno
    return 0


def _fadvise(p: Proc, fd: int, offset: int, length: int, advice: int) -> None:
    if length < 0 or (length and OFF_MAX - offset < length):
        raise VfsError(errno.EINVAL)
    fp = p.fget(fd)
    if not isinstance(fp, VnodeFile):
        raise VfsError(errno.ESPIPE if isinstance(fp, PipeFile) else errno.EOPNOTSUPP)
    if not POSIX_FADV_NORMAL <= advice <= POSIX_FADV_NOREUSE:
        raise VfsError(errno.EINVAL)
