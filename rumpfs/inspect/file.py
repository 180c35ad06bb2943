"""A file of an image as a raw stream."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from rumpfs.base.errors import DiskError, VfsError
from rumpfs.client.errors import rump_error
from rumpfs.fs.ffs.readwrite import HOLE, DataInode
from rumpfs.inspect.volume import read_into

#: what reading all of a file asks for at once
_CHUNK: Final = 1 << 20


@contextmanager
def reported(name: str | bytes) -> Iterator[None]:
    """Turn the errors of the block into OSError."""
    try:
        yield
    except VfsError as error:
        raise rump_error(error.errno, name, text=error.why or None) from error
    except DiskError as error:
        raise rump_error(error.errno, name, text=str(error)) from error


class ImageFile(io.RawIOBase):
    """A file of an image, as a raw stream.

    Args:
        vp: the file.
        name: what it was opened as.
    """

    mode = "rb"

    def __init__(self, vp: DataInode, name: str | bytes) -> None:
        super().__init__()
        self.name = name
        self._vp = vp
        self._at = 0

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Move to an offset, and return it."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._vp.i_size}.get(whence)
        if base is None:
            raise ValueError(f"whence is 0, 1 or 2, not {whence}")
        if base + offset < 0:
            raise ValueError(f"byte {base + offset} is before the start")
        self._at = base + offset
        return self._at

    def tell(self) -> int:
        """Return the offset."""
        return self._at

    def readinto(self, buffer: Any, /) -> int:
        """Fill a buffer as far as the file goes; return how many bytes that are."""
        view = memoryview(buffer).cast("B")
        count = self.preadinto(view, self._at)
        self._at += count
        return count

    def preadinto(self, view: memoryview, offset: int) -> int:
        """Fill a buffer from an offset on; return how many bytes that are."""
        with reported(self.name):
            return read_into(self._vp, view, offset)

    def located(self, offset: int, end: int) -> tuple[int, int, int] | None:
        """Return where bytes of the file are on the host: a descriptor, a byte of its file, and how many.

        Args:
            offset, end: the bytes that are wanted; it may be fewer.

        Returns:
            None where they are in a hole, beyond the end, or can only be read.
        """
        end = min(end, self._vp.i_size)
        if not 0 <= offset < end:
            return None
        with reported(self.name):
            stop, address = self._vp.extent(offset, end)
        count = min(stop, end) - offset
        found = None if address == HOLE else self._vp.v_mount.um_window.located(address, count)
        return None if found is None else (*found, count)

    def readall(self) -> bytes:
        """Return the rest of the file."""
        data = bytearray(max(0, self._vp.i_size - self._at))
        view = memoryview(data)
        done = 0
        while done < len(view) and (count := self.readinto(view[done : done + _CHUNK])):
            done += count
        return bytes(view[:done])
