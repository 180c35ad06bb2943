"""The console: what descriptors 0, 1 and 2 of a new process are (NetBSD: rump's cons.c)."""

from __future__ import annotations

from collections.abc import Callable

from rumpfs.abi.errno import ENOTTY
from rumpfs.abi.fcntl import FWRITE
from rumpfs.abi.ioctl import FIOASYNC, FIONBIO, TIOCGETA, parameter_length
from rumpfs.abi.poll import POLLOUT
from rumpfs.abi.stat import S_IFCHR, STAT
from rumpfs.base.clock import BOOT
from rumpfs.base.copy import Buffer
from rumpfs.base.errors import VfsError
from rumpfs.kern.descrip import File
from rumpfs.vfs.cred import Cred


class ConsoleFile(File):
    """Write-only; what is written goes to the server's standard output.

    Args:
        output: takes the bytes.
    """

    __slots__ = ("_output",)

    def __init__(self, output: Callable[[bytes], None]) -> None:
        super().__init__(FWRITE)
        self._output = output

    def write(self, data: Buffer, cred: Cred) -> int:
        self._output(bytes(data))
        return len(data)

    def poll(self, events: int) -> int:
        return events & POLLOUT

    def stat(self) -> bytes:
        return STAT.pack(0, S_IFCHR | 0o600, 0, 0, 0, 0, 0, *BOOT * 4, 0, 0, 0, 0, 0)

    def ioctl(self, command: int, data: bytes) -> bytes:
        if command == TIOCGETA:
            return bytes(parameter_length(command))
        if command in (FIONBIO, FIOASYNC):
            return b""
        raise VfsError(ENOTTY)
