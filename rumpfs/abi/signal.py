"""Signals by number (sys/sys/signal.h)."""

from __future__ import annotations

from typing import Final

_NAMES: Final = (
    "HUP INT QUIT ILL TRAP ABRT EMT FPE KILL BUS SEGV SYS PIPE ALRM TERM URG STOP TSTP CONT CHLD TTIN TTOU "
    "IO XCPU XFSZ VTALRM PROF WINCH INFO USR1 USR2 PWR"
)
#: NetBSD number -> name
NAMES: Final = {number: f"SIG{name}" for number, name in enumerate(_NAMES.split(), 1)}
