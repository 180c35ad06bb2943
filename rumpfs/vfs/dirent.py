"""Directory listings: packing struct dirent, and cutting a packed listing at a cookie.

A listing is packed once and kept by its directory until that changes, so that reading a large directory
costs a slice (NetBSD: vfs_dirhash.c has the same purpose).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable

from rumpfs.abi.stat import DIRENT, DIRENT_NAME, direntsize

_pack = DIRENT.pack


class Listing:
    """A packed directory.

    Args:
        entries: (cookie, fileid, DT_ type, name) in order of cookies; the cookie is the position of the
            entry, and a reader goes on behind it with the next larger one.
    """

    __slots__ = ("_cookies", "_ends", "data")

    def __init__(self, entries: Iterable[tuple[int, int, int, bytes]]) -> None:
        parts: list[bytes] = []
        cookies: list[int] = []
        ends: list[int] = []
        end = 0
        for cookie, fileid, dtype, name in entries:
            reclen = direntsize(len(name))
            parts.append(_pack(fileid, reclen, len(name), dtype) + name.ljust(reclen - DIRENT_NAME, b"\0"))
            cookies.append(cookie)
            end += reclen
            ends.append(end)
        self.data = b"".join(parts)
        self._cookies = cookies
        self._ends = ends

    def holds(self, offset: int, count: int) -> bool:
        """Whether there are `count` bytes from cookie `offset` on."""
        first = bisect_left(self._cookies, offset)
        start = self._ends[first - 1] if first else 0
        return bool(self._ends) and self._ends[-1] - start >= count

    def read(self, offset: int, count: int) -> tuple[bytes, int]:
        """Return whole entries from cookie `offset` on, at most `count` bytes, and the cookie to go on at."""
        first = bisect_left(self._cookies, offset)
        start = self._ends[first - 1] if first else 0
        last = bisect_right(self._ends, start + count)
        if last <= first:
            return b"", offset
        end = self._ends[last - 1]
        data = self.data if start == 0 and end == len(self.data) else self.data[start:end]
        return data, self._cookies[last - 1] + 1
