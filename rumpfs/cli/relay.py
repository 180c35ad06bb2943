"""A relay before a server: clients connect to a socket of its own, and every byte is passed on unchanged."""

from __future__ import annotations

import select
import socket
from collections.abc import Callable
from typing import Final

from rumpfs.client.dialling import dial
from rumpfs.client.raw import CONNECT_TIMEOUT
from rumpfs.sysproxy.ktrace import Trace, Tracer
from rumpfs.sysproxy.url import TcpUrl, UnixUrl

_CHUNK: Final = 256 << 10
#: bytes that one side may be behind before no more is read from the other
_BEHIND: Final = 1 << 20
_BACKLOG: Final = 256  # as many as a server has


class _End:
    """One of the two sockets of a connection.

    Args:
        sock: the socket.
        show: is shown what comes from there.

    Attributes:
        out: what has still to be sent there.
        ended: nothing more will come from there.
        gone: nothing can be sent there any more.
        last: the other side is to be told, when `out` has gone, that nothing more comes.
    """

    def __init__(self, sock: socket.socket, show: Callable[[memoryview], None]) -> None:
        sock.setblocking(False)
        self.sock = sock
        self.show = show
        self.out = bytearray()
        self.ended = self.gone = self.last = False

    def receive(self) -> bytes:
        """Receive what is there; nothing at the end."""
        try:
            data = self.sock.recv(_CHUNK)
        except BlockingIOError:
            return b""
        except OSError:
            data = b""
        self.ended = not data
        return data

    def send(self) -> None:
        """Send as much as there is room for; what nobody takes any more is dropped."""
        try:
            while self.out:
                del self.out[: self.sock.send(self.out)]
            if self.last:
                self.last = False
                self.sock.shutdown(socket.SHUT_WR)
        except BlockingIOError:
            pass
        except OSError:
            self.gone = True
        if self.gone:
            self.out.clear()


class _Connection:
    """A client's connection to the server."""

    def __init__(self, client: socket.socket, server: socket.socket, tracer: Tracer) -> None:
        self.tracer = tracer
        self.client = _End(client, tracer.client)
        self.server = _End(server, tracer.server)

    def move(self, end: _End, event: int) -> None:
        """Take what a socket has, and give it what is there for it."""
        other = self.server if end is self.client else self.client
        if event & ~select.POLLOUT and not end.ended:
            data = end.receive()
            end.show(memoryview(data))
            other.out += data
            other.last = other.last or end.ended
            other.send()
        if event & select.POLLOUT:
            end.send()
        if end.ended and event & (select.POLLHUP | select.POLLERR):
            end.gone = True
            end.out.clear()

    @property
    def over(self) -> bool:
        """Whether everything has been said to whoever is left."""
        client, server = self.client, self.server
        return (server.ended and not client.out) or (client.gone and not server.out)

    def wanted(self, end: _End) -> int:
        """Return the events that are waited for."""
        other = self.server if end is self.client else self.client
        reads = 0 if end.ended or len(other.out) >= _BEHIND else select.POLLIN
        return reads | (select.POLLOUT if end.out else 0)

    def close(self) -> None:
        """Close both sockets."""
        self.client.sock.close()
        self.server.sock.close()
        self.tracer.close()


class Relay:
    """Passes on what clients and a server say, and shows it to a trace.

    Args:
        listener: where the clients connect.
        address: the server's.
        trace: what is shown all of it.
    """

    def __init__(self, listener: socket.socket, address: UnixUrl | TcpUrl, trace: Trace) -> None:
        listener.setblocking(False)
        listener.listen(_BACKLOG)
        self._listener = listener
        self._address = address
        self._trace = trace
        self._ends: dict[int, tuple[_Connection, _End]] = {}
        self._poll = select.poll()
        self._poll.register(listener, select.POLLIN)

    def run(self, process: int) -> None:
        """Relay until a process (its pidfd) has ended and every connection is closed."""
        self._poll.register(process, select.POLLIN)
        running = True
        while True:
            # Whoever connected before the process ended is served, too.
            ready = self._poll.poll(None if running or self._ends else 0)
            if not ready:
                return
            for fd, event in ready:
                if fd == process:
                    running = False
                    self._poll.unregister(process)
                elif fd == self._listener.fileno():
                    self._accept()
                elif fd in self._ends:
                    connection, end = self._ends[fd]
                    connection.move(end, event)
                    self._settle(connection)

    def _accept(self) -> None:
        try:
            client, _ = self._listener.accept()
        except OSError:
            return  # it has gone again
        try:
            server = dial(self._address, CONNECT_TIMEOUT)
        except OSError:
            client.close()  # as a server without room does; the client says what it thinks of that
            return
        connection = _Connection(client, server, self._trace.connection())
        for end in (connection.client, connection.server):
            self._ends[end.sock.fileno()] = connection, end
            self._poll.register(end.sock, select.POLLIN)

    def _settle(self, connection: _Connection) -> None:
        """Wait for what can still come of a connection, or close it."""
        over = connection.over
        for end in (connection.client, connection.server):
            fd = end.sock.fileno()
            # A socket that is gone says so again and again.
            if fd in self._ends and (over or end.gone):
                del self._ends[fd]
                self._poll.unregister(fd)
            elif not end.gone:
                self._poll.modify(fd, connection.wanted(end))
        if over:
            connection.close()
