"""Copying of bytes by the host's kernel, from where they are in an image to a file or a pipe."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from functools import cache
from io import RawIOBase
from typing import Any, Final, TypeAlias

#: bytes of one call: so many that calls cost nothing, and few enough for being told how far it is
CHUNK: Final = 16 << 20
#: bytes of one call for which it pays to reserve blocks
_LARGE: Final = 4 << 20
#: fallocate(2): the file does not become larger by that
_KEEP_SIZE: Final = 1
#: what a host answers that cannot do it between these two files
_CANNOT: Final = (errno.EINVAL, errno.ENOSYS, errno.EXDEV, errno.EOPNOTSUPP, errno.EBADF, errno.EPERM)
#: `inspect.file.ImageFile.located`
_Located: TypeAlias = Callable[[int, int], tuple[int, int, int] | None]


class Sender:
    """Copies what a file of an image holds without reading it.

    Args:
        reader: the file; what is no file of an image cannot be sent.
        fd: where it goes, at the position where the descriptor is.
    """

    def __init__(self, reader: RawIOBase, fd: int | None) -> None:
        self._located: _Located | None = getattr(reader, "located", None)
        self._fd = -1 if fd is None else fd
        self._ways = [] if fd is None else [_copy_file_range, os.sendfile]
        self._reserves = False

    def send(self, offset: int, end: int) -> int:
        """Send bytes from an offset of the file on; return how many: 0 when they have to be read.

        Raises:
            OSError: they cannot be written.
        """
        if not self._ways or self._located is None:
            return 0
        found = self._located(offset, min(end, offset + CHUNK))
        if found is None:
            return 0
        source, address, count = found
        if self._reserves and count >= _LARGE:
            _reserve(self._fd, count)
        while self._ways:
            way = self._ways[0]
            try:
                sent = way(self._fd, source, address, count)
            except OSError as error:
                if error.errno not in _CANNOT:
                    raise
            else:
                self._reserves = way is _copy_file_range
                return sent
            del self._ways[0]
        return 0


def _copy_file_range(target: int, source: int, address: int, count: int) -> int:
    return os.copy_file_range(source, target, count, address)


def _reserve(fd: int, count: int) -> None:
    """Have blocks set aside for the next bytes of a file, where its file system can.

    Copying within ext4 takes a quarter less then: blocks are found once for all of them, not for each page.
    """
    _fallocate()(fd, _KEEP_SIZE, os.lseek(fd, 0, os.SEEK_CUR), count)


@cache
def _fallocate() -> Any:
    """Return fallocate(2), which Python has only with zeros written where a file system cannot do it."""
    import ctypes  # few files are so large

    library = ctypes.CDLL(None)
    function = getattr(library, "fallocate64", None) or library.fallocate
    function.argtypes = ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64
    return function
