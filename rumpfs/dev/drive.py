"""Opening a drive: from a drivespec to a window on a host file.

The steps, and the reasons given when one fails, are those of rump_server(1).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from rumpfs.abi import errno
from rumpfs.base.errors import DiskError, VfsError
from rumpfs.dev.drivespec import DriveSpec
from rumpfs.dev.hostfile import HostFile
from rumpfs.dev.label import PartitionError, describe, find_partition
from rumpfs.dev.window import Window
from rumpfs.ondisk.labelscan import find_label


class DriveError(Exception):
    """A drive cannot be opened.

    Args:
        reason: what rump_server prints before the error's text: ``etfs hostpath open``.
        number: NetBSD error number.
        why: the circumstances, for a second line; may be empty.
    """

    def __init__(self, reason: str, number: int, why: str = "") -> None:
        super().__init__(f"{reason}: {errno.strerror(number)}")
        self.reason = reason
        self.errno = number
        self.why = why

    @property
    def host_errno(self) -> int:
        """The error number as the host has it: rump_server's exit status for host errors."""
        return errno.TO_HOST.get(self.errno, self.errno)


@dataclass(frozen=True, slots=True)
class OpenedDrive:
    """A drive that is ready to be registered.

    Attributes:
        spec: what was asked for.
        window: its bytes; the size is 0 for ``type=reg`` without a size, which means the whole host file,
            however long it becomes.
        label: what the window was found by, for boot messages; empty without ``disklabel=``.
        warnings: oddities, one sentence each.
    """

    spec: DriveSpec
    window: Window
    label: str = ""
    warnings: tuple[str, ...] = field(default=())


def open_drive(spec: DriveSpec) -> OpenedDrive:
    """Open a drive's host file, creating and extending it as the drivespec allows, and find its window.

    Raises:
        DriveError: with rump_server's reason for the step that failed.
    """
    create = not (spec.readonly or spec.size_host or spec.disklabel)
    try:
        hostfile = HostFile.open(spec.hostpath, readonly=spec.readonly, create=create)
    except VfsError as error:
        raise DriveError("etfs hostpath open", error.errno, error.why) from error
    try:
        return _find_window(spec, hostfile)
    except BaseException:
        hostfile.close()
        raise


def _find_window(spec: DriveSpec, hostfile: HostFile) -> OpenedDrive:
    """Return the drive on an open host file."""
    try:
        length = hostfile.size
    except VfsError as error:
        raise DriveError("fstat etfs hostpath", error.errno, error.why) from error
    offset, size = spec.offset, spec.size or 0
    label = ""
    warnings: tuple[str, ...] = ()
    if spec.disklabel:
        offset, size, label, warnings = _find_labelled(hostfile, spec.disklabel, length)
    elif spec.size_host:
        size = length
        if not size:
            raise DriveError("size=host, but cannot query non-zero size", errno.EINVAL, hostfile.path)
    if offset + size > length:
        size, more = _fit(spec, hostfile, offset, size, length)
        warnings += more
    window = Window(hostfile, offset, size, readonly=spec.readonly)
    return OpenedDrive(spec, window, label, warnings)


def _find_labelled(hostfile: HostFile, letter: str, length: int) -> tuple[int, int, str, tuple[str, ...]]:
    """Return a partition's offset and size, a line on its label, and warnings."""
    try:
        found = find_label(hostfile.pread, length, hostfile.path)
    except DiskError as error:
        raise DriveError("disklabel not found", errno.ENOENT, str(error)) from error
    except VfsError as error:
        raise DriveError("could not read disk device", error.errno, error.why) from error
    try:
        extent = find_partition(found, letter, length, hostfile.path)
    except PartitionError as error:
        raise DriveError("partition not available", errno.ENOENT, str(error)) from error
    return extent.offset, extent.size, f"partition {letter} of {describe(found)}", extent.warnings


def _fit(
    spec: DriveSpec, hostfile: HostFile, offset: int, size: int, length: int
) -> tuple[int, tuple[str, ...]]:
    """Make room for a window that ends beyond the host file, or make the window smaller.

    A regular file is extended. What cannot grow (a device, or a file that is served read-only) still
    serves what it has, unless the window starts beyond its end.
    """
    if hostfile.is_regular and not spec.readonly:
        try:
            hostfile.extend(offset + size)
        except VfsError as error:
            raise DriveError("truncate", error.errno, error.why) from error
        return size, ()
    end = offset + size
    if offset >= length or not (hostfile.is_regular or spec.disklabel):
        raise DriveError(
            "etfs register",
            errno.EINVAL,
            f"{hostfile.path} has {length} bytes, the window ends at byte {end}",
        )
    return length - offset, (f"{hostfile.path} has {length} bytes: served up to there, not to byte {end}",)
