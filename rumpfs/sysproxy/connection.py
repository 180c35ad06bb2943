"""Both ends of a sysproxy connection, without I/O (NetBSD: librumpuser/rumpuser_sp.c, librumpclient).

Bytes from the peer go into `receive`, which returns events. What is to be sent gathers in `out`, and
`closing` says that the connection ends when `out` is written.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

from rumpfs.base.copy import Buffer
from rumpfs.sysproxy import wire
from rumpfs.sysproxy.events import (
    AnonMmap,
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

# A named tuple's own constructor is a function in Python, and there is an event for every frame.
_event = tuple.__new__
_header = wire.HEADER.unpack_from
_copydata = wire.COPYDATA.unpack_from


class FrameReader:
    """Cuts a stream of bytes into frames.

    Args:
        max_frame: longest frame accepted, in bytes with its header.
    """

    __slots__ = ("_rest", "max_frame")

    def __init__(self, max_frame: int) -> None:
        self.max_frame = max_frame
        self._rest = bytearray()

    @property
    def pending(self) -> int:
        """Bytes of an unfinished frame."""
        return len(self._rest)

    def frames(self, data: memoryview) -> list[tuple[int, int, int, int, memoryview]]:
        """Return the whole frames as (reqno, class, type, union, payload); payloads are views of `data`.

        Errors:
            RemoteProtocolError: a length below the header's or above `max_frame`.
        """
        rest = self._rest
        if rest:
            rest += data
            if len(rest) < wire.HDRLEN or len(rest) < _header(rest)[0] <= self.max_frame:
                return []  # not looked at again before it is whole, however small the pieces
            data = memoryview(bytes(rest))
            rest.clear()
        found = []
        offset = 0
        end = len(data)
        while end - offset >= 24:
            length, reqno, cls, kind, union = _header(data, offset)
            if length < 24 or length > self.max_frame:
                raise RemoteProtocolError(f"a frame of {length} bytes (24 to {self.max_frame} are accepted)")
            if offset + length > end:
                break
            found.append((reqno, cls, kind, union, data[offset + 24 : offset + length]))
            offset += length
        if offset < end:
            rest += data[offset:]
        return found


class ServerConnection:
    """A server's end: what a client may say in which state, and the numbers of the server's own requests.

    Args:
        max_frame: longest frame of the client that is accepted.
    """

    __slots__ = ("_next", "_reader", "closing", "established", "in_exec", "out")

    def __init__(self, max_frame: int = wire.MAX_CLIENT_FRAME) -> None:
        self._reader = FrameReader(max_frame)
        self._next = 0
        self.established = False
        self.in_exec = False
        self.closing = False
        self.out: list[Buffer] = [wire.BANNER]

    def receive(self, data: memoryview) -> list[ServerEvent]:
        """Take bytes from the client and return what it said; nothing is said after a fatal mistake.

        Errors:
            RemoteProtocolError: the connection has to be closed without an answer.
        """
        events: list[ServerEvent] = []
        if self.closing:
            return events
        for reqno, cls, kind, union, body in self._reader.frames(data):
            if cls == wire.REQ:
                if kind == wire.SYSCALL and self.established:
                    events.append(_event(Call, (reqno, union, body)))
                    continue
                event = self._request(reqno, kind, union, bytes(body))
                events.append(event)
                if type(event) is Malformed and event.fatal:
                    self.closing = True
                    break
            elif cls == wire.RESP:
                events.append(_event(Answer, (reqno, kind, body)))
            else:
                events.append(Malformed(reqno, wire.ERR_MALFORMED_REQUEST, False))
        return events

    def _request(self, reqno: int, kind: int, union: int, body: bytes) -> ServerEvent:
        """Return what a request other than a system call says."""
        event: ServerEvent | None = None
        refusal = wire.ERR_MALFORMED_REQUEST
        if not self.established:
            parse = _FIRST.get(union) if kind == wire.HANDSHAKE else None
            if parse is None:
                refusal = wire.ERR_AUTH
            else:
                event = parse(reqno, body)
        elif kind == wire.PREFORK or (kind == wire.HANDSHAKE and union == wire.HANDSHAKE_EXEC):
            if self.in_exec:
                refusal = wire.ERR_INEXEC
            else:
                event = Prefork(reqno) if kind == wire.PREFORK else _exec(reqno, body)
        elif kind != wire.HANDSHAKE:
            return Malformed(reqno, refusal, False)
        if event is None:
            return Malformed(reqno, refusal, True)
        self.established = True
        self.in_exec = self.in_exec or type(event) is Exec
        return event

    def refuse(self, reqno: int, code: int, fatal: bool = True) -> None:
        """Answer a request with an error; a fatal one ends the connection."""
        self.out.append(wire.error(reqno, code))
        self.closing = self.closing or fatal

    def copyin(self, addr: int, length: int, string: bool = False) -> int:
        """Ask for `length` bytes at `addr` (or for a string of at most so many) and return the number."""
        reqno = self._next
        self._next = reqno + 1
        kind = wire.COPYINSTR if string else wire.COPYIN
        self.out.append(wire.COPY_FRAME.pack(40, reqno, wire.REQ, kind, 0, length, addr))
        return reqno

    def copyout(self, addr: int, length: int) -> bytes:
        """Return the head of a COPYOUT; `length` bytes have to follow it."""
        reqno = self._next
        self._next = reqno + 1
        return wire.COPY_FRAME.pack(40 + length, reqno, wire.REQ, wire.COPYOUT, 0, length, addr)

    def raise_(self, signo: int) -> None:
        """Send a signal."""
        self.out.append(wire.frame(0, wire.REQ, wire.RAISE, signo))


def _comm(body: bytes) -> bytes | None:
    return body.split(b"\0", 1)[0] if body else None


def _guest(reqno: int, body: bytes) -> ServerEvent | None:
    comm = _comm(body)
    return None if comm is None else Guest(reqno, comm)


def _exec(reqno: int, body: bytes) -> ServerEvent | None:
    comm = _comm(body)
    return None if comm is None else Exec(reqno, comm)


def _fork(reqno: int, body: bytes) -> ServerEvent | None:
    if len(body) != wire.FORK_BODY.size:
        return None
    cookie, cancel = wire.FORK_BODY.unpack(body)
    return Fork(reqno, cookie, cancel != 0)


#: the handshakes that may come first
_FIRST: dict[int, Callable[[int, bytes], ServerEvent | None]] = {
    wire.HANDSHAKE_GUEST: _guest,
    wire.HANDSHAKE_FORK: _fork,
}


class ClientConnection:
    """A client's end: numbers its requests and understands what a server sends.

    The data of a COPYOUT may be large and belongs elsewhere, so it is not collected here: the event has what
    has arrived, and the `owed` bytes that are missing are the next ones of the stream. Whoever drives the
    connection takes exactly so many from the stream before it goes on with `receive`.
    """

    __slots__ = ("_rest", "number", "owed")

    #: longest frame but for a COPYOUT: the answer to a system call
    MAX_FRAME = wire.SYSRESP_FRAME.size

    def __init__(self) -> None:
        self._rest = b""
        self.owed = 0
        self.number: Callable[[], int] = itertools.count(1).__next__  # a fresh connect consumes number 0

    @property
    def partial(self) -> int:
        """Bytes of a frame that has begun."""
        return len(self._rest)

    def restart(self) -> None:
        """Number from 0 again, as a new program image does that takes the connection over."""
        self.number = itertools.count().__next__

    def request(self, kind: int, union: int = 0, payload: bytes = b"") -> tuple[int, bytes]:
        """Return the number and the frame of a request."""
        reqno = self.number()
        return reqno, wire.frame(reqno, wire.REQ, kind, union, payload)

    def receive(self, data: memoryview) -> list[ClientEvent]:
        """Take bytes from the server and return what it said.

        Errors:
            RemoteProtocolError: a frame that NetBSD's clients would not survive either.
        """
        if self._rest:
            data = memoryview(self._rest + data)
            self._rest = b""
        self.owed = 0
        events: list[ClientEvent] = []
        offset = 0
        end = len(data)
        while end - offset >= 24:
            length, reqno, cls, kind, union = _header(data, offset)
            if cls == wire.REQ and (kind == wire.COPYOUT or kind == wire.COPYOUTSTR):
                if end - offset < 40 <= length:
                    break
                if length < 40:
                    raise RemoteProtocolError(f"a copyout in a frame of {length} bytes")
                size, addr = _copydata(data, offset + 24)
                if length != 40 + size:
                    raise RemoteProtocolError(f"a copyout of {size} bytes in a frame of {length}")
                events.append(CopyData(addr, data[offset + 40 : offset + length]))
                self.owed = max(0, offset + length - end)
            elif length < 24 or length > self.MAX_FRAME:
                raise RemoteProtocolError(f"a frame of {length} bytes (24 to {self.MAX_FRAME} are known)")
            elif end - offset < length:
                break
            else:
                body = data[offset + 24 : offset + length]
                if cls == wire.RESP:
                    events.append(Answer(reqno, kind, body))
                else:
                    events.append(self._event(reqno, cls, kind, union, body))
            offset += length
        if offset < end:
            self._rest = bytes(data[offset:])
        return events

    def _event(self, reqno: int, cls: int, kind: int, union: int, body: memoryview) -> ClientEvent:
        if cls == wire.ERROR:
            return Failure(reqno, union)
        if cls != wire.REQ:
            raise RemoteProtocolError(f"a frame of class {cls}")
        if kind == wire.RAISE:
            return Signal(union)
        if kind == wire.ANONMMAP and len(body) == 8:
            return AnonMmap(reqno, int.from_bytes(body, "little"))
        if kind not in (wire.COPYIN, wire.COPYINSTR) or len(body) != wire.COPYDATA.size:
            raise RemoteProtocolError(f"a request of type {kind} with {len(body)} bytes")
        length, addr = _copydata(body)
        return CopyRequest(reqno, addr, length, kind == wire.COPYINSTR)
