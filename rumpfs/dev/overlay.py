"""A window in which some bytes come from elsewhere: a log that is replayed without writing."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable

from rumpfs.dev.window import Window


class Overlay(Window):
    """What a window would be if extents of it were copied inside of it; the host file stays as it is.

    It takes over the window's use of the host file.

    Args:
        window: the bytes below.
        extents: (start, length, source): `length` bytes at byte `start` read as those at byte `source` of the
            window. Disjoint, in ascending order, and inside the window.

    Attributes:
        below: the window.
    """

    __slots__ = ("_sources", "_starts", "_stops", "below")

    def __init__(self, window: Window, extents: Iterable[tuple[int, int, int]]) -> None:
        Window.__init__(self, window.hostfile, window.offset, window.size, readonly=True, name=window.name)
        self.below = window
        ordered = list(extents)
        self._starts = [start for start, _, _ in ordered]
        self._stops = [start + length for start, length, _ in ordered]
        self._sources = [source for _, _, source in ordered]

    def pread(self, nbytes: int, offset: int) -> bytes:
        data = self.below.pread(nbytes, offset)
        first = bisect_right(self._stops, offset)
        if first == len(self._stops) or self._starts[first] >= offset + len(data):
            return data
        whole = bytearray(data)
        self._copy(memoryview(whole), offset, first)
        return bytes(whole)

    def preadv(self, buffers: list[memoryview | bytearray], offset: int) -> int:
        done = self.below.preadv(buffers, offset)
        end = offset + done
        for buffer in buffers:
            view = memoryview(buffer)[: end - offset]
            self._copy(view, offset, bisect_right(self._stops, offset))
            offset += len(view)
        return done

    def located(self, offset: int, nbytes: int) -> tuple[int, int] | None:
        first = bisect_right(self._stops, offset)
        touched = first < len(self._starts) and self._starts[first] < offset + nbytes
        return None if touched else self.below.located(offset, nbytes)

    def _copy(self, view: memoryview, offset: int, index: int) -> None:
        """Put the extents from `index` on that touch it into a view of the bytes from `offset` on."""
        end = offset + len(view)
        while index < len(self._starts) and self._starts[index] < end:
            first = max(self._starts[index], offset)
            last = min(self._stops[index], end)
            source = self._sources[index] + first - self._starts[index]
            self.below.preadv([view[first - offset : last - offset]], source)
            index += 1
