"""Time that passes without waiting: a file gets the times of an hour ago."""

from __future__ import annotations

import struct
from typing import Any

_HOUR = 3600


def age(p: Any, path: bytes) -> int:
    """Let the last access and modification of a file be an hour ago; return that time."""
    past = int(p.stat(path).ctime) - _HOUR
    p.call("__utimes50", path, struct.pack("<qi4xqi4x", past, 0, past, 0))
    return past
