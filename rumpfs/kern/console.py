"""The console: descriptors 0, 1 and 2 of a new process, and /dev/console (NetBSD: rump's cons.c)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from rumpfs.abi import errno
from rumpfs.abi.event import EVFILT_WRITE
from rumpfs.abi.fcntl import FWRITE
from rumpfs.abi.ioctl import FIOASYNC, FIONBIO, TIOCGETA, parameter_length
from rumpfs.abi.poll import POLLOUT
from rumpfs.abi.stat import S_IFCHR, STAT
from rumpfs.base.clock import BOOT
from rumpfs.base.copy import Buffer, Data
from rumpfs.base.errors import VfsError
from rumpfs.kern.descrip import File
from rumpfs.vfs.cred import Cred
from rumpfs.vfs.specfs import Device, Devsw
from rumpfs.vfs.vnode import VCHR

MAJOR: Final = 0  # sys/arch/amd64/conf/majors.amd64: cons

#: takes what is written: it goes to the server's standard output
Output = Callable[[bytes], None]


def _ioctl(command: int) -> bytes:
    """Answer as much of a terminal's commands as isatty(3) needs. Errors: ENOTTY."""
    if command != TIOCGETA:
        raise VfsError(errno.ENOTTY)
    return bytes(parameter_length(command))


class ConsoleFile(File):
    """The open console of a process; write-only.

    Args:
        output: takes the bytes.
    """

    __slots__ = ("_output",)

    def __init__(self, output: Output) -> None:
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
        return b"" if command in (FIONBIO, FIOASYNC) else _ioctl(command)


class Console(Device):
    """/dev/console: there is never anything to read.

    Args:
        output: takes the bytes.
    """

    filters: Mapping[int, int] = {EVFILT_WRITE: 0}

    def __init__(self, output: Output) -> None:
        self._output = output

    def read(self, offset: int, length: int) -> Data:
        return b""

    def write(self, offset: int, data: Buffer) -> int:
        self._output(bytes(data))
        return len(data)

    def poll(self, events: int) -> int:
        return events & POLLOUT

    def ioctl(self, command: int, data: bytes) -> bytes:
        return _ioctl(command)


def attach(devsw: Devsw, output: Output) -> None:
    """Enter the driver of character major 0."""

    def open_device(minor: int, vtype: int, flags: int) -> Device:
        """Open the console (cnopen). Errors: ENXIO: another minor than 0."""
        if minor:
            raise VfsError(errno.ENXIO)
        return Console(output)

    devsw.attach(VCHR, MAJOR, open_device)
