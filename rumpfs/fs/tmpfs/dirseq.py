"""The names in a directory in the order in which they are listed (NetBSD: tmpfs_subr.c: tmpfs_dir_getseq)."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from typing import Final

#: entries that are moved at most when one goes
_BLOCK: Final = 512

_Entry = tuple[int, bytes]


class DirSeq:
    """Names by their cookies. What an operation costs hardly depends on how many there are.

    The entries stand in blocks, none of them empty.
    """

    __slots__ = ("_blocks",)

    def __init__(self) -> None:
        self._blocks: list[list[_Entry]] = []

    def append(self, cookie: int, name: bytes) -> None:
        """Enter a name; its cookie is larger than all before."""
        blocks = self._blocks
        if blocks and len(blocks[-1]) < _BLOCK:
            blocks[-1].append((cookie, name))
        else:
            blocks.append([(cookie, name)])

    def replace(self, cookie: int, name: bytes) -> None:
        """Give the entry with this cookie another name."""
        block, index = self._find(cookie)
        self._blocks[block][index] = cookie, name

    def remove(self, cookie: int) -> None:
        """Take the entry with this cookie out."""
        block, index = self._find(cookie)
        del self._blocks[block][index]
        if not self._blocks[block]:
            del self._blocks[block]

    def since(self, cookie: int) -> Iterator[_Entry]:
        """Yield the entries from the cookie on, which need not be there."""
        first, index = self._find(cookie)
        for block in self._blocks[first : first + 1]:
            yield from block[index:]
        for number in range(first + 1, len(self._blocks)):
            yield from self._blocks[number]

    def _find(self, cookie: int) -> tuple[int, int]:
        """Return the block, and the place in it, where the cookie stands or would stand."""
        blocks = self._blocks
        block = max(0, bisect_right(blocks, cookie, key=_first) - 1)
        return block, bisect_left(blocks[block], (cookie,)) if blocks else 0


def _first(block: list[_Entry]) -> int:
    return block[0][0]
