"""What is left in a log of transactions whose lists of blocks are overwritten: blocks that nothing names.

Each mount begins to write at the start of the log again, so that the transactions of earlier mounts lose
their beginning first, and with it the list that says where their blocks belong. What a block is can be seen
still: a directory says which one it is, and inodes are known by their generation, which they keep when they
are freed; their neighbours in the log are their neighbours on the disk.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from rumpfs.inspect.raw import Raw
from rumpfs.inspect.slack import Chunks
from rumpfs.ondisk.ufs.dinode import IFBLK, IFCHR, IFDIR, IFIFO, IFLNK, IFMT, IFREG, IFSOCK, Dinode
from rumpfs.ondisk.ufs.fs import ROOTINO

_TYPES: Final = frozenset((IFREG, IFDIR, IFLNK, IFCHR, IFBLK, IFIFO, IFSOCK))
#: Types of which di_db holds blocks (of links only long ones).
_WITH_BLOCKS: Final = (IFREG, IFDIR)
#: An inode that several answer to.
_SEVERAL: Final = -1


#: Generations up to this one count how often an inode was used; others were drawn at random.
_COUNTED: Final = 0xFFFF
_GENERATION: Final = 0xFFFFFFFF

#: what tells an inode from the others
_Key = tuple[object, ...]


class OldInodes(NamedTuple):
    """Inodes as they were once: the number of the first one, and their bytes."""

    first: int
    data: bytes


class Remains:
    """What can be made of bytes of a log that no record lists.

    Args:
        raw: the file system.
        block: bytes of a log block.
        runs: the bytes, each from one log block to another.

    Attributes:
        inodes: copies of inodes.
        directories: (its number or 0, chunks) of directories.
    """

    def __init__(self, raw: Raw, block: int, runs: list[bytes]) -> None:
        self._raw = raw
        self._block = block
        self._many = raw.codec.decode_many
        self._chunks = Chunks(raw.fs)
        self.inodes: list[OldInodes] = []
        self.directories: list[tuple[int, bytes]] = []
        found = [(run, self._inode_blocks(run)) for run in runs]
        known = self._known([di for _, blocks in found for inodes in blocks.values() for di in inodes])
        for run, blocks in found:
            numbers = self._numbers(blocks, known)
            self.inodes += [OldInodes(first, run[at : at + block]) for at, first in sorted(numbers.items())]
            self._directories(run, blocks)

    def used(self) -> Iterator[tuple[int, Dinode]]:
        """Yield the copies of inodes that were in use, with their numbers."""
        for first, data in self.inodes:
            for ino, di in enumerate(self._many(data), first):
                if di.di_mode:
                    yield ino, di

    # --- inodes -----------------------------------------------------------------------------------

    def _inode_blocks(self, run: bytes) -> dict[int, list[Dinode]]:
        """Return what can be log blocks of inodes, by their place."""
        size = self._block
        found: dict[int, list[Dinode]] = {}
        for at in range(0, len(run), size):
            data = run[at : at + size]
            if any(data):
                inodes = list(self._many(data))
                if all(map(self._possible, inodes)) and any(di.di_mode for di in inodes):
                    found[at] = inodes
        return found

    def _possible(self, di: Dinode) -> bool:
        """True when some bytes can be an inode."""
        fs = self._raw.fs
        if not di.di_mode:
            return not di.di_size and not di.di_blocks and not any(di.di_db)
        return (
            di.di_mode & IFMT in _TYPES
            and di.di_nlink >= 0
            and 0 <= di.di_size <= fs.fs_maxfilesize
            and 0 <= di.di_blocks * 512 >> fs.fs_fshift <= fs.fs_size
            and (di.di_mode & IFMT not in _WITH_BLOCKS or all(0 <= frag < fs.fs_size for frag in di.di_db))
        )

    def _known(self, wanted: list[Dinode]) -> dict[_Key, int]:
        """Return the numbers of inodes by what tells them from the others."""
        known: dict[_Key, int] = {}
        keys = {key for key in map(_key, wanted) if key is not None}
        if not keys:
            return known
        for first, data in self._raw.tables():
            for ino, di in enumerate(self._many(data), first):
                key = _key(di)
                if key is not None and key in keys:
                    known[key] = _SEVERAL if key in known else ino
        return known

    def _numbers(self, blocks: dict[int, list[Dinode]], known: dict[_Key, int]) -> dict[int, int]:
        """Return the number of the first inode of log blocks, by their place, as far as it is known."""
        numbers: dict[int, int] = {}
        for at, inodes in blocks.items():
            numbered = ((index, known.get(_key(di) or (), 0)) for index, di in enumerate(inodes))
            found = {ino - index for index, ino in numbered if ino >= ROOTINO}
            if len(found) == 1:
                first = found.pop()
                if first >= 0 and not first % len(inodes):
                    numbers[at] = first
        for step in (self._block, -self._block):
            for at in sorted(blocks, reverse=step < 0):
                before = numbers.get(at - step)
                if at not in numbers and before is not None:
                    count = len(blocks[at])
                    first = before + (count if step > 0 else -count)
                    if first // self._raw.fs.fs_inopb == before // self._raw.fs.fs_inopb:
                        numbers[at] = first
        return numbers

    # --- directories ------------------------------------------------------------------------------

    def _directories(self, run: bytes, blocks: dict[int, list[Dinode]]) -> None:
        """Take down the chunks of directories: those that follow each other belong to one, in one block."""
        step = self._chunks.size
        start, whose = -1, 0
        for at in range(0, len(run) + step, step):
            chunk = run[at : at + step]
            fits = len(chunk) == step and at - at % self._block not in blocks and any(chunk)
            fits = fits and self._chunks.looks_right(chunk)
            owner = self._chunks.owner(chunk) if fits else None
            if start >= 0 and (not fits or owner is not None or at - start >= self._raw.fs.fs_bsize):
                self.directories.append((whose, run[start:at]))
                start = -1
            if fits and start < 0:
                start, whose = at, owner[0] if owner is not None else 0


def _key(di: Dinode) -> _Key | None:
    """Return what tells an inode from all others; None when nothing does.

    Generations that were drawn at random do. Those that only count how often an inode was used do not; then
    it has to be the same file, with the same blocks, and unchanged.
    """
    if di.di_gen & _GENERATION > _COUNTED:
        return (di.di_gen,)
    if di.di_db[0] and di.di_mode & IFMT in _WITH_BLOCKS:
        return di._replace(di_nlink=0, di_atime=0, di_atimensec=0, di_ctime=0, di_ctimensec=0)
    return None
