"""A process that goes on as another program (NetBSD: tests/lib/librumpclient/t_exec.sh).

NetBSD's program has two TCP sockets open and looks with rump.sockstat; here it has two files, says itself
which of its descriptors are open, and its name is looked up in kern.proc2.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance.programs import run, started
from tests.leaks import counted, holding, leaked, processes, rss
from tests.serving import Peer, Served

PROGRAM = "lib/librumpclient/t_exec"


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    """A server of which it is seen what it holds."""
    with counted(tmp_path, "-lrumpvfs", program="rump_server") as server:
        yield server


def images(served: Served, how: str, count: int = 1) -> dict[bytes, str]:
    """Run h_exec; return the names of the processes that it ends as, and which descriptors they have."""
    with started(served, "h_exec", how) as process, Peer(served.path) as peer:
        assert process.stdout is not None
        lines = [process.stdout.readline().decode() for _ in range(count)]
        peer.guest()
        names = {pid: comm for pid, (comm, _) in processes(peer).items()}
        assert len(names) == count + 2, names  # init, and who looks
        return {names[int(pid)]: fds for pid, fds in (line.split() for line in lines)}


def test_noexec(served: Served) -> None:
    assert images(served, "noexec") == {b"h_exec": "3,4"}


def test_exec(served: Served) -> None:
    assert images(served, "exec") == {b"h_ution": "3,4"}


def test_cloexec(served: Served) -> None:
    assert images(served, "cloexec") == {b"h_ution": "4"}


def test_vfork(served: Served) -> None:
    assert images(served, "vfork", 2) == {b"h_ution": "3,4", b"fourchette": "3,4"}


def test_threxec(served: Served) -> None:
    """12 generations, each with 63 + 63 readers blocked when it executes the next, and 189 more queued."""
    run(served, "h_execthr", "1")
    before, size = holding(served), rss(served)
    run(served, "h_execthr", "12")
    assert leaked(served, before) == {}
    assert rss(served) < size + 2048
