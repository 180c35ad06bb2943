"""Interval timers: setitimer and its relatives, timer_create and its (NetBSD: kern_time.c)."""

from __future__ import annotations

from struct import Struct

from rumpfs.abi import errno
from rumpfs.abi.time import (
    CLOCK_MONOTONIC,
    DELAYTIMER_MAX,
    ITIMER_MONOTONIC,
    ITIMERSPEC,
    ITIMERVAL,
    SIGEV_SIGNAL,
    SIGEVENT,
    TIMER_ABSTIME,
)
from rumpfs.base.copy import Body, CopyIn, CopyOut
from rumpfs.base.errors import VfsError
from rumpfs.kern.proc import Proc
from rumpfs.kern.syscall import syscall
from rumpfs.kern.timer import SIGNALS, Itimer, itimespecfix, timers_of

_BILLION = 1_000_000_000


def _which(which: int) -> None:
    """Check the number of an interval timer. Errors: EINVAL."""
    if not 0 <= which <= ITIMER_MONOTONIC:
        raise VfsError(errno.EINVAL)


def _itimerval(codec: Struct, p: Proc, which: int) -> bytes:
    """Return what is left of a timer as struct itimerval (dogetitimer)."""
    pt = p.timers and p.timers.itimer(which)
    interval, value = pt.gettime() if pt else (0, 0)
    seconds, left = divmod(interval // 1000, 1_000_000)
    return codec.pack(seconds, left, *divmod(value // 1000, 1_000_000))


@syscall("__getitimer50", raw=True)
def sys_getitimer(p: Proc, which: int, itv: int, codec: Struct = ITIMERVAL) -> Body:
    """Store what is left of the real, virtual, profiling or monotonic timer. Errors: EINVAL, EFAULT."""
    _which(which)
    yield CopyOut(itv, _itimerval(codec, p, which))
    return 0


@syscall("__setitimer50", raw=True)
def sys_setitimer(p: Proc, which: int, itv: int, oitv: int, codec: Struct = ITIMERVAL) -> Body:
    """Set a timer, whose signal is SIGALRM, SIGVTALRM or SIGPROF, and store what was left of it.

    Errors: EINVAL (timer), EFAULT, EINVAL (time).
    """
    _which(which)
    given = (yield CopyIn(itv, codec.size)) if itv else None
    if oitv:
        yield CopyOut(oitv, _itimerval(codec, p, which))
    if given is None:
        return 0
    seconds, micros, value, value_micros = codec.unpack(given)
    try:
        timer = Itimer(
            interval=itimespecfix((seconds, micros * 1000)), value=itimespecfix((value, value_micros * 1000))
        )
    except VfsError:
        raise VfsError(errno.EINVAL) from None
    if timer.value or p.timers is not None:
        timers_of(p).setitimer(which, timer)
    return 0


@syscall("timer_create", raw=True)
def sys_timer_create(p: Proc, clock_id: int, evp: int, timerid: int) -> Body:
    """Make a timer of clock 0 to 3, by default one that raises the clock's signal, and store its number.

    SIGEV_THREAD is accepted and nothing comes of it: threads are a matter of the client's library.

    Errors: EINVAL (clock), EFAULT, EINVAL (event), EAGAIN (32 of them), EFAULT.
    """
    if not 0 <= clock_id <= CLOCK_MONOTONIC:
        raise VfsError(errno.EINVAL)
    notify, signo = SIGEV_SIGNAL, SIGNALS[clock_id]
    if evp:
        notify, signo, *_ = SIGEVENT.unpack((yield CopyIn(evp, SIGEVENT.size)))
    number = timers_of(p).create(clock_id, notify, signo)
    yield CopyOut(timerid, number.to_bytes(4, "little"))
    return 0


@syscall("timer_delete")
def sys_timer_delete(p: Proc, timerid: int) -> int:
    """Take a timer away. Errors: EINVAL."""
    timers_of(p).delete(timerid)
    return 0


@syscall("timer_getoverrun")
def sys_timer_getoverrun(p: Proc, timerid: int) -> int:
    """Return how often a timer expired without being heard, at most 32. Errors: EINVAL."""
    return min(timers_of(p).get(timerid).poverruns, DELAYTIMER_MAX)


def _itimerspec(codec: Struct, timer: Itimer) -> bytes:
    return codec.pack(*divmod(timer.interval, _BILLION), *divmod(timer.value, _BILLION))


@syscall("__timer_gettime50", raw=True)
def sys_timer_gettime(p: Proc, timerid: int, value: int, codec: Struct = ITIMERSPEC) -> Body:
    """Store the interval of a timer and what is left of it. Errors: EINVAL, EFAULT."""
    yield CopyOut(value, _itimerspec(codec, timers_of(p).get(timerid).gettime()))
    return 0


@syscall("__timer_settime50", raw=True)
def sys_timer_settime(
    p: Proc, timerid: int, flags: int, value: int, ovalue: int, codec: Struct = ITIMERSPEC
) -> Body:
    """Set a timer, with TIMER_ABSTIME to a time of its clock, and store what was left of it.

    Errors: EFAULT, EINVAL (timer, time), ETIMEDOUT (a negative time), EFAULT.
    """
    given = codec.unpack((yield CopyIn(value, codec.size)))
    first = itimespecfix(given[2:])
    timer = Itimer(interval=itimespecfix(given[:2]), value=first)
    pt = timers_of(p).get(timerid)
    before = pt.gettime()
    pt.settime(timer, absolute=bool(flags & TIMER_ABSTIME))
    if ovalue:
        yield CopyOut(ovalue, _itimerspec(codec, before))
    return 0
