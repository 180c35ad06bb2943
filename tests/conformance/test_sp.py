"""The protocol, with client processes and a server (NetBSD: tests/rump/rumpkern/t_sp.sh)."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance.programs import run, started
from tests.leaks import counted, holding, leaked, processes, rss, until
from tests.serving import COPYIN, REQ, RESP, SYSCALL, Frame, Peer, Served, serving

PROGRAM = "rump/rumpkern/t_sp"
NOT_APPLICABLE = {"fork_cancel": "NetBSD's client has not implemented it"}

SYS_GETPID, SYS_SYSCTL = 20, 202
SIGPROF = 27
MIB, OLDLEN, OLD = 0x1000, 0x2000, 0x3000
HOSTNAME = struct.pack("<2i", 1, 10)


@pytest.fixture
def plain(tmp_path: Path) -> Iterator[Served]:
    """A server without any component."""
    with serving(tmp_path, program="rump_server") as served:
        yield served


@pytest.fixture
def vfs(tmp_path: Path) -> Iterator[Served]:
    """A server with file systems, of which it is seen what it holds."""
    with counted(tmp_path, "-lrumpvfs", program="rump_server") as served:
        yield served


def test_basic(plain: Served) -> None:
    run(plain, "h_simplecli")


def stress(served: Served, *args: str) -> None:
    """Run the stress program; afterwards the server holds what it held before, and is as small."""
    run(served, "h_stresscli", "0", *args[1:])
    before, size = holding(served), rss(served)
    run(served, "h_stresscli", *args)
    assert leaked(served, before) == {}
    assert rss(served) < size + 2048


def test_stress_short(vfs: Served) -> None:
    stress(vfs, "1")


@pytest.mark.slow
def test_stress_long(vfs: Served) -> None:
    stress(vfs, "10")


@pytest.mark.slow
def test_stress_killer(vfs: Served) -> None:
    stress(vfs, "5", "kill")


def test_fork_simple(vfs: Served) -> None:
    run(vfs, "h_forkcli", "simple")


def test_fork_pipecomm(vfs: Served) -> None:
    run(vfs, "h_forkcli", "pipecomm")


def test_fork_fakeauth(vfs: Served) -> None:
    run(vfs, "h_forkcli", "fakeauth")


def begin_hostname(peer: Peer, reqno: int) -> Frame:
    """Ask for kern.hostname, and return the server's first request for memory."""
    slots = struct.pack("<6Q", MIB, 2, OLD, OLDLEN, 0, 0)
    peer.send(Frame(reqno, REQ, SYSCALL, SYS_SYSCTL, slots).encode())
    return awaited(peer)


def awaited(peer: Peer) -> Frame:
    frame = peer.frame()
    assert frame is not None
    assert (frame.cls, frame.kind) == (REQ, COPYIN)
    return frame


def give(peer: Peer, request: Frame) -> None:
    """Answer a request for memory of the call for kern.hostname."""
    length, addr = struct.unpack("<QQ", request.body)
    data = {MIB: HOSTNAME, OLDLEN: struct.pack("<Q", 256)}[addr]
    assert length == len(data)
    peer.send(Frame(request.reqno, RESP, COPYIN, 0, data).encode())


def test_sigsafe(plain: Served) -> None:
    """A signal handler makes the same call while the server waits for memory of the interrupted one."""
    memory = {MIB: HOSTNAME, OLDLEN: struct.pack("<Q", 256)}
    with Peer(plain.path) as peer:
        peer.guest()
        name = peer.call(SYS_SYSCTL, MIB, 2, OLD, OLDLEN, 0, 0, memory=memory).stored
        assert name[0][1].startswith(b"rump-")
        for count in range(1000):
            interrupted, nested = 1000 + 2 * count, 1001 + 2 * count
            first = begin_hostname(peer, interrupted)
            if count % 2:  # between the first and the second piece of memory
                give(peer, first)
                first = awaited(peer)
            inner = begin_hostname(peer, nested)
            give(peer, inner)
            give(peer, awaited(peer))
            assert peer.finish(nested, {}).stored == name
            give(peer, first)
            assert peer.finish(interrupted, memory).stored == name


def test_reconnect(plain: Served) -> None:
    run(plain, "h_reconcli", "50")


_SENDSIG = """
from rumpfs.abi.sysctl import CTL_VENDOR, CTLFLAG_READWRITE, CTLTYPE_INT
from rumpfs.kern.sysctl import Row

NAME = "sendsig"
CLASS = "misc"
REQUIRES = ()


def send(p, signo):
    for other in p.kernel.procs.values():
        if other is not p:
            other.psignal(signo)


def init(kernel):
    flags = CTLTYPE_INT | CTLFLAG_READWRITE
    kernel.sysctl.createv(Row((CTL_VENDOR, 2), b"sendsig", flags, b"Send a signal to all others", set=send))
"""


def test_signal(tmp_path: Path) -> None:
    """A signal that the kernel sends ends a client that is blocked."""
    module = tmp_path / "sendsig.kmod"
    module.write_text(_SENDSIG)
    with (
        serving(tmp_path, "-lrumpvfs", "-m", str(module), program="rump_server") as served,
        started(served, "h_simplecli", "block", status=-SIGPROF),
        Peer(served.path) as peer,
    ):
        peer.guest()
        own = peer.call(SYS_GETPID).retval
        assert until(lambda: 2 in [nlwps for pid, (_, nlwps) in processes(peer).items() if pid != own])
        memory = {MIB: struct.pack("<2i", 11, 2), OLD: struct.pack("<i", SIGPROF)}
        assert peer.call(SYS_SYSCTL, MIB, 2, 0, 0, OLD, 4, memory=memory).error == 0
