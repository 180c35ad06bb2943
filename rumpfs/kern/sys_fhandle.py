"""Files by their handles (NetBSD: vfs_syscalls.c)."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

from rumpfs.abi import errno
from rumpfs.abi.fcntl import FCNTLFLAGS, FREAD, FWRITE, O_CREAT, O_TRUNC
from rumpfs.abi.fhandle import FHANDLE_SIZE_MAX, FHANDLE_SIZE_MIN, FID_LEN, FSID, fhandle_size
from rumpfs.abi.limits import PATH_MAX
from rumpfs.base.copy import Body, CopyIn, CopyInStr, CopyOut, Request
from rumpfs.base.errors import VfsError
from rumpfs.kern.descrip import accmode
from rumpfs.kern.proc import Proc
from rumpfs.kern.sys_open import check_open, open_vnode
from rumpfs.kern.syscall import syscall
from rumpfs.vfs.namei import namei
from rumpfs.vfs.vnode import VREG, SetAttr, Vnode


def compose(vp: Vnode) -> bytes:
    """Return the handle of a file (vfs_composefh). Errors: EOPNOTSUPP: its file system has none."""
    fid = vp.vptofh()
    fsid = (number & 0xFFFFFFFF for number in vp.v_mount.mnt_fsid)
    return (FSID.pack(*fsid) + fid).ljust(fhandle_size(len(fid)), b"\0")


def _superuser(p: Proc) -> None:
    if p.cred.euid:
        raise VfsError(errno.EPERM)


@syscall("__getfh30", raw=True)
def sys_getfh(p: Proc, fname: int, fhp: int, fh_size: int) -> Body:
    """Store the handle of a path, which has `*fh_size` bytes of room, and its size there.

    Errors: EPERM, those of namei, EOPNOTSUPP, EFAULT, E2BIG (the size is stored all the same).
    """
    _superuser(p)
    handle = compose(namei(p, (yield CopyInStr(fname, PATH_MAX))))
    room = int.from_bytes((yield CopyIn(fh_size, 8)), "little")
    yield CopyOut(fh_size, len(handle).to_bytes(8, "little"))
    if room < len(handle):
        raise VfsError(errno.E2BIG)
    yield CopyOut(fhp, handle)
    return 0


def _fetch(p: Proc, fhp: int, fh_size: int) -> Generator[Request, Any, Vnode]:
    """Return the vnode of a handle (vfs_copyinfh_alloc, vfs_fhtovp).

    Errors: EINVAL (no such size), EFAULT, ESTALE (the mount or the file is gone), EIO.
    """
    if not FHANDLE_SIZE_MIN <= fh_size <= FHANDLE_SIZE_MAX:
        raise VfsError(errno.EINVAL)
    handle = yield CopyIn(fhp, fh_size)
    (length,) = FID_LEN.unpack_from(handle, FSID.size)
    if length < FID_LEN.size or fhandle_size(length) != fh_size:
        raise VfsError(errno.EINVAL)
    assert p.kernel.vfs is not None
    mp = p.kernel.vfs.getvfs(FSID.unpack_from(handle))
    return mp.fhtovp(handle[FSID.size : FSID.size + length])


@syscall("__fhopen40", raw=True)
def sys_fhopen(p: Proc, fhp: int, fh_size: int, flags: int) -> Body:
    """Open the file of a handle (dofhopen).

    Errors: EPERM, EINVAL (access mode, O_CREAT), EMFILE, EINVAL (size), EFAULT, ESTALE, and those of open for
    a file that is there.
    """
    _superuser(p)
    if not accmode(flags) or flags & O_CREAT:
        raise VfsError(errno.EINVAL)
    p.fd.slot()
    vp = yield from _fetch(p, fhp, fh_size)
    flag = accmode(flags) | flags & FCNTLFLAGS
    check_open(p, vp, flags, flag & (FREAD | FWRITE))
    if flags & O_TRUNC and vp.v_type == VREG:
        vp.setattr(SetAttr(size=0), p.cred)
    opened = open_vnode(p, vp, flags, flag)
    return opened if isinstance(opened, int) else (yield from opened)


@syscall("__fhstat50", raw=True)
def sys_fhstat(p: Proc, fhp: int, fh_size: int, sb: int, codec: Callable[[bytes], bytes] = bytes) -> Body:
    """Store struct stat of the file of a handle. Errors: EPERM, EINVAL, EFAULT, ESTALE, EIO."""
    _superuser(p)
    vp = yield from _fetch(p, fhp, fh_size)
    yield CopyOut(sb, codec(vp.stat()))
    return 0


@syscall("__fhstatvfs140", raw=True)
def sys_fhstatvfs(p: Proc, fhp: int, fh_size: int, buf: int, flags: int) -> Body:
    """Store struct statvfs of the mount of a handle's file. Errors: EPERM, EINVAL, EFAULT, ESTALE, EIO."""
    _superuser(p)
    vp = yield from _fetch(p, fhp, fh_size)
    yield CopyOut(buf, vp.v_mount.pack_statvfs())
    return 0


@syscall("__fhstatvfs190", raw=True)
def sys_fhstatvfs190(p: Proc, fhp: int, fh_size: int, buf: int, flags: int) -> Body:
    """Store NetBSD 10's struct statvfs. Errors: those of fhstatvfs140."""
    _superuser(p)
    vp = yield from _fetch(p, fhp, fh_size)
    yield CopyOut(buf, vp.v_mount.pack_statvfs_100())
    return 0
