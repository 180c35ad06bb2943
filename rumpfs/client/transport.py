"""The socket of a client, shared by its threads (NetBSD: librumpclient/rumpclient.c).

Whoever waits for an answer and finds nobody reading becomes the reader: it serves the server's requests,
hands other threads their answers, and passes the reading on when its own answer has come. So a call that
blocks stops no other, and a program with one thread needs no second one. Nobody waits for room in the
socket without reading as well: output that does not fit is queued, and both directions go on.
"""

from __future__ import annotations

import select
import socket
import threading
import time
from collections.abc import Callable
from threading import get_ident
from typing import Final

from rumpfs.abi import errno
from rumpfs.base.copy import Buffer
from rumpfs.client.errors import ConnectionLost, connection_lost, rump_error
from rumpfs.client.memory import AddressSpace, Waiter, WildPointer
from rumpfs.sysproxy import wire
from rumpfs.sysproxy.connection import ClientConnection
from rumpfs.sysproxy.events import (
    AnonMmap,
    Answer,
    CopyData,
    CopyRequest,
    Failure,
    RemoteProtocolError,
    Signal,
)

#: bytes received at once; data that is larger goes straight to where it belongs
BUFFER_SIZE: Final = 256 << 10
_IOV_MAX: Final = 1024
#: Sending never waits, and a dead server is an error, not a signal.
_FLAGS: Final = socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL
#: what a COPYOUT takes to be understood; a bulk call receives no more than that at first
_COPYOUT_HEAD: Final = wire.COPY_FRAME.size
#: answers to a COPYIN up to this size are joined with their header
_JOIN_MAX: Final = 4096
#: how much memory is set aside before the data is there
_TRUST: Final = 16 << 20
#: how often a thread that waits looks whether somebody reads, in seconds: the one who should have passed the
#: reading on may have been interrupted by an exception (KeyboardInterrupt) at that very moment
_WATCH: Final = 1.0
#: A server that is out of memory is asked again, at growing intervals, for about a minute.
_TRYAGAIN_MAX: Final = 600

#: what an ERROR frame means (librumpclient: the errno of each)
_ERROR_ERRNO: Final = {
    wire.ERR_TRYAGAIN: errno.EAGAIN,
    wire.ERR_AUTH: errno.EPERM,
    wire.ERR_INVALID_PREFORK: errno.ESRCH,
    wire.ERR_RFORK_FAILED: errno.EIO,
    wire.ERR_INEXEC: errno.EBUSY,
    wire.ERR_NOMEM: errno.ENOMEM,
    wire.ERR_MALFORMED_REQUEST: errno.EINVAL,
}

_copy_frame = wire.COPY_FRAME.unpack_from
_response = wire.SYSRESP_FRAME.unpack_from
_sysresp = wire.SYSRESP.unpack_from
_header = wire.HEADER.pack
_RESPONSE_SIZE: Final = wire.SYSRESP_FRAME.size


class _Nested(RuntimeError):
    """A signal handler or finalizer began a call in the middle of one of its own thread."""


class Transport:
    """A connection whose banner has been read.

    Args:
        sock: the connected socket, blocking; it becomes the transport's own.
        peer: what errors call the server.
        on_signal: called with a NetBSD signal number that the server raised, when the call is over.
    """

    def __init__(self, sock: socket.socket, peer: str, on_signal: Callable[[int], None]) -> None:
        self.sock = sock
        self.peer = peer
        self.conn = ClientConnection()
        self.space = AddressSpace()
        self._on_signal = on_signal
        self._signals: list[int] = []
        # Behind the head of a COPYOUT the data is aligned to 16 bytes, as Python's own objects are: memcpy(3)
        # of some machines is ten times slower between addresses that differ by less, modulo a page.
        self._buffer = memoryview(bytearray(BUFFER_SIZE))[-_COPYOUT_HEAD % 16 :]
        self._recv_into = sock.recv_into
        self._sock_send = sock.send
        self._reading = threading.Lock()  # held by the reader
        self._reader = 0  # its thread
        self._reads_for: Waiter | None = None  # whose answer it waits for
        self._sending = threading.Lock()  # held for an attempt to send, never while waiting
        self._unsent: list[Buffer] = []
        self._waiters: dict[int, Waiter] = {}  # those that were not the reader when they began
        self._lost: str | None = None

    # --- calls ------------------------------------------------------------------------------------

    def transact(self, waiter: Waiter, frame: bytes) -> int:
        """Send a system call and wait for its answer.

        Returns:
            retval[0]; `waiter` has the rest of the answer.

        Errors:
            ConnectionLost: there is no answer, and will be none.
            RumpError: the server refused the request with an ERROR frame.
        """
        leads = None
        try:
            leads = self._reading.acquire(False)
            if leads:
                self._reader = get_ident()
                self._reads_for = waiter
                with self._sending:
                    if self._unsent:
                        sent = 0
                    else:
                        try:
                            sent = self._sock_send(frame, _FLAGS)
                        except BlockingIOError:
                            sent = 0
                    if sent != len(frame):
                        self._unsent.append(frame[sent:])
                # What small calls are answered with is recognised here; all else is for ClientConnection.
                while not (waiter.done or waiter.bulk or self._unsent or self.conn.partial):
                    size = self._recv_into(self._buffer)
                    if size == _RESPONSE_SIZE:
                        _, reqno, cls, _, _, error, rv0, rv1 = _response(self._buffer)
                        if reqno == waiter.reqno and cls == 1 and not self._signals:
                            waiter.error = error
                            waiter.rv1 = rv1
                            return rv0  # type: ignore[no-any-return]
                    if not self._usual(size, waiter):
                        self._serve(size, waiter)
                self._read(waiter)
            else:
                self._follow(waiter, frame)
        except _Nested:
            raise  # nothing has been sent, and the call outside goes on
        except (OSError, RemoteProtocolError, WildPointer) as reason:
            raise self._fail(reason) from reason
        except BaseException as reason:
            self._fail(reason)
            raise
        finally:
            if leads:
                self._reader = 0
                self._reading.release()
                if self._waiters:
                    self._pass_on()
        return self._answered(waiter, frame)

    def _follow(self, waiter: Waiter, frame: bytes) -> None:
        """Send a request and wait for its answer, while another thread reads."""
        if self._reader == get_ident():
            # The answer would be waited for by the one who has to read it.
            raise _Nested("a call inside of a call of the same thread; a client that is reentrant allows it")
        if waiter.wake is None:
            waiter.wake = threading.Lock()
            waiter.wake.acquire()
        self._waiters[waiter.reqno] = waiter
        try:
            if self._lost is not None:
                raise connection_lost(self._lost)
            self._send([frame])
            while self._unsent:
                # The reader reads on meanwhile, so the server can go on and make room.
                self._poll(select.POLLOUT)
            while not waiter.done:
                if self._lost is not None:
                    raise connection_lost(self._lost)
                waiter.waiting = True
                if self._reading.acquire(False):
                    waiter.waiting = False
                    self._reader = get_ident()
                    self._reads_for = waiter
                    try:
                        self._read(waiter)
                    finally:
                        self._reader = 0
                        self._reading.release()
                else:
                    waiter.wake.acquire(timeout=_WATCH)
                    waiter.waiting = False
        except (OSError, RemoteProtocolError, WildPointer) as reason:
            raise self._fail(reason) from reason
        except BaseException as reason:
            self._fail(reason)
            raise
        finally:
            self._waiters.pop(waiter.reqno, None)
            if self._waiters:
                self._pass_on()

    def _pass_on(self) -> None:
        """Wake a thread that waits, so that somebody reads."""
        for waiter in list(self._waiters.values()):
            if waiter.waiting:
                _wake(waiter)
                return

    def _answered(self, waiter: Waiter, frame: bytes) -> int:
        """Return retval[0] of an answer, or do again what the server had no memory for."""
        tries = 0
        while waiter.refused == wire.ERR_TRYAGAIN and tries < _TRYAGAIN_MAX:
            time.sleep(min(tries, 10) / 100)
            tries += 1
            waiter.done = False
            waiter.refused = 0
            waiter.reqno = self.conn.number()
            frame = frame[:8] + waiter.reqno.to_bytes(8, "little") + frame[16:]
            self._follow(waiter, frame)
        if self._signals:
            self._deliver()
        if waiter.refused:
            refused = waiter.refused
            self.space.give(waiter)
            raise rump_error(_ERROR_ERRNO.get(refused, errno.EIO))
        return waiter.rv0

    def _deliver(self) -> None:
        while self._signals:
            self._on_signal(self._signals.pop(0))

    # --- reading ----------------------------------------------------------------------------------

    def _usual(self, size: int, mine: Waiter) -> bool:
        """Serve what nearly all calls with pointers begin or end with.

        That is a single copy request of the server, or data of `mine` and its answer behind it.

        Returns:
            whether the `size` bytes received were that; otherwise nothing has been done.
        """
        length, reqno, cls, kind, _, count, addr = _copy_frame(self._buffer)
        if cls != wire.REQ or size < _COPYOUT_HEAD:
            return False
        if length == size == _COPYOUT_HEAD and (kind == wire.COPYINSTR or kind == wire.COPYIN):
            answer: list[Buffer] = []
            self._copyin(reqno, addr, count, kind == wire.COPYINSTR, answer)
            self._send(answer)
            return True
        if kind != wire.COPYOUT or length != size - _RESPONSE_SIZE or count != length - _COPYOUT_HEAD:
            return False
        _, reqno, cls, _, _, error, rv0, rv1 = _response(self._buffer, length)
        if reqno != mine.reqno or cls != wire.RESP:
            return False
        self._copyout(addr, self._buffer[_COPYOUT_HEAD:length], 0)
        mine.error = error
        mine.rv0 = rv0
        mine.rv1 = rv1
        mine.done = True
        return True

    def _read(self, mine: Waiter) -> None:
        """Receive and serve until `mine` is answered; the caller holds `_reading`."""
        while not mine.done:
            while self._unsent:
                if self._poll(select.POLLIN | select.POLLOUT) & ~select.POLLOUT:
                    break
            self._serve(self._recv_into(self._buffer, _COPYOUT_HEAD if mine.bulk else 0), mine)

    def _serve(self, size: int, mine: Waiter) -> None:
        """Do what the server said in `size` bytes at the start of the buffer."""
        if size == 0:
            raise connection_lost(self._lost or f"{self.peer}: the server closed the connection")
        conn = self.conn
        events = conn.receive(self._buffer[:size])
        answers: list[Buffer] = []
        for event in events:
            kind = type(event)
            if kind is CopyRequest:
                self._copyin(*event, answers)  # type: ignore[call-arg]
            elif kind is CopyData:
                self._copyout(*event, conn.owed if event is events[-1] else 0)  # type: ignore[call-arg]
            elif kind is Answer or kind is Failure:
                self._finish(event, mine)  # type: ignore[arg-type]
            elif kind is Signal:
                self._signals.append(event[0])
            elif kind is AnonMmap:
                self._anonmmap(event, answers)  # type: ignore[arg-type]
        if answers:
            self._send(answers)

    def _finish(self, event: Answer | Failure, mine: Waiter) -> None:
        """Hand an answer to whom it belongs; nobody is told of an answer that nobody waits for."""
        reqno = event[0]
        waiter = mine if reqno == mine.reqno else self._waiters.pop(reqno, None)
        if waiter is None:
            return
        if type(event) is Answer:
            if event.kind == wire.SYSCALL:
                if len(event.body) < wire.SYSRESP.size:
                    raise RemoteProtocolError(f"the answer to a system call has {len(event.body)} bytes")
                waiter.error, waiter.rv0, waiter.rv1 = _sysresp(event.body)
            else:
                waiter.body = bytes(event.body)
        else:
            waiter.refused = event[1] or wire.ERR_MALFORMED_REQUEST
        waiter.done = True
        if waiter is not mine:
            _wake(waiter)

    def _copyin(self, reqno: int, addr: int, length: int, string: bool, answers: list[Buffer]) -> None:
        """Add the answer to a copy request to `answers`."""
        data = self.space.copyinstr(addr, length) if string else self.space.copyin(addr, length)
        size = len(data)
        # The answer to a COPYINSTR has the type COPYIN, too.
        header = _header(24 + size, reqno, wire.RESP, wire.COPYIN, 0)
        if size <= _JOIN_MAX:
            answers.append(header + data)
        else:
            answers.append(header)
            answers.append(data)

    def _anonmmap(self, request: AnonMmap, answers: list[Buffer]) -> None:
        address = self.space.anonymous(request.length)
        answers.append(wire.frame(request.reqno, wire.RESP, wire.ANONMMAP, 0, address.to_bytes(8, "little")))

    def _copyout(self, addr: int, data: Buffer, owed: int) -> None:
        """Store what the server sent; `owed` bytes of it are still to be received."""
        size = len(data)
        waiter, behind, offset = self.space.find(addr, size + owed)
        waiter.bulk = False
        if type(behind) is int:
            waiter.pieces.append((offset, self._take(data, owed) if owed else bytes(data)))
        elif type(behind) is memoryview and not behind.readonly:
            behind[offset : offset + size] = data
            if owed:
                self._fill(behind[offset + size : offset + size + owed])
        else:
            raise WildPointer(f"the server stored {size + owed} bytes at {addr:#x}, which is to be read only")

    def _fill(self, view: memoryview) -> None:
        """Receive to fill `view`."""
        while view:
            size = self._recv_into(view, 0, socket.MSG_WAITALL)
            if size == 0:
                raise connection_lost(f"{self.peer}: the server closed the connection in the middle of data")
            view = view[size:]

    def _take(self, first: Buffer, owed: int) -> bytes:
        """Return `first` and the `owed` bytes that follow it on the stream."""
        parts: list[Buffer] = [bytes(first)] if first else []
        while owed:
            data = self.sock.recv(min(owed, _TRUST), socket.MSG_WAITALL)
            if not data:
                raise connection_lost(f"{self.peer}: the server closed the connection in the middle of data")
            owed -= len(data)
            if not owed and not parts:
                return data
            parts.append(data)
        return b"".join(parts)

    # --- sending ----------------------------------------------------------------------------------

    def _send(self, parts: list[Buffer]) -> None:
        """Send as much as there is room for, and queue the rest."""
        with self._sending:
            if self._unsent:
                self._unsent += parts
                return
            if len(parts) == 1:
                try:
                    sent = self._sock_send(parts[0], _FLAGS)
                except BlockingIOError:
                    sent = 0
                if sent == len(parts[0]):
                    return
                parts[0] = parts[0][sent:]
            self._unsent = self._push(parts)

    def _push(self, parts: list[Buffer]) -> list[Buffer]:
        """Send until there is no room; return what is left. The caller holds `_sending`."""
        first = 0
        while first < len(parts):
            try:
                sent = self.sock.sendmsg(parts[first : first + _IOV_MAX], (), _FLAGS)
            except BlockingIOError:
                break
            while first < len(parts) and sent >= len(parts[first]):
                sent -= len(parts[first])
                first += 1
            if sent:
                parts[first] = memoryview(parts[first])[sent:]
        return parts[first:]

    def _poll(self, interest: int) -> int:
        """Wait until something of `interest` is possible; send what has been queued when there is room."""
        poll = select.poll()
        poll.register(self.sock, interest)
        ready = poll.poll()[0][1]
        if ready & ~select.POLLIN:
            with self._sending:
                self._unsent = self._push(self._unsent)
        return ready

    # --- the end ----------------------------------------------------------------------------------

    def _fail(self, reason: BaseException) -> ConnectionLost:
        """End the connection: tell all who wait, and return the error for the caller."""
        if self._lost is None:
            if isinstance(reason, ConnectionLost):
                self._lost = str(reason.strerror)
            elif isinstance(reason, BrokenPipeError | ConnectionResetError):
                self._lost = f"{self.peer}: the server closed the connection"
            elif isinstance(reason, OSError):
                self._lost = f"{self.peer}: {reason.strerror or reason}"
            elif isinstance(reason, RemoteProtocolError | WildPointer):
                self._lost = f"{self.peer}: {reason}; connection closed"
            else:
                self._lost = f"{self.peer}: {type(reason).__name__} during a call; connection closed"
        self._shutdown()
        for waiter in list(self._waiters.values()):
            _wake(waiter)
        return connection_lost(self._lost)

    def _shutdown(self) -> None:
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # the server was faster

    @property
    def lost(self) -> str | None:
        """Why there is no connection any more; None while there is one, as far as is known."""
        return self._lost

    def close(self) -> None:
        """Close the connection; calls that wait fail. The server ends the process."""
        if self._lost is None:
            self._lost = f"{self.peer}: the client was closed"
        self._shutdown()
        # The reader leaves when it sees the end; its socket is not closed (and its number not used again)
        # under it. A signal handler that closes must not wait for the call it has interrupted.
        left = self._reading.acquire(timeout=1)
        self.sock.close()
        if left:
            self._reading.release()

    def request(self, kind: int, union: int = 0, payload: bytes = b"") -> bytes:
        """Send a request that is not a system call and return the payload of its answer.

        Errors:
            ConnectionLost, RumpError: as `transact`.
        """
        waiter = self.space.take()
        waiter.reqno, frame = self.conn.request(kind, union, payload)
        self.transact(waiter, frame)
        body = waiter.body
        self.space.give(waiter)
        return body

    def abandon(self, error: int) -> None:
        """Let every call that waits fail with a NetBSD errno: no answer to it will come."""
        waiters = list(self._waiters.values())
        if self._reader and self._reads_for is not None:
            # It sees this when the next answer has come.
            waiters.append(self._reads_for)
        for waiter in waiters:
            waiter.error = error
            waiter.done = True
            if waiter.wake is not None:
                _wake(waiter)


def _wake(waiter: Waiter) -> None:
    assert waiter.wake is not None
    try:
        waiter.wake.release()
    except RuntimeError:
        pass  # it is awake already
