"""The memory devices that file servers need: /dev/null, /dev/full and /dev/zero (NetBSD: sys/dev/mm.c)."""

from __future__ import annotations

from typing import NoReturn

from rumpfs.abi import errno
from rumpfs.base.copy import Buffer, Data
from rumpfs.base.errors import VfsError
from rumpfs.vfs.specfs import Device, Devsw
from rumpfs.vfs.vnode import VCHR

MAJOR = 2
NULL_MINOR = 2
FULL_MINOR = 11
ZERO_MINOR = 12

_ZEROES = memoryview(bytes(1 << 16))


class Null(Device):
    """/dev/null: reads as an empty file, and takes everything."""

    discards = True

    def read(self, offset: int, length: int) -> Data:
        return b""

    def write(self, offset: int, data: Buffer) -> int:
        return len(data)


class Zero(Null):
    """/dev/zero: as many zero bytes as are asked for."""

    def read(self, offset: int, length: int) -> Data:
        whole, rest = divmod(length, len(_ZEROES))
        pieces: list[Buffer] = [_ZEROES] * whole
        pieces.append(_ZEROES[:rest])
        return pieces


class Full(Zero):
    """/dev/full: reads as /dev/zero, and has no room."""

    discards = False

    def write(self, offset: int, data: Buffer) -> NoReturn:
        """Fail. Errors: ENOSPC."""
        raise VfsError(errno.ENOSPC)


_DEVICES: dict[int, type[Device]] = {NULL_MINOR: Null, FULL_MINOR: Full, ZERO_MINOR: Zero}


def open_device(minor: int, vtype: int, flags: int) -> Device:
    """Open a memory device (mm_open). Errors: ENXIO: no device of that number here."""
    if minor not in _DEVICES:
        raise VfsError(errno.ENXIO)
    return _DEVICES[minor]()


def attach(devsw: Devsw) -> None:
    """Enter the driver of character major 2."""
    devsw.attach(VCHR, MAJOR, open_device)
