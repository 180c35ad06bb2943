"""From paths to vnodes (NetBSD: vfs_lookup.c)."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from rumpfs.abi import errno
from rumpfs.abi.limits import MAXSYMLINKS, NAME_MAX, PATH_MAX
from rumpfs.abi.mount import MNT_RDONLY
from rumpfs.base.errors import VfsError
from rumpfs.vfs.cred import VEXEC, VWRITE, Cred
from rumpfs.vfs.vnode import VDIR, VLNK, Vnode


class Caller(Protocol):
    """What namei needs to know of a process."""

    cred: Cred
    cwd: Vnode
    rdir: Vnode  # the root that the process sees


class Nameidata(NamedTuple):
    """A path taken apart: the directory, the last component, and what it is (None: nothing yet).

    `name` is empty, and `dvp` is `vp`, when the path names a directory as such (``/``, ``a/..``, ``.``).
    `slash` says that the path ended in a slash.
    """

    dvp: Vnode
    name: bytes
    vp: Vnode | None
    slash: bool


def namei(p: Caller, path: bytes, follow: bool = True, at: Vnode | None = None) -> Vnode:
    """Return the vnode of a path.

    Args:
        p: whose root, working directory and credentials count.
        follow: whether a symbolic link at the end is followed.
        at: where a relative path starts; None: the working directory.

    Errors:
        ENOENT: empty path, or something is not there.
        ENOTDIR, EACCES, ELOOP, ENAMETOOLONG; EIO for a damaged directory.
    """
    vp = _walk(p, path, follow, at).vp
    if vp is None:
        raise VfsError(errno.ENOENT)
    return vp


def nameiat(p: Caller, path: bytes, at: Vnode | None = None, follow: bool = False) -> Nameidata:
    """Return the directory and the last component of a path, for creating, deleting and renaming.

    Args and errors: as `namei`; the last component may be absent.
    """
    return _walk(p, path, follow, at)


def _walk(p: Caller, path: bytes, follow: bool, at: Vnode | None) -> Nameidata:
    if not path:
        raise VfsError(errno.ENOENT)
    vp = p.rdir if path[0] == 0x2F else p.cwd if at is None else at
    keys = vp.v_keys
    if keys:
        key = keys.get(path.strip(b"/"))
        if key is not None:
            return Nameidata(vp, path.strip(b"/"), key, False)
    todo = path.split(b"/")
    todo.reverse()
    pop = todo.pop
    superuser = p.cred.euid == 0
    links = 0
    dvp = vp
    name = b""
    slash = False
    while todo:
        part = pop()
        if not part or part == b".":
            if part or dvp is not vp:
                if vp.v_type != VDIR:
                    raise VfsError(errno.ENOTDIR)
                if part:
                    dvp, name = vp, b""
            slash = True
            continue
        if vp.v_type != VDIR:
            raise VfsError(errno.ENOTDIR)
        slash = False
        dvp, name = vp, part
        if not superuser:
            dvp.access(VEXEC, p.cred)
        if part == b"..":
            vp = _dotdot(p, dvp)
            name = b""
            dvp = vp
            continue
        if len(part) > NAME_MAX:
            raise VfsError(errno.ENAMETOOLONG)
        found = dvp.lookup(part)
        if found is None:
            if any(todo):
                raise VfsError(errno.ENOENT)
            return Nameidata(dvp, name, None, bool(todo))
        while found.v_mountedhere is not None:
            found = found.v_mountedhere.mnt_root
        if found.v_type == VLNK and (todo or follow):
            links += 1
            if links > MAXSYMLINKS:
                raise VfsError(errno.ELOOP)
            target = found.readlink()
            if not target:
                raise VfsError(errno.ENOENT)
            if len(target) + sum(map(len, todo)) + len(todo) >= PATH_MAX:
                raise VfsError(errno.ENAMETOOLONG)
            todo.extend(reversed(target.split(b"/")))
            vp = p.rdir if target[0] == 0x2F else dvp
            dvp, name = vp, b""
            continue
        vp = found
    return Nameidata(dvp, name, vp, slash)


def _dotdot(p: Caller, dvp: Vnode) -> Vnode:
    if dvp is p.rdir:
        return dvp
    while dvp is dvp.v_mount.mnt_root:
        covered = dvp.v_mount.mnt_vnodecovered
        if covered is None:
            return dvp
        dvp = covered
        if dvp is p.rdir:
            return dvp
    vp = dvp.lookup(b"..")
    if vp is None:
        raise VfsError(errno.ENOENT)
    while vp.v_mountedhere is not None:
        vp = vp.v_mountedhere.mnt_root
    return vp


def check_modify(dvp: Vnode, cred: Cred) -> None:
    """Check that names in a directory may change. Errors: EROFS, EACCES."""
    if dvp.v_mount.mnt_flag & MNT_RDONLY:
        raise VfsError(errno.EROFS)
    dvp.access(VWRITE | VEXEC, cred)
