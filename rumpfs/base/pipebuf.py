"""The buffer of a pipe or FIFO, and who waits at its ends (NetBSD: sys/pipe.h, sys_pipe.c)."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Final, Protocol

from rumpfs.abi import errno
from rumpfs.abi.fcntl import FREAD, FWRITE, O_NONBLOCK
from rumpfs.abi.ioctl import FIOASYNC, FIONBIO, FIONREAD, FIONSPACE, FIONWRITE
from rumpfs.abi.limits import PIPE_BUF
from rumpfs.base.copy import Body, Buffer, Request, Sleep
from rumpfs.base.errors import VfsError
from rumpfs.base.waitq import WaitQueue

#: bytes that it holds
PIPE_SIZE: Final = 16384


class End(Protocol):
    """An open file at one end, or at both.

    Attributes:
        f_flag: O_NONBLOCK says whether it waits.
        f_count: its descriptors; without one, who sleeps with it gets EBADF.
    """

    f_flag: int
    f_count: int


class Pipebuf:
    """Bytes on their way from writers to readers.

    Attributes:
        readers, writers: open ends of each kind.
        readable, writable: where readers and writers wait.
    """

    __slots__ = ("buffer", "readable", "readers", "writable", "writers")

    def __init__(self) -> None:
        self.buffer = bytearray()
        self.readers = 0
        self.writers = 0
        self.readable = WaitQueue()
        self.writable = WaitQueue()

    def open(self, flag: int) -> None:
        """Count a new end with FREAD, FWRITE or both, and wake who waits for one."""
        if flag & FREAD:
            self.readers += 1
            self.writable.wakeup()
        if flag & FWRITE:
            self.writers += 1
            self.readable.wakeup()

    def close(self, flag: int) -> None:
        """An end with FREAD, FWRITE or both is gone: the other side gets EPIPE, or the end of the file."""
        if flag & FREAD:
            self.readers -= 1
            self.writable.wakeup()
        if flag & FWRITE:
            self.writers -= 1
            self.readable.wakeup()

    def restart(self) -> None:
        """Wake all that sleep: one of the ends has lost its last descriptor."""
        self.readable.wakeup()
        self.writable.wakeup()

    def ioctl(self, command: int) -> bytes:
        """Return what FIONREAD and its relatives store. Errors: ENOTTY."""
        used = len(self.buffer)
        if command in (FIONREAD, FIONWRITE):
            return used.to_bytes(4, "little")
        if command == FIONSPACE:
            return (PIPE_SIZE - used).to_bytes(4, "little")
        if command in (FIONBIO, FIOASYNC):
            return b""
        raise VfsError(errno.ENOTTY)

    # --- reading --------------------------------------------------------------------------------

    def read(self, end: End, length: int) -> Buffer | Body:
        """Return at most `length` bytes, none when there is neither one nor a writer; else wait.

        Errors: EAGAIN (O_NONBLOCK), EBADF.
        """
        if self.buffer or not self.writers or not length:
            return self._take(length)
        if end.f_flag & O_NONBLOCK:
            raise VfsError(errno.EAGAIN)
        return self._wait_read(end, length)

    def _take(self, length: int) -> bytes:
        buffer = self.buffer
        data = bytes(buffer[:length])
        del buffer[:length]
        if data:
            self.writable.wakeup()
        return data

    def _wait_read(self, end: End, length: int) -> Generator[Request, Any, Any]:
        while not self.buffer and self.writers:
            if not end.f_count:
                raise VfsError(errno.EBADF)
            yield Sleep(self.readable)
        return self._take(length)

    # --- writing --------------------------------------------------------------------------------

    def check_write(self) -> None:
        """Fail if nobody will ever read what is written. Errors: EPIPE."""
        if not self.readers:
            raise VfsError(errno.EPIPE)

    def write(self, end: End, data: Buffer) -> int | Body:
        """Take `data`, at most PIPE_BUF bytes as one, and return how much; wait while there is no room.

        Errors: EPIPE, EAGAIN (O_NONBLOCK), EBADF.
        """
        self.check_write()
        if len(self.buffer) + len(data) <= PIPE_SIZE:
            self.buffer += data
            self.readable.wakeup()
            return len(data)
        return self._wait_write(end, memoryview(data))

    def _wait_write(self, end: End, data: memoryview) -> Generator[Request, Any, int]:
        sent = 0
        while sent < len(data):
            if not self.readers:
                raise VfsError(errno.EPIPE)
            room = PIPE_SIZE - len(self.buffer)
            if room <= 0 or (len(data) <= PIPE_BUF and room < len(data)):
                if end.f_flag & O_NONBLOCK:
                    if sent:
                        break
                    raise VfsError(errno.EAGAIN)
                try:
                    if not end.f_count:
                        raise VfsError(errno.EBADF)
                    yield Sleep(self.writable)
                except VfsError:
                    if sent:
                        break
                    raise
                continue
            self.buffer += data[sent : sent + room]
            sent += min(room, len(data) - sent)
            self.readable.wakeup()
        return sent
