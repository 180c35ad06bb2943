"""What is wrong with a source."""

from __future__ import annotations

import os


class SourceError(Exception):
    """A source cannot be used; the text says which one, where, and what helps."""


def shown(path: bytes) -> str:
    """Return a path for messages."""
    return os.fsdecode(path)
