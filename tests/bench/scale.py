"""What many entries, open files, clients and waiters cost: as ratios to the cost with few of them."""

from __future__ import annotations

import resource
import statistics
import struct
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from tests.bench.commands import line
from tests.bench.exchange import Exchange
from tests.leaks import rss
from tests.serving import COPYIN, COPYINSTR, REQ, RESP, SYSCALL, Call, Frame, Peer, Served, serving

WRITE, OPEN, CLOSE, UNLINK, GETPID, PIPE = 4, 5, 6, 10, 20, 42
RENAME, MKFIFO, MKDIR, RMDIR, SETRLIMIT, POLL = 128, 132, 136, 137, 195, 209
KQUEUE, GETDENTS, MOUNT, KEVENT, STAT = 344, 390, 410, 435, 439
O_RDONLY, O_RDWR, O_CREAT = 0, 2, 0x200
RLIMIT_NOFILE = 8
PATH, PATH2, OTHER, OUT, TYPE, ARGS, DATA, EVENTS = (n << 32 for n in range(1, 9))
FEW, SOME, MANY = 10, 1000, 100_000
FILES, CLIENTS = 10_000, 2000
BATCH = 500
REPEAT, BURST = 9, 100

Calls = list[tuple[int, tuple[int, ...]]]


def bench() -> None:
    """Measure and print."""
    print(f"\n{'scale':48} goal     measured")
    with tempfile.TemporaryDirectory(prefix="rumpfs-bench") as name, serving(Path(name)) as served:
        _clients(served)
        with Peer(served.path, timeout=600) as peer:
            peer.guest()
            _directories(peer)
        with Peer(served.path, timeout=600) as peer:
            peer.guest()
            _open_files(peer)
        _wakeups(served)


def _cost(exchange: Exchange) -> float:
    """Return the seconds of one run, undisturbed."""
    best = float("inf")
    for _ in range(REPEAT):
        start = time.perf_counter()
        for _ in range(BURST):
            exchange.run()
        best = min(best, (time.perf_counter() - start) / BURST)
    return best


# --- directories ------------------------------------------------------------------------------------------


def _operations(fd: int) -> dict[str, Calls]:
    """Return what is done in a directory, when `fd` is the next free descriptor."""
    create: Calls = [(OPEN, (PATH2, O_CREAT | O_RDWR, 0o644)), (CLOSE, (fd,)), (UNLINK, (PATH2,))]
    read: Calls = [(OPEN, (TYPE, O_RDONLY, 0)), (GETDENTS, (fd, OUT, 512)), (CLOSE, (fd,))]
    return {
        "create+unlink": create,
        "mkdir+rmdir": [(MKDIR, (PATH2, 0o755)), (RMDIR, (PATH2,))],
        "stat": [(STAT, (PATH, OUT))],
        "rename": [(RENAME, (PATH, OTHER)), (RENAME, (OTHER, PATH))],
        "create+unlink, then getdents": create + read,
    }


def _directories(peer: Peer) -> None:
    costs: dict[str, list[float]] = {}
    for count in (FEW, MANY):
        directory = b"/entries%d" % count
        _mount(peer, directory)
        _fill(peer, directory, count)
        memory = {
            PATH: directory + b"/%06d\0" % (count // 2), PATH2: directory + b"/new\0",
            OTHER: directory + b"/other\0", TYPE: directory + b"\0",
        }  # fmt: skip
        peer.sock.settimeout(None)
        for name, calls in _operations(3).items():
            costs.setdefault(name, []).append(_cost(Exchange(peer, calls, memory)))
    for name, (few, many) in costs.items():
        line(f"{name}: {MANY} entries to {FEW}", "< 1.5", many / few)
    _mount(peer, b"/some")
    _fill(peer, b"/some", SOME)
    few, many = _listing(peer, b"/some", SOME), _listing(peer, b"/entries%d" % MANY, MANY)
    line(f"getdents, per entry: {MANY} entries to {SOME}", "< 1.5", many / few)


def _mount(peer: Peer, directory: bytes) -> None:
    args = struct.pack("<i4xqQIII4x", 1, 0, 0, 0, 0, 0o755)
    memory = {PATH: directory + b"\0", TYPE: b"tmpfs\0", ARGS: args}
    assert peer.call(MKDIR, PATH, 0o755, memory=memory).error == 0
    assert peer.call(MOUNT, TYPE, PATH, 0, ARGS, len(args), memory=memory).error == 0


def _fill(peer: Peer, directory: bytes, count: int) -> None:
    """Make entries, many at a time."""
    for first in range(0, count, BATCH):
        numbers = range(first, min(first + BATCH, count))
        slots = struct.pack("<2Q", PATH, 0o644)
        peer.send(b"".join(Frame(number, REQ, SYSCALL, MKFIFO, slots).encode() for number in numbers))
        answers = []
        for number in numbers:
            frame = peer.frame()
            assert frame is not None
            assert frame.kind == COPYINSTR
            path = directory + b"/%06d\0" % number
            answers.append(Frame(frame.reqno, RESP, COPYIN, 0, path).encode())
        peer.send(b"".join(answers))
        for _ in numbers:
            frame = peer.frame()
            assert frame is not None
            assert not any(frame.body[:4])


def _listing(peer: Peer, directory: bytes, count: int) -> float:
    """Return what it costs to list a directory of so many entries, in seconds per entry."""
    memory = {TYPE: directory + b"\0"}
    best = float("inf")
    for _ in range(REPEAT):
        start = time.perf_counter()
        found = 0
        while found < count:
            fd = peer.call(OPEN, TYPE, O_RDONLY, 0, memory=memory).retval
            while data := peer.call(GETDENTS, fd, OUT, 65536).data:
                found += len(data) // 24
            peer.call(CLOSE, fd)
        best = min(best, (time.perf_counter() - start) / found)
    return best


# --- open files, waiters, clients -------------------------------------------------------------------------


def _open_files(peer: Peer) -> None:
    memory = {PATH: b"/dev/null\0", ARGS: struct.pack("<QQ", FILES, FILES)}
    assert peer.call(SETRLIMIT, RLIMIT_NOFILE, ARGS, memory=memory).error == 0
    peer.sock.settimeout(None)
    calls = [(OPEN, (PATH, O_RDONLY, 0)), (CLOSE, (3,))]
    few = _cost(Exchange(peer, calls, memory))
    while peer.call(OPEN, PATH, O_RDONLY, 0, memory=memory).retval < FILES - 2:
        pass
    calls[1] = CLOSE, (FILES - 1,)
    line(f"open+close: {FILES} files open to none", "< 1.5", _cost(Exchange(peer, calls, memory)) / few)


def _wakeups(served: Served) -> None:
    """Print how long it takes from a write of one client until the poll or kevent of another returns."""
    with Peer(served.path) as writer:
        writer.guest()
        pipe = writer.call(PIPE)
        writer.send(Frame(7, REQ, 7, 0, b"").encode())
        answer = writer.frame()
        assert answer is not None
        with Peer(served.path) as waiter:
            waiter.send(Frame(1, REQ, 0, 2, answer.body + bytes(4)).encode())
            waiter.frame()
            entry = struct.pack("<iHH", pipe.retval, 1, 0)
            poll = struct.pack("<3Q", DATA, 1, 2**32 - 1)
            line("wake-up of poll (us)", "", _latency(writer, waiter, pipe, POLL, poll, entry) * 1e6)
            kq = waiter.call(KQUEUE).retval
            change = struct.pack("<QIII4xqQ", pipe.retval, 0, 1, 0, 0, 0)
            assert waiter.call(KEVENT, kq, DATA, 1, 0, 0, 0, memory={DATA: change}).error == 0
            kevent = struct.pack("<6Q", kq, 0, 0, EVENTS, 1, 0)
            line("wake-up of kevent (us)", "", _latency(writer, waiter, pipe, KEVENT, kevent, b"") * 1e6)


def _latency(writer: Peer, waiter: Peer, pipe: Call, number: int, slots: bytes, entry: bytes) -> float:
    times = []
    for _ in range(300):
        waiter.send(Frame(9, REQ, SYSCALL, number, slots).encode())
        if entry:
            request = waiter.frame()
            assert request is not None
            waiter.send(Frame(request.reqno, RESP, COPYIN, 0, entry).encode())
        assert waiter.call(GETPID, reqno=3).error == 0
        writer.send(Frame(5, REQ, SYSCALL, WRITE, struct.pack("<3Q", pipe.retval2, DATA, 1)).encode())
        request = writer.frame()
        assert request is not None
        start = time.perf_counter()
        writer.send(Frame(request.reqno, RESP, COPYIN, 0, b"x").encode())
        assert waiter.finish(9, {}).retval == 1
        times.append(time.perf_counter() - start)
        assert writer.finish(5, {}).retval == 1
        assert waiter.call(3, pipe.retval, OUT, 10, reqno=4).retval == 1
    return statistics.median(times)


def _clients(served: Served) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

    def rate() -> float:
        return _cost(Exchange(busy, [(GETPID, ())], {}))

    with Peer(served.path, timeout=600) as busy, ExitStack() as stack:
        busy.guest()
        busy.sock.settimeout(None)
        alone = rate()
        before = rss(served)
        for _ in range(CLIENTS):
            stack.enter_context(Peer(served.path)).guest()
        line(f"getpid: beside {CLIENTS} idle clients to alone", "< 1.2", rate() / alone)
        line("memory of an idle client (KiB)", "< 100", (rss(served) - before) / CLIENTS)
