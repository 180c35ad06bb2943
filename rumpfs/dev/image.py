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

from rumpfs.abi import errno
from rumpfs.base.errors import BadMagic, DiskError, VfsError
from rumpfs.dev.compressed import Progress
from rumpfs.dev.hostfile import HostFile
from rumpfs.dev.label import PartitionError, find_partition
from rumpfs.dev.overlayfile import OverlayFile
from rumpfs.dev.source import open_source
from rumpfs.dev.window import SlowWindow, Window
from rumpfs.ondisk.gpt import read_gpt
from rumpfs.ondisk.labelscan import PORT_OFFSETS, FoundLabel, Read, find_label
from rumpfs.ondisk.mbr import MBR_SIZE, read_mbr

_PART: Final = re.compile(r"(?:s?(\d+))?([a-z]?)", re.ASCII)


def open_image(
    path: str,
    part: str = "",
    offset: int = 0,
    readonly: bool = True,
    overlay: str = "",
    lock: bool = True,
    progress: Progress | None = None,
) -> Window:
    """Open an image, or a partition of it.

    Args:
        path: host path, or a url as fsspec has them; compressed or not.
        part: name of the partition; empty for everything.
        offset: byte of the host file at which the disk, or without `part` the file system, begins.
        readonly: do not ask for write permission.
        overlay: host path of a copy-on-write overlay: changes go there, and the image is only read.
        lock: lock what is opened: exclusive for writing, shared for reading.
        progress: is told how far the unpacking of a compressed image is.

    Raises:
        VfsError: what the host says; EBUSY when another process uses it; EINVAL when the offset is beyond
            the end; EROFS when what is compressed or elsewhere is to be written.
        DiskError: there is no such partition; the overlay is of another image, damaged or none; a compressed
            image is damaged.
    """
    hostfile = open_source(path, readonly or bool(overlay), lock, progress)
    return open_window(hostfile, part, offset, readonly, overlay, lock)


def open_window(
    hostfile: HostFile,
    part: str = "",
    offset: int = 0,
    readonly: bool = True,
    overlay: str = "",
    lock: bool = True,
) -> Window:
    """Return an image, or a partition of it, in an open file, which is closed when that fails.

    Args, errors: as `open_image`.
    """
    path = hostfile.path
    try:
        if overlay:
            hostfile = OverlayFile.over(overlay, hostfile, readonly, lock)
        size = hostfile.size - offset
        if size <= 0:
            has = f"has {hostfile.size} bytes, and none at byte {offset}" if hostfile.size else "is empty"
            raise VfsError(errno.EINVAL, f"{path} {has}")
        start, length = _extent(lambda nbytes, at: hostfile.pread(nbytes, offset + at), size, part, path)
        kind = Window if type(hostfile) is HostFile else SlowWindow
        return kind(hostfile, offset + start, min(length, size - start), readonly=readonly)
    except BaseException:
        hostfile.close()
        raise


def _extent(read: Read, size: int, part: str, where: str) -> tuple[int, int]:
    """Return offset and bytes of a partition."""
    if not part:
        return 0, size
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
