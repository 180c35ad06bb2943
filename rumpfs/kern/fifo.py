"""Open FIFOs (NetBSD: miscfs/fifofs/fifo_vnops.c)."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, NoReturn

from rumpfs.abi import errno, limits
from rumpfs.base.copy import DATA_TYPES, Body, Buffer, Data, Request
from rumpfs.base.errors import VfsError
from rumpfs.base.knote import Filter
from rumpfs.base.pipebuf import Sigio
from rumpfs.base.waitq import WaitQueue
from rumpfs.kern.descrip import VnodeFile
from rumpfs.kern.filterops import pipe_kqfilter, pipe_poll, pipe_queues
from rumpfs.vfs.cred import Cred
from rumpfs.vfs.fifofs import Fifo
from rumpfs.vfs.vnode import Vnode

_PATHCONF = {
    limits.PC_LINK_MAX: limits.LINK_MAX,
    limits.PC_PIPE_BUF: limits.PIPE_BUF,
    limits.PC_CHOWN_RESTRICTED: 1,
    limits.PC_SYNC_IO: 1,
}


class FifoFile(VnodeFile):
    """An open FIFO.

    Args:
        vp: its vnode.
        fifo: the vnode's FIFO, an end of which was opened with `flag`.
    """

    __slots__ = ("fifo",)

    def __init__(self, vp: Vnode, flag: int, fifo: Fifo) -> None:
        super().__init__(vp, flag)
        self.fifo = fifo

    def read(self, length: int) -> Data | Body:
        data = self.fifo.read(self, length)
        if not isinstance(data, DATA_TYPES):
            return self._read(data)
        self.f_vnode.fifo_used(len(data), 0)
        return data

    def _read(self, waiting: Body) -> Generator[Request, Any, Buffer]:
        data: Buffer = yield from waiting
        self.f_vnode.fifo_used(len(data), 0)
        return data

    def pread(self, offset: int, length: int) -> NoReturn:
        """Fail: there is no position. Errors: ESPIPE."""
        raise VfsError(errno.ESPIPE)

    def check_write(self) -> None:
        self.fifo.check_write()

    def write(self, data: Buffer, cred: Cred) -> int | Body:
        count = self.fifo.write(self, data)
        if not isinstance(count, int):
            return self._write(count)
        self.f_vnode.fifo_used(0, count)
        return count

    def _write(self, waiting: Body) -> Generator[Request, Any, int]:
        count: int = yield from waiting
        self.f_vnode.fifo_used(0, count)
        return count

    def pwrite(self, offset: int, data: Buffer, cred: Cred) -> NoReturn:
        """Fail: there is no position. Errors: ESPIPE."""
        raise VfsError(errno.ESPIPE)

    def ioctl(self, command: int, data: bytes) -> bytes:
        return self.fifo.ioctl(command)

    def pathconf(self, name: int) -> int:
        """Return a limit: those of a FIFO. Errors: EINVAL."""
        if name not in _PATHCONF:
            raise VfsError(errno.EINVAL)
        return _PATHCONF[name]

    def poll(self, events: int) -> int:
        return pipe_poll(self.fifo, self.f_flag, events)

    def selqueues(self) -> tuple[WaitQueue, ...]:
        return pipe_queues(self.fifo, self.f_flag)

    def kqfilter(self, filt: int) -> Filter:
        return pipe_kqfilter(self.fifo, self.f_flag, filt)

    def owners(self) -> list[Sigio]:
        return self.fifo.owners(self.f_flag)

    def restart(self) -> None:
        """Wake who sleeps at an end."""
        self.fifo.restart()

    def close(self) -> None:
        self.fifo.close(self.f_flag)
        self.fifo.restart()
        super().close()
