"""Directory entries: ``struct direct`` in chunks of 512 (Apple UFS: 1024) bytes, new and 4.2BSD format.

Source: NetBSD sys/ufs/ufs/dir.h; the checks are those of ufs_lookup.c (`ufs_dirbadentry`) and
fsck_ffs/dir.c (`dircheck`).
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import NamedTuple

from rumpfs.base.errors import Corrupt
from rumpfs.ondisk.layout import ORDERS, U8, U16, U32, Order, Record
from rumpfs.ondisk.ufs.fs import DIRBLKSIZ

# d_type, also in getdents(2); the file type bits of a mode shifted right by 12.
DT_UNKNOWN = 0
DT_FIFO = 1
DT_CHR = 2
DT_DIR = 4
DT_BLK = 6
DT_REG = 8
DT_LNK = 10
DT_SOCK = 12
DT_WHT = 14

#: Inode number in the entry of a whiteout (UFS_WINO).
WINO = 1

#: Bytes before the name.
DIRECT_HEADER = 8

#: struct direct without its name, and as 4.2BSD had it.
DIRECT = Record(
    "direct",
    DIRECT_HEADER,
    ((0, "d_ino", U32), (4, "d_reclen", U16), (6, "d_type", U8), (7, "d_namlen", U8)),
)
ODIRECT = Record("odirect", DIRECT_HEADER, ((0, "d_ino", U32), (4, "d_reclen", U16), (6, "d_namlen", U16)))

_NEW = {order: DIRECT.codec(order).unpack_flat for order in ORDERS}
_OLD = {order: ODIRECT.codec(order).unpack_flat for order in ORDERS}


class Direct(NamedTuple):
    """A directory entry in use.

    d_offset is the entry's byte offset in the directory; d_type is DT_UNKNOWN in the old format.
    """

    d_offset: int
    d_ino: int
    d_type: int
    d_name: bytes


#: What `parse_dir` returns: plain tuples (d_offset, d_ino, d_type, d_name); `Direct._make` names them.
Entry = tuple[int, int, int, bytes]


def parse_dir(
    data: bytes,
    order: Order,
    oldfmt: bool = False,
    dirblksiz: int = DIRBLKSIZ,
    maxino: int = 1 << 32,
    where: str = "directory",
    base: int = 0,
    on_damage: Callable[[Corrupt], None] | None = None,
) -> list[Entry]:
    """Return the entries in use, in order, of a directory or of a part of it that starts at a chunk.

    Unused entries and whiteouts are left out. A chunk is read up to the first entry that breaks the format,
    and the next chunk is read then, so that damage costs no more than one chunk.

    Args:
        data: the bytes.
        order: byte order of the file system.
        oldfmt: True for the format with a 16-bit name length and no type.
        dirblksiz: bytes of a chunk.
        maxino: inode numbers must be below it.
        where: names the directory in messages.
        base: byte offset of `data` in the directory; added to the offsets.
        on_damage: called with every damaged entry; when None, the first one is raised.

    Raises:
        Corrupt: an entry breaks the format, and `on_damage` is None.
    """
    entries: list[Entry] = []
    for start in range(0, len(data), dirblksiz):
        chunk = data[start : start + dirblksiz]
        first = len(entries)
        stopped = _parse_chunk(chunk, order, oldfmt, maxino, base + start, entries)
        names = [entry[3] for entry in entries[first:]]
        text = b"".join(names)
        if stopped < 0 and 0 not in text and 47 not in text and b"" not in names:
            continue
        damage, sound = _find_damage(chunk, order, oldfmt, maxino, where, base + start)
        del entries[first + sound :]
        if on_damage is None:
            raise damage
        on_damage(damage)
    return entries


def _parse_chunk(
    chunk: bytes, order: Order, oldfmt: bool, maxino: int, base: int, entries: list[Entry]
) -> int:
    """Append a chunk's entries to `entries`; return -1, or the offset at which the chunk is damaged."""
    unpack = (_OLD if oldfmt else _NEW)[order]
    end = len(chunk)
    append = entries.append
    pos = 0
    kind = DT_UNKNOWN
    try:
        while pos < end:
            if oldfmt:
                ino, reclen, namlen = unpack(chunk, pos)
            else:
                ino, reclen, kind, namlen = unpack(chunk, pos)
            name = pos + 8
            following = pos + reclen
            if ino > WINO:
                stop = name + namlen
                if stop >= following or reclen & 3 or following > end or ino >= maxino or chunk[stop]:
                    return pos
                append((base + pos, ino, kind, chunk[name:stop]))
            elif name >= following or reclen & 3 or following > end:
                return pos
            pos = following
    except struct.error:
        return pos
    return -1


def _find_damage(
    chunk: bytes, order: Order, oldfmt: bool, maxino: int, where: str, base: int
) -> tuple[Corrupt, int]:
    """Return what is wrong with a damaged chunk, and how many entries in use come before it."""
    unpack = (_OLD if oldfmt else _NEW)[order]
    pos = sound = 0
    while True:
        place = f"{where}: entry at byte {base + pos}"
        room = len(chunk) - pos
        if room < DIRECT_HEADER:
            return Corrupt(place, "d_reclen", room, "the rest of the chunk is too short for an entry"), sound
        header = unpack(chunk, pos)
        ino, reclen, namlen = header[0], header[1], header[-1]
        name = chunk[pos + DIRECT_HEADER : pos + DIRECT_HEADER + namlen]
        checks = (
            (reclen % 4 == 0, "d_reclen", reclen, "must be a multiple of 4"),
            (reclen <= room, "d_reclen", reclen, f"the chunk has {room} bytes left"),
            (reclen > DIRECT_HEADER, "d_reclen", reclen, "is too short for an entry"),
            (
                ino <= WINO or DIRECT_HEADER + namlen < reclen,
                "d_namlen",
                namlen,
                "the name overruns d_reclen",
            ),
            (ino <= WINO or ino < maxino, "d_ino", ino, f"there are {maxino} inodes"),
            (ino <= WINO or namlen > 0, "d_namlen", namlen, "the name is empty"),
            (ino <= WINO or not {0, 47} & set(name), "d_name", name, "holds a NUL or a slash"),
            (
                ino <= WINO
                or chunk[pos + DIRECT_HEADER + namlen : pos + DIRECT_HEADER + namlen + 1] == b"\0",
                "d_name",
                name,
                "must be followed by a NUL",
            ),
        )
        for passes, field, got, rule in checks:
            if not passes:
                return Corrupt(place, field, got, rule), sound
        pos += reclen
        sound += ino > WINO
