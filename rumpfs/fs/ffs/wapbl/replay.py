"""Replaying a log, to the disk for a mount that writes, else in memory (NetBSD: ffs_wapbl.c, vfs_wapbl.c).

In memory the device is seen through an overlay of what the log holds; the image stays as it is, and a later
mount may replay it again. A log that holds nothing leaves the device as it is.

A damaged log fails the mount, as in NetBSD: what is then on the disk is a mixture of states, in which files
may have other files' blocks. With MNT_FORCE the log is left alone, and the mixture is mounted.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from rumpfs.abi import errno
from rumpfs.base.errors import DiskError, VfsError
from rumpfs.dev.overlay import Overlay
from rumpfs.ondisk.ufs.dinode import IFDIR, IFMT, IFREG
from rumpfs.ondisk.ufs.superblock import Csum
from rumpfs.ondisk.ufs.wapbl import DEV_BSIZE, LogPosition, Wapbl, find_log

if TYPE_CHECKING:
    from rumpfs.dev.window import Window
    from rumpfs.fs.ffs.ufsmount import FfsMount
    from rumpfs.ondisk.layout import Order
    from rumpfs.ondisk.ufs.superblock import Superblock

log = logging.getLogger("rumpfs.fs.ffs")

#: Bytes that are copied to their place at a time.
_PIECE: Final = 1 << 20


class Replayed:
    """A log of a file system that was not unmounted (ffs_wapbl_replay_start).

    Args:
        window: the device.
        fs: the superblock, which is to be read again afterwards.

    Attributes:
        position, order: where the log lies, and the byte order of its records.
        generation: of its header.
        listed: where in it the list of inodes is.
        inodes: number -> mode, of the inodes that were allocated without a name.
        extents: what is to be copied to where.

    Raises:
        DiskError: the log is damaged.
    """

    def __init__(self, window: Window, fs: Superblock) -> None:
        self.position: LogPosition = find_log(fs, window.size)
        wapbl = Wapbl(window.pread, window.size, self.position, fs.where)
        replay = wapbl.replay()
        self.order: Order = wapbl.order
        self.generation: int = wapbl.header.wc_generation
        self.inodes = replay.inodes
        self.listed = replay.listed if replay.inodes else (0, 0)
        self.extents = replay.extents
        self.cstotal = fs.fs_cstotal

    def in_memory(self, window: Window) -> Window:
        """Return the device as the log has it."""
        return Overlay(window, self.extents) if self.extents else window

    def to_disk(self, window: Window) -> None:
        """Put what the log holds in its place (wapbl_replay_write). Errors: the host's."""
        for extent in self.extents:
            for done in range(0, extent.length, _PIECE):
                data = window.pread(min(_PIECE, extent.length - done), extent.source + done)
                window.pwrite(data, extent.start + done)
        window.fsync()


def replay_start(window: Window, fs: Superblock, force: bool, readonly: bool) -> Replayed | None:
    """Return what is to be replayed.

    Args:
        window: the device.
        fs: the superblock.
        force: do without a log that is damaged; None is returned then.
        readonly: it will be replayed in memory.

    Errors: EFTYPE: the log is damaged; what the host says.
    """
    try:
        replayed = Replayed(window, fs)
    except DiskError as error:
        if not force:
            log.warning("%s", error.advise("mount with -o force to do without the log, or run fsck_ffs"))
            raise VfsError(errno.EFTYPE, str(error)) from error
        why = "the log is not replayed, so recent changes may be missing; run fsck_ffs"
        log.warning("%s", error.advise(f"the file system was not unmounted cleanly and {why}"))
        return None
    how = "is replayed in memory, and the image stays as it is" if readonly else "is replayed to the disk"
    log.warning("%s: the file system was not unmounted cleanly; its log %s", fs.where, how)
    return replayed


def count_as_free(mp: FfsMount, inodes: dict[int, int]) -> None:
    """Count the inodes that a log lists and that still have no name as free, on a mount that is only read.

    Nothing refers to them; what is to be done without writing is to count what they had as free. Blocks of
    metadata are given back with the transaction that frees them, so NetBSD does not count those at once.

    Args:
        mp: the mount.
        inodes: their numbers and modes.
    """
    for ino, mode in inodes.items():
        try:
            _count(mp, ino, mode)
        except (DiskError, VfsError) as error:
            mp.damaged(error)


def _count(mp: FfsMount, ino: int, mode: int) -> None:
    """Count an inode as free, whose mode the log gives in case that it was not written to it yet."""
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


def replay_finish(mp: FfsMount, inodes: dict[int, int]) -> None:
    """Free the inodes that a log lists and that still have no name (ffs_wapbl_replay_finish).

    Args:
        mp: the mount, which can be written.
        inodes: their numbers and modes; those that are done are taken out.

    Errors: EIO: the host cannot write.
    """
    while inodes:
        mp.begin()
        ino, mode = inodes.popitem()
        try:
            dinode = mp.allocated(ino)
            if dinode is not None and not dinode.di_mode:
                assert mp.um_alloc is not None
                mp.um_alloc.free_inode(ino, mode)
            elif dinode is not None and dinode.di_nlink <= 0:
                vp = mp.vget(ino)
                mp.um_orphans[ino] = vp
                vp.inactive()
        except (DiskError, VfsError) as error:
            if mp.um_failed:
                raise
            mp.damaged(error)
