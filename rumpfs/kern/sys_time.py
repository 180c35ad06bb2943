"""Clocks and sleeping (NetBSD: kern_time.c, subr_time.c).

The time of day is the host's until root sets it; what is set is this kernel's clock, never the host's.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from struct import Struct
from typing import Any

from rumpfs.abi import errno
from rumpfs.abi.time import (
    CLOCK_MONOTONIC,
    CLOCK_PROCESS_CPUTIME_ID,
    CLOCK_REALTIME,
    CLOCK_THREAD_CPUTIME_ID,
    P_LWPID,
    P_PID,
    TIMER_ABSTIME,
    TIMESPEC,
    TIMEVAL,
)
from rumpfs.base.clock import CLOCKS, TIME_MAX, Timespec, adjtime, nanoseconds, now, settime
from rumpfs.base.copy import Body, CopyIn, CopyOut, Done, Request, Sleep
from rumpfs.base.errors import VfsError
from rumpfs.base.waitq import WaitQueue
from rumpfs.kern.proc import Proc
from rumpfs.kern.syscall import syscall

_timezone = bytes(8)  # struct timezone: west of Greenwich 0, no daylight saving


def clock_gettime(p: Proc, clock_id: int) -> Timespec:
    """Return what a clock shows (subr_time.c: clock_gettime1).

    The processor time of a process or lwp is 0: it is spent in the client, not in here.

    Errors: EINVAL (no such clock), ESRCH (no such process).
    """
    clock = CLOCKS.get(clock_id)
    if clock is not None:
        return clock()
    if clock_id & CLOCK_PROCESS_CPUTIME_ID:
        pid = clock_id & 0xFFFFFFFF & ~(CLOCK_PROCESS_CPUTIME_ID | CLOCK_THREAD_CPUTIME_ID)
        if pid and pid not in p.kernel.procs:
            raise VfsError(errno.ESRCH)
        return 0, 0
    if clock_id & CLOCK_THREAD_CPUTIME_ID:
        return 0, 0
    raise VfsError(errno.EINVAL)


@syscall("__clock_gettime50")
def sys_clock_gettime(p: Proc, clock_id: int) -> bytes:
    """Return the time of day (clock 0), since the boot (3), or of a processor. Errors: EINVAL, ESRCH."""
    return TIMESPEC.pack(*clock_gettime(p, clock_id))


@syscall("clock_getcpuclockid2", raw=True)
def sys_clock_getcpuclockid2(p: Proc, idtype: int, id_: int, clock_id: int) -> Body:
    """Store the number of the clock for the processor time of a process or an lwp. Errors: EINVAL, EFAULT."""
    if idtype not in (P_PID, P_LWPID):
        raise VfsError(errno.EINVAL)
    number = CLOCK_PROCESS_CPUTIME_ID | (id_ or p.pid) if idtype == P_PID else CLOCK_THREAD_CPUTIME_ID | id_
    yield CopyOut(clock_id, (number & 0xFFFFFFFF).to_bytes(4, "little"))
    return 0


@syscall("__clock_getres50", raw=True)
def sys_clock_getres(p: Proc, clock_id: int, tp: int, codec: Struct = TIMESPEC) -> int | Done:
    """Return the resolution of a clock, which for all is a nanosecond. Errors: EINVAL."""
    if clock_id not in CLOCKS:
        raise VfsError(errno.EINVAL)
    return Done(tp, codec.pack(0, 1)) if tp else 0


@syscall("__gettimeofday50", raw=True)
def sys_gettimeofday(p: Proc, tp: int, tzp: int, codec: Struct = TIMEVAL) -> int | Done | Body:
    """Return the time of day in microseconds, and a time zone, which is always that of Greenwich."""
    if tzp:
        return _gettimeofday(tp, tzp, codec)
    return Done(tp, _timeofday(codec)) if tp else 0


def _timeofday(codec: Struct) -> bytes:
    seconds, fraction = now()
    return codec.pack(seconds, fraction // 1000)


def _gettimeofday(tp: int, tzp: int, codec: Struct) -> Generator[Request, Any, int]:
    if tp:
        yield CopyOut(tp, _timeofday(codec))
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
    return _settime(p, *TIMESPEC.unpack(tp))


@syscall("__settimeofday50")
def sys_settimeofday(p: Proc, tv: bytes | None, tzp: int) -> int:
    """Set the time of day; a NULL time is none, and a time zone is not looked at. Errors: EPERM, EINVAL."""
    if tv is None:
        return 0
    seconds, microseconds = TIMEVAL.unpack(tv)
    return _settime(p, seconds, microseconds * 1000)


@syscall("__adjtime50", raw=True)
def sys_adjtime(p: Proc, delta: int, olddelta: int, codec: Struct = TIMEVAL) -> Body:
    """Move the time of day, at once and not little by little: so nothing is ever left over (olddelta is 0).

    Errors: EPERM, EFAULT, EINVAL (it would be no time that a file can have).
    """
    if p.cred.euid:
        raise VfsError(errno.EPERM)
    if delta:
        seconds, microseconds = codec.unpack((yield CopyIn(delta, codec.size)))
        if not 0 <= now()[0] + seconds + microseconds // 1_000_000 < TIME_MAX:
            raise VfsError(errno.EINVAL)
        adjtime((seconds * 1_000_000 + microseconds) * 1000)
    if olddelta:
        yield CopyOut(olddelta, bytes(codec.size))
    return 0


def _nanosleep(
    p: Proc, clock_id: int, flags: int, rqtp: int, rmtp: int, codec: Struct
) -> Generator[Request, Any, None]:
    """Sleep, and store what was left of the time when that was asked for (kern_time.c: nanosleep1).

    Errors:
        EFAULT.
        EINVAL: no such clock; nanoseconds that are none.
        EINTR.
    """
    seconds, fraction = codec.unpack((yield CopyIn(rqtp, codec.size)))
    start = nanoseconds(clock_gettime(p, clock_id))
    if not 0 <= fraction < 1_000_000_000:
        raise VfsError(errno.EINVAL)
    end = nanoseconds((seconds, fraction)) + (0 if flags & TIMER_ABSTIME else start)
    left = end - start
    interrupted = False
    if left > 0:
        try:
            yield Sleep(WaitQueue(), time.monotonic() + left / 1e9)
        except VfsError as error:
            if error.errno != errno.EINTR:
                raise
            interrupted = True
    if rmtp:
        left = max(0, end - nanoseconds(clock_gettime(p, clock_id))) if interrupted else 0
        yield CopyOut(rmtp, codec.pack(*divmod(left, 1_000_000_000)))
    if interrupted:
        raise VfsError(errno.EINTR)


@syscall("__nanosleep50", raw=True)
def sys_nanosleep(p: Proc, rqtp: int, rmtp: int, codec: Struct = TIMESPEC) -> Body:
    """Sleep. Errors: EFAULT, EINVAL, EINTR."""
    yield from _nanosleep(p, CLOCK_MONOTONIC, 0, rqtp, rmtp, codec)
    return 0


@syscall("clock_nanosleep", raw=True)
def sys_clock_nanosleep(p: Proc, clock_id: int, flags: int, rqtp: int, rmtp: int) -> Body:
    """Sleep for a time or (TIMER_ABSTIME) until one, and return the errno: EFAULT, EINVAL, EINTR."""
    try:
        yield from _nanosleep(p, clock_id, flags, rqtp, rmtp, TIMESPEC)
    except VfsError as error:
        return error.errno
    return 0
