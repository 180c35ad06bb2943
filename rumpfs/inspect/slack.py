"""What chunks of directories still hold of names that were removed.

Removing a name gives its bytes to the entry before it and leaves them as they are; the first entry of a chunk
loses only its inode number (ufs_lookup.c: ufs_dirremove). New names and compaction overwrite some of that.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from rumpfs.ondisk.ufs.dirchunk import dirsiz
from rumpfs.ondisk.ufs.direct import (
    DIRECT,
    DIRECT_HEADER,
    DT_BLK,
    DT_CHR,
    DT_DIR,
    DT_FIFO,
    DT_LNK,
    DT_REG,
    DT_SOCK,
    DT_UNKNOWN,
    ODIRECT,
)
from rumpfs.ondisk.ufs.fs import ROOTINO
from rumpfs.ondisk.ufs.superblock import Superblock

_DTYPES: Final = frozenset((DT_UNKNOWN, DT_FIFO, DT_CHR, DT_DIR, DT_BLK, DT_REG, DT_LNK, DT_SOCK))
_DOTS: Final = (b".", b"..")


class Place(NamedTuple):
    """An entry, or what is left of one.

    Attributes:
        offset: byte of the chunk.
        length: bytes that belong to it.
        ino: the inode; 0 when that is lost, or nothing is there.
        dtype: DT_; DT_UNKNOWN in the format of 4.2BSD.
        name: its name; empty when nothing is there.
        deleted: the name was removed.
    """

    offset: int
    length: int
    ino: int
    dtype: int
    name: bytes
    deleted: bool


class Chunks:
    """Reads chunks of directories.

    Args:
        fs: the superblock.
    """

    def __init__(self, fs: Superblock) -> None:
        self._old = fs.old_dirents
        self._unpack = (ODIRECT if self._old else DIRECT).codec(fs.order).unpack_flat
        self._maxino = fs.maxino
        self.size = fs.dirblksiz

    def places(self, chunk: bytes) -> Iterator[Place]:
        """Yield the entries of a chunk, and what is left of others; up to the first damaged one."""
        offset = 0
        while offset + DIRECT_HEADER <= len(chunk):
            ino, reclen, dtype, namlen = self._head(chunk, offset)
            end = offset + reclen
            start = offset + DIRECT_HEADER
            if reclen & 3 or reclen < DIRECT_HEADER or end > len(chunk):
                return
            if ino:
                yield Place(offset, reclen, ino, dtype, chunk[start : start + namlen], False)
                yield from self._left(chunk, offset + dirsiz(namlen), end)
            else:
                name = chunk[start : min(start + 255, end)].partition(b"\0")[0]
                if namlen not in (0, len(name)) or not _is_name(name):
                    name = b""
                yield Place(offset, reclen, 0, dtype if name else DT_UNKNOWN, name, bool(name))
                yield from self._left(chunk, start if not name else offset + dirsiz(len(name)), end)
            offset = end

    def deleted(self, chunk: bytes) -> Iterator[Place]:
        """Yield what is left of names that were removed."""
        return (place for place in self.places(chunk) if place.deleted)

    def has_slack(self, data: bytes) -> bool:
        """True when something may be left between the names of chunks, or behind them; this costs little."""
        unpack = self._unpack
        last = len(data) - DIRECT_HEADER
        offset = 0
        while offset <= last:
            ino, reclen, *_, namlen = unpack(data, offset)
            if reclen < DIRECT_HEADER:
                return True
            need = (DIRECT_HEADER + 4 + namlen) & ~3 if ino else DIRECT_HEADER
            if need < reclen and any(data[offset + need : offset + reclen]):
                return True
            offset += reclen
        return False

    def looks_right(self, data: bytes) -> bool:
        """True when bytes are whole chunks of a directory, with a name; behind its end there may be zeros."""
        names = 0
        for start in range(0, len(data), self.size):
            chunk = data[start : start + self.size]
            if start and not any(chunk):
                continue
            end = 0
            for place in self.places(chunk):
                end = max(end, place.offset + place.length)
                names += not place.deleted and place.ino > 0
                if not place.deleted and place.ino and not (_is_name(place.name) or place.name in _DOTS):
                    return False
            if end != self.size:
                return False
        return names > 0

    def owner(self, chunk: bytes) -> tuple[int, int] | None:
        """Return the inodes of a directory and of its parent; None when it is not its first chunk."""
        if len(chunk) < 2 * DIRECT_HEADER + 8:
            return None
        ino, reclen, dtype, namlen = self._head(chunk, 0)
        if reclen != dirsiz(1) or namlen != 1 or dtype not in (DT_DIR, DT_UNKNOWN) or chunk[8:10] != b".\0":
            return None
        parent, _, _, namlen = self._head(chunk, reclen)
        name = chunk[reclen + DIRECT_HEADER : reclen + DIRECT_HEADER + 3]
        if namlen != 2 or name != b"..\0" or not all(ROOTINO <= n < self._maxino for n in (ino, parent)):
            return None
        return ino, parent

    def _head(self, chunk: bytes, offset: int) -> tuple[int, int, int, int]:
        """Return d_ino, d_reclen, d_type and d_namlen."""
        if self._old:
            ino, reclen, namlen = self._unpack(chunk, offset)
            return ino, reclen, DT_UNKNOWN, namlen
        ino, reclen, dtype, namlen = self._unpack(chunk, offset)
        return ino, reclen, dtype, namlen

    def _left(self, chunk: bytes, offset: int, end: int) -> Iterator[Place]:
        """Yield what looks like entries in the bytes that belong to another one."""
        while offset + DIRECT_HEADER + 4 <= end:
            ino, reclen, dtype, namlen = self._head(chunk, offset)
            start = offset + DIRECT_HEADER
            name = chunk[start : start + namlen]
            if (
                ROOTINO < ino < self._maxino
                and dtype in _DTYPES
                and not reclen & 3
                and dirsiz(namlen) <= reclen <= len(chunk) - offset
                and start + namlen < end
                and chunk[start + namlen] == 0
                and _is_name(name)
            ):
                yield Place(offset, dirsiz(namlen), ino, dtype, name, True)
                offset += dirsiz(namlen)
            else:
                offset += 4


def _is_name(name: bytes) -> bool:
    """True when a name can have been one."""
    return 0 < len(name) <= 255 and 0 not in name and 47 not in name and name not in _DOTS
