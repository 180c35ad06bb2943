"""Snapshots: files that hold the file system as it was (NetBSD and FreeBSD: ffs_snapshot.c, ufs_bmap.c).

A snapshot has a block for each block of the file system. Those that were changed since have been copied to
it; the address of any other says where its content is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rumpfs.abi import errno
from rumpfs.base.copy import Data
from rumpfs.base.errors import VfsError
from rumpfs.fs.ffs.inode import Inode
from rumpfs.fs.ffs.readwrite import HOLE, DataInode
from rumpfs.ondisk.ufs.dinode import SF_SNAPINVAL, Dinode
from rumpfs.vfs.cred import Cred

if TYPE_CHECKING:
    from rumpfs.fs.ffs.ufsmount import FfsMount

#: Addresses in a snapshot's block map (ufs/ffs/fs.h). An address of 0 is the block of the live file system.
BLK_NOCOPY = 1  # it was not allocated: zeros
BLK_SNAP = 2  # another snapshot held it: zeros


class FfsSnapshot(DataInode):
    """A snapshot of the file system.

    What can be read ends where the file system ended; st_size, as in NetBSD, says more: behind the last block
    the file has the numbers of the blocks that were copied at once. A snapshot that was not finished is
    nobody's.
    """

    __slots__ = ()

    def __init__(self, mp: FfsMount, vtype: int, ino: int, dinode: Dinode) -> None:
        DataInode.__init__(self, mp, vtype, ino, dinode)
        self.i_size = min(self.i_size, mp.um_fs.bytes_needed)

    def access(self, want: int, cred: Cred) -> None:
        Inode.access(self, want, cred)
        self._check()

    def open(self, flags: int, cred: Cred) -> None:
        self._check()

    def read(self, offset: int, length: int) -> Data:
        return self.content(offset, length)

    def extent(self, offset: int, end: int) -> tuple[int, int]:
        mp = self.v_mount
        fs = mp.um_fs
        lbn = offset >> fs.fs_bshift
        frag, count = mp.um_bmap.bmap(self, lbn, (end - 1 >> fs.fs_bshift) - lbn + 1)
        stop = min(lbn + count << fs.fs_bshift, self.i_size)
        if not frag:
            frag = lbn << fs.fs_fragshift
        elif 0 < frag < max(fs.fs_frag, BLK_SNAP + 1):
            return min(lbn + 1 << fs.fs_bshift, self.i_size), HOLE
        start = lbn << fs.fs_bshift
        if frag < 0 or frag + (stop - start + fs.fs_fsize - 1 >> fs.fs_fshift) > mp.um_frags:
            stop = self._clip(lbn, frag)
        return stop, (frag << fs.fs_fshift) + offset - start

    def _check(self) -> None:
        if self.dinode.di_flags & SF_SNAPINVAL:
            raise VfsError(errno.EPERM, f"snapshot inode {self.i_number} was not finished")
