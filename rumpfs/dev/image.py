"""Opening images: all of one, or a partition."""

from __future__ import annotations

from rumpfs.abi import errno
from rumpfs.base.errors import VfsError
from rumpfs.dev.compressed import Progress
from rumpfs.dev.hostfile import HostFile
from rumpfs.dev.source import open_source
from rumpfs.dev.window import SlowWindow, Window


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
            from rumpfs.dev.overlayfile import OverlayFile  # few images have one

            hostfile = OverlayFile.over(overlay, hostfile, readonly, lock)
        size = hostfile.size - offset
        if size <= 0:
            has = f"has {hostfile.size} bytes, and none at byte {offset}" if hostfile.size else "is empty"
            raise VfsError(errno.EINVAL, f"{path} {has}")
        start, length = 0, size
        if part:
            from rumpfs.dev.partition import find_part  # many images have none

            start, length = find_part(
                lambda nbytes, at: hostfile.pread(nbytes, offset + at), size, part, path
            )
        kind = Window if type(hostfile) is HostFile else SlowWindow
        return kind(hostfile, offset + start, min(length, size - start), readonly=readonly)
    except BaseException:
        hostfile.close()
        raise
