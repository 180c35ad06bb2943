"""One client (NetBSD: librumpuser/rumpuser_sp.c)."""

from __future__ import annotations

import logging
import os
import socket
from itertools import islice

import trio

from rumpfs.abi import errno
from rumpfs.base.copy import Buffer
from rumpfs.base.errors import VfsError
from rumpfs.server.calls import BACKLOG_MAX, Calls
from rumpfs.server.hub import Hub
from rumpfs.sysproxy import wire
from rumpfs.sysproxy.connection import ServerConnection
from rumpfs.sysproxy.events import (
    Answer,
    Call,
    Exec,
    Fork,
    Guest,
    Malformed,
    Prefork,
    RemoteProtocolError,
    ServerEvent,
)

log = logging.getLogger(__name__)

#: how often an only client is given the processor before the session waits in trio: a round trip is then
#: one context switch instead of a turn of the event loop
SPINS = 10
#: calls between checkpoints, so that a busy client starves nobody
TURNS = 32
#: calls that came at once and are made at once; the others of such a batch wait for a checkpoint
BATCH_MAX = 512
#: calls that may wait behind output that the client does not read
QUEUE_MAX = 4096
IOV_MAX = 1024


class Session:
    """One connection.

    Args:
        hub: what all sessions share.
        sock: the connected socket, non-blocking.
        peer: what messages call the client.
    """

    __slots__ = (
        "_exec", "_over", "_queued", "_room", "blocked", "calls", "conn", "dead", "hub", "peer", "sock"
    )  # fmt: skip

    def __init__(self, hub: Hub, sock: socket.socket, peer: str) -> None:
        self.hub = hub
        self.sock = sock
        self.peer = peer
        self.conn = ServerConnection()
        self.calls: Calls | None = None
        self.blocked = False  # output waits for the client to read
        self.dead = False
        self._over = False  # a refused fork: what came behind it does not count
        self._exec: Exec | None = None
        self._queued: list[Call] = []
        self._room: trio.Event | None = None  # while requests are left in the socket

    async def run(self) -> None:
        """Serve the client until it goes."""
        hub = self.hub
        buffer, view = hub.buffer, hub.view
        receive = self.conn.receive
        turns = 0
        hub.awake += 1
        try:
            self.flush()
            while not self.dead:
                size = self._recv(buffer)
                if size < 0:
                    hub.awake -= 1
                    try:
                        await trio.lowlevel.wait_readable(self.sock)
                    finally:
                        hub.awake += 1
                    turns = 0
                    continue
                if size == 0:
                    break
                events = receive(view[:size])
                turns += len(events)
                self.handle(events)
                del events  # while the client is idle, nothing is kept of what it said
                if self.conn.closing:
                    break
                if turns >= TURNS:
                    turns = 0
                    await trio.lowlevel.checkpoint()
                if len(self._queued) >= QUEUE_MAX:
                    await self._wait_for_room()
            while self._queued and self.blocked and not self.dead:
                await self._wait_for_room()  # what it said before it went is done
        except RemoteProtocolError as error:
            log.warning("%s: %s; connection closed", self.peer, error)
        except Exception:
            log.exception("%s: the session failed unexpectedly; connection closed", self.peer)
        finally:
            hub.awake -= 1
            self.close()

    async def _wait_for_room(self) -> None:
        """Leave further requests in the socket until the client has read what is there for it."""
        self.hub.awake -= 1
        try:
            while self.blocked and not self.dead:
                self._room = trio.Event()
                await self._room.wait()
        finally:
            self._room = None
            self.hub.awake += 1

    def _wake(self) -> None:
        if self._room is not None:
            self._room.set()

    def _recv(self, buffer: bytearray) -> int:
        """Receive; -1 when there is nothing, 0 at the end."""
        recv_into = self.sock.recv_into
        try:
            return recv_into(buffer)
        except BlockingIOError:
            if self.hub.awake > 1:
                return -1
        except OSError:
            return 0
        for _ in range(SPINS):
            os.sched_yield()
            try:
                return recv_into(buffer)
            except BlockingIOError:
                continue
            except OSError:
                return 0
        return -1

    def handle(self, events: list[ServerEvent]) -> None:
        """Do what the client said, and send what came of it."""
        calls = self.calls
        if len(events) > BATCH_MAX and calls is not None and not self.blocked:
            self.handle(events[:BATCH_MAX])
            self.pause()
            events = events[BATCH_MAX:]
        for event in events:
            if self._over:
                break
            if type(event) is Call and calls is not None and self._exec is None and not self.blocked:
                calls.call(event)
            elif type(event) is Answer:
                if calls is not None:
                    calls.answered(event)
            else:
                self._other(event)
                calls = self.calls
        if self._exec is not None:
            self._finish_exec(self._exec)
        if self.hub.kernel.howto is not None:
            self.hub.halt()
        self.flush()
        if self.hub.ready:
            self.hub.run_ready()

    def _other(self, event: ServerEvent) -> None:
        kernel = self.hub.kernel
        calls = self.calls
        if type(event) is Call:
            assert calls is not None
            if self._exec is not None:
                self.conn.out.append(wire.sysresp(event.reqno, errno.EBUSY, -1))
            else:
                self._queued.append(Call(event.reqno, event.number, bytes(event.args)))
        elif type(event) is Guest:
            self.calls = Calls(self.hub, self.conn, kernel.spawn(event.comm), self.flush)
            self.conn.out.append(wire.handshake_resp(event.reqno))
        elif type(event) is Fork:
            self._fork(event)
        elif type(event) is Prefork:
            assert calls is not None
            try:
                cookie = kernel.prefork(calls.p)
            except VfsError:
                self.conn.out.append(wire.error(event.reqno, wire.ERR_RFORK_FAILED))
            else:
                self.conn.out.append(wire.frame(event.reqno, wire.RESP, wire.PREFORK, 0, cookie))
        elif type(event) is Exec:
            self._exec = event
        elif type(event) is Malformed:
            self.conn.refuse(*event)

    def _fork(self, event: Fork) -> None:
        kernel = self.hub.kernel
        try:
            if event.cancel:
                kernel.forget(event.cookie)
                self._over = self.conn.closing = True
                return
            self.calls = Calls(self.hub, self.conn, kernel.fork(event.cookie), self.flush)
        except VfsError:
            self.conn.refuse(event.reqno, wire.ERR_INVALID_PREFORK)
            self._over = True
            return
        self.conn.out.append(wire.handshake_resp(event.reqno))

    def _finish_exec(self, event: Exec) -> None:
        """Calls of the old image end without a word; then the new one begins."""
        assert self.calls is not None
        self._exec = None
        self._queued.clear()
        self.calls.abort()
        self.hub.kernel.exec(self.calls.p, event.comm)
        self.conn.in_exec = False
        self.conn.out.append(wire.handshake_resp(event.reqno))

    # --- output -----------------------------------------------------------------------------------

    def pause(self) -> None:
        """Let the other clients have their turn before this one's next call."""
        if not self.blocked:
            self.blocked = True
            self.hub.spawn(self._drain)

    def flush(self) -> None:
        """Send what is to go out; what does not fit is sent by a task of its own."""
        out = self.conn.out
        if not out or self.blocked:
            return
        calls = self.calls
        if self._send(out):
            if self.dead or calls is None:
                return
            much = calls.bulk > BACKLOG_MAX
            calls.bulk = 0
            if not (much or calls.deferred):
                return
        else:
            out[:] = [piece if type(piece) is bytes else bytes(piece) for piece in out]
        self.pause()

    def _send(self, out: list[Buffer]) -> bool:
        """Send as much as fits; whether everything did."""
        try:
            while out:
                if len(out) == 1:
                    sent = self.sock.send(out[0])
                    if sent == len(out[0]):
                        out.clear()
                        break
                else:
                    sent = self.sock.sendmsg(islice(out, IOV_MAX))
                done = 0
                for piece in out:
                    if sent < len(piece):
                        break
                    sent -= len(piece)
                    done += 1
                del out[:done]
                if sent:
                    out[0] = memoryview(out[0])[sent:]
                    return False
        except BlockingIOError:
            return False
        except OSError:
            self.dead = True
        return True

    async def _drain(self) -> None:
        out = self.conn.out
        await trio.lowlevel.checkpoint()
        while out and not self.dead:
            try:
                await trio.lowlevel.wait_writable(self.sock)
            except (OSError, trio.ClosedResourceError):
                self.dead = True
                break
            self._send(out)
        self.blocked = False
        self._wake()
        if self.dead or self.calls is None:
            return
        self.calls.drained()
        queued, self._queued = self._queued, []
        self.handle(list(queued))

    def close(self) -> None:
        """The client is gone: end its calls and its process.

        When it is the kernel that goes, calls end without an answer, so that clients which reconnect repeat
        them (rumpclient(3): rumpclient_setconnretry).
        """
        calls, self.calls = self.calls, None
        if calls is not None:
            if self.hub.kernel.howto is None:
                calls.hang_up()
            else:
                calls.abort()
            calls.p.exit()
        if not self.blocked and not self.dead:
            self._send(self.conn.out)
        self.dead = True
        self.sock.close()
        self._wake()
        self.hub.run_ready()
