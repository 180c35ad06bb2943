"""kqueue and kevent (kqueue(2); NetBSD's tests/kernel/kqueue)."""

from __future__ import annotations

import struct
import time

import pytest

from rumpfs.abi import errno
from rumpfs.abi.errno import EBADF, EINVAL, ENOENT, EOPNOTSUPP
from rumpfs.abi.fcntl import (
    F_GETFD,
    F_GETFL,
    F_SETFD,
    FD_CLOEXEC,
    O_APPEND,
    O_CLOEXEC,
    O_NONBLOCK,
    O_RDONLY,
    O_RDWR,
)
from rumpfs.base.copy import CopyIn, CopyOut, Sleep
from tests.kern.incore import Machine, Process, Running
from tests.kern.kqueue_util import (
    ADD,
    ALL_NOTES,
    CLEAR,
    DELETE,
    DISABLE,
    DISPATCH,
    ENABLE,
    EOF,
    ERROR,
    ONESHOT,
    READ,
    RECEIPT,
    SIZE,
    VNODE,
    WRITE,
    Kevent,
    begin,
    decode,
    finish,
    kevent,
    watch,
)

PIPE_SIZE, PIPE_BUF = 16384, 512
CONSOLE = 1


def error(p: Process, kq: int, change: Kevent) -> int:
    """Return the errno that a change is answered with, in the event list."""
    (event,) = kevent(p, kq, change)
    assert event == change._replace(flags=ERROR, data=event.data)
    return event.data


def deadline(running: Running) -> float:
    assert running.asleep
    assert isinstance(running.request, Sleep)
    assert running.request.deadline is not None
    return running.request.deadline - time.monotonic()


@pytest.fixture
def ends(p: Process) -> tuple[int, int]:
    reader, writer = p.call("pipe")
    return reader, writer


# --- the descriptor ---------------------------------------------------------------------------------------


def test_a_kqueue_is_a_descriptor(p: Process) -> None:
    kq = p.call("kqueue")
    assert kq == 3
    assert p.call("fcntl", kq, F_GETFL, 0) == O_RDWR
    assert p.call("fcntl", kq, F_GETFD, 0) == 0
    st = p.fstat(kq)
    assert (st.mode & 0o170000, st.size, st.blocksize) == (0o010000, 0, SIZE)
    assert p.error("read", kq, 1) == "ENXIO"
    assert p.error("write", kq, b"x") == "ENXIO"
    assert p.error("lseek", kq, 0, 0) == "ESPIPE"
    assert p.error("fsync", kq) == "EINVAL"


def test_kqueue1(p: Process) -> None:
    kq = p.call("kqueue1", O_CLOEXEC | O_NONBLOCK | O_APPEND)
    assert p.call("fcntl", kq, F_GETFD, 0) == FD_CLOEXEC
    assert p.call("fcntl", kq, F_GETFL, 0) == O_RDWR | O_NONBLOCK


def test_a_forked_process_has_no_kqueue(machine: Machine, p: Process, ends: tuple[int, int]) -> None:
    kq = watch(p, ends[0], READ)
    p.call("fcntl", kq, F_SETFD, FD_CLOEXEC)
    child = machine.fork(p)
    assert child.error("fcntl", kq, F_GETFL, 0) == "EBADF"
    assert child.call("dup", CONSOLE) == kq  # the number is free, and has no marks
    assert child.call("fcntl", kq, F_GETFD, 0) == 0
    child.call("close", ends[0])
    child.p.exit()
    p.call("write", ends[1], b"x")
    assert [event.ident for event in kevent(p, kq)] == [ends[0]]


def test_exec_keeps_it_unless_it_is_marked(machine: Machine, p: Process, ends: tuple[int, int]) -> None:
    kept = watch(p, ends[0], READ)
    marked = p.call("kqueue1", O_CLOEXEC)
    watch(p, ends[0], READ, kq=marked)
    machine.kernel.exec(p.p, b"new")
    assert p.error("fcntl", marked, F_GETFL, 0) == "EBADF"
    p.call("write", ends[1], b"x")
    assert len(kevent(p, kept)) == 1


def test_a_file_that_is_no_kqueue(p: Process, ends: tuple[int, int]) -> None:
    for fd in (CONSOLE, ends[0], 99):
        assert p.error("__kevent50", fd, None, 0, None, 0, None) == "EBADF"


# --- changes ------------------------------------------------------------------------------------------------


def test_errors_of_changes(t: Process) -> None:
    reader, _ = t.call("pipe")
    t.make(b"f")
    file = t.call("open", b"f", O_RDONLY, 0)
    zero = t.call("open", b"/dev/zero", O_RDONLY, 0)
    kq = t.call("kqueue")
    for filt in (2, 4, 5, 6, 7, 0xFFFFFFFF):  # AIO, and what is not provided
        assert error(t, kq, Kevent(reader, filt, ADD)) == EINVAL
    for ident in (99, 2**31, 2**64 - 1):
        assert error(t, kq, Kevent(ident, READ, ADD, 5, 0, 7)) == EBADF
    assert error(t, kq, Kevent(reader, VNODE, ADD)) == EINVAL
    assert error(t, kq, Kevent(kq, WRITE, ADD)) == EINVAL
    assert error(t, kq, Kevent(zero, VNODE, ADD)) == EINVAL
    assert error(t, kq, Kevent(CONSOLE, READ, ADD)) == EOPNOTSUPP
    for action in (DELETE, ENABLE, DISABLE, 0):
        assert error(t, kq, Kevent(file, VNODE, action)) == ENOENT


def test_an_error_without_room_for_it_is_that_of_the_call(p: Process, ends: tuple[int, int]) -> None:
    kq = p.call("kqueue")
    changes = [Kevent(ends[0], READ, ADD), Kevent(99, READ, ADD), Kevent(ends[1], WRITE, ADD)]
    data = b"".join(change.encode() for change in changes)
    assert p.error("__kevent50", kq, data, 3, None, 0, None) == "EBADF"
    p.call("write", ends[1], b"x")
    assert [event.ident for event in kevent(p, kq)] == [ends[0]]  # the changes before it are made


def test_after_errors_nothing_is_waited_for(p: Process, ends: tuple[int, int]) -> None:
    kq = p.call("kqueue")
    changes = [Kevent(99, READ, ADD), Kevent(ends[1], WRITE, ADD), Kevent(98, READ, ADD)]
    assert [(event.ident, event.data) for event in kevent(p, kq, *changes)] == [(99, EBADF), (98, EBADF)]
    assert [event.ident for event in kevent(p, kq)] == [ends[1]]


def test_receipts(p: Process, ends: tuple[int, int]) -> None:
    kq = p.call("kqueue")
    change = Kevent(ends[1], WRITE, ADD | RECEIPT, 0, 0, 5)
    assert error(p, kq, change) == 0
    assert p.call("__kevent50", kq, change.encode(), 1, None, 0, None) == 0


def test_flags_of_the_system_do_not_come_from_outside(p: Process, ends: tuple[int, int]) -> None:
    kq = p.call("kqueue")
    (event,) = kevent(p, kq, Kevent(ends[1], WRITE, ADD | 0xF000))
    assert event.flags == ADD


def test_changes_are_fetched_and_events_stored_by_eights(p: Process) -> None:
    kq = p.call("kqueue")
    writers = [p.call("pipe")[1] for _ in range(20)]
    addr = p.memory.map(b"".join(Kevent(fd, WRITE, ADD).encode() for fd in writers))
    room = p.memory.map(bytearray(SIZE * 30))
    assert p.call("__kevent50", kq, addr, 20, room, 30, None) == 20
    fetched = [request for request in p.asked if isinstance(request, CopyIn)]
    assert fetched == [CopyIn(addr + SIZE * at, SIZE * count) for at, count in ((0, 8), (8, 8), (16, 4))]
    stored = [(ask.addr, len(ask.data)) for ask in p.asked if isinstance(ask, CopyOut)]
    assert stored == [(room + SIZE * at, SIZE * count) for at, count in ((0, 8), (8, 8), (16, 4))]


def test_bad_addresses_and_times(p: Process, ends: tuple[int, int]) -> None:
    kq = watch(p, ends[1], WRITE)
    wild = 0xDEAD0000
    room = bytearray(SIZE)
    assert p.error("__kevent50", kq, wild, 1, None, 0, None) == "EFAULT"
    assert p.error("__kevent50", kq, 2**64 - 8, 2**64 - 1, None, 0, None) == "EFAULT"
    assert p.error("__kevent50", kq, None, 0, wild, 1, None) == "EFAULT"
    assert p.error("__kevent50", kq, None, 0, room, 1, wild) == "EFAULT"
    assert p.error("__kevent50", 99, None, 0, room, 1, wild) == "EBADF"
    for seconds, nanoseconds in ((-1, 0), (0, -1), (0, 10**9)):
        bad = struct.pack("<qq", seconds, nanoseconds)
        assert p.error("__kevent50", kq, None, 0, room, 1, bad) == "EINVAL"
        assert p.call("__kevent50", kq, None, 0, None, 0, bad) == 0


def test_the_file_is_looked_at_before_the_rest(p: Process) -> None:
    assert p.error("__kevent50", CONSOLE, 1, 1, 1, 1, 1) == "EBADF"
    assert p.asked == []


# --- pipes ------------------------------------------------------------------------------------------------


def test_reading_a_pipe(p: Process, ends: tuple[int, int]) -> None:
    reader, writer = ends
    kq = p.call("kqueue")
    assert kevent(p, kq, Kevent(reader, READ, ADD | ENABLE, 0, 0, 0x1234567890ABCDEF)) == []
    p.call("write", writer, b"hello")
    event = Kevent(reader, READ, ADD | ENABLE, 0, 5, 0x1234567890ABCDEF)
    assert kevent(p, kq) == [event]
    assert kevent(p, kq) == [event]  # as long as it is so
    p.call("read", reader, 2)
    assert kevent(p, kq) == [event._replace(data=3)]
    p.call("read", reader, 10)
    assert kevent(p, kq) == []
    p.call("write", writer, b"again")
    assert kevent(p, kq) == [event]


def test_what_is_there_already(p: Process, ends: tuple[int, int]) -> None:
    p.call("write", ends[1], b"hello")
    assert [event.data for event in kevent(p, p.call("kqueue"), Kevent(ends[0], READ, ADD))] == [5]


def test_writing_a_pipe(p: Process, ends: tuple[int, int]) -> None:
    reader, writer = ends
    kq = watch(p, writer, WRITE)
    assert kevent(p, kq) == [Kevent(writer, WRITE, ADD, 0, PIPE_SIZE)]
    p.call("write", writer, bytes(PIPE_SIZE - PIPE_BUF + 1))
    assert kevent(p, kq) == []
    p.call("read", reader, 1)
    assert kevent(p, kq) == [Kevent(writer, WRITE, ADD, 0, PIPE_BUF)]


def test_a_writer_that_goes(p: Process, ends: tuple[int, int]) -> None:
    reader, writer = ends
    kq = watch(p, reader, READ)
    p.call("write", writer, b"rest")
    p.call("close", writer)
    assert kevent(p, kq) == [Kevent(reader, READ, ADD | EOF, 0, 4)]
    p.call("read", reader, 10)
    assert kevent(p, kq) == [Kevent(reader, READ, ADD | EOF, 0, 0)]


@pytest.mark.parametrize("early", [False, True])
def test_a_reader_that_goes(p: Process, ends: tuple[int, int], early: bool) -> None:
    """write/t_pipe: pipe1: no room remains, whether it went before or after."""
    reader, writer = ends
    if early:
        p.call("close", reader)
    kq = watch(p, writer, WRITE, ENABLE)
    if not early:
        p.call("close", reader)
    assert kevent(p, kq) == [Kevent(writer, WRITE, ADD | ENABLE | EOF, 0, 0)]
    p.call("close", writer)  # pipe3
    assert kevent(p, kq) == []


def test_the_wrong_end_never_triggers(p: Process, ends: tuple[int, int]) -> None:
    """write/t_pipe: pipe_wrong_end."""
    reader, writer = ends
    kq = watch(p, reader, WRITE)
    watch(p, writer, READ, kq=kq)
    p.call("write", writer, b"foo")
    assert kevent(p, kq) == []


def test_oneshot(p: Process, ends: tuple[int, int]) -> None:
    kq = watch(p, ends[0], READ, ONESHOT)
    assert kevent(p, kq) == []
    p.call("write", ends[1], b"hello")
    assert [event.data for event in kevent(p, kq)] == [5]
    assert kevent(p, kq) == []
    assert error(p, kq, Kevent(ends[0], READ, DELETE)) == ENOENT


def test_clear(p: Process, ends: tuple[int, int]) -> None:
    reader, writer = ends
    kq = watch(p, reader, READ, CLEAR)
    p.call("write", writer, b"hello")
    p.call("write", writer, b"!")
    assert [event.data for event in kevent(p, kq)] == [6]
    assert kevent(p, kq) == []
    p.call("write", writer, b"?")
    assert [event.data for event in kevent(p, kq)] == [7]
    p.call("write", writer, b".")
    p.call("read", reader, 100)
    assert kevent(p, kq) == []


def test_dispatch(p: Process, ends: tuple[int, int]) -> None:
    reader, writer = ends
    kq = watch(p, reader, READ, DISPATCH)
    p.call("write", writer, b"a")
    assert len(kevent(p, kq)) == 1
    p.call("write", writer, b"b")
    assert kevent(p, kq) == []
    assert [event.data for event in kevent(p, kq, Kevent(reader, READ, ENABLE))] == [2]


def test_disabling_and_enabling(p: Process, ends: tuple[int, int]) -> None:
    reader, writer = ends
    kq = watch(p, reader, READ, DISABLE)
    p.call("write", writer, b"a")
    assert kevent(p, kq) == []
    assert len(kevent(p, kq, Kevent(reader, READ, ENABLE))) == 1
    assert kevent(p, kq, Kevent(reader, READ, DISABLE)) == []
    assert len(kevent(p, kq, Kevent(reader, READ, ENABLE))) == 1


def test_deleting(p: Process, ends: tuple[int, int]) -> None:
    reader, writer = ends
    kq = watch(p, reader, READ)
    p.call("write", writer, b"a")
    assert kevent(p, kq, Kevent(reader, READ, DELETE)) == []
    assert p.fstat(kq).size == 0


def test_adding_again_changes_what_is_reported(p: Process, ends: tuple[int, int]) -> None:
    kq = watch(p, ends[0], READ)
    p.call("write", ends[1], b"a")
    assert kevent(p, kq, Kevent(ends[0], READ, ADD | ONESHOT, 0, 0, 9)) == [
        Kevent(ends[0], READ, ADD, 0, 1, 9)
    ]
    assert len(kevent(p, kq)) == 1  # as it was added first


def test_room_for_fewer_events_than_there_are(p: Process) -> None:
    """Those that come in the next call are the others."""
    kq = p.call("kqueue")
    writers = [p.call("pipe")[1] for _ in range(5)]
    for fd in writers:
        watch(p, fd, WRITE, kq=kq)
    assert p.fstat(kq).size == 5
    assert [event.ident for event in kevent(p, kq, room=2)] == writers[:2]
    assert [event.ident for event in kevent(p, kq, room=2)] == writers[2:4]
    assert [event.ident for event in kevent(p, kq, room=4)] == [writers[4], *writers[:3]]
    assert [event.ident for event in kevent(p, kq, room=100)] == [*writers[3:], *writers[:3]]


# --- closing ----------------------------------------------------------------------------------------------


def test_a_closed_descriptor_is_watched_no_longer(t: Process) -> None:
    reader, writer = t.call("pipe")
    t.make(b"f", b"content")
    file = t.call("open", b"f", O_RDWR, 0)
    kq = watch(t, reader, READ)
    watch(t, file, VNODE, 0, ALL_NOTES, kq)
    watch(t, file, READ, kq=kq)
    queue = t.p.fget(reader).selqueues()[0]
    copies = [t.call("dup", fd) for fd in (reader, file)]
    assert len(queue) == 1
    t.call("write", writer, b"x")
    t.call("close", reader)
    t.call("close", file)
    assert len(queue) == 0
    t.call("chmod", b"f", 0)
    assert kevent(t, kq) == []
    assert t.p.fget(copies[1]).f_vnode.v_klist is None
    t.call("pipe")  # takes the descriptors
    assert error(t, kq, Kevent(reader, READ, DELETE)) == ENOENT


def test_dup2_closes(p: Process, ends: tuple[int, int]) -> None:
    kq = watch(p, ends[1], WRITE)
    p.call("dup2", ends[0], ends[1])
    assert kevent(p, kq) == []


def test_a_closed_kqueue_watches_no_longer(t: Process) -> None:
    reader, _ = t.call("pipe")
    t.make(b"f")
    file = t.call("open", b"f", O_RDWR, 0)
    kq = watch(t, reader, READ)
    watch(t, file, VNODE, 0, ALL_NOTES, kq)
    copy = t.call("dup", kq)
    t.call("close", kq)
    queue = t.p.fget(reader).selqueues()[0]
    assert len(queue) == 1
    t.call("close", copy)
    assert len(queue) == 0
    assert t.p.fget(file).f_vnode.v_klist is None
    assert t.p.fd.knotes == {}


def test_exit(machine: Machine, t: Process) -> None:
    busy = machine.busy()
    other = machine.process()
    other.call("chdir", b"/t")
    other.make(b"f")
    for _ in range(3):
        kq = watch(other, other.call("open", b"f", O_RDONLY, 0), VNODE, 0, ALL_NOTES)
        watch(other, kq, READ)
    other.p.exit()
    assert machine.busy() == busy


# --- waiting ----------------------------------------------------------------------------------------------


def test_it_sleeps_until_something_comes(p: Process, ends: tuple[int, int]) -> None:
    kq = watch(p, ends[0], READ)
    waiting = begin(p, kq, [])
    assert waiting.asleep
    assert waiting.request.deadline is None
    p.call("write", ends[1], b"x")
    waiting.step()
    assert [event.ident for event in finish(p, waiting)] == [ends[0]]


def test_it_sleeps_on_when_it_is_over(p: Process, ends: tuple[int, int]) -> None:
    kq = watch(p, ends[0], READ)
    waiting = begin(p, kq, [])
    p.call("write", ends[1], b"x")
    p.call("read", ends[0], 1)
    waiting.step()
    assert waiting.asleep
    p.call("write", ends[1], b"x")
    waiting.step()
    assert waiting.result == 1


def test_a_deadline(p: Process, ends: tuple[int, int]) -> None:
    kq = watch(p, ends[0], READ)
    waiting = begin(p, kq, [], timeout=struct.pack("<qq", 100, 500_000_000))
    assert 99 < deadline(waiting) <= 100.5
    waiting._send(False)
    assert waiting.result == 0
    assert len(p.p.fget(kq).selqueues()[0]) == 0


def test_an_interruption(p: Process, ends: tuple[int, int]) -> None:
    kq = watch(p, ends[0], READ)
    waiting = begin(p, kq, [])
    waiting.throw(errno.EINTR)
    with pytest.raises(Exception, match="EINTR"):
        _ = waiting.result
    p.call("write", ends[1], b"x")
    assert len(kevent(p, kq)) == 1


def test_a_change_wakes_a_sleeper(p: Process, ends: tuple[int, int]) -> None:
    kq = p.call("kqueue")
    waiting = begin(p, kq, [])
    room = p.room
    watch(p, ends[1], WRITE, kq=kq)
    waiting.step()
    assert decode(bytes(room[:SIZE]))[0].ident == ends[1]


def test_the_kqueue_is_closed_while_somebody_waits(p: Process) -> None:
    kq = p.call("kqueue")
    waiting = begin(p, kq, [])
    p.call("close", kq)
    waiting.step()
    with pytest.raises(Exception, match="EBADF"):
        _ = waiting.result


def test_no_room_is_not_waited_for(p: Process) -> None:
    """t_empty: nothing is watched, and nothing asked for."""
    kq = p.call("kqueue")
    assert p.call("__kevent50", kq, None, 0, None, 0, None) == 0
    assert kevent(p, kq) == []


# --- kqueues of kqueues -------------------------------------------------------------------------------------


def test_a_kqueue_is_polled_and_watched(p: Process, ends: tuple[int, int]) -> None:
    inner = watch(p, ends[0], READ)
    outer = watch(p, inner, READ)
    fds = bytearray(struct.pack("<iHH", inner, 1 | 4, 0))
    polling = p.begin("poll", fds, 1, -1)
    waiting = begin(p, outer, [])
    assert polling.asleep
    assert waiting.asleep
    p.call("write", ends[1], b"x")
    polling.step()
    assert (polling.result, fds[6]) == (1, 1)
    waiting.step()
    assert finish(p, waiting) == [Kevent(inner, READ, ADD, 0, 1)]
    p.call("read", ends[0], 1)
    assert kevent(p, inner) == []
    assert kevent(p, outer) == []


def test_a_kqueue_that_watches_itself(p: Process, ends: tuple[int, int]) -> None:
    kq = p.call("kqueue")
    watch(p, kq, READ, kq=kq)
    watch(p, ends[0], READ, kq=kq)
    p.call("write", ends[1], b"x")
    assert ends[0] in {event.ident for event in kevent(p, kq)}
    p.call("read", ends[0], 1)
    kevent(p, kq)
    assert kevent(p, kq) == []
    p.call("close", kq)
    assert p.p.fd.knotes == {}


def test_a_ring_and_a_long_chain_of_kqueues(p: Process, ends: tuple[int, int]) -> None:
    p.call("setrlimit", 8, struct.pack("<qq", 5000, 5000))
    kqueues = [watch(p, ends[0], READ)]
    for _ in range(4000):
        kqueues.append(watch(p, kqueues[-1], READ))
    watch(p, kqueues[-1], READ, kq=kqueues[0])
    p.call("write", ends[1], b"x")
    assert [event.ident for event in kevent(p, kqueues[-1])] == [kqueues[-2]]
