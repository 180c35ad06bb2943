"""Clients that die in the middle of everything: the server lives, and holds what it held before."""

from __future__ import annotations

import random
import signal
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.leaks import Holding, alone, census, counted, holding, leaked, processes, rss, until
from tests.serving import COPYIN, COPYINSTR, PREFORK, REQ, RESP, SYSCALL, Frame, Peer, Served

READ, WRITE, OPEN, CLOSE, UNLINK, GETPID, UNMOUNT, PIPE, FCNTL, POLL = 3, 4, 5, 6, 10, 20, 22, 42, 92, 209
KQUEUE, KEVENT, NANOSLEEP, STAT, MOUNT = 344, 435, 430, 439, 410
MKFIFO, RENAME, MKDIR, RMDIR = 132, 128, 136, 137
O_RDONLY, O_WRONLY, O_RDWR, O_NONBLOCK, O_CREAT = 0, 1, 2, 4, 0x200
F_SETLK, F_SETLKW, F_WRLCK, F_UNLCK = 8, 9, 3, 2
EVFILT_READ, EVFILT_VNODE, EV_ADD = 0, 3, 1
PATH, PATH2, DATA, LOCK, CHANGES, EVENTS, TIME = (n << 32 for n in range(1, 8))
PROJECT = Path(__file__).resolve().parents[2]
LARGE = 64 << 20
PIECE = 32 << 10
WHOLE = struct.pack("<qqihh", 0, 0, 0, F_WRLCK, 0)
FILE, FIFO = b"/tmp/file", b"/tmp/fifo"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server with a file and a FIFO."""
    args = ("-lrumpvfs", "-lrumpfs_tmpfs")
    with counted(tmp_path_factory.mktemp("stress"), *args, program="rump_server") as server:
        with Peer(server.path) as peer:
            peer.guest()
            open_file(peer, FILE)
            assert peer.call(MKFIFO, PATH, 0o600, memory={PATH: FIFO + b"\0"}).error == 0
            open_file(peer, FIFO, O_RDONLY | O_NONBLOCK)  # it is made when the first opens it
        yield server


@pytest.fixture
def before(served: Served) -> Holding:
    """What the server holds without clients."""
    return holding(served)


def open_file(peer: Peer, path: bytes, flags: int = O_RDWR | O_CREAT) -> int:
    call = peer.call(OPEN, PATH, flags, 0o600, memory={PATH: path + b"\0"})
    assert call.error == 0
    return call.retval


def begin(peer: Peer, number: int, *slots: int, memory: dict[int, bytes] | None = None) -> None:
    """Start a call, and give it the memory that it asks for."""
    peer.send(Frame(9, REQ, SYSCALL, number, struct.pack(f"<{len(slots)}Q", *slots)).encode())
    for _ in memory or {}:
        frame = peer.frame()
        assert frame is not None
        assert (frame.cls, frame.kind in (COPYIN, COPYINSTR)) == (REQ, True)
        length, addr = struct.unpack("<QQ", frame.body)
        peer.send(Frame(frame.reqno, RESP, COPYIN, 0, (memory or {})[addr][:length]).encode())


# --- what it does when it dies ----------------------------------------------------------------------------


def blocked_read(peer: Peer) -> None:
    begin(peer, READ, peer.call(PIPE).retval, DATA, 10)


def blocked_write(peer: Peer) -> None:
    pipe = peer.call(PIPE)
    assert peer.call(WRITE, pipe.retval2, DATA, 16384, memory={DATA: bytes(16384)}).retval == 16384
    begin(peer, WRITE, pipe.retval2, DATA, 100, memory={DATA: bytes(100)})


def blocked_lock(peer: Peer) -> None:
    fd = open_file(peer, FILE)
    begin(peer, FCNTL, fd, F_SETLKW, LOCK, memory={LOCK: WHOLE})


def blocked_fifo(peer: Peer) -> None:
    begin(peer, OPEN, PATH, O_RDONLY, 0, memory={PATH: FIFO + b"\0"})


def blocked_poll(peer: Peer) -> None:
    entry = struct.pack("<iHH", peer.call(PIPE).retval, 1, 0)
    begin(peer, POLL, DATA, 1, 2**31 - 1, memory={DATA: entry})


def blocked_kevent(peer: Peer) -> None:
    changes = b"".join(
        struct.pack("<QIII4xqQ", fd, filt, EV_ADD, 0x7F if filt else 0, 0, 0)
        for fd, filt in ((peer.call(PIPE).retval, EVFILT_READ), (open_file(peer, FILE), EVFILT_VNODE))
    )
    kq = peer.call(KQUEUE).retval
    begin(peer, KEVENT, kq, CHANGES, 2, EVENTS, 8, 0, memory={CHANGES: changes})


def sleeping(peer: Peer) -> None:
    begin(peer, NANOSLEEP, TIME, 0, memory={TIME: struct.pack("<qq", 3600, 0)})


def wanted_path(peer: Peer) -> None:
    begin(peer, STAT, PATH, DATA)


def half_a_path(peer: Peer) -> None:
    begin(peer, STAT, PATH, DATA)
    frame = peer.frame()
    assert frame is not None
    peer.send(Frame(frame.reqno, RESP, COPYIN, 0, FILE + b"\0").encode()[:-3])


def half_a_write(peer: Peer) -> None:
    """Every other piece of 64 MiB."""
    begin(peer, WRITE, open_file(peer, FILE), DATA, LARGE)
    for number in range(64):
        frame = peer.frame()
        assert frame is not None
        if number % 2:
            peer.send(Frame(frame.reqno, RESP, COPYIN, 0, bytes(PIECE)).encode())


def half_a_piece(peer: Peer) -> None:
    begin(peer, WRITE, open_file(peer, FILE), DATA, LARGE)
    frame = peer.frame()
    assert frame is not None
    peer.send(Frame(frame.reqno, RESP, COPYIN, 0, bytes(PIECE)).encode()[: PIECE // 2])


def lying_piece(peer: Peer) -> None:
    """A piece that is too long, one that was never asked for, and one that comes twice."""
    begin(peer, WRITE, open_file(peer, FILE), DATA, LARGE)
    frame = peer.frame()
    assert frame is not None
    for reqno, size in ((frame.reqno, PIECE + 1), (1 << 40, PIECE), (frame.reqno, PIECE)):
        peer.send(Frame(reqno, RESP, COPYIN, 0, bytes(size)).encode())


def unread_output(peer: Peer) -> None:
    fd = open_file(peer, b"/dev/zero", O_RDONLY)
    for _ in range(20):
        begin(peer, READ, fd, DATA, LARGE)


def parked_child(peer: Peer) -> None:
    """A fork whose child comes, shares a lock's file and a pipe, and dies as well."""
    open_file(peer, FILE)
    pipe = peer.call(PIPE)
    peer.send(Frame(8, REQ, PREFORK, 0, b"").encode())
    answer = peer.frame()
    assert answer is not None
    path = peer.sock.getpeername()
    with Peer(path) as child:
        child.send(Frame(1, REQ, 0, 2, answer.body + bytes(4)).encode())
        accepted = child.frame()
        assert accepted is not None
        assert accepted.cls == RESP
        begin(child, READ, pipe.retval, DATA, 10)


def executing(peer: Peer) -> None:
    """An exec in the middle of blocked calls, of which the answer is not waited for."""
    blocked_read(peer)
    blocked_poll(peer)
    peer.send(Frame(0, REQ, 0, 3, b"image\0").encode())


DEATHS = (
    blocked_read, blocked_write, blocked_lock, blocked_fifo, blocked_poll, blocked_kevent, sleeping,
    wanted_path, half_a_path, half_a_write, half_a_piece, lying_piece, unread_output, parked_child, executing,
)  # fmt: skip


@pytest.mark.parametrize("death", DEATHS, ids=lambda death: death.__name__)
def test_a_client_that_dies_leaves_nothing(
    served: Served, before: Holding, death: Callable[[Peer], None]
) -> None:
    with Peer(served.path) as holder:
        holder.guest()
        fd = open_file(holder, FILE)
        assert holder.call(FCNTL, fd, F_SETLK, LOCK, memory={LOCK: WHOLE}).error == 0
        for _ in range(3):
            with Peer(served.path) as peer:
                peer.guest()
                death(peer)
        alone(holder)
        # Nobody waits for the lock any more, and the FIFO has no reader.
        assert holder.call(FCNTL, fd, F_SETLK, LOCK, memory={LOCK: WHOLE}).error == 0
        fifo = {PATH: FIFO + b"\0"}
        assert holder.call(OPEN, PATH, O_WRONLY | O_NONBLOCK, 0, memory=fifo).error == 6  # ENXIO
    assert leaked(served, before) == {}


def test_all_of_them_at_once(served: Served, before: Holding) -> None:
    """Hundreds of clients die in turn and in all ways, while one that lives gets its answers."""
    choice = random.Random(1)
    size = rss(served)
    with Peer(served.path) as living:
        living.guest()
        fd = open_file(living, FILE)
        assert living.call(FCNTL, fd, F_SETLK, LOCK, memory={LOCK: WHOLE}).error == 0
        dying: list[Peer] = []
        for _ in range(300):
            peer = Peer(served.path)
            dying.append(peer)
            peer.guest()
            choice.choice(DEATHS)(peer)
            if len(dying) > 20:
                dying.pop(choice.randrange(len(dying))).sock.close()
            assert living.call(GETPID).error == 0
        for peer in dying:
            peer.sock.close()
    assert leaked(served, before) == {}
    assert rss(served) < size + (32 << 10)


# --- killed -----------------------------------------------------------------------------------------------

_WRITER = """
import sys
from rumpfs.client import Client
data = bytes(64 << 20)
with Client(sys.argv[1]) as kernel:
    fd = kernel.sys.open("/tmp/large", 0x202, 0o600)
    print("writing", flush=True)
    while True:
        kernel.sys.pwrite(fd, data, 0)
"""


def test_sigkill_in_the_middle_of_a_write(served: Served, before: Holding) -> None:
    """A client is killed while it writes 64 MiB, again and again; the file can be used by others."""
    for delay in range(5):
        process = subprocess.Popen(
            [sys.executable, "-c", _WRITER, served.url], cwd=PROJECT, stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        with process, Peer(served.path) as other:
            assert process.stdout.readline() == b"writing\n"
            other.guest()
            for _ in range(delay * 40):
                assert other.call(GETPID).error == 0
            process.send_signal(signal.SIGKILL)
            process.wait()
            alone(other)
            fd = open_file(other, b"/tmp/large")
            assert other.call(WRITE, fd, DATA, 5, memory={DATA: b"whole"}).retval == 5
    with Peer(served.path) as other:
        other.guest()
        assert other.call(UNLINK, PATH, memory={PATH: b"/tmp/large\0"}).error == 0
    assert leaked(served, before) == {}


# --- random -----------------------------------------------------------------------------------------------


class Walker:
    """A client that does what comes to its mind in one directory, and does not wait for locks."""

    def __init__(self, served: Served, choice: random.Random) -> None:
        self._choice = choice
        self.peer = Peer(served.path)
        self.peer.guest()
        self._fds: list[int] = []

    def _name(self) -> bytes:
        return b"/tmp/d/%d\0" % self._choice.randrange(20)

    def step(self) -> None:
        """Make one call; any error but one of the server's own will do."""
        call = self.peer.call
        memory = {PATH: self._name(), PATH2: self._name(), DATA: b"data" * 100}
        action = self._choice.randrange(10)
        error = 0
        if action < 3:
            done = call(OPEN, PATH, self._choice.choice((O_RDWR | O_CREAT, O_RDONLY)), 0o600, memory=memory)
            error = done.error
            if not error:
                self._fds.append(done.retval)
        elif action == 3:
            error = call(MKDIR, PATH, 0o700, memory=memory).error
        elif action == 4:
            error = call(self._choice.choice((UNLINK, RMDIR)), PATH, memory=memory).error
        elif action == 5:
            error = call(RENAME, PATH, PATH2, memory=memory).error
        elif self._fds:
            self._with_file(action, memory)
        assert error != 5  # EIO: something went wrong inside

    def _with_file(self, action: int, memory: dict[int, bytes]) -> None:
        fd = self._choice.choice(self._fds)
        call = self.peer.call
        if action == 6:
            start, length = self._choice.randrange(100), self._choice.randrange(1, 50)
            kind = self._choice.choice((F_WRLCK, F_UNLCK))
            memory[LOCK] = struct.pack("<qqihh", start, length, 0, kind, 0)
            assert call(FCNTL, fd, F_SETLK, LOCK, memory=memory).error in (0, 35, 9, 22)
        elif action == 7:
            assert call(WRITE, fd, DATA, 400, memory=memory).error in (0, 9)
        elif action == 8:
            assert call(READ, fd, DATA, 400).error in (0, 9, 21)
        else:
            assert call(CLOSE, fd).error == 0
            self._fds.remove(fd)


def walk(served: Served, rounds: int) -> None:
    """Let 32 walkers step in turn; one dies every few steps, and a new one comes."""
    choice = random.Random(rounds)
    with Peer(served.path) as peer:
        peer.guest()
        memory = {PATH: b"/tmp/d\0", PATH2: b"/tmp\0", DATA: b"tmpfs\0"}
        memory[LOCK] = struct.pack("<i4xqQIII4x", 1, 0, 0, 0, 0, 0o755)
        assert peer.call(MKDIR, PATH, 0o755, memory=memory).error == 0
        assert peer.call(MOUNT, DATA, PATH, 0, LOCK, len(memory[LOCK]), memory=memory).error == 0
        walkers = [Walker(served, choice) for _ in range(32)]
        for _ in range(rounds):
            index = choice.randrange(len(walkers))
            walkers[index].step()
            if choice.random() < 0.05:
                walkers[index].peer.sock.close()
                walkers[index] = Walker(served, choice)
        for walker in walkers:
            walker.peer.sock.close()
        alone(peer)
        assert peer.call(UNMOUNT, PATH, 0, memory=memory).error == 0
        assert peer.call(RMDIR, PATH, memory=memory).error == 0


@pytest.mark.parametrize("rounds", [2000, pytest.param(100_000, marks=pytest.mark.slow)])
def test_random_clients(served: Served, rounds: int) -> None:
    walk(served, 500)
    before = holding(served)
    walk(served, rounds)
    assert leaked(served, before) == {}


def test_the_census_sees_what_is_left(served: Served, before: Holding) -> None:
    """A fork that nobody claims is kept with its files, as NetBSD keeps it, until it is cancelled."""
    with Peer(served.path) as peer, Peer(served.path) as other:
        peer.guest()
        other.guest()
        open_file(peer, FILE)
        peer.send(Frame(8, REQ, PREFORK, 0, b"").encode())
        answer = peer.frame()
        assert answer is not None
        peer.sock.close()
        assert until(lambda: len(processes(other)) == 3)
        kinds = census(other)
    assert kinds["rumpfs.kern.proc.Proc"] == before["rumpfs.kern.proc.Proc"] + 1
    assert kinds["rumpfs.kern.descrip.VnodeFile"] == before["rumpfs.kern.descrip.VnodeFile"] + 1
    with Peer(served.path) as peer:
        peer.send(Frame(1, REQ, 0, 2, answer.body + struct.pack("<i", 1)).encode())
        assert peer.frame() is None
    assert leaked(served, before) == {}
