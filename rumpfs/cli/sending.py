"""Copying of bytes by the host's kernel, from where they are in an image to a file or a pipe."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from io import RawIOBase
from typing import Final, TypeAlias

#: bytes of one call: so many that calls cost nothing, and few enough for being told how far it is
CHUNK: Final = 16 << 20
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
        while self._ways:
            try:
                return self._ways[0](self._fd, source, address, count)
            except OSError as error:
                if error.errno not in _CANNOT:
                    raise
            del self._ways[0]
        return 0


def _copy_file_range(target: int, source: int, address: int, count: int) -> int:
    return os.copy_file_range(source, target, count, address)
