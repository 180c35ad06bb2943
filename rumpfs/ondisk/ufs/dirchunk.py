"""Changing the entries of one chunk of a directory, in the format of 4.4BSD.

A chunk (DIRBLKSIZ bytes, see `direct`) is tiled by its entries, none of which crosses its end; each owns the
bytes behind its name up to the next one. So to enter a name is to take the room behind another entry, after
moving the entries together if need be, and to remove one is to give its bytes to the entry before it.
Source: NetBSD sys/ufs/ufs/ufs_lookup.c (`ufs_direnter`, `ufs_dirremove`), dir.h.
"""

from __future__ import annotations

import struct

from rumpfs.base.errors import Corrupt
from rumpfs.ondisk.layout import ORDERS, Order
from rumpfs.ondisk.ufs.direct import DIRECT_HEADER, DT_DIR
from rumpfs.ondisk.ufs.fs import DIRBLKSIZ

#: d_ino, d_reclen, d_type, d_namlen
_HEADER = {order: struct.Struct(order + "IHBB") for order in ORDERS}
_RECLEN = {order: struct.Struct(order + "H") for order in ORDERS}
_RECLEN_OFFSET = 4

#: What stands for a header that does not fit in the chunk.
_TORN = (0, 1, 0, 0)

#: (byte offset in the chunk, d_ino, d_reclen, bytes that the entry needs)
_Place = tuple[int, int, int, int]


def dirsiz(namlen: int) -> int:
    """Return the bytes that an entry with a name of `namlen` bytes needs (UFS_DIRSIZ)."""
    return DIRECT_HEADER + (namlen + 4 & ~3)


def empty_chunk(order: Order, size: int = DIRBLKSIZ) -> bytes:
    """Return a chunk without names."""
    return _HEADER[order].pack(0, size, 0, 0) + bytes(size - DIRECT_HEADER)


def first_chunk(order: Order, size: int, ino: int, parent: int) -> bytes:
    """Return the chunk of a new directory, with its ``.`` and ``..`` (mastertemplate)."""
    chunk = bytearray(size)
    dot = dirsiz(1)
    _HEADER[order].pack_into(chunk, 0, ino, dot, DT_DIR, 1)
    _HEADER[order].pack_into(chunk, dot, parent, size - dot, DT_DIR, 2)
    chunk[DIRECT_HEADER : DIRECT_HEADER + 1] = b"."
    chunk[dot + DIRECT_HEADER : dot + DIRECT_HEADER + 2] = b".."
    return bytes(chunk)


def _places(chunk: bytearray, order: Order, where: str) -> list[_Place]:
    """Return the entries of a chunk, unused ones too. Raises: Corrupt."""
    places = []
    unpack = _HEADER[order].unpack_from
    end = len(chunk)
    offset = 0
    while offset < end:
        if end - offset < DIRECT_HEADER:
            raise Corrupt(where, "d_reclen", end - offset, "the rest of the chunk is too short for an entry")
        ino, reclen, _, namlen = unpack(chunk, offset)
        need = dirsiz(namlen) if ino else 0
        if reclen & 3 or not max(need, DIRECT_HEADER) <= reclen <= end - offset:
            raise Corrupt(f"{where}: entry at byte {offset}", "d_reclen", reclen, "does not fit")
        places.append((offset, ino, reclen, need))
        offset += reclen
    return places


def slack(chunk: bytearray, order: Order, where: str) -> int:
    """Return the largest `dirsiz` of an entry that can be entered in a chunk. Raises: Corrupt."""
    return len(chunk) - sum(need for _, _, _, need in _places(chunk, order, where))


def enter(chunk: bytearray, order: Order, name: bytes, ino_of_name: int, dtype: int, where: str) -> None:
    """Enter a name in a chunk that has `slack` for it.

    Args:
        chunk: is changed.
        order: byte order of the file system.
        name: the name, which is not there yet.
        ino_of_name: inode number.
        dtype: DT_.
        where: names the chunk in messages.

    Raises:
        Corrupt: the chunk is damaged, or has no room; it is unchanged.
    """
    wanted = dirsiz(len(name))
    unpack = _HEADER[order].unpack_from
    end = len(chunk)
    offset = 0
    while offset < end:
        ino, reclen, _, namlen = unpack(chunk, offset) if offset <= end - DIRECT_HEADER else _TORN
        need = DIRECT_HEADER + (namlen + 4 & ~3) if ino else 0
        if reclen & 3 or not DIRECT_HEADER <= reclen <= end - offset or reclen < need:
            break
        if reclen - need >= wanted:
            if need:
                _RECLEN[order].pack_into(chunk, offset + _RECLEN_OFFSET, need)
            _store(chunk, order, offset + need, reclen - need, name, ino_of_name, dtype)
            return
        offset += reclen
    compact = bytearray()
    for offset, _, _, need in _places(chunk, order, where):
        if need:
            start = len(compact)
            compact += chunk[offset : offset + need]
            _RECLEN[order].pack_into(compact, start + _RECLEN_OFFSET, need)
    start = len(compact)
    if start + wanted > end:
        raise Corrupt(where, "d_reclen", end - start, f"is all the room; {wanted} bytes are needed")
    chunk[:] = compact + bytes(end - start)
    _store(chunk, order, start, end - start, name, ino_of_name, dtype)


def _store(
    chunk: bytearray, order: Order, offset: int, reclen: int, name: bytes, ino: int, dtype: int
) -> None:
    """Put an entry at a byte offset."""
    _HEADER[order].pack_into(chunk, offset, ino, reclen, dtype, len(name))
    start = offset + DIRECT_HEADER
    padded = name.ljust(dirsiz(len(name)) - DIRECT_HEADER, b"\0")
    chunk[start : start + len(padded)] = padded


def _find(chunk: bytearray, order: Order, name: bytes, where: str) -> tuple[int, int]:
    """Return the byte offsets of the entry of a name and of the one before it, -1 for none.

    Raises:
        Corrupt: the chunk is damaged, or has no such entry.
    """
    unpack = _HEADER[order].unpack_from
    needle = bytes((len(name),)) + name + b"\0"
    place = chunk.find(needle) - DIRECT_HEADER + 1
    end = len(chunk)
    offset, before = 0, -1
    while offset <= end - DIRECT_HEADER:
        ino, reclen, _, _ = unpack(chunk, offset)
        if reclen & 3 or not DIRECT_HEADER <= reclen <= end - offset:
            raise Corrupt(f"{where}: entry at byte {offset}", "d_reclen", reclen, "does not fit")
        if offset >= place and ino and chunk.startswith(needle, offset + DIRECT_HEADER - 1):
            return offset, before
        before = offset
        offset += reclen
    raise Corrupt(where, "d_name", name, "is not in the chunk")


def remove(chunk: bytearray, order: Order, name: bytes, where: str) -> None:
    """Take the entry of a name out of a chunk.

    Raises:
        Corrupt: the chunk is damaged, or has no such entry; it is unchanged.
    """
    place, before = _find(chunk, order, name, where)
    reclen = _RECLEN[order].unpack_from(chunk, place + _RECLEN_OFFSET)[0]
    if before < 0:
        _HEADER[order].pack_into(chunk, 0, 0, reclen, 0, 0)
    else:
        _RECLEN[order].pack_into(chunk, before + _RECLEN_OFFSET, place + reclen - before)


def rewrite(chunk: bytearray, order: Order, name: bytes, ino: int, dtype: int, where: str) -> None:
    """Let a name that is in the chunk be another inode's. Raises: Corrupt, as `remove`."""
    place, _ = _find(chunk, order, name, where)
    _, reclen, _, namlen = _HEADER[order].unpack_from(chunk, place)
    _HEADER[order].pack_into(chunk, place, ino, reclen, dtype, namlen)
