"""Making, moving and removing names (NetBSD: vfs_syscalls.c)."""

from __future__ import annotations

from rumpfs.abi import errno
from rumpfs.abi.fcntl import AT_REMOVEDIR, AT_SYMLINK_FOLLOW
from rumpfs.abi.stat import ALLPERMS, S_IFBLK, S_IFCHR, S_IFIFO, S_IFMT, S_ISTXT
from rumpfs.base.copy import Body, CopyOut, Data
from rumpfs.base.errors import VfsError
from rumpfs.kern.proc import Proc
from rumpfs.kern.syscall import syscall
from rumpfs.vfs.getcwd import getcwd
from rumpfs.vfs.namei import Nameidata, check_modify, namei, nameiat
from rumpfs.vfs.vnode import VDIR, VLNK, Vnode


def _start(p: Proc, fd: int, path: bytes) -> Vnode | None:
    return p.directory(fd) if path[:1] != b"/" else None


def _last(path: bytes) -> bytes:
    return path.rstrip(b"/").rpartition(b"/")[2]


def _new_name(p: Proc, at: Vnode | None, path: bytes, directory: bool = False) -> Nameidata:
    """Resolve the path of something to be made. Errors: EEXIST, ENOENT (a slash behind), EROFS, EACCES."""
    nd = nameiat(p, path, at)
    if nd.vp is not None:
        raise VfsError(errno.EEXIST)
    if nd.slash and not directory:
        raise VfsError(errno.ENOENT)
    check_modify(nd.dvp, p.cred)
    return nd


def _mkdir(p: Proc, at: Vnode | None, path: bytes, mode: int) -> int:
    nd = _new_name(p, at, path, directory=True)
    nd.dvp.mkdir(nd.name, mode & 0o777 & ~p.umask, p.cred)
    return 0


@syscall("mkdir")
def sys_mkdir(p: Proc, path: bytes, mode: int) -> int:
    """Make a directory. Errors: those of namei; EEXIST, EROFS, EACCES, EMLINK, ENOSPC."""
    return _mkdir(p, None, path, mode)


@syscall("mkdirat")
def sys_mkdirat(p: Proc, fd: int, path: bytes, mode: int) -> int:
    """Make a directory. Errors: EBADF, those of mkdir."""
    return _mkdir(p, _start(p, fd, path), path, mode)


def _mknod(p: Proc, at: Vnode | None, path: bytes, mode: int, rdev: int) -> int:
    fmt = mode & S_IFMT
    if p.cred.euid and fmt != S_IFIFO:
        raise VfsError(errno.EPERM)
    if fmt not in (S_IFIFO, S_IFCHR, S_IFBLK):
        raise VfsError(errno.EINVAL)
    nd = _new_name(p, at, path)
    permissions = mode & ALLPERMS & ~p.umask & ~S_ISTXT
    if fmt == S_IFIFO:
        nd.dvp.create(nd.name, permissions | fmt, p.cred)
    else:
        nd.dvp.create(nd.name, permissions | fmt, p.cred, rdev)
    return 0


@syscall("__mknod50")
def sys_mknod(p: Proc, path: bytes, mode: int, dev: int) -> int:
    """Make a device or FIFO. Errors: EPERM, EINVAL, those of mkdir."""
    return _mknod(p, None, path, mode, dev)


@syscall("mknodat")
def sys_mknodat(p: Proc, fd: int, path: bytes, mode: int, dev: int) -> int:
    """Make a device or FIFO. Errors: EBADF, those of mknod."""
    return _mknod(p, _start(p, fd, path), path, mode, dev)


@syscall("mkfifo")
def sys_mkfifo(p: Proc, path: bytes, mode: int) -> int:
    """Make a FIFO. Errors: those of mkdir."""
    return _mknod(p, None, path, mode & ALLPERMS | S_IFIFO, 0)


@syscall("mkfifoat")
def sys_mkfifoat(p: Proc, fd: int, path: bytes, mode: int) -> int:
    """Make a FIFO. Errors: EBADF, those of mkdir."""
    return _mknod(p, _start(p, fd, path), path, mode & ALLPERMS | S_IFIFO, 0)


def _symlink(p: Proc, target: bytes, at: Vnode | None, path: bytes) -> int:
    nd = _new_name(p, at, path)
    nd.dvp.symlink(nd.name, 0o777 & ~p.umask, target, p.cred)
    return 0


@syscall("symlink")
def sys_symlink(p: Proc, target: bytes, path: bytes) -> int:
    """Make a symbolic link. Errors: those of mkdir."""
    return _symlink(p, target, None, path)


@syscall("symlinkat")
def sys_symlinkat(p: Proc, target: bytes, fd: int, path: bytes) -> int:
    """Make a symbolic link. Errors: EBADF, those of mkdir."""
    return _symlink(p, target, _start(p, fd, path), path)


def _readlink(vp: Vnode, count: int) -> Data:
    if vp.v_type != VLNK:
        raise VfsError(errno.EINVAL)
    return vp.readlink()[:count]


@syscall("readlink")
def sys_readlink(p: Proc, path: bytes, count: int) -> Data:
    """Return the text of a symbolic link. Errors: those of namei; EINVAL."""
    return _readlink(namei(p, path, False), count)


@syscall("readlinkat")
def sys_readlinkat(p: Proc, fd: int, path: bytes, count: int) -> Data:
    """Return the text of a symbolic link. Errors: EBADF, those of readlink."""
    return _readlink(namei(p, path, False, _start(p, fd, path)), count)


def _link(p: Proc, vp: Vnode, at: Vnode | None, path: bytes) -> int:
    if vp.v_type == VDIR:
        raise VfsError(errno.EPERM)
    nd = nameiat(p, path, at)
    if nd.vp is not None:
        raise VfsError(errno.EEXIST)
    if nd.slash:
        raise VfsError(errno.ENOENT)
    if nd.dvp.v_mount is not vp.v_mount:
        raise VfsError(errno.EXDEV)
    check_modify(nd.dvp, p.cred)
    nd.dvp.link(nd.name, vp, p.cred)
    return 0


@syscall("link")
def sys_link(p: Proc, path: bytes, link: bytes) -> int:
    """Give a file a further name. Errors: those of namei; EPERM (directory), EEXIST, EXDEV, EROFS, EACCES."""
    return _link(p, namei(p, path), None, link)


@syscall("linkat")
def sys_linkat(p: Proc, fd1: int, name1: bytes, fd2: int, name2: bytes, flags: int) -> int:
    """Give a file a further name. Errors: EBADF, those of link."""
    vp = namei(p, name1, bool(flags & AT_SYMLINK_FOLLOW), _start(p, fd1, name1))
    return _link(p, vp, _start(p, fd2, name2), name2)


def _check_sticky(p: Proc, dvp: Vnode, vp: Vnode) -> None:
    """In a sticky directory only the owners may take a name away (ufs_lookup.c). Errors: EPERM."""
    if p.cred.euid:
        directory = dvp.getattr()
        if directory.mode & S_ISTXT and p.cred.euid not in (directory.uid, vp.getattr().uid):
            raise VfsError(errno.EPERM)


def _unlink(p: Proc, at: Vnode | None, path: bytes, flag: int) -> int:
    nd = nameiat(p, path, at)
    vp = nd.vp
    if vp is None:
        raise VfsError(errno.ENOENT)
    last = _last(path)
    directory = bool(flag & AT_REMOVEDIR)
    if vp is vp.v_mount.mnt_root and last not in (b".", b".."):
        raise VfsError(errno.EBUSY)
    if last == b".":
        raise VfsError(errno.EINVAL)
    if directory and vp.v_type != VDIR:
        raise VfsError(errno.ENOTDIR)
    if not directory and vp.v_type == VDIR:
        raise VfsError(errno.EPERM)
    if last == b"..":
        raise VfsError(errno.ENOTEMPTY)
    if not nd.name or nd.dvp.lookup(nd.name) is not vp:
        raise VfsError(errno.ENOENT)  # an etfs key: no name in the directory
    check_modify(nd.dvp, p.cred)
    _check_sticky(p, nd.dvp, vp)
    if directory:
        nd.dvp.rmdir(nd.name, vp, p.cred)
    else:
        nd.dvp.remove(nd.name, vp, p.cred)
    return 0


@syscall("unlink")
def sys_unlink(p: Proc, path: bytes) -> int:
    """Remove a name. Errors: those of namei; EBUSY, EINVAL (.), EPERM (directory, sticky), EROFS, EACCES."""
    return _unlink(p, None, path, 0)


@syscall("rmdir")
def sys_rmdir(p: Proc, path: bytes) -> int:
    """Remove a directory. Errors: those of namei; EBUSY, EINVAL, ENOTDIR, ENOTEMPTY, EROFS, EACCES, EPERM."""
    return _unlink(p, None, path, AT_REMOVEDIR)


@syscall("unlinkat")
def sys_unlinkat(p: Proc, fd: int, path: bytes, flag: int) -> int:
    """Remove a name; with AT_REMOVEDIR a directory. Errors: EBADF, those of unlink and rmdir."""
    return _unlink(p, _start(p, fd, path), path, flag)


def _rename(p: Proc, fat: Vnode | None, fpath: bytes, tat: Vnode | None, tpath: bytes, posix: bool) -> int:
    source = nameiat(p, fpath, fat)
    fvp = source.vp
    if fvp is None:
        raise VfsError(errno.ENOENT)
    if _last(fpath) in (b".", b".."):
        raise VfsError(errno.EINVAL)
    target = nameiat(p, tpath, tat)
    tvp = target.vp
    last = _last(tpath)
    if last in (b".", b".."):
        raise VfsError(errno.EISDIR if last == b"." else errno.EINVAL)
    if target.slash and fvp.v_type != VDIR and tvp is None:
        raise VfsError(errno.ENOENT)
    _check_rename(source, target)
    if fvp is tvp:
        if posix or (source.dvp is target.dvp and source.name == target.name):
            return 0
        check_modify(source.dvp, p.cred)
        source.dvp.remove(source.name, fvp, p.cred)
        return 0
    for nd in (source, target):
        check_modify(nd.dvp, p.cred)
        if nd.vp is not None:
            _check_sticky(p, nd.dvp, nd.vp)
    source.dvp.rename(source.name, fvp, target.dvp, target.name, tvp, p.cred)
    return 0


def _check_rename(source: Nameidata, target: Nameidata) -> None:
    """Check what both names are. Errors: EBUSY, EXDEV, ENOTDIR, EISDIR, EINVAL (below itself)."""
    fvp, tvp = source.vp, target.vp
    assert fvp is not None
    if not source.name or fvp is fvp.v_mount.mnt_root or source.dvp.lookup(source.name) is not fvp:
        raise VfsError(errno.EBUSY)
    if source.dvp.v_mount is not target.dvp.v_mount or (tvp is not None and tvp is tvp.v_mount.mnt_root):
        raise VfsError(errno.EXDEV if source.dvp.v_mount is not target.dvp.v_mount else errno.EBUSY)
    if tvp is not None:
        if not target.name:
            raise VfsError(errno.EINVAL)
        if fvp.v_type == VDIR != tvp.v_type:
            raise VfsError(errno.ENOTDIR)
        if fvp.v_type != VDIR == tvp.v_type:
            raise VfsError(errno.EISDIR)
    if fvp.v_type == VDIR and _below(target.dvp, fvp):
        raise VfsError(errno.EINVAL)
    if tvp is not None and tvp.v_type == VDIR and _below(source.dvp, tvp):
        raise VfsError(errno.ENOTEMPTY)


def _below(dvp: Vnode, ancestor: Vnode) -> bool:
    """Whether `dvp` is `ancestor` or below it."""
    root = dvp.v_mount.mnt_root
    seen = set()
    while dvp is not ancestor:
        if dvp is root or dvp in seen:
            return False
        seen.add(dvp)
        parent = dvp.lookup(b"..")
        if parent is None:
            return False
        dvp = parent
    return True


@syscall("rename")
def sys_rename(p: Proc, from_: bytes, to: bytes) -> int:
    """Rename; onto another name of the same file the source name goes. Errors: see netbsd_abi 1.3."""
    return _rename(p, None, from_, None, to, posix=False)


@syscall("__posix_rename")
def sys_posix_rename(p: Proc, from_: bytes, to: bytes) -> int:
    """Rename; onto another name of the same file nothing happens. Errors: those of rename."""
    return _rename(p, None, from_, None, to, posix=True)


@syscall("renameat")
def sys_renameat(p: Proc, fromfd: int, from_: bytes, tofd: int, to: bytes) -> int:
    """Rename. Errors: EBADF, those of rename."""
    return _rename(p, _start(p, fromfd, from_), from_, _start(p, tofd, to), to, posix=False)


@syscall("__getcwd", raw=True)
def sys_getcwd(p: Proc, bufp: int, length: int) -> Body:
    """Store the path of the working directory; return its length with the NUL. Errors: ERANGE, ENOENT."""
    if length < 2:
        raise VfsError(errno.ERANGE)
    path = getcwd(p) + b"\0"
    if len(path) > length:
        raise VfsError(errno.ERANGE)
    yield CopyOut(bufp, path)
    return len(path)
