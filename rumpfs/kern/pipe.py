"""Pipes (NetBSD: sys_pipe.c)."""

from __future__ import annotations

from typing import Final

from rumpfs.abi import errno
from rumpfs.abi.fcntl import FREAD, FWRITE
from rumpfs.abi.ioctl import FIONREAD, FIONSPACE, FIONWRITE
from rumpfs.abi.limits import PC_PIPE_BUF, PIPE_BUF
from rumpfs.abi.stat import S_IFIFO, STAT
from rumpfs.base.clock import now
from rumpfs.base.copy import Body, Buffer
from rumpfs.base.errors import VfsError
from rumpfs.base.knote import Filter
from rumpfs.base.pipebuf import PIPE_SIZE, End, Pipebuf, Sigio
from rumpfs.base.waitq import WaitQueue
from rumpfs.kern.descrip import File
from rumpfs.kern.filterops import pipe_kqfilter, pipe_poll, pipe_queues
from rumpfs.vfs.cred import Cred

#: what a pipe holds that was empty when so much was written that PIPE_SIZE was too little
BIG_PIPE_SIZE: Final = 64 * 1024
#: so many are made that large (LIMITBIGPIPES)
MAXBIGPIPES: Final = 32


#: what waits to be read, and what of it and how much more the other side could write
_OTHER_SIDE: Final = (FIONREAD, FIONWRITE, FIONSPACE)


class PipeTable:
    """What the pipes of a kernel share: `nbigpipe` of them are large."""

    __slots__ = ("nbigpipe",)

    def __init__(self) -> None:
        self.nbigpipe = 0


class Pipe(Pipebuf):
    """What is between the two ends.

    Args:
        table: its kernel's.
        cred: who makes it, and owns it.

    Attributes:
        atime, mtime: when it was read and written last.
    """

    __slots__ = ("_table", "atime", "born", "cred", "mtime")

    def __init__(self, table: PipeTable, cred: Cred) -> None:
        super().__init__()
        self._table = table
        self.cred = cred
        self.atime = self.mtime = self.born = now()

    def _take(self, length: int) -> bytes:
        self.atime = now()
        return super()._take(length)

    def _put(self, data: Buffer) -> None:
        self.mtime = now()
        super()._put(data)

    def write(self, end: End, data: Buffer) -> int | Body:
        """Take `data` as `Pipebuf.write` does; an empty pipe grows when it is too small for it."""
        if len(data) > self.size == PIPE_SIZE and not self.buffer and self._table.nbigpipe < MAXBIGPIPES:
            self._table.nbigpipe += 1
            self.size = BIG_PIPE_SIZE
        return super().write(end, data)

    def close(self, flag: int) -> None:
        super().close(flag)
        if flag & FREAD and self.size > PIPE_SIZE:
            self._table.nbigpipe -= 1
            self.size = PIPE_SIZE


class PipeFile(File):
    """One end of a pipe."""

    __slots__ = ("pipe",)

    def __init__(self, pipe: Pipe, flag: int) -> None:
        super().__init__(flag)
        self.pipe = pipe
        pipe.open(flag)

    def stat(self) -> bytes:
        """Return struct stat: without links and a number; the bytes that wait are at the end that is read."""
        pipe = self.pipe
        size = len(pipe.buffer) if self.f_flag & FREAD else 0
        times = (*pipe.atime, *pipe.mtime, *pipe.born, *pipe.born)
        owner = (pipe.cred.euid, pipe.cred.egid)
        return STAT.pack(0, S_IFIFO | 0o600, 0, 0, *owner, 0, *times, size, int(size > 0), pipe.size, 0, 0)

    def ioctl(self, command: int, data: bytes) -> bytes:
        if command in _OTHER_SIDE and bool(self.f_flag & FREAD) != (command == FIONREAD):
            return bytes(4)
        return self.pipe.ioctl(command)

    def pathconf(self, name: int) -> int:
        """Return a limit: there is only PIPE_BUF. Errors: EINVAL."""
        return pipe_pathconf(name)

    def poll(self, events: int) -> int:
        return pipe_poll(self.pipe, self.f_flag, events)

    def selqueues(self) -> tuple[WaitQueue, ...]:
        return pipe_queues(self.pipe, self.f_flag)

    def kqfilter(self, filt: int) -> Filter:
        return pipe_kqfilter(self.pipe, self.f_flag, filt)

    def owners(self) -> list[Sigio]:
        return self.pipe.owners(self.f_flag)

    def restart(self) -> None:
        """Wake who sleeps at an end (pipe_restart)."""
        self.pipe.restart()

    def close(self) -> None:
        self.pipe.close(self.f_flag)
        self.pipe.restart()  # who polls a descriptor of this end finds it closed


def pipe_pathconf(name: int) -> int:
    """Return a limit of a pipe or socket: there is only PIPE_BUF (sys_fpathconf). Errors: EINVAL."""
    if name != PC_PIPE_BUF:
        raise VfsError(errno.EINVAL)
    return PIPE_BUF


class PipeReader(PipeFile):
    """The end that is read."""

    __slots__ = ()

    def read(self, length: int) -> Buffer | Body:
        return self.pipe.read(self, length)


class PipeWriter(PipeFile):
    """The end that is written; at most PIPE_BUF bytes go in as one."""

    __slots__ = ()

    def check_write(self) -> None:
        self.pipe.check_write()

    def write(self, data: Buffer, cred: Cred) -> int | Body:
        return self.pipe.write(self, data)


def pipe1(table: PipeTable, cred: Cred, flags: int = 0) -> tuple[PipeReader, PipeWriter]:
    """Make a pipe of `cred` and return its reading and its writing end."""
    pipe = Pipe(table, cred)
    return PipeReader(pipe, FREAD | flags), PipeWriter(pipe, FWRITE | flags)
