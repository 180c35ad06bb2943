"""The names in a directory in memory, in the order in which they are listed (NetBSD: tmpfs_subr.c)."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Final, NamedTuple

from rumpfs.base.copy import Data
from rumpfs.vfs.dirent import Listing

#: entries that are moved at most when one goes
_BLOCK: Final = 512
#: the smallest struct dirent: what bounds the number of entries that fit a buffer
_DIRENT_MIN: Final = 16
#: how much more is packed when a directory is read on without having changed
_GROWTH: Final = 4

_Entry = tuple[int, bytes]


class _Packed(NamedTuple):
    """The entries from the cookie `first` on, `run` of them, or all when they are the `last`."""

    listing: Listing
    first: int
    run: int
    last: bool

    def serves(self, offset: int, count: int) -> bool:
        """Whether what is to be read is here, as much as there is of it."""
        return offset >= self.first and (self.last or self.listing.holds(offset, count))


class DirSeq:
    """Names by their cookies. What an operation costs hardly depends on how many there are.

    The entries stand in blocks, none of them empty.
    """

    __slots__ = ("_blocks", "_packed")

    def __init__(self) -> None:
        self._blocks: list[list[_Entry]] = []
        self._packed: _Packed | None = None

    def append(self, cookie: int, name: bytes) -> None:
        """Enter a name; its cookie is larger than all before."""
        blocks = self._blocks
        if blocks and len(blocks[-1]) < _BLOCK:
            blocks[-1].append((cookie, name))
        else:
            blocks.append([(cookie, name)])
        self._packed = None

    def prepend(self, cookie: int, name: bytes) -> None:
        """Enter a name; its cookie is smaller than all before."""
        blocks = self._blocks
        if blocks and len(blocks[0]) < _BLOCK:
            blocks[0].insert(0, (cookie, name))
        else:
            blocks.insert(0, [(cookie, name)])
        self._packed = None

    def replace(self, cookie: int, name: bytes) -> None:
        """Give the entry with this cookie another name."""
        block, index = self._find(cookie)
        self._blocks[block][index] = cookie, name
        self._packed = None

    def remove(self, cookie: int) -> None:
        """Take the entry with this cookie out."""
        block, index = self._find(cookie)
        del self._blocks[block][index]
        if not self._blocks[block]:
            del self._blocks[block]
        self._packed = None

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
        if not blocks:
            return 0, 0
        block = len(blocks) - 1  # what was made last goes first, more often than not
        if cookie < blocks[block][0][0]:
            block = max(0, bisect_right(blocks, cookie, key=_first) - 1)
        return block, bisect_left(blocks[block], (cookie,))

    # --- listing ----------------------------------------------------------------------------------

    def read(
        self,
        offset: int,
        count: int,
        inode: Callable[[bytes], tuple[int, int]],
        dots: Sequence[tuple[int, int, int, bytes]] = (),
    ) -> tuple[Data, int]:
        """Return struct dirents of at most `count` bytes from the cookie `offset`, and the next cookie.

        Entries keep their cookies when others come and go. No more is packed than is asked for, but what
        has not changed when it is read on is packed in ever longer runs, and kept: so neither reading and
        removing by turns nor reading again costs more than it has to.

        Args:
            inode: returns the number and the DT_ type of what a name is.
            dots: what is listed before the names, as `Listing` takes it.
        """
        packed = self._packed
        if packed is None or not packed.serves(offset, count):
            run = count // _DIRENT_MIN + 1
            if packed is not None:
                run = max(run, _GROWTH * packed.run)
            names = list(islice(self.since(offset), run))
            entries = [*dots, *((cookie, *inode(name), name) for cookie, name in names)]
            packed = self._packed = _Packed(Listing(entries), offset, run, len(names) < run)
        return packed.listing.read(offset, count)

    def repack(self) -> None:
        """Something that is listed has another inode than when it was listed last."""
        self._packed = None


def _first(block: list[_Entry]) -> int:
    return block[0][0]
