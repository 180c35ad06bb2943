"""Where the bytes of an image come from: a host file, a compressed one, or one elsewhere."""

from __future__ import annotations

from rumpfs.abi import errno
from rumpfs.base.address import is_url
from rumpfs.base.errors import VfsError
from rumpfs.dev.compressed import Progress, compression, unpacked
from rumpfs.dev.hostfile import HostFile


def open_source(
    path: str, readonly: bool = True, lock: bool = True, progress: Progress | None = None
) -> HostFile:
    """Open the file that holds an image.

    Args:
        path: of the host, or a url as fsspec has them.
        readonly: do not ask for write permission. What is compressed or elsewhere can only be read.
        lock: lock it; `HostFile.open`.
        progress: is told how far the unpacking is.

    Raises:
        VfsError: as `HostFile.open`; EROFS: it is to be written, and cannot be.
        DiskError: it is compressed, and damaged.
    """
    if is_url(path):
        if not readonly:
            raise VfsError(errno.EROFS, f"{path}: what is elsewhere can only be read")
        from rumpfs.dev.remote import open_url

        packed = open_url(path)
    else:
        packed = HostFile.open(path, readonly=readonly, lock=lock)
    return plain(packed, readonly, progress)


def plain(hostfile: HostFile, readonly: bool = True, progress: Progress | None = None) -> HostFile:
    """Return what a file holds that may be compressed: itself, or in its place what it is unpacked to.

    Errors: as `open_source`; the file is closed then.
    """
    try:
        format_ = compression(hostfile)
        if format_ is None:
            return hostfile
        if not readonly:
            why = (
                f"{hostfile.path} is compressed with {format_.name}: it can only be read; unpack it to write"
            )
            raise VfsError(errno.EROFS, why)
        found = unpacked(hostfile, format_, progress)
    except BaseException:
        hostfile.close()
        raise
    hostfile.close()
    return found
