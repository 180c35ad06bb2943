"""fcntl locks, flock and O_EXLOCK for processes (netbsd_abi 1.3 and 3; fcntl(2), flock(2), t_vnops)."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from rumpfs.abi.errno import EINTR
from rumpfs.abi.fcntl import (
    F_CLOSEM,
    F_DUPFD,
    F_GETFL,
    F_GETLK,
    F_RDLCK,
    F_SETLK,
    F_SETLKW,
    F_UNLCK,
    F_WRLCK,
    FLOCK,
    LOCK_EX,
    LOCK_NB,
    LOCK_SH,
    LOCK_UN,
    O_CLOEXEC,
    O_CREAT,
    O_EXLOCK,
    O_NONBLOCK,
    O_RDONLY,
    O_RDWR,
    O_SHLOCK,
    O_WRONLY,
    SEEK_CUR,
    SEEK_END,
    SEEK_SET,
)
from rumpfs.base.copy import CopyIn
from rumpfs.base.errors import VfsError
from tests.kern.incore import USER, Machine, Process, Running
from tests.serving import REQ, SYSCALL, Frame, Peer, serving


def flock(kind: int, start: int = 0, length: int = 0, whence: int = SEEK_SET) -> bytes:
    return FLOCK.pack(start, length, 0, kind, whence)


def setlk(p: Process, fd: int, kind: int, start: int = 0, length: int = 0, whence: int = SEEK_SET) -> str:
    """Return the name of the errno that F_SETLK fails with, or ``ok``."""
    return p.error("fcntl", fd, F_SETLK, p.memory.map(flock(kind, start, length, whence)))


def setlkw(p: Process, fd: int, kind: int, start: int = 0, length: int = 0) -> Running:
    return p.begin("fcntl", fd, F_SETLKW, p.memory.map(flock(kind, start, length)))


def getlk(p: Process, fd: int, start: int = 0, length: int = 0, kind: int = F_RDLCK) -> tuple[int, ...]:
    """Return l_start, l_len, l_pid, l_type and l_whence that F_GETLK stores."""
    buffer = bytearray(flock(kind, start, length))
    assert p.call("fcntl", fd, F_GETLK, p.memory.map(buffer)) == 0
    return FLOCK.unpack(buffer)


@pytest.fixture
def other(machine: Machine, t: Process) -> Process:
    """Another process in /t."""
    process = machine.process()
    process.call("chdir", b"/t")
    return process


def opened(*processes: Process, flags: int = O_RDWR) -> list[int]:
    """Open the file /t/f in each process."""
    return [p.call("open", b"/t/f", flags | O_CREAT, 0o644) for p in processes]


# --- record locks -------------------------------------------------------------------------------------


def test_t_vnops_fcntl_lock(t: Process, other: Process) -> None:
    mine, theirs = opened(t, other)
    t.call("ftruncate", mine, 8192)
    assert setlk(t, mine, F_WRLCK, -1024, 10240, SEEK_END) == "ok"
    assert setlk(t, mine, F_WRLCK, -1024, 10240, SEEK_END) == "ok"
    assert setlk(other, theirs, F_WRLCK, -1024, 10240, SEEK_END) == "EAGAIN"
    assert getlk(other, theirs) == (7168, 10240, t.p.pid, F_WRLCK, SEEK_SET)
    assert setlk(t, mine, F_UNLCK, -1024, 10240, SEEK_END) == "ok"
    assert setlk(other, theirs, F_WRLCK, -1024, 10240, SEEK_END) == "ok"


def test_t_vnops_fcntl_getlock_pids(machine: Machine, t: Process) -> None:
    ranges = [(0, 2), (2, 1), (7, 5), (4, 3)]
    processes = [machine.process() for _ in range(5)]
    fds = opened(*processes)
    for p, fd, (start, length) in zip(processes[:4], fds, ranges, strict=False):
        assert setlk(p, fd, F_WRLCK, start, length) == "ok"
    asking, fd = processes[4], fds[4]
    found, start = [], 0
    while (lock := getlk(asking, fd, start))[3] != F_UNLCK:
        found.append(lock)
        start = lock[0] + lock[1]
    assert found == [
        (start, length, p.p.pid, F_WRLCK, SEEK_SET)
        for (start, length), p in sorted(zip(ranges, processes, strict=False), key=lambda item: item[0])
    ]


def test_getlk_leaves_everything_but_the_type_when_nothing_is_in_the_way(t: Process) -> None:
    (fd,) = opened(t)
    buffer = bytearray(FLOCK.pack(-3, 7, 4711, F_WRLCK, SEEK_END))
    t.call("ftruncate", fd, 100)
    t.call("fcntl", fd, F_GETLK, t.memory.map(buffer))
    assert FLOCK.unpack(buffer) == (-3, 7, 4711, F_UNLCK, SEEK_END)
    assert setlk(t, fd, F_WRLCK) == "ok"
    assert getlk(t, fd, kind=F_WRLCK)[3] == F_UNLCK  # its own


def test_ranges_from_where_the_offset_is(t: Process, other: Process) -> None:
    mine, theirs = opened(t, other)
    t.call("lseek", mine, 1000, SEEK_SET)
    assert setlk(t, mine, F_WRLCK, -10, 20, SEEK_CUR) == "ok"
    assert getlk(other, theirs) == (990, 20, t.p.pid, F_WRLCK, SEEK_SET)
    assert setlk(t, mine, F_WRLCK, -1001, 0, SEEK_CUR) == "EINVAL"
    assert setlk(t, mine, F_WRLCK, 0, 0, 3) == "EINVAL"
    assert setlk(t, mine, 0) == "EINVAL"
    assert setlk(t, mine, F_WRLCK, -1) == "EINVAL"
    assert t.error("fcntl", mine, F_GETLK, t.memory.map(flock(7))) == "EINVAL"


def test_a_lock_needs_the_mode_of_the_descriptor(t: Process) -> None:
    opened(t)
    reading = t.call("open", b"f", O_RDONLY, 0)
    writing = t.call("open", b"f", O_WRONLY, 0)
    assert setlk(t, reading, F_WRLCK) == "EBADF"
    assert setlk(t, writing, F_RDLCK) == "EBADF"
    assert setlk(t, reading, F_RDLCK) == setlk(t, writing, F_WRLCK) == "ok"
    assert setlk(t, reading, F_UNLCK) == "ok"
    assert getlk(t, reading, kind=F_WRLCK)[3] == F_UNLCK  # to ask needs none


def test_what_has_no_locks(t: Process) -> None:
    reader, writer = t.call("pipe")
    assert setlk(t, reader, F_RDLCK) == "EINVAL"
    assert t.error("flock", writer, LOCK_EX) == "EOPNOTSUPP"
    assert t.error("flock", 0, LOCK_EX) == "EOPNOTSUPP"
    assert setlk(t, 99, F_RDLCK) == "EBADF"
    assert t.error("flock", 99, LOCK_EX) == "EBADF"


def test_a_bad_descriptor_beats_a_bad_pointer(t: Process) -> None:
    (fd,) = opened(t)
    call = t.start("fcntl", 99, F_SETLK, 0xDEAD)
    with pytest.raises(VfsError):
        call.result  # noqa: B018 - it is over, without a request
    assert t.error("fcntl", fd, F_SETLK, 0xDEAD) == "EFAULT"
    assert t.error("fcntl", fd, F_GETLK, None) == "EFAULT"


def test_directories_and_devices_can_be_locked(machine: Machine, t: Process, other: Process) -> None:
    for path in (b"/t", b"/dev/null"):
        mine, theirs = (p.call("open", path, O_RDONLY, 0) for p in (t, other))
        assert setlk(t, mine, F_RDLCK) == "ok"
        assert other.error("flock", theirs, LOCK_EX | LOCK_NB) == "EAGAIN"


def test_waiting_for_a_lock(t: Process, other: Process) -> None:
    mine, theirs = opened(t, other)
    setlk(t, mine, F_WRLCK, 0, 10)
    waiting = setlkw(other, theirs, F_WRLCK, 5, 10)
    assert waiting.asleep
    setlk(t, mine, F_UNLCK, 0, 5)
    waiting.step()
    assert waiting.asleep
    setlk(t, mine, F_UNLCK)
    waiting.step()
    assert waiting.result == 0
    assert getlk(t, mine) == (5, 10, other.p.pid, F_WRLCK, SEEK_SET)


def test_a_deadlock(t: Process, other: Process) -> None:
    mine, theirs = opened(t, other)
    setlk(t, mine, F_WRLCK, 0, 1)
    setlk(other, theirs, F_WRLCK, 1, 1)
    waiting = setlkw(t, mine, F_WRLCK, 1, 1)
    assert other.error("fcntl", theirs, F_SETLKW, other.memory.map(flock(F_WRLCK, 0, 1))) == "EDEADLK"
    other.call("close", theirs)
    waiting.step()
    assert waiting.result == 0


def test_exec_and_disconnect_end_the_wait(t: Process, other: Process) -> None:
    mine, theirs = opened(t, other)
    setlk(t, mine, F_WRLCK)
    waiting = setlkw(other, theirs, F_WRLCK)
    waiting.throw(EINTR)
    with pytest.raises(VfsError) as caught:
        waiting.result  # noqa: B018
    assert caught.value.errno == EINTR
    setlk(t, mine, F_UNLCK)
    assert setlk(t, mine, F_WRLCK) == "ok"


# --- whose they are -----------------------------------------------------------------------------------


def test_any_close_of_the_file_ends_the_locks_of_the_process(t: Process, other: Process) -> None:
    mine, theirs = opened(t, other)
    again = t.call("open", b"f", O_RDONLY, 0)
    copy = t.call("dup", mine)
    unrelated = t.call("open", b"g", O_CREAT | O_RDWR, 0o644)
    for fd in (again, copy):
        assert setlk(t, mine, F_WRLCK) == "ok"
        assert setlk(other, theirs, F_RDLCK) == "EAGAIN"
        t.call("close", unrelated)
        assert setlk(other, theirs, F_RDLCK) == "EAGAIN"
        unrelated = t.call("open", b"g", O_RDWR, 0)
        t.call("close", fd)
        assert getlk(other, theirs)[3] == F_UNLCK


@pytest.mark.parametrize("how", ["dup2", "F_CLOSEM", "exec", "exit"])
def test_every_kind_of_close(machine: Machine, t: Process, other: Process, how: str) -> None:
    (theirs,) = opened(other)
    mine = t.call("open", b"f", O_RDWR | O_CLOEXEC, 0)
    setlk(t, mine, F_WRLCK)
    if how == "dup2":
        t.call("dup2", 0, mine)
    elif how == "F_CLOSEM":
        t.call("fcntl", 3, F_CLOSEM, 0)
    elif how == "exec":
        machine.kernel.exec(t.p, b"new")
    else:
        t.p.exit()
    assert setlk(other, theirs, F_WRLCK) == "ok"


def test_locks_outlive_an_exec(machine: Machine, t: Process, other: Process) -> None:
    mine, theirs = opened(t, other)
    setlk(t, mine, F_WRLCK)
    machine.kernel.exec(t.p, b"new")
    assert setlk(other, theirs, F_WRLCK) == "EAGAIN"


def test_a_child_has_none_of_the_locks(machine: Machine, t: Process) -> None:
    (fd,) = opened(t)
    setlk(t, fd, F_WRLCK)
    child = machine.fork(t)
    assert setlk(child, fd, F_RDLCK) == "EAGAIN"
    assert setlk(child, fd, F_UNLCK) == "ok"
    child.call("close", fd)
    assert getlk(machine.fork(t), fd)[2:4] == (t.p.pid, F_WRLCK)
    t.call("close", fd)
    again = t.call("open", b"f", O_RDWR, 0)
    assert getlk(t, again)[3] == F_UNLCK


def test_closing_while_another_call_waits_for_a_lock(t: Process, other: Process) -> None:
    mine, theirs = opened(t, other)
    setlk(t, mine, F_WRLCK)
    waiting = setlkw(other, theirs, F_WRLCK)
    other.call("close", theirs)
    waiting.step()
    with pytest.raises(VfsError, match="EBADF"):
        waiting.result  # noqa: B018
    setlk(t, mine, F_UNLCK)
    assert getlk(t, mine)[3] == F_UNLCK


def test_closing_while_the_structure_is_fetched(t: Process, other: Process) -> None:
    mine, theirs = opened(t, other)
    call = t.start("fcntl", mine, F_SETLK, t.memory.map(flock(F_WRLCK)))
    assert isinstance(call.request, CopyIn)
    assert call.request.length == 24
    t.call("close", mine)
    call.step()
    with pytest.raises(VfsError, match="EBADF"):
        call.result  # noqa: B018
    assert getlk(other, theirs)[3] == F_UNLCK


def test_too_many_locks(machine: Machine, t: Process) -> None:
    t.make(b"f")
    t.call("chmod", b"f", 0o666)
    user = machine.process(USER)
    (fd,) = opened(user)
    for number in range(1024):
        assert setlk(user, fd, F_RDLCK, 2 * number, 1) == "ok"
    assert setlk(user, fd, F_RDLCK, 5000, 1) == "ENOLCK"
    assert setlk(user, fd, F_UNLCK) == "ok"
    assert setlk(user, fd, F_RDLCK, 5000, 1) == "ok"


def test_nothing_is_left_at_the_end(machine: Machine, t: Process, other: Process) -> None:
    mine, theirs = opened(t, other)
    setlk(t, mine, F_WRLCK, 0, 1)
    assert other.error("flock", theirs, LOCK_EX | LOCK_NB) == "EAGAIN"
    waiting = other.begin("flock", theirs, LOCK_EX)
    waiting.throw(EINTR)
    t.p.exit()
    other.p.exit()
    assert machine.kernel.vfs is not None
    assert machine.kernel.vfs.advlocks.counts == {}
    assert machine.kernel.vfs.advlocks.waits == {}


# --- flock --------------------------------------------------------------------------------------------


def test_flock(t: Process, other: Process) -> None:
    mine, theirs = opened(t, other)
    assert t.call("flock", mine, LOCK_SH) == 0
    assert other.call("flock", theirs, LOCK_SH | LOCK_NB) == 0
    assert t.error("flock", mine, LOCK_EX | LOCK_NB) == "EAGAIN"
    assert getlk(t, mine, kind=F_WRLCK) == (0, 0, -1, F_RDLCK, SEEK_SET)
    other.call("flock", theirs, LOCK_UN)
    assert t.call("flock", mine, LOCK_EX | LOCK_NB) == 0
    assert other.error("flock", theirs, LOCK_SH | LOCK_NB) == "EAGAIN"
    for how in (0, LOCK_NB, LOCK_SH | LOCK_EX, 16):
        assert t.error("flock", mine, how) == "EINVAL"
    assert t.call("flock", mine, LOCK_UN | LOCK_NB) == 0


def test_flock_does_not_look_at_the_mode(t: Process) -> None:
    opened(t)
    for flags in (O_RDONLY, O_WRONLY):
        fd = t.call("open", b"f", flags, 0)
        assert t.call("flock", fd, LOCK_EX) == t.call("flock", fd, LOCK_SH) == 0
        t.call("close", fd)


def test_flock_belongs_to_the_open_file(machine: Machine, t: Process) -> None:
    (fd,) = opened(t)
    again = t.call("open", b"f", O_RDWR, 0)
    t.call("flock", fd, LOCK_EX)
    assert t.error("flock", again, LOCK_SH | LOCK_NB) == "EAGAIN"
    copy = t.call("fcntl", fd, F_DUPFD, 20)
    child = machine.fork(t)
    t.call("close", fd)
    for inherited in (fd, again):
        child.call("close", inherited)
    t.call("close", copy)
    assert t.error("flock", again, LOCK_SH | LOCK_NB) == "EAGAIN"
    child.call("flock", 20, LOCK_SH)  # any of its descriptors does
    assert t.call("flock", again, LOCK_SH | LOCK_NB) == 0
    child.call("flock", 20, LOCK_UN)
    assert t.call("flock", again, LOCK_EX | LOCK_NB) == 0
    t.call("close", again)
    child.call("flock", 20, LOCK_EX)
    child.call("close", 20)
    fd = t.call("open", b"f", O_RDWR, 0)
    assert t.call("flock", fd, LOCK_EX | LOCK_NB) == 0


def test_waiting_for_flock(t: Process, other: Process) -> None:
    mine, theirs = opened(t, other)
    t.call("flock", mine, LOCK_EX)
    waiting = other.begin("flock", theirs, LOCK_EX)
    assert waiting.asleep
    t.call("close", mine)
    waiting.step()
    assert waiting.result == 0
    (mine,) = opened(t)
    waiting = t.begin("flock", mine, LOCK_SH)
    t.call("close", mine)
    waiting.step()
    with pytest.raises(VfsError, match="EBADF"):
        waiting.result  # noqa: B018


def test_both_kinds_of_lock_are_in_each_others_way(t: Process, other: Process) -> None:
    mine, theirs = opened(t, other)
    setlk(t, mine, F_WRLCK, 10, 1)
    assert other.error("flock", theirs, LOCK_SH | LOCK_NB) == "EAGAIN"
    setlk(t, mine, F_UNLCK)
    other.call("flock", theirs, LOCK_EX)
    assert setlk(t, mine, F_RDLCK, 10, 1) == "EAGAIN"


# --- open with a lock ---------------------------------------------------------------------------------


def test_open_with_a_lock(t: Process, other: Process) -> None:
    mine = t.call("open", b"f", O_CREAT | O_RDWR | O_EXLOCK, 0o644)
    assert t.call("fcntl", mine, F_GETFL, 0) == O_RDWR
    assert other.error("open", b"/t/f", O_RDONLY | O_SHLOCK | O_NONBLOCK, 0) == "EAGAIN"
    assert other.call("fcntl", 0, 11, 0) == 2  # no descriptor is left
    plain = other.call("open", b"/t/f", O_RDONLY, 0)  # locks are advice
    waiting = other.begin("open", b"/t/f", O_RDONLY | O_SHLOCK, 0)
    assert waiting.asleep
    t.call("flock", mine, LOCK_SH)
    waiting.step()
    assert waiting.result == plain + 1
    assert t.error("flock", mine, LOCK_EX | LOCK_NB) == "EAGAIN"
    other.call("close", waiting.result)
    assert t.call("flock", mine, LOCK_EX | LOCK_NB) == 0


def test_an_open_that_waits_for_a_lock_ends_without_a_trace(
    machine: Machine, t: Process, other: Process
) -> None:
    t.call("open", b"f", O_CREAT | O_RDWR | O_EXLOCK, 0o644)
    before = machine.busy()
    waiting = other.begin("open", b"/t/f", O_RDWR | O_EXLOCK, 0)
    assert waiting.asleep
    waiting.throw(EINTR)
    assert machine.busy() == before
    assert other.call("fcntl", 0, 11, 0) == 2


# --- over the socket ----------------------------------------------------------------------------------


def test_a_client_that_disconnects_gives_its_locks_back(tmp_path: Path) -> None:
    memory = {0x1000: b"/f\0", 0x2000: flock(F_WRLCK)}
    with serving(tmp_path, "-lrumpvfs", program="rump_server") as served, Peer(served.path) as waiting:
        waiting.guest()
        with Peer(served.path) as holder:
            holder.guest()
            for peer in (holder, waiting):
                assert peer.call(5, 0x1000, O_CREAT | O_RDWR, 0o644, memory=memory).retval == 3
            assert holder.call(92, 3, F_SETLK, 0x2000, memory=memory).error == 0
            assert waiting.call(92, 3, F_SETLK, 0x2000, memory=memory).error == 35
            slots = struct.pack("<3Q", 3, F_SETLKW, 0x2000)
            waiting.send(Frame(7, REQ, SYSCALL, 92, slots).encode())
            assert waiting.call(131, 3, LOCK_SH | LOCK_NB, memory=memory).error == 35
        assert waiting.finish(7, memory).error == 0
