"""Directory entries as fsck_ffs sees them: chunk by chunk, repaired where they break the format.

Source: NetBSD sbin/fsck_ffs/dir.c (`dirscan`, `fsck_readdir`, `dircheck`), sys/ufs/ufs/dir.h.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from rumpfs.fs.ffs.fsck.tables import Directory, bad_range
from rumpfs.ondisk.ufs.dirchunk import dirsiz
from rumpfs.ondisk.ufs.direct import DIRECT_HEADER

if TYPE_CHECKING:
    from rumpfs.fs.ffs.fsck.checker import Check
    from rumpfs.ondisk.layout import Order


class Header(NamedTuple):
    """An entry without its name; d_type is 0 in the old format."""

    pos: int
    ino: int
    reclen: int
    dtype: int
    namlen: int


class Format:
    """How the entries of a file system are packed.

    Args:
        order: byte order.
        old: True for a 16-bit name length and no type.
        chunk: bytes of a chunk.
        maxino: inode numbers are below it.
    """

    def __init__(self, order: Order, old: bool, chunk: int, maxino: int) -> None:
        self.order = order
        self.old = old
        self.chunk = chunk
        self._maxino = maxino
        self._struct = struct.Struct(order + ("IHH" if old else "IHBB"))

    def unpack(self, data: bytearray, pos: int) -> Header:
        """Return the entry at a byte offset; at least DIRECT_HEADER bytes are there."""
        if self.old:
            ino, reclen, namlen = self._struct.unpack_from(data, pos)
            return Header(pos, ino, reclen, 0, namlen)
        return Header(pos, *self._struct.unpack_from(data, pos))

    def pack(self, data: bytearray, entry: Header, name: bytes | None = None) -> None:
        """Store an entry, and its name when there is one to store."""
        if self.old:
            self._struct.pack_into(data, entry.pos, entry.ino, entry.reclen, entry.namlen)
        else:
            self._struct.pack_into(data, entry.pos, entry.ino, entry.reclen, entry.dtype, entry.namlen)
        if name is not None:
            start = entry.pos + DIRECT_HEADER
            padded = name.ljust(dirsiz(len(name)) - DIRECT_HEADER, b"\0")
            data[start : start + len(padded)] = padded

    def empty(self) -> bytearray:
        """Return a chunk without names."""
        data = bytearray(self.chunk)
        self.pack(data, Header(0, 0, self.chunk, 0, 0))
        return data

    def is_sound(self, data: bytearray, entry: Header) -> bool:
        """True when an entry keeps to the format (dircheck)."""
        pos, ino, reclen, dtype, namlen = entry
        if not reclen or reclen & 3 or reclen > self.chunk - pos % self.chunk or ino >= self._maxino:
            return False
        if not ino:
            return True
        if namlen > 255 or not namlen or dtype > 15 or reclen < dirsiz(namlen):
            return False
        name = data[pos + DIRECT_HEADER : pos + DIRECT_HEADER + namlen + 1]
        return name.find(0) == namlen and name.find(b"/") < 0

    def name(self, data: bytearray, entry: Header) -> bytes:
        """Return the name of an entry."""
        start = entry.pos + DIRECT_HEADER
        return bytes(data[start : start + entry.namlen])


class Block:
    """A block of a directory.

    Attributes:
        data: its bytes, as many as are in the directory; may be changed.
        lbn: its number.
        dirty: set it when a change is to be kept.
    """

    __slots__ = ("data", "dirty", "lbn", "offset")

    def __init__(self, data: bytearray, lbn: int, offset: int) -> None:
        self.data = data
        self.lbn = lbn
        self.offset = offset
        self.dirty = False


#: ``hole(lbn)`` is told of a block that is missing.
Hole = Callable[[int], None]
#: ``salvage()`` returns whether to keep what is done about damage.
Salvage = Callable[[], bool]


def blocks(ck: Check, d: Directory, salvage: Salvage, hole: Hole | None = None) -> Iterator[Block]:
    """Yield the blocks of a directory, repaired; those that are changed are written on the way.

    Args:
        ck: the check.
        d: the directory.
        salvage: decides about damaged entries.
        hole: hears of missing blocks.
    """
    fs = ck.fs
    left = d.limit
    for lbn, frag, count in ck.walk.runs(d.size, d.db, d.ib, holes=hole is not None):
        if not frag:
            assert hole is not None
            hole(lbn)
            continue
        for start in range(frag, frag + count, fs.fs_frag):
            if left is not None:
                left -= min(count, fs.fs_frag)
                if left < 0:
                    return
            if lbn >= 0:
                yield from _block(ck, d, lbn, start, min(count, fs.fs_frag), salvage)
                lbn += 1


def _block(ck: Check, d: Directory, lbn: int, frag: int, count: int, salvage: Salvage) -> Iterator[Block]:
    fs = ck.fs
    if bad_range(fs, frag, count):
        return
    chunk = ck.dirs_format.chunk
    nbytes = min(count * fs.fs_fsize, -(-(d.size - lbn * fs.fs_bsize) // chunk) * chunk)
    data = ck.disk.read(nbytes, frag * fs.fs_fsize)
    if len(data) < nbytes:
        return
    block = Block(bytearray(data), lbn, frag * fs.fs_fsize)
    repair(ck.dirs_format, block, salvage)
    yield block
    if block.dirty:
        ck.disk.write(block.data, block.offset)


def repair(form: Format, block: Block, salvage: Salvage) -> None:
    """Make the entries of a block keep to the format.

    A chunk that begins with damage becomes empty; other damage is given to the entry before it.
    """
    data = block.data
    for start in range(0, len(data), form.chunk):
        pos = start
        last: Header | None = None
        while pos < start + form.chunk:
            room = start + form.chunk - pos
            entry = form.unpack(data, pos) if room >= DIRECT_HEADER else None
            if entry is None or not form.is_sound(data, entry):
                block.dirty |= salvage()
                if last is None:
                    data[start : start + form.chunk] = form.empty()
                else:
                    form.pack(data, last._replace(reclen=last.reclen + room))
                break
            last = entry
            pos += entry.reclen


def entries(form: Format, data: bytearray) -> Iterator[Header]:
    """Yield the entries of a repaired block, unused ones too; they may be changed on the way."""
    pos = 0
    end = len(data)
    unpack = form.unpack
    while pos < end:
        entry = unpack(data, pos)
        following = pos + entry.reclen
        yield entry
        pos = following
