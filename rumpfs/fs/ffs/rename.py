"""Moving names (NetBSD: ufs_rename.c).

The order of the writes keeps a name for the file at any moment: the new one is there before the old one goes,
and meanwhile the inode counts one link more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from rumpfs.abi import errno
from rumpfs.abi.limits import LINK_MAX
from rumpfs.base.errors import VfsError
from rumpfs.vfs.cred import VWRITE, Cred
from rumpfs.vfs.genfs import APPEND, IMMUTABLE
from rumpfs.vfs.vnode import VDIR

if TYPE_CHECKING:
    from rumpfs.fs.ffs.directory import FfsDir
    from rumpfs.fs.ffs.inode import Inode


def rename(
    fdvp: FfsDir, fname: bytes, fvp: Inode, tdvp: FfsDir, tname: bytes, tvp: Inode | None, cred: Cred
) -> None:
    """Move `fvp`, called `fname` in `fdvp`, to `tname` in `tdvp`, where it replaces `tvp`.

    Errors:
        EPERM: an immutable or append-only file or directory is concerned; ENOENT: the target directory was
        removed; ENOTEMPTY; EACCES: a directory that may not be written, so that its ``..`` cannot change;
        EMLINK; EFBIG, ENOSPC, EIO.
    """
    _check(fdvp, fvp, tdvp, tvp, cred)
    fdvp.v_mount.begin()
    directory = fvp.v_type == VDIR
    moves = directory and tdvp is not fdvp
    fvp.link_count(1)
    try:
        if moves:
            tdvp.link_count(1)
        try:
            if tvp is None:
                tdvp.enter(tname, fvp, cred)
            else:
                tdvp.reenter(tname, fvp)
        except VfsError:
            if moves:
                tdvp.link_count(-1)
            raise
    except VfsError:
        fvp.link_count(-1)
        raise
    if moves:
        cast("FfsDir", fvp).reenter(b"..", tdvp)
        fvp.v_mount.moved(fvp, tdvp)
    fdvp.unenter(fname)
    if moves:
        fdvp.link_count(-1)
    fvp.link_count(-1)
    if tvp is not None:
        _replaced(tdvp, tvp)


def _replaced(dvp: FfsDir, vp: Inode) -> None:
    """The name of `vp` in `dvp` has become another file's."""
    if vp.v_type == VDIR:
        dvp.link_count(-1)
    vp.removed()


def _check(fdvp: FfsDir, fvp: Inode, tdvp: FfsDir, tvp: Inode | None, cred: Cred) -> None:
    """Check flags, permission and counts of a rename (genfs_rename.c)."""
    flags = fdvp.dinode.di_flags | fvp.dinode.di_flags
    if tvp is not None:
        flags |= tvp.dinode.di_flags | tdvp.dinode.di_flags
    if flags & (IMMUTABLE | APPEND) or tdvp.dinode.di_flags & IMMUTABLE:
        raise VfsError(errno.EPERM)
    if tdvp.dinode.di_nlink <= 0:
        raise VfsError(errno.ENOENT)
    if tvp is not None and not tvp.is_empty():
        raise VfsError(errno.ENOTEMPTY)
    if fvp.v_type == VDIR and tdvp is not fdvp:
        fvp.access(VWRITE, cred)
        if tdvp.dinode.di_nlink >= LINK_MAX:
            raise VfsError(errno.EMLINK)
    if fvp.dinode.di_nlink >= LINK_MAX:
        raise VfsError(errno.EMLINK)
