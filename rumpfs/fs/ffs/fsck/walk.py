"""The blocks of an inode, in the order in which fsck_ffs looks at them."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from rumpfs.fs.ffs.fsck.tables import bad_range
from rumpfs.ondisk.ufs.dinode import IFBLK, IFCHR, IFLNK, IFMT, Dinode
from rumpfs.ondisk.ufs.fs import NDADDR

if TYPE_CHECKING:
    from rumpfs.fs.ffs.fsck.disk import Disk
    from rumpfs.ondisk.ufs.superblock import Superblock

#: (logical block, frag address, frags). The number of an indirect block is negative, as ufs_getlbns of
#: ufs_bmap.c has it: -(first block that it leads to + level). A run of blocks that follow each other on the
#: disk is one of these.
Run = tuple[int, int, int]
#: ``beyond(frag, pointers, first)`` is told of an indirect block with pointers behind the end of the file.
Beyond = Callable[[int, Sequence[int], int], None]


def has_blocks(fs: Superblock, di: Dinode) -> bool:
    """True when the pointers of an inode are addresses."""
    kind = di.di_mode & IFMT
    if kind in (IFBLK, IFCHR):
        return False
    return kind != IFLNK or not is_fast(fs, di)


def is_fast(fs: Superblock, di: Dinode) -> bool:
    """True when the text of a symbolic link is in its inode."""
    return fs.is_fast_symlink(di.di_size, di.di_blocks)


class Walk:
    """Reads the pointers of inodes.

    Args:
        disk: the device.
        fs: the superblock.
    """

    def __init__(self, disk: Disk, fs: Superblock) -> None:
        self._disk = disk
        self._fs = fs
        self._pointers = struct.Struct(f"{fs.order}{fs.fs_nindir}{'q' if fs.ufs2 else 'i'}")
        #: by level: the blocks that one pointer of an indirect block leads to
        self._span = [fs.fs_nindir**level for level in range(4)]

    def runs(
        self,
        size: int,
        db: Sequence[int],
        ib: Sequence[int],
        beyond: Beyond | None = None,
        holes: bool = False,
    ) -> Iterator[Run]:
        """Yield the blocks of a file; indirect blocks before what they lead to.

        An indirect block at an impossible address is yielded, and not read.

        Args:
            size: bytes of the file.
            db, ib: its pointers.
            beyond: what to do about pointers behind the end in indirect blocks.
            holes: yield them too, with the address 0, up to the end of the file.
        """
        fs = self._fs
        count = -(-size // fs.fs_bsize)
        for lbn, frag in enumerate(db):
            if frag or (holes and lbn < count):
                tail = size & fs.fs_bsize - 1
                whole = lbn != count - 1 or not tail
                yield lbn, frag, fs.fs_frag if whole else -(-tail // fs.fs_fsize)
        first = NDADDR
        for level, frag in enumerate(ib):
            if frag:
                yield from self._indirect(frag, level, first, count, beyond, holes)
            elif holes and first < count:
                yield first, 0, fs.fs_frag
            first += self._span[level + 1]

    def attributes(self, di: Dinode) -> Iterator[Run]:
        """Yield the blocks of extended attributes (UFS2)."""
        if di.di_extsize > 0:
            fs = self._fs
            left = di.di_extsize
            for index, frag in enumerate(di.di_extb):
                if frag and left > 0:
                    yield index, frag, -(-min(left, fs.fs_bsize) // fs.fs_fsize)
                left -= fs.fs_bsize

    def pointers(self, frag: int) -> tuple[int, ...]:
        """Return what an indirect block holds; nothing when the device ends before."""
        data = self._disk.read(self._pointers.size, frag * self._fs.fs_fsize)
        return self._pointers.unpack(data) if len(data) == self._pointers.size else ()

    def _indirect(
        self, frag: int, level: int, first: int, count: int, beyond: Beyond | None, holes: bool
    ) -> Iterator[Run]:
        """Yield an indirect block whose pointers lead to blocks from `first` on, and those."""
        fs = self._fs
        yield -(first + level), frag, fs.fs_frag
        if bad_range(fs, frag, fs.fs_frag):
            return
        pointers = self.pointers(frag)
        span = self._span[level]
        valid = max(0, min(len(pointers), -(-(count - first) // span)))
        if beyond is not None and valid < len(pointers) and any(pointers[valid:]):
            beyond(frag, pointers, valid)
        pointers = pointers[:valid]
        if not level:
            yield from self._leaves(pointers, first, holes)
            return
        for pointer in pointers:
            if pointer:
                yield from self._indirect(pointer, level - 1, first, count, beyond, holes)
            elif holes:
                yield first, 0, fs.fs_frag
            first += span

    def _leaves(self, pointers: tuple[int, ...], lbn: int, holes: bool) -> Iterator[Run]:
        """Yield the blocks that a single indirect block leads to."""
        frag = self._fs.fs_frag
        count = len(pointers)
        if not holes and count > 1 and pointers[0] > 0 and pointers[-1] - pointers[0] == (count - 1) * frag:
            if pointers == tuple(range(pointers[0], pointers[-1] + 1, frag)):
                yield lbn, pointers[0], count * frag
                return
        for pointer in pointers:
            if pointer or holes:
                yield lbn, pointer, frag
            lbn += 1
