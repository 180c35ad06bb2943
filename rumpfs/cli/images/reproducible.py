"""Time and chance for what is to be made again: SOURCE_DATE_EPOCH (reproducible-builds.org)."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from typing import Final

from rumpfs.cli.tool import USAGE, Failure

_VARIABLE: Final = "SOURCE_DATE_EPOCH"


def epoch() -> int | None:
    """Return what SOURCE_DATE_EPOCH holds, None when it is not set. Errors: Failure: it is no number."""
    text = os.environ.get(_VARIABLE)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit()):
        raise Failure(f"{_VARIABLE} is {text!r}, and no number of seconds", USAGE)
    return int(text)


def now() -> int:
    """Return the time in seconds that new things get."""
    seconds = epoch()
    return int(time.time()) if seconds is None else seconds


def random_source() -> Callable[[int], bytes]:
    """Return what draws bytes: the same ones each time when SOURCE_DATE_EPOCH is set."""
    seconds = epoch()
    return os.urandom if seconds is None else random.Random(seconds).randbytes
