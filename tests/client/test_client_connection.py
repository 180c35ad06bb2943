"""The client's end of the protocol understands a server's bytes however they are cut."""

from __future__ import annotations

from pathlib import Path

import pytest

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
from tests.client.recording import load, recordings
from tests.conftest import SHARED

WIRE = SHARED / "wire"
NAMES = list(recordings(WIRE)) if WIRE.is_dir() else []


def understood(pieces: list[bytes]) -> list[tuple[object, ...]]:
    """Return what a client makes of a stream that arrives in pieces; data of a COPYOUT as one piece."""
    conn = ClientConnection()
    events: list[tuple[object, ...]] = []
    rest = b""  # of the data of a COPYOUT, which does not go through the connection
    for piece in pieces:
        if conn.owed:
            rest, piece = piece[: conn.owed], piece[conn.owed :]
            conn.owed -= len(rest)
            addr, data = events.pop()[1:]
            assert isinstance(data, bytes)
            events.append(("CopyData", addr, data + rest))
        if piece:
            assert not conn.owed
            for event in conn.receive(memoryview(piece)):
                fields = [bytes(part) if isinstance(part, memoryview) else part for part in event]
                events.append((type(event).__name__, *fields))
    assert conn.partial == 0
    return events


def recorded(name: str) -> list[list[bytes]]:
    """Return what the recorded server sent, frame by frame, for each connection."""
    streams: dict[int, list[bytes]] = {}
    for message in load(WIRE / f"{name}.jsonl"):
        if not message.to_server and message.data != wire.BANNER:
            streams.setdefault(message.conn, []).append(message.data)
    return list(streams.values())


def expected(frames: list[bytes]) -> list[tuple[object, ...]]:
    """Say by the table of frames in the protocol what the recorded frames mean."""
    meaning: list[tuple[object, ...]] = []
    for frame in frames:
        _, reqno, cls, kind, union = wire.HEADER.unpack_from(frame)
        body = frame[24:]
        words = [int.from_bytes(body[at : at + 8], "little") for at in (0, 8)]
        if cls == 1:
            meaning.append(("Answer", reqno, kind, body))
        elif kind in (2, 3):
            meaning.append(("CopyRequest", reqno, words[1], words[0], kind == 3))
        elif kind == 4:
            meaning.append(("CopyData", words[1], body[16:]))
        else:
            assert (cls, kind) == (0, 8)
            meaning.append(("Signal", union))
    return meaning


@pytest.mark.parametrize("name", NAMES)
def test_recorded_streams_are_understood_whole_and_byte_by_byte(name: str, shared: Path) -> None:
    for frames in recorded(name):
        stream = b"".join(frames)
        assert understood([stream]) == expected(frames)
        assert understood([stream[at : at + 1] for at in range(len(stream))]) == expected(frames)
        assert understood(frames) == expected(frames)


@pytest.mark.parametrize("name", ["guest", "sigpipe_raise", "pipe_blocking", "exec"])
def test_recorded_streams_are_understood_cut_anywhere(name: str, shared: Path) -> None:
    for frames in recorded(name):
        stream = b"".join(frames)
        whole = expected(frames)
        for cut in range(1, len(stream)):
            assert understood([stream[:cut], stream[cut:]]) == whole


def words(*numbers: int) -> bytes:
    return b"".join(number.to_bytes(8, "little") for number in numbers)


EVERY = b"".join([
    wire.frame(7, wire.RESP, wire.SYSCALL, 0, bytes(24)),
    wire.frame(1, wire.REQ, wire.COPYIN, 0, words(32768, 1 << 40)),
    wire.frame(2, wire.REQ, wire.COPYINSTR, 0, words(1024, 2 << 40)),
    wire.frame(3, wire.REQ, wire.COPYOUT, 0, words(5, 9) + b"hello"),
    wire.frame(3, wire.REQ, wire.COPYOUTSTR, 0, words(2, 9) + b"x\0"),
    wire.frame(4, wire.REQ, wire.ANONMMAP, 0, words(4096)),
    wire.frame(0, wire.REQ, wire.RAISE, 13),
    wire.error(8, wire.ERR_INEXEC),
    wire.frame(9, wire.RESP, wire.PREFORK, 0, bytes(range(16))),
])  # fmt: skip


def test_every_kind_of_frame_cut_anywhere() -> None:
    meaning = [
        (type(event).__name__, *event)
        for event in [
            Answer(7, wire.SYSCALL, bytes(24)),
            CopyRequest(1, 1 << 40, 32768, False),
            CopyRequest(2, 2 << 40, 1024, True),
            CopyData(9, b"hello"),
            CopyData(9, b"x\0"),
            AnonMmap(4, 4096),
            Signal(13),
            Failure(8, wire.ERR_INEXEC),
            Answer(9, wire.PREFORK, bytes(range(16))),
        ]
    ]
    for first in range(1, len(EVERY)):
        assert understood([EVERY[:first], EVERY[first:]]) == meaning
        for second in range(first + 1, min(first + 60, len(EVERY))):
            assert understood([EVERY[:first], EVERY[first:second], EVERY[second:]]) == meaning


def header(length: int, cls: int, kind: int) -> bytes:
    return wire.HEADER.pack(length, 1, cls, kind, 0)


@pytest.mark.parametrize(
    "frame",
    [
        header(23, wire.RESP, wire.SYSCALL),
        header(0, wire.RESP, wire.SYSCALL),
        header(1 << 63, wire.RESP, wire.SYSCALL),
        header(2**64 - 1, wire.REQ, wire.COPYIN),
        header(24, 3, 0),
        header(24, wire.REQ, 9),
        header(24, wire.REQ, wire.SYSCALL),
        header(24, wire.REQ, wire.COPYIN),
        header(39, wire.REQ, wire.COPYOUT),
        header(41, wire.REQ, wire.COPYOUT) + words(2) + bytes(9),
        header(40, wire.REQ, wire.COPYOUT) + words(1 << 62, 0),
        header(28, wire.REQ, wire.ANONMMAP) + bytes(4),
    ],
    ids=lambda frame: frame.hex(),
)
def test_a_frame_that_no_client_survives_is_an_error(frame: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        ClientConnection().receive(memoryview(frame))


def test_requests_are_numbered_from_1_and_after_exec_from_0() -> None:
    conn = ClientConnection()
    # the bytes of the protocol's worked example
    assert conn.request(wire.HANDSHAKE, wire.HANDSHAKE_GUEST, b"t\0") == (
        1, bytes.fromhex("1a00000000000000 0100000000000000 0000 0000 00000000 7400")
    )  # fmt: skip
    assert conn.request(wire.SYSCALL, 20) == (
        2, bytes.fromhex("1800000000000000 0200000000000000 0000 0100 14000000")
    )  # fmt: skip
    conn.restart()
    assert conn.request(wire.HANDSHAKE, wire.HANDSHAKE_EXEC, b"x\0")[0] == 0
