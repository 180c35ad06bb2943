"""Sessions whose calls are written to a file: ``rump_server --trace`` (NetBSD: ktrace(1))."""

from __future__ import annotations

import socket
from collections.abc import Callable
from functools import partial

from rumpfs.base.copy import Buffer
from rumpfs.base.linefile import LineFile
from rumpfs.server.hub import Hub
from rumpfs.server.session import Session
from rumpfs.sysproxy import kdump
from rumpfs.sysproxy.ktrace import Record, Trace


class TracedSession(Session):
    """A session that shows a tracer what it receives and what has been sent.

    Args:
        hub, sock, peer: as for `Session`.
        trace: where the connection belongs to.
    """

    def __init__(self, hub: Hub, sock: socket.socket, peer: str, trace: Trace) -> None:
        super().__init__(hub, sock, peer)
        self._tracer = trace.connection(self._pid)

    def _pid(self) -> int | None:
        return None if self.calls is None else self.calls.p.pid

    def _recv(self, buffer: bytearray) -> int:
        size = super()._recv(buffer)
        if size > 0:
            self._tracer.client(memoryview(buffer)[:size])
        return size

    def _send(self, out: list[Buffer]) -> bool:
        data = b"".join(out)
        whole = super()._send(out)
        self._tracer.server(memoryview(data)[: len(data) - sum(map(len, out))])
        return whole

    def close(self) -> None:
        """The client is gone."""
        super().close()
        self._tracer.close()


def traced(file: LineFile) -> Callable[[Hub, socket.socket, str], Session]:
    """Return what makes sessions for a server whose calls become lines of a file."""

    def sink(record: Record) -> None:
        if not file.lost:
            file.line(kdump.text(record))

    return partial(TracedSession, trace=Trace(sink))
