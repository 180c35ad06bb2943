"""A relay between clients and a server that keeps some system calls back until it is opened."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.serving import HEADER, REQ, SYSCALL


class Gate:
    """Listens on a socket in place of the server.

    Attributes:
        kept: how many calls are kept back; `changed` is notified.
    """

    def __init__(self, path: Path, server: str, calls: Collection[int]) -> None:
        self.url = f"unix://{path}"
        self._server = server
        self._calls = calls
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self._open = threading.Event()
        self.changed = threading.Condition()
        self.kept = 0
        self._sockets = [self._listener]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.socket(socket.AF_UNIX)
                server.connect(self._server)
                self._sockets += [client, server]
                threading.Thread(target=self._answers, args=(server, client), daemon=True).start()
                threading.Thread(target=self._requests, args=(client, server), daemon=True).start()

    def _answers(self, server: socket.socket, client: socket.socket) -> None:
        with suppress(OSError):
            while data := server.recv(1 << 16):
                client.sendall(data)

    def _requests(self, client: socket.socket, server: socket.socket) -> None:
        buffer = b""
        sending = threading.Lock()
        with suppress(OSError):
            while data := client.recv(1 << 16):
                buffer += data
                while len(buffer) >= 8 and len(buffer) >= (size := struct.unpack_from("<Q", buffer)[0]):
                    frame, buffer = buffer[:size], buffer[size:]
                    _, _, cls, kind, number = HEADER.unpack_from(frame)
                    if (cls, kind) == (REQ, SYSCALL) and number in self._calls and not self._open.is_set():
                        threading.Thread(
                            target=self._keep, args=(frame, server, sending), daemon=True
                        ).start()
                        continue
                    with sending:
                        server.sendall(frame)

    def _keep(self, frame: bytes, server: socket.socket, sending: threading.Lock) -> None:
        with self.changed:
            self.kept += 1
            self.changed.notify_all()
        self._open.wait()
        with sending, suppress(OSError):
            server.sendall(frame)

    def open(self) -> None:
        """Let everything pass."""
        self._open.set()

    def close(self) -> None:
        """End all connections."""
        self.open()
        for sock in self._sockets:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()


@contextmanager
def gate(path: Path, server: str, calls: Collection[int]) -> Iterator[Gate]:
    """Run a relay; `calls` are the numbers of system calls that are kept back."""
    made = Gate(path, server, calls)
    try:
        yield made
    finally:
        made.close()
