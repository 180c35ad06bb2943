"""A client that does as little as possible: prepared frames out, counted bytes in."""

from __future__ import annotations

import socket
import struct
from typing import NamedTuple

from tests.bench.echo import REQUEST
from tests.serving import COPYIN, COPYINSTR, HEADER, REQ, RESP, SYSCALL, Frame, Peer, fetch

_header = HEADER.unpack_from
_copy = struct.Struct("<QQ").unpack_from


class Step(NamedTuple):
    """Send `parts` (numbers of answers are put in from what was received) and expect `wanted` bytes."""

    parts: list[bytearray | bytes | memoryview]
    answers: list[tuple[bytearray, int]]  # header of an answer, and where its number stands in the input
    wanted: int


class Exchange:
    """The steps of a few system calls, learnt by doing them once.

    Attributes:
        sent, received: bytes that one run moves.
    """

    def __init__(
        self, peer: Peer, calls: list[tuple[int, tuple[int, ...]]], memory: dict[int, bytes]
    ) -> None:
        self.sock = peer.sock
        self.steps: list[Step] = []
        self.sent = self.received = 0
        self.results: list[int] = []
        for number, slots in calls:
            self._learn(peer, number, slots, memory)
        self.buffer = bytearray(max(step.wanted for step in self.steps))

    def _learn(self, peer: Peer, number: int, slots: tuple[int, ...], memory: dict[int, bytes]) -> None:
        payload = struct.pack(f"<{len(slots)}Q", *(slot % 2**64 for slot in slots))
        parts: list[bytearray | bytes | memoryview] = [Frame(7, REQ, SYSCALL, number, payload).encode()]
        answers: list[tuple[bytearray, int]] = []
        while True:
            for part in parts:
                peer.send(bytes(part))
            self.sent += sum(map(len, parts))
            frames, wanted = _receive(peer)
            self.received += wanted
            self.steps.append(Step(parts, answers, wanted))
            parts, answers = [], []
            position = 0
            for frame in frames:
                if frame.cls == RESP:
                    error, retval = struct.unpack_from("<i4xq", frame.body)
                    assert not error, f"system call {number}: errno {error}"
                    self.results.append(retval)
                    return
                if frame.kind in (COPYIN, COPYINSTR):
                    length, addr = _copy(frame.body)
                    data = fetch(memory, addr, length, frame.kind == COPYINSTR)
                    head = bytearray(HEADER.pack(24 + len(data), frame.reqno, RESP, COPYIN, 0))
                    answers.append((head, position + 8))
                    parts += [head, data]
                position += 24 + len(frame.body)
            small = sum(map(len, parts)) < 4096 and len(answers) == 1
            if small:
                joined = bytearray(b"".join(parts))
                parts, answers = [joined], [(joined, answers[0][1])]

    def run(self) -> None:
        """Do the calls once more."""
        sock = self.sock
        buffer = self.buffer
        for parts, answers, wanted in self.steps:
            for head, where in answers:
                head[8:16] = buffer[where : where + 8]
            if len(parts) == 1:
                sock.send(parts[0])
            else:
                send_all(sock, parts)
            got = sock.recv_into(buffer)
            if got < wanted:
                view = memoryview(buffer)
                while got < wanted:
                    got += sock.recv_into(view[got:])


class Echo:
    """The same bytes to and from the echo server."""

    def __init__(self, sock: socket.socket, exchange: Exchange) -> None:
        self.sock = sock
        self.message = REQUEST.pack(exchange.sent, exchange.received) + bytes(exchange.sent - REQUEST.size)
        self.buffer = bytearray(exchange.received)

    def run(self) -> None:
        """One round trip."""
        sock = self.sock
        buffer = self.buffer
        wanted = len(buffer)
        if len(self.message) < 4096:
            sock.send(self.message)
        else:
            sock.sendall(self.message)
        got = sock.recv_into(buffer)
        if got < wanted:
            view = memoryview(buffer)
            while got < wanted:
                got += sock.recv_into(view[got:])


def _receive(peer: Peer) -> tuple[list[Frame], int]:
    """Read frames until the server waits for us: after a response, or after the last copy request."""
    frames: list[Frame] = []
    total = 0
    while True:
        frame = peer.frame()
        assert frame is not None
        frames.append(frame)
        total += 24 + len(frame.body)
        if frame.cls == RESP:
            return frames, total
        if frame.kind in (COPYIN, COPYINSTR) and not _more(peer):
            return frames, total


def _more(peer: Peer) -> bool:
    peer.sock.settimeout(0.05)
    try:
        return bool(peer.sock.recv(1, socket.MSG_PEEK))
    except TimeoutError:
        return False
    finally:
        peer.sock.settimeout(None)


def send_all(sock: socket.socket, parts: list[bytearray | bytes | memoryview]) -> None:
    """Send all parts."""
    total = sum(map(len, parts))
    sent = sock.sendmsg(parts)
    while sent < total:
        rest = []
        skip = sent
        for part in parts:
            if skip < len(part):
                rest.append(memoryview(part)[skip:])
                skip = 0
            else:
                skip -= len(part)
        total -= sent
        parts = rest
        sent = sock.sendmsg(parts)
