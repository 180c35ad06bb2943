"""Accounting of the memory that the kernel allocates, with the limit of `-r` (NetBSD: rump's memalloc.c)."""

from __future__ import annotations

from collections.abc import Callable
from weakref import WeakMethod

from rumpfs.abi import errno
from rumpfs.base.errors import VfsError


class Memory:
    """Counts bytes against a limit; caches that can shrink are asked before a caller is refused.

    Args:
        limit: bytes, or None for no limit (rump_server -r total_ram).
    """

    __slots__ = ("_reclaimers", "limit", "used")

    def __init__(self, limit: int | None = None) -> None:
        self.limit = limit
        self.used = 0
        self._reclaimers: list[WeakMethod[Callable[[int], int]]] = []

    def add_reclaimer(self, reclaim: Callable[[int], int]) -> None:
        """Enter a cache's method that is given a number of bytes to free and returns how many it freed.

        The cache is forgotten with its last other user.
        """
        self._reclaimers = [method for method in self._reclaimers if method() is not None]
        self._reclaimers.append(WeakMethod(reclaim))

    @property
    def available(self) -> int | None:
        """Bytes left below the limit; None without one."""
        return None if self.limit is None else max(0, self.limit - self.used)

    def charge(self, nbytes: int) -> None:
        """Count `nbytes` as used.

        Errors:
            ENOSPC: the limit is reached and no cache could shrink enough.
        """
        if self.limit is not None and self.used + nbytes > self.limit:
            for method in self._reclaimers:
                reclaim = method()
                if reclaim is not None:
                    reclaim(self.used + nbytes - self.limit)
                if self.used + nbytes <= self.limit:
                    break
            else:
                raise VfsError(errno.ENOSPC, "the kernel's memory limit is reached")
        self.used += nbytes

    def credit(self, nbytes: int) -> None:
        """Give `nbytes` back."""
        self.used -= nbytes
