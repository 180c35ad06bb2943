"""A server in a process of its own, and a peer that speaks raw frames to it."""

from __future__ import annotations

import os
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

HEADER = struct.Struct("<QQHHI")
REQ, RESP, ERROR = 0, 1, 2
HANDSHAKE, SYSCALL, COPYIN, COPYINSTR, COPYOUT, PREFORK, RAISE = 0, 1, 2, 3, 4, 7, 8
SYSRESP = struct.Struct("<i4xqq")
START_TIMEOUT = 20.0


class Served(NamedTuple):
    """A running server."""

    path: str
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        return f"unix://{self.path}"


@contextmanager
def serving(
    directory: Path, *args: str, program: str = "rump_allserver", status: int = 0
) -> Iterator[Served]:
    """Run a server on a socket in `directory`; it is gone, and was in order, at the end.

    Args:
        args: of the server.
        status: with which it ends, if it does: a negated signal for one that is killed.
    """
    entry = {"rump_allserver": "main_all", "rump_server": "main"}[program]
    path = str(directory / "sock")
    code = f"import sys; from rumpfs.cli.rump_server import {entry} as m; sys.exit(m())"
    process = subprocess.Popen(
        [sys.executable, "-c", code, "-s", *args, f"unix://{path}"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        deadline = time.monotonic() + START_TIMEOUT
        while not listening(path):
            if process.poll() is not None or time.monotonic() > deadline:
                process.kill()
                raise AssertionError(process.communicate()[1].decode())
        yield Served(path, process)
        if process.poll() is not None:
            said = process.communicate()[1].decode()
            assert process.returncode == status, said
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.communicate(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
                raise


def listening(path: str) -> bool:
    """Whether somebody listens on the socket."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(START_TIMEOUT)
        try:
            probe.connect(path)
            return bool(probe.recv(1))
        except (FileNotFoundError, ConnectionRefusedError):
            os.sched_yield()
            return False


class Frame(NamedTuple):
    """One frame."""

    reqno: int
    cls: int
    kind: int
    union: int
    body: bytes

    def encode(self) -> bytes:
        return HEADER.pack(24 + len(self.body), *self[:4]) + self.body


class Peer:
    """A raw connection: sends what it is told, and reads frames."""

    def __init__(self, path: str, timeout: float = 10.0) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(timeout)
        self.sock.connect(path)
        self.banner = b""
        while not self.banner.endswith(b"\n"):
            self.banner += self.sock.recv(1)

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *exc: object) -> None:
        self.sock.close()

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def frame(self) -> Frame | None:
        """Read a frame; None at the end of the connection."""
        head = self._exactly(HEADER.size)
        if head is None:
            return None
        length, reqno, cls, kind, union = HEADER.unpack(head)
        body = self._exactly(length - HEADER.size)
        assert body is not None
        return Frame(reqno, cls, kind, union, body)

    def _exactly(self, count: int) -> bytes | None:
        data = b""
        while len(data) < count:
            try:
                piece = self.sock.recv(count - len(data))
            except ConnectionResetError:
                piece = b""
            if not piece:
                assert not data, "half a frame"
                return None
            data += piece
        return data

    def guest(self, comm: bytes = b"test\0") -> Frame:
        """Do the guest handshake."""
        self.send(Frame(1, REQ, HANDSHAKE, 0, comm).encode())
        answer = self.frame()
        assert answer is not None
        return answer

    def call(self, number: int, *slots: int, reqno: int = 2, memory: dict[int, bytes] | None = None) -> Call:
        """Make a system call; copy requests are answered from `memory` (address -> bytes)."""
        self.send(
            Frame(
                reqno, REQ, SYSCALL, number, struct.pack(f"<{len(slots)}Q", *(s % 2**64 for s in slots))
            ).encode()
        )
        return self.finish(reqno, memory or {})

    def finish(self, reqno: int, memory: dict[int, bytes]) -> Call:
        """Serve copy requests until call `reqno` is answered."""
        stored: list[tuple[int, bytes]] = []
        signals: list[int] = []
        while True:
            frame = self.frame()
            assert frame is not None, "the server closed the connection"
            if frame.cls == RESP and frame.reqno == reqno:
                return Call(*SYSRESP.unpack(frame.body), stored, signals)
            if frame.kind in (COPYIN, COPYINSTR):
                length, addr = struct.unpack("<QQ", frame.body)
                data = fetch(memory, addr, length, frame.kind == COPYINSTR)
                self.send(Frame(frame.reqno, RESP, COPYIN, 0, data).encode())
            elif frame.kind == COPYOUT:
                length, addr = struct.unpack_from("<QQ", frame.body)
                assert len(frame.body) == 16 + length
                stored.append((addr, frame.body[16:]))
            elif frame.kind == RAISE:
                signals.append(frame.union)


class Call(NamedTuple):
    """What a system call came to."""

    error: int
    retval: int
    retval2: int
    stored: list[tuple[int, bytes]]
    signals: list[int]

    @property
    def data(self) -> bytes:
        return b"".join(data for _, data in self.stored)


def fetch(memory: dict[int, bytes], addr: int, length: int, string: bool) -> bytes:
    """Return what is at an address of a memory made of pieces, which may follow each other."""
    for base, data in memory.items():
        if base <= addr < base + len(data):
            found = data[addr - base :]
            if string:
                return found[: found.index(0) + 1][:length]
            while len(found) < length:
                found += memory[addr + len(found)]
            return found[:length]
    raise AssertionError(f"nothing at {addr:#x}")
