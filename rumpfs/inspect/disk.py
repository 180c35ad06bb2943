"""The partition tables of a disk, all that there are, one inside the other."""

from __future__ import annotations

import string
import uuid
from collections.abc import Callable
from typing import Final, NamedTuple

from rumpfs.base.errors import DiskError
from rumpfs.dev.label import find_partition
from rumpfs.ondisk.disklabel import FS_UNUSED, FSTYPE_NAMES
from rumpfs.ondisk.gpt import FREEBSD_TYPES, NETBSD_TYPES, OPENBSD_TYPES, read_gpt
from rumpfs.ondisk.labelscan import FoundLabel, find_label
from rumpfs.ondisk.layout import ORDER_NAMES
from rumpfs.ondisk.mbr import (
    MBR_PTYPE_386BSD,
    MBR_PTYPE_NETBSD,
    MBR_PTYPE_OPENBSD,
    MBR_PTYPE_PMBR,
    MBR_SIZE,
    read_mbr,
)

#: ``read(nbytes, offset)`` returns the bytes there
Read = Callable[[int, int], bytes]

_MBR_TYPES: Final = {
    0x01: "FAT12", 0x04: "FAT16", 0x06: "FAT16", 0x07: "NTFS or exFAT", 0x0B: "FAT32", 0x0C: "FAT32",
    0x0E: "FAT16", 0x82: "Linux swap", 0x83: "Linux", MBR_PTYPE_386BSD: "FreeBSD",
    MBR_PTYPE_OPENBSD: "OpenBSD", MBR_PTYPE_NETBSD: "NetBSD", MBR_PTYPE_PMBR: "GPT",
}  # fmt: skip
_GPT_TYPES: Final = {
    **dict.fromkeys(NETBSD_TYPES, "NetBSD"),
    **dict.fromkeys(FREEBSD_TYPES, "FreeBSD"),
    **dict.fromkeys(OPENBSD_TYPES, "OpenBSD"),
}


class Part(NamedTuple):
    """A partition.

    Attributes:
        name: as addresses have it: a, 2, s2a.
        offset, size: in bytes of the disk; it may end beyond the disk.
        type: in words.
        tables: those inside.
    """

    name: str
    offset: int
    size: int
    type: str
    tables: tuple[Table, ...] = ()


class Table(NamedTuple):
    """A partition table.

    Attributes:
        kind: GPT, MBR or disklabel.
        offset: byte of the disk at which it is.
        about: more on it, in words; may be empty.
        parts: the partitions in use.
    """

    kind: str
    offset: int
    about: str
    parts: tuple[Part, ...]


def tables(read: Read, size: int, where: str) -> list[Table]:
    """Return the partition tables of a disk.

    Args:
        size: bytes of the disk.
        where: names it in messages.
    """
    gpt = read_gpt(read, size)
    label = _label(read, size, where)
    if gpt is not None:
        found = [(entry.offset, entry.size, _gpt_type(entry.ptype)) for entry in gpt]
        kind, offset = "GPT", MBR_SIZE
    else:
        found = [
            (
                entry.start * MBR_SIZE,
                entry.size * MBR_SIZE,
                _MBR_TYPES.get(entry.ptype, f"{entry.ptype:#04x}"),
            )
            for entry in read_mbr(read, size)
        ]
        kind, offset = "MBR", 0
    parts = []
    for number, (start, length, type_) in enumerate(found, 1):
        inside: tuple[Table, ...] = ()
        if label is not None and label.base == start and label.container != "disk":
            inside = (_disklabel(label, f"s{number}", size, where),)
            label = None
        parts.append(Part(str(number), start, length, type_, inside))
    result = [Table(kind, offset, "", tuple(parts))] if parts else []
    return result if label is None else [*result, _disklabel(label, "", size, where)]


def _mbr_type(ptype: int) -> str:
    return _MBR_TYPES.get(ptype, f"type {ptype:#04x}")


def _gpt_type(ptype: bytes) -> str:
    return _GPT_TYPES.get(ptype) or str(uuid.UUID(bytes_le=ptype))


def _label(read: Read, size: int, where: str) -> FoundLabel | None:
    try:
        return find_label(read, size, where)
    except DiskError:
        return None


def _disklabel(found: FoundLabel, prefix: str, size: int, where: str) -> Table:
    label = found.label
    parts = []
    for letter, partition in zip(string.ascii_lowercase, label.partitions, strict=False):
        if not partition.p_size or partition.p_fstype == FS_UNUSED:
            continue
        try:
            extent = find_partition(found, letter, size, where)
        except DiskError:
            continue  # it begins beyond the disk
        type_ = FSTYPE_NAMES.get(partition.p_fstype, f"type {partition.p_fstype}")
        parts.append(Part(prefix + letter, extent.offset, extent.size, type_))
    about = f"{label.dialect.value}, {ORDER_NAMES[label.order]}"
    return Table("disklabel", found.offset, about, tuple(parts))
