"""The path of the working directory (NetBSD: vfs_getcwd.c)."""

from __future__ import annotations

from rumpfs.abi import errno
from rumpfs.abi.stat import DIRENT, DIRENT_NAME
from rumpfs.base.copy import Data
from rumpfs.base.errors import VfsError
from rumpfs.vfs.ancestors import parent
from rumpfs.vfs.namei import Caller
from rumpfs.vfs.vnode import VDIR, Vnode

_READ = 65536


def getcwd(p: Caller, limit: int) -> bytes:
    """Return the working directory's path as the process sees it. Errors: those of `path_of`."""
    return path_of(p, p.cwd, limit)


def vnode_to_path(p: Caller, vp: Vnode, name: tuple[Vnode, bytes] | None, limit: int) -> bytes:
    """Return the path of any vnode as the process sees it.

    Args:
        name: a directory, and what is or was the vnode's name in it. NetBSD has this from its name cache.
        limit: bytes that it may have, with a NUL behind it.

    Errors: ENOENT: it has no such name, or none any more; those of `path_of`.
    """
    if vp.v_type == VDIR:
        return path_of(p, vp, limit)
    if name is None:
        raise VfsError(errno.ENOENT)
    dvp, component = name
    if (dvp.v_keys or {}).get(component) is not vp and dvp.lookup(component) is not vp:
        raise VfsError(errno.ENOENT)
    path = path_of(p, dvp, limit).rstrip(b"/") + b"/" + component
    if len(path) >= limit:
        raise VfsError(errno.ERANGE)
    return path


def path_of(p: Caller, dvp: Vnode, limit: int) -> bytes:
    """Return a directory's path as the process sees it (getcwd_common).

    Args:
        limit: bytes that it may have, with a NUL behind it.

    Errors:
        ENOENT: it was removed, or lies outside the process's root.
        ERANGE: it is longer.
        EIO: a directory on the way is damaged.
    """
    path = b""
    vp = dvp
    while vp is not p.rdir:
        if vp is vp.v_mount.mnt_root:
            above = vp.v_mount.mnt_vnodecovered
        else:
            above = parent(vp)
            if above is not None:
                path = b"/" + _name_of(above, vp) + path
        if above is None:
            raise VfsError(errno.ENOENT)
        if len(path) >= limit:
            raise VfsError(errno.ERANGE)
        vp = above
    return path or b"/"


def _name_of(dvp: Vnode, vp: Vnode) -> bytes:
    """Return the name of `vp` in `dvp`. Errors: ENOENT."""
    fileid = vp.getattr().fileid
    offset = 0
    while True:
        data, following = dvp.readdir(offset, _READ)
        for number, name in _entries(data):
            if number == fileid and name not in (b".", b"..") and dvp.lookup(name) is vp:
                return name
        if following == offset:
            raise VfsError(errno.ENOENT)
        offset = following


def _entries(data: Data) -> list[tuple[int, bytes]]:
    whole = b"".join(data) if isinstance(data, list) else bytes(data)
    found = []
    position = 0
    while position < len(whole):
        fileid, reclen, namlen, _ = DIRENT.unpack_from(whole, position)
        found.append((fileid, whole[position + DIRENT_NAME : position + DIRENT_NAME + namlen]))
        position += reclen
    return found
