"""ioctl commands and how a command word is built (sys/sys/ioccom.h, filio.h, ttycom.h, dkio.h)."""

from __future__ import annotations

from typing import Final

IOC_VOID: Final = 0x20000000
IOC_OUT: Final = 0x40000000
IOC_IN: Final = 0x80000000
IOCPARM_MAX: Final = 4096

FIOCLEX: Final = 0x20006601
FIONCLEX: Final = 0x20006602
FIONREAD: Final = 0x4004667F
FIONBIO: Final = 0x8004667E
FIOASYNC: Final = 0x8004667D
FIONWRITE: Final = 0x40046679
FIONSPACE: Final = 0x40046678
FIOSETOWN: Final = 0x8004667C
FIOGETOWN: Final = 0x4004667B
TIOCSPGRP: Final = 0x80047476
TIOCGPGRP: Final = 0x40047477
TIOCGETA: Final = 0x402C7413
DIOCGDINFO: Final = 0x41986465
DIOCCACHESYNC: Final = 0x80046476
DIOCGMEDIASIZE: Final = 0x40086484
DIOCGSECTORSIZE: Final = 0x40046485


def parameter_length(command: int) -> int:
    """Return the byte count that a command word carries (IOCPARM_LEN)."""
    return command >> 16 & 0x1FFF
