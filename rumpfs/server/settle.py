"""How a program that serves for long deals with the memory of its process."""

from __future__ import annotations

import ctypes
import gc
from typing import Final

#: parameters of mallopt(3) in glibc
_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3
#: bytes at the end of the heap that are kept when they are free
KEPT: Final = 64 << 20
#: requests of so many bytes get a mapping of their own, which goes when they are freed
_MAPPED: Final = 32 << 20


def settle() -> None:
    """Get ready to serve: what has been loaded stays, and so does memory that is freed, up to `KEPT` bytes.

    A page that the host gives anew costs as much as 4 KiB take to be copied several times, and what a client
    writes passes through memory that is freed right after. C libraries other than glibc have their own ways.
    """
    gc.freeze()
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _MAPPED)
        mallopt(_M_TRIM_THRESHOLD, KEPT)
