"""From the blocks of a plan to those of a file system, where groups leave gaps between them."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from rumpfs.fs.ffs.newfs_group import first_block

if TYPE_CHECKING:
    from rumpfs.ondisk.ufs.superblock import Superblock


class BlockMap:
    """The blocks for files of a file system, counted from 0.

    Args:
        fs: the superblock.
    """

    def __init__(self, fs: Superblock) -> None:
        self._frag = frag = fs.fs_frag
        self._starts: list[int] = []
        self._blocks: list[int] = []
        self._ends: list[int] = []
        count = 0
        for cgx in range(fs.fs_ncg):
            base = fs.cgbase(cgx) // frag
            end = base + fs.cgfrags(cgx) // frag
            data = base + fs.fs_dblkno // frag
            pieces = (
                [(first_block(fs), end)] if cgx == 0 else [(base, base + fs.fs_sblkno // frag), (data, end)]
            )
            for first, stop in pieces:
                if first < stop:
                    self._starts.append(count)
                    self._blocks.append(first)
                    count += stop - first
                    self._ends.append(count)

    def runs(self, block: int, count: int) -> Iterator[tuple[int, int]]:
        """Yield (block of the file system, number) of blocks of a plan that follow each other."""
        index = bisect_right(self._starts, block) - 1
        while count:
            length = min(count, self._ends[index] - block)
            yield self._blocks[index] + block - self._starts[index], length
            block += length
            count -= length
            index += 1

    def frag(self, address: int) -> int:
        """Return the frag of the file system that an address of a plan means."""
        block, rest = divmod(address, self._frag)
        index = bisect_right(self._starts, block) - 1
        return (self._blocks[index] + block - self._starts[index]) * self._frag + rest

    def addresses(self, block: int, count: int) -> list[int]:
        """Return the frag of each of several blocks that follow each other."""
        frag = self._frag
        return [
            address
            for first, length in self.runs(block, count)
            for address in range(first * frag, (first + length) * frag, frag)
        ]

    def used(self, nblocks: int, partial: Iterable[tuple[int, int]], fpg: int, ncg: int) -> list[int]:
        """Return the map of used frags of each group.

        Args:
            nblocks: blocks of the plan.
            partial: (address, frags) that are free in them.
            fpg, ncg: frags of a group, and groups.
        """
        maps = [0] * ncg
        frag = self._frag
        for first, count in self.runs(0, nblocks):
            cgx, bit = divmod(first * frag, fpg)
            maps[cgx] |= (1 << count * frag) - 1 << bit
        for address, count in partial:
            cgx, bit = divmod(self.frag(address), fpg)
            maps[cgx] &= ~((1 << count) - 1 << bit)
        return maps
