"""Calls of a signal handler in the middle of one (NetBSD: tests/rump/rumpkern/t_sp.sh: sigsafe)."""

from __future__ import annotations

import signal
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from rumpfs.abi.sysctl import CTL_KERN, KERN_HOSTNAME
from rumpfs.client import Client, ConnectionLost
from tests.serving import serving

ALARMS = 200
PERIOD = 0.001


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(tmp_path_factory.mktemp("server")) as served:
        yield served.url


def hostname(client: Client) -> bytes:
    """Return kern.hostname: a call for which the server asks for memory several times."""
    value, length = bytearray(256), bytearray(struct.pack("<Q", 256))
    client.sys.sysctl(struct.pack("<2i", CTL_KERN, KERN_HOSTNAME), 2, value, length, None, 0)
    return bytes(value[: int.from_bytes(length, "little")])


@contextmanager
def handling(handler: Callable[..., None]) -> Iterator[None]:
    """Call `handler` for each SIGALRM."""
    before = signal.signal(signal.SIGALRM, handler)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_sigsafe(url: str) -> None:
    """Alarms interrupt the same call wherever it is just then."""
    with Client(url, reentrant=True) as client:
        name = hostname(client)
        assert name.startswith(b"rump-")
        seen: list[object] = []

        def handler(*_: object) -> None:
            seen.append(hostname(client))

        with handling(handler):
            signal.setitimer(signal.ITIMER_REAL, PERIOD, PERIOD)
            while len(seen) < ALARMS:
                assert hostname(client) == name
        assert set(seen) == {name}


def test_a_handler_ends_the_call_that_it_interrupted(url: str) -> None:
    with Client(url, reentrant=True) as client:
        reader, writer = client.sys.pipe()
        with handling(lambda *_: client.sys.write(writer, b"from the handler")):
            signal.setitimer(signal.ITIMER_REAL, PERIOD)
            assert client.sys.read(reader, 100) == b"from the handler"
        assert client.sys.getpid() > 1


def test_handlers_interrupt_handlers(url: str) -> None:
    with Client(url, reentrant=True) as client:
        pipes = [client.sys.pipe() for _ in range(5)]
        seen = []

        def handler(*_: object) -> None:
            depth = len(seen)
            seen.append(depth)
            if depth + 1 < len(pipes):
                signal.setitimer(signal.ITIMER_REAL, PERIOD)
                assert client.sys.read(pipes[depth + 1][0], 1) == b"x"
            client.sys.write(pipes[depth][1], b"x")

        with handling(handler):
            signal.setitimer(signal.ITIMER_REAL, PERIOD)
            assert client.sys.read(pipes[0][0], 1) == b"x"
        assert seen == [0, 1, 2, 3, 4]


def test_an_exception_of_a_handler_ends_the_connection(url: str) -> None:
    def handler(*_: object) -> None:
        raise KeyboardInterrupt

    threads = threading.active_count()
    client = Client(url, reentrant=True)
    reader, _ = client.sys.pipe()
    with handling(handler):
        signal.setitimer(signal.ITIMER_REAL, PERIOD)
        with pytest.raises(KeyboardInterrupt):
            client.sys.read(reader, 1)
    with pytest.raises(ConnectionLost, match="KeyboardInterrupt during a call"):
        client.sys.getpid()
    client.close()
    ended(threads)


def ended(threads: int) -> None:
    """Wait until there are no more threads than `threads`."""
    for thread in threading.enumerate():
        if thread is not threading.main_thread() and threading.active_count() > threads:
            thread.join(20)
    assert threading.active_count() <= threads


def test_errors_and_other_threads(url: str) -> None:
    threads = threading.active_count()
    with Client(url, reentrant=True) as client:
        with pytest.raises(FileNotFoundError, match="/none"):
            client.stat("/none")
        pids: list[int] = []
        workers = [threading.Thread(target=lambda: pids.append(client.sys.getpid())) for _ in range(4)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        assert pids == [client.sys.getpid()] * 4
    ended(threads)


def test_a_client_that_forks(url: str) -> None:
    with Client(url, reentrant=True) as client, Client.from_cookie(url, client.prefork()) as child:
        assert child.sys.getpid() != client.sys.getpid()
        client.exec()
        assert client.sys.getpid() > 1
