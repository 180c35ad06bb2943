"""The memory devices that file servers need: /dev/null and /dev/zero (NetBSD: sys/dev/mm.c)."""

from __future__ import annotations

from rumpfs.abi import errno
from rumpfs.base.copy import Buffer, Data
from rumpfs.base.errors import VfsError
from rumpfs.vfs.specfs import Device, Devsw
from rumpfs.vfs.vnode import VCHR

MAJOR = 2
NULL_MINOR = 2
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


_DEVICES = {NULL_MINOR: Null, ZERO_MINOR: Zero}


def open_device(minor: int, vtype: int, flags: int) -> Device:
    """Open a memory device (mm_open). Errors: ENXIO: no device of that number here."""
    if minor not in _DEVICES:
        raise VfsError(errno.ENXIO)
    return _DEVICES[minor]()


def attach(devsw: Devsw) -> None:
    """Enter the driver of character major 2."""
    devsw.attach(VCHR, MAJOR, open_device)
