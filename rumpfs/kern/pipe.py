"""Pipes (NetBSD: sys_pipe.c)."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from rumpfs.abi import errno
from rumpfs.abi.fcntl import FREAD, FWRITE, O_NONBLOCK
from rumpfs.abi.ioctl import FIOASYNC, FIONBIO, FIONREAD, FIONSPACE, FIONWRITE
from rumpfs.abi.limits import PC_PIPE_BUF, PIPE_BUF
from rumpfs.abi.stat import S_IFIFO, STAT
from rumpfs.base.clock import now
from rumpfs.base.copy import Body, Buffer, Request, Sleep
from rumpfs.base.errors import VfsError
from rumpfs.base.waitq import WaitQueue
from rumpfs.kern.descrip import File
from rumpfs.vfs.cred import Cred

PIPE_SIZE = 16384  # sys/sys/pipe.h


class Pipe:
    """The buffer between the two ends, and who waits at them."""

    __slots__ = ("born", "buffer", "readable", "readers", "writable", "writers")

    def __init__(self) -> None:
        self.buffer = bytearray()
        self.readers = 1
        self.writers = 1
        self.readable = WaitQueue()
        self.writable = WaitQueue()
        self.born = now()


class PipeFile(File):
    """One end of a pipe."""

    __slots__ = ("pipe",)

    def __init__(self, pipe: Pipe, flag: int) -> None:
        super().__init__(flag)
        self.pipe = pipe

    def stat(self) -> bytes:
        size = len(self.pipe.buffer)
        return STAT.pack(
            0, S_IFIFO | 0o600, 0, 1, 0, 0, 0, *self.pipe.born * 4, size, (size + 511) // 512, PIPE_SIZE, 0, 0
        )

    def ioctl(self, command: int, data: bytes) -> bytes:
        used = len(self.pipe.buffer)
        if command in (FIONREAD, FIONWRITE):
            return used.to_bytes(4, "little")
        if command == FIONSPACE:
            return (PIPE_SIZE - used).to_bytes(4, "little")
        if command in (FIONBIO, FIOASYNC):
            return b""
        raise VfsError(errno.ENOTTY)

    def pathconf(self, name: int) -> int:
        """Return a limit: there is only PIPE_BUF. Errors: EINVAL."""
        if name != PC_PIPE_BUF:
            raise VfsError(errno.EINVAL)
        return PIPE_BUF

    def restart(self) -> None:
        """Wake who sleeps with this end: without a descriptor he gets EBADF (pipe_restart)."""
        self.pipe.readable.wakeup()
        self.pipe.writable.wakeup()


class PipeReader(PipeFile):
    """The end that is read."""

    __slots__ = ()

    def read(self, length: int) -> Buffer | Body:
        pipe = self.pipe
        if pipe.buffer or not pipe.writers or not length:
            return self._take(length)
        if self.f_flag & O_NONBLOCK:
            raise VfsError(errno.EAGAIN)
        return self._wait(length)

    def _take(self, length: int) -> bytes:
        buffer = self.pipe.buffer
        data = bytes(buffer[:length])
        del buffer[:length]
        if data:
            self.pipe.writable.wakeup()
        return data

    def _wait(self, length: int) -> Generator[Request, Any, Any]:
        pipe = self.pipe
        while not pipe.buffer and pipe.writers:
            if not self.f_count:
                raise VfsError(errno.EBADF)
            yield Sleep(pipe.readable)
        return self._take(length)

    def close(self) -> None:
        self.pipe.readers -= 1
        self.pipe.writable.wakeup()


class PipeWriter(PipeFile):
    """The end that is written; at most PIPE_BUF bytes go in as one."""

    __slots__ = ()

    def check_write(self) -> None:
        if not self.pipe.readers:
            raise VfsError(errno.EPIPE)

    def write(self, data: Buffer, cred: Cred) -> int | Body:
        pipe = self.pipe
        self.check_write()
        if len(pipe.buffer) + len(data) <= PIPE_SIZE:
            pipe.buffer += data
            pipe.readable.wakeup()
            return len(data)
        return self._wait(memoryview(data))

    def _wait(self, data: memoryview) -> Generator[Request, Any, int]:
        pipe = self.pipe
        sent = 0
        while sent < len(data):
            if not pipe.readers:
                raise VfsError(errno.EPIPE)
            room = PIPE_SIZE - len(pipe.buffer)
            if room <= 0 or (len(data) <= PIPE_BUF and room < len(data)):
                if self.f_flag & O_NONBLOCK:
                    if sent:
                        break
                    raise VfsError(errno.EAGAIN)
                try:
                    if not self.f_count:
                        raise VfsError(errno.EBADF)
                    yield Sleep(pipe.writable)
                except VfsError:
                    if sent:
                        break
                    raise
                continue
            pipe.buffer += data[sent : sent + room]
            sent += min(room, len(data) - sent)
            pipe.readable.wakeup()
        return sent

    def close(self) -> None:
        self.pipe.writers -= 1
        self.pipe.readable.wakeup()


def pipe1(flags: int = 0) -> tuple[PipeReader, PipeWriter]:
    """Make a pipe and return its reading and its writing end."""
    pipe = Pipe()
    return PipeReader(pipe, FREAD | flags), PipeWriter(pipe, FWRITE | flags)
