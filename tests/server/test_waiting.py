"""Calls of several clients that wait for files: each alone, woken at once, and gone with its client."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.serving import COPYIN, PREFORK, REQ, RESP, SYSCALL, Call, Frame, Peer, Served, serving

READ, WRITE, OPEN, CLOSE, GETPID, PIPE, POLL = 3, 4, 5, 6, 20, 42, 209
KQUEUE, SELECT, KEVENT, POLLTS = 344, 417, 435, 437
HANDSHAKE_FORK = 2
O_RDONLY, O_RDWR, O_CREAT = 0, 2, 0x200
DATA, PATH, CHANGES, EVENTS, TIME = 0x1000, 0x2000, 0x3000, 0x4000, 0x5000
POLLIN, POLLHUP = 1, 0x10
WAITING, CHECK = 100, 200  # numbers of requests


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with serving(tmp_path) as server:
        yield server


@pytest.fixture
def peers(served: Served) -> Iterator[list[Peer]]:
    with ExitStack() as stack:
        clients = [stack.enter_context(Peer(served.path)) for _ in range(3)]
        for peer in clients:
            peer.guest()
        yield clients


def start(peer: Peer, number: int, *slots: int, memory: dict[int, bytes], reqno: int = WAITING) -> None:
    """Make a call, give it the memory it asks for, and see that it then waits while others are answered."""
    peer.send(Frame(reqno, REQ, SYSCALL, number, struct.pack(f"<{len(slots)}Q", *slots)).encode())
    for _ in memory:
        frame = peer.frame()
        assert frame is not None
        assert (frame.cls, frame.kind) == (REQ, COPYIN)
        length, addr = struct.unpack("<QQ", frame.body)
        peer.send(Frame(frame.reqno, RESP, COPYIN, 0, memory[addr][:length]).encode())
    assert peer.call(GETPID, reqno=CHECK).error == 0


def start_poll(peer: Peer, fd: int, events: int = POLLIN, timeout: int = -1) -> None:
    start(peer, POLL, DATA, 1, timeout % 2**32, memory={DATA: struct.pack("<iHH", fd, events, 0)})


def finish(peer: Peer) -> Call:
    return peer.finish(WAITING, {})


def fork(served: Served, parent: Peer) -> Peer:
    """Return a client that is a child of another, with its descriptors."""
    parent.send(Frame(7, REQ, PREFORK, 0, b"").encode())
    answer = parent.frame()
    assert answer is not None
    child = Peer(served.path)
    child.send(Frame(1, REQ, 0, HANDSHAKE_FORK, answer.body + struct.pack("<i", 0)).encode())
    accepted = child.frame()
    assert accepted is not None
    assert accepted.cls == RESP
    return child


def cpu(served: Served) -> float:
    """Seconds of processor time that the server has used."""
    fields = Path(f"/proc/{served.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_a_poll_that_waits_stops_nobody(peers: list[Peer]) -> None:
    pipes = [peer.call(PIPE) for peer in peers]
    for peer, pipe in zip(peers, pipes, strict=True):
        start_poll(peer, pipe.retval)
    for peer, pipe in zip(reversed(peers), reversed(pipes), strict=True):
        assert peer.call(GETPID, reqno=5).error == 0
        assert peer.call(WRITE, pipe.retval2, DATA, 1, memory={DATA: b"x"}, reqno=6).retval == 1
        answer = finish(peer)
        assert (answer.error, answer.retval) == (0, 1)
        assert answer.stored == [(DATA, struct.pack("<iHH", pipe.retval, POLLIN, POLLIN))]


def test_one_client_wakes_another(served: Served, peers: list[Peer]) -> None:
    parent = peers[0]
    pipe = parent.call(PIPE)
    with fork(served, parent) as child:
        start_poll(child, pipe.retval)
        assert parent.call(WRITE, pipe.retval2, DATA, 1, memory={DATA: b"x"}).retval == 1
        assert finish(child).retval == 1


def test_a_client_that_goes_hangs_up(served: Served, peers: list[Peer]) -> None:
    """Its poll ends with it, and so do its ends of pipes."""
    parent = peers[0]
    pipe = parent.call(PIPE)
    child = fork(served, parent)
    start_poll(child, pipe.retval)
    assert parent.call(CLOSE, pipe.retval2).error == 0
    start_poll(parent, pipe.retval)
    child.sock.close()
    answer = finish(parent)
    assert answer.retval == 1
    assert answer.data == struct.pack("<iHH", pipe.retval, POLLIN, POLLIN | POLLHUP)
    assert peers[1].call(GETPID).error == 0


def test_a_deadline_comes_without_work(served: Served, peers: list[Peer]) -> None:
    """While calls sleep the server uses no processor time to speak of."""
    pipes = [peer.call(PIPE) for peer in peers]
    start_poll(peers[0], pipes[0].retval)
    words = struct.pack("<I", 1 << pipes[1].retval)
    start(peers[1], SELECT, 8, DATA, 0, 0, 0, memory={DATA: words})
    before = cpu(served)
    poll = struct.pack("<iHH", pipes[2].retval, POLLIN, 0)
    answer = peers[2].call(
        POLLTS, DATA, 1, TIME, 0, memory={TIME: struct.pack("<qq", 0, 700_000_000), DATA: poll}
    )
    assert (answer.error, answer.retval) == (0, 0)
    assert answer.data == poll
    assert cpu(served) - before < 0.2
    for peer, pipe in zip(peers[:2], pipes[:2], strict=True):
        assert peer.call(WRITE, pipe.retval2, DATA, 1, memory={DATA: b"x"}, reqno=9).retval == 1
        assert finish(peer).retval == 1


def test_an_event_queue_across_clients(peers: list[Peer]) -> None:
    watcher, writer, other = peers
    path = {PATH: b"/watched\0"}
    fd = watcher.call(OPEN, PATH, O_RDWR | O_CREAT, 0o644, memory=path).retval
    kq = watcher.call(KQUEUE).retval
    change = struct.pack("<QIII4xqQ", fd, 3, 0x21, 0x7F, 0, 0xABC)
    start(watcher, KEVENT, kq, CHANGES, 1, EVENTS, 8, 0, memory={CHANGES: change})
    assert other.call(GETPID).error == 0
    written = writer.call(OPEN, PATH, O_RDWR, 0, memory=path).retval
    assert writer.call(WRITE, written, DATA, 4, memory={DATA: b"data"}).retval == 4
    answer = finish(watcher)
    assert (answer.error, answer.retval) == (0, 1)
    assert answer.stored == [(EVENTS, struct.pack("<QIII4xqQ", fd, 3, 0x21, 0x06, 0, 0xABC))]


def test_watchers_that_go_leave_nothing(served: Served, peers: list[Peer]) -> None:
    """Then a change has nobody to tell."""
    writer = peers[0]
    path = {PATH: b"/watched\0"}
    fd = writer.call(OPEN, PATH, O_RDWR | O_CREAT, 0o644, memory=path).retval
    for _ in range(20):
        with Peer(served.path) as watcher:
            watcher.guest()
            seen = watcher.call(OPEN, PATH, O_RDONLY, 0, memory=path).retval
            kq = watcher.call(KQUEUE).retval
            change = struct.pack("<QIII4xqQ", seen, 3, 0x21, 0x7F, 0, 0)
            start(watcher, KEVENT, kq, CHANGES, 1, EVENTS, 8, 0, memory={CHANGES: change})
        assert writer.call(WRITE, fd, DATA, 4, memory={DATA: b"data"}).retval == 4


def test_many_that_wait(served: Served) -> None:
    """100 clients with 5 calls each that wait; all are woken by one byte each."""
    with ExitStack() as stack:
        clients = [stack.enter_context(Peer(served.path)) for _ in range(100)]
        pipes = []
        for peer in clients:
            peer.guest()
            pipe = peer.call(PIPE)
            pipes.append(pipe)
            entry = struct.pack("<iHH", pipe.retval, POLLIN, 0)
            for reqno in range(WAITING, WAITING + 5):
                start(peer, POLL, DATA, 1, 2**31 - 1, memory={DATA: entry}, reqno=reqno)
        for peer, pipe in zip(clients, pipes, strict=True):
            peer.send(Frame(7, REQ, SYSCALL, WRITE, struct.pack("<3Q", pipe.retval2, DATA, 1)).encode())
            assert peer.finish(7, {DATA: b"x"}).retval == 1
            for reqno in range(WAITING, WAITING + 5):
                assert peer.finish(reqno, {}).retval == 1
