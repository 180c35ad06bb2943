"""Pipes (NetBSD: sys_pipe.c)."""

from __future__ import annotations

from rumpfs.abi import errno
from rumpfs.abi.fcntl import FREAD, FWRITE
from rumpfs.abi.limits import PC_PIPE_BUF, PIPE_BUF
from rumpfs.abi.stat import S_IFIFO, STAT
from rumpfs.base.clock import now
from rumpfs.base.copy import Body, Buffer
from rumpfs.base.errors import VfsError
from rumpfs.base.knote import Filter
from rumpfs.base.pipebuf import PIPE_SIZE, Pipebuf
from rumpfs.base.waitq import WaitQueue
from rumpfs.kern.descrip import File
from rumpfs.kern.filterops import pipe_kqfilter, pipe_poll, pipe_queues
from rumpfs.vfs.cred import Cred


class Pipe(Pipebuf):
    """What is between the two ends."""

    __slots__ = ("born",)

    def __init__(self) -> None:
        super().__init__()
        self.born = now()


class PipeFile(File):
    """One end of a pipe."""

    __slots__ = ("pipe",)

    def __init__(self, pipe: Pipe, flag: int) -> None:
        super().__init__(flag)
        self.pipe = pipe
        pipe.open(flag)

    def stat(self) -> bytes:
        size = len(self.pipe.buffer)
        return STAT.pack(
            0, S_IFIFO | 0o600, 0, 1, 0, 0, 0, *self.pipe.born * 4, size, (size + 511) // 512, PIPE_SIZE, 0, 0
        )

    def ioctl(self, command: int, data: bytes) -> bytes:
        return self.pipe.ioctl(command)

    def pathconf(self, name: int) -> int:
        """Return a limit: there is only PIPE_BUF. Errors: EINVAL."""
        if name != PC_PIPE_BUF:
            raise VfsError(errno.EINVAL)
        return PIPE_BUF

    def poll(self, events: int) -> int:
        return pipe_poll(self.pipe, self.f_flag, events)

    def selqueues(self) -> tuple[WaitQueue, ...]:
        return pipe_queues(self.pipe, self.f_flag)

    def kqfilter(self, filt: int) -> Filter:
        return pipe_kqfilter(self.pipe, self.f_flag, filt)

    def restart(self) -> None:
        """Wake who sleeps with this end: without a descriptor he gets EBADF (pipe_restart)."""
        self.pipe.restart()

    def close(self) -> None:
        self.pipe.close(self.f_flag)
        self.pipe.restart()  # who polls a descriptor of this end finds it closed


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


def pipe1(flags: int = 0) -> tuple[PipeReader, PipeWriter]:
    """Make a pipe and return its reading and its writing end."""
    pipe = Pipe()
    return PipeReader(pipe, FREAD | flags), PipeWriter(pipe, FWRITE | flags)
