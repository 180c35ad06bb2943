"""SIGIO: O_ASYNC, FIOASYNC, F_SETOWN and their relatives, on pipes and FIFOs (fcntl(2), kern_descrip.c).

NetBSD's t_fd.c has a socket where there is a pipe here.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from rumpfs.abi.fcntl import F_GETFL, F_GETOWN, F_SETFL, F_SETOWN, O_ASYNC, O_NONBLOCK, O_RDONLY, O_RDWR
from rumpfs.abi.ioctl import FIOASYNC, FIOGETOWN, FIOSETOWN, TIOCGPGRP, TIOCSPGRP
from tests.kern.incore import Machine, Process
from tests.serving import RAISE, REQ, Peer, serving

SIGIO = 23
PIPE_SIZE, PIPE_BUF = 16384, 512


def number(value: int) -> bytes:
    return value.to_bytes(4, "little", signed=True)


@pytest.fixture
def ends(p: Process) -> tuple[int, int]:
    first, second = p.call("pipe")
    return first, second


def own(p: Process, fd: int, owner: int) -> None:
    p.call("fcntl", fd, F_SETFL, O_ASYNC)
    p.call("fcntl", fd, F_SETOWN, owner & 0xFFFFFFFF)


def test_a_reader_is_told_of_data(p: Process, ends: tuple[int, int]) -> None:
    reader, writer = ends
    own(p, reader, p.p.pid)
    p.call("write", writer, b"x")
    assert p.signals == [SIGIO]
    p.call("write", writer, b"y")
    assert p.signals == [SIGIO] * 2
    p.call("read", reader, 10)
    assert p.signals == [SIGIO] * 2, "that is for the other side"
    p.call("close", writer)
    assert p.signals == [SIGIO] * 3, "and of the end"


def test_a_writer_is_told_of_room(p: Process, ends: tuple[int, int]) -> None:
    reader, writer = ends
    own(p, writer, p.p.pid)
    p.call("write", writer, bytes(PIPE_SIZE))
    assert p.signals == []
    p.call("read", reader, PIPE_BUF - 1)
    assert p.signals == [], "PIPE_BUF bytes have to fit in"
    p.call("read", reader, 1)
    assert p.signals == [SIGIO]
    p.call("close", reader)
    assert p.signals == [SIGIO] * 2


def test_a_writer_is_told_of_a_reader_that_waits(p: Process, ends: tuple[int, int]) -> None:
    own(p, ends[1], p.p.pid)
    p.begin("read", ends[0], 1).drop()
    assert p.signals == [SIGIO]


def test_only_an_owner_that_wants_it_is_told(p: Process, ends: tuple[int, int]) -> None:
    reader, writer = ends
    p.call("fcntl", reader, F_SETOWN, p.p.pid)
    p.call("write", writer, b"x")
    p.call("fcntl", reader, F_SETFL, O_ASYNC)
    p.call("fcntl", reader, F_SETOWN, 0)
    p.call("write", writer, b"x")
    assert p.signals == []
    p.call("fcntl", reader, F_SETOWN, p.p.pid)
    p.call("fcntl", reader, F_SETFL, 0)
    p.call("write", writer, b"x")
    assert p.signals == []


def test_fioasync_is_o_async(p: Process, ends: tuple[int, int]) -> None:
    reader, writer = ends
    p.call("ioctl", reader, FIOASYNC, number(1))
    p.call("ioctl", reader, FIOSETOWN, number(p.p.pid))
    assert p.call("fcntl", reader, F_GETFL, 0) == O_ASYNC
    p.call("write", writer, b"x")
    assert p.signals == [SIGIO]
    p.call("ioctl", reader, FIOASYNC, number(0))
    assert p.call("fcntl", reader, F_GETFL, 0) == 0
    p.call("write", writer, b"x")
    assert p.signals == [SIGIO]


def test_a_group_is_told_as_a_whole(machine: Machine) -> None:
    p, other, third = (machine.process() for _ in range(3))
    p.call("setpgid", 0, 0)
    machine.kernel.pgrps.move(other.p, p.p.pgrp)
    reader, writer = p.call("pipe")
    own(p, reader, -p.p.pid)
    p.call("write", writer, b"x")
    assert (p.signals, other.signals, third.signals) == ([SIGIO], [SIGIO], [])
    other.p.exit()
    p.call("write", writer, b"x")
    assert (p.signals, other.signals) == ([SIGIO] * 2, [SIGIO])


def test_another_process_may_be_told_and_may_be_gone(machine: Machine) -> None:
    p, other = machine.process(), machine.process()
    reader, writer = p.call("pipe")
    own(p, reader, other.p.pid)
    p.call("write", writer, b"x")
    other.p.exit()
    p.call("write", writer, b"x")
    assert (p.signals, other.signals) == ([], [SIGIO])
    assert p.call("fcntl", reader, F_GETOWN, 0) == other.p.pid


def test_the_owner_can_be_asked_for(p: Process, ends: tuple[int, int]) -> None:
    reader, _ = ends
    stored = bytearray(4)
    assert p.call("fcntl", reader, F_GETOWN, 0) == 0
    p.call("setpgid", 0, 0)
    p.call("ioctl", reader, TIOCSPGRP, number(p.p.pid))
    assert p.call("fcntl", reader, F_GETOWN, 0) == -p.p.pid
    p.call("ioctl", reader, TIOCGPGRP, stored)
    assert stored == number(p.p.pid)
    p.call("ioctl", reader, FIOGETOWN, stored)
    assert stored == number(-p.p.pid)
    p.call("ioctl", reader, FIOSETOWN, number(p.p.pid))
    assert p.call("fcntl", reader, F_GETOWN, 0) == p.p.pid


def test_owners_that_cannot_be(machine: Machine) -> None:
    p, other = machine.process(), machine.process()
    reader, _ = p.call("pipe")
    other.call("setsid")
    for owner, error in [(4321, "ESRCH"), (-4321, "EINVAL"), (-other.p.pid, "EPERM"), (other.p.pid, "ok")]:
        assert p.error("fcntl", reader, F_SETOWN, owner & 0xFFFFFFFF) == error
        assert p.error("ioctl", reader, FIOSETOWN, number(owner)) == error
    assert p.error("ioctl", reader, TIOCSPGRP, number(-1)) == "EINVAL"
    assert p.error("ioctl", reader, TIOCSPGRP, number(4321)) == "EINVAL"


def test_files_and_queues_have_no_owner(tmp: Process) -> None:
    tmp.make(b"file")
    fd = tmp.call("open", b"file", O_RDWR, 0)
    for what in (fd, tmp.call("kqueue"), 1):
        assert tmp.error("fcntl", what, F_GETOWN, 0) == "ENOTTY"
        assert tmp.error("fcntl", what, F_SETOWN, tmp.p.pid) == "ENOTTY"
        assert tmp.error("ioctl", what, FIOGETOWN, bytearray(4)) == "ENOTTY"
    assert tmp.error("fcntl", fd, F_SETFL, O_ASYNC | O_NONBLOCK) == "ok"
    assert tmp.call("fcntl", fd, F_GETFL, 0) == O_RDWR | O_ASYNC | O_NONBLOCK
    kq = tmp.call("kqueue")
    assert tmp.error("fcntl", kq, F_SETFL, O_NONBLOCK) == "ENOTTY"
    assert tmp.call("fcntl", kq, F_GETFL, 0) == O_RDWR


def test_both_ends_of_a_fifo(tmp: Process) -> None:
    tmp.call("mkfifo", b"fifo", 0o600)
    both = tmp.call("open", b"fifo", O_RDWR, 0)
    reader = tmp.call("open", b"fifo", O_RDONLY | O_NONBLOCK, 0)
    own(tmp, both, tmp.p.pid)
    tmp.call("write", both, b"x")
    assert tmp.signals == [SIGIO]
    assert tmp.call("fcntl", reader, F_GETOWN, 0) == tmp.p.pid, "it is the FIFO that has an owner"
    tmp.call("read", reader, 1)
    assert tmp.signals == [SIGIO] * 2


@pytest.mark.parametrize("other", [False, True])
def test_a_server_raises_sigio(tmp_path: Path, other: bool) -> None:
    """The signal comes before the answer to the call that it is about; to another client it comes unasked."""
    getpid, pipe, fcntl, write = 20, 42, 92, 4
    with serving(tmp_path, program="rump_server") as served, Peer(served.path) as peer:
        peer.guest()
        ends = peer.call(pipe)
        with Peer(served.path) as child:
            child.guest()
            owner = (child if other else peer).call(getpid).retval
            peer.call(fcntl, ends.retval, F_SETFL, O_ASYNC)
            peer.call(fcntl, ends.retval, F_SETOWN, owner)
            call = peer.call(write, ends.retval2, 0x1000, 1, memory={0x1000: b"x"})
            assert (call.error, call.retval) == (0, 1)
            assert call.signals == ([] if other else [SIGIO])
            if other:
                frame = child.frame()
                assert frame is not None
                assert frame[1:] == (REQ, RAISE, SIGIO, b"")
