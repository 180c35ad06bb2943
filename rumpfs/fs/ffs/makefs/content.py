"""The bytes of files that are to be in an image, wherever they are."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

#: Bytes that are read at once.
PIECE: Final = 1 << 20


class Changed(Exception):
    """A file is no longer what it was when it was looked at; `args` holds its path."""


class Part(NamedTuple):
    """Bytes [start, start + length) of a file, which an open host file has at byte `place`."""

    start: int
    length: int
    place: int


class Content(ABC):
    """The bytes of a file.

    Attributes:
        name: what messages call it.
        size: how many there are.
    """

    __slots__ = ("name", "size")

    name: bytes
    size: int

    @abstractmethod
    def open(self) -> int:
        """Return a descriptor from which `parts` can be read. Raises: OSError, Changed."""

    @abstractmethod
    def close(self, fd: int) -> None:
        """Give the descriptor back."""

    @abstractmethod
    def parts(self, fd: int) -> Iterable[Part]:
        """Return where the bytes are, in order; what is between them is a hole. Raises: OSError."""

    def read(self) -> bytes:
        """Return all bytes of a small file. Raises: OSError, Changed."""
        fd = self.open()
        try:
            data = bytearray(self.size)
            for part in self.parts(fd):
                view = memoryview(data)[part.start : part.start + part.length]
                self._read_into(fd, view, part.place)
            return bytes(data)
        finally:
            self.close(fd)

    def blocks(self, bsize: int) -> list[tuple[int, int]]:
        """Return (first, number) of the blocks that are not all zeros; the last block is always one.

        Raises:
            OSError, Changed.
        """
        last = -(-self.size // bsize) - 1
        found: list[tuple[int, int]] = []
        zeros = bytes(bsize)
        fd = self.open()
        try:
            for start, data in self._pieces(fd, bsize):
                for at in range(0, len(data), bsize):
                    if not data.startswith(zeros, at):
                        _add(found, (start + at) // bsize)
        finally:
            self.close(fd)
        if last >= 0:
            _add(found, last)
        return found

    def _pieces(self, fd: int, bsize: int) -> Iterator[tuple[int, bytearray]]:
        """Yield the start and the bytes of whole blocks that may hold something."""
        done = 0
        buffer = bytearray(PIECE)
        for part in self.parts(fd):
            start = max(done, part.start & -bsize)
            stop = min(self.size, part.start + part.length + bsize - 1 & -bsize)
            while start < stop:
                length = min(PIECE, stop - start)
                if length < len(buffer):
                    buffer = bytearray(length)
                self.fill(fd, memoryview(buffer)[:length], start)
                yield start, buffer
                start += length
            done = max(done, stop)

    def fill(self, fd: int, view: memoryview, start: int) -> None:
        """Put the bytes from `start` on into a view. Raises: OSError, Changed."""
        whole = self.whole
        if whole is not None:
            self._read_into(fd, view, whole + start)
            return
        view[:] = bytes(len(view))
        stop = start + len(view)
        for part in self.parts(fd):
            first, end = max(start, part.start), min(stop, part.start + part.length)
            if first < end:
                self._read_into(fd, view[first - start : end - start], part.place + first - part.start)

    def _read_into(self, fd: int, view: memoryview, place: int) -> None:
        """Fill a view from a host file. Raises: OSError; Changed: the file ends before."""
        while len(view):
            count = os.preadv(fd, [view], place)
            if not count:
                raise Changed(self.name)
            view = view[count:]
            place += count

    @property
    @abstractmethod
    def whole(self) -> int | None:
        """Byte of the host file at which all of it is, in one piece; None when it is in parts."""


def _add(runs: list[tuple[int, int]], block: int) -> None:
    """Add a block to runs that end before it, or with it."""
    if runs:
        first, count = runs[-1]
        if block < first + count:
            return
        if block == first + count:
            runs[-1] = (first, count + 1)
            return
    runs.append((block, 1))


class HostContent(Content):
    """A file of the host, as it was when `facts` were taken."""

    __slots__ = ("_ctime", "_sparse")

    def __init__(self, path: bytes, facts: os.stat_result) -> None:
        self.size = facts.st_size
        self.name = path
        self._ctime = facts.st_ctime_ns
        self._sparse = facts.st_blocks * 512 < facts.st_size

    def open(self) -> int:
        """Return a descriptor of the file."""
        fd = os.open(self.name, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NOCTTY)
        facts = os.fstat(fd)
        if facts.st_size != self.size or facts.st_ctime_ns != self._ctime:
            os.close(fd)
            raise Changed(self.name)
        return fd

    def close(self, fd: int) -> None:
        """Close the file."""
        os.close(fd)

    def read(self) -> bytes:
        """Return all bytes of the file."""
        fd = self.open()
        try:
            data = os.read(fd, self.size)
        finally:
            os.close(fd)
        return data if len(data) == self.size else super().read()

    @property
    def whole(self) -> int | None:
        """It begins at byte 0."""
        return 0

    def parts(self, fd: int) -> Iterator[Part]:
        """Yield what lies between the holes that the host knows of."""
        if not self._sparse:
            yield Part(0, self.size, 0)
            return
        stop = 0
        while stop < self.size:
            try:
                start = os.lseek(fd, stop, os.SEEK_DATA)
            except OSError:  # ENXIO: nothing but a hole up to the end
                return
            stop = min(os.lseek(fd, start, os.SEEK_HOLE), self.size)
            yield Part(start, stop - start, start)


class PartContent(Content):
    """Bytes that lie in an open file beside others, as in an archive.

    Args:
        name: what messages call it.
        fd: the file, which whoever made this keeps open.
        size: bytes, holes too.
        parts: where they are.
    """

    __slots__ = ("_fd", "_parts")

    def __init__(self, name: bytes, fd: int, size: int, parts: list[Part]) -> None:
        self.name = name
        self.size = size
        self._fd = fd
        self._parts = parts

    def open(self) -> int:
        """Return the open file."""
        return self._fd

    def close(self, fd: int) -> None:
        """Leave it open."""

    def parts(self, fd: int) -> Iterable[Part]:
        """Return where the bytes are."""
        return self._parts

    @property
    def whole(self) -> int | None:
        """Where the only part begins, if it is all of the file."""
        parts = self._parts
        return parts[0].place if len(parts) == 1 and parts[0].length == self.size else None


class HeldContent(Content):
    """Bytes in memory, such as those of a directory."""

    __slots__ = ("_data",)

    def __init__(self, name: bytes, data: bytes) -> None:
        self.name = name
        self.size = len(data)
        self._data = data

    def open(self) -> int:
        """There is nothing to open."""
        return -1

    def close(self, fd: int) -> None:
        """There is nothing to close."""

    def parts(self, fd: int) -> Iterable[Part]:
        """Return one part: there are no holes."""
        return [Part(0, self.size, 0)]

    def read(self) -> bytes:
        """Return all bytes."""
        return self._data

    def fill(self, fd: int, view: memoryview, start: int) -> None:
        """Put the bytes from `start` on into a view."""
        view[:] = self._data[start : start + len(view)]

    @property
    def whole(self) -> int | None:
        """It is in no host file."""
        return None
