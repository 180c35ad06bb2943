"""SIGIO: telling the owner of a file that it can be read or written (NetBSD: kern_descrip.c)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from rumpfs.abi import errno
from rumpfs.abi.ioctl import FIOASYNC, FIOGETOWN, FIOSETOWN, TIOCGPGRP, TIOCSPGRP
from rumpfs.abi.limits import SIGIO
from rumpfs.base.errors import VfsError
from rumpfs.base.pipebuf import Sigio

if TYPE_CHECKING:
    from rumpfs.kern.descrip import File
    from rumpfs.kern.kernel import Kernel
    from rumpfs.kern.proc import Proc

#: these have a process group where the others have it with a minus
_PGRP = (TIOCGPGRP, TIOCSPGRP)
_COMMANDS = (FIOASYNC, FIOGETOWN, FIOSETOWN, *_PGRP)


def fownsignal(kernel: Kernel, pgid: int) -> None:
    """Raise SIGIO in the process `pgid`, or in the group of that number when it is negative."""
    if pgid < 0:
        pgrp = kernel.pgrps.get(-pgid)
        members = list(pgrp.members) if pgrp is not None else []
    else:
        members = [kernel.procs[pgid]] if pgid in kernel.procs else []
    for p in members:
        p.psignal(SIGIO)


def fo_ioctl(p: Proc, fp: File, command: int, data: bytes) -> bytes:
    """Carry out a command on a file: those about its owner here, the others by itself.

    Returns:
        What the command stores.

    Errors: those of `_fsetown`; ENOTTY: nobody can be told, and those of the file.
    """
    owners = fp.owners() if command in _COMMANDS else []
    if not owners:
        return fp.ioctl(command, data)
    if command in (FIOGETOWN, TIOCGPGRP):
        return _signed(-owners[0].pgid if command in _PGRP else owners[0].pgid)
    if command == FIOASYNC:
        for sigio in owners:
            sigio.on = any(data)
    else:
        _fsetown(p, owners, command, int.from_bytes(data, "little", signed=True))
    return b""


def _signed(number: int) -> bytes:
    return number.to_bytes(4, "little", signed=True)


def _fsetown(p: Proc, owners: list[Sigio], command: int, pgid: int) -> None:
    """Set who is told (fsetown).

    Errors:
        EINVAL: a negative group for TIOCSPGRP; no such group.
        ESRCH: no such process.
        EPERM: a group of another session.
    """
    if command in _PGRP:
        if pgid < 0:
            raise VfsError(errno.EINVAL)
        pgid = -pgid
    if pgid > 0 and pgid not in p.kernel.procs:
        raise VfsError(errno.ESRCH)
    if pgid < 0:
        pgrp = p.kernel.pgrps.get(-pgid)
        if pgrp is None:
            raise VfsError(errno.EINVAL)
        if pgrp.session is not p.pgrp.session:
            raise VfsError(errno.EPERM)
    for sigio in owners:
        sigio.pgid = pgid
        sigio.signal = partial(fownsignal, p.kernel)
