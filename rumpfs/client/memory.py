"""The memory that a server sees: addresses of a client's buffers (NetBSD: the client's own address space).

A pointer argument is an address made up for the call: its upper bits name the call in flight and the
argument, its lower bits are an offset into the argument's buffer. The server reads and writes there with
COPYIN and COPYOUT; every access is checked against the buffer that was given.
"""

from __future__ import annotations

import itertools
import threading
from typing import Final

from rumpfs.base.copy import Buffer

#: bytes of address space of one argument
REGION: Final = 1 << 36
#: arguments of one call (sys/sys/syscallvar.h: SYS_MAXSYSARGS)
MAXARGS: Final = 8
_CALL: Final = REGION * MAXARGS
#: calls in flight and other users of memory at the same time, so that addresses stay below 2^62
_MAXCALLS: Final = 1 << 20

#: what a server may ask to have mapped, in bytes: NetBSD's wants a page for lwpctl(2)
ANONMMAP_MAX: Final = 1 << 20

_OFFSET: Final = REGION - 1
_SHIFT: Final = REGION.bit_length() - 1
_CALL_SHIFT: Final = _CALL.bit_length() - 1

#: held while memory is mapped
_mapping: Final = threading.Lock()

#: what stands behind an address: bytes to be read, a view to be read and written, or room for so many bytes
Memory = Buffer | int | None


class WildPointer(Exception):
    """The server used an address that no call in flight gave it."""


class Waiter:
    """A call in flight, and the memory of its arguments (librumpclient: struct respwait).

    Attributes:
        base: address of the first argument's memory; those of the others follow at REGION intervals.
        memory: per argument, what stands behind its address.
        pieces: (offset, bytes) stored where the memory is only room, in order of arrival.
        bulk: whether much data is expected, which is then received straight to where it belongs.
        reqno: number of the request.
        done: whether the answer is here: errno and return values, or the payload of an answer that has none
            of these, or in `refused` the code of an ERROR frame.
        wake, waiting: what a thread sleeps on that is not the reader, and whether it does.
    """

    __slots__ = (
        "base", "body", "bulk", "done", "error", "memory", "pieces", "refused", "reqno", "rv0", "rv1",
        "waiting", "wake",
    )  # fmt: skip

    def __init__(self, index: int) -> None:
        self.base = (index + 1) * _CALL
        self.memory: tuple[Memory, ...] = ()
        self.pieces: list[tuple[int, bytes]] = []
        self.bulk = False
        self.reqno = -1
        self.done = False
        self.error = 0
        self.rv0 = 0
        self.rv1 = 0
        self.body = b""
        self.refused = 0
        self.wake: threading.Lock | None = None
        self.waiting = False

    def stored(self) -> bytes:
        """Return what was stored in the room for bytes; what lies between pieces is zero."""
        pieces = self.pieces
        if len(pieces) == 1 and pieces[0][0] == 0:
            return pieces.pop()[1]
        whole = bytearray(max((offset + len(data) for offset, data in pieces), default=0))
        for offset, data in pieces:
            whole[offset : offset + len(data)] = data
        pieces.clear()
        return bytes(whole)


class AddressSpace:
    """All memory that one connection's server may use."""

    __slots__ = ("_free", "_index", "_unmapped", "_waiters")

    def __init__(self) -> None:
        self._waiters: dict[int, Waiter] = {}
        # Threads and signal handlers may take one at once, and none may have the index of another.
        self._index = itertools.count().__next__
        self._free: list[Waiter] = []
        self._unmapped = ANONMMAP_MAX

    def take(self) -> Waiter:
        """Return a waiter with addresses of its own."""
        try:
            return self._free.pop()
        except IndexError:
            pass
        if len(self._waiters) >= _MAXCALLS:
            raise MemoryError(f"{_MAXCALLS} calls are under way on one connection")
        index = self._index()
        waiter = self._waiters[index] = Waiter(index)
        return waiter

    def give(self, waiter: Waiter) -> None:
        """Take a waiter back; its addresses become wild."""
        waiter.memory = ()
        waiter.bulk = waiter.done = False
        waiter.error = waiter.refused = 0
        if waiter.pieces:
            waiter.pieces.clear()
        self._free.append(waiter)

    def anonymous(self, length: int) -> int:
        """Return the address of new memory that stays (mmap(2) with MAP_ANON); 0 when it is too much."""
        with _mapping:
            if not 0 < length <= self._unmapped:
                return 0
            self._unmapped -= length
        waiter = self.take()
        waiter.memory = (memoryview(bytearray(length)),)
        return waiter.base

    def find(self, addr: int, length: int) -> tuple[Waiter, Memory, int]:
        """Return who owns `length` bytes at `addr`, what stands behind them, and the offset there.

        Errors:
            WildPointer: no call in flight gave this range.
        """
        waiter = self._waiters.get((addr >> _CALL_SHIFT) - 1)
        if waiter is not None:
            memory = waiter.memory
            argument = addr >> _SHIFT & MAXARGS - 1
            if argument < len(memory):
                behind = memory[argument]
                offset = addr & _OFFSET
                size = 0 if behind is None else behind if isinstance(behind, int) else len(behind)
                if offset + length <= size:
                    return waiter, behind, offset
        raise WildPointer(f"the server used {length} bytes at address {addr:#x}, which no call gave it")

    def copyin(self, addr: int, length: int) -> Buffer:
        """Return the `length` bytes at `addr` (copyin(9), seen from the other side)."""
        _, behind, offset = self.find(addr, length)
        if behind is None or isinstance(behind, int):
            raise WildPointer(f"the server read {length} bytes at {addr:#x}, which is room for a result")
        if length == len(behind):
            return behind
        return memoryview(behind)[offset : offset + length]

    def copyinstr(self, addr: int, maxlen: int) -> bytes:
        """Return the string at `addr` with its NUL, or its first `maxlen` bytes (copyinstr(9)).

        A buffer counts as followed by a NUL, as a string of C is.
        """
        _, behind, offset = self.find(addr, 0)
        if behind is None or isinstance(behind, int):
            raise WildPointer(f"the server read a string at {addr:#x}, which is room for a result")
        head = behind[offset : offset + maxlen]
        if type(head) is not bytes:
            head = bytes(head)
        end = head.find(0)
        if end >= 0:
            return head[: end + 1]
        return head if len(head) == maxlen else head + b"\0"
