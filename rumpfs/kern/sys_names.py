"""Making, moving and removing names (NetBSD: vfs_syscalls.c)."""

from __future__ import annotations

from rumpfs.abi import errno
from rumpfs.abi.event import NOTE_DELETE, NOTE_LINK, NOTE_RENAME, NOTE_WRITE
from rumpfs.abi.fcntl import AT_REMOVEDIR, AT_SYMLINK_FOLLOW
from rumpfs.abi.limits import PATH_MAX
from rumpfs.abi.stat import ALLPERMS, S_IFBLK, S_IFCHR, S_IFIFO, S_IFMT, S_IFREG
from rumpfs.base.copy import Body, CopyOut, Data
from rumpfs.base.errors import VfsError
from rumpfs.kern.proc import Proc
from rumpfs.kern.syscall import syscall
from rumpfs.vfs.ancestors import below
from rumpfs.vfs.getcwd import getcwd
from rumpfs.vfs.namei import Nameidata, NewName, namei, namei_create, namei_delete, namei_rename
from rumpfs.vfs.vnode import NODEV, VDIR, VLNK, Vnode, knote


def _start(p: Proc, fd: int, path: bytes) -> Vnode | None:
    return p.directory(fd) if path[:1] != b"/" else None


def _new_name(p: Proc, at: Vnode | None, path: bytes, directory: bool = False) -> NewName:
    """Resolve the path of something to be made. Errors: those of `namei_create`; EEXIST."""
    nd = namei_create(p, path, at, directory=directory)
    if nd.vp is not None:
        raise VfsError(errno.EEXIST)
    return nd


def do_mkdir(p: Proc, at: Vnode | None, path: bytes, mode: int) -> int:
    """Make a directory (do_sys_mkdirat). Errors: those of `mkdir`."""
    nd = _new_name(p, at, path, directory=True)
    nd.dvp.mkdir(nd.name, mode & 0o777 & ~p.umask, p.cred)
    knote(nd.dvp, NOTE_WRITE | NOTE_LINK, nd.name)
    return 0


@syscall("mkdir")
def sys_mkdir(p: Proc, path: bytes, mode: int) -> int:
    """Make a directory. Errors: those of namei; EEXIST, EROFS, EACCES, EMLINK, ENOSPC."""
    return do_mkdir(p, None, path, mode)


@syscall("mkdirat")
def sys_mkdirat(p: Proc, fd: int, path: bytes, mode: int) -> int:
    """Make a directory. Errors: EBADF, those of mkdir."""
    return do_mkdir(p, _start(p, fd, path), path, mode)


#: what mknod makes; FIFOs, which NetBSD's leaves to mkfifo, as POSIX has it
_MKNOD = (S_IFIFO, S_IFCHR, S_IFBLK, S_IFREG)


def _mknod(p: Proc, at: Vnode | None, path: bytes, mode: int, rdev: int) -> int:
    nd = _new_name(p, at, path)
    fmt = mode & S_IFMT
    if fmt not in _MKNOD or (fmt in (S_IFCHR, S_IFBLK) and rdev == NODEV):
        raise VfsError(errno.EINVAL)
    nd.dvp.create(nd.name, mode & ALLPERMS & ~p.umask | fmt, p.cred, rdev)
    knote(nd.dvp, NOTE_WRITE, nd.name)
    return 0


def _check_mknod(p: Proc, mode: int) -> None:
    """Let only the superuser make anything but a FIFO, as POSIX has it."""
    if p.cred.euid and mode & S_IFMT != S_IFIFO:
        raise VfsError(errno.EPERM)


@syscall("__mknod50")
def sys_mknod(p: Proc, path: bytes, mode: int, dev: int) -> int:
    """Make a device, a FIFO or a file.

    Errors: EPERM (no FIFO), those of mkdir; EINVAL (type, device number).
    """
    _check_mknod(p, mode)
    return _mknod(p, None, path, mode, dev)


@syscall("mknodat")
def sys_mknodat(p: Proc, fd: int, path: bytes, mode: int, dev: int) -> int:
    """Make a device, a FIFO or a file. Errors: EPERM, EBADF, those of mknod."""
    _check_mknod(p, mode)
    return _mknod(p, _start(p, fd, path), path, mode, dev)


@syscall("mkfifo")
def sys_mkfifo(p: Proc, path: bytes, mode: int) -> int:
    """Make a FIFO. Errors: those of mkdir."""
    return _mknod(p, None, path, mode & ALLPERMS | S_IFIFO, 0)


@syscall("mkfifoat")
def sys_mkfifoat(p: Proc, fd: int, path: bytes, mode: int) -> int:
    """Make a FIFO. Errors: EBADF, those of mkdir."""
    return _mknod(p, _start(p, fd, path), path, mode & ALLPERMS | S_IFIFO, 0)


def do_symlink(p: Proc, target: bytes, at: Vnode | None, path: bytes) -> int:
    """Make a symbolic link (do_sys_symlinkat). Errors: those of `mkdir`."""
    nd = _new_name(p, at, path)
    nd.dvp.symlink(nd.name, 0o777 & ~p.umask, target, p.cred)
    knote(nd.dvp, NOTE_WRITE, nd.name)
    return 0


@syscall("symlink")
def sys_symlink(p: Proc, target: bytes, path: bytes) -> int:
    """Make a symbolic link. Errors: those of mkdir."""
    return do_symlink(p, target, None, path)


@syscall("symlinkat")
def sys_symlinkat(p: Proc, target: bytes, fd: int, path: bytes) -> int:
    """Make a symbolic link. Errors: EBADF, those of mkdir."""
    return do_symlink(p, target, _start(p, fd, path), path)


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


def do_link(p: Proc, vp: Vnode, at: Vnode | None, path: bytes) -> int:
    """Give `vp` a further name (do_sys_linkat). Errors: those of `link`."""
    nd = _new_name(p, at, path)
    if vp.v_type == VDIR:
        raise VfsError(errno.EPERM)
    if nd.dvp.v_mount is not vp.v_mount:
        raise VfsError(errno.EXDEV)
    p.kernel.extensions.check_link(p.cred, vp)
    nd.dvp.link(nd.name, vp, p.cred)
    knote(nd.dvp, NOTE_WRITE, nd.name)
    knote(vp, NOTE_LINK)
    return 0


@syscall("link")
def sys_link(p: Proc, path: bytes, link: bytes) -> int:
    """Give a file a further name.

    Errors: those of namei and mkdir; EPERM (directory), EXDEV; those of `Extensions.check_link`; EMLINK.
    """
    return do_link(p, namei(p, path), None, link)


@syscall("linkat")
def sys_linkat(p: Proc, fd1: int, name1: bytes, fd2: int, name2: bytes, flags: int) -> int:
    """Give a file a further name. Errors: EBADF, those of link."""
    vp = namei(p, name1, bool(flags & AT_SYMLINK_FOLLOW), _start(p, fd1, name1))
    return do_link(p, vp, _start(p, fd2, name2), name2)


def do_unlink(p: Proc, at: Vnode | None, path: bytes, flag: int) -> int:
    """Remove a name; with AT_REMOVEDIR a directory (do_sys_unlinkat). Errors: those of `unlink`, `rmdir`."""
    return unlink_found(p, namei_delete(p, path, at), flag)


def unlink_found(p: Proc, nd: Nameidata, flag: int) -> int:
    """Remove a name that was looked up and may be taken away. Errors: those of `unlink`, `rmdir`."""
    dvp, name, vp = nd
    if vp is vp.v_mount.mnt_root:
        raise VfsError(errno.EBUSY)
    if vp is dvp:
        raise VfsError(errno.EINVAL)
    if vp.v_type != VDIR:
        if flag & AT_REMOVEDIR:
            raise VfsError(errno.ENOTDIR)
        _remove(p, dvp, name, vp)
        return 0
    if not flag & AT_REMOVEDIR:
        raise VfsError(errno.EPERM)
    if name == b"..":
        raise VfsError(errno.ENOTEMPTY)
    dvp.rmdir(name, vp, p.cred)
    knote(vp, NOTE_DELETE)
    knote(dvp, NOTE_WRITE | NOTE_LINK, name)
    return 0


def _remove(p: Proc, dvp: Vnode, name: bytes, vp: Vnode) -> None:
    """Take away the name of something that is no directory."""
    dvp.remove(name, vp, p.cred)
    _knote_removed(vp)
    knote(dvp, NOTE_WRITE, name)


def _knote_removed(vp: Vnode) -> None:
    """Tell who watches `vp` that a name of it is gone, or that it was the last."""
    if vp.v_klist is None:
        knote(vp, 0)  # who hears of a whole mount does not ask what it was
    else:
        knote(vp, NOTE_LINK if vp.v_type != VDIR and vp.getattr().nlink else NOTE_DELETE)


@syscall("unlink")
def sys_unlink(p: Proc, path: bytes) -> int:
    """Remove a name. Errors: those of `namei_delete`; EBUSY, EINVAL (``.``), EPERM (a directory)."""
    return do_unlink(p, None, path, 0)


@syscall("rmdir")
def sys_rmdir(p: Proc, path: bytes) -> int:
    """Remove a directory. Errors: those of `namei_delete`; EBUSY, EINVAL (``.``), ENOTDIR, ENOTEMPTY."""
    return do_unlink(p, None, path, AT_REMOVEDIR)


@syscall("unlinkat")
def sys_unlinkat(p: Proc, fd: int, path: bytes, flag: int) -> int:
    """Remove a name; with AT_REMOVEDIR a directory. Errors: EBADF, those of unlink and rmdir."""
    return do_unlink(p, _start(p, fd, path), path, flag)


def do_rename(p: Proc, fat: Vnode | None, fpath: bytes, tat: Vnode | None, tpath: bytes, posix: bool) -> int:
    """Move a name (do_sys_renameat, genfs_rename.c).

    Errors, in this order: those of `namei_delete` for the source; EINVAL: ``.`` or ``..``; those of
    `namei_rename` for the target; EISDIR: ``.``; EINVAL: ``..``; EXDEV; EBUSY: something is mounted on
    one of the directories; those of `_check_rename`; those of the file system.
    """
    source = namei_delete(p, fpath, fat)
    if source.name in (b".", b".."):
        raise VfsError(errno.EINVAL)
    target = namei_rename(p, tpath, tat, directory=source.vp.v_type == VDIR)
    if target.name in (b".", b".."):
        raise VfsError(errno.EISDIR if target.name == b"." else errno.EINVAL)
    if source.dvp.v_mount is not target.dvp.v_mount:
        raise VfsError(errno.EXDEV)
    if source.dvp.v_mountedhere is not None or target.dvp.v_mountedhere is not None:
        raise VfsError(errno.EBUSY)
    _check_rename(source, target)
    if source.vp is not target.vp:
        source.dvp.rename(source.name, source.vp, target.dvp, target.name, target.vp, p.cred)
        _knote_rename(source, target)
    elif not posix and (source.dvp is not target.dvp or source.name != target.name):
        _remove(p, source.dvp, source.name, source.vp)
    return 0


def _knote_rename(source: Nameidata, target: NewName) -> None:
    """Tell who watches what a rename was about; directories also when their link counts have changed."""
    directory = source.vp.v_type == VDIR
    replaced = target.vp is not None
    if source.dvp is target.dvp:
        hint = NOTE_WRITE | (NOTE_LINK if directory and replaced else 0)
        knote(source.dvp, hint, source.name, target.name)
    else:
        knote(source.dvp, NOTE_WRITE | (NOTE_LINK if directory else 0), source.name)
        knote(target.dvp, NOTE_WRITE | (NOTE_LINK if directory and not replaced else 0), target.name)
    knote(source.vp, NOTE_RENAME)
    if target.vp is not None:
        _knote_removed(target.vp)


def _check_rename(source: Nameidata, target: NewName) -> None:
    """Check what both names are.

    Errors, in the order of sys/miscfs/genfs/genfs_rename.c: EINVAL: a directory would get below itself;
    ENOTEMPTY: the source lies in what it would replace; ENOTDIR, EISDIR: they do not go together.
    """
    fvp, tvp = source.vp, target.vp
    if fvp.v_type == VDIR and below(target.dvp, fvp):
        raise VfsError(errno.EINVAL)
    if tvp is not None:
        if tvp is source.dvp:
            raise VfsError(errno.ENOTEMPTY)
        if fvp.v_type == VDIR != tvp.v_type:
            raise VfsError(errno.ENOTDIR)
        if fvp.v_type != VDIR == tvp.v_type:
            raise VfsError(errno.EISDIR)


@syscall("rename")
def sys_rename(p: Proc, from_: bytes, to: bytes) -> int:
    """Rename; onto another name of the same file the source name goes. Errors: see netbsd_abi 1.3."""
    return do_rename(p, None, from_, None, to, posix=False)


@syscall("__posix_rename")
def sys_posix_rename(p: Proc, from_: bytes, to: bytes) -> int:
    """Rename; onto another name of the same file nothing happens. Errors: those of rename."""
    return do_rename(p, None, from_, None, to, posix=True)


@syscall("renameat")
def sys_renameat(p: Proc, fromfd: int, from_: bytes, tofd: int, to: bytes) -> int:
    """Rename. Errors: EBADF, those of rename."""
    return do_rename(p, _start(p, fromfd, from_), from_, _start(p, tofd, to), to, posix=False)


@syscall("__getcwd", raw=True)
def sys_getcwd(p: Proc, bufp: int, length: int) -> Body:
    """Store the path of the working directory; return its length with the NUL.

    Errors: ERANGE: a length below 2, or too small; ENOENT; EIO.
    """
    if length < 2:
        raise VfsError(errno.ERANGE)
    path = getcwd(p, min(length, 4 * PATH_MAX)) + b"\0"
    yield CopyOut(bufp, path)
    return len(path)
