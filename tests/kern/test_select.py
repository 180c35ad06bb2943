"""poll, pollts, select and pselect (netbsd_abi 1.3, 5; poll(2), select(2); librumphijack's t_asyncio)."""

from __future__ import annotations

import struct
import time

import pytest

from rumpfs.abi import errno
from rumpfs.abi.fcntl import O_CREAT, O_NONBLOCK, O_RDONLY, O_RDWR, O_WRONLY
from rumpfs.base.copy import CopyIn, CopyOut, Sleep
from tests.kern.incore import Machine, Process, Running

IN, PRI, OUT, ERR, HUP, NVAL, RDNORM, RDBAND = 1, 2, 4, 8, 0x10, 0x20, 0x40, 0x80
INFTIM = -1
CONSOLE = 1
PIPE_SIZE, PIPE_BUF = 16384, 512


@pytest.fixture
def ends(p: Process) -> tuple[int, int]:
    reader, writer = p.call("pipe")
    return reader, writer


def pollfds(*entries: tuple[int, int]) -> bytearray:
    """An array of struct pollfd; revents is garbage, which has to go."""
    return bytearray(b"".join(struct.pack("<iHH", fd, events, 0xAAAA) for fd, events in entries))


def revents(fds: bytearray) -> list[int]:
    return [found for _, _, found in struct.iter_unpack("<iHH", fds)]


def poll(p: Process, *entries: tuple[int, int]) -> list[int]:
    """Look, without waiting; return the revents, the number of which is the result."""
    fds = pollfds(*entries)
    ready = p.call("poll", fds, len(entries), 0)
    found = revents(fds)
    assert ready == len(found) - found.count(0)
    return found


def timespec(seconds: int, nanoseconds: int = 0) -> bytes:
    return struct.pack("<qq", seconds, nanoseconds)


def timeval(seconds: int, microseconds: int = 0) -> bytes:
    return struct.pack("<qi4x", seconds, microseconds)


def fd_set(*fds: int, size: int = 32) -> bytearray:
    words = [0] * (size // 4)
    for fd in fds:
        words[fd // 32] |= 1 << fd % 32
    return bytearray(struct.pack(f"<{len(words)}I", *words))


def sleeping(running: Running) -> float:
    """Return for how many seconds a call is going to sleep."""
    assert running.asleep
    assert isinstance(running.request, Sleep)
    assert running.request.deadline is not None
    return running.request.deadline - time.monotonic()


def expire(running: Running) -> int:
    """Let the deadline come and return the result."""
    running._send(False)
    return int(running.result)


def fill(p: Process, writer: int, left: int = 0) -> None:
    assert p.call("write", writer, bytes(PIPE_SIZE - left)) == PIPE_SIZE - left


# --- what files answer ------------------------------------------------------------------------------------


def test_an_empty_pipe(p: Process, ends: tuple[int, int]) -> None:
    reader, writer = ends
    assert poll(p, (reader, IN | RDNORM), (writer, OUT)) == [0, OUT]
    assert poll(p, (reader, OUT), (writer, IN)) == [0, 0]


def test_a_pipe_with_something_in_it(p: Process, ends: tuple[int, int]) -> None:
    reader, writer = ends
    p.call("write", writer, b"x")
    assert poll(p, (reader, IN), (reader, IN | RDNORM), (reader, PRI)) == [IN, IN | RDNORM, 0]


def test_a_pipe_can_be_written_while_pipe_buf_bytes_fit(p: Process, ends: tuple[int, int]) -> None:
    reader, writer = ends
    fill(p, writer, left=PIPE_BUF)
    assert poll(p, (writer, OUT)) == [OUT]
    p.call("write", writer, b"x")
    assert poll(p, (writer, OUT)) == [0]
    p.call("read", reader, 1)
    assert poll(p, (writer, OUT)) == [OUT]


def test_a_pipe_without_its_other_end(p: Process) -> None:
    reader, writer = p.call("pipe")
    p.call("write", writer, b"x")
    p.call("close", writer)
    assert poll(p, (reader, IN), (reader, 0)) == [IN | HUP, HUP]
    p.call("read", reader, 1)
    assert poll(p, (reader, IN)) == [IN | HUP]
    p.call("close", reader)
    reader, writer = p.call("pipe")
    p.call("close", reader)
    assert poll(p, (writer, OUT)) == [OUT | HUP]


def test_files_and_devices_never_wait(t: Process) -> None:
    t.make(b"f", b"content")
    for path in (b"f", b".", b"/dev/null", b"/dev/zero"):
        fd = t.call("open", path, O_RDONLY, 0)
        assert poll(t, (fd, IN | OUT | RDNORM | PRI | RDBAND)) == [IN | OUT | RDNORM], path
        t.call("close", fd)


def test_a_fifo(tmp: Process) -> None:
    tmp.call("mkfifo", b"fifo", 0o644)
    reader = tmp.call("open", b"fifo", O_RDONLY | O_NONBLOCK, 0)
    writer = tmp.call("open", b"fifo", O_WRONLY, 0)
    assert poll(tmp, (reader, IN), (writer, OUT)) == [0, OUT]
    polling = tmp.begin("poll", pollfds((reader, IN)), 1, INFTIM)
    tmp.call("write", writer, b"x")
    polling.step()
    assert polling.result == 1
    tmp.call("close", writer)
    assert poll(tmp, (reader, IN)) == [IN | HUP]


def test_the_console_can_be_written(p: Process) -> None:
    assert poll(p, (CONSOLE, IN | OUT)) == [OUT]


def test_a_descriptor_that_is_not_open(p: Process, ends: tuple[int, int]) -> None:
    assert poll(p, (77, IN), (9999, 0), (ends[1], OUT)) == [NVAL, NVAL, OUT]


def test_negative_descriptors_are_passed_over(p: Process) -> None:
    assert poll(p, (-1, IN), (-(2**31), OUT)) == [0, 0]


def test_a_descriptor_twice(p: Process, ends: tuple[int, int]) -> None:
    assert poll(p, (ends[1], OUT), (ends[1], OUT)) == [OUT, OUT]


def test_only_revents_change(p: Process, ends: tuple[int, int]) -> None:
    fds = pollfds((ends[1], OUT | PRI | 0x8000))
    assert p.call("poll", fds, 1, INFTIM) == 1
    assert fds == struct.pack("<iHH", ends[1], OUT | PRI | 0x8000, OUT)


# --- limits, copies, errors -----------------------------------------------------------------------------


def test_the_number_of_entries_goes_by_the_table(p: Process) -> None:
    """A new table has 20 slots (NDFILE), the next 50 (NDEXTENT), then it doubles."""
    for highest, slots in ((3, 20), (19, 20), (20, 50), (49, 50), (50, 100), (127, 200)):
        p.call("dup2", CONSOLE, highest)
        fds = pollfds(*[(-1, 0)] * (1000 + slots))
        assert p.call("poll", fds, 1000 + slots, 0) == 0
        assert p.error("poll", fds, 1001 + slots, 0) == "EINVAL"
    assert p.error("poll", None, 2**32 - 1, 0) == "EINVAL"


def test_poll_fetches_and_stores_all_entries_at_once(p: Process) -> None:
    fds = pollfds((CONSOLE, OUT), (-1, 0), (50, 0))
    addr = p.memory.map(fds)
    p.call("poll", addr, 3, 0)
    fetch, store = p.asked
    assert fetch == CopyIn(addr, 24)
    assert isinstance(store, CopyOut)
    assert (store.addr, len(store.data)) == (addr, 24)


def test_poll_of_nothing(p: Process) -> None:
    assert p.call("poll", None, 0, 0) == 0
    assert p.asked == []
    assert 99 < sleeping(p.begin("poll", None, 0, 100_000)) <= 100


@pytest.mark.parametrize("timeout", [-2, -1000, -(2**31)])
def test_a_negative_timeout_of_poll(p: Process, timeout: int) -> None:
    assert p.error("poll", pollfds((CONSOLE, OUT)), 1, timeout) == "EINVAL"


BAD_TIMES = [(-1, 0), (0, -1), (0, 1_000_000_000), (-1, 999_999_999)]


@pytest.mark.parametrize(("seconds", "nanoseconds"), BAD_TIMES)
def test_bad_times(p: Process, seconds: int, nanoseconds: int) -> None:
    ts = timespec(seconds, nanoseconds)
    assert p.error("__pollts50", pollfds((CONSOLE, OUT)), 1, ts, None) == "EINVAL"
    assert p.error("__pselect50", 2, None, fd_set(CONSOLE), None, ts, None) == "EINVAL"


@pytest.mark.parametrize(("seconds", "microseconds"), [(-1, 0), (0, -1), (0, 1_000_000)])
def test_bad_times_of_select(p: Process, seconds: int, microseconds: int) -> None:
    assert p.error("__select50", 2, None, fd_set(CONSOLE), None, timeval(seconds, microseconds)) == "EINVAL"


def test_bad_addresses(p: Process) -> None:
    wild = 0xDEAD0000
    assert p.error("poll", None, 1, 0) == "EFAULT"
    assert p.error("poll", wild, 1, 0) == "EFAULT"
    assert p.error("__pollts50", pollfds((CONSOLE, OUT)), 1, wild, None) == "EFAULT"
    assert p.error("__pollts50", pollfds((CONSOLE, OUT)), 1, None, wild) == "EFAULT"
    for place in range(3):
        sets = [None, None, None]
        sets[place] = wild
        assert p.error("__select50", 2, *sets, timeval(0)) == "EFAULT"
    assert p.error("__select50", 0, None, None, None, wild) == "EFAULT"
    assert p.error("__pselect50", 2, None, None, None, wild, None) == "EFAULT"
    assert p.error("__pselect50", 2, None, None, None, None, wild) == "EFAULT"


def test_what_is_fetched_comes_in_this_order(p: Process) -> None:
    """The time, the mask, then the entries; a bad time is found when all is there."""
    ts, mask, fds = (p.memory.map(data) for data in (timespec(-1), bytes(16), pollfds((CONSOLE, OUT))))
    assert p.error("__pollts50", fds, 1, ts, mask) == "EINVAL"
    assert p.asked == [CopyIn(ts, 16), CopyIn(mask, 16), CopyIn(fds, 8)]
    in_, ou, ex = (p.memory.map(fd_set()) for _ in range(3))
    assert p.error("__pselect50", 256, in_, ou, ex, ts, mask) == "EINVAL"
    assert p.asked == [CopyIn(ts, 16), CopyIn(mask, 16), CopyIn(in_, 4), CopyIn(ou, 4), CopyIn(ex, 4)]
    assert p.error("__pselect50", -1, in_, ou, ex, ts, mask) == "EINVAL"
    assert p.asked == [CopyIn(ts, 16), CopyIn(mask, 16)]


# --- waiting ----------------------------------------------------------------------------------------------


def test_poll_sleeps_until_something_comes(p: Process, ends: tuple[int, int]) -> None:
    reader, writer = ends
    fds = pollfds((reader, IN), (CONSOLE, IN), (-1, IN))
    polling = p.begin("poll", fds, 3, INFTIM)
    assert polling.asleep
    assert polling.request.deadline is None
    p.call("write", writer, b"x")
    assert not polling.asleep
    polling.step()
    assert polling.result == 1
    assert revents(fds) == [IN, 0, 0]


def test_it_sleeps_on_when_another_took_it(p: Process, ends: tuple[int, int]) -> None:
    reader, writer = ends
    polling = p.begin("poll", pollfds((reader, IN)), 1, INFTIM)
    p.call("write", writer, b"x")
    p.call("read", reader, 1)
    polling.step()
    assert polling.asleep
    p.call("write", writer, b"y")
    polling.step()
    assert polling.result == 1


def test_it_waits_for_all_of_its_files(p: Process) -> None:
    pipes = [p.call("pipe") for _ in range(5)]
    for _, awaited in pipes:
        fds = pollfds(*[(reader, IN) for reader, _ in pipes])
        polling = p.begin("poll", fds, 5, INFTIM)
        assert polling.asleep
        p.call("write", awaited, b"x")
        polling.step()
        assert polling.result == 1
        assert revents(fds) == [IN if writer == awaited else 0 for _, writer in pipes]
        p.call("read", pipes[revents(fds).index(IN)][0], 1)


def test_a_sleeper_leaves_nothing_behind(p: Process) -> None:
    pipes = [p.call("pipe") for _ in range(2)]
    queues = [p.p.fget(reader).selqueues()[0] for reader, _ in pipes]
    for end in ("event", "deadline", "signal"):
        polling = p.begin("poll", pollfds(*[(reader, IN) for reader, _ in pipes]), 2, 5000)
        assert [len(queue) for queue in queues] == [1, 1]
        if end == "event":
            p.call("write", pipes[0][1], b"x")
            polling.step()
            p.call("read", pipes[0][0], 1)
        elif end == "deadline":
            expire(polling)
        else:
            polling.throw(errno.EINTR)
        assert polling.done
        assert [len(queue) for queue in queues] == [0, 0], end


def test_a_writer_sleeps_until_there_is_room(p: Process, ends: tuple[int, int]) -> None:
    reader, writer = ends
    fill(p, writer)
    polling = p.begin("poll", pollfds((writer, OUT)), 1, INFTIM)
    p.call("read", reader, PIPE_BUF - 1)
    polling.step()
    assert polling.asleep
    p.call("read", reader, 1)
    polling.step()
    assert polling.result == 1


@pytest.mark.parametrize("events", [0, IN, OUT])
@pytest.mark.parametrize("closed", [0, 1])
def test_a_hangup_wakes(p: Process, ends: tuple[int, int], closed: int, events: int) -> None:
    if closed == 0:
        fill(p, ends[1])
    fds = pollfds((ends[1 - closed], events))
    polling = p.begin("poll", fds, 1, INFTIM)
    p.call("close", ends[closed])
    polling.step()
    assert polling.result == 1
    assert revents(fds) == [HUP | events]


def test_the_polled_descriptor_is_closed(p: Process, ends: tuple[int, int]) -> None:
    reader, _ = ends
    fds = pollfds((reader, IN))
    polling = p.begin("poll", fds, 1, INFTIM)
    selecting = p.begin("__select50", reader + 1, fd_set(reader), None, None, None)
    p.call("close", reader)
    polling.step()
    assert polling.result == 1
    assert revents(fds) == [NVAL]
    selecting.step()
    with pytest.raises(Exception, match="EBADF"):
        _ = selecting.result


def test_a_deadline(p: Process, ends: tuple[int, int]) -> None:
    fds = pollfds((ends[0], IN))
    polling = p.begin("poll", fds, 1, 100_500)
    assert 99 < sleeping(polling) <= 100.5
    assert expire(polling) == 0
    assert revents(fds) == [0]
    polling = p.begin("__pollts50", pollfds((ends[0], IN)), 1, timespec(100, 500_000_000), bytes(16))
    assert 99 < sleeping(polling) <= 100.5
    assert expire(polling) == 0
    longest = p.begin("__pollts50", fds, 1, timespec(2**63 - 1), None)
    assert sleeping(longest) > 1e18


def test_a_deadline_stays_when_it_wakes_for_nothing(p: Process, ends: tuple[int, int]) -> None:
    reader, writer = ends
    polling = p.begin("poll", pollfds((reader, IN)), 1, 100_000)
    deadline = polling.request.deadline
    p.call("write", writer, b"x")
    p.call("read", reader, 1)
    polling.step()
    assert polling.request.deadline == deadline


def test_no_time_is_not_slept(p: Process, ends: tuple[int, int]) -> None:
    reader, _ = ends
    assert p.call("poll", pollfds((reader, IN)), 1, 0) == 0
    assert p.call("__pollts50", pollfds((reader, IN)), 1, timespec(0), None) == 0
    assert p.call("__select50", reader + 1, fd_set(reader), None, None, timeval(0)) == 0
    assert p.call("__pselect50", reader + 1, fd_set(reader), None, None, timespec(0), None) == 0


def test_an_interruption_stores_nothing(p: Process, ends: tuple[int, int]) -> None:
    fds, readable = pollfds((ends[0], IN)), fd_set(ends[0])
    before = bytes(fds), bytes(readable)
    polling = p.begin("poll", fds, 1, INFTIM)
    selecting = p.begin("__select50", 8, readable, None, None, None)
    for running in (polling, selecting):
        running.throw(errno.EINTR)
        with pytest.raises(Exception, match="EINTR"):
            _ = running.result
    assert (bytes(fds), bytes(readable)) == before


def test_a_forked_process_polls_the_same_pipe(machine: Machine, p: Process, ends: tuple[int, int]) -> None:
    child = machine.fork(p)
    polling = child.begin("poll", pollfds((ends[0], IN)), 1, INFTIM)
    p.call("write", ends[1], b"x")
    polling.step()
    assert polling.result == 1


# --- select -----------------------------------------------------------------------------------------------


def test_select(p: Process, ends: tuple[int, int]) -> None:
    reader, writer = ends
    in_, ou, ex = fd_set(reader, writer), fd_set(reader, writer, CONSOLE), fd_set(reader, writer)
    assert p.call("__select50", 5, in_, ou, ex, timeval(0)) == 2
    assert (in_, ou, ex) == (fd_set(), fd_set(writer, CONSOLE), fd_set())
    p.call("write", writer, b"x")
    in_, ou = fd_set(reader), fd_set(writer)
    assert p.call("__select50", 5, in_, ou, None, None) == 2
    assert (in_, ou) == (fd_set(reader), fd_set(writer))


def test_a_hangup_is_ready_in_every_set(p: Process, ends: tuple[int, int]) -> None:
    reader, writer = ends
    p.call("close", writer)
    sets = [fd_set(reader) for _ in range(3)]
    assert p.call("__select50", 5, *sets, None) == 3
    assert sets == [fd_set(reader)] * 3


def test_select_timeout_clears_the_sets(p: Process, ends: tuple[int, int]) -> None:
    reader, _ = ends
    in_, ou, ex = fd_set(reader), fd_set(reader), fd_set(reader)
    selecting = p.begin("__select50", 5, in_, ou, ex, timeval(100, 500_000))
    assert 99 < sleeping(selecting) <= 100.5
    assert expire(selecting) == 0
    assert (in_, ou, ex) == (fd_set(), fd_set(), fd_set())


def test_select_with_nothing_set(p: Process) -> None:
    """t_asyncio: select_allunset; select of no descriptor at all is a way to sleep."""
    sets = [fd_set() for _ in range(3)]
    assert p.call("__select50", 8, *sets, timeval(0)) == 0
    assert p.call("__select50", 0, *sets, timeval(0)) == 0
    assert p.asked == [CopyIn(p.asked[0].addr, 16)]
    assert expire(p.begin("__select50", 0, None, None, None, timeval(5))) == 0
    assert p.begin("__select50", 8, *sets, None).asleep


def test_select_looks_only_below_nd(p: Process, ends: tuple[int, int]) -> None:
    _, writer = ends
    ou = fd_set(CONSOLE, writer)
    assert p.call("__select50", writer, None, ou, None, timeval(0)) == 1
    assert ou == fd_set(CONSOLE)
    assert p.error("__select50", -1, None, ou, None, timeval(0)) == "EINVAL"


def test_select_of_more_descriptors_than_the_table_has(p: Process) -> None:
    """Of 20 slots one word is fetched and stored; what lies behind is left alone."""
    ou = fd_set(CONSOLE, 25, 100)
    assert p.call("__select50", 256, None, ou, None, timeval(0)) == 1
    assert ou == fd_set(CONSOLE, 100)
    p.call("dup2", CONSOLE, 40)
    ou = fd_set(CONSOLE, 40, 55, 100)  # of 50 slots two words
    assert p.call("__select50", 2**31 - 1, None, ou, None, timeval(0)) == 2
    assert ou == fd_set(CONSOLE, 40, 100)


def test_select_of_a_descriptor_that_is_not_open(p: Process) -> None:
    ou = fd_set(CONSOLE, 10)
    assert p.error("__select50", 256, None, ou, None, timeval(0)) == "EBADF"
    assert ou == fd_set(CONSOLE, 10)


def test_select_sleeps_until_something_comes(p: Process) -> None:
    pipes = [p.call("pipe") for _ in range(3)]
    in_ = fd_set(*[reader for reader, _ in pipes])
    selecting = p.begin("__pselect50", 16, in_, None, None, timespec(1000), bytes(16))
    assert selecting.asleep
    p.call("write", pipes[1][1], b"x")
    selecting.step()
    assert selecting.result == 1
    assert in_ == fd_set(pipes[1][0])


# --- many ---------------------------------------------------------------------------------------------------


def test_every_sleeper_is_woken(p: Process, ends: tuple[int, int]) -> None:
    reader, writer = ends
    sleepers = [p.begin("poll", pollfds((reader, IN)), 1, INFTIM) for _ in range(100)]
    p.call("write", writer, b"x")
    for polling in sleepers:
        polling.step()
        assert polling.result == 1


def test_as_many_pipes_as_the_table_holds(p: Process) -> None:
    pipes = [p.call("pipe2", bytearray(8), O_NONBLOCK) for _ in range(62)]
    readers = list(range(3, 127, 2))
    assert len(pipes) == len(readers)
    fds = pollfds(*[(fd, IN) for fd in readers])
    polling = p.begin("poll", fds, 62, INFTIM)
    p.call("write", readers[-1] + 1, b"x")
    polling.step()
    assert revents(fds) == [0] * 61 + [IN]


def test_a_file_that_is_open_for_writing(t: Process) -> None:
    fd = t.call("open", b"f", O_CREAT | O_RDWR, 0o644)
    ou = fd_set(fd)
    assert t.call("__select50", fd + 1, None, ou, None, None) == 1
    assert ou == fd_set(fd)
