"""Partitions of disk images by their names: disklabel letters, MBR and GPT numbers, a label in a slice.

=======  ======================================================================
``a``    partition a of the disklabel, wherever `labelscan` finds it
``2``    the second partition of the GPT, or of the MBR when there is no GPT
``s2a``  partition a of the disklabel in the second partition of the MBR or GPT
=======  ======================================================================
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final

from rumpfs.base.errors import BadMagic, DiskError
from rumpfs.dev.label import PartitionError, find_partition
from rumpfs.ondisk.gpt import read_gpt
from rumpfs.ondisk.labelscan import PORT_OFFSETS, FoundLabel, Read, find_label
from rumpfs.ondisk.mbr import MBR_SIZE, read_mbr

_PART: Final = re.compile(r"(?:s?(\d+))?([a-z]?)", re.ASCII)


def find_part(read: Read, size: int, part: str, where: str) -> tuple[int, int]:
    """Return offset and bytes of a partition.

    Args:
        read: ``read(nbytes, offset)`` returns the bytes there of the disk.
        size: bytes of the disk.
        part: name of the partition.
        where: names the disk in messages.

    Raises:
        DiskError: there is no such partition.
    """
    match = _PART.fullmatch(part)
    if match is None:
        raise PartitionError(where, f"a partition is called a, 2 or s2a, not {part}")
    number, letter = match.groups()
    if number is None:
        extent = find_partition(find_label(read, size, where), letter, size, where)
        return extent.offset, extent.size
    start, length = _numbered(read, size, int(number), where)
    if not letter:
        return start, length
    extent = find_partition(_label_in(read, size, start, f"{where}: partition {number}"), letter, size, where)
    return extent.offset, extent.size


def _numbered(read: Read, size: int, number: int, where: str) -> tuple[int, int]:
    """Return offset and bytes of a partition of the GPT or of the MBR."""
    gpt = read_gpt(read, size)
    if gpt is None:
        kind = "MBR"
        found = [(entry.start * MBR_SIZE, entry.size * MBR_SIZE) for entry in read_mbr(read, size)]
    else:
        kind = "GPT"
        found = [(entry.offset, entry.size) for entry in gpt]
    if not 1 <= number <= len(found):
        raise PartitionError(where, f"there is no partition {number}: the {kind} has {len(found)}")
    return found[number - 1]


def _label_in(read: Read, size: int, base: int, where: str) -> FoundLabel:
    """Return the disklabel in a partition that begins at byte `base`."""
    for place in PORT_OFFSETS:
        try:
            return replace(find_label(read, size, where, base + place), base=base)
        except DiskError:
            continue
    raise BadMagic(where, "has no disklabel")
