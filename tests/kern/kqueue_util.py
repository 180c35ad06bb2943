"""What the tests of kqueue share: struct kevent, and calls that fetch and store arrays of it."""

from __future__ import annotations

import struct
from typing import NamedTuple

from tests.kern.incore import Process, Running

READ, WRITE, VNODE = 0, 1, 3
ADD, DELETE, ENABLE, DISABLE, ONESHOT, CLEAR, RECEIPT, DISPATCH = 1, 2, 4, 8, 0x10, 0x20, 0x40, 0x80
ERROR, EOF = 0x4000, 0x8000
ALL_NOTES = 0x7F
SIZE = 40
NOW = struct.pack("<qq", 0, 0)


class Kevent(NamedTuple):
    """The fields of struct kevent at their offsets (netbsd_abi 3)."""

    ident: int
    filter: int
    flags: int = 0
    fflags: int = 0
    data: int = 0
    udata: int = 0

    def encode(self) -> bytes:
        return struct.pack("<QIII4xqQ", *self)


def decode(events: bytes) -> list[Kevent]:
    return [Kevent(*fields) for fields in struct.iter_unpack("<QIII4xqQ", events)]


def begin(
    p: Process, kq: int, changes: list[Kevent], room: int = 16, timeout: bytes | None = None
) -> Running:
    """Begin a kevent; `finish` gives its events."""
    p.room = bytearray(SIZE * room)
    data = b"".join(change.encode() for change in changes) or None
    return p.begin("__kevent50", kq, data, len(changes), p.room if room else None, room, timeout)


def finish(p: Process, running: Running) -> list[Kevent]:
    return decode(bytes(p.room[: SIZE * running.result]))


def kevent(p: Process, kq: int, *changes: Kevent, room: int = 16) -> list[Kevent]:
    """Change what is watched and return the events that there are."""
    return finish(p, begin(p, kq, list(changes), room, NOW))


def watch(p: Process, fd: int, filt: int, flags: int = 0, fflags: int = 0, kq: int | None = None) -> int:
    """Add a knote, to a new queue unless one is given, and return the queue."""
    if kq is None:
        kq = p.call("kqueue")
    assert p.call("__kevent50", kq, Kevent(fd, filt, ADD | flags, fflags).encode(), 1, None, 0, None) == 0
    return kq
