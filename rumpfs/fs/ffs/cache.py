"""Caches that are bounded in bytes, and shrink when the kernel's memory runs out (`rump_server -r`)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

from rumpfs.base.errors import VfsError
from rumpfs.base.memory import Memory

K = TypeVar("K")
V = TypeVar("V")


class Cache(Generic[K, V]):
    """Values by key; the least recently used ones go first.

    Args:
        memory: where the values are accounted; it may take them away at any time.
        limit: bytes of all values together.
        cost: returns the accounted bytes of a value, always the same for one value.
        evicted: called with each key and value that is dropped, or was refused for lack of memory.
    """

    __slots__ = ("__weakref__", "_cost", "_evicted", "_items", "_limit", "_memory", "nbytes")

    def __init__(
        self,
        memory: Memory,
        limit: int,
        cost: Callable[[V], int],
        evicted: Callable[[K, V], None] | None = None,
    ) -> None:
        self._items: OrderedDict[K, V] = OrderedDict()
        self._memory = memory
        self._limit = limit
        self._cost = cost
        self._evicted = evicted
        self.nbytes = 0
        memory.add_reclaimer(self.reclaim)

    def __len__(self) -> int:
        return len(self._items)

    def get(self, key: K) -> V | None:
        """Return the value of a key and mark it as used; None when it is not here."""
        value = self._items.get(key)
        if value is not None:
            self._items.move_to_end(key)
        return value

    def put(self, key: K, value: V) -> None:
        """Keep a value under a key that is not here; without memory for it, it is not kept."""
        cost = self._cost(value)
        try:
            self._memory.charge(cost)
        except VfsError:
            if self._evicted is not None:
                self._evicted(key, value)
            return
        self._items[key] = value
        self.nbytes += cost
        while self.nbytes > self._limit:
            self._drop()

    def remove(self, key: K) -> None:
        """Forget the value of a key, if there is one."""
        value = self._items.pop(key, None)
        if value is not None:
            cost = self._cost(value)
            self.nbytes -= cost
            self._memory.credit(cost)

    def reclaim(self, nbytes: int) -> int:
        """Drop values until `nbytes` bytes are free or none is left; return the bytes freed."""
        freed = 0
        while freed < nbytes and self._items:
            freed += self._drop()
        return freed

    def clear(self) -> None:
        """Forget everything."""
        self._items.clear()
        self._memory.credit(self.nbytes)
        self.nbytes = 0

    def _drop(self) -> int:
        key, value = self._items.popitem(last=False)
        cost = self._cost(value)
        self.nbytes -= cost
        self._memory.credit(cost)
        if self._evicted is not None:
            self._evicted(key, value)
        return cost
