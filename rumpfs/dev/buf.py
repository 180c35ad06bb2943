"""The buffer cache: blocks of metadata, kept in memory and written in an order (NetBSD: vfs_bio.c).

`bread` finds a block; who has changed it says `bwrite`, after which it is written, `bawrite`, after which it
is written as well, or `bdwrite`, after which it is written some time. A host that loses its power keeps an
order only from one barrier to the next: `bwrite` begins with one, so that it comes after all that was written
earlier; what `bawrite` writes may come before that. Content of files does not come here.

With a log every write is of the second kind (`logged`): the log is given what is to be written, `pending`,
and calls `flush` when it has it. Until then the blocks here are newer than those on the device, and who reads
metadata in other ways uses `pread`.
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

#: What a disk writes whole (DEV_BSIZE), and the largest block (MAXBSIZE).
_SECTOR = 512
_LARGEST = 65536

#: Blocks that wait to be written before others at most.
_FIRST_MAX = 256


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
        grain, largest: blocks start at multiples of `grain` bytes, have at most `largest`, and do not cross a
            multiple of that.

    Attributes:
        ordered: `bwrite` comes after everything else on the host's disk, too, not only in the host's memory.
        synchronous: what is written now is on the host's disk before anything else is done.
        unsettled: something was written since the last barrier.
        barriers: how many barriers there were.
        unread: something could not be read; whoever wanted it may have left a change half done.
        logged: `bwrite` is `bdwrite`; a log has to take down what is written before.
        delayed: bytes that wait to be written.
    """

    __slots__ = (
        "__weakref__",
        "_bufs",
        "_delayed",
        "_failed",
        "_first",
        "_fsync",
        "_grain",
        "_largest",
        "_memory",
        "_nbytes",
        "_pread",
        "_pwrite",
        "barriers",
        "delayed",
        "logged",
        "ordered",
        "synchronous",
        "unread",
        "unsettled",
    )

    def __init__(
        self,
        window: Window,
        memory: Memory,
        failed: Callable[[VfsError], VfsError],
        grain: int = _SECTOR,
        largest: int = _LARGEST,
    ) -> None:
        self.attach(window)
        self.ordered = True
        self.synchronous = self.logged = self.unsettled = self.unread = False
        self.barriers = 0
        self._memory = memory
        self._failed = failed
        self._grain = grain
        self._largest = largest
        self._bufs: OrderedDict[int, Buf] = OrderedDict()
        self._delayed: dict[int, Buf] = {}
        self._first: set[int] = set()  # addresses of those that are written before others
        self._nbytes = 0
        self.delayed = 0
        memory.add_reclaimer(self.reclaim)

    def attach(self, window: Window) -> None:
        """Use a device, which has the same content as the one before."""
        self._pread: Callable[[int, int], bytes] = window.pread
        self._pwrite: Callable[[memoryview, int], int] = window.pwrite
        self._fsync: Callable[[], None] = window.fsync

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
            self._credit(self._bufs.pop(address))
        else:
            bp = self._delayed.get(address)
        if bp is None:
            bp = Buf(address, bytearray(self._read(nbytes, address)))
        elif len(bp.data) < nbytes:
            bp.data += self._read(nbytes - len(bp.data), address + len(bp.data))
        self._enter(bp)
        return bp

    def getblk(self, address: int, nbytes: int) -> Buf:
        """Return a buffer for a block whose former content does not matter; it is all zeros."""
        old = self._delayed.get(address)
        start, stop = (old.start, min(old.stop, nbytes)) if old is not None else (0, 0)
        first = address in self._first
        self.binval(address)
        bp = Buf(address, bytearray(nbytes))
        if stop:
            self.bdwrite(bp, start, stop)
            if first:
                self._first.add(address)
        self._enter(bp)
        return bp

    def pread(self, nbytes: int, address: int) -> bytes:
        """Return bytes of the device as they will be when everything is written. Errors: what the host says.

        Args:
            address: of a block, or in one.
        """
        data = self._read(nbytes, address)
        if not self._delayed:
            return data
        start, end = address - address % self._largest, address + len(data)
        whole: bytearray | None = None
        for place in range(start, end, self._grain):
            bp = self._delayed.get(place)
            if bp is None:
                continue
            first, last = max(place + bp.start, address), min(place + bp.stop, end)
            if first < last:
                whole = whole or bytearray(data)
                whole[first - address : last - address] = bp.data[first - place : last - place]
        return data if whole is None else bytes(whole)

    def bwrite(self, bp: Buf, start: int = 0, stop: int | None = None) -> None:
        """Write the bytes [start, stop) of a buffer now, after everything written before.

        Errors: what `failed` returns.
        """
        if not self.logged:
            self._order()
        self.bawrite(bp, start, stop)

    def bawrite(self, bp: Buf, start: int = 0, stop: int | None = None) -> None:
        """Write the bytes [start, stop) of a buffer now, in no order with what was written before.

        Errors: what `failed` returns.
        """
        if self.logged:
            self.bdwrite(bp, start, stop)
        else:
            self._write(bp, start, len(bp.data) if stop is None else stop)

    def bdwrite(self, bp: Buf, start: int = 0, stop: int | None = None) -> None:
        """Write the bytes [start, stop) of a buffer at the next `flush`; with a log, all before them as well.

        A NetBSD kernel that mounts read-only finds a block in the log by its first sector only
        (vfs_wapbl.c: wapbl_replay_can_read).
        """
        if stop is None:
            stop = len(bp.data)
        if self.logged:
            start = 0
        self.delayed -= bp.stop - bp.start
        if bp.stop:
            start, stop = min(bp.start, start), max(bp.stop, stop)
        bp.start, bp.stop = start, stop
        self.delayed += stop - start
        self._delayed[bp.address] = bp

    def bdwrite_first(self, bp: Buf, start: int = 0, stop: int | None = None) -> None:
        """Write the bytes [start, stop) of a buffer before what the next `bwrite` or `flush` writes.

        Errors: what `failed` returns.
        """
        self.bdwrite(bp, start, stop)
        if not self.logged:
            self._first.add(bp.address)
            if len(self._first) > _FIRST_MAX:
                self._order()

    def rewrite(self, address: int, data: bytes, nbytes: int = 0) -> None:
        """Let the block at byte `address` begin with `data`; what differs is written at the next `flush`.

        Args:
            nbytes: the length of the block, when it is more.

        Errors: what the host says.
        """
        bp = self.bread(address, nbytes or len(data))
        different = int.from_bytes(bp.data[: len(data)], "little") ^ int.from_bytes(data, "little")
        if different:
            first = (different & -different).bit_length() - 1 >> 3
            last = different.bit_length() - 1 >> 3
            bp.data[first : last + 1] = data[first : last + 1]
            self.bdwrite(bp, first - first % _SECTOR, min(len(bp.data), last - last % _SECTOR + _SECTOR))

    def flush(self) -> None:
        """Write what was delayed, after everything written before. Errors: what `failed` returns."""
        if self._delayed and not self.logged:
            self._order()
        for bp in self.pending():
            self._write(bp, bp.start, bp.stop)

    @property
    def waiting(self) -> int:
        """Buffers of which something is delayed."""
        return len(self._delayed)

    def pending(self) -> list[Buf]:
        """Return the buffers of which something is delayed, in the order of the addresses."""
        return [self._delayed[address] for address in sorted(self._delayed)]

    def _order(self) -> None:
        """Let everything written so far, and then what comes first, be on the host's disk."""
        if self.unsettled and self.ordered:
            self.barrier()
        if self._first:
            for bp in [self._delayed[address] for address in sorted(self._first)]:
                self._write(bp, bp.start, bp.stop)
            if self.ordered:
                self.barrier()

    def barrier(self) -> None:
        """Wait until the host's disk has what was written. Errors: what `failed` returns."""
        try:
            self._fsync()
        except VfsError as error:
            raise self._failed(error) from error
        self.unsettled = False
        self.barriers += 1

    def binval(self, address: int) -> None:
        """Forget the buffer of the block at `address`, and what of it was to be written."""
        bp = self._bufs.pop(address, None)
        if bp is not None:
            self._credit(bp)
        bp = self._delayed.get(address)
        if bp is not None:
            self._clean(bp)

    def stop(self, refused: Callable[..., NoReturn]) -> None:
        """Write nothing any more; `refused` is called in place of it."""
        self._pwrite = self._fsync = refused

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
        self._first.clear()
        self.delayed = 0

    def reclaim(self, nbytes: int) -> int:
        """Drop buffers until `nbytes` bytes are free or none is left; return the bytes freed.

        What is to be written stays, no longer accounted, until it is.
        """
        freed = 0
        while freed < nbytes and self._bufs:
            freed += self._credit(self._bufs.popitem(last=False)[1])
        return freed

    def _read(self, nbytes: int, address: int) -> bytes:
        try:
            return self._pread(nbytes, address)
        except VfsError:
            self.unread = True
            raise

    def _write(self, bp: Buf, start: int, stop: int) -> None:
        try:
            self._pwrite(memoryview(bp.data)[start:stop], bp.address + start)
        except VfsError as error:
            raise self._failed(error) from error
        self.unsettled = True
        if bp.stop and start <= bp.start and bp.stop <= stop:
            self._clean(bp)
        if self.synchronous and not self.logged:
            self.barrier()

    def _clean(self, bp: Buf) -> None:
        """Nothing of a buffer is to be written any more."""
        del self._delayed[bp.address]
        self._first.discard(bp.address)
        self.delayed -= bp.stop - bp.start
        bp.start = bp.stop = 0

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
