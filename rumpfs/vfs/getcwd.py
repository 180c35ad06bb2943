"""The path of the working directory (NetBSD: vfs_getcwd.c)."""

from __future__ import annotations

from rumpfs.abi import errno
from rumpfs.abi.limits import PATH_MAX
from rumpfs.abi.stat import DIRENT, DIRENT_NAME
from rumpfs.base.copy import Data
from rumpfs.base.errors import VfsError
from rumpfs.vfs.namei import Caller
from rumpfs.vfs.vnode import Vnode

_READ = 65536


def getcwd(p: Caller) -> bytes:
    """Return the working directory's path as the process sees it.

    Errors:
        ENOENT: it was removed, or lies outside the process's root.
        EIO: a directory on the way is damaged.
    """
    parts: list[bytes] = []
    vp = p.cwd
    length = 0
    while vp is not p.rdir:
        while vp is vp.v_mount.mnt_root:
            covered = vp.v_mount.mnt_vnodecovered
            if covered is None:
                raise VfsError(errno.ENOENT)
            vp = covered
            if vp is p.rdir:
                break
        else:
            parent = vp.lookup(b"..")
            if parent is None or length > PATH_MAX:
                raise VfsError(errno.ENOENT)
            parts.append(_name_of(parent, vp))
            length += len(parts[-1]) + 1
            vp = parent
    return b"/" + b"/".join(reversed(parts))


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
