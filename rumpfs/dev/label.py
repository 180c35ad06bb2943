"""Partitions of disk images: from a label and a letter to bytes, and writing a label into an image.

`rumpfs.ondisk.labelscan` finds the label; the checks here are about one partition and the image around it.
"""

from __future__ import annotations

import string
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from rumpfs.abi import errno
from rumpfs.base.errors import DiskError, VfsError
from rumpfs.dev.window import Window
from rumpfs.ondisk.disklabel import (
    DEV_BSIZE,
    FS_APPLEUFS,
    FS_BSDFFS,
    FS_UNUSED,
    FSTYPE_NAMES,
    MAGIC2_OFFSET,
    Dialect,
    Disklabel,
    Partition,
    encode_disklabel,
    encode_label,
)
from rumpfs.ondisk.labelscan import FoundLabel, find_labels
from rumpfs.ondisk.layout import LITTLE, ORDER_NAMES, Order
from rumpfs.ondisk.ufs.superblock import Superblock, find_superblock

#: Index of the partition that is the whole disk, or the whole BSD slice.
_RAW_PART_C = 2
_RAW_PART_D = 3

#: Byte of an Alpha boot block at which its checksum is.
_ALPHA_CHECKSUM = 504

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
    place_label(window, label, offset)


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


def replace_label(window: Window, old: FoundLabel, data: bytes) -> int:
    """Write a label over one that is there, and over its copies; what is around them stays.

    Args:
        window: the whole image, writable.
        old: what is there.
        data: the new label.

    Returns:
        How many places were written.

    Raises:
        VfsError: EINVAL: there is no room; what the host says.
    """
    former = encode_label(old.label)
    labels = find_labels(window.pread, window.size, window.name)
    copies = [found for found in labels if encode_label(found.label) == former] or [old]
    if old.offset not in {found.offset for found in copies}:
        copies.insert(0, old)
    for found in copies:
        place_label(window, data.ljust(len(former), b"\0"), found.offset, found.base)
    return len(copies)


def place_label(window: Window, data: bytes, offset: int, base: int = 0) -> None:
    """Write the bytes of a label.

    Alpha's boot block, which has a checksum of its own, is right again if it was right before.

    Args:
        window: the whole image, writable.
        data: the label.
        offset: byte of the image.
        base: first byte of the slice that it is in.

    Raises:
        VfsError: EINVAL when it would leave the boot area; what the host says.
    """
    place = offset - base
    if place < 0 or place % 4 or place + len(data) > _BOOT_AREA or offset + len(data) > window.size:
        raise VfsError(
            errno.EINVAL, f"{window.name}: a label of {len(data)} bytes cannot be at byte {offset}"
        )
    boot = bytearray(window.pread(DEV_BSIZE, base)) if place + len(data) <= _ALPHA_CHECKSUM else bytearray()
    summed = len(boot) == DEV_BSIZE and _alpha_sum(boot) == boot[_ALPHA_CHECKSUM:] != bytes(8)
    if summed:
        boot[place : place + len(data)] = data
        boot[_ALPHA_CHECKSUM:] = _alpha_sum(boot)
        window.pwrite(boot, base)
    else:
        window.pwrite(data, offset)


def _alpha_sum(boot: bytearray) -> bytes:
    """Return the checksum of an Alpha boot block: the sum of its other words, of 8 bytes each."""
    words = memoryview(boot)[:_ALPHA_CHECKSUM]
    total = sum(int.from_bytes(words[at : at + 8], "little") for at in range(0, _ALPHA_CHECKSUM, 8))
    return (total & (1 << 64) - 1).to_bytes(8, "little")


def delete_labels(window: Window) -> int:
    """Delete all labels, as disklabel(8) -D does it: their magics are inverted; return how many there were.

    Raises:
        VfsError: what the host says.
    """
    labels = find_labels(window.pread, window.size, window.name)
    for found in labels:
        magic = bytes(byte ^ 0xFF for byte in window.pread(4, found.offset))
        for place in (found.offset, found.offset + MAGIC2_OFFSET):
            window.pwrite(magic, place)
    return len(labels)
