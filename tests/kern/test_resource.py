"""Limits (kern_resource.c; getrlimit(2), setrlimit(2)) and what they do."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from rumpfs.abi.fcntl import F_DUPFD, O_APPEND, O_CREAT, O_RDWR, O_WRONLY
from tests.kern.incore import USER, Machine, Process
from tests.serving import Peer, serving

FSIZE, STACK, NPROC, NOFILE = 1, 3, 7, 8
NLIMITS = 12
INFINITY = (1 << 63) - 1
SIGXFSZ = 25
OPEN_MAX = 128


def rlimit(soft: int, hard: int) -> bytes:
    return struct.pack("<QQ", soft, hard)


def limits(p: Process, which: int) -> tuple[int, int]:
    soft, hard = struct.unpack("<QQ", p.call("getrlimit", which))
    return soft, hard


def test_what_processes_begin_with(p: Process) -> None:
    assert limits(p, FSIZE) == (INFINITY, INFINITY)
    soft, hard = limits(p, NOFILE)
    assert soft == OPEN_MAX <= hard
    for which in range(NLIMITS):
        soft, hard = limits(p, which)
        assert soft <= hard <= INFINITY


@pytest.mark.parametrize("which", [-1, NLIMITS, 1000])
def test_there_are_twelve(p: Process, which: int) -> None:
    assert p.error("getrlimit", which) == "EINVAL"
    assert p.error("setrlimit", which, rlimit(1, 1)) == "EINVAL"


def test_a_soft_limit_is_at_most_the_hard_one(p: Process) -> None:
    assert p.error("setrlimit", FSIZE, rlimit(11, 10)) == "EINVAL"
    assert p.error("setrlimit", FSIZE, rlimit(10, 10)) == "ok"
    assert limits(p, FSIZE) == (10, 10)
    assert p.error("setrlimit", FSIZE, None) == "EFAULT"
    assert p.error("setrlimit", -1, None) == "EFAULT", "it is fetched first"


def test_only_root_raises_a_hard_limit(machine: Machine, p: Process) -> None:
    user = machine.process(USER)
    assert user.error("setrlimit", FSIZE, rlimit(10, 100)) == "ok"
    assert user.error("setrlimit", FSIZE, rlimit(100, 100)) == "ok"
    assert user.error("setrlimit", FSIZE, rlimit(100, 101)) == "EPERM"
    assert limits(user, FSIZE) == (100, 100)
    assert p.error("setrlimit", FSIZE, rlimit(1, 1)) == "ok"
    assert p.error("setrlimit", FSIZE, rlimit(1, 2)) == "ok"


@pytest.mark.parametrize("which", [NOFILE, NPROC])
def test_some_have_a_ceiling(p: Process, which: int) -> None:
    _, hard = limits(p, which)
    assert p.error("setrlimit", which, rlimit(INFINITY, INFINITY)) == "ok"
    assert limits(p, which) == (hard, hard)


def test_limits_are_inherited_and_then_apart(machine: Machine, p: Process) -> None:
    p.call("setrlimit", FSIZE, rlimit(5, 50))
    p.call("setrlimit", NOFILE, rlimit(7, 70))
    child = machine.fork(p)
    assert limits(child, FSIZE) == (5, 50)
    assert limits(child, NOFILE) == (7, 70)
    child.call("setrlimit", FSIZE, rlimit(6, 50))
    child.call("setrlimit", NOFILE, rlimit(8, 70))
    assert limits(p, FSIZE) == (5, 50)
    assert limits(p, NOFILE) == (7, 70)
    assert limits(machine.process(), FSIZE) == (INFINITY, INFINITY)


# --- descriptors --------------------------------------------------------------------------------------


def test_descriptors_end_at_the_soft_limit(p: Process) -> None:
    p.call("setrlimit", NOFILE, rlimit(5, 100))
    assert [p.call("dup", 0) for _ in range(2)] == [3, 4]
    assert p.error("dup", 0) == "EMFILE"
    assert p.error("pipe") == "EMFILE"
    assert p.error("dup2", 0, 5) == "EBADF"
    assert p.error("fcntl", 0, F_DUPFD, 5) == "EINVAL"
    p.call("setrlimit", NOFILE, rlimit(6, 100))
    assert p.call("dup", 0) == 5


def test_descriptors_above_a_lowered_limit_stay_open(p: Process) -> None:
    assert p.call("fcntl", 0, F_DUPFD, 50) == 50
    p.call("setrlimit", NOFILE, rlimit(10, 100))
    assert p.error("close", 50) == "ok"
    assert p.error("fcntl", 0, F_DUPFD, 50) == "EINVAL"


# --- sizes --------------------------------------------------------------------------------------------


def refused(p: Process, name: str, *args: object) -> bool:
    """Whether a call fails as a write beyond the limit does."""
    p.signals.clear()
    error = p.error(name, *args)
    assert (error, p.signals) in [("EFBIG", [SIGXFSZ]), ("ok", [])]
    return error == "EFBIG"


@pytest.mark.parametrize("flags", [0, O_APPEND])
def test_a_write_beyond_the_limit_is_efbig_and_sigxfsz(t: Process, flags: int) -> None:
    p = t
    fd = p.call("open", b"file", O_CREAT | O_RDWR | flags, 0o644)
    p.call("setrlimit", FSIZE, rlimit(10, 10))
    assert p.call("write", fd, b"12345678") == 8
    assert refused(p, "write", fd, b"9ab")
    assert p.stat(b"file").size == 8, "nothing of it is written"
    assert p.call("write", fd, b"9a") == 2
    assert refused(p, "write", fd, b"b")
    assert p.content(b"file") == b"123456789a"


def test_the_limit_counts_from_where_the_write_begins(tmp: Process) -> None:
    p = tmp
    fd = p.call("open", b"file", O_CREAT | O_WRONLY, 0o644)
    p.call("setrlimit", FSIZE, rlimit(10, 10))
    assert not refused(p, "pwrite", fd, b"12345", 5)
    assert refused(p, "pwrite", fd, b"12345", 6)
    assert refused(p, "pwrite", fd, b"1", 1 << 40)
    assert not refused(p, "writev", fd, p.iovec(b"12345", b"67890"), 2)
    p.call("lseek", fd, 0, 0)
    assert refused(p, "writev", fd, p.iovec(b"12345", b"678901"), 2), "all pieces count"
    assert refused(p, "pwritev", fd, p.iovec(b"12345", b"678901"), 2, 0)
    assert p.call("lseek", fd, 0, 1) == 0


def test_appending_counts_from_the_end(tmp: Process) -> None:
    p = tmp
    p.make(b"file", b"1234567890")
    fd = p.call("open", b"file", O_WRONLY | O_APPEND, 0)
    p.call("setrlimit", FSIZE, rlimit(12, 12))
    assert refused(p, "pwrite", fd, b"abc", 0)
    assert not refused(p, "pwrite", fd, b"ab", 0)


def test_only_regular_files_are_limited(p: Process) -> None:
    p.call("setrlimit", FSIZE, rlimit(1, 1))
    _, writer = p.call("pipe")
    assert p.call("write", writer, b"more than that") == 14
    assert p.call("write", 1, b"console") == 7
    null = p.call("open", b"/dev/null", O_WRONLY, 0)
    assert p.call("write", null, b"more than that") == 14
    assert p.signals == []


def test_without_a_limit_nothing_is_raised(p: Process) -> None:
    p.call("setrlimit", FSIZE, rlimit(INFINITY, INFINITY))
    fd = p.call("open", b"/file", O_CREAT | O_WRONLY, 0o644)
    assert p.call("write", fd, b"text") == 4
    assert p.signals == []


def test_the_client_gets_the_signal(tmp_path: Path) -> None:
    with serving(tmp_path, "-lrumpvfs", program="rump_server") as served, Peer(served.path) as peer:
        peer.guest()
        memory = {0x1000: b"/file\0", 0x2000: rlimit(4, 4), 0x3000: b"12345"}
        fd = peer.call(5, 0x1000, O_CREAT | O_WRONLY, 0o644, memory=memory).retval
        assert peer.call(195, FSIZE, 0x2000, memory=memory).error == 0
        assert peer.call(4, fd, 0x3000, 4, memory=memory).retval == 4
        call = peer.call(4, fd, 0x3000, 1, memory=memory)
        assert (call.error, call.signals) == (27, [SIGXFSZ])
