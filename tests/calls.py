"""What tests do with a process all the time, whatever carries its system calls."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, NamedTuple

from rumpfs.abi import errno
from rumpfs.abi.fcntl import O_CREAT, O_RDONLY, O_TRUNC, O_WRONLY
from rumpfs.abi.mount import LAYER_ARGS, MNT_RDONLY, TMPFS_ARGS, UFS_ARGS
from rumpfs.abi.stat import DIRENT, DIRENT_NAME, STAT, STATVFS
from rumpfs.base.errors import VfsError
from rumpfs.vfs.vnode import Vattr


class Dirent(NamedTuple):
    """One struct dirent."""

    fileno: int
    type: int
    name: bytes


def _errno(function: Callable[..., Any], *args: Any) -> str:
    try:
        function(*args)
    except VfsError as failure:
        return errno.NAMES[failure.errno]
    return "ok"


class Calls:
    """A process, of which a subclass says how it makes a call."""

    def call(self, name: str, *args: Any) -> Any:
        """Make the system call that the table has under `name`. Errors: VfsError."""
        raise NotImplementedError

    def map(self, content: bytes | bytearray) -> int:
        """Make `content` readable, and a bytearray writable, at an address; return it."""
        raise NotImplementedError

    def raw(self, name: str, *slots: int) -> int:
        """Make a call with its argument slots as they are (addresses are numbers). Errors: VfsError."""
        raise NotImplementedError

    def raw_error(self, name: str, *slots: int) -> str:
        """Return the name of the errno that a raw call fails with, or ``ok``."""
        return _errno(self.raw, name, *slots)

    def error(self, name: str, *args: Any) -> str:
        """Return the name of the errno that a call fails with, or ``ok``."""
        return _errno(self.call, name, *args)

    def iovec(self, *places: bytes | bytearray | int) -> bytes:
        """Return an array of struct iovec; a number is that many bytes at NULL."""
        return b"".join(
            struct.pack("<QQ", *((0, place) if isinstance(place, int) else (self.map(place), len(place))))
            for place in places
        )

    def make(self, path: bytes, content: bytes = b"", mode: int = 0o644) -> None:
        """Make a file."""
        fd = self.call("open", path, O_CREAT | O_TRUNC | O_WRONLY, mode)
        if content:
            assert self.call("write", fd, content) == len(content)
        self.call("close", fd)

    def content(self, path: bytes) -> bytes:
        fd = self.call("open", path, O_RDONLY, 0)
        data = self.call("read", fd, 1 << 20)
        self.call("close", fd)
        return bytes(data)

    def stat(self, path: bytes) -> Vattr:
        return Vattr(*STAT.unpack(self.call("__stat50", path)))

    def lstat(self, path: bytes) -> Vattr:
        return Vattr(*STAT.unpack(self.call("__lstat50", path)))

    def fstat(self, fd: int) -> Vattr:
        return Vattr(*STAT.unpack(self.call("__fstat50", fd)))

    def entries(self, path: bytes) -> list[Dirent]:
        """Return what a directory lists, in its order."""
        fd = self.call("open", path, O_RDONLY, 0)
        found = []
        while data := self.call("__getdents30", fd, 65536):
            at = 0
            while at < len(data):
                fileno, reclen, namlen, kind = DIRENT.unpack_from(data, at)
                found.append(Dirent(fileno, kind, data[at + DIRENT_NAME : at + DIRENT_NAME + namlen]))
                at += reclen
        self.call("close", fd)
        return found

    def names(self, path: bytes) -> set[bytes]:
        """Return the names in a directory, without ``.`` and ``..``."""
        return {entry.name for entry in self.entries(path)} - {b".", b".."}

    def getcwd(self) -> bytes:
        return bytes(self.call("__getcwd", 4096)).removesuffix(b"\0")

    def mount_tmpfs(self, path: bytes, flags: int = 0, **fields: int) -> None:
        values = {"version": 1, "nodes": 0, "size": 0, "uid": 0, "gid": 0, "mode": 0o755} | fields
        self.call(
            "__mount50", b"tmpfs\0", path + b"\0", flags, TMPFS_ARGS.pack(*values.values()), TMPFS_ARGS.size
        )

    def mount_ffs(self, path: bytes, key: bytes, flags: int = MNT_RDONLY) -> None:
        fspec = self.map(key + b"\0")
        self.call("__mount50", b"ffs\0", path + b"\0", flags, UFS_ARGS.pack(fspec), UFS_ARGS.size)

    def mount_null(self, path: bytes, target: bytes, flags: int = 0) -> None:
        fspec = self.map(target + b"\0")
        self.call("__mount50", b"null\0", path + b"\0", flags, LAYER_ARGS.pack(fspec), LAYER_ARGS.size)

    def statvfs(self, path: bytes) -> tuple[Any, ...]:
        """Return the fields of struct statvfs, strings without their NULs."""
        fields = STATVFS.unpack(self.call("statvfs1", path, 1))
        return tuple(field.rstrip(b"\0") if isinstance(field, bytes) else field for field in fields)
