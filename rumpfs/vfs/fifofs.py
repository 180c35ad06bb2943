"""FIFOs: named pipes (NetBSD: miscfs/fifofs/fifo_vnops.c).

The file system keeps the name and the attributes; what is written stays in the kernel while the FIFO is open.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from rumpfs.abi import errno
from rumpfs.abi.fcntl import FREAD, FWRITE, O_NONBLOCK
from rumpfs.base.copy import Request, Sleep
from rumpfs.base.errors import VfsError
from rumpfs.base.pipebuf import Pipebuf


class Fifo(Pipebuf):
    """What the kernel keeps of a FIFO: its vnode has one (struct fifoinfo).

    Attributes:
        ropens, wopens: how often it was opened for reading and for writing.
    """

    __slots__ = ("_revoked", "ropens", "wopens")

    def __init__(self) -> None:
        super().__init__()
        self.ropens = 0
        self.wopens = 0
        self._revoked = 0

    def revoke(self) -> None:
        """Let who waits for the other side fail: the FIFO is taken away."""
        self._revoked += 1
        self.restart()

    def fifo_open(self, flag: int) -> Generator[Request, Any, None] | None:
        """Open an end; `close` undoes it (fifo_open).

        A reader waits for a writer and a writer for a reader; who opens both ends, or reads with O_NONBLOCK,
        does not wait.

        Args:
            flag: FREAD, FWRITE and O_NONBLOCK.

        Returns:
            None when it is open, or something to run that waits for the other side: when that fails the end
            is closed again.

        Errors:
            ENXIO: a writer with O_NONBLOCK, and there is no reader; it was revoked meanwhile; EINTR.
        """
        if flag & (FREAD | FWRITE | O_NONBLOCK) == FWRITE | O_NONBLOCK and not self.readers:
            raise VfsError(errno.ENXIO)
        if flag & FREAD:
            self.ropens += 1
        if flag & FWRITE:
            self.wopens += 1
        self.open(flag)
        if flag & O_NONBLOCK or (self.readers and self.writers):
            return None
        return self._wait_open(flag)

    def _wait_open(self, flag: int) -> Generator[Request, Any, None]:
        """Wait until the other side is opened, even if it is closed again before the waiter runs."""
        ropens, wopens, revoked = self.ropens, self.wopens, self._revoked
        try:
            if flag & FREAD:
                while self.wopens == wopens and self._revoked == revoked:
                    yield Sleep(self.readable)
            else:
                while self.ropens == ropens and self._revoked == revoked:
                    yield Sleep(self.writable)
            if self._revoked != revoked:
                raise VfsError(errno.ENXIO)
        except BaseException:
            self.close(flag)
            raise

    def close(self, flag: int) -> None:
        """Close an end; with the last one goes what nobody has read (fifo_close)."""
        super().close(flag)
        if not self.readers and not self.writers:
            self.buffer.clear()
