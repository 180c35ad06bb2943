"""Interval timers of processes (NetBSD: kern_time.c, sys/timevar.h).

Timers of the real and the monotonic clock are callouts of the kernel. Those of CLOCK_VIRTUAL and CLOCK_PROF
run while their process uses a processor, and no client's process does so in here: as in a rump kernel, whose
clock interrupt finds only the kernel's own lwps, they keep the value that was set.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, NamedTuple

from rumpfs.abi import errno
from rumpfs.abi.limits import NSIG, SIGALRM, SIGPROF, SIGVTALRM
from rumpfs.abi.time import (
    CLOCK_MONOTONIC,
    CLOCK_PROF,
    CLOCK_REALTIME,
    CLOCK_VIRTUAL,
    SIGEV_NONE,
    SIGEV_SA,
    SIGEV_SIGNAL,
    TIMER_MAX,
    TIMER_MIN,
)
from rumpfs.base.callout import Callout
from rumpfs.base.clock import CLOCKS, Timespec, nanoseconds
from rumpfs.base.errors import VfsError

if TYPE_CHECKING:
    from rumpfs.kern.proc import Proc

#: a tick of the clock (hz is 100): no time that is set is shorter
TICK: Final = 10_000_000  # nanoseconds

#: the signal of each clock
SIGNALS: Final = {
    CLOCK_REALTIME: SIGALRM,
    CLOCK_VIRTUAL: SIGVTALRM,
    CLOCK_PROF: SIGPROF,
    CLOCK_MONOTONIC: SIGALRM,
}
#: timers below this number cannot be named by a timer_t
_LOWEST: Final = 2


class Itimer(NamedTuple):
    """A time and how often it comes again, in nanoseconds (struct itimerspec)."""

    interval: int
    value: int


def itimespecfix(moment: Timespec) -> int:
    """Return a time in nanoseconds, a short one as long as a tick (subr_time.c: itimespecfix).

    Errors:
        EINVAL: nanoseconds that are none.
        ETIMEDOUT: it is negative.
    """
    if not 0 <= moment[1] < 1_000_000_000:
        raise VfsError(errno.EINVAL)
    if moment[0] < 0:
        raise VfsError(errno.ETIMEDOUT)
    length = nanoseconds(moment)
    return max(length, TICK) if length else 0


class Ptimer:
    """A timer of a process (struct ptimer).

    Args:
        p: the process.
        clock_id: CLOCK_REALTIME to CLOCK_MONOTONIC.
        notify: SIGEV_SIGNAL, or something that nobody hears of.
        signo: which signal.

    Attributes:
        poverruns: how often it expired unheard before it was heard the last time.
    """

    __slots__ = (
        "_callout", "_interval", "_overruns", "_value", "clock_id", "notify", "p", "poverruns", "signo"
    )  # fmt: skip

    def __init__(self, p: Proc, clock_id: int, notify: int, signo: int) -> None:
        self.p = p
        self.clock_id = clock_id
        self.notify = notify
        self.signo = signo
        self.poverruns = 0
        self._overruns = 0
        self._interval = 0
        self._value = 0  # on its clock; for the virtual ones what is left
        self._callout = Callout(self._expire)

    def _now(self) -> int:
        """Return what its clock shows, in nanoseconds; the virtual ones stand still."""
        clock = CLOCKS.get(self.clock_id)
        return nanoseconds(clock()) if clock is not None else 0

    def gettime(self) -> Itimer:
        """Return the interval and how long it still is (timer_gettime)."""
        return Itimer(self._interval, max(0, self._value - self._now()) if self._value else 0)

    def settime(self, timer: Itimer, absolute: bool = False) -> None:
        """Start it anew, or stop it with a value of 0 (timer_settime).

        Args:
            timer: the interval and the value.
            absolute: the value is what the clock shows when it expires.
        """
        now = self._now()
        self._interval = timer.interval
        self._value = timer.value and timer.value + (0 if absolute else now)
        callouts = self.p.kernel.callouts
        callouts.stop(self._callout)
        if self._value and self.clock_id in CLOCKS:
            callouts.reset(self._callout, time.monotonic() + (self._value - now) / 1e9)

    def stop(self) -> None:
        """Let it never expire."""
        self.settime(Itimer(0, 0))

    def _expire(self) -> None:
        """It has expired: tell, and start again if it has an interval (realtimerexpire)."""
        self._fire()
        now = self._now()
        if not self._interval:
            self._value = 0
            return
        missed = max(0, (now - self._value) // self._interval)
        self._overruns += missed
        self._value += (missed + 1) * self._interval
        left = min(self._value - now, self._interval)  # unless the clock was set back
        self.p.kernel.callouts.reset(self._callout, time.monotonic() + left / 1e9)

    def _fire(self) -> None:
        """Raise the signal; while an earlier one waits for the client, count that (timer_intr)."""
        if self.notify != SIGEV_SIGNAL:
            return
        if self.p.psignal(self.signo):
            self.poverruns, self._overruns = self._overruns, 0
        else:
            self._overruns += 1


class Timers:
    """The timers of a process by number; those below TIMER_MIN are setitimer's (struct ptimers)."""

    __slots__ = ("_p", "_timers")

    def __init__(self, p: Proc) -> None:
        self._p = p
        self._timers: list[Ptimer | None] = [None] * TIMER_MAX

    def itimer(self, which: int) -> Ptimer | None:
        """Return the timer that setitimer made for the clock `which`; None if it did not."""
        return self._timers[which]

    def setitimer(self, which: int, timer: Itimer) -> None:
        """Set the process's own timer of the clock `which` (dosetitimer)."""
        pt = self._timers[which]
        if pt is None:
            pt = self._timers[which] = Ptimer(self._p, which, SIGEV_SIGNAL, SIGNALS[which])
        pt.settime(timer)

    def create(self, clock_id: int, notify: int, signo: int) -> int:
        """Make a timer and return its number (timer_create1).

        Errors: EINVAL (no such notification or signal), EAGAIN (too many).
        """
        if not SIGEV_NONE <= notify <= SIGEV_SA or (notify == SIGEV_SIGNAL and not 0 < signo < NSIG):
            raise VfsError(errno.EINVAL)
        for number in range(TIMER_MIN, TIMER_MAX):
            if self._timers[number] is None:
                self._timers[number] = Ptimer(self._p, clock_id, notify, signo)
                return number
        raise VfsError(errno.EAGAIN)

    def get(self, number: int) -> Ptimer:
        """Return a timer. Errors: EINVAL."""
        pt = self._timers[number] if _LOWEST <= number < TIMER_MAX else None
        if pt is None:
            raise VfsError(errno.EINVAL)
        return pt

    def delete(self, number: int) -> None:
        """Stop and forget a timer. Errors: EINVAL."""
        self.get(number).stop()
        self._timers[number] = None

    def free(self) -> None:
        """Stop all of them: the process ends (timers_free)."""
        for pt in self._timers:
            if pt is not None:
                pt.stop()


def timers_of(p: Proc) -> Timers:
    """Return the timers of a process, which has room for them from now on (timers_alloc)."""
    if p.timers is None:
        p.timers = Timers(p)
    return p.timers
