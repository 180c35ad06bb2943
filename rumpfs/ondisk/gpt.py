"""GUID partition tables: the primary one, or the backup at the end when the primary is damaged.

Source: NetBSD sys/sys/disklabel_gpt.h (``struct gpt_hdr``, ``struct gpt_ent`` and the type GUIDs).
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any, NamedTuple

from rumpfs.ondisk.layout import LITTLE, RAW, U32, U64, Record

GPT_HDR_SIG = b"EFI PART"

#: Sector sizes that are tried, and limits that keep a hostile header from asking for much.
_SECTOR_SIZES = (512, 4096)
_MAX_ENTRIES = 1024
_MAX_ENTRY_SIZE = 4096

GPT_HDR = Record(
    "gpt_hdr",
    92,
    (
        (0, "hdr_sig", RAW[8]),
        (8, "hdr_revision", U32),
        (12, "hdr_size", U32),
        (16, "hdr_crc_self", U32),
        (20, "hdr_reserved", U32),
        (24, "hdr_lba_self", U64),
        (32, "hdr_lba_alt", U64),
        (40, "hdr_lba_start", U64),
        (48, "hdr_lba_end", U64),
        (56, "hdr_guid", RAW[16]),
        (72, "hdr_lba_table", U64),
        (80, "hdr_entries", U32),
        (84, "hdr_entsz", U32),
        (88, "hdr_crc_table", U32),
    ),
)

GPT_ENT = Record(
    "gpt_ent",
    128,
    (
        (0, "ent_type", RAW[16]),
        (16, "ent_guid", RAW[16]),
        (32, "ent_lba_start", U64),
        (40, "ent_lba_end", U64),
        (48, "ent_attr", U64),
        (56, "ent_name", RAW[72]),
    ),
)


def _guid(text: str) -> bytes:
    """Return the bytes of a GUID, whose first three fields are little-endian on disk."""
    first, second, third, *rest = (bytes.fromhex(part) for part in text.split("-"))
    return first[::-1] + second[::-1] + third[::-1] + b"".join(rest)


GPT_ENT_TYPE_FREEBSD = _guid("516e7cb4-6ecf-11d6-8ff8-00022d09712b")
GPT_ENT_TYPE_FREEBSD_UFS = _guid("516e7cb6-6ecf-11d6-8ff8-00022d09712b")
GPT_ENT_TYPE_NETBSD_SWAP = _guid("49f48d32-b10e-11dc-b99b-0019d1879648")
GPT_ENT_TYPE_NETBSD_FFS = _guid("49f48d5a-b10e-11dc-b99b-0019d1879648")
GPT_ENT_TYPE_NETBSD_LFS = _guid("49f48d82-b10e-11dc-b99b-0019d1879648")
GPT_ENT_TYPE_NETBSD_RAID = _guid("49f48daa-b10e-11dc-b99b-0019d1879648")
GPT_ENT_TYPE_NETBSD_CCD = _guid("2db519c4-b10f-11dc-b99b-0019d1879648")
GPT_ENT_TYPE_NETBSD_CGD = _guid("2db519ec-b10f-11dc-b99b-0019d1879648")
GPT_ENT_TYPE_OPENBSD_DATA = _guid("824cc7a0-36a8-11e3-890a-952519ad3f61")

#: The types in which a disklabel may be, and whose partitions they are.
NETBSD_TYPES = (
    GPT_ENT_TYPE_NETBSD_FFS,
    GPT_ENT_TYPE_NETBSD_LFS,
    GPT_ENT_TYPE_NETBSD_RAID,
    GPT_ENT_TYPE_NETBSD_CCD,
    GPT_ENT_TYPE_NETBSD_CGD,
    GPT_ENT_TYPE_NETBSD_SWAP,
)
FREEBSD_TYPES = (GPT_ENT_TYPE_FREEBSD, GPT_ENT_TYPE_FREEBSD_UFS)
OPENBSD_TYPES = (GPT_ENT_TYPE_OPENBSD_DATA,)


class GptPartition(NamedTuple):
    """A partition: its type (a GUID's 16 bytes on disk) and its bytes on the disk."""

    ptype: bytes
    offset: int
    size: int


def read_gpt(read: Callable[[int, int], bytes], size: int) -> list[GptPartition] | None:
    """Return the partitions of a disk with a GPT, or None when it has none.

    Args:
        read: ``read(nbytes, offset)`` reads bytes of the disk.
        size: bytes of the disk.
    """
    for secsize in _SECTOR_SIZES:
        for lba in (1, size // secsize - 1):
            if lba < 1 or (lba + 1) * secsize > size:
                continue
            header = _header(read(secsize, lba * secsize), lba)
            partitions = header and _entries(read, size, header, secsize)
            if partitions is not None:
                return partitions
    return None


def _header(sector: bytes, lba: int) -> Any:
    """Return the header in a sector, or None when it is not one or its checksum is wrong."""
    if len(sector) < GPT_HDR.size:
        return None
    header = GPT_HDR.codec(LITTLE).unpack(sector)
    if header.hdr_sig != GPT_HDR_SIG or header.hdr_lba_self != lba:
        return None
    if not GPT_HDR.size <= header.hdr_size <= len(sector):
        return None
    place = GPT_HDR.offset("hdr_crc_self")
    checked = sector[:place] + bytes(4) + sector[place + 4 : header.hdr_size]
    return header if zlib.crc32(checked) == header.hdr_crc_self else None


def _entries(
    read: Callable[[int, int], bytes], size: int, header: Any, secsize: int
) -> list[GptPartition] | None:
    """Return the partitions that a header describes, or None when their table is damaged."""
    count, length = header.hdr_entries, header.hdr_entsz
    start = header.hdr_lba_table * secsize
    if count > _MAX_ENTRIES or not GPT_ENT.size <= length <= _MAX_ENTRY_SIZE or start + count * length > size:
        return None
    table = read(count * length, start)
    if zlib.crc32(table) != header.hdr_crc_table:
        return None
    codec = GPT_ENT.codec(LITTLE)
    partitions = []
    for index in range(count):
        entry = codec.unpack(table, index * length)
        sectors = entry.ent_lba_end - entry.ent_lba_start + 1
        if any(entry.ent_type) and sectors > 0 and entry.ent_lba_start * secsize < size:
            partitions.append(GptPartition(entry.ent_type, entry.ent_lba_start * secsize, sectors * secsize))
    return partitions
