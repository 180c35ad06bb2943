"""What happens on connections, as records: calls, signals, processes (NetBSD: kern_ktrace.c).

A `Trace` belongs to a server, or to a relay before one. For each connection it gives a `Tracer`, which is
shown the bytes of both directions and makes records of them. It reads no argument: `rumpfs.sysproxy.decode`
does, and `rumpfs.sysproxy.kdump` prints.

Processes are not named on the wire. Until it is known which one a connection is (somebody says so, or the
client asks with getpid), records have only the number of the connection.
"""

from __future__ import annotations

import logging
import struct
import time
from collections.abc import Callable
from typing import Final, NamedTuple

from rumpfs.abi.syscalls import BY_NUMBER, OUT, PATH, Syscall
from rumpfs.sysproxy import wire
from rumpfs.sysproxy.connection import ClientConnection, ServerConnection
from rumpfs.sysproxy.events import (
    Answer,
    Call,
    ClientEvent,
    CopyData,
    CopyRequest,
    Exec,
    Failure,
    Fork,
    Guest,
    Malformed,
    Prefork,
    RemoteProtocolError,
    ServerEvent,
    Signal,
)

log = logging.getLogger(__name__)

#: bytes that are kept of what a call moves in one direction
KEEP: Final = 128 << 10
#: largest frame of a client: an answer to a COPYIN, for which NetBSD's server has no limit of its own
MAX_FRAME: Final = 16 << 20
#: calls under way on one connection; a client that has more is not followed any further
MAX_CALLS: Final = 1 << 16
#: words of a copied structure that are taken for addresses
_MAX_WORDS: Final = 4096
_MAGIC: Final = b"RUMPSP-"


class Origin(NamedTuple):
    """Where a record is from: the connection's number, its process (None: not known), and when (seconds)."""

    conn: int
    pid: int | None
    at: float


class Memory:
    """What a call moved in one direction: pieces of memory, of which the first bytes are kept."""

    __slots__ = ("_last", "_pieces", "_room")

    def __init__(self) -> None:
        self._pieces: dict[int, tuple[bytearray, int]] = {}  # address -> what is kept, and the whole length
        self._last = 0
        self._room = KEEP

    def add(self, addr: int, data: bytes | memoryview, length: int) -> None:
        """Take a piece in: `length` bytes, of which `data` is the beginning."""
        kept = bytes(data[: self._room])
        self._room -= len(kept)
        if self._last in self._pieces:
            before, size = self._pieces[self._last]
            if self._last + size == addr:
                if len(before) == size:
                    before += kept
                self._pieces[self._last] = before, size + length
                return
        self._pieces[addr] = bytearray(kept), length
        self._last = addr

    def extend(self, data: bytes | memoryview) -> None:
        """Keep more of the last piece, whose length is known already."""
        kept, size = self._pieces[self._last]
        more = data[: min(self._room, size - len(kept))]
        self._room -= len(more)
        kept += more

    def at(self, addr: int) -> tuple[bytes, int] | None:
        """Return what is kept of the memory from an address on, and how much was moved there."""
        for start, (data, length) in self._pieces.items():
            if start <= addr < start + length:
                return bytes(data[addr - start :]), length - (addr - start)
        return None

    def follows(self, addr: int) -> bool:
        """Whether an address is the end of the last piece."""
        last = self._pieces.get(self._last)
        return last is not None and self._last + last[1] == addr

    def words(self) -> set[int]:
        """Return what may be addresses in the memory."""
        found: set[int] = set()
        for data, _ in self._pieces.values():
            count = min(len(data) // 8, _MAX_WORDS)
            found.update(struct.unpack_from(f"<{count}Q", data))
        return found


class Pending:
    """A call that is not answered yet."""

    __slots__ = ("asked", "begin", "inward", "lwp", "number", "outward", "row", "slots", "whole")

    def __init__(self, number: int, slots: bytes, lwp: int, begin: float) -> None:
        self.number = number
        self.row = BY_NUMBER.get(number)
        self.whole = slots
        self.slots = struct.unpack_from(f"<{len(slots) // 8}Q", slots)
        self.lwp = lwp
        self.begin = begin
        self.inward = Memory()
        self.outward = Memory()
        self.asked = 0

    def claims(self, addr: int) -> bool:
        """Whether the server means this call when it copies at an address."""
        if self.inward.follows(addr) or self.outward.follows(addr):
            return True
        for index, arg in enumerate(self.row.args[: len(self.slots)] if self.row is not None else ()):
            slot = self.slots[index]
            if slot and arg.kind in (PATH, OUT) and isinstance(arg.size, int):
                if slot <= addr < slot + arg.size:
                    return True
        return addr in self.slots or addr in self.inward.words()


class Called(NamedTuple):
    """A system call that has ended.

    `lwp` is a number from 1 on that no other call of the connection has at the time. `slots` is the block of
    arguments. `error` is None when there was no answer: the client went, or has a new image; `refused` is
    the code when the answer was an ERROR frame.
    """

    origin: Origin
    lwp: int
    elapsed: float
    number: int
    row: Syscall | None
    slots: bytes
    inward: Memory
    outward: Memory
    error: int | None
    retval: tuple[int, int]
    refused: int


class Noted(NamedTuple):
    """Something else that happened; `name` and `number` say more of it.

    ========== ============================ ==================================
    event      name                         number
    ========== ============================ ==================================
    connect
    guest      of the program
    prefork    the cookie
    fork       the cookie                   connection it was made on, or 0
    cancel     the cookie
    exec       of the program
    process                                 pid, as soon as it is known
    signal                                  NetBSD signal number
    refused    what was asked for           code of the ERROR frame
    disconnect
    stopped    why nothing more is traced
    ========== ============================ ==================================
    """

    origin: Origin
    event: str
    name: bytes = b""
    number: int = 0


Record = Called | Noted
_HANDSHAKE: Final = {Guest: "guest", Fork: "fork", Exec: "exec", Prefork: "prefork"}


class Trace:
    """All connections of one server.

    Args:
        sink: takes the records.
        clock: tells the time in seconds.
    """

    def __init__(self, sink: Callable[[Record], None], clock: Callable[[], float] = time.monotonic) -> None:
        self.sink = sink
        self._clock = clock
        self._start = clock()
        self._connections = 0
        self.cookies: dict[bytes, int] = {}  # of parked processes: the connection they were made on

    def now(self) -> float:
        """Return the seconds since the beginning."""
        return self._clock() - self._start

    def connection(self, pid: Callable[[], int | None] | None = None) -> Tracer:
        """Return what traces a new connection.

        Args:
            pid: tells its process, as soon as there is one.
        """
        self._connections += 1
        return Tracer(self, self._connections, pid)


class Tracer:
    """Reads along on one connection.

    Args:
        trace: what it belongs to.
        number: of the connection.
        pid: tells its process, if anybody knows.
    """

    def __init__(self, trace: Trace, number: int, pid: Callable[[], int | None] | None) -> None:
        self.trace = trace
        self.number = number
        self._known = pid
        self._pid: int | None = None
        self._banner: bytes | None = b""
        self._client = ServerConnection(MAX_FRAME)
        self._server = ClientConnection()
        self._calls: dict[int, Pending] = {}
        self._handshakes: dict[int, Guest | Fork | Exec | Prefork] = {}
        self._asked: dict[int, tuple[Pending, int]] = {}  # copy request -> call, address
        self._owed: Memory | None = None  # what the rest of a COPYOUT belongs to
        self._on = True
        self._note("connect")

    def _origin(self, at: float | None = None) -> Origin:
        if self._known is not None:
            self._pid = self._known() or self._pid
        return Origin(self.number, self._pid, self.trace.now() if at is None else at)

    def _note(self, event: str, name: bytes = b"", number: int = 0) -> None:
        self.trace.sink(Noted(self._origin(), event, name, number))

    # --- bytes ------------------------------------------------------------------------------------

    def client(self, data: memoryview) -> None:
        """The client sent this."""
        self._show(self._from_client, data)

    def server(self, data: memoryview) -> None:
        """The server sent this."""
        self._show(self._from_server, data)

    def _show(self, read: Callable[[memoryview], None], data: memoryview) -> None:
        """Read bytes; what nobody can read ends the tracing, and nothing else."""
        if not self._on:
            return
        try:
            read(data)
        except RemoteProtocolError as error:
            self._stop(str(error))
        except Exception as error:
            log.exception("connection %d cannot be traced any further", self.number)
            self._stop(type(error).__name__)

    def _from_client(self, data: memoryview) -> None:
        for event in self._client.receive(data):
            self._said(event)

    def _from_server(self, data: memoryview) -> None:
        data = self._skip(data)
        for event in self._server.receive(data) if data else ():
            self._answered(event)

    def close(self) -> None:
        """The connection is gone."""
        if self._on:
            self._abandon()
        self._on = False
        self._note("disconnect")

    def _stop(self, why: str) -> None:
        self._on = False
        self._note("stopped", why.encode())

    def _skip(self, data: memoryview) -> memoryview:
        """Take the banner, and the data of a COPYOUT that goes on, from the beginning of what came."""
        begun = self._banner
        if begun is not None:
            whole = begun + bytes(data[: wire.BANNER_MAX])
            end = whole.find(b"\n", 0, wire.BANNER_MAX) + 1
            if not whole.startswith(_MAGIC[: len(whole)]) or not (end or len(whole) < wire.BANNER_MAX):
                raise RemoteProtocolError(f"a server begins with {_MAGIC.decode()}, not {whole[:20]!r}")
            self._banner = None if end else whole
            data = data[end - len(begun) :] if end else data[len(data) :]
        owed = self._server.owed
        if owed:
            taken = data[:owed]
            self._server.owed -= len(taken)
            if self._owed is not None:
                self._owed.extend(taken)
            data = data[len(taken) :]
        return data

    # --- what the client says ---------------------------------------------------------------------

    def _said(self, event: ServerEvent) -> None:
        if type(event) is Call:
            if event.reqno in self._calls:
                self._end(self._calls.pop(event.reqno))
            if len(self._calls) >= MAX_CALLS:
                raise RemoteProtocolError(f"more than {MAX_CALLS} calls at once")
            taken = {call.lwp for call in self._calls.values()}
            lwp = next(n for n in range(1, len(taken) + 2) if n not in taken)
            slots = bytes(event.args[: 8 * 16])
            self._calls[event.reqno] = Pending(event.number, slots, lwp, self.trace.now())
        elif type(event) is Answer:
            asked = self._asked.pop(event.reqno, None)
            if asked is not None:
                call, addr = asked
                call.inward.add(addr, memoryview(event.body), len(event.body))
        elif type(event) is Malformed:
            if event.fatal:
                raise RemoteProtocolError("a request that the protocol does not have")
            self._note("refused", b"request", event.code)
        elif type(event) is Fork and event.cancel:
            self.trace.cookies.pop(event.cookie, None)
            self._note("cancel", event.cookie)
        else:
            assert isinstance(event, Guest | Fork | Exec | Prefork)
            self._handshakes[event.reqno] = event

    # --- what the server says ---------------------------------------------------------------------

    def _answered(self, event: ClientEvent) -> None:
        if type(event) is CopyRequest:
            call = self._owner(event.addr)
            if call is not None:
                call.asked += 1
                self._asked[event.reqno] = call, event.addr
        elif type(event) is CopyData:
            call = self._owner(event.addr)
            self._owed = None
            if call is not None:
                call.outward.add(event.addr, memoryview(event.data), len(event.data) + self._server.owed)
                self._owed = call.outward
        elif type(event) is Signal:
            self._note("signal", number=event.signo)
        elif type(event) is Answer or type(event) is Failure:
            self._finish(event)

    def _owner(self, addr: int) -> Pending | None:
        """Return the call that a copy at an address belongs to; the latest when none claims it."""
        latest = None
        for call in reversed(self._calls.values()):
            if len(self._calls) == 1 or call.claims(addr):
                return call
            latest = latest or call
        return latest

    def _finish(self, event: Answer | Failure) -> None:
        call = self._calls.pop(event.reqno, None)
        if call is None:
            handshake = self._handshakes.pop(event.reqno, None)
            if handshake is not None:
                self._shaken(handshake, event)
            return
        if call.asked:
            self._asked = {number: asked for number, asked in self._asked.items() if asked[0] is not call}
        if type(event) is Failure:
            self._end(call, refused=event.code)
            return
        assert type(event) is Answer
        if len(event.body) < wire.SYSRESP.size:
            raise RemoteProtocolError(f"an answer of {len(event.body)} bytes to a system call")
        error, first, second = wire.SYSRESP.unpack_from(event.body)
        if self._pid is None and call.row is not None and call.row.name == "getpid" and first > 0:
            self._pid = first
            self._note("process", number=first)
        self._end(call, error, (first, second))

    def _end(
        self, call: Pending, error: int | None = None, retval: tuple[int, int] = (0, 0), refused: int = 0
    ) -> None:
        elapsed = self.trace.now() - call.begin
        self.trace.sink(
            Called(
                self._origin(call.begin), call.lwp, elapsed, call.number, call.row, call.whole,
                call.inward, call.outward, error, retval, refused,
            )
        )  # fmt: skip

    def _shaken(self, handshake: Guest | Fork | Exec | Prefork, event: Answer | Failure) -> None:
        """A request other than a call was answered."""
        name = _HANDSHAKE[type(handshake)]
        if type(handshake) is Exec:
            self._client.in_exec = False
        if type(event) is Failure:
            self._note("refused", name.encode(), event.code)
        elif type(handshake) is Prefork:
            cookie = bytes(event.body)  # type: ignore[union-attr]
            self.trace.cookies[cookie] = self.number
            self._note(name, cookie)
        elif type(handshake) is Fork:
            self._note(name, handshake.cookie, self.trace.cookies.pop(handshake.cookie, 0))
        else:
            if type(handshake) is Exec:
                self._abandon()
            self._note(name, handshake.comm)  # type: ignore[union-attr]

    def _abandon(self) -> None:
        """End the calls that nobody will answer any more."""
        calls, self._calls = self._calls, {}
        self._asked.clear()
        for call in calls.values():
            self._end(call)
