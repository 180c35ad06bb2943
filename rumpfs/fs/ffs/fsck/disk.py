"""The device that is checked: what is changed is kept until it is written all at once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Protocol

#: Changes are kept in pieces of this size, which divides every block.
CHUNK: Final = 4096
#: Bytes of one write.
_WRITE: Final = 1 << 20


class Device(Protocol):
    """What is used of a `Window`."""

    @property
    def size(self) -> int:
        """Bytes of it."""

    def pread(self, nbytes: int, offset: int) -> bytes:
        """Return bytes, fewer at the end."""

    def pwrite(self, data: bytes, offset: int) -> int:
        """Write bytes; return how many."""

    def fsync(self) -> None:
        """Wait until all is on the disk."""


class Disk:
    """A device under changes.

    Args:
        device: the device.
        chunks: changes to begin with: number of the chunk -> its bytes.

    Attributes:
        size: bytes of the device.
        chunks: the changes.
        modified: True once something was changed.
    """

    def __init__(self, device: Device, chunks: dict[int, bytearray] | None = None) -> None:
        self.device = device
        self.size = device.size
        self.chunks: dict[int, bytearray] = {} if chunks is None else chunks
        self.modified = False

    def read(self, nbytes: int, offset: int) -> bytes:
        """Return the bytes at `offset`, fewer at the end of the device and none beyond it."""
        if offset >= self.size:
            return b""
        data = self.device.pread(nbytes, offset)
        if not self.chunks or not data:
            return data
        end = offset + len(data)
        found = [index for index in range(offset // CHUNK, (end - 1) // CHUNK + 1) if index in self.chunks]
        if not found:
            return data
        whole = bytearray(data)
        for index in found:
            start = index * CHUNK
            first = max(start, offset)
            last = min(start + CHUNK, end)
            whole[first - offset : last - offset] = self.chunks[index][first - start : last - start]
        return bytes(whole)

    def write(self, data: bytes | bytearray, offset: int) -> None:
        """Change the bytes at `offset`; what lies beyond the end of the device is left out."""
        self.modified = True
        end = min(offset + len(data), self.size)
        for index in range(offset // CHUNK, -(-end // CHUNK)):
            start = index * CHUNK
            chunk = self.chunks.get(index)
            if chunk is None:
                chunk = self.chunks[index] = bytearray(self.device.pread(CHUNK, start))
            first = max(start, offset)
            last = min(start + CHUNK, end)
            chunk[first - start : last - start] = data[first - offset : last - offset]

    def commit(self) -> None:
        """Write the changes to the device and wait until they are there."""
        for offset, data in self.changes():
            self.device.pwrite(data, offset)
        self.chunks.clear()
        self.device.fsync()

    def changes(self) -> Iterator[tuple[int, bytes]]:
        """Yield (offset, bytes) of the changes in ascending order, neighbours together."""
        run: list[bytes] = []
        first = length = 0
        for index in sorted(self.chunks):
            if run and (index * CHUNK != first + length or length >= _WRITE):
                yield first, b"".join(run)
                run, length = [], 0
            if not run:
                first = index * CHUNK
            run.append(bytes(self.chunks[index]))
            length += len(run[-1])
        if run:
            yield first, b"".join(run)
