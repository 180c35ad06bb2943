"""Byte windows on host files: what a drive or a partition is to the kernel.

A transfer follows the rules of NetBSD's disks (`bounds_check_with_mediasize` in sys/kern/subr_disk.c): one
that starts at the end moves nothing, one that starts beyond it is EINVAL, one that crosses it is cut there.
"""

from __future__ import annotations

import os

from rumpfs.abi import errno
from rumpfs.base.errors import VfsError
from rumpfs.dev.hostfile import HostFile, cut

_pread = os.pread

#: Buffers that the host takes in one call (IOV_MAX on Linux).
_IOV_MAX = 1024


class Window:
    """Bytes [offset, offset + size) of a host file.

    Args:
        hostfile: the file; the window takes over this use of it and drops it in `close`.
        offset: first byte.
        size: bytes. May not be changed once the window is in use.
        readonly: refuse writes although the host file may be writable.
        name: names the window in messages; the host path when omitted.
    """

    __slots__ = ("_fd", "hostfile", "name", "offset", "readonly", "size")

    def __init__(
        self, hostfile: HostFile, offset: int, size: int, readonly: bool = False, name: str = ""
    ) -> None:
        if offset < 0 or size < 0:
            raise VfsError(errno.EINVAL, f"{hostfile.path}: window of {size} bytes at byte {offset}")
        self.hostfile = hostfile
        self.offset = offset
        self.size = size
        self.readonly = readonly or hostfile.readonly
        self.name = name or hostfile.path
        self._fd = hostfile.fd

    def close(self) -> None:
        """Stop using the host file."""
        self.hostfile.close()

    def pread(self, nbytes: int, offset: int) -> bytes:
        """Return `nbytes` bytes at byte `offset` of the window, fewer only at its end.

        Raises:
            VfsError: EINVAL beyond the end; EIO when the host file has become shorter than the window;
                what the host says otherwise.
        """
        if 0 <= offset <= self.size - nbytes:
            try:
                data = _pread(self._fd, nbytes, self.offset + offset)
            except (OSError, ValueError) as error:
                raise self._failed(error, offset) from error
            if len(data) == nbytes:
                return data
        else:
            nbytes = self._clip(nbytes, offset)
            data = b""
        return self.pread_rest(data, nbytes, offset)

    def pread_rest(self, data: bytes, nbytes: int, offset: int) -> bytes:
        """Return `nbytes` bytes at byte `offset`, of which `data` are the first. Errors: as `pread`."""
        pieces = [data]
        done = len(data)
        while done < nbytes:
            piece = self.hostfile.pread(nbytes - done, self.offset + offset + done)
            if not piece:
                raise self._truncated(offset + done)
            pieces.append(piece)
            done += len(piece)
        return b"".join(pieces)

    def preadv(self, buffers: list[memoryview | bytearray], offset: int) -> int:
        """Fill buffers of bytes in turn from byte `offset` of the window; return the bytes read.

        The number is the buffers' total length, less only at the window's end.

        Raises:
            VfsError: as `pread`.
        """
        total = sum(map(len, buffers))
        done = 0
        if 0 <= offset <= self.size - total and len(buffers) <= _IOV_MAX:
            done = self.hostfile.preadv(buffers, self.offset + offset)
            if done == total:
                return done
        wanted = self._clip(total, offset)
        views = cut([memoryview(buffer) for buffer in buffers], 0, wanted)
        views = cut(views, done, wanted)
        while done < wanted:
            count = self.hostfile.preadv(list(views[:_IOV_MAX]), self.offset + offset + done)
            if not count:
                raise self._truncated(offset + done)
            done += count
            views = cut(views, count, wanted)
        return done

    def located(self, offset: int, nbytes: int) -> tuple[int, int] | None:
        """Return the host's descriptor, and the byte at which some bytes of the window are in its file.

        Returns:
            None where they are not simply there; then they can only be read.
        """
        inside = 0 <= offset <= self.size - nbytes
        return (self._fd, self.offset + offset) if inside else None

    def pwrite(self, data: bytes | bytearray | memoryview, offset: int) -> int:
        """Write at byte `offset` of the window; return the bytes written, fewer only at its end.

        Raises:
            VfsError: EROFS when the window is read-only; EINVAL beyond the end; what the host says.
        """
        if self.readonly:
            raise VfsError(errno.EROFS, self.name)
        view = memoryview(data).cast("B")
        wanted = self._clip(len(view), offset)
        done = 0
        while done < wanted:
            done += self.hostfile.pwrite(view[done:wanted], self.offset + offset + done)
        return done

    def fsync(self) -> None:
        """Wait until what was written is on the host's disk; nothing to do when read-only.

        Raises:
            VfsError: what the host says.
        """
        if not self.readonly:
            self.hostfile.fsync()

    def _clip(self, nbytes: int, offset: int) -> int:
        """Return how many of `nbytes` bytes at `offset` are inside the window."""
        if nbytes < 0 or not 0 <= offset <= self.size:
            raise VfsError(errno.EINVAL, f"{self.name}: {nbytes} bytes at byte {offset} of {self.size} bytes")
        return min(nbytes, self.size - offset)

    def _failed(self, error: OSError | ValueError, offset: int) -> VfsError:
        if isinstance(error, OSError):
            return VfsError(errno.from_oserror(error), f"{self.name} at byte {offset}: {error.strerror}")
        return VfsError(errno.EINVAL, f"{self.name} at byte {offset}: {error}")

    def _truncated(self, offset: int) -> VfsError:
        return VfsError(
            errno.EIO, f"{self.name}: host file {self.hostfile.path} ends at or before byte {offset}"
        )


class SlowWindow(Window):
    """A window on what only looks like a host file: its descriptor is not to be read from."""

    __slots__ = ()

    def pread(self, nbytes: int, offset: int) -> bytes:
        if 0 <= offset <= self.size - nbytes:
            data = self.hostfile.pread(nbytes, self.offset + offset)
            return data if len(data) == nbytes else self.pread_rest(data, nbytes, offset)
        return self.pread_rest(b"", self._clip(nbytes, offset), offset)

    def located(self, offset: int, nbytes: int) -> tuple[int, int] | None:
        return None
