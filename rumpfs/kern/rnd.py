"""/dev/random and /dev/urandom: the host's random bytes (NetBSD: sys/dev/rndpseudo.c, subr_cprng.c)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final

from rumpfs.abi import errno
from rumpfs.abi.event import EVFILT_READ
from rumpfs.base.copy import COPYIN_MAX, Buffer, Data
from rumpfs.base.errors import VfsError
from rumpfs.vfs.specfs import Device, Devsw
from rumpfs.vfs.vnode import VCHR

MAJOR: Final = 46  # sys/arch/amd64/conf/majors.amd64: rnd
RANDOM_MINOR: Final = 0  # sys/sys/rnd.h
URANDOM_MINOR: Final = 1
CPRNG_MAX_LEN: Final = 524288  # sys/sys/cprng.h: what kqueue says can be read


class Random(Device):
    """Random bytes, as many as are asked for; what is written is taken and changes nothing on the host."""

    filters: Mapping[int, int] = {EVFILT_READ: CPRNG_MAX_LEN}
    discards = True

    def read(self, offset: int, length: int) -> Data:
        return os.urandom(min(length, COPYIN_MAX))

    def write(self, offset: int, data: Buffer) -> int:
        return len(data)


def open_device(minor: int, vtype: int, flags: int) -> Device:
    """Open either of the two, which are alike here (rndopen). Errors: ENXIO: another minor."""
    if minor not in (RANDOM_MINOR, URANDOM_MINOR):
        raise VfsError(errno.ENXIO)
    return Random()


def attach(devsw: Devsw) -> None:
    """Enter the driver of character major 46."""
    devsw.attach(VCHR, MAJOR, open_device)
