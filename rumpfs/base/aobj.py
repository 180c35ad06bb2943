"""Anonymous memory objects: the content of files that live in memory (NetBSD: uvm/uvm_aobj.c).

Content is kept in chunks, so that a file can grow without being copied, and so that what is on its way to
a client (a memoryview of a chunk) never has to be resized.
"""

from __future__ import annotations

from typing import Final, Protocol

from rumpfs.base.copy import Buffer, Data

PAGE_SIZE: Final = 4096
CHUNK_SHIFT: Final = 16
CHUNK_SIZE: Final = 1 << CHUNK_SHIFT
_CHUNK_MASK: Final = CHUNK_SIZE - 1

#: what one read returns at most: a hole costs its reader nothing, but every piece of the answer does
MAXREAD: Final = 1 << 30

#: from this size on a copy through a memoryview is cheaper than a bytearray's own slice assignment
_LARGE: Final = 2048

_ZEROES: Final = memoryview(bytes(CHUNK_SIZE))


def round_page(nbytes: int) -> int:
    """Return `nbytes` rounded up to whole pages."""
    return (nbytes + PAGE_SIZE - 1) & -PAGE_SIZE


class Account(Protocol):
    """Where memory is counted."""

    def charge(self, nbytes: int) -> None:
        """Count `nbytes` as used. Errors: ENOSPC, and nothing is counted."""

    def credit(self, nbytes: int) -> None:
        """Give `nbytes` back."""


class Aobj:
    """Bytes in memory. What was never written reads as zeroes and takes no memory.

    Args:
        account: where the pages are counted.

    Attributes:
        size: length in bytes.
        resident: bytes of memory taken, in whole pages.
    """

    __slots__ = ("_account", "_chunks", "resident", "size")

    def __init__(self, account: Account) -> None:
        self.size = 0
        self.resident = 0
        self._account = account
        # By number; each has whole pages, up to the last page that was written in it.
        self._chunks: dict[int, bytearray] = {}

    def read(self, offset: int, length: int) -> Data:
        """Return at most `length` bytes at `offset`; fewer at the end, and never more than MAXREAD.

        What lies in one chunk is copied; more than that comes as views of the chunks, which show what is
        written to them later.
        """
        end = min(offset + length, self.size)
        if end <= offset:
            return b""
        chunk = self._chunks.get(offset >> CHUNK_SHIFT)
        if chunk is not None:
            start = offset & _CHUNK_MASK
            stop = start + end - offset
            if stop <= len(chunk):
                return chunk[start:stop]
        return self._gather(offset, min(end, offset + MAXREAD))

    def _gather(self, offset: int, end: int) -> list[Buffer]:
        pieces: list[Buffer] = []
        while offset < end:
            start = offset & _CHUNK_MASK
            stop = min(CHUNK_SIZE, start + end - offset)
            chunk = self._chunks.get(offset >> CHUNK_SHIFT)
            if chunk is not None and start < len(chunk):
                stop = min(stop, len(chunk))
                pieces.append(memoryview(chunk)[start:stop])
            else:
                pieces.append(_ZEROES[start:stop])
            offset += stop - start
        return pieces

    def write(self, offset: int, data: Buffer) -> None:
        """Store `data` at `offset`. Errors: ENOSPC, and nothing is written."""
        nbytes = len(data)
        if not nbytes:
            return
        start = offset & _CHUNK_MASK
        stop = start + nbytes
        if stop <= CHUNK_SIZE:
            index = offset >> CHUNK_SHIFT
            chunk = self._chunks.get(index)
            if chunk is None or len(chunk) < stop:
                held = 0 if chunk is None else len(chunk)
                need = round_page(stop) - held
                self._account.charge(need)
                self.resident += need
                chunk = self._extend(index, held + need)
            if nbytes < _LARGE:
                chunk[start:stop] = data
            else:
                memoryview(chunk)[start:stop] = data
        else:
            self._scatter(offset, memoryview(data))
        if offset + nbytes > self.size:
            self.size = offset + nbytes

    def _extend(self, index: int, length: int) -> bytearray:
        """Return chunk `index`, made or made longer to have `length` bytes, already accounted."""
        chunk = self._chunks.get(index)
        if chunk is None:
            chunk = self._chunks[index] = bytearray(length)
        elif len(chunk) < length:
            more = _ZEROES[: length - len(chunk)]
            try:
                chunk += more
            except BufferError:  # a view of it is on its way to a reader
                chunk = self._chunks[index] = chunk + more
        return chunk

    def _scatter(self, offset: int, view: memoryview) -> None:
        """Store what spans several chunks: count the memory first, then fill them."""
        pieces: list[tuple[int, int, int, int]] = []  # chunk, first and last byte in it, its new length
        need = 0
        end = offset + len(view)
        while offset < end:
            index = offset >> CHUNK_SHIFT
            start = offset & _CHUNK_MASK
            stop = min(CHUNK_SIZE, start + end - offset)
            chunk = self._chunks.get(index)
            held = 0 if chunk is None else len(chunk)
            length = max(held, round_page(stop))
            need += length - held
            pieces.append((index, start, stop, length))
            offset += stop - start
        self._account.charge(need)
        self.resident += need
        done = 0
        for index, start, stop, length in pieces:
            piece = view[done : done + stop - start]
            done += stop - start
            if stop - start == length and index not in self._chunks:
                self._chunks[index] = bytearray(piece)
            else:
                memoryview(self._extend(index, length))[start:stop] = piece

    def truncate(self, size: int) -> None:
        """Set the length; a longer object has a hole at its end, a shorter one gives its pages back."""
        if size < self.size:
            self._shrink(size)
        self.size = size

    def _shrink(self, size: int) -> None:
        chunks = self._chunks
        whole = (size + _CHUNK_MASK) >> CHUNK_SHIFT
        freed = sum(len(chunks.pop(index)) for index in [index for index in chunks if index >= whole])
        start = size & _CHUNK_MASK
        chunk = chunks.get(size >> CHUNK_SHIFT)
        if chunk is not None and start < len(chunk):
            keep = round_page(start)
            if keep < len(chunk):
                freed += len(chunk) - keep
                try:
                    del chunk[keep:]
                except BufferError:  # a view of it is on its way to a reader
                    chunk = chunks[size >> CHUNK_SHIFT] = chunk[:keep]
            chunk[start:keep] = bytes(keep - start)
        self.resident -= freed
        self._account.credit(freed)
