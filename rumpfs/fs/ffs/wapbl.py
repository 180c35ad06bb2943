"""Replaying a log in memory, for a mount that may not write (NetBSD: ffs_wapbl.c, vfs_wapbl.c).

The device is seen through an overlay of what the log holds; the image stays as it is, and a later mount may
replay it again. A log that holds nothing leaves the device as it is.

A damaged log fails the mount, as in NetBSD: what is then on the disk is a mixture of states, in which files
may have other files' blocks. With MNT_FORCE the log is left alone, and the mixture is mounted.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from rumpfs.abi import errno
from rumpfs.base.errors import DiskError, VfsError
from rumpfs.dev.overlay import Overlay
from rumpfs.ondisk.ufs.dinode import IFDIR, IFMT, IFREG
from rumpfs.ondisk.ufs.superblock import Csum
from rumpfs.ondisk.ufs.wapbl import DEV_BSIZE, Wapbl, find_log

if TYPE_CHECKING:
    from rumpfs.dev.window import Window
    from rumpfs.fs.ffs.ufsmount import FfsMount
    from rumpfs.ondisk.ufs.superblock import Superblock

log = logging.getLogger("rumpfs.fs.ffs")


def replay_start(window: Window, fs: Superblock, force: bool) -> tuple[Window, dict[int, int]]:
    """Replay the log of a file system that was not unmounted (ffs_wapbl_replay_start).

    Args:
        window: the device.
        fs: the superblock, which is to be read again afterwards.
        force: do without a log that is damaged.

    Returns:
        The device as the log has it, and the inodes that were allocated without a name, with their modes.

    Errors: EFTYPE: the log is damaged; what the host says.
    """
    try:
        wapbl = Wapbl(window.pread, window.size, find_log(fs, window.size), fs.where)
        replay = wapbl.replay()
    except DiskError as error:
        if not force:
            log.warning("%s", error.advise("mount with -o force to do without the log, or run fsck_ffs"))
            raise VfsError(errno.EFTYPE, str(error)) from error
        why = "the log is not replayed, so recent changes may be missing; run fsck_ffs"
        log.warning("%s", error.advise(f"the file system was not unmounted cleanly and {why}"))
        return window, {}
    why = "its log is replayed in memory, and the image stays as it is"
    log.warning("%s: the file system was not unmounted cleanly; %s", fs.where, why)
    return (Overlay(window, replay.extents) if replay.extents else window), replay.inodes


def replay_finish(mp: FfsMount, inodes: dict[int, int]) -> None:
    """Free the inodes that a log lists and that still have no name (ffs_wapbl_replay_finish).

    Nothing refers to them; what is to be done without writing is to count what they had as free. Blocks of
    metadata are given back with the transaction that frees them, so NetBSD does not count those at once.

    Args:
        mp: the mount.
        inodes: their numbers and modes.
    """
    for ino, mode in inodes.items():
        try:
            _free(mp, ino, mode)
        except (DiskError, VfsError) as error:
            mp.damaged(error)


def _free(mp: FfsMount, ino: int, mode: int) -> None:
    """Free an inode, whose mode the log gives in case that it was not written to it yet."""
    fs = mp.um_fs
    dinode = mp.allocated(ino)
    if dinode is None or (dinode.di_mode and dinode.di_nlink > 0):
        return
    mode = dinode.di_mode or mode
    frags = 0
    if dinode.di_mode & IFMT == IFREG:
        frags = dinode.di_blocks * DEV_BSIZE // fs.fs_fsize
        frags -= mp.um_bmap.indirect_blocks(mp.vget(ino)) * fs.fs_frag
    ndir, nbfree, nifree, nffree = fs.fs_cstotal
    fs.fs_cstotal = Csum(ndir - (mode & IFMT == IFDIR), nbfree, nifree + 1, nffree + frags)
    mp.um_freed.add(ino)
