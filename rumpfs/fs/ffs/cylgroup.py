"""A cylinder group while things are allocated from it (NetBSD: ffs_alloc.c, ffs_subr.c, ffs_tables.c).

The map of free frags is held with a byte for each block, which makes every search one of bytes: a block that
is wholly free has the value `full`. Counters that follow from the maps (runs of free frags, clusters) are
counted when the group is written.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from rumpfs.base.errors import Corrupt
from rumpfs.ondisk.ufs.cg import MAXFRAG, Cg, encode_cg
from rumpfs.ondisk.ufs.rotational import rotational_tables

if TYPE_CHECKING:
    from rumpfs.ondisk.ufs.superblock import Superblock

#: A byte of a map in which not all bits are set.
_NOT_ALL: Final = re.compile(rb"[^\xff]")


def _mask_runs(mask: int) -> list[tuple[int, int]]:
    """Return (first bit, length) of the maximal runs of ones in a block's map of frags."""
    runs = []
    bit = 0
    while mask >> bit:
        length = 0
        while mask >> bit + length & 1:
            length += 1
        if length:
            runs.append((bit, length))
        bit += length or 1
    return runs


#: Map of a block's free frags -> its maximal runs.
RUNS: Final = tuple(_mask_runs(mask) for mask in range(1 << MAXFRAG))


@functools.cache
def _blocks_with(frag: int, length: int) -> re.Pattern[bytes]:
    """Return what finds a block, not a wholly free one, that has a run of exactly `length` free frags."""
    masks = (mask for mask in range((1 << frag) - 1) if any(run == length for _, run in RUNS[mask]))
    return re.compile(b"[" + re.escape(bytes(masks)) + b"]")


@functools.cache
def _full_blocks(frag: int) -> re.Pattern[bytes]:
    """Return what finds wholly free blocks that follow each other."""
    return re.compile(re.escape(bytes(((1 << frag) - 1,))) + b"+")


@functools.cache
def _unpacked(frag: int) -> tuple[bytes, ...]:
    """Return what the blocks in a byte of the map are, one byte each."""
    full = (1 << frag) - 1
    return tuple(bytes(value >> shift & full for shift in range(0, 8, frag)) for value in range(256))


#: The digits of numbers in which a digit is a block of 1, 2 or 4 frags, by the block's map.
_DIGITS: Final = b"0123456789abcdef" + bytes(240)


def _pack(blocks: bytes, frag: int, nbytes: int) -> bytes:
    """Return the map of frags, `nbytes` long, of blocks with one byte each."""
    if frag == MAXFRAG:
        return bytes(blocks).ljust(nbytes, b"\0")
    return int(blocks[::-1].translate(_DIGITS) or b"0", 1 << frag).to_bytes(nbytes, "little")


class CylGroup:
    """One group. Addresses are indices in its maps: of blocks, frags or inodes from the group's first on.

    Args:
        fs: the superblock.
        cg: the group as it is on the disk.
        data: its bytes.
        where: names it in messages.

    Attributes:
        cgx: its number.
        ndblk: its frags.
        blocks: a byte for each block, the map of its free frags.
        inosused: the map of inodes, 1 = used.
        initediblk: inodes of its table that are initialised.
        nbytes: accounted bytes.
    """

    __slots__ = (
        "_data", "_frag", "_frotor", "_fs", "_full", "_irotor", "_record", "_rotor", "_where", "blocks",
        "cgx", "initediblk", "inosused", "nbytes", "ndblk",
    )  # fmt: skip

    def __init__(self, fs: Superblock, cg: Cg, data: bytes, where: str) -> None:
        self._fs = fs
        self._frag = fs.fs_frag
        self._full = (1 << fs.fs_frag) - 1
        self._data = data
        self._record = cg.record
        self._where = where
        self.cgx = cg.cgx
        self.ndblk = cg.ndblk
        unpacked = _unpacked(fs.fs_frag)
        nblocks = cg.ndblk + fs.fs_frag - 1 >> fs.fs_fragshift
        self.blocks = bytearray(b"".join(unpacked[value] for value in cg.blksfree)[:nblocks])
        if cg.ndblk % fs.fs_frag:
            self.blocks[-1] &= (1 << cg.ndblk % fs.fs_frag) - 1
        self.inosused = bytearray(cg.inosused)
        self.initediblk = cg.initediblk
        self._rotor = cg.record.cg_rotor >> fs.fs_fragshift
        self._frotor = cg.record.cg_frotor >> fs.fs_fragshift
        self._irotor = cg.record.cg_irotor
        self.nbytes = 2 * len(data) + len(self.blocks) + len(self.inosused)

    def encode(self, counters: tuple[int, int, int, int], seconds: int) -> bytes:
        """Return the bytes of the group.

        Args:
            counters: its cg_cs.
            seconds: the time of the change.
        """
        fs, frag = self._fs, self._frag
        blocks = bytes(self.blocks)
        frsum = [0] * MAXFRAG
        for mask in set(blocks) - {0, self._full}:
            for _, length in RUNS[mask]:
                frsum[length] += blocks.count(mask)
        sums, clusters = self._clusters(blocks)
        times = {"cg_old_time": seconds & 0x7FFFFFFF}
        if fs.ufs2 or not fs.old_layout:
            times["cg_time"] = seconds
        record = self._record._replace(
            cg_cs=counters, cg_rotor=self._rotor << fs.fs_fragshift,
            cg_frotor=self._frotor << fs.fs_fragshift, cg_irotor=self._irotor, cg_frsum=tuple(frsum), **times,
        )  # fmt: skip
        if fs.ufs2:
            record = record._replace(cg_initediblk=self.initediblk)
        free = _pack(blocks, frag, fs.fs_fpg + 7 >> 3)
        data = rotational_tables(fs, self._data, record, self._free_blocks(blocks))
        return encode_cg(fs, data, record, bytes(self.inosused), free, sums, clusters)

    def _clusters(self, blocks: bytes) -> tuple[list[int], bytes]:
        """Return the counters of runs of free blocks, and the map of free blocks; both may be empty."""
        longest = self._fs.fs_contigsumsize
        if longest <= 0:
            return [], b""
        count = self._record.cg_nclusterblks
        sums = [0] * (longest + 1)
        for run in _full_blocks(self._frag).finditer(blocks, 0, count):
            sums[min(run.end() - run.start(), longest)] += 1
        ones = blocks[:count].translate(bytes(value == self._full for value in range(256)))
        return sums, _pack(ones, 1, count + 7 >> 3)

    def _free_blocks(self, blocks: bytes) -> Iterator[int]:
        """Yield the frag indices of wholly free blocks."""
        for run in _full_blocks(self._frag).finditer(blocks):
            for index in range(run.start(), run.end()):
                yield index << self._fs.fs_fragshift

    # --- blocks and frags -----------------------------------------------------------------------

    def alloc_blocks(self, pref: int, want: int) -> tuple[int, int]:
        """Take free blocks that follow each other (ffs_alloccgblk).

        Args:
            pref: the frag where they should start; negative for wherever it suits.
            want: how many are wanted.

        Returns:
            (frag, blocks): at least one block; (-1, 0) when none is free.
        """
        blocks = self.blocks
        full = bytes((self._full,))
        block = pref >> self._fs.fs_fragshift
        if pref < 0 or blocks[block : block + 1] != full:
            start = self._rotor if pref < 0 else block
            block = -1
            while block < 0 and want > 1:
                block = blocks.find(full * want, start)
                if block < 0:
                    block = blocks.find(full * want)
                if block < 0:
                    want >>= 2
            if block < 0:
                want = 1
                block = blocks.find(full, start)
                if block < 0:
                    block = blocks.find(full)
                if block < 0:
                    return -1, 0
        stop = block + want
        if want > 1:
            found = _full_blocks(self._frag).match(blocks, block, stop)
            assert found is not None
            stop = found.end()
        blocks[block:stop] = bytes(stop - block)
        self._rotor = stop - 1
        return block << self._fs.fs_fragshift, stop - block

    def longest_run(self, most: int) -> tuple[int, int]:
        """Return (block, blocks) of the first run of `most` free blocks, or of the longest run."""
        best = (0, 0)
        for run in _full_blocks(self._frag).finditer(self.blocks):
            count = min(run.end() - run.start(), most)
            if count > best[1]:
                best = (run.start(), count)
            if count == most:
                break
        return best

    def alloc_frags(self, pref: int, count: int) -> int:
        """Take free frags of a block that is partly used, from the shortest run that will do (ffs_alloccg).

        Args:
            pref: the frag near which they should be; negative for wherever it suits.
            count: how many, less than a block has.

        Returns:
            Their frag index; -1 when there are none.
        """
        start = self._frotor if pref < 0 else pref >> self._fs.fs_fragshift
        for length in range(count, self._frag):
            search = _blocks_with(self._frag, length).search
            found = search(self.blocks, start) or search(self.blocks)
            if found is not None:
                block = self._frotor = found.start()
                bit = next(bit for bit, run in RUNS[self.blocks[block]] if run == length)
                self.blocks[block] &= ~((1 << count) - 1 << bit)
                return (block << self._fs.fs_fragshift) + bit
        return -1

    def extend(self, index: int, old: int, new: int) -> bool:
        """Take the frags behind `old` frags at `index`, so that there are `new` (ffs_fragextend)."""
        block, bit = divmod(index, self._frag)
        extra = (1 << new) - (1 << old) << bit
        if bit + new > self._frag or self.blocks[block] & extra != extra:
            return False
        self.blocks[block] &= ~extra
        return True

    def free_blocks(self, index: int, count: int) -> None:
        """Give whole blocks back. Raises: Corrupt: not all of them are in use."""
        block = index >> self._fs.fs_fragshift
        if any(self.blocks[block : block + count]):
            raise Corrupt(self._where, "cg_blksfree", index, f"{count} blocks from it on are not all in use")
        self.blocks[block : block + count] = bytes((self._full,)) * count

    def free_frags(self, index: int, count: int) -> bool:
        """Give frags of one block back; return whether it is wholly free now. Raises: Corrupt."""
        block, bit = divmod(index, self._frag)
        mask = (1 << count) - 1 << bit
        if self.blocks[block] & mask:
            raise Corrupt(self._where, "cg_blksfree", index, f"{count} frags from it on are not all in use")
        self.blocks[block] |= mask
        return self.blocks[block] == self._full

    # --- inodes ---------------------------------------------------------------------------------

    def alloc_inode(self, pref: int) -> int:
        """Take a free inode and return its index; -1 when there is none (ffs_nodealloccg).

        Args:
            pref: the one that is wanted; negative for any.
        """
        used = self.inosused
        index = pref
        if pref < 0 or used[pref >> 3] >> (pref & 7) & 1:
            found = _NOT_ALL.search(used, self._irotor >> 3) or _NOT_ALL.search(used)
            if found is None:
                return -1
            free = ~used[found.start()]
            index = (found.start() << 3) + (free & -free).bit_length() - 1
            self._irotor = index
        used[index >> 3] |= 1 << (index & 7)
        return index

    def free_inode(self, index: int) -> None:
        """Give an inode back. Raises: Corrupt: it is not in use."""
        if not self.inosused[index >> 3] >> (index & 7) & 1:
            raise Corrupt(self._where, "cg_inosused", index, "the inode is free already")
        self.inosused[index >> 3] &= ~(1 << (index & 7))
        self._irotor = min(self._irotor, index)
