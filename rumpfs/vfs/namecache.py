"""The name cache: which vnode a name in a directory is, or that there is none (NetBSD: vfs_cache.c)."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rumpfs.base.memory import Memory
    from rumpfs.vfs.mount import Mount
    from rumpfs.vfs.vnode import Vnode

#: accounted bytes of one entry beside its name: the key, the slot and its links
ENTRY = 160
#: names kept without a memory limit; as a directory of 100,000 files still fits
MAXNAMES = 262_144


class NameCache:
    """Names of directories whose own lookup is slow; least recently entered ones go first.

    Args:
        memory: where the entries are accounted; under its limit the cache shrinks.
    """

    __slots__ = ("__weakref__", "_memory", "_names", "get")

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._names: OrderedDict[tuple[Vnode, bytes], Vnode | None] = OrderedDict()
        #: get((dvp, name), default) -> vnode, None for a name known to be absent, or the default
        self.get = self._names.get
        memory.add_reclaimer(self.reclaim)

    def __len__(self) -> int:
        return len(self._names)

    def enter(self, dvp: Vnode, name: bytes, vp: Vnode | None) -> None:
        """Remember `name` in `dvp`; None says that it is absent."""
        if len(self._names) >= MAXNAMES:
            self._drop()
        key = (dvp, name)
        if key not in self._names:
            self._memory.charge(ENTRY + len(name))
        self._names[key] = vp

    def purge(self, dvp: Vnode, name: bytes) -> None:
        """Forget `name` in `dvp`."""
        if self._names.pop((dvp, name), self) is not self:
            self._memory.credit(ENTRY + len(name))

    def purge_mount(self, mp: Mount) -> None:
        """Forget every name of a mount."""
        for dvp, name in [key for key in self._names if key[0].v_mount is mp]:
            self.purge(dvp, name)

    def _drop(self) -> int:
        (_, name), _ = self._names.popitem(last=False)
        self._memory.credit(ENTRY + len(name))
        return ENTRY + len(name)

    def reclaim(self, nbytes: int) -> int:
        """Forget the oldest names until so many bytes are free; return the bytes freed."""
        freed = 0
        while freed < nbytes and self._names:
            freed += self._drop()
        return freed
