"""Frames of both sides, however they are cut; who may say what when (the protocol's sections 3-5 and 17)."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from itertools import pairwise

import hypothesis.strategies as st
import pytest
from hypothesis import given

from rumpfs.sysproxy import wire
from rumpfs.sysproxy.connection import ClientConnection, ServerConnection
from rumpfs.sysproxy.events import (
    AnonMmap,
    Answer,
    Call,
    CopyData,
    CopyRequest,
    Exec,
    Failure,
    Fork,
    Guest,
    Malformed,
    Prefork,
    RemoteProtocolError,
    Signal,
)

REQ, RESP, ERROR = 0, 1, 2
HANDSHAKE, SYSCALL, COPYIN, COPYINSTR, COPYOUT, COPYOUTSTR, ANONMMAP, PREFORK, RAISE = range(9)
GUEST, AUTH, FORK, EXEC = range(4)
E_AUTH, E_INEXEC, E_MALFORMED = 2, 5, 7
COOKIE = bytes(range(16))


def frame(reqno: int, cls: int, kind: int, union: int = 0, payload: bytes = b"") -> bytes:
    return struct.pack("<QQHHI", 24 + len(payload), reqno, cls, kind, union) + payload


def still(event: tuple[object, ...]) -> tuple[object, ...]:
    """Return an event with its type, and with bytes for views."""
    return (type(event), *(bytes(part) if isinstance(part, memoryview) else part for part in event))


def heard(conn: ServerConnection, pieces: Iterable[bytes]) -> list[tuple[object, ...]]:
    return [still(event) for piece in pieces for event in conn.receive(memoryview(piece))]


def established() -> ServerConnection:
    conn = ServerConnection()
    heard(conn, [frame(1, REQ, HANDSHAKE, GUEST, b"t\0")])
    return conn


def cuts(stream: bytes) -> Iterable[list[bytes]]:
    """Yield a stream whole, byte by byte, and cut once at every position."""
    yield [stream]
    yield [bytes([byte]) for byte in stream]
    for position in range(len(stream) + 1):
        yield [stream[:position], stream[position:]]


# --- what a client says -----------------------------------------------------------------------------

CLIENT_FRAMES = {
    "guest": (frame(1, REQ, HANDSHAKE, GUEST, b"name\0"), (Guest, 1, b"name")),
    "guest without a NUL": (frame(1, REQ, HANDSHAKE, GUEST, b"name"), (Guest, 1, b"name")),
    "guest with more": (frame(9, REQ, HANDSHAKE, GUEST, b"name\0rest\0"), (Guest, 9, b"name")),
    "guest without a name": (frame(0, REQ, HANDSHAKE, GUEST, b"\0"), (Guest, 0, b"")),
    "fork": (frame(1, REQ, HANDSHAKE, FORK, COOKIE + bytes(4)), (Fork, 1, COOKIE, False)),
    "cancelled fork": (frame(1, REQ, HANDSHAKE, FORK, COOKIE + b"\1\0\0\0"), (Fork, 1, COOKIE, True)),
}

ESTABLISHED_FRAMES = {
    "call without arguments": (frame(2, REQ, SYSCALL, 20), (Call, 2, 20, b"")),
    "call": (frame(3, REQ, SYSCALL, 5, bytes(range(24))), (Call, 3, 5, bytes(range(24)))),
    "large number": (frame(2**64 - 1, REQ, SYSCALL, 2**32 - 1), (Call, 2**64 - 1, 2**32 - 1, b"")),
    "prefork": (frame(4, REQ, PREFORK), (Prefork, 4)),
    "exec": (frame(0, REQ, HANDSHAKE, EXEC, b"new\0"), (Exec, 0, b"new")),
    "answer to a copyin": (frame(7, RESP, COPYIN, 0, b"data"), (Answer, 7, COPYIN, b"data")),
    "answer without data": (frame(7, RESP, COPYIN), (Answer, 7, COPYIN, b"")),
    "answer of any type": (frame(7, RESP, 99, 5, b"x"), (Answer, 7, 99, b"x")),
    "error frame": (frame(7, ERROR, 0, 7), (Malformed, 7, E_MALFORMED, False)),
    "unknown class": (frame(7, 77, SYSCALL, 20), (Malformed, 7, E_MALFORMED, False)),
}


@pytest.mark.parametrize("name", CLIENT_FRAMES)
def test_first_frames_of_a_client_cut_anywhere(name: str) -> None:
    stream, event = CLIENT_FRAMES[name]
    for pieces in cuts(stream):
        conn = ServerConnection()
        assert heard(conn, pieces) == [event]
        assert conn.established


@pytest.mark.parametrize("name", ESTABLISHED_FRAMES)
def test_frames_of_a_client_cut_anywhere(name: str) -> None:
    stream, event = ESTABLISHED_FRAMES[name]
    for pieces in cuts(stream):
        assert heard(established(), pieces) == [event]


def test_frames_that_come_together() -> None:
    frames = [entry for entry in ESTABLISHED_FRAMES.values() if entry[1][0] is not Exec]
    stream = b"".join(data for data, _ in frames)
    assert heard(established(), [stream]) == [event for _, event in frames]


@pytest.mark.parametrize(
    ("stream", "event"),
    [
        (frame(1, REQ, SYSCALL, 20), (Malformed, 1, E_AUTH, True)),
        (frame(1, REQ, PREFORK), (Malformed, 1, E_AUTH, True)),
        (frame(1, REQ, HANDSHAKE, AUTH), (Malformed, 1, E_AUTH, True)),
        (frame(1, REQ, HANDSHAKE, EXEC, b"x\0"), (Malformed, 1, E_AUTH, True)),
        (frame(1, REQ, HANDSHAKE, 77), (Malformed, 1, E_AUTH, True)),
        (frame(1, REQ, 77), (Malformed, 1, E_AUTH, True)),
        (frame(1, REQ, HANDSHAKE, GUEST), (Malformed, 1, E_MALFORMED, True)),
        (frame(1, REQ, HANDSHAKE, FORK, COOKIE), (Malformed, 1, E_MALFORMED, True)),
        (frame(1, REQ, HANDSHAKE, FORK, bytes(21)), (Malformed, 1, E_MALFORMED, True)),
        (frame(1, ERROR, 0, 1), (Malformed, 1, E_MALFORMED, False)),
        (frame(1, RESP, COPYIN, 0, b"x"), (Answer, 1, COPYIN, b"x")),
    ],
)
def test_before_the_handshake(stream: bytes, event: tuple[object, ...]) -> None:
    conn = ServerConnection()
    assert heard(conn, [stream]) == [event]
    assert not conn.established
    assert conn.closing == (event[0] is Malformed and event[3])


@pytest.mark.parametrize(
    ("stream", "code", "fatal"),
    [
        *((frame(5, REQ, HANDSHAKE, kind, b"x\0"), E_MALFORMED, True) for kind in (GUEST, FORK, AUTH, 77)),
        (frame(5, REQ, HANDSHAKE, EXEC), E_MALFORMED, True),
        *(
            (frame(5, REQ, kind), E_MALFORMED, False)
            for kind in (COPYIN, COPYINSTR, COPYOUT, ANONMMAP, RAISE, 77)
        ),
    ],
)
def test_after_the_handshake(stream: bytes, code: int, fatal: bool) -> None:
    conn = established()
    assert heard(conn, [stream]) == [(Malformed, 5, code, fatal)]
    following = heard(conn, [frame(6, REQ, SYSCALL, 20)])
    assert following == ([] if fatal else [(Call, 6, 20, b"")])


def test_nothing_is_said_after_a_fatal_mistake() -> None:
    stream = frame(1, REQ, SYSCALL, 20) + frame(2, REQ, HANDSHAKE, GUEST, b"x\0")
    for pieces in cuts(stream):
        assert heard(ServerConnection(), pieces) == [(Malformed, 1, E_AUTH, True)]


@pytest.mark.parametrize("stream", [frame(6, REQ, PREFORK), frame(6, REQ, HANDSHAKE, EXEC, b"y\0")])
def test_during_an_exec(stream: bytes) -> None:
    conn = established()
    assert heard(conn, [frame(0, REQ, HANDSHAKE, EXEC, b"x\0")]) == [(Exec, 0, b"x")]
    assert heard(conn, [frame(1, REQ, SYSCALL, 20)]) == [(Call, 1, 20, b"")]
    assert heard(conn, [stream]) == [(Malformed, 6, E_INEXEC, True)]
    conn = established()
    heard(conn, [frame(0, REQ, HANDSHAKE, EXEC, b"x\0")])
    conn.in_exec = False  # the server has finished it
    assert heard(conn, [stream])[0][0] in (Prefork, Exec)


@pytest.mark.parametrize("length", [0, 1, 23, wire.MAX_CLIENT_FRAME + 1, 2**63, 2**64 - 1])
def test_lengths_that_end_the_connection(length: int) -> None:
    head = struct.pack("<QQHHI", length, 1, REQ, HANDSHAKE, GUEST)
    for pieces in ([head], [head[:10], head[10:]]):
        with pytest.raises(RemoteProtocolError):
            heard(ServerConnection(), pieces)


def test_the_longest_frame() -> None:
    body = bytes(wire.MAX_CLIENT_FRAME - 24)
    assert heard(established(), [frame(1, RESP, COPYIN, 0, body)]) == [(Answer, 1, COPYIN, body)]
    # room for what is asked for at most, and then some
    assert len(body) >= 2 * wire.COPYIN_PIECE


def test_a_bad_length_behind_good_frames() -> None:
    conn = established()
    with pytest.raises(RemoteProtocolError):
        heard(conn, [frame(2, REQ, SYSCALL, 20) + struct.pack("<QQHHI", 3, 1, 0, 0, 0)])


# --- what a server says -----------------------------------------------------------------------------


def test_the_banner_is_first() -> None:
    conn = ServerConnection()
    assert conn.out == [b"RUMPSP-0.4-NetBSD-7.99.34/amd64\n"]
    assert len(conn.out[0]) <= 95


def test_the_servers_own_requests_are_numbered_from_0() -> None:
    conn = established()
    conn.out.clear()
    assert conn.copyin(0x1000, 100) == 0
    assert conn.copyin(0x2000, 1024, string=True) == 1
    head = conn.copyout(0x3000, 5)
    assert conn.copyin(1, 1) == 3
    assert conn.out[0] == frame(0, REQ, COPYIN, 0, struct.pack("<QQ", 100, 0x1000))
    assert conn.out[1] == frame(1, REQ, COPYINSTR, 0, struct.pack("<QQ", 1024, 0x2000))
    assert head + b"abcde" == frame(2, REQ, COPYOUT, 0, struct.pack("<QQ", 5, 0x3000) + b"abcde")


def test_errors_and_signals() -> None:
    conn = established()
    conn.out.clear()
    conn.refuse(7, E_MALFORMED, fatal=False)
    assert not conn.closing
    conn.raise_(13)
    conn.refuse(2**40, E_AUTH)
    assert conn.closing
    assert conn.out[0] == frame(7, ERROR, 0, 7)
    assert bytes(conn.out[1])[16:] == struct.pack("<HHI", REQ, RAISE, 13)
    assert conn.out[2] == frame(2**40, ERROR, 0, 2)


SERVER_FRAMES = {
    "handshake": (wire.handshake_resp(1), (Answer, 1, HANDSHAKE, bytes(4))),
    "answer": (wire.sysresp(2, 0, 5, 6), (Answer, 2, SYSCALL, struct.pack("<i4xqq", 0, 5, 6))),
    "failed call": (wire.sysresp(2, 35, -1), (Answer, 2, SYSCALL, struct.pack("<i4xqq", 35, -1, 0))),
    "cookie": (frame(4, RESP, PREFORK, 0, COOKIE), (Answer, 4, PREFORK, COOKIE)),
    "refusal": (wire.error(5, 3), (Failure, 5, 3)),
    "copyin": (frame(0, REQ, COPYIN, 0, struct.pack("<QQ", 9, 0x99)), (CopyRequest, 0, 0x99, 9, False)),
    "copyinstr": (frame(1, REQ, COPYINSTR, 0, struct.pack("<QQ", 1024, 8)), (CopyRequest, 1, 8, 1024, True)),
    "anonmmap": (frame(2, REQ, ANONMMAP, 0, struct.pack("<Q", 4096)), (AnonMmap, 2, 4096)),
    "signal": (frame(99, REQ, RAISE, 13), (Signal, 13)),
}


def client_hears(pieces: Iterable[bytes]) -> list[tuple[object, ...]]:
    """Return what a client understands; the data of a copyout is put together."""
    conn = ClientConnection()
    events: list[tuple[object, ...]] = []
    owed = 0
    for piece in pieces:
        if owed:
            kind, addr, data = events[-1]
            assert isinstance(data, bytes)
            events[-1] = kind, addr, data + piece[:owed]
            taken = min(owed, len(piece))
            owed -= taken
            piece = piece[taken:]
        if piece:
            events += map(still, conn.receive(memoryview(piece)))
            owed = conn.owed
    assert owed == conn.partial == 0
    return events


@pytest.mark.parametrize("name", SERVER_FRAMES)
def test_frames_of_a_server_cut_anywhere(name: str) -> None:
    stream, event = SERVER_FRAMES[name]
    for pieces in cuts(stream):
        assert client_hears(pieces) == [event]


@pytest.mark.parametrize("kind", [COPYOUT, COPYOUTSTR])
@pytest.mark.parametrize("size", [0, 1, 100])
def test_a_copyout_cut_anywhere(kind: int, size: int) -> None:
    data = bytes(range(size))
    stream = frame(3, REQ, kind, 0, struct.pack("<QQ", size, 0x77) + data) + wire.sysresp(2, 0, size)
    for pieces in cuts(stream):
        assert client_hears(pieces) == [
            (CopyData, 0x77, data),
            (Answer, 2, SYSCALL, struct.pack("<i4xqq", 0, size, 0)),
        ]


@pytest.mark.parametrize(
    "stream",
    [
        struct.pack("<QQHHI", 23, 1, RESP, SYSCALL, 0),
        struct.pack("<QQHHI", 49, 1, RESP, SYSCALL, 0),
        struct.pack("<QQHHI", 2**64 - 1, 1, RESP, SYSCALL, 0),
        frame(1, REQ, 9),
        frame(1, REQ, SYSCALL, 20),
        frame(1, REQ, HANDSHAKE, GUEST),
        frame(1, 7, SYSCALL),
        frame(1, REQ, COPYIN, 0, bytes(8)),
        frame(1, REQ, COPYIN, 0, bytes(24)),
        frame(1, REQ, ANONMMAP, 0, bytes(4)),
        frame(1, REQ, COPYOUT, 0, bytes(8)),
        frame(1, REQ, COPYOUT, 0, struct.pack("<QQ", 5, 0) + b"four"),
        frame(1, REQ, COPYOUT, 0, struct.pack("<QQ", 2**64 - 1, 0)),
    ],
)
def test_what_no_client_survives(stream: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        ClientConnection().receive(memoryview(stream))


def test_a_client_numbers_from_1_and_after_an_exec_from_0() -> None:
    # a fresh connect has used number 0 up
    conn = ClientConnection()
    assert conn.request(HANDSHAKE, GUEST, b"t\0") == (1, frame(1, REQ, HANDSHAKE, GUEST, b"t\0"))
    assert conn.request(SYSCALL, 20) == (2, frame(2, REQ, SYSCALL, 20))
    conn.restart()
    assert conn.request(HANDSHAKE, EXEC, b"n\0")[0] == 0
    assert conn.request(SYSCALL, 20)[0] == 1


# --- worked bytes (section 17) ----------------------------------------------------------------------


def worked(text: str) -> bytes:
    return bytes.fromhex(text.replace("|", ""))


def test_worked_bytes_of_a_client() -> None:
    pointer = "00d0adde00000000"
    stream = worked(
        "1a00000000000000 0100000000000000 0000 0000 00000000 | 7400"
        "1800000000000000 0200000000000000 0000 0100 14000000"
        f"3000000000000000 0300000000000000 0000 0100 05000000 | {pointer} 0000000000000000 0000000000000000"
        "1b00000000000000 0000000000000000 0100 0200 00000000 | 2f7800"
        "1800000000000000 0400000000000000 0000 0700 00000000"
    )
    assert heard(ServerConnection(), [stream]) == [
        (Guest, 1, b"t"),
        (Call, 2, 20, b""),
        (Call, 3, 5, struct.pack("<QQQ", 0xDEADD000, 0, 0)),
        (Answer, 0, COPYIN, b"/x\0"),
        (Prefork, 4),
    ]
    cookie = "000102030405060708090a0b0c0d0e0f"
    fork = worked(f"2c00000000000000 0100000000000000 0000 0000 02000000 | {cookie} 00000000")
    assert heard(ServerConnection(), [fork]) == [(Fork, 1, COOKIE, False)]


def test_worked_bytes_of_a_server() -> None:
    conn = established()
    conn.out.clear()
    assert wire.handshake_resp(1) == worked("1c00000000000000 0100000000000000 0100 0000 00000000 | 00000000")
    assert wire.sysresp(2, 0, 2, 1) == worked(
        "3000000000000000 0200000000000000 0100 0100 00000000 | 00000000 00000000"
        "0200000000000000 0100000000000000"
    )
    conn.copyin(0xDEADD000, 1024, string=True)
    assert conn.out == [
        worked("2800000000000000 0000000000000000 0000 0300 00000000 | 0004000000000000 00d0adde00000000")
    ]
    assert wire.sysresp(3, 2, 0) == worked(
        "3000000000000000 0300000000000000 0100 0100 00000000 | 02000000 00000000"
        "0000000000000000 0000000000000000"
    )
    assert wire.frame(4, RESP, PREFORK, 0, COOKIE) == worked(
        "2800000000000000 0400000000000000 0100 0700 00000000 | 000102030405060708090a0b0c0d0e0f"
    )


# --- any split of any stream, and both ends together ------------------------------------------------


def splits(stream: bytes, positions: list[int]) -> list[bytes]:
    """Cut a stream at fractions of its length, given in thousandths."""
    marks = sorted({position * len(stream) // 1000 for position in positions} | {0, len(stream)})
    return [stream[a:b] for a, b in pairwise(marks)]


positions = st.lists(st.integers(0, 1000), max_size=20)
numbers = st.integers(0, 2**64 - 1)
payloads = st.binary(max_size=300)
kinds = st.integers(0, 10)
client_frames = st.one_of(
    st.builds(
        lambda *fields: frame(fields[0], REQ, SYSCALL, *fields[1:]), numbers, st.integers(0, 600), payloads
    ),
    st.builds(lambda reqno, body: frame(reqno, RESP, COPYIN, 0, body), numbers, payloads),
    st.builds(lambda reqno, *rest: frame(reqno, REQ, *rest), numbers, kinds, st.integers(0, 4), payloads),
    st.builds(
        lambda *fields: frame(*fields[:2], SYSCALL, 0, fields[2]), numbers, st.integers(2, 9), payloads
    ),
)


@given(st.lists(client_frames, max_size=12), positions)
def test_any_split_says_the_same_to_a_server(frames: list[bytes], marks: list[int]) -> None:
    stream = b"".join(frames)
    for fresh in (ServerConnection, established):
        maker: Callable[[], ServerConnection] = fresh
        assert heard(maker(), splits(stream, marks)) == heard(maker(), [stream])


server_frames = st.one_of(
    st.sampled_from([data for data, _ in SERVER_FRAMES.values()]),
    st.builds(lambda data: frame(0, REQ, COPYOUT, 0, struct.pack("<QQ", len(data), 7) + data), payloads),
)


@given(st.lists(server_frames, max_size=12), positions)
def test_any_split_says_the_same_to_a_client(frames: list[bytes], marks: list[int]) -> None:
    stream = b"".join(frames)
    assert client_hears(splits(stream, marks)) == [event for data in frames for event in client_hears([data])]


@given(st.binary(max_size=400), positions)
def test_noise_is_understood_or_refused(data: bytes, marks: list[int]) -> None:
    for receiver in (ServerConnection, established, ClientConnection):
        conn = receiver()
        try:
            for piece in splits(data, marks):
                conn.receive(memoryview(piece))
        except RemoteProtocolError:
            continue


def test_both_ends_understand_each_other() -> None:
    client, server = ClientConnection(), ServerConnection()
    assert server.out.pop() == wire.BANNER

    def to_server(kind: int, union: int = 0, payload: bytes = b"") -> tuple[int, object]:
        reqno, data = client.request(kind, union, payload)
        (event,) = server.receive(memoryview(data))
        return reqno, event

    def to_client(*data: object) -> list[object]:
        stream = b"".join(map(bytes, data))  # type: ignore[call-overload]
        return [still(event) for event in client.receive(memoryview(stream))]  # type: ignore[misc]

    reqno, event = to_server(HANDSHAKE, GUEST, b"prog\0")
    assert event == Guest(reqno, b"prog")
    assert to_client(wire.handshake_resp(reqno)) == [(Answer, reqno, HANDSHAKE, bytes(4))]

    slots = struct.pack("<QQQ", 0x1000, 2, 0)
    reqno, event = to_server(SYSCALL, 5, slots)
    assert event == Call(reqno, 5, slots)
    number = server.copyin(0x1000, 1024, string=True)
    assert to_client(*server.out) == [(CopyRequest, number, 0x1000, 1024, True)]
    answer = wire.frame(number, wire.RESP, wire.COPYIN, 0, b"/etc\0")
    assert server.receive(memoryview(answer)) == [Answer(number, COPYIN, b"/etc\0")]
    data = b"x" * 100
    assert to_client(server.copyout(0x2000, len(data)), data, wire.sysresp(reqno, 0, 100)) == [
        (CopyData, 0x2000, data),
        (Answer, reqno, SYSCALL, struct.pack("<i4xqq", 0, 100, 0)),
    ]
    server.out.clear()
    server.raise_(13)
    server.refuse(reqno, 7, fatal=False)
    assert to_client(*server.out) == [(Signal, 13), (Failure, reqno, 7)]
