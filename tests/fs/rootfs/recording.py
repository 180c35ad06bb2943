"""What a recording of the C server says: the structures that it copied out, call by call."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

from rumpfs.abi.stat import STAT

_HEADER = 24 + 16  # of a COPYOUT frame: the frame's, then length and address


class Call(NamedTuple):
    """One system call: its name, and the bytes that it stored, one piece after the other."""

    name: str
    stored: bytes


def calls(path: Path) -> list[Call]:
    """Return the calls of a recording in order."""
    found: list[Call] = []
    for line in path.read_text().splitlines():
        message = json.loads(line)
        if message.get("sys"):
            found.append(Call(message["sys"], b""))
        elif message.get("type") == "COPYOUT":
            stored = found[-1].stored + bytes.fromhex(message["hex"])[_HEADER:]
            found[-1] = found[-1]._replace(stored=stored)
    return found


def stored(path: Path, *names: str) -> list[bytes]:
    """Return what each call of these names stored, calls that stored nothing left out."""
    return [call.stored for call in calls(path) if call.name in names and call.stored]


def without_times(packed: bytes, *zeroed: int) -> tuple[int, ...]:
    """Return the fields of a struct stat without its times, and with the fields of these numbers zeroed."""
    fields = list(STAT.unpack(packed))
    for index in zeroed:
        fields[index] = 0
    return tuple(fields[:7] + fields[15:])


def times(packed: bytes) -> list[tuple[int, int]]:
    """Return access, modification, change and birth time of a struct stat."""
    fields = STAT.unpack(packed)[7:15]
    return list(zip(fields[::2], fields[1::2], strict=True))
