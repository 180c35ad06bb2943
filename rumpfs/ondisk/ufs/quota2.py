"""Quotas in the file system: what the hidden inodes that fs_quotafile names hold.

A header, a hash table of the ids, and entries, which are in lists: one for each slot of the table, and one of
those that are free. A place in the file is a byte offset; 0 ends a list.
Source: NetBSD sys/ufs/ufs/quota2.h, quota2_subr.c.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from rumpfs.abi.quota import Quotaval
from rumpfs.base.errors import BadMagic, Corrupt
from rumpfs.ondisk.layout import I64, RAW, U8, U16, U32, U64, Buffer, Order, Record
from rumpfs.ondisk.ufs.fs import Q2_HEAD_MAGIC

QUOTA2_VAL = Record(
    "quota2_val",
    40,
    (
        (0, "q2v_hardlimit", U64),
        (8, "q2v_softlimit", U64),
        (16, "q2v_cur", U64),
        (24, "q2v_time", I64),
        (32, "q2v_grace", I64),
    ),
)

#: q2e_val is two quota2_val: for blocks and for files
QUOTA2_ENTRY = Record(
    "quota2_entry",
    96,
    (
        (0, "q2e_val", RAW[2 * QUOTA2_VAL.size]),
        (80, "q2e_next", U64),
        (88, "q2e_uid", U32),
        (92, "q2e_pad", U32),
    ),
)

#: q2h_defentry is a quota2_entry; q2h_hash_size offsets follow the header
QUOTA2_HEADER = Record(
    "quota2_header",
    112,
    (
        (0, "q2h_magic_number", U32),
        (4, "q2h_type", U8),
        (5, "q2h_hash_shift", U8),
        (6, "q2h_hash_size", U16),
        (8, "q2h_defentry", RAW[QUOTA2_ENTRY.size]),
        (104, "q2h_free", U64),
    ),
)

#: Places are multiples of this (getq2e).
_ALIGN = 8


class Quota2Entry(NamedTuple):
    """An entry: values for blocks and for files, the place of the next entry, and whose it is."""

    values: tuple[Quotaval, Quotaval]
    next: int
    ident: int


class Quota2Header(NamedTuple):
    """A header: what new ids get, and the place of the first entry of each list, by hash value."""

    default: tuple[Quotaval, Quotaval]
    heads: tuple[int, ...]

    @property
    def size(self) -> int:
        """Bytes of the header and its table."""
        return QUOTA2_HEADER.size + _ALIGN * len(self.heads)

    def hash(self, ident: int) -> int:
        """Return which list an id is in."""
        return ident & len(self.heads) - 1

    def check_place(self, place: int, bsize: int, length: int, where: str) -> None:
        """Check that an entry can be at `place` of a file of `length` bytes in blocks of `bsize`.

        Raises:
            Corrupt: it is in the header, crosses the end of a block, or is outside of the file.
        """
        if (
            place % _ALIGN
            or not self.size <= place <= length - QUOTA2_ENTRY.size
            or place % bsize > bsize - QUOTA2_ENTRY.size
        ):
            why = f"an entry lies between byte {self.size} and {length}, within a block of {bsize}"
            raise Corrupt(where, "q2e_next", place, why)


def decode_header(block: Buffer, order: Order, idtype: int, where: str) -> Quota2Header:
    """Return the header of a quota file.

    Args:
        block: the first block of the file, which holds the header and its table.
        order: byte order of the file system.
        idtype: QUOTA_IDTYPE_ that the file is for.
        where: names the file in messages.

    Raises:
        BadMagic: there is no header.
        Corrupt: it is for the other type of ids, or its table does not fit.
    """
    if len(block) < QUOTA2_HEADER.size:
        raise Corrupt(where, "di_size", len(block), f"a header has {QUOTA2_HEADER.size} bytes")
    row = QUOTA2_HEADER.codec(order).unpack(block)
    if row.q2h_magic_number != Q2_HEAD_MAGIC:
        raise BadMagic(where, f"q2h_magic_number is {row.q2h_magic_number:#x}: this is no quota file")
    if row.q2h_type != idtype:
        raise Corrupt(where, "q2h_type", row.q2h_type, f"the superblock has it for type {idtype}")
    count = row.q2h_hash_size
    if not count or count & count - 1 or count != 1 << row.q2h_hash_shift:
        why = f"q2h_hash_shift is {row.q2h_hash_shift}"
        raise Corrupt(where, "q2h_hash_size", count, why)
    if QUOTA2_HEADER.size + _ALIGN * count > len(block):
        raise Corrupt(where, "q2h_hash_size", count, f"so many places do not fit into {len(block)} bytes")
    heads = struct.unpack_from(f"{order}{count}Q", block, QUOTA2_HEADER.size)
    return Quota2Header(_values(row.q2h_defentry, order), heads)


def decode_entry(data: Buffer, order: Order) -> Quota2Entry:
    """Return an entry, given its bytes."""
    row = QUOTA2_ENTRY.codec(order).unpack(data)
    return Quota2Entry(_values(row.q2e_val, order), row.q2e_next, row.q2e_uid)


def _values(data: Buffer, order: Order) -> tuple[Quotaval, Quotaval]:
    unpack = QUOTA2_VAL.codec(order).unpack_flat
    return Quotaval(*unpack(data)), Quotaval(*unpack(data, QUOTA2_VAL.size))
