"""What a mounted file system has changed since its log was written last (NetBSD: ffs_wapbl.c, vfs_wapbl.c).

A transaction is everything between two commits. In it nothing of the metadata is in its place, and no block
that it has freed is used again: so a crash leaves the state of the last commit, whose files have the blocks
that they had, and content that was written for new blocks is on the disk before they have an owner.

After a commit everything is written to its place at once, and with the next barrier it is there: so the log
never has to be waited for.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from rumpfs.base.errors import VfsError

if TYPE_CHECKING:
    from rumpfs.fs.ffs.ufsmount import FfsMount
    from rumpfs.fs.ffs.wapbl.log import Log

logger = logging.getLogger("rumpfs.fs.ffs")

#: Bytes of a transaction at most, so that a commit does not take long.
_LIMIT: Final = 8 << 20

#: The largest piece that a revocation has (MAXBSIZE).
_MAXBSIZE: Final = 65536

#: What an entry of a list takes in the log, and what is added to a buffer to make it log blocks, at most.
_ENTRY: Final = 17


class Transaction:
    """The transactions of a mount, one after the other.

    Args:
        mp: the mount.
        log: its log.
        left: inodes that an earlier log has left to be freed, with their modes; they stay listed until they
            are taken out.
    """

    def __init__(self, mp: FfsMount, log: Log, left: dict[int, int]) -> None:
        fs = mp.um_fs
        self._mp = mp
        self._log = log
        self._left = left
        self._listed: dict[int, int] = dict(left)
        self._revoked: list[tuple[int, int]] = []
        self._group = fs.fs_cgsize
        self._always = fs.fs_cssize + fs.fs_sbsize + 4 * log.block
        self._limit = min(log.capacity // 2, _LIMIT)
        mp.um_bufs.logged = True

    def start(self) -> None:
        """Write the header of the log. Errors: EIO."""
        try:
            self._log.start()
        except VfsError as error:
            raise self._mp.write_failed(error) from error

    @property
    def full(self) -> bool:
        """True when it is time to commit: one operation more has to fit in the log."""
        mp = self._mp
        alloc = mp.um_alloc
        assert alloc is not None
        bufs, block = mp.um_bufs, self._log.block
        return (
            bufs.delayed + (bufs.waiting + len(mp.um_dirty)) * (block + _ENTRY)
            + alloc.changing * self._group + len(self._revoked) * _ENTRY + self._always
        ) > self._limit  # fmt: skip

    def revoke(self, address: int, nbytes: int) -> None:
        """What the log may hold of these bytes is none of the metadata any more."""
        for done in range(0, nbytes, _MAXBSIZE):
            self._revoked.append((address + done, min(_MAXBSIZE, nbytes - done)))

    def commit(self) -> None:
        """Let everything that was done so far be durable (wapbl_flush). Errors: EIO."""
        mp = self._mp
        try:
            self._commit()
        except VfsError as error:
            raise mp.write_failed(error) from error

    def checkpoint(self) -> None:
        """Empty the log, whose transactions are all in their places. Errors: EIO."""
        mp = self._mp
        try:
            self._log.truncate()
        except VfsError as error:
            raise mp.write_failed(error) from error

    def _commit(self) -> None:
        mp, log = self._mp, self._log
        alloc, bufs = mp.um_alloc, mp.um_bufs
        assert alloc is not None
        alloc.settle()
        mp.flush_inodes()
        alloc.flush()
        inodes = self._left | {ino: ip.i_mode for ino, ip in mp.um_orphans.items()}
        if not bufs.waiting and inodes == self._listed:
            mp.um_window.fsync()
            return
        mp.put_superblock()
        blocks = [self._logged(bp.address, bp.data, bp.start, bp.stop) for bp in bufs.pending()]
        nbytes = sum(len(data) for _, data in blocks)
        if log.length(nbytes, len(blocks), len(self._revoked), len(inodes)) > log.capacity:
            self._without_log(list(inodes.items()))
        else:
            log.append(blocks, self._revoked, list(inodes.items()))
            bufs.flush()
        self._listed = inodes
        self._revoked = []

    def _logged(self, address: int, data: bytearray, start: int, stop: int) -> tuple[int, memoryview]:
        """Return the log blocks in which a buffer has changed, with their address."""
        block = self._log.block
        start -= start % block
        return address + start, memoryview(data)[start : min(len(data), stop + -stop % block)]

    def _without_log(self, inodes: list[tuple[int, int]]) -> None:
        """Write what no log has room for: until it is in its place, the disk says that it has to be checked.

        NetBSD has no way out of this; only a log that is much too small for its file system brings it about.
        """
        mp = self._mp
        fs, bufs = mp.um_fs, mp.um_bufs
        logger.info("%s: a transaction is larger than the log", fs.where)
        bufs.logged = False
        clean, flags = fs.fs_clean, fs.fs_flags
        mp.say_unclean()
        bufs.flush()
        mp.um_window.fsync()
        bufs.logged = True
        fs.fs_clean, fs.fs_flags = clean, flags
        self._log.append([], [], inodes)
        mp.put_superblock()
        bufs.flush()
        mp.um_window.fsync()
