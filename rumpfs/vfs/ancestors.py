"""The directories above a directory (NetBSD: vfs_getcwd.c: vn_isunder)."""

from __future__ import annotations

from collections.abc import Iterator

from rumpfs.abi.limits import PATH_MAX
from rumpfs.vfs.vnode import Vnode

#: directories above another that are looked at: the longest path of a working directory has fewer. A damaged
#: file system may have a circle.
MAXDEPTH = 4 * PATH_MAX // 2


def parent(dvp: Vnode) -> Vnode | None:
    """Return what ``..`` is in a directory below its mount's root; None when that directory was removed."""
    return dvp.lookup(b"..")


def ancestors(dvp: Vnode) -> Iterator[Vnode]:
    """Yield a directory and those above it, across mounts up to the root of all; mounted-on vnodes, too."""
    for _ in range(MAXDEPTH):
        yield dvp
        above = dvp.v_mount.mnt_vnodecovered if dvp is dvp.v_mount.mnt_root else parent(dvp)
        if above is None:
            return
        dvp = above


def below(dvp: Vnode, ancestor: Vnode) -> bool:
    """Whether a directory is `ancestor` or lies below it."""
    return any(vp is ancestor for vp in ancestors(dvp))
