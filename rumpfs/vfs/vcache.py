"""How many vnodes are kept that nobody uses: kern.maxvnodes (NetBSD: vfs_vnode.c, init_sysctl.c).

A file system that reads its vnodes from somewhere keeps those that were used last, in caches of its own, and
the name cache keeps what its names are; what is bounded here is all of them together. A tmpfs has no such
vnodes: its files are nowhere else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol
from weakref import WeakSet

from rumpfs.abi import errno
from rumpfs.base.errors import VfsError

if TYPE_CHECKING:
    from rumpfs.base.memory import Memory
    from rumpfs.vfs.namecache import NameCache

#: kern.maxvnodes at first: a walk of a large tree finds its directories again, in some 100 MB
MAXVNODES: Final = 65536
#: bytes that a vnode is said to cost (sys/sys/param.h), and the part of the memory that they may have
VNODE_COST: Final = 2048
_SHARE: Final = 75  # per cent
#: part of kern.maxvnodes that is made free when there are too many, and part of what is free that new vnodes
#: may take before all are counted again: so neither is done for every vnode
_FREED: Final = 64
_UNCOUNTED: Final = 16


class Kept(Protocol):
    """A cache whose entries keep a vnode each."""

    def __len__(self) -> int:
        """Return how many entries it has."""

    def reclaim(self, nbytes: int) -> int:
        """Drop the oldest entries until so many bytes are free; return the bytes freed."""


class Vcache:
    """The caches of vnodes of one kernel.

    Args:
        memory: bounds kern.maxvnodes, when there is a limit.
        namecache: one of the caches.
    """

    def __init__(self, memory: Memory, namecache: NameCache) -> None:
        self._memory = memory
        self._caches: WeakSet[Kept] = WeakSet([namecache])
        self._uncounted = 0  # new vnodes that are let in before all are counted
        self.set_maxvnodes(MAXVNODES)

    def __len__(self) -> int:
        return sum(map(len, self._caches))

    def attach(self, cache: Kept) -> None:
        """Count the vnodes of a cache, for as long as it is used; after each new one it calls `trim`."""
        self._caches.add(cache)

    def trim(self) -> None:
        """Drop the oldest vnodes of the largest caches while there are too many (cleanvnode).

        The less room there is, the more often they are counted.
        """
        self._uncounted -= 1
        if self._uncounted >= 0:
            return
        while (room := self.maxvnodes - len(self)) < 0:
            largest = max(self._caches, key=len)
            for _ in range(self.maxvnodes // _FREED - room):
                largest.reclaim(1)
        self._uncounted = room // _UNCOUNTED

    def set_maxvnodes(self, number: int) -> None:
        """Set kern.maxvnodes, as much of it as memory allows, and drop what is too many.

        Errors: EINVAL: none at all.
        """
        if number <= 0:
            raise VfsError(errno.EINVAL)
        if self._memory.limit is not None:
            number = min(number, max(1, self._memory.limit * _SHARE // 100 // VNODE_COST))
        self.maxvnodes: int = number
        self._uncounted = 0
        self.trim()
