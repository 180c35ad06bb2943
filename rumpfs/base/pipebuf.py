"""The buffer of a pipe or FIFO, and who waits at its ends (NetBSD: sys/pipe.h, sys_pipe.c)."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, Final, Protocol

from rumpfs.abi import errno
from rumpfs.abi.fcntl import FREAD, FWRITE, O_NONBLOCK
from rumpfs.abi.ioctl import FIONBIO, FIONREAD, FIONSPACE, FIONWRITE
from rumpfs.abi.limits import PIPE_BUF
from rumpfs.base.copy import Body, Buffer, Request, Sleep
from rumpfs.base.errors import VfsError
from rumpfs.base.waitq import WaitQueue

#: bytes that it holds
PIPE_SIZE: Final = 16384


class End(Protocol):
    """An open file at one end, or at both: O_NONBLOCK in `f_flag` says whether it waits."""

    f_flag: int


class Sigio:
    """Who is told of I/O at an end, and whether he is.

    Attributes:
        on: FIOASYNC was asked for.
        pgid: the owner as FIOSETOWN has it: a process, or with a minus a process group, or 0.
        signal: tells that owner.
    """

    __slots__ = ("on", "pgid", "signal")

    def __init__(self) -> None:
        self.on = False
        self.pgid = 0
        self.signal: Callable[[int], None] | None = None

    def notify(self) -> None:
        """Something can be read, or written, or the other side is gone (fownsignal)."""
        if self.on and self.signal is not None:
            self.signal(self.pgid)


class Pipebuf:
    """Bytes on their way from writers to readers.

    Attributes:
        readers, writers: open ends of each kind.
        readable, writable: where readers and writers wait.
        size: bytes that fit in.
        sigio: who is told of I/O at the end with FREAD and at that with FWRITE; None: nobody ever was.
    """

    __slots__ = ("buffer", "readable", "readers", "sigio", "size", "writable", "writers")

    def __init__(self) -> None:
        self.buffer = bytearray()
        self.size = PIPE_SIZE
        self.sigio: dict[int, Sigio] | None = None
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

    def owners(self, flag: int) -> list[Sigio]:
        """Return who is told of I/O at the ends that `flag` names: FREAD, FWRITE or both."""
        if self.sigio is None:
            self.sigio = {FREAD: Sigio(), FWRITE: Sigio()}
        return [sigio for end, sigio in self.sigio.items() if flag & end]

    def close(self, flag: int) -> None:
        """An end with FREAD, FWRITE or both is gone: the other side gets EPIPE, or the end of the file."""
        if self.sigio is not None:
            for sigio in self.sigio.values():
                sigio.notify()
        if flag & FREAD:
            self.readers -= 1
            self.writable.wakeup()
        if flag & FWRITE:
            self.writers -= 1
            self.readable.wakeup()

    def restart(self) -> None:
        """Wake all that sleep: a descriptor of an end is gone, and each looks whether it was his."""
        self.readable.wakeup()
        self.writable.wakeup()

    def ioctl(self, command: int) -> bytes:
        """Return what FIONREAD and its relatives store. Errors: ENOTTY."""
        used = len(self.buffer)
        if command in (FIONREAD, FIONWRITE):
            return used.to_bytes(4, "little")
        if command == FIONSPACE:
            return (self.size - used).to_bytes(4, "little")
        if command == FIONBIO:
            return b""
        raise VfsError(errno.ENOTTY)

    # --- reading --------------------------------------------------------------------------------

    def read(self, end: End, length: int) -> Buffer | Body:
        """Return at most `length` bytes, none when there is neither one nor a writer; else wait.

        Errors: EAGAIN (O_NONBLOCK).
        """
        if self.buffer or not self.writers or not length:
            return self._take(length)
        if end.f_flag & O_NONBLOCK:
            raise VfsError(errno.EAGAIN)
        return self._wait_read(length)

    def _take(self, length: int) -> bytes:
        buffer = self.buffer
        data = bytes(buffer[:length])
        del buffer[:length]
        if data:
            self.writable.wakeup()
            if self.sigio is not None and self.size - len(buffer) >= PIPE_BUF:
                self.sigio[FWRITE].notify()
        return data

    def _wait_read(self, length: int) -> Generator[Request, Any, Any]:
        while not self.buffer and self.writers:
            if self.sigio is not None:
                self.sigio[FWRITE].notify()
            yield Sleep(self.readable)
        return self._take(length)

    # --- writing --------------------------------------------------------------------------------

    def check_write(self) -> None:
        """Fail if nobody will ever read what is written. Errors: EPIPE."""
        if not self.readers:
            raise VfsError(errno.EPIPE)

    def write(self, end: End, data: Buffer) -> int | Body:
        """Take `data`, at most PIPE_BUF bytes as one, and return how much; wait while there is no room.

        Errors: EPIPE, EAGAIN (O_NONBLOCK).
        """
        self.check_write()
        if len(self.buffer) + len(data) <= self.size:
            self._put(data)
            return len(data)
        return self._wait_write(end, memoryview(data))

    def _put(self, data: Buffer) -> None:
        self.buffer += data
        self.readable.wakeup()
        if self.sigio is not None and self.buffer:
            self.sigio[FREAD].notify()

    def _wait_write(self, end: End, data: memoryview) -> Generator[Request, Any, int]:
        sent = 0
        while sent < len(data):
            if not self.readers:
                raise VfsError(errno.EPIPE)
            room = self.size - len(self.buffer)
            if room <= 0 or (len(data) <= PIPE_BUF and room < len(data)):
                if end.f_flag & O_NONBLOCK:
                    if sent:
                        break
                    raise VfsError(errno.EAGAIN)
                try:
                    yield Sleep(self.writable)
                except VfsError:
                    if sent:
                        break
                    raise
                continue
            self._put(data[sent : sent + room])
            sent += min(room, len(data) - sent)
        return sent
