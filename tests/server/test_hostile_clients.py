"""Clients that lie, stop, or go away: the server gives an error or ends them, and goes on."""

from __future__ import annotations

import random
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.serving import COPYIN, COPYINSTR, ERROR, REQ, RESP, SYSCALL, Frame, Peer, Served, serving

READ, WRITE, OPEN, CLOSE, GETPID, PIPE, PWRITE, PREAD = 3, 4, 5, 6, 20, 42, 174, 173
O_RDWR, O_CREAT = 2, 0x200
PATH, DATA = 0x1000, 0x2000
EFAULT, EINVAL = 14, 22
WILD = 0xDEAD0000BEEF


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One server for all of this: it has to live through everything."""
    with serving(tmp_path_factory.mktemp("hostile")) as server:
        yield server


@pytest.fixture(autouse=True)
def lives_and_stays_small(served: Served) -> Iterator[None]:
    """Afterwards the server answers a new client at once, and has not grown without bound."""
    yield
    with Peer(served.path) as peer:
        assert peer.guest().cls == RESP
        assert peer.call(GETPID).error == 0
    status = Path(f"/proc/{served.process.pid}/status").read_text()
    rss = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))
    assert rss < 250_000, f"{rss} KiB"


def drain(peer: Peer) -> None:
    """Read until the server closes or has nothing more to say."""
    peer.sock.settimeout(0.05)
    try:
        while peer.sock.recv(1 << 16):
            pass
    except (TimeoutError, ConnectionResetError):
        pass


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=400), handshake=st.booleans())
def test_random_bytes(served: Served, data: bytes, handshake: bool) -> None:
    with Peer(served.path) as peer:
        if handshake:
            peer.guest()
        try:
            peer.send(data)
            peer.sock.shutdown(socket.SHUT_WR)
        except (BrokenPipeError, OSError):
            return
        drain(peer)


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    cls=st.integers(0, 3),
    kind=st.integers(0, 9),
    union=st.one_of(st.integers(0, 520), st.integers(0, 2**32 - 1)),
    body=st.one_of(
        st.binary(max_size=80),
        st.lists(st.integers(0, 2**64 - 1), max_size=8).map(lambda xs: struct.pack(f"<{len(xs)}Q", *xs)),
        st.lists(st.integers(0, 20), max_size=8).map(lambda xs: struct.pack(f"<{len(xs)}Q", *xs)),
    ),
)
def test_random_frames(served: Served, cls: int, kind: int, union: int, body: bytes) -> None:
    """Every copy request that comes of it is answered with nonsense; reboot (208) is left out."""
    if union == 208:
        return
    with Peer(served.path) as peer:
        peer.guest()
        peer.send(Frame(5, cls, kind, union, body).encode())
        peer.sock.settimeout(0.01)
        for _ in range(20):
            try:
                frame = peer.frame()
            except TimeoutError:
                break
            if frame is None or frame.cls == RESP:
                break
            if frame.cls == REQ and frame.kind in (COPYIN, COPYINSTR):
                length = min(struct.unpack_from("<Q", frame.body)[0], 40)
                peer.send(Frame(frame.reqno, RESP, COPYIN, 0, bytes(length)).encode())


@pytest.mark.parametrize("length", [0, 1, 23, 24 + 65537, 1 << 31, 1 << 40, (1 << 64) - 1])
def test_absurd_length_ends_the_connection(served: Served, length: int) -> None:
    with Peer(served.path) as peer:
        peer.guest()
        peer.send(struct.pack("<QQHHI", length, 2, REQ, SYSCALL, GETPID))
        assert peer.frame() is None


@pytest.mark.parametrize("size", range(1, 24))
def test_half_a_header_then_gone(served: Served, size: int) -> None:
    with Peer(served.path) as peer:
        peer.guest()
        peer.send(Frame(2, REQ, SYSCALL, GETPID, b"").encode()[:size])


def open_file(peer: Peer, path: bytes = b"/tmp/f", flags: int = O_RDWR | O_CREAT) -> int:
    call = peer.call(OPEN, PATH, flags, 0o600, memory={PATH: path + b"\0"})
    assert call.error == 0
    return call.retval


def test_null_pointers_are_efault(served: Served) -> None:
    with Peer(served.path) as peer:
        peer.guest()
        fd = open_file(peer)
        assert peer.call(OPEN, 0, 0, 0).error == EFAULT
        assert peer.call(WRITE, fd, 0, 5).error == EFAULT
        assert peer.call(READ, fd, 0, 5).error == EFAULT
        assert peer.call(440, fd, 0).error == EFAULT


@pytest.mark.parametrize("nbyte", [1 << 63, (1 << 64) - 1])
def test_length_beyond_ssize_max_is_einval(served: Served, nbyte: int) -> None:
    with Peer(served.path) as peer:
        peer.guest()
        fd = open_file(peer)
        for number in (READ, WRITE):
            assert peer.call(number, fd, DATA, nbyte).error == EINVAL
        for number in (PREAD, PWRITE):
            assert peer.call(number, fd, DATA, nbyte, 0, 0).error == EINVAL


@pytest.mark.parametrize("cancel", [0, 1])
@pytest.mark.parametrize(("kind", "union"), [(SYSCALL, GETPID), (7, 0), (0, 3), (0, 0)])
def test_nothing_behind_a_refused_fork_counts(served: Served, cancel: int, kind: int, union: int) -> None:
    """A fork handshake with a cookie that nobody has, and another request in the same piece."""
    fork = Frame(1, REQ, 0, 2, bytes(16) + struct.pack("<i", cancel)).encode()
    with Peer(served.path) as peer:
        peer.send(fork + Frame(2, REQ, kind, union, b"x\0" if kind == 0 else b"").encode())
        frame = peer.frame()
        assert frame is not None
        assert frame[:4] == (1, ERROR, 0, 3)
        assert peer.frame() is None


def test_wild_pointer_is_never_answered_and_stops_nobody(served: Served) -> None:
    """NetBSD's client stays silent when it is asked for memory that it has not."""
    with Peer(served.path) as peer, Peer(served.path) as other:
        peer.guest()
        other.guest()
        fd = open_file(peer)
        body = struct.pack("<3Q", fd, WILD, 1 << 62)
        peer.send(Frame(9, REQ, SYSCALL, WRITE, body).encode())
        for piece in range(128):
            frame = peer.frame()
            assert frame is not None
            assert frame.kind == COPYIN
            assert struct.unpack("<QQ", frame.body) == (32768, WILD + piece * 32768)
        assert peer.call(GETPID, reqno=10).error == 0
        assert other.call(GETPID).error == 0


def test_endless_read_by_a_client_that_does_not_read(served: Served) -> None:
    """It holds a few MiB in the server, others are served, and it ends when the client goes."""
    with Peer(served.path) as peer, Peer(served.path) as other:
        peer.guest()
        other.guest()
        fd = open_file(peer, b"/dev/zero", 0)
        peer.send(Frame(9, REQ, SYSCALL, READ, struct.pack("<3Q", fd, DATA, 1 << 62)).encode())
        for _ in range(200):
            assert other.call(GETPID).error == 0


def test_large_read_arrives_whole(served: Served) -> None:
    """More than one piece of output, taken in small bites."""
    with Peer(served.path) as peer:
        peer.guest()
        fd = open_file(peer, b"/dev/zero", 0)
        call = peer.call(READ, fd, DATA, 33 << 20)
        assert (call.error, call.retval) == (0, 33 << 20)
        assert sum(len(data) for _, data in call.stored) == 33 << 20
        position = DATA
        for addr, data in call.stored:
            assert addr == position
            position += len(data)


def test_pipelined_requests_of_a_client_that_does_not_read(served: Served) -> None:
    """Ten thousand reads are asked for before the first answer is taken; all are answered, in order."""
    with Peer(served.path) as peer:
        peer.guest()
        fd = open_file(peer, b"/dev/zero", 0)
        count = 10_000
        body = struct.pack("<3Q", fd, DATA, 4096)
        requests = b"".join(Frame(100 + i, REQ, SYSCALL, READ, body).encode() for i in range(count))
        peer.sock.setblocking(False)
        sent = 0
        got = bytearray()
        while len(got) < count * (24 + 16 + 4096 + 48):
            try:
                if sent < len(requests):
                    sent += peer.sock.send(requests[sent : sent + 65536])
                    continue
            except BlockingIOError:
                pass
            peer.sock.settimeout(5)
            got += peer.sock.recv(1 << 20)
            peer.sock.setblocking(False)
        assert struct.unpack_from("<Q", got, len(got) - 40)[0] == 100 + count - 1


def test_disconnect_at_each_step_of_a_write(served: Served) -> None:
    """The process goes with its client, whatever it was waiting for."""
    steps = ("banner", "handshake", "request", "half an answer")
    for step in steps:
        with Peer(served.path) as peer:
            if step == "banner":
                continue
            peer.guest()
            if step == "handshake":
                continue
            fd = open_file(peer)
            peer.send(Frame(9, REQ, SYSCALL, WRITE, struct.pack("<3Q", fd, DATA, 100_000)).encode())
            frame = peer.frame()
            assert frame is not None
            if step == "half an answer":
                peer.send(Frame(frame.reqno, RESP, COPYIN, 0, bytes(32768)).encode()[:10_000])


def test_answers_of_the_wrong_length_are_efault(served: Served) -> None:
    with Peer(served.path) as peer:
        peer.guest()
        fd = open_file(peer)
        for size in (0, 1, 99, 101, 40_000):
            peer.send(Frame(9, REQ, SYSCALL, WRITE, struct.pack("<3Q", fd, DATA, 100)).encode())
            frame = peer.frame()
            assert frame is not None
            peer.send(Frame(frame.reqno, RESP, COPYIN, 0, bytes(size)).encode())
            assert peer.finish(9, {}).error == EFAULT


def test_one_wrong_piece_fails_the_write_and_the_others_are_dropped(served: Served) -> None:
    with Peer(served.path) as peer:
        peer.guest()
        fd = open_file(peer)
        peer.send(Frame(9, REQ, SYSCALL, WRITE, struct.pack("<3Q", fd, DATA, 100_000)).encode())
        pieces = [peer.frame() for _ in range(4)]
        for number, frame in enumerate(pieces):
            assert frame is not None
            length = struct.unpack_from("<Q", frame.body)[0]
            peer.send(Frame(frame.reqno, RESP, COPYIN, 0, bytes(length - (number == 1))).encode())
        assert peer.finish(9, {}).error == EFAULT
        assert peer.call(WRITE, fd, DATA, 5, memory={DATA: b"after"}).retval == 5


def test_blocked_calls_of_a_dead_client_leave_nothing(served: Served) -> None:
    """A hundred blocked reads on pipes; the writer sees its reader gone when the client dies."""
    with Peer(served.path) as peer:
        peer.guest()
        pipe = peer.call(PIPE)
        body = struct.pack("<3Q", pipe.retval, DATA, 10)
        for number in range(100):
            peer.send(Frame(50 + number, REQ, SYSCALL, READ, body).encode())
        assert peer.call(GETPID, reqno=9).error == 0


def test_thousand_connections_that_come_and_go(served: Served) -> None:
    rng = random.Random(1)
    for _ in range(1000):
        with Peer(served.path) as peer:
            if rng.random() < 0.5:
                peer.send(Frame(1, REQ, 0, 0, b"x\0").encode())
