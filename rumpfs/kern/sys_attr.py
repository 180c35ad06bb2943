"""Attributes of files (NetBSD: vfs_syscalls.c)."""

from __future__ import annotations

import struct
from collections.abc import Callable

from rumpfs.abi import errno
from rumpfs.abi.event import NOTE_ATTRIB, NOTE_EXTEND
from rumpfs.abi.fcntl import AT_EACCESS, AT_SYMLINK_NOFOLLOW, FWRITE, R_OK, W_OK, X_OK
from rumpfs.abi.mount import MNT_RDONLY
from rumpfs.abi.stat import ALLPERMS, S_ISGID, S_ISUID, UTIME_NOW, UTIME_OMIT
from rumpfs.base.clock import Timespec, now
from rumpfs.base.errors import VfsError
from rumpfs.kern.proc import Proc
from rumpfs.kern.syscall import syscall
from rumpfs.vfs.cred import VWRITE, Cred
from rumpfs.vfs.namei import Acting, namei
from rumpfs.vfs.vnode import VDIR, VLNK, VREG, SetAttr, Vnode, knote, watched

_timespecs = struct.Struct("<qqqq").unpack
_timevals = struct.Struct("<qi4xqi4x").unpack
UNCHANGED = 0xFFFFFFFF  # uid or gid -1


@syscall("__stat50")
def sys_stat(p: Proc, path: bytes) -> bytes:
    """Return struct stat, following links. Errors: those of namei; EIO."""
    return namei(p, path).stat()


@syscall("__lstat50")
def sys_lstat(p: Proc, path: bytes) -> bytes:
    """Return struct stat of the path itself. Errors: those of namei; EIO."""
    return namei(p, path, False).stat()


def _at(p: Proc, fd: int, path: bytes, flag: int) -> Vnode:
    at = p.directory(fd) if path[:1] != b"/" else None
    return namei(p, path, not flag & AT_SYMLINK_NOFOLLOW, at)


@syscall("fstatat")
def sys_fstatat(p: Proc, fd: int, path: bytes, flag: int) -> bytes:
    """Return struct stat. Errors: EBADF, EINVAL, those of namei."""
    return _at(p, fd, path, flag).stat()


def setattr_(p: Proc, vp: Vnode, va: SetAttr) -> int:
    """Change attributes. Errors: EROFS, and those of VOP_SETATTR."""
    if vp.v_mount.mnt_flag & MNT_RDONLY:
        raise VfsError(errno.EROFS)
    if not watched(vp):
        vp.setattr(va, p.cred)
        return 0
    size = vp.size()
    vp.setattr(va, p.cred)
    knote(vp, NOTE_EXTEND if va.size is not None and va.size > size else NOTE_ATTRIB)
    return 0


@syscall("chmod")
def sys_chmod(p: Proc, path: bytes, mode: int) -> int:
    """Change permission bits. Errors: those of namei; EROFS, EPERM."""
    return setattr_(p, namei(p, path), SetAttr(mode=mode & ALLPERMS))


@syscall("lchmod")
def sys_lchmod(p: Proc, path: bytes, mode: int) -> int:
    """Change permission bits of the path itself. Errors: those of chmod."""
    return setattr_(p, namei(p, path, False), SetAttr(mode=mode & ALLPERMS))


@syscall("fchmod")
def sys_fchmod(p: Proc, fd: int, mode: int) -> int:
    """Change permission bits of an open file. Errors: EBADF, EINVAL, EROFS, EPERM."""
    return setattr_(p, p.vnode(fd), SetAttr(mode=mode & ALLPERMS))


@syscall("fchmodat")
def sys_fchmodat(p: Proc, fd: int, path: bytes, mode: int, flag: int) -> int:
    """Change permission bits. Errors: EBADF, EINVAL, those of chmod."""
    return setattr_(p, _at(p, fd, path, flag), SetAttr(mode=mode & ALLPERMS))


def _chown(p: Proc, vp: Vnode, uid: int, gid: int, posix: bool = False) -> int:
    """Change owner and group; set-id bits go with that (vfs_syscalls.c: change_owner, chown(2)).

    Whoever is not the superuser loses both, as POSIX has it. For the superuser the bit of what changes goes;
    with `posix` it stays.
    """
    va = SetAttr(uid=None if uid == UNCHANGED else uid, gid=None if gid == UNCHANGED else gid)
    if p.cred.euid:
        drop = S_ISUID | S_ISGID
    elif posix:
        drop = 0
    else:
        drop = (S_ISUID if va.uid is not None else 0) | (S_ISGID if va.gid is not None else 0)
    mode = vp.getattr().mode & ALLPERMS
    if mode & drop:
        va.mode = mode & ~drop
    return setattr_(p, vp, va)


@syscall("chown")
def sys_chown(p: Proc, path: bytes, uid: int, gid: int) -> int:
    """Change owner and group; -1 leaves one alone. Errors: those of namei; EROFS, EPERM."""
    return _chown(p, namei(p, path), uid, gid)


@syscall("__posix_chown")
def sys_posix_chown(p: Proc, path: bytes, uid: int, gid: int) -> int:
    """Change owner and group as POSIX has it. Errors: those of chown."""
    return _chown(p, namei(p, path), uid, gid, posix=True)


@syscall("lchown")
def sys_lchown(p: Proc, path: bytes, uid: int, gid: int) -> int:
    """Change owner and group of the path itself. Errors: those of chown."""
    return _chown(p, namei(p, path, False), uid, gid)


@syscall("__posix_lchown")
def sys_posix_lchown(p: Proc, path: bytes, uid: int, gid: int) -> int:
    """Change owner and group of the path itself as POSIX has it. Errors: those of chown."""
    return _chown(p, namei(p, path, False), uid, gid, posix=True)


@syscall("fchown")
def sys_fchown(p: Proc, fd: int, uid: int, gid: int) -> int:
    """Change owner and group of an open file. Errors: EBADF, EINVAL, EROFS, EPERM."""
    return _chown(p, p.vnode(fd), uid, gid)


@syscall("__posix_fchown")
def sys_posix_fchown(p: Proc, fd: int, uid: int, gid: int) -> int:
    """Change owner and group of an open file as POSIX has it. Errors: those of fchown."""
    return _chown(p, p.vnode(fd), uid, gid, posix=True)


@syscall("fchownat")
def sys_fchownat(p: Proc, fd: int, path: bytes, uid: int, gid: int, flag: int) -> int:
    """Change owner and group. Errors: EBADF, EINVAL, those of chown."""
    return _chown(p, _at(p, fd, path, flag), uid, gid)


@syscall("chflags")
def sys_chflags(p: Proc, path: bytes, flags: int) -> int:
    """Change file flags. Errors: those of namei; EROFS, EPERM, EOPNOTSUPP."""
    return setattr_(p, namei(p, path), SetAttr(flags=flags & 0xFFFFFFFF))


@syscall("lchflags")
def sys_lchflags(p: Proc, path: bytes, flags: int) -> int:
    """Change file flags of the path itself. Errors: those of chflags."""
    return setattr_(p, namei(p, path, False), SetAttr(flags=flags & 0xFFFFFFFF))


@syscall("fchflags")
def sys_fchflags(p: Proc, fd: int, flags: int) -> int:
    """Change file flags of an open file. Errors: EBADF, EINVAL, EROFS, EPERM, EOPNOTSUPP."""
    return setattr_(p, p.vnode(fd), SetAttr(flags=flags & 0xFFFFFFFF))


def _touch(times: bytes | None) -> SetAttr:
    if times is None:
        moment = now()
        return SetAttr(atime=moment, mtime=moment, touch=True)
    asec, ausec, msec, musec = _timevals(times)
    return _touch_at(asec, _nanoseconds(ausec), msec, _nanoseconds(musec))


def _nanoseconds(microseconds: int) -> int:
    """Return microseconds as nanoseconds; UTIME_NOW and UTIME_OMIT mean the same in both."""
    return microseconds if microseconds in (UTIME_NOW, UTIME_OMIT) else microseconds * 1000


def _moment(seconds: int, nanoseconds: int, present: Timespec) -> Timespec | None:
    if nanoseconds == UTIME_OMIT:
        return None
    if nanoseconds == UTIME_NOW:
        return present
    if not 0 <= nanoseconds < 1_000_000_000:
        raise VfsError(errno.EINVAL)
    return seconds, nanoseconds


def _touch_ns(times: bytes | None) -> SetAttr:
    if times is None:
        return _touch(None)
    return _touch_at(*_timespecs(times))


def _touch_at(asec: int, ansec: int, msec: int, mnsec: int) -> SetAttr:
    """Return what to set for times with nanoseconds. Errors: EINVAL."""
    present = now()
    return SetAttr(
        atime=_moment(asec, ansec, present),
        mtime=_moment(msec, mnsec, present),
        touch=ansec == mnsec == UTIME_NOW,
    )


def _utimes(p: Proc, vp: Vnode, touch: Callable[[bytes | None], SetAttr], times: bytes | None) -> int:
    """Set times; a modification before the birth moves that back too (vfs_syscalls.c: do_sys_utimes).

    That nothing can be set is found before that the times are none (t_ro, attrs): EROFS before EINVAL.
    """
    if vp.v_mount.mnt_flag & MNT_RDONLY:
        raise VfsError(errno.EROFS)
    va = touch(times)
    if va.mtime is not None:
        born = vp.getattr()
        if va.mtime < (born.birthtime, born.birthtimensec):
            va.birthtime = va.mtime
    return setattr_(p, vp, va)


@syscall("__utimes50")
def sys_utimes(p: Proc, path: bytes, tptr: bytes | None) -> int:
    """Set times with microseconds; NULL is now. Errors: those of namei; EROFS, EINVAL, EPERM, EACCES."""
    return _utimes(p, namei(p, path), _touch, tptr)


@syscall("__lutimes50")
def sys_lutimes(p: Proc, path: bytes, tptr: bytes | None) -> int:
    """Set times of the path itself. Errors: those of utimes."""
    return _utimes(p, namei(p, path, False), _touch, tptr)


@syscall("__futimes50")
def sys_futimes(p: Proc, fd: int, tptr: bytes | None) -> int:
    """Set times of an open file. Errors: EBADF, EINVAL (no file), EROFS, EINVAL, EPERM, EACCES."""
    return _utimes(p, p.vnode(fd), _touch, tptr)


@syscall("utimensat")
def sys_utimensat(p: Proc, fd: int, path: bytes, tptr: bytes | None, flag: int) -> int:
    """Set times with nanoseconds. Errors: EBADF, those of utimes."""
    return _utimes(p, _at(p, fd, path, flag), _touch_ns, tptr)


@syscall("futimens")
def sys_futimens(p: Proc, fd: int, tptr: bytes | None) -> int:
    """Set times of an open file with nanoseconds. Errors: those of futimes."""
    return _utimes(p, p.vnode(fd), _touch_ns, tptr)


def _check_length(length: int) -> None:
    if length < 0:
        raise VfsError(errno.EINVAL)


@syscall("truncate")
def sys_truncate(p: Proc, path: bytes, length: int) -> int:
    """Set the length. Errors: EINVAL, those of namei; EISDIR, EROFS, EACCES, EFBIG, ENOSPC."""
    _check_length(length)
    vp = namei(p, path)
    if vp.v_type == VDIR:
        raise VfsError(errno.EISDIR)
    if vp.v_mount.mnt_flag & MNT_RDONLY:
        raise VfsError(errno.EROFS)
    vp.access(VWRITE, p.cred)
    return setattr_(p, vp, SetAttr(size=length))


@syscall("ftruncate")
def sys_ftruncate(p: Proc, fd: int, length: int) -> int:
    """Set the length of a file open for writing. Errors: EINVAL (length, file), EBADF, EFBIG, ENOSPC."""
    _check_length(length)
    fp = p.vnode_file(fd)
    if not fp.f_flag & FWRITE:
        raise VfsError(errno.EINVAL)
    return setattr_(p, fp.f_vnode, SetAttr(size=length))


def _check_amode(amode: int) -> None:
    if amode & ~(R_OK | W_OK | X_OK):
        raise VfsError(errno.EINVAL)


def _access(p: Proc, at: Vnode | None, path: bytes, amode: int, flag: int) -> int:
    """Look a path up and check access to it, both with the ids that `flag` says (do_sys_accessat)."""
    cred = p.cred if flag & AT_EACCESS else _real(p.cred)
    vp = namei(Acting(cred, p.cwd, p.rdir), path, not flag & AT_SYMLINK_NOFOLLOW, at)
    if amode & W_OK and vp.v_mount.mnt_flag & MNT_RDONLY and vp.v_type in (VREG, VDIR, VLNK):
        raise VfsError(errno.EROFS)
    if amode:
        vp.access(amode, cred)
    return 0


def _real(cred: Cred) -> Cred:
    return Cred(cred.ruid, cred.rgid, cred.ruid, cred.rgid, cred.svuid, cred.svgid, cred.groups)


@syscall("access")
def sys_access(p: Proc, path: bytes, amode: int) -> int:
    """Check access with the real ids. Errors: EINVAL, those of namei; EROFS, EACCES."""
    _check_amode(amode)
    return _access(p, None, path, amode, 0)


@syscall("faccessat")
def sys_faccessat(p: Proc, fd: int, path: bytes, amode: int, flag: int) -> int:
    """Check access; with AT_EACCESS by the effective ids. Errors: EINVAL, EBADF, those of access."""
    _check_amode(amode)
    return _access(p, p.directory(fd) if path[:1] != b"/" else None, path, amode, flag)


@syscall("pathconf")
def sys_pathconf(p: Proc, path: bytes, name: int) -> int:
    """Return a limit of a path. Errors: those of namei; EINVAL."""
    return namei(p, path).pathconf(name)


@syscall("lpathconf")
def sys_lpathconf(p: Proc, path: bytes, name: int) -> int:
    """Return a limit for the path itself. Errors: those of namei; EINVAL."""
    return namei(p, path, False).pathconf(name)


@syscall("fpathconf")
def sys_fpathconf(p: Proc, fd: int, name: int) -> int:
    """Return a limit of an open file. Errors: EBADF, EINVAL; EOPNOTSUPP for the console."""
    return p.fget(fd).pathconf(name)
