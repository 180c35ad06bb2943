"""A server for one connection that does exactly what a test says, frame by frame."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from pathlib import Path

from rumpfs.sysproxy import wire
from tests.serving import Frame

PATIENCE = 20


class Server:
    """The server's end of a connection."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        sock.settimeout(PATIENCE)

    def exactly(self, count: int) -> bytes:
        """Read `count` bytes."""
        data = b""
        while len(data) < count:
            part = self.sock.recv(count - len(data))
            assert part, "the client left"
            data += part
        return data

    def frame(self) -> Frame:
        """Read a frame."""
        length, *rest = wire.HEADER.unpack(self.exactly(24))
        return Frame(*rest, self.exactly(length - 24))

    def slots(self) -> list[int]:
        """Read a system call; return its number on the connection and its argument slots."""
        call = self.frame()
        words = [int.from_bytes(call.body[at : at + 8], "little") for at in range(0, len(call.body), 8)]
        return [call.reqno, *words]

    def send(self, *frames: bytes) -> None:
        """Send frames at once."""
        self.sock.sendall(b"".join(frames))

    def at_end(self) -> bool:
        """Whether the client has closed the connection."""
        try:
            return self.sock.recv(1) == b""
        except ConnectionResetError:
            return True


def copyin(reqno: int, length: int, addr: int, kind: int = wire.COPYIN) -> bytes:
    return wire.COPY_FRAME.pack(40, reqno, wire.REQ, kind, 0, length, addr)


def copyout(reqno: int, addr: int, data: bytes) -> bytes:
    return wire.COPY_FRAME.pack(40 + len(data), reqno, wire.REQ, wire.COPYOUT, 0, len(data), addr) + data


class Peer:
    """Listens on a socket, and runs a function with the server's end of the first connection.

    Args:
        greeting: what the server says first; with the banner, the handshake is done as well.
    """

    def __init__(self, directory: Path, act: Callable[[Server], None], greeting: bytes = wire.BANNER) -> None:
        self.url = f"unix://{directory}/peer"
        self._act = act
        self._greeting = greeting
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(f"{directory}/peer")
        self._listener.listen()
        self._listener.settimeout(PATIENCE)
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            sock, _ = self._listener.accept()
            with sock:
                server = Server(sock)
                if self._greeting:
                    server.send(self._greeting)
                if self._greeting == wire.BANNER:
                    server.send(wire.handshake_resp(server.frame().reqno))
                self._act(server)
        except BaseException as failure:  # noqa: BLE001 - raised in the test's own thread
            self._failure = failure

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self._thread.join()
        self._listener.close()
        if self._failure is not None and kind is None:
            raise self._failure
