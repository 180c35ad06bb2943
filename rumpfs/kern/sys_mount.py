"""Mounting (NetBSD: vfs_syscalls.c, vfs_mount.c)."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

from rumpfs.abi import errno
from rumpfs.abi.limits import PATH_MAX, RB_STRING
from rumpfs.abi.mount import (
    EXPORT_ARGS30_SIZE,
    MNT_BASIC_FLAGS,
    MNT_EXPORTED,
    MNT_FORCE,
    MNT_GETARGS,
    MNT_IGNORE,
    MNT_RELOAD,
    MNT_UPDATE,
    MOUNTCOMPATNAMES,
    VFS_MAX_MOUNT_DATA,
    VFS_NAMELEN,
)
from rumpfs.abi.stat import STATVFS, STATVFS_100
from rumpfs.base.copy import Body, CopyIn, CopyInStr, CopyOut, Request
from rumpfs.base.errors import VfsError
from rumpfs.kern.mount_update import mount_getargs, mount_update
from rumpfs.kern.proc import Proc
from rumpfs.kern.syscall import syscall
from rumpfs.vfs.mount import Mount, MountArgs, Vfs
from rumpfs.vfs.namei import namei
from rumpfs.vfs.vnode import VDIR, Vnode, vref, vrele

if TYPE_CHECKING:
    from rumpfs.kern.kernel import Kernel

_BOOTSTR_MAX = 128  # kern_xxx.c: sys_reboot


def _vfs(p: Proc) -> Vfs:
    assert p.kernel.vfs is not None
    return p.kernel.vfs


@syscall("__mount50", raw=True)
def sys_mount(p: Proc, type_: int, path: int, flags: int, data: int, data_len: int) -> Body:
    """Mount a file system; with MNT_UPDATE change a mount, with MNT_GETARGS store its arguments.

    Errors: EPERM (but everybody may use MNT_GETARGS), those of namei, ENODEV (type), EINVAL (data, flags),
    ENOTDIR, and those of the file system; those of `mount_update` and `mount_getargs`.
    """
    if p.cred.euid and not flags & MNT_GETARGS:
        raise VfsError(errno.EPERM)
    covered = namei(p, (yield CopyInStr(path, PATH_MAX)))
    vref(covered)
    try:
        return (yield from _mount(p, covered, type_, path, flags, data, data_len))
    finally:
        vrele(covered)


def _mount(p: Proc, covered: Vnode, type_: int, path: int, flags: int, data: int, data_len: int) -> Body:
    vfs = _vfs(p)
    op = covered.v_mount.mnt_op
    if not flags & (MNT_UPDATE | MNT_GETARGS):
        op = vfs.fstype((yield from _fstype(type_)))
    args = None
    if data:
        least = EXPORT_ARGS30_SIZE if flags & MNT_UPDATE else 0
        length = data_len or max(op.args_size, least)
        if not 0 < length <= VFS_MAX_MOUNT_DATA:
            raise VfsError(errno.EINVAL)
        args = yield CopyIn(data, length)
    if flags & MNT_GETARGS:
        if args is None and not data_len:
            raise VfsError(errno.EINVAL)
        return (yield from mount_getargs(covered, flags, data, args))
    if flags & MNT_UPDATE:
        passed = flags & (MNT_BASIC_FLAGS | MNT_RELOAD)
        return (yield from mount_update(p, covered, flags, MountArgs(p, passed, args, path)))
    if covered.v_type != VDIR:
        raise VfsError(errno.ENOTDIR)
    if flags & MNT_EXPORTED:
        raise VfsError(errno.EINVAL)
    flags &= MNT_BASIC_FLAGS | MNT_FORCE | MNT_IGNORE
    mp = yield from op.mount(vfs, MountArgs(p, flags, args, path))
    try:
        again = yield CopyInStr(path, PATH_MAX)
        if namei(p, again) is not covered:
            raise VfsError(errno.EINVAL)
    except BaseException:
        mp.unmount(MNT_FORCE)
        raise
    vfs.enter(mp, covered, p.cred)
    _move_directories(p.kernel, covered, mp.mnt_root)
    return 0


def _fstype(type_: int) -> Generator[Request, Any, bytes]:
    """Return the name of a type; what is no string may be a number (mount_get_vfsops). Errors: ENODEV."""
    try:
        name: bytes = yield CopyInStr(type_, VFS_NAMELEN)
    except VfsError as error:
        if error.errno not in (errno.EFAULT, errno.ENAMETOOLONG):
            raise
        if type_ not in MOUNTCOMPATNAMES:
            raise VfsError(errno.ENODEV) from None
        name = MOUNTCOMPATNAMES[type_]
    return name


def _move_directories(kernel: Kernel, old: Vnode, new: Vnode) -> None:
    """Let processes whose directories are `old` have `new` instead (vfs_mount.c: checkdirs)."""
    for p in kernel.procs.values():
        if p.cwd is old:
            p.chdir(new)
        if p.rdir is old:
            p.set_root(new)


@syscall("unmount")
def sys_unmount(p: Proc, path: bytes, flags: int) -> int:
    """Unmount a file system, with MNT_FORCE even when it is in use.

    Errors: those of namei, which does not follow a link at the end; EPERM; EINVAL: no root of a mount; those
    of `Vfs.dounmount`.
    """
    vp = namei(p, path, False)
    if p.cred.euid:
        raise VfsError(errno.EPERM)
    if vp is not vp.v_mount.mnt_root:
        raise VfsError(errno.EINVAL)
    _vfs(p).dounmount(vp.v_mount, flags)
    return 0


@syscall("statvfs1")
def sys_statvfs1(p: Proc, path: bytes, flags: int) -> bytes:
    """Return struct statvfs of a path's file system. Errors: those of namei; EIO."""
    return namei(p, path).v_mount.pack_statvfs()


@syscall("fstatvfs1")
def sys_fstatvfs1(p: Proc, fd: int, flags: int) -> bytes:
    """Return struct statvfs of an open file's file system. Errors: EBADF, EINVAL, EIO."""
    return p.vnode(fd).v_mount.pack_statvfs()


@syscall("__statvfs190")
def sys_statvfs190(p: Proc, path: bytes, flags: int) -> bytes:
    """Return NetBSD 10's struct statvfs of a path's file system. Errors: those of namei; EIO."""
    return namei(p, path).v_mount.pack_statvfs_100()


@syscall("__fstatvfs190")
def sys_fstatvfs190(p: Proc, fd: int, flags: int) -> bytes:
    """Return NetBSD 10's struct statvfs of an open file's file system. Errors: EBADF, EINVAL, EIO."""
    return p.vnode(fd).v_mount.pack_statvfs_100()


def _getvfsstat(p: Proc, buf: int, bufsize: int, size: int, pack: Callable[[Mount], bytes]) -> Body:
    mounts: list[Mount] = _vfs(p).mountlist
    if not buf:
        return len(mounts)
    fitting = mounts[: bufsize // size]
    if fitting:
        yield CopyOut(buf, b"".join(map(pack, fitting)))
    return len(fitting)


@syscall("getvfsstat", raw=True)
def sys_getvfsstat(p: Proc, buf: int, bufsize: int, flags: int) -> Body:
    """Store struct statvfs of every mount, root first, and return their number. Errors: EFAULT, EIO."""
    return _getvfsstat(p, buf, bufsize, STATVFS.size, Mount.pack_statvfs)


@syscall("__getvfsstat90", raw=True)
def sys_getvfsstat90(p: Proc, buf: int, bufsize: int, flags: int) -> Body:
    """Store NetBSD 10's struct statvfs of every mount, and return their number. Errors: EFAULT, EIO."""
    return _getvfsstat(p, buf, bufsize, STATVFS_100.size, Mount.pack_statvfs_100)


@syscall("sync")
def sys_sync(p: Proc) -> int:
    """Bring every file system to stable storage."""
    _vfs(p).sync()
    return 0


@syscall("reboot", raw=True)
def sys_reboot(p: Proc, opt: int, bootstr: int) -> Body:
    """Halt the kernel (kern_xxx.c, kern_reboot.c). Errors: EPERM, EFAULT (RB_STRING)."""
    if p.cred.euid:
        raise VfsError(errno.EPERM)
    if opt & RB_STRING:
        yield CopyInStr(bootstr, _BOOTSTR_MAX)
    p.kernel.reboot(opt)
    return 0
