"""The end of standard output: what is left in its buffer is written, or it is said why not."""

from __future__ import annotations

import os
import sys
from typing import Final

#: exit status when nobody reads the output any more: that of a program which SIGPIPE ended
SIGPIPE: Final = 128 + 13
#: in the order of their descriptors: name, mode, and what /dev/null is opened for in its place
_STREAMS: Final = (
    ("stdin", "r", os.O_RDONLY),
    ("stdout", "w", os.O_RDONLY),
    ("stderr", "w", os.O_RDWR),
)


def complete() -> None:
    """Let there be all standard streams, so that no image gets the descriptor of one that is closed.

    What is written to a closed standard output is an error, as it is for other commands.
    """
    for name, mode, flags in _STREAMS:
        if getattr(sys, name) is None:
            fd = os.open(os.devnull, flags)  # the lowest one: the stream's own
            setattr(sys, name, open(fd, mode, errors="surrogateescape", closefd=False))  # noqa: SIM115


def lost(name: str, error: OSError, status: int = 1) -> int:
    """Give standard output up; return the exit status.

    Args:
        name: the command, for the message; there is none when merely nobody reads any more.
        status: exit status of a failure.
    """
    # The interpreter must not try again at its end.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if isinstance(error, BrokenPipeError):
        return SIGPIPE
    print(f"{name}: standard output: {error.strerror or error}", file=sys.stderr)
    return status


def show(name: str, text: str) -> int:
    """Print a text, such as a help; return the exit status."""
    try:
        sys.stdout.write(text)
    except OSError as error:
        return lost(name, error)
    return finish(name, 0)


def finish(name: str, status: int) -> int:
    """Write what is left; return `status`, or the exit status that a failure asks for."""
    try:
        sys.stdout.flush()
    except OSError as error:
        return lost(name, error)
    return status
