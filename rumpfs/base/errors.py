"""The errors that every kernel layer shares.

`VfsError` is what a system call answers with; `DiskError` and its family say what is wrong with bytes
on a disk, and are turned into an errno at the edge (`DiskError.errno`).
"""

from __future__ import annotations

from typing import Self

from rumpfs.abi import errno


class VfsError(Exception):
    """A system call fails with a NetBSD errno.

    Args:
        number: NetBSD error number (rumpfs.abi.errno).
        why: what the log may say; never sent to a client.
    """

    __slots__ = ("errno", "why")

    def __init__(self, number: int, why: str = "") -> None:
        self.errno = number
        self.why = why

    def __str__(self) -> str:
        name = errno.NAMES.get(self.errno, str(self.errno))
        return f"{name}: {self.why}" if self.why else f"{name} ({errno.strerror(self.errno)})"


class DiskError(Exception):
    """Bytes on a disk are not what their format says.

    Args:
        where: the thing and its place, e.g. ``disk.img: superblock at byte 8192``.
        why: what is wrong with it, and what helps when something does.
    """

    errno = errno.EIO

    def __init__(self, where: str, why: str) -> None:
        super().__init__(f"{where}: {why}")
        self.where = where
        self.why = why

    def advise(self, remedy: str) -> Self:
        """Add to the message what helps, when something does; return the error."""
        if remedy:
            self.why = f"{self.why}; {remedy}"
            self.args = (f"{self.where}: {self.why}",)
        return self


class BadMagic(DiskError):
    """No structure of this kind is there."""

    errno = errno.EINVAL


class BadChecksum(DiskError):
    """The structure is there and its checksum is wrong."""

    errno = errno.EINVAL


class Corrupt(DiskError):
    """A field holds a value that its format forbids.

    Args:
        where: the structure and its place.
        field: the field's BSD name.
        got: the value found.
        why: the rule it breaks.
    """

    def __init__(self, where: str, field: str, got: object, why: str) -> None:
        super().__init__(where, f"{field} is {got!r}: {why}")
        self.field = field
        self.got = got
