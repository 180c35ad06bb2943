"""sysctl(3) for the tests, of a process in this one and through a server."""

from __future__ import annotations

import struct
from typing import NamedTuple

from tests.kern.incore import Process
from tests.serving import Peer

SYS_SYSCTL = 202


class Answer(NamedTuple):
    """What a call came to: the errno's name, what was stored at oldp, and in *oldlenp."""

    error: str
    old: bytes
    oldlen: int


def mib(*numbers: int) -> bytes:
    return struct.pack(f"<{len(numbers)}i", *numbers)


def sysctl(p: Process, *numbers: int, room: int | None = 1 << 16, new: bytes | None = None) -> Answer:
    """Make the call as sysctl(3) does; `room` None: no old value is wanted, but its size."""
    old = None if room is None else bytearray(b"\xaa" * room)
    oldlen = bytearray(struct.pack("<Q", room or 0))
    newlen = 0 if new is None else len(new)
    error = p.error("__sysctl", mib(*numbers), len(numbers), old, oldlen, new, newlen)
    length = int.from_bytes(oldlen, "little")
    return Answer(error, bytes(old or b"")[:length], length)


def value(p: Process, *numbers: int) -> bytes:
    answer = sysctl(p, *numbers)
    assert answer.error == "ok"
    assert len(answer.old) == answer.oldlen
    return answer.old


def integer(p: Process, *numbers: int) -> int:
    return int.from_bytes(value(p, *numbers), "little", signed=True)


def remote(peer: Peer, *numbers: int) -> bytes:
    memory = {0x1000: mib(*numbers), 0x2000: struct.pack("<Q", 4096)}
    call = peer.call(SYS_SYSCTL, 0x1000, len(numbers), 0x3000, 0x2000, 0, 0, memory=memory)
    assert call.error == 0
    (_, old), (at, oldlen) = call.stored
    assert (at, oldlen) == (0x2000, struct.pack("<Q", len(old)))
    return old
