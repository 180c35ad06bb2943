"""What a check remembers of each frag, inode and directory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from rumpfs.ondisk.ufs.superblock import Superblock

# States of inodes.
FREE: Final = 0
FILE: Final = 1
#: a directory that nothing has led to yet, and one that was found from the root
DIR: Final = 2
FOUND: Final = 3
#: bad or duplicate blocks, or no type that is known; an empty directory, or one with such blocks
BADFILE: Final = 4
BADDIR: Final = 5

#: A directory with these blocks is read.
DIRECTORIES: Final = (DIR, FOUND)


class BlockMap:
    """A bit for each frag: 1 when something uses it.

    Args:
        size: number of frags.
    """

    __slots__ = ("bits", "size")

    def __init__(self, size: int) -> None:
        self.size = size
        self.bits = bytearray((size >> 3) + 2)

    def used(self, frag: int) -> bool:
        """True when a frag is in use."""
        return bool(self.bits[frag >> 3] >> (frag & 7) & 1)

    def claim(self, frag: int, count: int) -> bool:
        """Take frags that are all free; False, and nothing done, when one is not."""
        place, shift = frag >> 3, frag & 7
        if shift + count <= 8:
            mask = (1 << count) - 1 << shift
            if self.bits[place] & mask:
                return False
            self.bits[place] |= mask
            return True
        if not shift and not count & 7:
            end = place + (count >> 3)
            if self.bits[place:end].count(0) != end - place:
                return False
            self.bits[place:end] = b"\xff" * (end - place)
            return True
        if any(self.used(each) for each in range(frag, frag + count)):
            return False
        for each in range(frag, frag + count):
            self.take(each)
        return True

    def reserve(self, first: int, end: int) -> None:
        """Mark frags from `first` to before `end` as used, whatever they were."""
        if end - first < 16:
            for frag in range(first, end):
                self.take(frag)
            return
        inner, outer = first + 7 >> 3, end >> 3
        self.bits[inner:outer] = b"\xff" * (outer - inner)
        self.reserve(first, inner << 3)
        self.reserve(outer << 3, end)

    def take(self, frag: int) -> None:
        """Mark a frag as used."""
        self.bits[frag >> 3] |= 1 << (frag & 7)

    def release(self, frag: int) -> None:
        """Mark a frag as free."""
        self.bits[frag >> 3] &= ~(1 << (frag & 7))

    def free_bits(self, frag: int, count: int) -> int:
        """Return `count` bits from a frag on, 1 for those that are free, as a number."""
        window = int.from_bytes(self.bits[frag >> 3 : (frag + count + 7) >> 3], "little")
        return ~(window >> (frag & 7)) & (1 << count) - 1


class InodeTable:
    """State, type and missing references of each inode.

    Attributes:
        state: by inode number, FREE and so on.
        dtype: by inode number, DT_ for a directory entry.
        links: by inode number, di_nlink less the references that were found.
    """

    __slots__ = ("dtype", "links", "state")

    def __init__(self, maxino: int) -> None:
        self.state = bytearray(maxino)
        self.dtype = bytearray(maxino)
        self.links = memoryview(bytearray(4 * maxino)).cast("i")


@dataclass(slots=True)
class Directory:
    """A directory.

    Attributes:
        ino: inode number.
        size: bytes.
        db, ib: its block pointers.
        parent: the directory whose entry it was found by; 0 when none was.
        dotdot: what its ``..`` says; 0 when it has none, -1 when none can be made.
        limit: frags that are read, where pass 1 gave up; None for all.
        counted: the inode that its ``..`` counts as a reference of; 0 when none.
    """

    ino: int
    size: int
    db: tuple[int, ...]
    ib: tuple[int, ...]
    parent: int = 0
    dotdot: int = 0
    limit: int | None = None
    counted: int = 0


def bad_range(fs: Superblock, frag: int, count: int) -> bool:
    """True when frags are outside of the file system, or in what groups keep for themselves (chkrange)."""
    if count <= 0 or frag <= 0 or frag + count > fs.fs_size:
        return True
    cg = frag // fs.fs_fpg
    if frag < fs.cgdmin(cg):
        return frag + count > fs.cgsblock(cg)
    return frag + count > fs.cgbase(cg + 1)
