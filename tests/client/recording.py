"""Recorded conversations as a server that a client can talk to.

`FakeServer` sends what the recorded server sent and checks that the client sends what the recorded client
sent, byte by byte. Only addresses differ: what was a pointer in the recorded client is one in ours.
`Script` is the client's side: it does the system calls that the recorded client did.
"""

from __future__ import annotations

import json
import os
import socket
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from rumpfs.abi import syscalls
from rumpfs.client import Client
from rumpfs.client.errors import RumpError
from rumpfs.client.stubs import public_name
from rumpfs.sysproxy import wire

#: No recorded value that is not a pointer is as large, and no pointer is smaller.
POINTER = 1 << 32
POINTERS = (syscalls.PATH, syscalls.IN, syscalls.OUT, syscalls.PTR)
#: sizes of the structures with pointers that were recorded: ufs_args, and two of struct iovec
STRUCTURES = (8, 32)
#: what is so many bytes from an address belongs to another one
FAR = 1 << 20
#: seconds until a test gives up on the other side
PATIENCE = 4


@dataclass
class Message:
    """One protocol message."""

    conn: int
    to_server: bool
    data: bytes
    heading: tuple[int, int, int, int, int] = (0, 0, 0, 0, 0)
    seen: threading.Event = field(default_factory=threading.Event)

    @property
    def body(self) -> bytes:
        return self.data[wire.HDRLEN :]

    def is_(self, cls: int, *kinds: int) -> bool:
        return self.heading[2] == cls and self.heading[3] in kinds


def load(path: Path) -> list[Message]:
    """Return the messages of a recording; the banner of a connection has an empty heading."""
    messages = []
    for line in path.read_text().splitlines():
        record = json.loads(line)
        if "hex" not in record:
            continue
        message = Message(record["conn"], record["dir"] == "c2s", bytes.fromhex(record["hex"]))
        if "banner" not in record:
            message.heading = wire.HEADER.unpack_from(message.data)
        messages.append(message)
    return messages


class FakeServer:
    """Plays the server's part of a recording on a socket of its own.

    Args:
        piece: how many bytes are sent at once; 0 for whole messages.
    """

    def __init__(self, messages: list[Message], directory: Path, piece: int = 0) -> None:
        self.url = f"unix://{directory}/fake"
        self.piece = piece
        self.problems: list[str] = []
        self._by_conn: dict[int, list[Message]] = {}
        for message in messages:
            self._by_conn.setdefault(message.conn, []).append(message)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(f"{directory}/fake")
        self._listener.listen()
        self._listener.settimeout(PATIENCE)
        self._thread = threading.Thread(target=self._accept)
        self._thread.start()

    def _accept(self) -> None:
        threads = []
        try:
            for conn in sorted(self._by_conn):
                sock, _ = self._listener.accept()
                thread = threading.Thread(target=self._serve, args=(conn, sock))
                thread.start()
                threads.append(thread)
        except OSError as error:
            self.problems.append(f"nobody connected: {error}")
        for thread in threads:
            thread.join()

    def _serve(self, conn: int, sock: socket.socket) -> None:
        sock.settimeout(PATIENCE)
        translation = _Translation()
        with sock:
            try:
                for number, message in enumerate(self._by_conn[conn]):
                    where = f"connection {conn}, message {number}"
                    if message.to_server:
                        got = _receive(sock, len(message.data))
                        if problem := translation.compare(message, got):
                            self.problems.append(f"{where}: {problem}")
                            return
                        message.seen.set()
                    else:
                        self._send(sock, translation.translated(message))
                if rest := sock.recv(100):
                    self.problems.append(f"connection {conn}: more than was recorded: {rest.hex()}")
            except OSError as error:
                self.problems.append(f"connection {conn}: {error}")

    def _send(self, sock: socket.socket, data: bytes) -> None:
        step = self.piece if data not in (wire.BANNER,) and self.piece else len(data)
        for offset in range(0, len(data), step):
            sock.sendall(data[offset : offset + step])

    def finish(self) -> None:
        """Wait for all connections to end, and fail if something was not as recorded."""
        self._thread.join()
        self._listener.close()
        assert not self.problems, self.problems


def _receive(sock: socket.socket, length: int) -> bytes:
    data = b""
    while len(data) < length:
        part = sock.recv(length - len(data))
        if not part:
            raise OSError(f"the client left after {data.hex()} of {length} bytes")
        data += part
    return data


class _Translation:
    """The addresses of one connection: what the recorded client and ours call the same memory."""

    def __init__(self) -> None:
        self.address: dict[int, int] = {}

    def compare(self, message: Message, got: bytes) -> str | None:
        """Return how a message of the client differs from the recorded one; learn its addresses."""
        want = message.data
        pointers: set[int] = set()
        if message.is_(wire.REQ, wire.SYSCALL):
            row = syscalls.BY_NUMBER.get(message.heading[4])
            kinds = [arg.kind for arg in row.args] if row else []
            pointers = {wire.HDRLEN + 8 * slot for slot, kind in enumerate(kinds) if kind in POINTERS}
        elif message.is_(wire.RESP, wire.COPYIN):
            # Structures may hold pointers; text and data of files do not look like them.
            if len(message.body) in STRUCTURES:
                pointers = set(range(wire.HDRLEN, len(want), 8))
        rest_want, rest_got = bytearray(want), bytearray(got)
        for offset in pointers:
            (theirs,) = struct.unpack_from("<Q", want, offset)
            (ours,) = struct.unpack_from("<Q", got, offset)
            if theirs >= POINTER and ours >= POINTER:
                self.address[theirs] = ours
                rest_want[offset : offset + 8] = rest_got[offset : offset + 8] = bytes(8)
        return None if rest_want == rest_got else f"{got.hex()} in place of {want.hex()}"

    def translated(self, message: Message) -> bytes:
        """Return a message of the server with our addresses."""
        if not message.is_(wire.REQ, wire.COPYIN, wire.COPYINSTR, wire.COPYOUT):
            return message.data
        length, addr = wire.COPYDATA.unpack_from(message.data, wire.HDRLEN)
        start = max(known for known in self.address if known <= addr)
        ours = self.address[start] + addr - start
        head = message.data[: wire.HDRLEN] + wire.COPYDATA.pack(length, ours)
        return head + message.data[wire.HDRLEN + wire.COPYDATA.size :]


@dataclass
class Call:
    """One recorded system call with everything that belongs to it."""

    request: Message
    response: Message
    fetched: dict[int, bytes]  # what the server was given, by address
    stored: dict[int, bytes]  # what it stored

    @property
    def result(self) -> tuple[int, int, int]:
        return wire.SYSRESP.unpack_from(self.response.body)  # type: ignore[return-value]


def calls_of(messages: list[Message]) -> dict[int, Call]:
    """Return the calls of one connection by the index of their request."""
    found = {}
    for index, request in enumerate(messages):
        if not request.is_(wire.REQ, wire.SYSCALL):
            continue
        fetched: dict[int, bytes] = {}
        stored: dict[int, bytes] = {}
        asked: dict[int, int] = {}
        for message in messages[index + 1 :]:
            if message.is_(wire.REQ, wire.COPYIN, wire.COPYINSTR):
                asked[message.heading[1]] = wire.COPYDATA.unpack_from(message.body)[1]
            elif message.is_(wire.REQ, wire.COPYOUT):
                stored[wire.COPYDATA.unpack_from(message.body)[1]] = message.body[wire.COPYDATA.size :]
            elif message.is_(wire.RESP, wire.COPYIN):
                fetched[asked[message.heading[1]]] = message.body
            elif message.is_(wire.RESP, wire.SYSCALL) and message.heading[1] == request.heading[1]:
                found[index] = Call(request, message, fetched, stored)
                break
    return found


class Memory:
    """The recorded client's memory during one call: what lies at each address that a pointer names."""

    def __init__(self, call: Call, roots: set[int]) -> None:
        pointers = {
            word
            for data in call.fetched.values()
            if len(data) in STRUCTURES
            for (word,) in struct.iter_unpack("<Q", data)
            if word >= POINTER and (word in call.fetched or word in call.stored)
        }
        starts = sorted(roots | pointers)
        self.nested = pointers - roots
        self.at: dict[int, bytearray] = {start: bytearray() for start in starts}
        room = {addr: bytes(len(data)) for addr, data in call.stored.items()}
        for addr, data in [*call.fetched.items(), *room.items()]:
            # Calls that overlap in time see each other's copies; those are far away.
            below = [start for start in starts if start <= addr < start + FAR]
            if not below:
                continue
            memory = self.at[below[-1]]
            end = addr - below[-1] + len(data)
            memory.extend(bytes(max(0, end - len(memory))))
            if any(data):
                memory[end - len(data) : end] = data


class Script:
    """Does with our client what the recorded client did."""

    def __init__(self, messages: list[Message], url: str) -> None:
        self.messages = messages
        self.url = url
        self.clients: dict[int, Client] = {}
        self.results: list[str] = []
        self._threads: list[threading.Thread] = []
        self._problems: list[BaseException] = []

    def run(self) -> None:
        """Do everything in the recorded order."""
        by_conn: dict[int, list[int]] = {}
        for index, message in enumerate(self.messages):
            by_conn.setdefault(message.conn, []).append(index)
        calls: dict[int, Call] = {}
        for indices in by_conn.values():
            own = calls_of([self.messages[index] for index in indices])
            calls.update({indices[local]: call for local, call in own.items()})
        last = {conn: indices[-1] for conn, indices in by_conn.items()}
        for index, message in enumerate(self.messages):
            if message.to_server and message.heading[2] == wire.REQ:
                self._request(index, message, calls)
            if index == last[message.conn]:
                self._join()
                self.clients.pop(message.conn).close()
        assert not self._problems, self._problems

    def _request(self, index: int, message: Message, calls: dict[int, Call]) -> None:
        _, _, _, kind, union = message.heading
        if kind == wire.SYSCALL:
            self._syscall(index, calls[index])
        elif kind == wire.PREFORK:
            self.clients[message.conn].prefork()
        elif union == wire.HANDSHAKE_GUEST:
            self.clients[message.conn] = Client(self.url, message.body[:-1], on_signal=self._signal)
        elif union == wire.HANDSHAKE_FORK:
            self.clients[message.conn] = Client.from_cookie(self.url, message.body[:16])
        else:
            self.clients[message.conn].exec(message.body[:-1])

    def _signal(self, signo: int) -> None:
        self.results.append(f"signal {signo}")

    def _syscall(self, index: int, call: Call) -> None:
        """Do a call; when another one began before it was answered, in a thread."""
        thread = threading.Thread(target=self._guarded, args=(call,))
        thread.start()
        assert call.request.seen.wait(PATIENCE), self._problems
        following = self.messages[index + 1 : self.messages.index(call.response)]
        if any(message.is_(wire.REQ, wire.SYSCALL) for message in following):
            self._threads.append(thread)
        else:
            thread.join()

    def _join(self) -> None:
        for thread in self._threads:
            thread.join()

    def _guarded(self, call: Call) -> None:
        try:
            self._do(call)
        except BaseException as problem:  # noqa: BLE001 - it fails the test, in its own thread
            self._problems.append(problem)

    def _do(self, call: Call) -> None:
        client = self.clients[call.request.conn]
        number = call.request.heading[4]
        row = syscalls.BY_NUMBER.get(number)
        error, *retvals = call.result
        if row is None:
            words = struct.unpack(f"<{len(call.request.body) // 8}Q", call.request.body)
            self._expect(error, lambda: client.syscall(number, *words))
            return
        names = [arg.name for arg in row.args if arg.kind != syscalls.PADDING]
        slots = dict(zip(names, struct.unpack(row.slots, call.request.body), strict=True))
        roots = {slots[arg.name] for arg in row.args if arg.kind in POINTERS and slots[arg.name] >= POINTER}
        memory = Memory(call, roots)
        nested = sorted(memory.nested)
        buffers = [memory.at[start] for start in nested]
        with client.mapped(*buffers) as addresses:
            place = dict(zip(nested, addresses, strict=True))
            arguments, out = _arguments(row, slots, memory, place)
            stub = getattr(client.sys, public_name(row))
            got = self._expect(error if not row.noerr else 0, lambda: stub(*arguments))
        if error:
            return
        if row.name == "pipe":
            assert got == tuple(retvals)
        elif out is not None:
            stored = [data for addr, data in sorted(call.stored.items()) if 0 <= addr - slots[out] < FAR]
            assert got == b"".join(stored)
        elif row.result != "void":
            assert got == retvals[0]
        for addr, data in call.stored.items():
            start = max((start for start in memory.at if start <= addr < start + FAR), default=0)
            if out is None and start:
                assert memory.at[start][addr - start : addr - start + len(data)] == data

    def _expect(self, error: int, call: Any) -> Any:
        if not error:
            return call()
        with pytest.raises(RumpError) as raised:
            call()
        assert raised.value.netbsd_errno == error
        return None


def _arguments(
    row: syscalls.Syscall, slots: dict[str, int], memory: Memory, place: dict[int, int]
) -> tuple[list[Any], str | None]:
    """Return what the stub is called with, and the argument whose bytes it returns."""
    sizes = {arg.size for arg in row.args if isinstance(arg.size, str)}
    arguments: list[Any] = []
    out = None
    for arg in row.args:
        if arg.kind == syscalls.PADDING or arg.name in sizes:
            continue
        value = slots[arg.name]
        if arg.kind == syscalls.OUT:
            out = arg.name
            if isinstance(arg.size, str):
                arguments.append(slots[arg.size])
        elif arg.kind not in POINTERS or value < POINTER:
            arguments.append(value if arg.kind not in (syscalls.PATH, syscalls.IN) else None)
        elif arg.kind == syscalls.PATH:
            arguments.append(bytes(memory.at[value]).removesuffix(b"\0"))
        elif arg.kind == syscalls.IN:
            length = slots[arg.size] if isinstance(arg.size, str) else arg.size
            arguments.append(bytes(memory.at[value]).ljust(length, b"\0"))
        else:
            held = memory.at[value]
            for offset in range(0, len(held) - 7, 8) if place else ():
                (word,) = struct.unpack_from("<Q", held, offset)
                if word in place:
                    struct.pack_into("<Q", held, offset, place[word])
            arguments.append(held)
    return arguments, out


def recordings(directory: Path) -> Iterator[str]:
    """Yield the names of the recordings that are conversations with a client."""
    for name in sorted(os.listdir(directory)):
        if name.endswith(".jsonl") and name != "raw_errors.jsonl":
            yield name.removesuffix(".jsonl")
