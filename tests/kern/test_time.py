"""Clocks and sleeping (kern_time.c; clock_gettime(2), nanosleep(2), settimeofday(2), adjtime(2))."""

from __future__ import annotations

import struct
import time
from pathlib import Path

import pytest

from rumpfs.abi import errno
from rumpfs.base.copy import Sleep
from rumpfs.base.errors import VfsError
from tests.kern.incore import USER, Machine, Process, Running
from tests.serving import Peer, serving

REALTIME, VIRTUAL, PROF, MONOTONIC = range(4)
ABSTIME = 1
BILLION = 1_000_000_000


pytestmark = pytest.mark.usefixtures("host_clock")


def timespec(seconds: int, nanoseconds: int = 0) -> bytes:
    return struct.pack("<qq", seconds, nanoseconds)


def timeval(seconds: int, microseconds: int = 0) -> bytes:
    return struct.pack("<qi4x", seconds, microseconds)


def gettime(p: Process, clock_id: int) -> int:
    seconds, nanoseconds = struct.unpack("<qq", p.call("__clock_gettime50", clock_id))
    assert 0 <= nanoseconds < BILLION
    return int(seconds * BILLION + nanoseconds)


# --- reading ------------------------------------------------------------------------------------------


def test_the_time_of_day_is_the_hosts(p: Process) -> None:
    before = time.time_ns()
    found = gettime(p, REALTIME)
    assert before <= found <= time.time_ns()


def test_the_monotonic_clock_goes_on_and_began_with_the_kernel(p: Process) -> None:
    first = gettime(p, MONOTONIC)
    before = time.monotonic_ns()
    assert 0 < first <= gettime(p, MONOTONIC) <= first + time.monotonic_ns() - before + BILLION


@pytest.mark.parametrize("clock_id", [VIRTUAL, PROF, 4, 0x20000000])
def test_other_clocks_are_einval(p: Process, clock_id: int) -> None:
    assert p.error("__clock_gettime50", clock_id) == "EINVAL"
    assert p.error("__clock_getres50", clock_id) == "EINVAL"
    assert p.error("__clock_settime50", clock_id, timespec(0)) == "EINVAL"
    assert p.call("clock_nanosleep", clock_id, 0, timespec(0), None) == errno.EINVAL


PROCESS_CPUTIME = 0x40000000
THREAD_CPUTIME = -0x80000000


def test_no_processor_time_is_used_in_here(p: Process) -> None:
    for clock_id in (PROCESS_CPUTIME, PROCESS_CPUTIME | p.p.pid, THREAD_CPUTIME):
        assert gettime(p, clock_id) == 0
        assert p.error("__clock_getres50", clock_id) == "EINVAL"
    assert p.error("__clock_gettime50", PROCESS_CPUTIME | 4321) == "ESRCH"


def test_processor_time_clocks_have_numbers(p: Process) -> None:
    number = bytearray(4)
    for idtype, given, clock_id in [
        (1, 0, PROCESS_CPUTIME | p.p.pid),
        (1, 9, PROCESS_CPUTIME | 9),
        (2, 7, THREAD_CPUTIME | 7),
    ]:
        p.call("clock_getcpuclockid2", idtype, given, number)
        assert struct.unpack("<i", number) == (clock_id,)
    assert p.error("clock_getcpuclockid2", 0, 0, number) == "EINVAL"
    assert p.error("clock_getcpuclockid2", 1, 0, None) == "EFAULT"


def test_the_resolution_is_a_nanosecond(p: Process) -> None:
    for clock_id in (REALTIME, MONOTONIC):
        assert p.call("__clock_getres50", clock_id) == timespec(0, 1)
    sysent = p.p.kernel.sysent[429]
    assert sysent is not None
    assert sysent.run(p.p, REALTIME, 0) == 0, "nothing is stored at NULL"


def test_gettimeofday(p: Process) -> None:
    zone = bytearray(b"\xaa" * 8)
    for tzp in (None, zone):
        before = time.time_ns() // 1000
        seconds, microseconds, pad = struct.unpack("<qiI", p.call("__gettimeofday50", tzp))
        assert before <= seconds * 1_000_000 + microseconds <= time.time_ns() // 1000
        assert pad == 0
    assert zone == bytes(8)


# --- setting ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("call", ["clock", "timeval"])
def test_root_sets_the_kernels_clock(p: Process, call: str) -> None:
    up = gettime(p, MONOTONIC)
    booted = p.p.kernel.sysctl.locate((1, 83))[0].read(p.p)
    if call == "clock":
        p.call("__clock_settime50", REALTIME, timespec(1000, 500))
    else:
        p.call("__settimeofday50", timeval(1000, 5), None)
    assert 1000 * BILLION < gettime(p, REALTIME) < 1100 * BILLION
    assert 0 <= gettime(p, MONOTONIC) - up < 100 * BILLION, "which does not concern the other clock"
    p.make(b"/file")
    assert 1000 <= p.stat(b"/file").mtime < 1100
    (moved,) = struct.unpack_from("<q", p.p.kernel.sysctl.locate((1, 83))[0].read(p.p))
    assert moved < 1000 < struct.unpack_from("<q", booted)[0]


def test_what_is_no_time_is_einval(p: Process) -> None:
    for seconds, nanoseconds in [(-1, 0), (0, -1), (0, BILLION), (1 << 31, 0), (1 << 62, 0)]:
        assert p.error("__clock_settime50", REALTIME, timespec(seconds, nanoseconds)) == "EINVAL"
    for seconds, microseconds in [(-1, 0), (0, -1), (0, 1_000_000), (1 << 62, 0)]:
        assert p.error("__settimeofday50", timeval(seconds, microseconds), None) == "EINVAL"
    for seconds in (-(1 << 62), 1 << 62):
        assert p.error("__adjtime50", timeval(seconds), None) == "EINVAL"
    assert p.error("__clock_settime50", REALTIME, None) == "EFAULT"
    assert p.error("__settimeofday50", None, None) == "ok"
    assert abs(gettime(p, REALTIME) - time.time_ns()) < BILLION


def test_only_root_sets_clocks(machine: Machine) -> None:
    user = machine.process(USER)
    assert user.error("__clock_settime50", REALTIME, timespec(1000)) == "EPERM"
    assert user.error("__clock_settime50", MONOTONIC, timespec(1000)) == "EINVAL"
    assert user.error("__settimeofday50", timeval(1000), None) == "EPERM"
    assert user.error("__adjtime50", timeval(1), None) == "EPERM"
    assert user.error("__adjtime50", None, bytearray(16)) == "EPERM"


def test_adjtime_moves_the_clock_and_nothing_is_left_over(p: Process) -> None:
    old = bytearray(b"\xaa" * 16)
    p.call("__adjtime50", timeval(-3600, -500_000), old)
    assert old == bytes(16)
    assert 3600.4 < (time.time_ns() - gettime(p, REALTIME)) / BILLION < 3601
    p.call("__adjtime50", timeval(3600, 500_000), None)
    assert abs(gettime(p, REALTIME) - time.time_ns()) < BILLION


# --- sleeping -----------------------------------------------------------------------------------------


def sleeping(running: Running) -> float:
    """Return for how many seconds a call is going to sleep."""
    assert not running.done
    assert isinstance(running.request, Sleep)
    assert running.request.deadline is not None
    return running.request.deadline - time.monotonic()


def expire(running: Running) -> None:
    """Let the deadline come."""
    running._send(False)


@pytest.mark.parametrize("name", ["__nanosleep50", "clock_nanosleep"])
def test_sleeping_to_the_end(p: Process, name: str) -> None:
    left = bytearray(b"\xaa" * 16)
    head = () if name == "__nanosleep50" else (REALTIME, 0)
    running = p.begin(name, *head, timespec(100, 500_000_000), left)
    assert 99 < sleeping(running) <= 100.5
    expire(running)
    assert running.result == 0
    assert left == bytes(16)


@pytest.mark.parametrize("clock_id", [REALTIME, MONOTONIC])
def test_sleeping_until_a_time(p: Process, clock_id: int) -> None:
    end = gettime(p, clock_id) + 100 * BILLION
    running = p.begin("clock_nanosleep", clock_id, ABSTIME, timespec(*divmod(end, BILLION)), None)
    assert 99 < sleeping(running) <= 100
    expire(running)
    assert running.result == 0
    assert p.call("clock_nanosleep", clock_id, ABSTIME, timespec(0, 5), None) == 0


def test_an_interrupted_sleep_tells_what_is_left(p: Process) -> None:
    left = bytearray(16)
    running = p.begin("__nanosleep50", timespec(100), left)
    running.throw(errno.EINTR)
    with pytest.raises(VfsError) as caught:
        _ = running.result
    assert caught.value.errno == errno.EINTR
    seconds, nanoseconds = struct.unpack("<qq", left)
    assert 99 < seconds + nanoseconds / 1e9 <= 100
    running = p.begin("clock_nanosleep", MONOTONIC, 0, timespec(100), None)
    running.throw(errno.EINTR)
    assert running.result == errno.EINTR


def test_no_time_is_slept_at_once(p: Process) -> None:
    left = bytearray(b"\xaa" * 16)
    assert p.call("__nanosleep50", timespec(0), left) == 0
    assert left == bytes(16)
    assert p.call("__nanosleep50", timespec(-5), None) == 0
    assert p.call("__nanosleep50", timespec(-(1 << 63)), None) == 0


@pytest.mark.parametrize("nanoseconds", [-1, BILLION, 1 << 62])
def test_nanoseconds_are_less_than_a_second(p: Process, nanoseconds: int) -> None:
    left = bytearray(b"\xaa" * 16)
    assert p.error("__nanosleep50", timespec(1, nanoseconds), left) == "EINVAL"
    assert left == b"\xaa" * 16
    assert p.call("clock_nanosleep", REALTIME, 0, timespec(1, nanoseconds), left) == errno.EINVAL
    assert p.call("clock_nanosleep", REALTIME, ABSTIME, timespec(1, nanoseconds), left) == errno.EINVAL


def test_bad_addresses(p: Process) -> None:
    assert p.error("__nanosleep50", None, None) == "EFAULT"
    assert p.error("__nanosleep50", timespec(0), 8) == "EFAULT"
    assert p.call("clock_nanosleep", REALTIME, 0, None, None) == errno.EFAULT
    assert p.call("clock_nanosleep", REALTIME, 0, timespec(0), 8) == errno.EFAULT


def test_a_sleep_of_the_longest_time_is_a_sleep(p: Process) -> None:
    running = p.begin("__nanosleep50", timespec((1 << 63) - 1, BILLION - 1), None)
    assert sleeping(running) > 1e18
    running.drop()


def test_a_server_sleeps_as_long_as_it_is_asked_to(tmp_path: Path) -> None:
    with serving(tmp_path, program="rump_server") as served, Peer(served.path) as peer:
        peer.guest()
        begin = time.monotonic()
        call = peer.call(430, 0x1000, 0x2000, memory={0x1000: timespec(0, 50_000_000)})
        assert time.monotonic() - begin >= 0.05
        assert (call.error, call.retval, call.stored) == (0, 0, [(0x2000, bytes(16))])
        call = peer.call(477, REALTIME, 0, 0x1000, 0, memory={0x1000: timespec(0, -1)})
        assert (call.error, call.retval) == (0, errno.EINVAL)
