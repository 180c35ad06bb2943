"""Times, clocks, interval timers and their events (sys/sys/time.h, sys/sys/timevar.h, sys/sys/siginfo.h).

What ends in 50 is of NetBSD 5 and before, when time_t had 32 bits (sys/compat/sys/time.h): such a structure
has the size of the present one, and its numbers are cut to what fits.
"""

from __future__ import annotations

import struct
from typing import Any, Final

CLOCK_REALTIME: Final = 0
CLOCK_VIRTUAL: Final = 1
CLOCK_PROF: Final = 2
CLOCK_MONOTONIC: Final = 3
CLOCK_PROCESS_CPUTIME_ID: Final = 0x40000000
CLOCK_THREAD_CPUTIME_ID: Final = 0x80000000
TIMER_ABSTIME: Final = 1

ITIMER_REAL: Final = 0
ITIMER_VIRTUAL: Final = 1
ITIMER_PROF: Final = 2
ITIMER_MONOTONIC: Final = 3

#: numbers of the timers of a process: those below TIMER_MIN are setitimer's
TIMER_MIN: Final = 4
TIMER_MAX: Final = 36
#: the most that timer_getoverrun tells (include/limits.h)
DELAYTIMER_MAX: Final = 32

#: struct sigevent: sigev_notify sigev_signo sigev_value sigev_notify_function sigev_notify_attributes
SIGEVENT: Final = struct.Struct("<iiQQQ")
SIGEV_NONE: Final = 0
SIGEV_SIGNAL: Final = 1
SIGEV_THREAD: Final = 2
SIGEV_SA: Final = 3

# idtype_t (sys/sys/idtype.h)
P_PID: Final = 1
P_LWPID: Final = 2


class _Time50(struct.Struct):
    """A structure with a 32-bit second for every second number; what does not fit loses its upper bits."""

    def pack(self, *numbers: Any) -> bytes:
        return super().pack(
            *((number + 2**31) % 2**32 - 2**31 if index % 2 == 0 else number
              for index, number in enumerate(numbers))
        )  # fmt: skip


TIMESPEC: Final = struct.Struct("<qq")
TIMEVAL: Final = struct.Struct("<qi4x")
TIMESPEC50: Final[struct.Struct] = _Time50("<i4xq")
TIMEVAL50: Final[struct.Struct] = _Time50("<i4xq")
#: struct itimerspec and itimerval: it_interval, it_value
ITIMERSPEC: Final = struct.Struct("<qqqq")
ITIMERVAL: Final = struct.Struct("<qi4xqi4x")
ITIMERSPEC50: Final[struct.Struct] = _Time50("<i4xqi4xq")
ITIMERVAL50: Final[struct.Struct] = _Time50("<i4xqi4xq")


def timevals50(times: bytes) -> bytes:
    """Return two struct timeval for two struct timeval50 (timeval50_to_timeval)."""
    asec, ausec, msec, musec = ITIMERVAL50.unpack(times)
    return ITIMERVAL.pack(asec, _int(ausec), msec, _int(musec))


def timeval50(time: bytes) -> bytes:
    """Return struct timeval for a struct timeval50."""
    sec, usec = TIMEVAL50.unpack(time)
    return TIMEVAL.pack(sec, _int(usec))


def from_timespec50(time: bytes) -> bytes:
    """Return struct timespec for a struct timespec50."""
    return TIMESPEC.pack(*TIMESPEC50.unpack(time))


def to_timespec50(time: bytes) -> bytes:
    """Return struct timespec50 for a struct timespec."""
    return TIMESPEC50.pack(*TIMESPEC.unpack(time))


def _int(number: int) -> int:
    """Return a long as an int, without its upper bits."""
    return (number + 2**31) % 2**32 - 2**31
