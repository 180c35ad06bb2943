"""From paths to vnodes (NetBSD: vfs_lookup.c, and what the lookup operations of its file systems share)."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from rumpfs.abi import errno
from rumpfs.abi.limits import MAXSYMLINKS, NAME_MAX, PATH_MAX
from rumpfs.abi.mount import MNT_RDONLY
from rumpfs.abi.stat import S_ISTXT
from rumpfs.base.errors import VfsError
from rumpfs.vfs.ancestors import below, parent
from rumpfs.vfs.cred import VEXEC, VWRITE, Cred
from rumpfs.vfs.vnode import VBAD, VDIR, VLNK, Vnode

_SLASH = 0x2F


class Caller(Protocol):
    """What namei needs to know of a process."""

    @property
    def cred(self) -> Cred:
        """Credentials."""

    @property
    def cwd(self) -> Vnode:
        """The working directory."""

    @property
    def rdir(self) -> Vnode:
        """The root that the process sees."""


class Acting(NamedTuple):
    """A process that walks with other credentials than its own (cn_cred)."""

    cred: Cred
    cwd: Vnode
    rdir: Vnode


class Nameidata(NamedTuple):
    """A path taken apart: the directory, its last component (``.`` and ``..`` are such), and what that is."""

    dvp: Vnode
    name: bytes
    vp: Vnode


class NewName(NamedTuple):
    """A path whose last component may be absent: `vp` is None then, and something can be made there."""

    dvp: Vnode
    name: bytes
    vp: Vnode | None


def namei(p: Caller, path: bytes, follow: bool = True, at: Vnode | None = None) -> Vnode:
    """Return the vnode of a path.

    Args:
        p: whose root, working directory and credentials count.
        follow: whether a symbolic link at the end is followed; before a slash each one is.
        at: where a relative path starts; None: the working directory.

    Errors:
        ENOENT: empty path, something is not there, or the directory that it starts at is gone (deadfs).
        ENOTDIR, ENAMETOOLONG, EACCES (search), ELOOP; EIO for a damaged directory.
    """
    vp = _walk(p, path, follow, at, True)[2]
    if vp is None:
        raise VfsError(errno.ENOENT)
    return vp


def namei_parent(p: Caller, path: bytes, follow: bool, at: Vnode | None) -> tuple[Vnode, tuple[Vnode, bytes]]:
    """Return the vnode of a path, and where it was found: the directory, and the name in it.

    The name may be an etfs key; of a directory it may be empty, ``.`` or ``..``. Errors: those of `namei`.
    """
    dvp, name, vp, _ = _walk(p, path, follow, at, True)
    if vp is None:
        raise VfsError(errno.ENOENT)
    return vp, (dvp, name)


def namei_create(
    p: Caller, path: bytes, at: Vnode | None, follow: bool = False, directory: bool = False
) -> NewName:
    """Return what a path names, or where it can be made (nameiop CREATE).

    Args:
        directory: whether a directory is to be made, whose path may end in slashes.

    Errors:
        those of `namei`; EEXIST: ``/`` or a mount point; for what is absent EROFS, EACCES, and ENOENT when
        slashes follow.
    """
    dvp, name, vp, slash = _walk(p, path, follow, at, True)
    if vp is None:
        _check_writable(dvp)
        dvp.access(VWRITE, p.cred)
        if slash and not directory:
            raise VfsError(errno.ENOENT)
    elif _no_parent(dvp, name, vp):
        raise VfsError(errno.EEXIST)
    return NewName(dvp, name, vp)


def namei_delete(p: Caller, path: bytes, at: Vnode | None) -> Nameidata:
    """Return the name at the end of a path that is to be taken away (nameiop DELETE).

    Errors:
        those of `namei`, but EROFS before ENOENT; EACCES, EPERM (sticky directory); EBUSY: ``/`` or a mount
        point.
    """
    dvp, name, vp, _ = _walk(p, path, False, at, False)
    return found_delete(p, dvp, name, vp)


def found_delete(p: Caller, dvp: Vnode, name: bytes, vp: Vnode | None) -> Nameidata:
    """Return the same for a name whose directory is known, and what it is there.

    Errors:
        EROFS, ENOENT; EACCES, EPERM (sticky directory); EBUSY: ``/`` or a mount point.
    """
    _check_writable(dvp)
    if vp is None:
        raise VfsError(errno.ENOENT)
    _check_removable(p.cred, dvp, name, vp)
    return Nameidata(dvp, name, vp)


def namei_rename(p: Caller, path: bytes, at: Vnode | None, directory: bool) -> NewName:
    """Return the name at the end of a path that a rename makes or replaces (nameiop RENAME).

    Args:
        directory: whether a directory is renamed, so that the path may end in slashes.

    Errors:
        those of `namei`, ENOENT only for what is before the name, or when slashes follow an absent one;
        EROFS, EACCES, EPERM (sticky directory); EBUSY: ``/`` or a mount point.
    """
    dvp, name, vp, slash = _walk(p, path, False, at, False)
    _check_writable(dvp)
    if vp is not None:
        _check_removable(p.cred, dvp, name, vp)
    else:
        dvp.access(VWRITE, p.cred)
        if slash and not directory:
            raise VfsError(errno.ENOENT)
    return NewName(dvp, name, vp)


def _walk(
    p: Caller, path: bytes, follow: bool, at: Vnode | None, keys: bool
) -> tuple[Vnode, bytes, Vnode | None, bool]:
    """Walk a path; return the directory, the last component, what that is, and whether slashes follow it.

    The component is empty for a path of nothing but slashes. With `keys` the whole path may be an etfs key.
    """
    if not path:
        raise VfsError(errno.ENOENT)
    vp = p.rdir if path[0] == _SLASH else p.cwd if at is None else at
    if keys and vp.v_keys:
        found = vp.v_keys.get(path.strip(b"/"))
        if found is not None:
            return vp, path.strip(b"/"), found, False
    todo = path.split(b"/")
    todo.reverse()
    superuser = p.cred.euid == 0
    links = 0
    dvp, name, slash = vp, b"", False
    while todo:
        part = todo.pop()
        if vp.v_type != VDIR:
            raise VfsError(errno.ENOENT if vp.v_type == VBAD else errno.ENOTDIR)
        if not part:
            slash = True
            continue
        if len(part) > NAME_MAX:
            raise VfsError(errno.ENAMETOOLONG)
        dvp, name, slash = vp, part, False
        if not superuser:
            dvp.access(VEXEC, p.cred)
        if part == b".":
            continue
        if part == b"..":
            dvp, vp = _dotdot(p, dvp)
            continue
        found = dvp.lookup(part)
        if found is None:
            return dvp, name, None, _slashes(todo)
        if found.v_type == VLNK and (follow or todo):
            links += 1
            if links > MAXSYMLINKS:
                raise VfsError(errno.ELOOP)
            target = _target(found, todo)
            todo += target.split(b"/")[::-1]
            vp = p.rdir if target[0] == _SLASH else dvp
            dvp, name = vp, b""
            continue
        while found.v_mountedhere is not None:
            found = found.v_mountedhere.mnt_root
        vp = found
    return dvp, name, vp, slash


def _slashes(todo: list[bytes]) -> bool:
    """Return whether slashes follow a component that is not there. Errors: ENOENT: more than slashes does."""
    if any(todo):
        raise VfsError(errno.ENOENT)
    return bool(todo)


def _target(link: Vnode, todo: list[bytes]) -> bytes:
    """Return the text of a link that is followed by `todo`. Errors: ENOENT (empty), ENAMETOOLONG."""
    target = link.readlink()
    if not target:
        raise VfsError(errno.ENOENT)
    if len(target) + sum(map(len, todo)) + len(todo) + 1 >= PATH_MAX:
        raise VfsError(errno.ENAMETOOLONG)
    return target


def _dotdot(p: Caller, dvp: Vnode) -> tuple[Vnode, Vnode]:
    """Return the directory that ``..`` is searched in, and what it is there.

    At the root of a mount that is the mounted-on vnode. Nobody gets above the root that the process sees;
    who is outside of it, by a descriptor from before a chroot, is put there (vfs_lookup.c: lookup_once).
    """
    rdir = p.rdir
    jailed = rdir is not rdir.v_mount.mnt_root or rdir.v_mount.mnt_vnodecovered is not None
    if jailed and not below(dvp, rdir):
        return rdir, rdir
    while dvp is not rdir and dvp is dvp.v_mount.mnt_root and dvp.v_mount.mnt_vnodecovered is not None:
        dvp = dvp.v_mount.mnt_vnodecovered
    if dvp is rdir or dvp is dvp.v_mount.mnt_root:
        return dvp, dvp
    vp = parent(dvp)
    if vp is None:
        raise VfsError(errno.ENOENT)
    while vp.v_mountedhere is not None:
        vp = vp.v_mountedhere.mnt_root
    return dvp, vp


# --- what a nameiop checks --------------------------------------------------------------------------------


def _no_parent(dvp: Vnode, name: bytes, vp: Vnode) -> bool:
    """Whether `vp` has no name in `dvp`: it is the root, or something is mounted there."""
    return not name or dvp.v_mount is not vp.v_mount


def _check_writable(dvp: Vnode) -> None:
    if dvp.v_mount.mnt_flag & MNT_RDONLY or dvp.v_fixed:
        raise VfsError(errno.EROFS)


def _check_removable(cred: Cred, dvp: Vnode, name: bytes, vp: Vnode) -> None:
    """Check that a name may be taken away, as the lookup operations do. Errors: EACCES, EPERM, EBUSY."""
    if name not in (b"", b".", b".."):
        dvp.access(VWRITE, cred)
        if cred.euid:
            directory = dvp.getattr()
            if directory.mode & S_ISTXT and cred.euid not in (directory.uid, vp.getattr().uid):
                raise VfsError(errno.EPERM)
    if _no_parent(dvp, name, vp):
        raise VfsError(errno.EBUSY)
