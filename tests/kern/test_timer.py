"""Interval timers: getitimer(2), setitimer(2), timer_create(2) and their relatives."""

from __future__ import annotations

import struct
import time
from pathlib import Path

import pytest

from tests.kern.incore import Machine, Process
from tests.serving import RAISE, REQ, Peer, serving

REAL, VIRTUAL, PROF, MONOTONIC = range(4)  # ITIMER_ and CLOCK_
SIGALRM, SIGVTALRM, SIGUSR1 = 14, 26, 30
ABSTIME = 1
SIGEV_NONE, SIGEV_SIGNAL, SIGEV_THREAD = range(3)
TIMER_MIN, TIMER_MAX = 4, 36


def itimerval(value: float, interval: float = 0) -> bytes:
    micros = [divmod(round(number * 1_000_000), 1_000_000) for number in (interval, value)]
    return struct.pack("<qi4xqi4x", *micros[0], *micros[1])


def itimerspec(value: float, interval: float = 0) -> bytes:
    nanos = [divmod(round(number * 1_000_000_000), 1_000_000_000) for number in (interval, value)]
    return struct.pack("<qqqq", *nanos[0], *nanos[1])


def sigevent(notify: int, signo: int = 0) -> bytes:
    return struct.pack("<iiQQQ", notify, signo, 0, 0, 0)


def itimer(p: Process, which: int) -> tuple[float, float]:
    """Return what is left of a timer, and its interval, in seconds."""
    left = bytearray(32)
    p.call("__getitimer50", which, left)
    numbers = struct.unpack("<qi4xqi4x", left)
    return numbers[2] + numbers[3] / 1e6, numbers[0] + numbers[1] / 1e6


def timer(p: Process, number: int) -> tuple[float, float]:
    left = bytearray(32)
    p.call("__timer_gettime50", number, left)
    numbers = struct.unpack("<qqqq", left)
    return numbers[2] + numbers[3] / 1e9, numbers[0] + numbers[1] / 1e9


def create(p: Process, clock_id: int = REAL, event: bytes | None = None) -> int:
    number = bytearray(4)
    p.call("timer_create", clock_id, event, number)
    return int.from_bytes(number, "little")


def pass_time(p: Process) -> float:
    """Let the next timer expire; return in how many seconds it would."""
    callouts = p.p.kernel.callouts
    deadline = callouts.deadline
    assert deadline is not None
    left = deadline - time.monotonic()
    callouts.run(deadline)
    return left


# --- setitimer ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("which", [REAL, MONOTONIC])
def test_a_timer_raises_sigalrm_once(p: Process, which: int) -> None:
    p.call("__setitimer50", which, itimerval(5), None)
    value, interval = itimer(p, which)
    assert 4 < value <= 5
    assert interval == 0
    assert 4 < pass_time(p) <= 5
    assert p.signals == [SIGALRM]
    assert itimer(p, which) == (0, 0)
    assert p.p.kernel.callouts.deadline is None


def test_a_timer_with_an_interval_goes_on(p: Process) -> None:
    p.call("__setitimer50", REAL, itimerval(5, 2), None)
    assert itimer(p, REAL)[1] == 2
    assert 4 < pass_time(p) <= 5
    for count in range(1, 4):
        assert p.signals == [SIGALRM] * count
        assert p.p.kernel.callouts.deadline is not None
        pass_time(p)


def test_the_old_value_is_stored_and_a_value_of_zero_stops(p: Process) -> None:
    old = bytearray(32)
    p.call("__setitimer50", REAL, itimerval(50, 7), old)
    assert old == bytes(32)
    p.call("__setitimer50", REAL, itimerval(0, 9), old)
    seconds, micros, left, left_micros = struct.unpack("<qi4xqi4x", old)
    assert (seconds, micros) == (7, 0)
    assert 49 < left + left_micros / 1e6 <= 50
    assert itimer(p, REAL) == (0, 9)
    assert p.p.kernel.callouts.deadline is None
    p.call("__setitimer50", REAL, None, old)
    assert struct.unpack("<qi4xqi4x", old) == (9, 0, 0, 0)


@pytest.mark.parametrize("which", [VIRTUAL, PROF])
def test_no_client_uses_the_kernels_processor(p: Process, which: int) -> None:
    p.call("__setitimer50", which, itimerval(0.02, 1), None)
    assert itimer(p, which) == (0.02, 1)
    assert p.p.kernel.callouts.deadline is None
    assert p.signals == []


def test_what_is_shorter_than_a_tick_is_a_tick(p: Process) -> None:
    p.call("__setitimer50", VIRTUAL, itimerval(0.000001, 0.000001), None)
    assert itimer(p, VIRTUAL) == (0.01, 0.01)


def test_bad_timers_and_times(p: Process) -> None:
    for which in (-1, 4):
        assert p.error("__getitimer50", which, bytearray(32)) == "EINVAL"
        assert p.error("__setitimer50", which, itimerval(1), None) == "EINVAL"
    for numbers in [(0, 0, -1, 0), (-1, 0, 0, 0), (0, 0, 1, -1), (0, 0, 1, 1_000_000), (0, 1_000_000, 1, 0)]:
        assert p.error("__setitimer50", REAL, struct.pack("<qi4xqi4x", *numbers), None) == "EINVAL"
    assert p.error("__setitimer50", REAL, 8, None) == "EFAULT"
    assert p.error("__getitimer50", REAL, None) == "EFAULT"


def test_a_child_has_no_timers_and_a_dead_process_no_alarm(machine: Machine) -> None:
    p = machine.process()
    p.call("__setitimer50", REAL, itimerval(5), None)
    child = machine.fork(p)
    assert itimer(child, REAL) == (0, 0)
    machine.kernel.exec(p.p, b"new")
    assert itimer(p, REAL)[0] > 4, "exec keeps it"
    p.p.exit()
    assert machine.kernel.callouts.deadline is None


# --- timer_create ---------------------------------------------------------------------------------------


def test_numbers_begin_behind_those_of_setitimer(p: Process) -> None:
    numbers = [create(p) for _ in range(TIMER_MIN, TIMER_MAX)]
    assert numbers == list(range(TIMER_MIN, TIMER_MAX))
    assert p.error("timer_create", REAL, None, bytearray(4)) == "EAGAIN"
    p.call("timer_delete", 17)
    assert create(p) == 17


@pytest.mark.parametrize("clock_id", [REAL, MONOTONIC])
def test_a_timer_raises_its_signal(p: Process, clock_id: int) -> None:
    number = create(p, clock_id, sigevent(SIGEV_SIGNAL, SIGUSR1))
    p.call("__timer_settime50", number, 0, itimerspec(5, 3), None)
    assert 4 < timer(p, number)[0] <= 5
    assert timer(p, number)[1] == 3
    assert 4 < pass_time(p) <= 5
    pass_time(p)
    assert p.signals == [SIGUSR1, SIGUSR1]
    p.call("timer_delete", number)
    assert p.p.kernel.callouts.deadline is None
    assert p.error("__timer_gettime50", number, bytearray(32)) == "EINVAL"


@pytest.mark.parametrize("clock_id", [REAL, MONOTONIC])
def test_a_timer_is_set_to_a_time_of_its_clock(p: Process, clock_id: int) -> None:
    number = create(p, clock_id)
    seconds, nanos = struct.unpack("<qq", p.call("__clock_gettime50", clock_id))
    p.call("__timer_settime50", number, ABSTIME, struct.pack("<qqqq", 0, 0, seconds + 60, nanos), None)
    assert 59 < timer(p, number)[0] <= 60
    assert 59 < pass_time(p) <= 60
    assert p.signals == [SIGALRM]
    if seconds > 10:
        p.call("__timer_settime50", number, ABSTIME, struct.pack("<qqqq", 0, 0, seconds - 10, 0), None)
        assert timer(p, number) == (0, 0), "long over"
        assert pass_time(p) <= 0
        assert p.signals == [SIGALRM] * 2


@pytest.mark.parametrize("notify", [SIGEV_NONE, SIGEV_THREAD])
def test_a_timer_that_nobody_hears_of_runs_all_the_same(p: Process, notify: int) -> None:
    number = create(p, REAL, sigevent(notify))
    p.call("__timer_settime50", number, 0, itimerspec(5), None)
    assert 4 < pass_time(p) <= 5
    assert p.signals == []
    assert timer(p, number) == (0, 0)


def test_an_old_value_is_what_was_left(p: Process) -> None:
    number = create(p)
    old = bytearray(32)
    p.call("__timer_settime50", number, 0, itimerspec(50, 7), None)
    p.call("__timer_settime50", number, 0, itimerspec(0), old)
    interval, _, left, fraction = struct.unpack("<qqqq", old)
    assert interval == 7
    assert 49 < left + fraction / 1e9 <= 50
    assert timer(p, number) == (0, 0)


def test_expirations_that_the_client_does_not_hear_are_counted(p: Process) -> None:
    number = create(p)
    assert p.call("timer_getoverrun", number) == 0
    p.call("__timer_settime50", number, 0, itimerspec(5, 1), None)
    heard, p.p.psignal = p.p.psignal, lambda signo: False
    for _ in range(3):
        pass_time(p)
    assert p.call("timer_getoverrun", number) == 0, "until one is heard"
    p.p.psignal = heard
    pass_time(p)
    assert p.call("timer_getoverrun", number) == 3
    p.p.psignal = lambda signo: False
    for _ in range(40):
        pass_time(p)
    p.p.psignal = heard
    pass_time(p)
    assert p.call("timer_getoverrun", number) == 32, "_POSIX_DELAYTIMER_MAX"


@pytest.mark.usefixtures("host_clock")
def test_a_clock_that_leaps_makes_expirations_too(p: Process) -> None:
    number = create(p)
    p.call("__timer_settime50", number, 0, itimerspec(5, 10), None)
    p.call("__adjtime50", struct.pack("<qi4x", 47, 0), None)
    pass_time(p)
    assert p.signals == [SIGALRM]
    pass_time(p)
    assert p.call("timer_getoverrun", number) == 4


def test_bad_events_clocks_and_numbers(p: Process) -> None:
    number = bytearray(4)
    for clock_id in (-1, 4):
        assert p.error("timer_create", clock_id, None, number) == "EINVAL"
    for event in [sigevent(-1), sigevent(4), sigevent(SIGEV_SIGNAL, 0), sigevent(SIGEV_SIGNAL, 64)]:
        assert p.error("timer_create", REAL, event, number) == "EINVAL"
    assert p.error("timer_create", REAL, 8, number) == "EFAULT"
    assert p.error("timer_create", REAL, None, None) == "EFAULT"
    mine = create(p)
    for bad in (-1, 0, 1, 3, mine + 1, TIMER_MAX, 1 << 30):
        assert p.error("timer_delete", bad) == "EINVAL"
        assert p.error("timer_getoverrun", bad) == "EINVAL"
        assert p.error("__timer_gettime50", bad, bytearray(32)) == "EINVAL"
        assert p.error("__timer_settime50", bad, 0, itimerspec(1), None) == "EINVAL"
    assert p.error("__timer_settime50", mine, 0, None, None) == "EFAULT"
    for numbers, error in [
        ((0, 0, 1, -1), "EINVAL"),
        ((0, 0, 1, 1_000_000_000), "EINVAL"),
        ((0, -1, 1, 0), "EINVAL"),
        ((0, 0, -1, 0), "ETIMEDOUT"),
        ((-1, 0, 1, 0), "ETIMEDOUT"),
    ]:
        assert p.error("__timer_settime50", mine, 0, struct.pack("<qqqq", *numbers), None) == error


# --- over a socket --------------------------------------------------------------------------------------


def test_a_server_raises_sigalrm_in_time(tmp_path: Path) -> None:
    with serving(tmp_path, program="rump_server") as served, Peer(served.path) as peer:
        peer.guest()
        begin = time.monotonic()
        assert peer.call(425, REAL, 0x1000, 0, memory={0x1000: itimerval(0.05, 0.03)}).error == 0
        frames = [peer.frame() for _ in range(2)]
        assert time.monotonic() - begin >= 0.08
        assert [frame and frame[1:] for frame in frames] == [(REQ, RAISE, SIGALRM, b"")] * 2
