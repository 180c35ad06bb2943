"""What the cases about rename(2) and other calls at the same time let processes do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rumpfs.abi.fcntl import O_CREAT, O_TRUNC, O_WRONLY

#: in place of NetBSD's seconds
ROUNDS = 200


def create_and_unlink(p: Any, path: bytes) -> Iterator[None]:
    """Make and remove a file over and over."""
    for _ in range(ROUNDS):
        fd = p.call("open", path, O_WRONLY | O_CREAT | O_TRUNC, 0o666)
        yield
        assert p.error("unlink", path) in ("ok", "ENOENT")
        yield
        p.call("close", fd)


def rename(p: Any, source: bytes, target: bytes, *errors: str) -> Iterator[None]:
    """Rename over and over; `errors` may happen, and ENOENT."""
    for _ in range(ROUNDS):
        assert p.error("rename", source, target) in ("ok", "ENOENT", *errors)
        yield
