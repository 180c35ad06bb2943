"""Partitions of disk images: from a label and a letter to bytes, and writing a label into an image.

`rumpfs.ondisk.labelscan` finds the label; the checks here are about one partition and the image around it.
"""

from __future__ import annotations

import re
import string
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rumpfs.abi import errno
from rumpfs.base.errors import DiskError, VfsError
from rumpfs.dev.hostfile import HostFile
from rumpfs.dev.window import Window
from rumpfs.ondisk.disklabel import (
    DEV_BSIZE,
    FS_APPLEUFS,
    FS_BSDFFS,
    FS_UNUSED,
    FSTYPE_NAMES,
    Dialect,
    Disklabel,
    Partition,
    encode_disklabel,
)
from rumpfs.ondisk.labelscan import FoundLabel, find_label
from rumpfs.ondisk.layout import BIG, LITTLE, ORDER_NAMES, Order
from rumpfs.ondisk.ufs.superblock import Superblock, find_superblock

if TYPE_CHECKING:
    import argparse

#: Index of the partition that is the whole disk, or the whole BSD slice.
_RAW_PART_C = 2
_RAW_PART_D = 3

#: Where a label may be put without touching a file system: the boot area of an FFS.
_BOOT_AREA = 8192


class PartitionError(DiskError):
    """A label has no such partition, or it cannot be where the label says."""

    errno = errno.ENOENT


@dataclass(frozen=True, slots=True)
class Extent:
    """Where a partition is.

    Attributes:
        offset, size: bytes of the image; the partition may end beyond the image.
        partition: the label's entry.
        warnings: oddities that do not prevent its use.
    """

    offset: int
    size: int
    partition: Partition
    warnings: tuple[str, ...] = ()


def partition_index(letter: str) -> int:
    """Return the index of a partition letter ``a``..``z``.

    Raises:
        ValueError: not one lower-case letter.
    """
    if len(letter) != 1 or letter not in string.ascii_lowercase:
        raise ValueError(f"invalid partition letter {letter!r}")
    return ord(letter) - ord("a")


def find_partition(found: FoundLabel, letter: str, size: int, where: str) -> Extent:
    """Return the bytes of a partition.

    NetBSD and OpenBSD count p_offset from the start of the disk; FreeBSD from the start of the slice, less
    the p_offset of its partition c. Sectors have d_secsize bytes.

    Args:
        found: the label and its place.
        letter: ``a``..``z``.
        size: bytes of the image.
        where: names the image in messages.

    Raises:
        PartitionError: the letter is out of range, the partition is unused or starts beyond the image.
    """
    label = found.label
    name = f"{where}: partition {letter}"
    count = len(label.partitions)
    index = partition_index(letter)
    if index >= count:
        last = f"a..{chr(ord('a') + count - 1)}" if count else "no partitions"
        raise PartitionError(name, f"the disklabel at byte {found.offset} has {last}")
    partition = label.partitions[index]
    if not partition.p_size:
        raise PartitionError(name, "is unused (its size is 0)")
    offset = _partition_offset(found, partition, name)
    if offset >= size:
        raise PartitionError(name, f"starts at byte {offset}, the image has {size} bytes")
    extent = Extent(offset, partition.p_size * label.d_secsize, partition)
    warnings = tuple(f"{name}: {text}" for text in _oddities(label, index, extent, size))
    return Extent(offset, extent.size, partition, warnings)


def _partition_offset(found: FoundLabel, partition: Partition, name: str) -> int:
    """Return the byte at which a partition starts."""
    label = found.label
    sector = partition.p_offset
    base = 0
    if label.dialect is Dialect.FREEBSD:
        base = found.base
        if len(label.partitions) > _RAW_PART_C:
            sector -= label.partitions[_RAW_PART_C].p_offset
        if sector < 0:
            raise PartitionError(name, "starts before its slice")
    return base + sector * label.d_secsize


def _oddities(label: Disklabel, index: int, extent: Extent, size: int) -> Iterator[str]:
    """Yield what is odd about a partition and does not prevent its use."""
    partition = extent.partition
    end = partition.p_offset + partition.p_size
    if extent.offset + extent.size > size:
        yield f"ends at byte {extent.offset + extent.size}, the image has {size} bytes"
    if label.d_secperunit and end > label.d_secperunit:
        yield f"ends at sector {end}, the label says that the disk has {label.d_secperunit}"
    if partition.p_fstype not in (FS_BSDFFS, FS_APPLEUFS):
        known = FSTYPE_NAMES.get(partition.p_fstype, str(partition.p_fstype))
        yield f"its type is {known}, not 4.2BSD"
    if index in (_RAW_PART_C, _RAW_PART_D):
        return
    for other, entry in enumerate(label.partitions):
        if other in (index, _RAW_PART_C, _RAW_PART_D) or entry.p_fstype == FS_UNUSED or not entry.p_size:
            continue
        if entry.p_offset < end and partition.p_offset < entry.p_offset + entry.p_size:
            yield f"overlaps partition {chr(ord('a') + other)}"


def describe(found: FoundLabel) -> str:
    """Return one line on a label, for boot messages."""
    label = found.label
    place = f"at byte {found.offset} ({found.container})"
    return f"{label.dialect.value} disklabel, {ORDER_NAMES[label.order]}, {place}"


def write_label(
    window: Window,
    partitions: Mapping[str, Partition] | None = None,
    *,
    order: Order = LITTLE,
    offset: int = DEV_BSIZE,
    npartitions: int = 8,
    raw: str | None = None,
    packname: bytes = b"fictitious",
) -> None:
    """Build a disklabel and place it in an image.

    Args:
        window: the whole image, writable.
        partitions: letter -> partition in 512-byte sectors (`ffs_partition` makes one); when omitted, ``a``
            is the whole image.
        order: byte order of the machine that is to read the label.
        offset: byte offset of the label: 512 on x86 and arm, 64, 128, 0 or 1024 on other ports.
        npartitions: length of the table, 1..22.
        raw: letter of the partition that is the whole disk; ``d`` for little-endian labels, ``c`` for
            big-endian ones when omitted, and none in a table too short for it.
        packname: up to 16 bytes that name the disk.

    Raises:
        VfsError: EINVAL when the label would leave the boot area or overwrite a superblock, or a number
            does not fit; what the host says otherwise.
    """
    sectors = window.size // DEV_BSIZE
    fs = _filesystem(window, 0)
    if fs is not None and fs.offset == 0:
        raise VfsError(errno.EINVAL, f"{window.name}: the superblock at byte 0 leaves no room for a label")
    if partitions is None:
        partitions = {"a": ffs_partition(window, 0)}
    raw = raw or ("d" if order == LITTLE else "c")
    if raw not in partitions and partition_index(raw) < npartitions:
        partitions = {**partitions, raw: Partition(sectors, 0)}
    try:
        label = encode_disklabel(partitions, sectors, order=order, npartitions=npartitions, packname=packname)
    except ValueError as error:
        raise VfsError(errno.EINVAL, f"{window.name}: {error}") from error
    if offset < 0 or offset % 4 or offset + len(label) > min(_BOOT_AREA, window.size):
        raise VfsError(
            errno.EINVAL, f"{window.name}: a label of {len(label)} bytes cannot be at byte {offset}"
        )
    window.pwrite(label, offset)


def ffs_partition(window: Window, start: int, size: int | None = None) -> Partition:
    """Return a partition for a file system in an image, with the type and hints of the FFS there.

    Args:
        window: the whole image.
        start: first 512-byte sector.
        size: sectors; up to the end of the image when omitted.
    """
    if size is None:
        size = max(0, window.size // DEV_BSIZE - start)
    fs = _filesystem(window, start * DEV_BSIZE)
    if fs is None:
        return Partition(size, start, FS_BSDFFS)
    ptype = FS_APPLEUFS if fs.apple_ufs else FS_BSDFFS
    return Partition(size, start, ptype, fs.fs_fsize, fs.fs_frag)


def _filesystem(window: Window, offset: int) -> Superblock | None:
    """Return the superblock of the FFS that starts at a byte of the image, or None."""
    size = window.size - offset
    if size <= 0:
        return None
    try:
        return find_superblock(lambda nbytes, at: window.pread(nbytes, offset + at), size, window.name)
    except DiskError:
        return None


def _parse_partition(window: Window, text: str) -> tuple[str, Partition]:
    """Return the letter and the partition of an argument ``LETTER=START[:SIZE]``.

    Raises:
        ValueError: it is not of that form.
    """
    match = re.fullmatch(r"([a-z])=(\d{1,18})(?::(\d{1,18}))?", text, re.ASCII)
    if match is None:
        raise ValueError(f"{text}: want LETTER=START or LETTER=START:SIZE, in sectors of {DEV_BSIZE} bytes")
    letter, start, size = match.groups()
    return letter, ffs_partition(window, int(start), int(size) if size else None)


def _parser() -> argparse.ArgumentParser:
    """Return the parser of this module's own command; servers never load argparse for it."""
    import argparse

    parser = argparse.ArgumentParser(
        prog="python -m rumpfs.dev.label",
        description="Write a BSD disklabel into a disk image.",
        epilog="Without partitions, a is the whole image. The partition that is the whole disk is added.",
    )
    parser.add_argument("-B", dest="order", choices=("le", "be"), default="le", help="byte order (le)")
    parser.add_argument(
        "-o", dest="offset", type=int, default=DEV_BSIZE, help="byte offset of the label (512)"
    )
    parser.add_argument("-n", dest="npartitions", type=int, default=8, help="partitions in the table (8)")
    parser.add_argument("image", help="the disk image; at least 8192 bytes in front are boot area")
    parser.add_argument(
        "partition", nargs="*", help="LETTER=START[:SIZE], in sectors of 512 bytes, e.g. a=64"
    )
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Write a label as the command line says; return the exit status."""
    options = _parser().parse_args(arguments)
    try:
        hostfile = HostFile.open(options.image)
        window = Window(hostfile, 0, hostfile.size)
        try:
            wanted = dict(_parse_partition(window, text) for text in options.partition)
            write_label(
                window,
                wanted or None,
                order=LITTLE if options.order == "le" else BIG,
                offset=options.offset,
                npartitions=options.npartitions,
            )
            window.fsync()
            found = find_label(window.pread, window.size, window.name, options.offset)
        finally:
            window.close()
    except (VfsError, DiskError, ValueError) as error:
        print(f"label: {error}", file=sys.stderr)
        return 1
    print(describe(found))
    for index, partition in enumerate(found.label.partitions):
        if partition.p_size:
            kind = FSTYPE_NAMES.get(partition.p_fstype, str(partition.p_fstype))
            letter = string.ascii_lowercase[index]
            print(f" {letter}: {partition.p_size:10} sectors at {partition.p_offset:10}  {kind}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
