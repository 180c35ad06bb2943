"""Many clients, many calls, many files; and clients that take all they can get."""

from __future__ import annotations

import resource
import select
import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from tests.leaks import alone, counted, cpu_ticks, holding, leaked, processes, rss
from tests.serving import COPYIN, HEADER, REQ, RESP, SYSCALL, Frame, Peer, Served

READ, WRITE, OPEN, CLOSE, GETPID, UNMOUNT = 3, 4, 5, 6, 20, 22
PIPE, MKDIR, PREAD, SETRLIMIT, PREADV, MOUNT = 42, 136, 173, 195, 289, 410
O_RDWR, O_CREAT = 2, 0x200
ENOMEM, EMFILE, EAGAIN = 12, 24, 35
RLIMIT_NOFILE = 8
PATH, DATA, LIMIT, TYPE, ARGS, BUFFER = (n << 32 for n in range(1, 7))
CLIENTS, BLOCKED = 2000, 500
MIB = 1 << 20
KERN_MAXFILES = 10_000
MOUNTED = b"/mnt"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server with a directory to mount file systems on."""
    with counted(
        tmp_path_factory.mktemp("scale"), "-lrumpvfs", "-lrumpfs_tmpfs", program="rump_server"
    ) as server:
        with Peer(server.path) as peer:
            peer.guest()
            assert peer.call(MKDIR, PATH, 0o755, memory={PATH: MOUNTED + b"\0"}).error == 0
        yield server


@pytest.fixture(autouse=True)
def leaves_nothing(served: Served) -> Iterator[None]:
    """Each test leaves the server with what it held before."""
    before = holding(served)
    yield
    assert leaked(served, before) == {}


@contextmanager
def descriptors(count: int) -> Iterator[None]:
    """Allow this process so many descriptors, or skip."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < count:
        pytest.skip(f"needs {count} descriptors, and the hard limit (ulimit -Hn) is {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@contextmanager
def guests(served: Served, count: int) -> Iterator[list[Peer]]:
    """Connect clients."""
    with descriptors(count + 100), ExitStack() as stack:
        peers = []
        for _ in range(count):
            peer = stack.enter_context(Peer(served.path, timeout=60))
            assert peer.guest().cls == RESP
            peers.append(peer)
        yield peers


def send_call(peer: Peer, reqno: int, number: int, *slots: int) -> None:
    peer.send(Frame(reqno, REQ, SYSCALL, number, struct.pack(f"<{len(slots)}Q", *slots)).encode())


def open_file(peer: Peer, path: bytes, flags: int = O_RDWR | O_CREAT) -> int:
    call = peer.call(OPEN, PATH, flags, 0o600, memory={PATH: path + b"\0"})
    assert call.error == 0
    return call.retval


@contextmanager
def tmpfs(served: Served) -> Iterator[None]:
    """Mount a tmpfs; at the end nobody uses it any more."""
    args = struct.pack("<i4xqQIII4x", 1, 0, 0, 0, 0, 0o755)
    memory = {PATH: MOUNTED + b"\0", TYPE: b"tmpfs\0", ARGS: args}
    with Peer(served.path, timeout=60) as peer:
        peer.guest()
        assert peer.call(MOUNT, TYPE, PATH, 0, ARGS, len(args), memory=memory).error == 0
        yield
        alone(peer)
        assert peer.call(UNMOUNT, PATH, 0, memory=memory).error == 0


# --- clients --------------------------------------------------------------------------------------------


def test_two_thousand_clients(served: Served) -> None:
    """They cost less than 100 KiB each, and no processor time while they have nothing to say.

    500 of them are blocked in a read; the others are served, and each is woken by its own write.
    """
    before = rss(served)
    with guests(served, CLIENTS) as peers:
        assert rss(served) - before < 100 * CLIENTS
        pids = {peer.call(GETPID).retval for peer in peers}
        assert len(pids) == CLIENTS
        pipes = [peer.call(PIPE) for peer in peers[:BLOCKED]]
        for peer, pipe in zip(peers, pipes, strict=False):
            send_call(peer, 9, READ, pipe.retval, DATA, 10)
        for peer in peers:
            assert peer.call(GETPID, reqno=10).error == 0
        assert rss(served) - before < 100 * CLIENTS
        assert sum(nlwps for _, nlwps in processes(peers[-1]).values()) == CLIENTS + 1 + BLOCKED + 1
        ticks = cpu_ticks(served)
        assert select.select([peer.sock for peer in peers[:500]], [], [], 0.5) == ([], [], [])
        assert cpu_ticks(served) - ticks <= 1
        for index, (peer, pipe) in enumerate(zip(peers, pipes, strict=False)):
            text = b"%010d" % index
            send_call(peer, 11, WRITE, pipe.retval2, DATA, 10)
            assert peer.finish(11, {DATA: text}).retval == 10
            woken = peer.finish(9, {})
            assert (woken.retval, woken.data) == (10, text)


def test_blocked_calls_of_one_client(served: Served) -> None:
    """A client gets thousands of them, and then EAGAIN, as when there are no lwps left."""
    with guests(served, 2) as (peer, other):
        before = rss(served)
        pipe = peer.call(PIPE)
        body = struct.pack("<3Q", pipe.retval, DATA, 1)
        for first in range(0, 100_000, 1000):
            peer.send(
                b"".join(Frame(100 + first + n, REQ, SYSCALL, READ, body).encode() for n in range(1000))
            )
            frame = peer.frame() if first >= 20_000 else None
            if frame is not None:
                assert struct.unpack_from("<i", frame.body)[0] == EAGAIN
                break
        else:
            raise AssertionError("there is no limit")
        assert other.call(GETPID).error == 0
        assert rss(served) - before < 64 << 10


# --- fairness ---------------------------------------------------------------------------------------------


class Busy:
    """A client that has as many calls on the way as the socket takes, and reads all that comes.

    Attributes:
        answers: those that have come.
    """

    def __init__(self, peer: Peer, number: int, *slots: int) -> None:
        self.sock = peer.sock
        self.sock.setblocking(False)
        self.answers = 0
        self._request = Frame(7, REQ, SYSCALL, number, struct.pack(f"<{len(slots)}Q", *slots)).encode() * 1000
        self._unsent = memoryview(self._request)
        self._buffer = bytearray(4 * MIB)
        self._head = bytearray()
        self._skip = 0

    def turn(self) -> None:
        """Send and receive what is possible at once."""
        try:
            self._unsent = self._unsent[self.sock.send(self._unsent) :] or memoryview(self._request)
        except BlockingIOError:
            pass
        try:
            size = self.sock.recv_into(self._buffer)
        except BlockingIOError:
            return
        self._count(memoryview(self._buffer)[:size])

    def _count(self, data: memoryview) -> None:
        while data:
            skipped = min(self._skip, len(data))
            self._skip -= skipped
            data = data[skipped:]
            missing = HEADER.size - len(self._head)
            self._head += data[:missing]
            data = data[missing:]
            if len(self._head) == HEADER.size and not self._skip:
                length, _, cls, _, _ = HEADER.unpack(self._head)
                self._skip = length - HEADER.size
                self.answers += cls == RESP
                self._head.clear()


def worst_wait(busy: Busy, others: list[Peer], rounds: int = 8) -> int:
    """Return how many calls of the busy client were answered, at most, while one of each other's was."""
    worst = 0
    while busy.answers < 100:
        busy.turn()
    for _ in range(rounds):
        start = busy.answers
        for peer in others:
            send_call(peer, 3, GETPID)
        waiting = {peer.sock for peer in others}
        while waiting:
            busy.turn()
            for sock in select.select(list(waiting), [], [], 0)[0]:
                assert len(sock.recv(48, socket.MSG_WAITALL)) == 48
                waiting.discard(sock)
        worst = max(worst, busy.answers - start)
    return worst


@pytest.mark.parametrize(
    ("size", "bound"),
    [(None, 10_000), (MIB, 64)],
    ids=["small calls", "reads of 1 MiB"],
)
def test_a_busy_client_starves_nobody(served: Served, size: int | None, bound: int) -> None:
    """While a client keeps the server busy, 50 others wait for a bounded number of its calls.

    That is what the sockets hold, and a turn of its own or two (512 calls, or 4 MiB).
    """
    with tmpfs(served), guests(served, 51) as (peer, *others):
        if size is None:
            busy = Busy(peer, GETPID)
        else:
            busy = Busy(peer, PREAD, make_big_file(peer), BUFFER, size, 0, 0)
        assert worst_wait(busy, others) < bound


def make_big_file(peer: Peer) -> int:
    """Return a descriptor of a file of 1 MiB in the tmpfs."""
    fd = open_file(peer, MOUNTED + b"/file")
    assert peer.call(WRITE, fd, DATA, MIB, memory={DATA: bytes(MIB)}).retval == MIB
    return fd


def test_a_client_that_says_much_and_goes_is_served(served: Served) -> None:
    """All that it has asked for before it shut its side down is answered."""
    with guests(served, 1) as (peer,):
        peer.send(Frame(7, REQ, SYSCALL, GETPID, b"").encode() * 5000)
        peer.sock.shutdown(socket.SHUT_WR)
        answers = 0
        while (frame := peer.frame()) is not None:
            assert frame.cls == RESP
            answers += 1
        assert answers == 5000


@pytest.mark.parametrize("number", [PREAD, PREADV], ids=["pread", "preadv"])
def test_a_client_that_does_not_read_is_alone(served: Served, number: int) -> None:
    """It has asked for gigabytes, of which the server holds a few MiB; others are served, and so is it.

    preadv(2) asks for memory first, and all of that is given before anything is read.
    """
    with tmpfs(served), guests(served, 2) as (peer, other):
        fd = make_big_file(peer)
        before = rss(served)
        vector = {ARGS: struct.pack("<4Q", BUFFER, MIB // 2, BUFFER + MIB // 2, MIB // 2)}
        slots = (fd, BUFFER, MIB, 0, 0) if number == PREAD else (fd, ARGS, 2, 0, 0)
        body = struct.pack("<5Q", *slots)
        requests = b"".join(Frame(100 + n, REQ, SYSCALL, number, body).encode() for n in range(4000))
        peer.sock.setblocking(False)
        sent = 0
        while sent < len(requests) and select.select([], [peer.sock], [], 0.2)[1]:
            sent += peer.sock.send(requests[sent:])
        assert sent > 64_000
        peer.sock.settimeout(30)
        if number == PREADV:
            copyins = [peer.frame() for _ in range(1000)]
            for copyin in copyins:
                assert copyin is not None
                assert copyin.kind == COPYIN
                peer.send(Frame(copyin.reqno, RESP, COPYIN, 0, vector[ARGS]).encode())
        for _ in range(100):
            assert other.call(GETPID).error == 0
        assert rss(served) - before < 64 << 10
        answered: set[int] = set()
        while len(answered) < 50:  # in any order
            frame = peer.frame()
            assert frame is not None
            if frame.cls == RESP:
                assert struct.unpack("<i4xqq", frame.body) == (0, MIB, 0)
                answered.add(frame.reqno)


def test_a_client_that_sends_no_data_is_bounded(served: Served) -> None:
    """Thousands of writes of 4 MiB of which nothing comes, or only the first piece, take no such memory."""
    with tmpfs(served), guests(served, 2) as (peer, other):
        fd = make_big_file(peer)
        before = rss(served)
        peer.sock.setblocking(False)
        requests = Frame(9, REQ, SYSCALL, WRITE, struct.pack("<3Q", fd, DATA, 4 * MIB)).encode() * 2000
        wanted: list[int] = []  # numbers of the requests for the first piece of each
        received = bytearray()
        failed = 0
        unsent = memoryview(requests)
        while select.select([peer.sock], [peer.sock] if unsent else [], [], 0.2)[0] or unsent:
            try:
                unsent = unsent[peer.sock.send(unsent) :] if unsent else unsent
                received += peer.sock.recv(MIB)
            except BlockingIOError:
                continue
            at = 0
            while len(received) - at >= HEADER.size:
                length, reqno, cls, _, _ = HEADER.unpack_from(received, at)
                if len(received) - at < length:
                    break
                body = received[at + HEADER.size : at + length]
                failed += cls == RESP
                if cls == REQ and struct.unpack("<QQ", body)[1] == DATA:
                    wanted.append(reqno)
                at += length
            del received[:at]
        assert len(wanted) == 512
        assert failed == 2000 - 512
        assert rss(served) - before < 48 << 10
        peer.sock.settimeout(30)
        for reqno in wanted:
            peer.send(Frame(reqno, RESP, COPYIN, 0, bytes(32768)).encode())
        enomem = [peer.frame() for _ in range(512 - 16)]  # 64 MiB are gathered for the others
        for frame in enomem:
            assert frame is not None
            assert struct.unpack_from("<i", frame.body)[0] == ENOMEM
        assert other.call(GETPID).error == 0
        assert rss(served) - before < 128 << 10


# --- files ------------------------------------------------------------------------------------------------


def limit_files(peer: Peer, count: int) -> None:
    memory = {LIMIT: struct.pack("<QQ", count, KERN_MAXFILES)}
    assert peer.call(SETRLIMIT, RLIMIT_NOFILE, LIMIT, memory=memory).error == 0


def test_ten_thousand_files_of_one_process(served: Served) -> None:
    """All of kern.maxfiles, the three standard descriptors with them; and no more."""
    with tmpfs(served), guests(served, 1) as (peer,):
        limit_files(peer, KERN_MAXFILES)
        for fd in range(3, KERN_MAXFILES):
            assert open_file(peer, MOUNTED + b"/%d" % fd) == fd
        path = {PATH: MOUNTED + b"/3\0"}
        assert peer.call(OPEN, PATH, O_RDWR, 0, memory=path).error == EMFILE
        assert peer.call(CLOSE, 5000).error == 0
        assert peer.call(OPEN, PATH, O_RDWR, 0, memory=path).retval == 5000
        assert peer.call(OPEN, PATH, O_RDWR, 0, memory=path).error == EMFILE


@pytest.mark.slow
def test_ten_thousand_files_of_a_hundred_processes(served: Served) -> None:
    with tmpfs(served), guests(served, 100) as peers:
        for fd in range(3, 103):
            for number, peer in enumerate(peers):
                assert open_file(peer, MOUNTED + b"/%d-%d" % (number, fd)) == fd
        for peer in peers:
            assert peer.call(WRITE, 102, DATA, 4, memory={DATA: b"text"}).retval == 4
