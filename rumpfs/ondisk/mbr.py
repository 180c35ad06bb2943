"""The PC partition table (MBR) and its chains of extended partitions.

Source: NetBSD sys/sys/bootblock.h (``struct mbr_sector``, ``struct mbr_partition``) and
sys/kern/subr_disk_mbr.c, which walks the chains.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from rumpfs.ondisk.layout import LITTLE, RAW, U8, U16, U32, Record

MBR_SIZE = 512
MBR_MAGIC = 0xAA55
MBR_PARTS = 4

# Partition types.
MBR_PTYPE_386BSD = 0xA5
MBR_PTYPE_OPENBSD = 0xA6
MBR_PTYPE_NETBSD = 0xA9
MBR_PTYPE_PMBR = 0xEE
MBR_PTYPES_EXTENDED = (0x05, 0x0F, 0x85)

#: Links of extended partitions that are followed.
_MAX_LINKS = 64

MBR_PARTITION = Record(
    "mbr_partition",
    16,
    (
        (0, "mbrp_flag", U8),
        (1, "mbrp_shd", U8),
        (2, "mbrp_ssect", U8),
        (3, "mbrp_scyl", U8),
        (4, "mbrp_type", U8),
        (5, "mbrp_ehd", U8),
        (6, "mbrp_esect", U8),
        (7, "mbrp_ecyl", U8),
        (8, "mbrp_start", U32),
        (12, "mbrp_size", U32),
    ),
)

MBR_SECTOR = Record(
    "mbr_sector",
    MBR_SIZE,
    (
        (0, "mbr_bootcode", RAW[446]),
        (446, "mbr_parts", RAW[16 * MBR_PARTS]),
        (510, "mbr_magic", U16),
    ),
)


class Slice(NamedTuple):
    """A partition of the MBR: type, first sector and number of sectors, in 512-byte sectors."""

    ptype: int
    start: int
    size: int


def mbr_entries(sector: bytes) -> list[Slice] | None:
    """Return the four entries of a boot sector, or None when it has no partition table."""
    if len(sector) < MBR_SIZE:
        return None
    boot = MBR_SECTOR.codec(LITTLE).unpack(sector)
    if boot.mbr_magic != MBR_MAGIC:
        return None
    rows = MBR_PARTITION.codec(LITTLE).iter_unpack(boot.mbr_parts)
    return [Slice(row.mbrp_type, row.mbrp_start, row.mbrp_size) for row in rows]


def is_protective(entries: list[Slice]) -> bool:
    """True when the table only says that the disk has a GPT."""
    return any(entry.ptype == MBR_PTYPE_PMBR for entry in entries)


def read_mbr(read: Callable[[int, int], bytes], size: int) -> list[Slice]:
    """Return all slices of a disk: the primary ones, then those of the extended chains.

    Args:
        read: ``read(nbytes, offset)`` reads bytes of the disk.
        size: bytes of the disk; slices that start beyond it are left out.

    Returns:
        An empty list when there is no table.
    """
    sectors = size // MBR_SIZE
    slices: list[Slice] = []
    for entry in mbr_entries(read(min(size, MBR_SIZE), 0)) or []:
        if not entry.ptype or not entry.size or entry.start >= sectors:
            continue
        if entry.ptype in MBR_PTYPES_EXTENDED:
            slices.extend(_read_chain(read, entry.start, sectors))
        else:
            slices.append(entry)
    return slices


def _read_chain(read: Callable[[int, int], bytes], base: int, sectors: int) -> list[Slice]:
    """Return the slices of the extended partition at sector `base`."""
    slices: list[Slice] = []
    here = base
    for _ in range(_MAX_LINKS):
        following = here
        for entry in mbr_entries(read(MBR_SIZE, here * MBR_SIZE)) or []:
            if not entry.ptype or not entry.size:
                continue
            if entry.ptype in MBR_PTYPES_EXTENDED:
                following = base + entry.start
            elif here + entry.start < sectors:
                slices.append(entry._replace(start=here + entry.start))
        if following <= here or following >= sectors:
            break
        here = following
    return slices
