"""What this kernel calls itself: one place for the banner, uname(3) and sysctl(3).

The strings are those of the NetBSD whose ABI the tables of this package hold (sys/conf/osrelease.sh,
sys/sys/param.h, sys/arch/amd64; the version string and the model are the rump kernel's own).
"""

from __future__ import annotations

from typing import Final

OSTYPE: Final = b"NetBSD"
OSRELEASE: Final = b"7.99.34"
OSREVISION: Final = 799003400  # __NetBSD_Version__
VERSION: Final = OSTYPE + b" " + OSRELEASE + b" (RUMP-ROAST)\n"
MACHINE: Final = b"amd64"
MACHINE_ARCH: Final = b"x86_64"
MODEL: Final = b"rumpcore (virtual)"
