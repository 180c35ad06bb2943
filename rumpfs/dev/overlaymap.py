"""The maps of an overlay file: which blocks are in it (`rumpfs.ondisk.overlay` has the format).

Leaves are read when they are needed, and bounded in number: an image of any size takes a few megabytes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Final

from rumpfs.base.errors import Corrupt
from rumpfs.ondisk.overlay import (
    BLOCK_SHIFT,
    EMPTY_LEAF,
    LEAF_BLOCKS,
    LEAF_SIZE,
    MAPS,
    Header,
    decode_leaf,
    encode_leaf,
)

#: Leaves in memory, of about 600 bytes each, for 16 MiB of the image each.
_LEAVES_MAX: Final = 8192
#: Bytes of a map that are read at a time.
_PIECE: Final = 1 << 16

#: ``put(data, offset)`` writes all of the bytes to the file.
Put = Callable[[bytes, int], None]


class BlockMap:
    """The maps of an open overlay file.

    Args:
        fd: the file.
        where: names it in messages.
        header: its header.
        running: the running map counts, as far as it is sound; else the saved one.

    Attributes:
        dirty: leaves of which the saved map lacks something.
    """

    __slots__ = ("_fd", "_header", "_leaves", "_places", "_where", "dirty")

    def __init__(self, fd: int, where: str, header: Header, running: bool) -> None:
        self._fd = fd
        self._where = where
        self._header = header
        self._leaves: dict[int, int] = {}
        self._places = [MAPS, MAPS + header.map_size]
        self.dirty: set[int] = set()
        if not (running and all(self._at(MAPS, index) is not None for index in self._used())):
            self._places.reverse()

    # --- looking ----------------------------------------------------------------------------------

    def run(self, offset: int, nbytes: int) -> tuple[bool, int]:
        """Return whether the byte at `offset` is in the overlay, and for how many bytes that is so.

        Args:
            nbytes: at least 1; no more are looked at, nor any that another leaf has.

        Raises:
            Corrupt: the map is damaged there.
        """
        first = offset >> BLOCK_SHIFT
        index, bit = divmod(first, LEAF_BLOCKS)
        bits = self._leaves.get(index)
        if bits is None:
            bits = self._load(index)
        end = offset + nbytes
        last = min(((end - 1) >> BLOCK_SHIFT) - first, LEAF_BLOCKS - 1 - bit)
        mask = (2 << last) - 1
        bits = bits >> bit & mask
        mapped = bool(bits & 1)
        if mapped:
            bits ^= mask
        # Now the bits that are not like the first one.
        length = (bits & -bits).bit_length() - 1 if bits else last + 1
        return mapped, min(end, first + length << BLOCK_SHIFT) - offset

    def has(self, block: int) -> bool:
        """Return whether a block is in the overlay. Errors: as `run`."""
        return self.run(block << BLOCK_SHIFT, 1)[0]

    def runs(self) -> Iterator[tuple[int, int]]:
        """Yield (offset, bytes) of what is in the overlay, ascending and as long as can be.

        Raises:
            Corrupt: the map is damaged.
        """
        size = self._header.size
        start = stop = 0
        for first, count in self._block_runs():
            if first != stop:
                if stop:
                    yield start << BLOCK_SHIFT, (stop - start) << BLOCK_SHIFT
                start = first
            stop = first + count
        if stop:
            yield start << BLOCK_SHIFT, min(stop << BLOCK_SHIFT, size) - (start << BLOCK_SHIFT)

    def count(self) -> int:
        """Return the number of blocks in the overlay. Errors: as `runs`."""
        return sum(self._load(index).bit_count() for index in self._used())

    def _block_runs(self) -> Iterator[tuple[int, int]]:
        """Yield (first block, number of blocks) of the runs in each leaf."""
        for index in self._used():
            bits = self._load(index)
            block = index * LEAF_BLOCKS
            while bits:
                gap = (bits & -bits).bit_length() - 1
                bits >>= gap
                count = (~bits & bits + 1).bit_length() - 1
                bits >>= count
                yield block + gap, count
                block += gap + count

    # --- changing ---------------------------------------------------------------------------------

    def add(self, first: int, last: int, put: Put) -> None:
        """Note that blocks are in the overlay; `first` and `last` are of the same leaf.

        Raises:
            VfsError: the host cannot write the running map; then they are not in the overlay.
        """
        index, bit = divmod(first, LEAF_BLOCKS)
        bits = self._leaves.get(index)
        if bits is None:
            bits = self._load(index)
        bits |= (2 << last - first) - 1 << bit
        put(encode_leaf(bits, self._header.ident, index), MAPS + index * LEAF_SIZE)
        self._leaves[index] = bits
        self.dirty.add(index)

    def recover(self, put: Put) -> None:
        """Make the running map the one that counts, before a block is written. Errors: Corrupt; OSError."""
        for index in self._used():
            bits = self._load(index)
            if self._at(MAPS, index) != bits:
                put(encode_leaf(bits, self._header.ident, index), MAPS + index * LEAF_SIZE)
            if self._at(MAPS + self._header.map_size, index) != bits:
                self.dirty.add(index)
        self._places = [MAPS, MAPS + self._header.map_size]

    def save(self, put: Put) -> None:
        """Bring the saved map up to date; every block is on the host's disk. Errors: what the host says."""
        for index in sorted(self.dirty):
            data = encode_leaf(self._load(index), self._header.ident, index)
            put(data, MAPS + self._header.map_size + index * LEAF_SIZE)
        self.dirty.clear()

    # --- leaves -----------------------------------------------------------------------------------

    def _load(self, index: int) -> int:
        """Return the bits of a leaf. Errors: Corrupt."""
        bits = self._leaves.get(index)
        if bits is not None:
            return bits
        # The saved map takes the place of a damaged running one only while it is not behind.
        places = self._places[: 1 if index in self.dirty else 2]
        found = next((bits for place in places if (bits := self._at(place, index)) is not None), None)
        if found is None:
            where = f"{self._where}: leaf {index} of the map"
            raise Corrupt(where, "checksum", "wrong", "the overlay is damaged there")
        if len(self._leaves) >= _LEAVES_MAX:
            self._leaves.clear()
        self._leaves[index] = found
        return found

    def _at(self, place: int, index: int) -> int | None:
        """Return the bits of a leaf in the map that begins at `place`; None when it is damaged."""
        data = os.pread(self._fd, LEAF_SIZE, place + index * LEAF_SIZE)
        return decode_leaf(data, self._header.ident, index)

    def _used(self) -> list[int]:
        """Return the numbers of the leaves that are not all zeros in both maps, ascending."""
        header = self._header
        used: set[int] = set()
        for place in self._places:
            used.update(_filled(self._fd, place, header.leaves))
        return sorted(used)


def _filled(fd: int, place: int, leaves: int) -> Iterator[int]:
    """Yield the numbers of the leaves of the map at byte `place` in which there is something."""
    end = place + leaves * LEAF_SIZE
    at = place
    while at < end:
        try:
            at = os.lseek(fd, at, os.SEEK_DATA)
            stop = min(os.lseek(fd, at, os.SEEK_HOLE), end)
        except OSError:  # ENXIO: there is nothing more
            return
        at -= (at - place) % LEAF_SIZE
        while at < stop:
            data = os.pread(fd, min(_PIECE, stop - at), at)
            if not data:
                return
            for start in range(0, len(data), LEAF_SIZE):
                if data[start : start + LEAF_SIZE] != EMPTY_LEAF:
                    yield (at + start - place) // LEAF_SIZE
            at += -(-len(data) // LEAF_SIZE) * LEAF_SIZE
