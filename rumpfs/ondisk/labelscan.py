"""Finding the disklabel of an image: in an MBR slice, in a GPT partition, at a port's place, or anywhere.

A candidate that fails its checks is passed over, and remembered for the message when nothing better turns
up. Sources: NetBSD sys/dev/dkwedge/dkwedge_bsdlabel.c and sys/kern/subr_disk_mbr.c (both byte orders, the
walk through the MBR), the label offsets of the ports' <machine/disklabel.h>, rump_server(1) (64 KiB).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from rumpfs.base.errors import BadMagic, DiskError
from rumpfs.ondisk.disklabel import (
    LABEL_HEADER,
    MAGIC_BYTES,
    Dialect,
    Disklabel,
    decode_disklabel,
    is_deleted,
    label_order,
)
from rumpfs.ondisk.gpt import FREEBSD_TYPES, NETBSD_TYPES, OPENBSD_TYPES, GptPartition, read_gpt
from rumpfs.ondisk.mbr import (
    MBR_PTYPE_386BSD,
    MBR_PTYPE_NETBSD,
    MBR_PTYPE_OPENBSD,
    MBR_SIZE,
    read_mbr,
)

#: ``read(nbytes, offset)`` returns the bytes there.
Read = Callable[[int, int], bytes]

#: Bytes of a slice, and of a whole disk, that are searched.
SLICE_SCAN = 8192
DISK_SCAN = 65536

#: Byte offsets at which the ports put the label; x86, most m68k and alpha, sparc, and so on.
PORT_OFFSETS = (512, 64, 128, 0, 516, 1024, 4608)

#: Candidates that are looked at in one region, so that a disk full of magics costs no more than this.
_MAX_CANDIDATES = 64

# MBR types and GPT types in the order in which they are searched.
_MBR_DIALECTS = (
    (MBR_PTYPE_NETBSD, Dialect.NETBSD),
    (MBR_PTYPE_OPENBSD, Dialect.OPENBSD),
    (MBR_PTYPE_386BSD, Dialect.FREEBSD),
)
_GPT_DIALECTS = (
    *((ptype, Dialect.NETBSD) for ptype in NETBSD_TYPES),
    *((ptype, Dialect.OPENBSD) for ptype in OPENBSD_TYPES),
    *((ptype, Dialect.FREEBSD) for ptype in FREEBSD_TYPES),
)


@dataclass(frozen=True, slots=True)
class FoundLabel:
    """A label and where it was.

    Attributes:
        label: the label.
        offset: its byte offset on the disk.
        container: ``disk``, ``MBR slice at sector N`` or ``GPT partition at byte N``.
        base: first byte of that container; 0 for the disk.
    """

    label: Disklabel
    offset: int
    container: str
    base: int


@dataclass(frozen=True, slots=True)
class _Region:
    """Bytes to be searched."""

    base: int
    nbytes: int
    container: str
    dialect: Dialect


def find_label(read: Read, size: int, where: str, offset: int | None = None) -> FoundLabel:
    """Find the disklabel of a disk.

    Args:
        read: reads bytes of the disk.
        size: bytes of the disk.
        where: names the disk in messages.
        offset: look at this byte offset only.

    Raises:
        BadMagic: there is no label; the message says whether there is a deleted one or a bare GPT.
        BadChecksum, Corrupt: the best candidate is damaged.
    """
    if offset is not None:
        data = read(min(SLICE_SCAN, max(0, size - offset)), offset) if 0 <= offset < size else b""
        label = decode_disklabel(data, 0, f"{where}: byte {offset}")
        return FoundLabel(label, offset, "disk", 0)
    damage: list[DiskError] = []
    gpt = read_gpt(read, size)
    for region in _regions(read, size, gpt):
        found = _search(read, region, where, damage)
        if found is not None:
            return found
    raise _nothing(where, damage, gpt)


def find_labels(read: Read, size: int, where: str) -> list[FoundLabel]:
    """Return the good label of each place that has one, in the order of `find_label`; none is no error.

    Args:
        read, size, where: as for `find_label`.
    """
    found = (_search(read, region, where, []) for region in _regions(read, size, read_gpt(read, size)))
    labels = {label.offset: label for label in found if label is not None}
    return list(labels.values())


def _regions(read: Read, size: int, gpt: list[GptPartition] | None) -> Iterator[_Region]:
    """Yield what is to be searched, in order: BSD slices, BSD partitions of a GPT, the disk's start."""
    slices = read_mbr(read, size)
    for ptype, dialect in _MBR_DIALECTS:
        for entry in slices:
            if entry.ptype == ptype:
                base = entry.start * MBR_SIZE
                container = f"MBR slice at sector {entry.start}"
                yield _Region(base, min(SLICE_SCAN, size - base), container, dialect)
    for guid, dialect in _GPT_DIALECTS:
        for partition in gpt or ():
            if partition.ptype == guid:
                base = partition.offset
                container = f"GPT partition at byte {base}"
                yield _Region(base, min(SLICE_SCAN, size - base), container, dialect)
    yield _Region(0, min(DISK_SCAN, size), "disk", Dialect.NETBSD)


def _search(read: Read, region: _Region, where: str, damage: list[DiskError]) -> FoundLabel | None:
    """Return the first good label of a region; add what is wrong with the others to `damage`."""
    data = read(region.nbytes, region.base)
    for place in _candidates(data):
        offset = region.base + place
        name = f"{where}: disklabel at byte {offset}"
        try:
            label = decode_disklabel(data, place, name, region.dialect)
        except DiskError as error:
            damage.append(error)
            continue
        return FoundLabel(label, offset, region.container, region.base)
    return None


def _candidates(data: bytes) -> list[int]:
    """Return the offsets of labels, good or deleted: the ports' places first, then in ascending order."""
    places: set[int] = set()
    for magic in MAGIC_BYTES:
        place = data.find(magic)
        while place >= 0 and len(places) < _MAX_CANDIDATES * len(MAGIC_BYTES):
            if place % 4 == 0 and place + LABEL_HEADER <= len(data):
                if label_order(data, place) is not None or is_deleted(data, place):
                    places.add(place)
            place = data.find(magic, place + 1)
    ports = [place for place in PORT_OFFSETS if place in places]
    return (ports + sorted(places.difference(ports)))[:_MAX_CANDIDATES]


def _nothing(where: str, damage: list[DiskError], gpt: list[GptPartition] | None) -> DiskError:
    """Return the error for a disk without a good label: the first damaged one, or why there is none."""
    for error in damage:
        if not isinstance(error, BadMagic):
            return error
    if damage:
        return damage[0]
    if gpt is not None:
        return BadMagic(
            where, f"a GPT disk of {len(gpt)} partitions without a disklabel; give offset= and size= instead"
        )
    return BadMagic(where, f"no disklabel in the first {DISK_SCAN} bytes, nor in an MBR or GPT partition")
