"""Clocks and sleeping (NetBSD: kern_time.c, subr_time.c).

The time of day is the host's until root sets it; what is set is this kernel's clock, never the host's.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Generator
from typing import Any, Final

from rumpfs.abi import errno
from rumpfs.abi.limits import CLOCK_MONOTONIC, CLOCK_REALTIME, TIMER_ABSTIME
from rumpfs.base.clock import TIME_MAX, Timespec, adjtime, now, settime, uptime
from rumpfs.base.copy import Body, CopyIn, CopyOut, Done, Request, Sleep
from rumpfs.base.errors import VfsError
from rumpfs.base.waitq import WaitQueue
from rumpfs.kern.proc import Proc
from rumpfs.kern.syscall import syscall

_timespec = struct.Struct("<qq")
_timeval = struct.Struct("<qi4x")
_timezone = bytes(8)  # struct timezone: west of Greenwich 0, no daylight saving

#: what can be read; the processor time of a client is not this kernel's (CLOCK_VIRTUAL, CLOCK_PROF)
_CLOCKS: Final = {CLOCK_REALTIME: now, CLOCK_MONOTONIC: uptime}
_RESOLUTION: Final = _timespec.pack(0, 1)


def clock_gettime(clock_id: int) -> Timespec:
    """Return what a clock shows (subr_time.c: clock_gettime1). Errors: EINVAL."""
    clock = _CLOCKS.get(clock_id)
    if clock is None:
        raise VfsError(errno.EINVAL)
    return clock()


@syscall("__clock_gettime50")
def sys_clock_gettime(p: Proc, clock_id: int) -> bytes:
    """Return the time of day (clock 0) or the time since the boot (3). Errors: EINVAL."""
    return _timespec.pack(*clock_gettime(clock_id))


@syscall("__clock_getres50", raw=True)
def sys_clock_getres(p: Proc, clock_id: int, tp: int) -> int | Done:
    """Return the resolution of a clock, which for all is a nanosecond. Errors: EINVAL."""
    if clock_id not in _CLOCKS:
        raise VfsError(errno.EINVAL)
    return Done(tp, _RESOLUTION) if tp else 0


@syscall("__gettimeofday50", raw=True)
def sys_gettimeofday(p: Proc, tp: int, tzp: int) -> int | Done | Body:
    """Return the time of day in microseconds, and a time zone, which is always that of Greenwich."""
    if tzp:
        return _gettimeofday(tp, tzp)
    return Done(tp, _timeofday()) if tp else 0


def _timeofday() -> bytes:
    seconds, nanoseconds = now()
    return _timeval.pack(seconds, nanoseconds // 1000)


def _gettimeofday(tp: int, tzp: int) -> Generator[Request, Any, int]:
    if tp:
        yield CopyOut(tp, _timeofday())
    yield CopyOut(tzp, _timezone)
    return 0


def _settime(p: Proc, seconds: int, nanoseconds: int) -> int:
    """Set the time of day. Errors: EPERM; EINVAL for what is no time, or none that a file can have."""
    if p.cred.euid:
        raise VfsError(errno.EPERM)
    if not 0 <= seconds <= TIME_MAX or not 0 <= nanoseconds < 1_000_000_000:
        raise VfsError(errno.EINVAL)
    settime(seconds, nanoseconds)
    return 0


@syscall("__clock_settime50")
def sys_clock_settime(p: Proc, clock_id: int, tp: bytes | None) -> int:
    """Set the time of day (clock 0). Errors: EFAULT, EINVAL (another clock, no time), EPERM."""
    if tp is None:
        raise VfsError(errno.EFAULT)
    if clock_id != CLOCK_REALTIME:
        raise VfsError(errno.EINVAL)
    return _settime(p, *_timespec.unpack(tp))


@syscall("__settimeofday50")
def sys_settimeofday(p: Proc, tv: bytes | None, tzp: int) -> int:
    """Set the time of day; a NULL time is none, and a time zone is not looked at. Errors: EPERM, EINVAL."""
    if tv is None:
        return 0
    seconds, microseconds = _timeval.unpack(tv)
    return _settime(p, seconds, microseconds * 1000)


@syscall("__adjtime50", raw=True)
def sys_adjtime(p: Proc, delta: int, olddelta: int) -> Body:
    """Move the time of day, at once and not little by little: so nothing is ever left over (olddelta is 0).

    Errors: EPERM, EFAULT, EINVAL (it would be no time that a file can have).
    """
    if p.cred.euid:
        raise VfsError(errno.EPERM)
    if delta:
        seconds, microseconds = _timeval.unpack((yield CopyIn(delta, _timeval.size)))
        if not 0 <= now()[0] + seconds + microseconds // 1_000_000 < TIME_MAX:
            raise VfsError(errno.EINVAL)
        adjtime((seconds * 1_000_000 + microseconds) * 1000)
    if olddelta:
        yield CopyOut(olddelta, bytes(_timeval.size))
    return 0


def _nanoseconds(timespec: Timespec) -> int:
    return timespec[0] * 1_000_000_000 + timespec[1]


def _nanosleep(clock_id: int, flags: int, rqtp: int, rmtp: int) -> Generator[Request, Any, None]:
    """Sleep, and store what was left of the time when that was asked for (kern_time.c: nanosleep1).

    Errors:
        EFAULT.
        EINVAL: no such clock; nanoseconds that are none.
        EINTR.
    """
    seconds, fraction = _timespec.unpack((yield CopyIn(rqtp, _timespec.size)))
    start = clock_gettime(clock_id)
    if not 0 <= fraction < 1_000_000_000:
        raise VfsError(errno.EINVAL)
    end = _nanoseconds((seconds, fraction)) + (0 if flags & TIMER_ABSTIME else _nanoseconds(start))
    left = end - _nanoseconds(start)
    interrupted = False
    if left > 0:
        try:
            yield Sleep(WaitQueue(), time.monotonic() + left / 1e9)
        except VfsError as error:
            if error.errno != errno.EINTR:
                raise
            interrupted = True
    if rmtp:
        left = max(0, end - _nanoseconds(clock_gettime(clock_id))) if interrupted else 0
        yield CopyOut(rmtp, _timespec.pack(*divmod(left, 1_000_000_000)))
    if interrupted:
        raise VfsError(errno.EINTR)


@syscall("__nanosleep50", raw=True)
def sys_nanosleep(p: Proc, rqtp: int, rmtp: int) -> Body:
    """Sleep. Errors: EFAULT, EINVAL, EINTR."""
    yield from _nanosleep(CLOCK_MONOTONIC, 0, rqtp, rmtp)
    return 0


@syscall("clock_nanosleep", raw=True)
def sys_clock_nanosleep(p: Proc, clock_id: int, flags: int, rqtp: int, rmtp: int) -> Body:
    """Sleep for a time or (TIMER_ABSTIME) until one, and return the errno: EFAULT, EINVAL, EINTR."""
    try:
        yield from _nanosleep(clock_id, flags, rqtp, rmtp)
    except VfsError as error:
        return error.errno
    return 0
