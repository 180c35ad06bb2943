"""ktrace(2), fktrace and utrace(2): the records that kdump(1) reads (sys/sys/ktrace.h)."""

from __future__ import annotations

import struct
import time
from pathlib import Path
from typing import NamedTuple

import pytest

from rumpfs.abi.errno import EINTR
from rumpfs.abi.fcntl import O_CREAT, O_NONBLOCK, O_RDONLY, O_RDWR
from rumpfs.vfs.cred import Cred
from tests.kern.incore import USER, Machine, Process
from tests.serving import Peer, serving

SET, CLEAR, CLEARFILE, DESCEND = 0, 1, 2, 4
SYSCALL, SYSRET, NAMEI, EMUL, USER_RECORD = 1, 2, 3, 7, 8
ALL = sum(1 << kind for kind in (SYSCALL, SYSRET, NAMEI, EMUL, USER_RECORD))
V0, V1, V2 = (version << 24 for version in range(3))
GETPID, READ, OPEN, SYMLINK = 20, 3, 5, 57
HEADER = 56


class Record(NamedTuple):
    kind: int
    version: int
    pid: int
    comm: bytes
    at: tuple[int, int]
    data: bytes


def records(data: bytes) -> list[Record]:
    found = []
    while data:
        length, kind, version, pid, comm = struct.unpack_from("<ihhi17s", data)
        at = struct.unpack_from("<qq" if version == 2 else "<i4xq", data, 32)
        found.append(
            Record(kind, version, pid, comm.rstrip(b"\0"), (at[0], at[1]), data[HEADER : HEADER + length])
        )
        data = data[HEADER + length :]
    return found


def call(record: Record) -> tuple[int, tuple[int, ...]]:
    """Return the number and the arguments of a KTR_SYSCALL."""
    number, size = struct.unpack_from("<ii", record.data)
    assert len(record.data) == 8 + size
    return number, struct.unpack_from(f"<{size // 8}Q", record.data, 8)


def result(record: Record) -> tuple[int, int, int, int]:
    """Return number, error and both values of a KTR_SYSRET."""
    number, _, error, first, second = struct.unpack("<hhiqq", record.data)
    return number, error, first, second


def start(p: Process, target: Process, facs: int = ALL, version: int = V2) -> None:
    p.make(b"/trace")
    p.call("ktrace", b"/trace", SET | version, facs, target.p.pid)


def stop(p: Process, facs: int = ALL) -> list[Record]:
    p.call("ktrace", b"/trace", CLEARFILE, facs, 0)
    return records(p.content(b"/trace"))


@pytest.fixture
def pair(machine: Machine) -> tuple[Process, Process]:
    """One that traces, and one that is traced."""
    return machine.process(), machine.process()


def test_calls_paths_and_results(pair: tuple[Process, Process]) -> None:
    p, traced = pair
    before = time.time()
    start(p, traced)
    fd = traced.call("open", b"/new", O_CREAT | O_RDWR, 0o644)
    traced.call("write", fd, b"abc")
    assert traced.error("open", b"/missing", O_RDONLY, 0) == "ENOENT"
    traced.call("symlink", b"/new", b"/link")
    traced.call("getpid")
    emul, *rest = stop(p)
    assert (emul.kind, emul.data) == (EMUL, b"netbsd")
    kinds = [record.kind for record in rest]
    assert kinds == [
        SYSCALL, NAMEI, SYSRET, SYSCALL, SYSRET, SYSCALL, NAMEI, SYSRET, SYSCALL, NAMEI, NAMEI, SYSRET,
        SYSCALL, SYSRET,
    ]  # fmt: skip
    for record in rest:
        assert (record.version, record.pid, record.comm) == (2, traced.p.pid, b"test")
        assert before - 1 <= record.at[0] <= time.time()
    assert call(rest[0])[0] == OPEN
    assert call(rest[0])[1][1:] == (O_CREAT | O_RDWR, 0o644)
    assert rest[1].data == b"/new"
    assert result(rest[2]) == (OPEN, 0, fd, 0)
    assert call(rest[3])[1][::2] == (fd, 3)
    assert result(rest[7]) == (OPEN, 2, 0, 0)
    assert [rest[9].data, rest[10].data] == [b"/new", b"/link"]
    assert result(rest[13]) == (GETPID, 0, traced.p.pid, 1)
    assert traced.p.sysent is traced.p.kernel.sysent


def test_only_the_facilities_that_are_asked_for(pair: tuple[Process, Process]) -> None:
    p, traced = pair
    start(p, traced, 1 << SYSRET)
    traced.call("getpid")
    p.call("ktrace", b"/trace", SET | V2, 1 << SYSCALL, traced.p.pid)
    traced.call("getppid")
    p.call("ktrace", b"/trace", CLEAR, 1 << SYSRET, traced.p.pid)
    traced.call("getuid")
    p.call("ktrace", b"/trace", CLEAR, 1 << SYSCALL, traced.p.pid)
    traced.call("getgid")
    assert [record.kind for record in stop(p)] == [SYSRET, SYSCALL, SYSRET, SYSCALL]


def test_a_call_that_sleeps_and_is_interrupted(pair: tuple[Process, Process]) -> None:
    p, traced = pair
    reader, writer = traced.call("pipe")
    start(p, traced, 1 << SYSRET)
    reading = traced.begin("read", reader, 10)
    reading.throw(EINTR)
    reading = traced.begin("read", reader, 10)
    traced.call("write", writer, b"abc")
    reading.step()
    assert [result(record)[:3] for record in stop(p)] == [(READ, 4, 0), (4, 0, 3), (READ, 0, 3)]


@pytest.mark.parametrize(("version", "unit"), [(V0, 1_000_000), (V1, 1_000_000_000), (V2, 1_000_000_000)])
def test_versions_of_records(pair: tuple[Process, Process], version: int, unit: int) -> None:
    p, traced = pair
    before = time.time_ns()
    start(p, traced, 1 << SYSCALL, version)
    traced.call("getpid")
    (record,) = stop(p)
    assert record.version == version >> 24
    seconds, fraction = record.at
    assert before // (10**9 // unit) <= seconds * unit + fraction <= time.time_ns()
    assert 0 <= fraction < unit


def test_utrace(pair: tuple[Process, Process]) -> None:
    p, traced = pair
    assert traced.call("utrace", b"mark\0", b"payload", 7) == 0, "nobody listens"
    assert traced.call("utrace", None, None, 1 << 40) == 0
    start(p, traced, 1 << USER_RECORD)
    traced.call("utrace", b"mark\0", b"payload", 7)
    traced.call("utrace", b"a label that is too long\0", b"", 0)
    assert traced.error("utrace", b"mark\0", bytes(2049), 2049) == "ENOSPC"
    assert traced.error("utrace", b"mark\0", None, 4) == "EFAULT"
    assert [record.data for record in stop(p)] == [
        b"mark".ljust(20, b"\0") + b"payload", bytes(20), b"mark".ljust(20, b"\0") + bytes(4),
    ]  # fmt: skip


def test_a_pipe_takes_records_too_and_never_blocks_the_traced(pair: tuple[Process, Process]) -> None:
    p, traced = pair
    reader, writer = p.call("pipe")
    p.call("fktrace", writer, SET | V2, 1 << SYSCALL, traced.p.pid)
    p.call("close", writer)
    traced.call("getpid")
    assert [call(record)[0] for record in records(p.call("read", reader, 4096))] == [GETPID]
    for _ in range(1000):
        traced.call("getpid")
    p.call("close", reader)
    traced.call("getpid")
    assert traced.p.ktrace is None, "nobody reads any more"


def test_groups_and_children(machine: Machine) -> None:
    p, leader, member = (machine.process() for _ in range(3))
    leader.call("setpgid", 0, 0)
    machine.kernel.pgrps.move(member.p, leader.p.pgrp)
    p.make(b"/trace")
    p.call("ktrace", b"/trace", SET | V2, ALL, -leader.p.pid)
    assert [q.p.ktrace is not None for q in (p, leader, member)] == [False, True, True]
    p.call("ktrace", b"/trace", CLEAR, ALL, 1)
    p.call("ktrace", b"/trace", CLEAR | DESCEND, ALL, 1)
    assert [q.p.ktrace is not None for q in (p, leader, member)] == [False, False, False]
    child = machine.fork(leader)
    assert child.p.ktrace is None


def test_the_file_is_open_until_the_last_traced_process_ends(machine: Machine) -> None:
    p, first, second = (machine.process() for _ in range(3))
    busy = machine.busy()[b"/"]
    start(p, first)
    p.call("ktrace", b"/trace", SET | V2, ALL, second.p.pid)
    assert first.p.ktrace is not None
    assert second.p.ktrace is not None
    assert first.p.ktrace.ktd is second.p.ktrace.ktd
    first.p.exit()
    second.call("getpid")
    second.p.exit()
    assert machine.busy()[b"/"] == busy - 4, "two directories of each"
    assert {record.pid for record in records(p.content(b"/trace"))} == {second.p.pid}


def test_who_may_trace_whom(machine: Machine) -> None:
    root, user = machine.process(), machine.process(USER)
    same, changed, other = (
        machine.process(USER),
        machine.process(USER),
        machine.process(Cred(2, 2, 2, 2, 2, 2)),
    )
    changed.p.sugid = True
    root.make(b"/trace")
    root.call("chmod", b"/trace", 0o666)
    for target, error in [(same, "ok"), (root, "EPERM"), (changed, "EPERM"), (other, "EPERM")]:
        assert user.error("ktrace", b"/trace", SET | V2, ALL, target.p.pid) == error
    assert root.error("ktrace", b"/trace", SET | V2, ALL, other.p.pid) == "ok"
    assert user.error("ktrace", b"/trace", CLEARFILE, ALL, 0) == "EPERM"
    assert same.p.ktrace is None
    assert other.p.ktrace is not None


def test_errors(p: Process) -> None:
    p.make(b"/trace")
    pid = p.p.pid
    fd = p.call("open", b"/trace", O_RDONLY, 0)
    for name, first, ops, facs, target, error in [
        ("ktrace", None, SET | V2, ALL, pid, "EFAULT"),
        ("ktrace", b"/missing", SET | V2, ALL, pid, "ENOENT"),
        ("ktrace", b"/dev", SET | V2, ALL, pid, "EISDIR"),
        ("ktrace", b"/dev/null", SET | V2, ALL, pid, "EACCES"),
        ("ktrace", b"/trace", SET | V2, 0, pid, "EINVAL"),
        ("ktrace", b"/trace", SET | V2, ALL, 4321, "ESRCH"),
        ("ktrace", b"/trace", SET | V2, ALL, -4321, "ESRCH"),
        ("ktrace", b"/trace", SET | 3 << 24, ALL, pid, "EPERM"),
        ("fktrace", fd, SET | V2, ALL, pid, "EBADF"),
        ("fktrace", 77, SET | V2, ALL, pid, "EBADF"),
    ]:
        assert p.error(name, first, ops, facs, target) == error, (name, first, ops, facs, target)
    assert p.p.ktrace is None
    assert p.error("ktrace", None, CLEAR, ALL, pid) == "ok"


def test_an_error_of_the_file_ends_the_trace(tmp: Process, machine: Machine) -> None:
    tmp.call("mkdir", b"small", 0o755)
    tmp.mount_tmpfs(b"small", size=8192)
    tmp.make(b"small/trace")
    traced = machine.process()
    tmp.call("ktrace", b"small/trace", SET | V2, ALL, traced.p.pid)
    calls = 0
    while traced.p.ktrace is not None:
        traced.call("getpid")
        calls += 1
        assert calls < 1000
    tmp.call("unmount", b"small", 0)


@pytest.mark.parametrize("facs", [1 << SYSCALL, ALL])
def test_what_cannot_be_written_at_all(p: Process, facs: int) -> None:
    p.call("fktrace", p.call("kqueue"), SET | V2, facs, p.p.pid)
    assert p.p.ktrace is not None
    assert p.call("getpid")[0] == p.p.pid
    assert p.p.ktrace is None


def test_a_client_traces_itself(tmp_path: Path) -> None:
    ktrace, getpid, open_, read = 45, 20, 5, 3
    memory = {0x1000: b"/trace\0"}
    with serving(tmp_path, "-lrumpvfs", program="rump_server") as served, Peer(served.path) as peer:
        peer.guest()
        fd = peer.call(open_, 0x1000, O_CREAT | O_RDWR | O_NONBLOCK, 0o600, memory=memory).retval
        pid = peer.call(getpid).retval
        assert peer.call(ktrace, 0x1000, SET | V2, ALL, pid, memory=memory).error == 0
        peer.call(getpid)
        peer.call(open_, 0x1000, O_RDONLY, 0, memory=memory)
        assert peer.call(ktrace, 0x1000, CLEARFILE, 0, 0, memory=memory).error == 0
        found = records(peer.call(read, fd, 0x2000, 4096).data)
    kinds = [record.kind for record in found]
    assert kinds == [EMUL, SYSCALL, SYSRET, SYSCALL, NAMEI, SYSRET, SYSCALL, NAMEI]
    assert found[4].data == b"/trace"
    assert result(found[2]) == (getpid, 0, pid, 1)
