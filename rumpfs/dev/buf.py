"""The buffer cache: blocks of metadata, kept in memory and written in an order (NetBSD: vfs_bio.c).

`bread` finds a block; who has changed it says `bwrite`, after which it is written, or `bdwrite`, after which
it is written some time. Writes of the first kind reach the host in the order of the calls. Content of files
does not come here.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, NoReturn

from rumpfs.base.errors import VfsError
from rumpfs.base.memory import Memory

if TYPE_CHECKING:
    from rumpfs.dev.window import Window

#: Bytes of blocks kept.
_LIMIT = 16 << 20

#: Accounted bytes of a buffer beside its block.
_BUF = 200


class Buf:
    """A block of a device in memory.

    Attributes:
        address: byte offset on the device.
        data: the block; whoever changes it says so to the cache before anything else is done.
        start, stop: the bytes that are to be written some time; `stop` is 0 when there are none.
    """

    __slots__ = ("address", "data", "start", "stop")

    def __init__(self, address: int, data: bytearray) -> None:
        self.address = address
        self.data = data
        self.start = self.stop = 0


class BufCache:
    """The buffers of one device; those used least recently go first.

    Args:
        window: the device.
        memory: where the buffers are accounted; it may take away those that need not be written.
        failed: is told of an error of the host when something is written, and returns what to raise.

    Attributes:
        synchronous: `bwrite` waits until the host's disk has what it writes, so that a host that loses its
            power keeps the order, too.
    """

    __slots__ = (
        "__weakref__",
        "_bufs",
        "_delayed",
        "_failed",
        "_fsync",
        "_memory",
        "_nbytes",
        "_pread",
        "_pwrite",
        "synchronous",
    )

    def __init__(self, window: Window, memory: Memory, failed: Callable[[VfsError], VfsError]) -> None:
        self._pread: Callable[[int, int], bytes] = window.pread
        self._fsync: Callable[[], None] = window.fsync
        self.synchronous = False
        self._pwrite: Callable[[memoryview, int], int] = window.pwrite
        self._memory = memory
        self._failed = failed
        self._bufs: OrderedDict[int, Buf] = OrderedDict()
        self._delayed: dict[int, Buf] = {}
        self._nbytes = 0
        memory.add_reclaimer(self.reclaim)

    def bread(self, address: int, nbytes: int) -> Buf:
        """Return the buffer of the block at byte `address`.

        Args:
            nbytes: its length, which may be larger than it was before.

        Errors: what the host says.
        """
        bp = self._bufs.get(address)
        if bp is not None:
            if len(bp.data) >= nbytes:
                self._bufs.move_to_end(address)
                return bp
            if bp.stop:
                self.bwrite(bp, bp.start, bp.stop)
            self.binval(address)
        bp = self._delayed.get(address)
        if bp is None:
            bp = Buf(address, bytearray(self._pread(nbytes, address)))
        self._enter(bp)
        return bp

    def getblk(self, address: int, nbytes: int) -> Buf:
        """Return a buffer for a block whose former content does not matter; it is all zeros."""
        self.binval(address)
        bp = Buf(address, bytearray(nbytes))
        self._enter(bp)
        return bp

    def bwrite(self, bp: Buf, start: int = 0, stop: int | None = None) -> None:
        """Write the bytes [start, stop) of a buffer now. Errors: what `failed` returns."""
        if stop is None:
            stop = len(bp.data)
        try:
            self._pwrite(memoryview(bp.data)[start:stop], bp.address + start)
            if self.synchronous:
                self._fsync()
        except VfsError as error:
            raise self._failed(error) from error

    def bdwrite(self, bp: Buf, start: int = 0, stop: int | None = None) -> None:
        """Write the bytes [start, stop) of a buffer at the next `flush`."""
        if stop is None:
            stop = len(bp.data)
        bp.start = min(bp.start, start) if bp.stop else start
        bp.stop = max(bp.stop, stop)
        self._delayed[bp.address] = bp

    def flush(self) -> None:
        """Write what was delayed, in the order of the addresses. Errors: what `failed` returns."""
        for address in sorted(self._delayed):
            bp = self._delayed[address]
            self.bwrite(bp, bp.start, bp.stop)
            del self._delayed[address]
            bp.stop = 0

    def binval(self, address: int) -> None:
        """Forget the buffer of the block at `address`, and what of it was to be written."""
        bp = self._bufs.pop(address, None)
        if bp is not None:
            self._credit(bp)
        self._delayed.pop(address, None)

    def close(self, gone: Callable[..., NoReturn]) -> None:
        """Forget everything; `gone` is called by whoever still wants a block."""
        self._pread = self._pwrite = self._fsync = gone
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        for bp in self._bufs.values():
            self._credit(bp)
        self._bufs.clear()
        self._delayed.clear()

    def reclaim(self, nbytes: int) -> int:
        """Drop buffers until `nbytes` bytes are free or none is left; return the bytes freed."""
        freed = 0
        while freed < nbytes and self._bufs:
            freed += self._credit(self._bufs.popitem(last=False)[1])
        return freed

    def _enter(self, bp: Buf) -> None:
        """Keep a buffer, if there is memory for it."""
        cost = len(bp.data) + _BUF
        try:
            self._memory.charge(cost)
        except VfsError:
            return
        self._bufs[bp.address] = bp
        self._nbytes += cost
        while self._nbytes > _LIMIT:
            self._credit(self._bufs.popitem(last=False)[1])

    def _credit(self, bp: Buf) -> int:
        cost = len(bp.data) + _BUF
        self._nbytes -= cost
        self._memory.credit(cost)
        return cost
