"""The client programs of NetBSD's tests, as processes of their own.

    python -m tests.conformance.h_client PROGRAM [ARGUMENT ...]

Each is one function, under NetBSD's name; it uses the server that RUMP_SERVER names, ends with status 0 when
all was as it has to be, and with a traceback otherwise.
"""

from __future__ import annotations

import itertools
import os
import random
import select
import signal
import socket
import struct
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from rumpfs.abi import errno
from rumpfs.abi.fcntl import F_GETFD, F_SETFD, FD_CLOEXEC, O_CREAT, O_RDWR
from rumpfs.abi.syscalls import BY_NAME
from rumpfs.abi.sysctl import CTL_KERN, KERN_HOSTNAME, KERN_PROC2, KERN_PROC_PID
from rumpfs.client.errors import ConnectionLost, RumpError
from rumpfs.client.raw import RawClient, server_url
from tests.serving import RAISE, REQ, SYSCALL, Frame, Peer

HOSTNAME = struct.pack("<2i", CTL_KERN, KERN_HOSTNAME)
HOSTNAME_MAX = 256
KINFO_SIZE, KINFO_NLWPS = 680, 616
WAIT_MAX = 30.0
PROGRAM_MAX = 120.0


def gethostname(client: RawClient) -> bytes:
    """Return kern.hostname."""
    name = bytearray(HOSTNAME_MAX)
    oldlen = bytearray(struct.pack("<Q", len(name)))
    client.sys.sysctl(HOSTNAME, 2, name, oldlen, None, 0)
    return bytes(name[: struct.unpack("<Q", oldlen)[0]]).rstrip(b"\0")


def nlwps(client: RawClient, pid: int) -> int:
    """Return how many lwps the kernel says that a process has."""
    mib = struct.pack("<6i", CTL_KERN, KERN_PROC2, KERN_PROC_PID, pid, KINFO_SIZE, 1)
    data = bytearray(KINFO_SIZE)
    client.sys.sysctl(mib, 6, data, bytearray(struct.pack("<Q", KINFO_SIZE)), None, 0)
    return int(struct.unpack_from("<Q", data, KINFO_NLWPS)[0])


def failure(function: Callable[[], Any]) -> int:
    """Return NetBSD's number of the error that a function fails with, or 0."""
    try:
        function()
    except RumpError as error:
        return error.netbsd_errno
    return 0


def join(child: int) -> None:
    """Wait for a child, which has to end with status 0."""
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0, f"a child ended with {status:#x}"


# --- h_simplecli, h_forkcli ---------------------------------------------------------------------------


def h_simplecli(how: str = "") -> None:
    """Connect, and ask for the process number; with "block", then wait for a signal from the kernel."""
    assert RawClient().sys.getpid() > 0
    if how == "block":
        _block_for_signal()


def _block_for_signal() -> None:
    """Block in a read, and take signals while it waits, as librumpclient does."""
    with Peer(server_url().removeprefix("unix://"), PROGRAM_MAX) as peer:
        peer.guest()
        pipe = peer.call(BY_NAME["pipe"].number)
        slots = struct.pack("<3Q", pipe.retval, 1 << 32, 1)
        peer.send(Frame(9, REQ, SYSCALL, BY_NAME["read"].number, slots).encode())
        while (frame := peer.frame()) is not None:
            if (frame.cls, frame.kind) == (REQ, RAISE):
                signal.raise_signal(frame.union)


def h_forkcli(what: str) -> None:
    """Fork: simple, pipecomm, fakeauth."""
    {"simple": _simple, "pipecomm": _pipecomm, "fakeauth": _fakeauth}[what](RawClient())


def _simple(client: RawClient) -> None:
    pid = client.sys.getpid()
    assert pid >= 2
    fd = client.sys.open("/dev/null", O_CREAT | O_RDWR, 0o600)
    assert client.sys.write(fd, b"four") == 4
    child = client.fork()
    assert client.sys.write(fd, b"four") == 4
    if child == 0:
        assert client.sys.getpid() not in (pid, 0, 1)
        client.sys.close(fd)
        return
    join(child)
    assert client.sys.write(fd, b"four") == 4


def _pipecomm(client: RawClient) -> None:
    text = b"from parent to child"
    reader, writer = client.sys.pipe()
    child = client.fork()
    if child == 0:
        assert client.sys.read(reader, len(text)) == text
        return
    assert client.sys.write(writer, text) == len(text)
    join(child)


def _fakeauth(client: RawClient) -> None:
    cookie = bytearray(client.prefork())
    cookie[12] ^= 1
    assert failure(lambda: RawClient.from_cookie(None, bytes(cookie))) == errno.ESRCH


# --- h_stresscli --------------------------------------------------------------------------------------

NCLI, NTHR = 32, 8
#: calls that each thread has made before the client may be ended
WARM = 2


class Stress:
    """One client with NTHR threads, until SIGUSR1 comes."""

    def __init__(self, ready: int) -> None:
        self._quit = False
        self._ready = ready
        self._warm = itertools.count(1)
        self._failures: list[BaseException] = []
        signal.signal(signal.SIGUSR1, self._stop)
        self._client = RawClient()
        self._pid = self._client.sys.getpid()
        name = b"rumpclient%d" % self._pid
        self._client.sys.sysctl(HOSTNAME, 2, None, None, name + b"\0", len(name) + 1)

    def _stop(self, *_: object) -> None:
        self._quit = True

    def run(self) -> None:
        threads = [threading.Thread(target=self._work) for _ in range(NTHR)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not self._failures, self._failures

    def _work(self) -> None:
        try:
            for count in itertools.count(1):
                if self._quit:
                    break
                assert gethostname(self._client).startswith(b"rumpclient")
                assert self._client.sys.getpid() == self._pid
                if count == WARM and next(self._warm) == NTHR:
                    os.write(self._ready, b"!")
        except (AssertionError, OSError) as error:
            self._failures.append(error)
            self._quit = True


def _stress_child() -> tuple[int, int]:
    """Start a client; return its process, and what becomes readable when all its threads are at work."""
    ready, tell = os.pipe()
    child = os.fork()
    if child:
        os.close(tell)
        return child, ready
    status = 1
    try:
        os.close(ready)
        Stress(tell).run()
        status = 0
    finally:
        os._exit(status)


def h_stresscli(rounds: str, mode: str = "") -> None:
    """Keep NCLI clients at work; in every round one of them, at random, is ended and replaced.

    Args:
        rounds: how many, in tens.
        mode: "kill": they are ended with SIGKILL, so in the middle of calls.
    """
    sig = signal.SIGKILL if mode == "kill" else signal.SIGUSR1
    choice = random.Random(1)
    clients = [_stress_child() for _ in range(NCLI)]
    for _ in range(int(rounds) * 10 - 1):
        child, ready = clients.pop(choice.randrange(NCLI))
        _end(child, ready, sig)
        clients.append(_stress_child())
    for child, ready in clients:
        _end(child, ready, signal.SIGKILL)


def _end(child: int, ready: int, sig: signal.Signals) -> None:
    assert select.select([ready], [], [], WAIT_MAX)[0], "a client does not come to work"
    assert os.read(ready, 1), "a client has failed"
    os.close(ready)
    os.kill(child, sig)
    _, status = os.waitpid(child, 0)
    wanted = 0 if sig == signal.SIGUSR1 else -signal.SIGKILL
    assert os.waitstatus_to_exitcode(status) == wanted, f"a client ended with {status:#x}"


# --- h_reconcli ---------------------------------------------------------------------------------------


class Reconnecting:
    """A client that connects again, and makes its call again, when the connection is cut."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._client = RawClient()
        self.reconnects = 0

    def call(self, function: Callable[[RawClient], Any]) -> Any:
        while True:
            client = self._client
            try:
                return function(client)
            except ConnectionLost:
                with self._lock:
                    if self._client is client:
                        self._client = RawClient()
                        self.reconnects += 1

    def cut(self) -> None:
        """Cut the connection, whatever is on the way."""
        with suppress(OSError):  # cut already
            self._client._transport.sock.shutdown(socket.SHUT_RDWR)


def h_reconcli(cuts: str) -> None:
    """Four threads make calls while a fifth cuts the connection so many times; all calls succeed."""
    client = Reconnecting()
    goal = int(cuts)
    name = client.call(gethostname)
    calls = itertools.count(1)
    turn = threading.Semaphore(0)
    failures: list[BaseException] = []

    def work() -> None:
        try:
            while client.reconnects < goal and not failures:
                assert client.call(lambda kernel: kernel.sys.getpid()) > 1
                assert client.call(gethostname) == name
                if next(calls) % 10 == 0:
                    turn.release()
        except (AssertionError, OSError) as error:
            failures.append(error)
        turn.release()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        turn.acquire()
        client.cut()
    assert not failures, failures


# --- h_exec, h_execthr ----------------------------------------------------------------------------------


def execute(client: RawClient, *args: str) -> None:
    """Go on as another image of this program."""
    client.execve(sys.executable, [sys.executable, "-m", "tests.conformance.h_client", *args])


def h_exec(how: str = "") -> None:
    """Open two files, and go on as a new image called h_ution.

    Args:
        how: "noexec": not so; "cloexec": the first file is close-on-exec; "vfork": a child first does the
            same, called fourchette.
    """
    client = RawClient(comm="h_exec")
    first, second = (client.sys.open(f"/tmp/{name}", O_RDWR | O_CREAT, 0o600) for name in (1234, 2345))
    assert (first, second) == (3, 4)
    if how == "noexec":
        # As a daemon would: the parent has gone when the child is looked at.
        if client.fork():
            return
        _report(client)
        return
    if how == "cloexec":
        client.sys.fcntl(first, F_SETFD, FD_CLOEXEC)
    if how == "vfork" and client.fork() == 0:
        execute(client, "h_image", "fourchette")
    execute(client, "h_image", "h_ution")


def h_image(comm: str) -> None:
    """The image that h_exec goes on as."""
    _report(RawClient(comm=comm))


def _report(client: RawClient) -> None:
    """Say which process this is and what it has open, and stay until the standard input ends."""
    fds = [fd for fd in range(3, 10) if _is_open(client, fd)]
    line = f"{client.sys.getpid()} {','.join(map(str, fds))}\n"
    os.write(1, line.encode())
    os.read(0, 1)


def _is_open(client: RawClient, fd: int) -> bool:
    return failure(lambda: client.sys.fcntl(fd, F_GETFD, 0)) != errno.EBADF


READERS = 63
MAGIC = struct.pack("<i", 37)
P1_0, P1_1, P2_0, P2_1 = 3, 4, 5, 6


def h_execthr(generations: str, generation: str = "0") -> None:
    """Execute again and again while many threads are blocked in read(2); none of them may come back."""
    client = RawClient()
    pid = client.sys.getpid()
    if int(generation):
        _after_exec(client, pid)
        if generation == generations:
            return
        client.sys.close(P2_0)
        client.sys.close(P2_1)
    assert client.sys.pipe() == (P1_0, P1_1)
    assert client.sys.pipe() == (P2_0, P2_1)
    client.sys.fcntl(P1_0, F_SETFD, FD_CLOEXEC)
    client.sys.fcntl(P1_1, F_SETFD, FD_CLOEXEC)
    for fd in (P1_0, P2_0):
        _block(client, fd, READERS)
    while nlwps(client, pid) != 2 * READERS + 2:
        pass
    _block(client, P1_0, 3 * READERS)
    execute(client, "h_execthr", generations, str(int(generation) + 1))


def _block(client: RawClient, fd: int, count: int) -> None:
    def read() -> None:
        client.sys.read(fd, 4)
        os.write(2, b"a read of the old image came back\n")
        os._exit(1)

    for _ in range(count):
        threading.Thread(target=read, daemon=True).start()


def _after_exec(client: RawClient, pid: int) -> None:
    found: list[bytes] = []
    reader = threading.Thread(target=lambda: found.append(client.sys.read(P2_0, 4)))
    reader.start()
    assert client.sys.write(P2_1, MAGIC) == 4
    reader.join()
    assert found == [MAGIC], "the data went to a read of the old image"
    assert not _is_open(client, P1_0)
    assert not _is_open(client, P1_1)
    assert nlwps(client, pid) == 2


# --- t_fd ---------------------------------------------------------------------------------------------


def t_fd_bigenough() -> None:
    """Without standard descriptors a client takes none of their numbers."""
    for fd in (0, 1, 2):
        os.close(fd)
    client = RawClient()
    for _ in range(2):
        assert client.sys.getpid() > 0
        for fd in (0, 1, 2):
            with suppress(OSError):
                os.fstat(fd)
                os._exit(1)


PROGRAMS: dict[str, Callable[..., None]] = {
    program.__name__: program
    for program in (
        h_simplecli, h_forkcli, h_stresscli, h_reconcli, h_exec, h_image, h_execthr, t_fd_bigenough,
    )
}  # fmt: skip

if __name__ == "__main__":
    PROGRAMS[sys.argv[1]](*sys.argv[2:])
