"""Which inode, or which structure, each frag of a file system belongs to: found for all of them in one pass.

::

    owners = Owners(raw)              # reads every inode and every indirect block once
    owners.at(frag)                   # who has this one: a list, for damaged file systems have several
    owners.of(ino)                    # what this inode has
    owners.kinds(cgx)                 # a byte for each frag of a group: what it is, for pictures

What is told of groups, inode tables and summaries comes from the superblock alone.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from enum import IntEnum
from typing import Final, NamedTuple

from rumpfs.base.errors import DiskError
from rumpfs.inspect.raw import Piece, Pieces, Raw
from rumpfs.ondisk.ufs.dinode import IFDIR, IFLNK, IFMT, IFREG, SF_LOG, SF_SNAPSHOT, Dinode
from rumpfs.ondisk.ufs.fs import SBLOCKSIZE
from rumpfs.ondisk.ufs.superblock import Superblock
from rumpfs.ondisk.ufs.wapbl import find_log

_SECTOR: Final = 512


class Kind(IntEnum):
    """What a frag is for."""

    FREE = 0
    #: its group has it in use, and nothing leads to it
    LOST = 1
    #: before the first superblock: boot code and labels
    BOOT = 2
    SUPERBLOCK = 3
    #: the block of a cylinder group: counters and maps
    GROUP = 4
    INODES = 5
    #: the counters of all groups
    SUMMARY = 6
    FILE = 7
    DIRECTORY = 8
    SYMLINK = 9
    INDIRECT = 10
    #: extended attributes
    ATTRIBUTES = 11
    LOG = 12
    SNAPSHOT = 13
    #: what belongs to an inode that should have no blocks
    OTHER = 14


_OF_TYPE: Final = {IFREG: Kind.FILE, IFDIR: Kind.DIRECTORY, IFLNK: Kind.SYMLINK}


class Owner(NamedTuple):
    """What some frags belong to.

    Attributes:
        kind: what they are for.
        frag, frags: address and length.
        ino: the inode; 0 for what belongs to none.
        lbn: number of the first block in the file; of an indirect block a negative one (`raw.level_of`).
        cgx: the group of a copy of the superblock, a group's block or inodes; else -1.
    """

    kind: Kind
    frag: int
    frags: int
    ino: int = 0
    lbn: int = 0
    cgx: int = -1

    @property
    def end(self) -> int:
        """The frag behind it."""
        return self.frag + self.frags


class Owners:
    """The owners of all frags. Picklable.

    The runs that belong to inodes are in ascending order, and none crosses from one group to the next.

    Args:
        raw: the file system.

    Attributes:
        inodes: how many inodes are in use.
    """

    def __init__(self, raw: Raw) -> None:
        fs = raw.fs
        self._fs = fs
        self._frags = raw.frags
        self._log = log_behind(raw)
        self._free = [_free_map(raw, cgx) for cgx in range(raw.groups)]
        self.inodes = 0
        rows = sorted(self._rows(raw))
        self._frag = array("q", [row[0] for row in rows])
        self._count = array("q", [row[1] for row in rows])
        self._ino = array("I", [row[2] for row in rows])
        self._lbn = array("q", [row[3] for row in rows])
        self._kind = bytes(row[4] for row in rows)

    def _rows(self, raw: Raw) -> Iterator[tuple[int, int, int, int, int]]:
        """Yield (frag, frags, inode, block, kind) of what the inodes have, as runs as long as can be."""
        pieces = Pieces(raw)
        unit, fpg = raw.fs.fs_frag, raw.fs.fs_fpg
        for ino, di in raw.inodes():
            self.inodes += 1
            if not di.di_blocks and not di.di_size:
                continue
            data = kind_of(di)
            first = count = lbn = kind = 0
            for piece in pieces.of(di):
                what = _kind_of_piece(piece, data)
                if (
                    count
                    and piece.frag == first + count
                    and what == kind
                    and (piece.lbn - lbn) * unit == count
                    and piece.frag % fpg
                ):
                    count += piece.frags
                    continue
                if count:
                    yield from _split(first, count, ino, lbn, kind, fpg, unit)
                lbn, first, count, _ = piece
                kind = what
            if count:
                yield from _split(first, count, ino, lbn, kind, fpg, unit)

    # --- questions --------------------------------------------------------------------------------

    def at(self, frag: int) -> list[Owner]:
        """Return what a frag belongs to: nothing when it is free or lost, several when that is damaged."""
        found = [owner for owner in self.structures(frag) if owner.frag <= frag < owner.end]
        base = frag - frag % self._fs.fs_fpg
        near = range(bisect_left(self._frag, base), bisect_right(self._frag, frag))
        return found + [self._owner(index) for index in near if self._frag[index] + self._count[index] > frag]

    def kind(self, frag: int) -> Kind:
        """Return what a frag is for."""
        found = self.at(frag)
        if found:
            return found[0].kind
        return Kind.FREE if self.is_free(frag) else Kind.LOST

    def is_free(self, frag: int) -> bool:
        """True when its group has a frag as free."""
        cgx, index = divmod(frag, self._fs.fs_fpg)
        bits = self._free[cgx] if 0 <= cgx < len(self._free) else b""
        return index >> 3 < len(bits) and bool(bits[index >> 3] >> (index & 7) & 1)

    def of(self, ino: int) -> list[Owner]:
        """Return what an inode has, in the order of the disk."""
        return [self._owner(index) for index, number in enumerate(self._ino) if number == ino]

    def runs(self) -> Iterator[Owner]:
        """Yield what belongs to inodes, in the order of the disk."""
        return map(self._owner, range(len(self._frag)))

    def kinds(self, cgx: int) -> bytearray:
        """Return a byte for each frag of a group: its `Kind`."""
        fs = self._fs
        base = fs.cgbase(cgx)
        count = max(0, min(fs.fs_fpg, self._frags - base))
        kinds = bytearray([Kind.LOST]) * count
        for index, byte in enumerate(self._free[cgx]):
            for bit in range(8):
                if byte >> bit & 1 and index * 8 + bit < count:
                    kinds[index * 8 + bit] = Kind.FREE
        for index in range(bisect_left(self._frag, base), bisect_left(self._frag, base + fs.fs_fpg)):
            start = self._frag[index] - base
            stop = min(start + self._count[index], count)
            kinds[start:stop] = bytes([self._kind[index]]) * (stop - start)
        for owner in self.structures(base):
            start = max(owner.frag - base, 0)
            stop = min(owner.end - base, count)
            if start < stop:
                kinds[start:stop] = bytes([owner.kind]) * (stop - start)
        return kinds

    def inode_numbers(self, cgx: int) -> array[int]:
        """Return a number for each frag of a group: the inode that it belongs to, or 0."""
        base = self._fs.cgbase(cgx)
        count = max(0, min(self._fs.fs_fpg, self._frags - base))
        numbers = array("I", bytes(4 * count))
        for index in range(bisect_left(self._frag, base), bisect_left(self._frag, base + self._fs.fs_fpg)):
            start = self._frag[index] - base
            stop = min(start + self._count[index], count)
            numbers[start:stop] = array("I", [self._ino[index]]) * (stop - start)
        return numbers

    def structures(self, frag: int) -> list[Owner]:
        """Return what of the group of a frag belongs to the file system itself, in the order of the disk."""
        found = structures_of(self._fs, frag // self._fs.fs_fpg)
        if self._log is not None and self._log.frag <= frag:
            found.append(self._log)
        return found

    def _owner(self, index: int) -> Owner:
        kind = Kind(self._kind[index])
        return Owner(kind, self._frag[index], self._count[index], self._ino[index], self._lbn[index])


def structures_of(fs: Superblock, cgx: int) -> list[Owner]:
    """Return what of a group belongs to the file system itself, in the order of the disk."""
    found: list[Owner] = []
    if 0 <= cgx < fs.fs_ncg:
        if not cgx:
            first = fs.fs_sblockloc >> fs.fs_fshift
            found.append(Owner(Kind.BOOT, 0, first))
            # What is left of its block is nobody's, and in use (newfs(8)'s mkfs.c rounds fs_sblkno up).
            frags = max(-(-SBLOCKSIZE // fs.fs_fsize), fs.cgsblock(0) - first)
            found.append(Owner(Kind.SUPERBLOCK, first, frags, cgx=-1))
        start, end = fs.cgsblock(cgx), fs.cgtod(cgx)
        if start > fs.fs_sblockloc >> fs.fs_fshift or cgx:
            found.append(Owner(Kind.SUPERBLOCK, start, end - start, cgx=cgx))
        found.append(Owner(Kind.GROUP, end, fs.cgimin(cgx) - end, cgx=cgx))
        found.append(Owner(Kind.INODES, fs.cgimin(cgx), fs.cgdmin(cgx) - fs.cgimin(cgx), cgx=cgx))
        if fs.dtog(fs.fs_csaddr) == cgx:
            found.append(Owner(Kind.SUMMARY, fs.fs_csaddr, -(-fs.fs_cssize // fs.fs_fsize)))
    return found


def kind_of(di: Dinode) -> Kind:
    """Return what the blocks of an inode are for."""
    if di.di_flags & SF_LOG:
        return Kind.LOG
    if di.di_flags & SF_SNAPSHOT:
        return Kind.SNAPSHOT
    return _OF_TYPE.get(di.di_mode & IFMT, Kind.OTHER)


def _kind_of_piece(piece: Piece, data: Kind) -> Kind:
    if piece.attributes:
        return Kind.ATTRIBUTES
    return Kind.INDIRECT if piece.lbn < 0 else data


def _split(
    frag: int, count: int, ino: int, lbn: int, kind: int, fpg: int, unit: int
) -> Iterator[tuple[int, int, int, int, int]]:
    """Yield a run in pieces of which none crosses from one group to the next."""
    while count:
        part = min(count, fpg - frag % fpg)
        yield frag, part, ino, lbn, kind
        frag += part
        count -= part
        lbn += part // unit


def _free_map(raw: Raw, cgx: int) -> bytes:
    cg = raw.group(cgx)
    return b"" if cg is None else cg.blksfree


def log_behind(raw: Raw) -> Owner | None:
    """Return the log that lies behind a file system, when there is one."""
    fs = raw.fs
    if not fs.has_wapbl:
        return None
    try:
        position = find_log(fs, raw.size)
    except DiskError:
        return None
    if position.start < fs.bytes_needed:
        return None
    return Owner(Kind.LOG, position.start >> fs.fs_fshift, -(-position.size >> fs.fs_fshift))
