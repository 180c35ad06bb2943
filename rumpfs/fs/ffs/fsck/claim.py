"""Entering the blocks of an inode in the map of frags (pass 1), and taking them out again (pass 4).

Source: NetBSD sbin/fsck_ffs/pass1.c (`pass1check`), pass4.c (`pass4check`), inode.c (`iblock`).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Final

from rumpfs.fs.ffs.fsck.tables import BADDIR, BADFILE, DIR, FILE, FREE, bad_range
from rumpfs.fs.ffs.fsck.walk import Beyond, Run, has_blocks
from rumpfs.ondisk.ufs.dinode import SF_SNAPSHOT, Dinode
from rumpfs.ondisk.ufs.wapbl import DEV_BSIZE

if TYPE_CHECKING:
    from rumpfs.fs.ffs.fsck.checker import Check

#: Bad, and duplicate, blocks of an inode after which the rest of it is not looked at (MAXBAD, MAXDUP).
_MANY: Final = 10
#: Addresses in snapshots that are none (BLK_NOCOPY, BLK_SNAP).
_SNAPSHOT_MARKS: Final = (1, 2)


class _Enough(Exception):
    """Nothing more is to be learned from this inode."""


def check_blocks(ck: Check, ino: int, di: Dinode) -> None:
    """Claim the blocks of an inode, and compare their number with di_blocks."""
    claim = _Claim(ck, ino, di)
    try:
        for frag, count in _runs(ck, di, claim.beyond):
            claim.run(frag, count)
    except _Enough:
        ck.limits[ino] = claim.frags
    expected = claim.frags * ck.fs.fs_fsize // DEV_BSIZE
    if di.di_blocks != expected:
        where = {"inode": ino, "field": "di_blocks", "got": di.di_blocks, "expected": expected}
        if not ck.ask("incorrect-block-count", **where):
            return
        ck.put(ino, ck.dinode(ino)._replace(di_blocks=expected))
    charge(ck, ino, di, expected, 1)


def charge(ck: Check, ino: int, di: Dinode, blocks: int, files: int) -> None:
    """Count what an inode uses for the quotas of its owner and its group, when there are any."""
    if not ck.fs.has_quota2 or di.di_flags & SF_SNAPSHOT or ck.is_hidden(ino, di):
        return
    for table, ident in zip(ck.usage, (di.di_uid, di.di_gid), strict=True):
        used = table.setdefault(ident, [0, 0])
        used[0] += blocks
        used[1] += files


def release(ck: Check, ino: int, di: Dinode) -> None:
    """Take an inode and its blocks, as far as no other inode uses them, out of the tables, and zero it."""
    before = ck.blocks
    if ino not in ck.unclaimed:
        _release_blocks(ck, ino, di)
    charge(ck, ino, di, (ck.blocks - before) * ck.fs.fs_fsize // DEV_BSIZE, -1)
    ck.clear(ino)
    ck.inodes.state[ino] = FREE
    ck.files -= 1


def _release_blocks(ck: Check, ino: int, di: Dinode) -> None:
    for first, count in runs(ck, ino, di):
        for frag in range(first, first + count):
            if bad_range(ck.fs, frag, 1) or not ck.map.used(frag):
                continue
            if ck.dups[frag]:
                ck.dups[frag] -= 1
            else:
                ck.map.release(frag)
                ck.blocks -= 1


def runs(ck: Check, ino: int, di: Dinode) -> Iterator[tuple[int, int]]:
    """Yield (frag, count) of an inode, as far as pass 1 followed it."""
    left = ck.limits.get(ino)
    for frag, count in _runs(ck, di, None):
        if left is not None:
            count = min(count, left)
            left -= count
        if count:
            yield frag, count
        if left == 0:
            return


def _runs(ck: Check, di: Dinode, beyond: Beyond | None) -> Iterator[tuple[int, int]]:
    """Yield (frag, count) of everything that an inode points to."""
    snapshot = di.di_flags & SF_SNAPSHOT
    found: Iterator[Run] = ck.walk.attributes(di)
    if has_blocks(ck.fs, di):
        found = chain(ck.walk.runs(di.di_size, di.di_db, di.di_ib, beyond), found)
    for _, frag, count in found:
        if not (snapshot and frag in _SNAPSHOT_MARKS):
            yield frag, count


def bad_block(ck: Check, kind: str, ino: int, frag: int) -> None:
    """Note a block that an inode should not have, and that the inode is bad."""
    ck.report(kind, inode=ino, block=frag)
    state = ck.inodes.state
    state[ino] = {FILE: BADFILE, DIR: BADDIR}.get(state[ino], state[ino])


class _Claim:
    """The claims of one inode.

    Attributes:
        frags: what was looked at.
    """

    def __init__(self, ck: Check, ino: int, di: Dinode) -> None:
        self._ck = ck
        self._ino = ino
        self._bad = 0
        self._dup = 0
        self._salvage: bool | None = None
        self.frags = 0

    def run(self, frag: int, count: int) -> None:
        """Claim a run of blocks. Raises: _Enough."""
        ck = self._ck
        unit = ck.fs.fs_frag
        if count > unit:
            cg = frag // ck.fs.fs_fpg
            if ck.fs.cgdmin(cg) <= frag and frag + count <= min(ck.fs.cgbase(cg + 1), ck.fs.fs_size):
                if ck.map.claim(frag, count):
                    self.frags += count
                    ck.blocks += count
                    return
            for start in range(frag, frag + count, unit):
                self._block(start, unit)
        else:
            self._block(frag, count)

    def _block(self, frag: int, count: int) -> None:
        ck = self._ck
        out = bad_range(ck.fs, frag, count)
        if not out and ck.map.claim(frag, count):
            self.frags += count
            ck.blocks += count
            return
        if out:
            bad_block(ck, "bad-block", self._ino, frag)
            self._bad += 1
            if self._bad > _MANY:
                ck.report("excessive-bad-blocks", inode=self._ino)
                raise _Enough
        for each in range(frag, frag + count):
            if not (out and bad_range(ck.fs, each, 1)):
                self._frag(each)
            self.frags += 1

    def _frag(self, frag: int) -> None:
        """Claim a frag of a block that is not all free."""
        ck = self._ck
        if ck.map.claim(frag, 1):
            ck.blocks += 1
            return
        bad_block(ck, "duplicate-block", self._ino, frag)
        self._dup += 1
        if self._dup > _MANY:
            ck.report("excessive-duplicate-blocks", inode=self._ino)
            raise _Enough
        ck.dups[frag] += 1

    def beyond(self, frag: int, pointers: Sequence[int], first: int) -> None:
        """Zero the pointers of an indirect block from `first` on, if that is wanted."""
        ck = self._ck
        if self._salvage is None:
            self._salvage = ck.ask("partially-truncated-inode", inode=self._ino, block=frag)
        if self._salvage:
            width = 8 if ck.fs.ufs2 else 4
            kept = struct.pack(f"{ck.fs.order}{first}{'q' if width == 8 else 'i'}", *pointers[:first])
            ck.disk.write(kept.ljust(width * len(pointers), b"\0"), frag * ck.fs.fs_fsize)
