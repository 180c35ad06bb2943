"""The kernel's clocks: the time of day, and the time since the boot."""

from __future__ import annotations

import time
from typing import Final

from rumpfs.abi.time import CLOCK_MONOTONIC, CLOCK_REALTIME

#: seconds and nanoseconds since 1970
Timespec = tuple[int, int]

#: later times do not fit the inodes of UFS1
TIME_MAX = 2**31 - 1

_offset = 0  # nanoseconds that the time of day is ahead of the host's
_boot = time.monotonic_ns()


def now() -> Timespec:
    """Return the time of day (kern_tc.c: nanotime)."""
    return divmod(time.time_ns() + _offset, 1_000_000_000)


def uptime() -> Timespec:
    """Return the time since the boot (kern_tc.c: nanouptime)."""
    return divmod(time.monotonic_ns() - _boot, 1_000_000_000)


def boottime() -> Timespec:
    """Return when this kernel was booted, on the clock of `now` (kern_time.c: boottime)."""
    return divmod(BOOT[0] * 1_000_000_000 + BOOT[1] + _offset, 1_000_000_000)


def settime(seconds: int, nanoseconds: int) -> None:
    """Make this the time of day (kern_time.c: settime1); the host's clock stays as it is.

    Args:
        seconds: since 1970, at most TIME_MAX.
        nanoseconds: less than 10**9.
    """
    global _offset
    _offset = seconds * 1_000_000_000 + nanoseconds - time.time_ns()


def adjtime(nanoseconds: int) -> None:
    """Move the time of day, forwards or (negative) backwards."""
    global _offset
    _offset += nanoseconds


def nanoseconds(timespec: Timespec) -> int:
    """Return a time in nanoseconds."""
    return timespec[0] * 1_000_000_000 + timespec[1]


#: the clocks that can be read, by their numbers
CLOCKS: Final = {CLOCK_REALTIME: now, CLOCK_MONOTONIC: uptime}

#: when this kernel was booted, on the host's clock
BOOT: Timespec = now()
