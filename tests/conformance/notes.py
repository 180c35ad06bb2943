"""What happens to files, as kqueue(2) tells it (NetBSD: the kqueue helper of tests/fs/tmpfs/h_tools.c)."""

from __future__ import annotations

import struct
from typing import Any

from rumpfs.abi import event
from rumpfs.abi.event import EV_ADD, EV_CLEAR, EVFILT_VNODE, KEVENT
from rumpfs.abi.fcntl import O_RDONLY

_NOTES = {number: name for name, number in vars(event).items() if name.startswith("NOTE_")}
_NOW = struct.pack("<qq", 0, 0)


class Watch:
    """Files that are watched from now on."""

    def __init__(self, p: Any, *paths: bytes) -> None:
        self._p = p
        self._paths = {p.call("open", path, O_RDONLY, 0): path for path in paths}
        self._kq = p.call("kqueue")
        every = sum(_NOTES)
        changes = [KEVENT.pack(fd, EVFILT_VNODE, EV_ADD | EV_CLEAR, every, 0, 0) for fd in self._paths]
        p.call("__kevent50", self._kq, b"".join(changes), len(changes), None, 0, None)

    def notes(self) -> set[tuple[bytes, str]]:
        """Return what has happened to each, and stop watching."""
        room = bytearray(KEVENT.size * len(self._paths))
        count = self._p.call("__kevent50", self._kq, None, 0, room, len(self._paths), _NOW)
        happened = set()
        for ident, _, _, fflags, _, _ in KEVENT.iter_unpack(room[: count * KEVENT.size]):
            happened |= {(self._paths[ident], name) for bit, name in _NOTES.items() if fflags & bit}
        for fd in (*self._paths, self._kq):
            self._p.call("close", fd)
        return happened
