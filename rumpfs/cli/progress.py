"""How far a copy has come: a line on standard error, when that is a terminal."""

from __future__ import annotations

import sys
import time
from typing import Final

from rumpfs.cli.listing import human

#: nothing is shown for what takes less, and no oftener, in seconds
_INTERVAL: Final = 0.25
AUTO: Final = "auto"
PLAIN: Final = "plain"
NONE: Final = "none"
CHOICES: Final = (AUTO, PLAIN, NONE)


class Progress:
    """Shows the bytes copied of one file after the other.

    Args:
        style: AUTO: a line that changes, when standard error is a terminal; PLAIN: a new line each second;
            NONE: nothing.
    """

    def __init__(self, style: str) -> None:
        self._plain = style == PLAIN
        self._on = self._plain or (style == AUTO and sys.stderr.isatty())
        self._interval = 1.0 if self._plain else _INTERVAL
        self._shown = 0
        self._start = self._next = 0.0
        self._name = ""
        self._total = 0

    def begin(self, name: str, total: int) -> None:
        """Begin with a file of `total` bytes."""
        if self._on:
            self._name = name
            self._total = total
            self._start = time.monotonic()
            self._next = self._start + self._interval

    def update(self, done: int) -> None:
        """Say that `done` bytes are copied."""
        if not self._on:
            return
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + self._interval
        part = human(done)
        if self._total and done <= self._total:  # the size of a device says nothing
            part = f"{done * 100 // self._total:3}% {part} of {human(self._total)}"
        text = f"{self._name}  {part}  {human(int(done / (now - self._start)))}/s"
        text = text.encode("ascii", "replace").decode()
        if self._plain:
            print(text, file=sys.stderr)
        else:
            print(f"\r{text.ljust(self._shown)}", end="", file=sys.stderr, flush=True)
            self._shown = len(text)

    def end(self) -> None:
        """Remove what is shown."""
        if self._shown:
            print(f"\r{' ' * self._shown}\r", end="", file=sys.stderr, flush=True)
            self._shown = 0


class Unpacking:
    """Shows, on a terminal, how far the unpacking of a compressed image is (`dev.compressed.Progress`)."""

    def __init__(self) -> None:
        self._progress = Progress(AUTO)
        self._begun = False

    def __call__(self, name: str, done: int, total: int) -> None:
        """Say that `done` of `total` bytes are read."""
        if not self._begun:
            self._progress.begin(f"unpacking {name}", total)
            self._begun = True
        self._progress.update(done)
        if done >= total:
            self._progress.end()
