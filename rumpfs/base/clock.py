"""The kernel's clock."""

from __future__ import annotations

import time

#: seconds and nanoseconds since 1970
Timespec = tuple[int, int]


def now() -> Timespec:
    """Return the time of day (kern_tc.c: nanotime)."""
    return divmod(time.time_ns(), 1_000_000_000)


#: when this kernel was booted
BOOT: Timespec = now()
