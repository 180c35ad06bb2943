"""Processes and their lwps (NetBSD: tests/rump/rumpkern/t_lwproc.c).

Here an lwp is a call under way, so a process has one more of them than calls, and goes with its client.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

import pytest

from tests.conformance.system import System
from tests.leaks import until

PROGRAM = "rump/rumpkern/t_lwproc"
_IMPLICIT = "a call names its process here: there is no current lwp that could be missing"
NOT_APPLICABLE = {"nolwprelease": _IMPLICIT, "nolwp": _IMPLICIT, "nullswitch": _IMPLICIT}
LWPS = 128
KINFO, NLWPS = 680, 616


@pytest.fixture
def system(server: Any) -> Iterator[System]:
    """The server: it is a front end that runs several calls of a process."""
    remote = server.get()
    yield remote
    remote.exit_all()


def nlwps(p: Any, pid: int) -> int:
    """Return p_nlwps of a process; 0 when there is none (kern.proc2)."""
    data, oldlen = bytearray(KINFO), bytearray(struct.pack("<Q", KINFO))
    p.call("__sysctl", struct.pack("<6i", 1, 47, 1, pid, KINFO, 1), 6, data, oldlen, None, 0)
    return int(struct.unpack_from("<Q", data, NLWPS)[0]) if any(oldlen) else 0


def test_makelwp(system: System) -> None:
    """What is done to a process that is not there is ESRCH; a new one has its own number and lwp."""
    p, other = system.process(), system.process()
    assert p.error("getpgid", 30_000) == "ESRCH"
    assert 1 < p.call("getpid") != other.call("getpid") > 1
    assert nlwps(p, 30_000) == 0
    assert nlwps(p, other.call("getpid")) == 1


def test_proccreds(system: System) -> None:
    """An id that a process sets is its own alone."""
    one, two = system.process(), system.process()
    two.call("setuid", 22)
    assert (one.call("getuid"), two.call("getuid")) == (0, 22)
    one.call("setuid", 11)
    assert (one.call("getuid"), two.call("getuid")) == (11, 22)


def test_inherit(system: System) -> None:
    """A child has the ids of its parent, whatever happens to the parent; a client begins as root."""
    parent = system.process()
    parent.call("setuid", 66)
    child = system.fork(parent)
    assert child.call("getuid") == 66
    system.exit(parent)
    assert child.call("getuid") == 66
    assert system.process().call("getuid") == 0


def test_lwps(system: System) -> None:
    """A process holds 128 lwps with the same number and ids, and is gone when the last of them is."""
    watcher, p = system.process(), system.process()
    p.call("setuid", 375)
    pid = p.call("getpid")
    reader, writer = p.call("pipe")
    blocked = [system.begin(p, "read", reader, 1) for _ in range(LWPS)]
    assert until(lambda: nlwps(watcher, pid) == LWPS + 1)
    for left in range(LWPS, 0, -1):
        assert p.call("getuid") == 375
        assert p.call("write", writer, b"x") == 1
        assert until(lambda left=left: nlwps(watcher, pid) == left)
    for call in blocked:
        assert system.finish(call) == b"x"
    system.exit(p)
    assert nlwps(watcher, pid) == 0
    assert watcher.error("getpgid", pid) == "ESRCH"
