"""The same operations on a rump kernel and on the host, in the form of `Model`.

Open files are named by the caller's slots, so that two subjects can be driven in step.
"""

from __future__ import annotations

import os
import stat as host_stat
from typing import Any

from rumpfs.abi import fcntl
from rumpfs.abi.stat import S_IFDIR, S_IFLNK, S_IFMT, S_IFREG
from rumpfs.client import Client

KINDS = {S_IFDIR: "dir", S_IFREG: "file", S_IFLNK: "symlink"}
_HOST_FLAGS = {
    fcntl.O_CREAT: os.O_CREAT, fcntl.O_EXCL: os.O_EXCL, fcntl.O_TRUNC: os.O_TRUNC,
    fcntl.O_APPEND: os.O_APPEND, fcntl.O_NOFOLLOW: os.O_NOFOLLOW, fcntl.O_DIRECTORY: os.O_DIRECTORY,
}  # fmt: skip


def attributes(st: Any) -> tuple[Any, ...]:
    """What is compared of a struct stat: type, permissions, links, and the size where POSIX gives it one."""
    kind = KINDS[S_IFMT & st.st_mode]
    size = st.st_size if kind in ("file", "symlink") else None
    return kind, None if kind == "symlink" else st.st_mode & 0o7777, st.st_nlink, size


class Remote:
    """The files below a directory of a rump kernel."""

    def __init__(self, client: Client, base: str) -> None:
        self.client = client
        self.sys = client.sys
        client.chdir(base)
        self.files: dict[int, int] = {}

    def open(self, slot: int, path: str, flags: int, perm: int) -> None:
        self.files[slot] = self.sys.open(path, flags, perm)

    def close(self, slot: int) -> None:
        self.sys.close(self.files.pop(slot))

    def fstat(self, slot: int) -> tuple[Any, ...]:
        return attributes(self.client.stat(self.files[slot]))

    def read(self, slot: int, count: int) -> bytes:
        return bytes(self.sys.read(self.files[slot], count))

    def pread(self, slot: int, count: int, offset: int) -> bytes:
        return bytes(self.sys.pread(self.files[slot], count, offset))

    def write(self, slot: int, data: bytes) -> int:
        return int(self.sys.write(self.files[slot], data))

    def pwrite(self, slot: int, data: bytes, offset: int) -> int:
        return int(self.sys.pwrite(self.files[slot], data, offset))

    def lseek(self, slot: int, offset: int, whence: int) -> int:
        return int(self.sys.lseek(self.files[slot], offset, whence))

    def ftruncate(self, slot: int, length: int) -> None:
        self.sys.ftruncate(self.files[slot], length)

    def stat(self, path: str) -> tuple[Any, ...]:
        return attributes(self.client.stat(path))

    def lstat(self, path: str) -> tuple[Any, ...]:
        return attributes(self.client.lstat(path))

    def samefile(self, one: str, other: str) -> bool:
        return self.client.stat(one).st_ino == self.client.stat(other).st_ino

    def readlink(self, path: str) -> str:
        return self.client.readlink(path)

    def listdir(self, path: str) -> list[str]:
        return sorted(self.client.listdir(path))

    def chmod(self, path: str, perm: int) -> None:
        self.client.chmod(path, perm)

    def mtime_after_setting(self, path: str, ns: int) -> int:
        self.client.utimens(path, (ns, ns))
        return self.client.stat(path).st_mtime_ns

    def truncate(self, path: str, length: int) -> None:
        self.client.truncate(path, length)

    def mkdir(self, path: str, perm: int) -> None:
        self.client.mkdir(path, perm)

    def symlink(self, text: str, path: str) -> None:
        self.client.symlink(text, path)

    def link(self, source: str, target: str) -> None:
        self.sys.linkat(fcntl.AT_FDCWD, source, fcntl.AT_FDCWD, target, 0)

    def unlink(self, path: str) -> None:
        self.client.unlink(path)

    def rmdir(self, path: str) -> None:
        self.client.rmdir(path)

    def rename(self, source: str, target: str) -> None:
        self.client.rename(source, target)

    def posix_rename(self, source: str, target: str) -> None:
        self.sys.__getattr__("__posix_rename")(source, target)


class Host:
    """The files below a directory of this machine."""

    def __init__(self, base: str) -> None:
        self.base = base
        self.files: dict[int, int] = {}

    def _path(self, path: str) -> str:
        return f"{self.base}/{path}"

    def open(self, slot: int, path: str, flags: int, perm: int) -> None:
        host = flags & fcntl.O_ACCMODE
        for netbsd, bit in _HOST_FLAGS.items():
            host |= bit if flags & netbsd else 0
        if not flags & fcntl.O_EXCL and os.path.isdir(self._path(path)):
            host &= ~os.O_CREAT  # which Linux refuses for a directory that exists, and NetBSD ignores
        self.files[slot] = os.open(self._path(path), host, perm)

    def close(self, slot: int) -> None:
        os.close(self.files.pop(slot))

    def fstat(self, slot: int) -> tuple[Any, ...]:
        return attributes(os.fstat(self.files[slot]))

    def read(self, slot: int, count: int) -> bytes:
        return os.read(self.files[slot], count)

    def pread(self, slot: int, count: int, offset: int) -> bytes:
        return os.pread(self.files[slot], count, offset)

    def write(self, slot: int, data: bytes) -> int:
        return os.write(self.files[slot], data)

    def pwrite(self, slot: int, data: bytes, offset: int) -> int:
        return os.pwrite(self.files[slot], data, offset)

    def lseek(self, slot: int, offset: int, whence: int) -> int:
        return os.lseek(self.files[slot], offset, whence)

    def ftruncate(self, slot: int, length: int) -> None:
        os.ftruncate(self.files[slot], length)

    def stat(self, path: str) -> tuple[Any, ...]:
        return attributes(os.stat(self._path(path)))

    def lstat(self, path: str) -> tuple[Any, ...]:
        return attributes(os.lstat(self._path(path)))

    def samefile(self, one: str, other: str) -> bool:
        return os.path.samefile(self._path(one), self._path(other))

    def readlink(self, path: str) -> str:
        return os.readlink(self._path(path))

    def listdir(self, path: str) -> list[str]:
        return sorted(os.listdir(self._path(path)))

    def chmod(self, path: str, perm: int) -> None:
        os.chmod(self._path(path), perm)

    def mtime_after_setting(self, path: str, ns: int) -> int:
        os.utime(self._path(path), ns=(ns, ns))
        return os.stat(self._path(path)).st_mtime_ns

    def truncate(self, path: str, length: int) -> None:
        os.truncate(self._path(path), length)

    def mkdir(self, path: str, perm: int) -> None:
        os.mkdir(self._path(path), perm)

    def symlink(self, text: str, path: str) -> None:
        os.symlink(text, self._path(path))

    def link(self, source: str, target: str) -> None:
        os.link(self._path(source), self._path(target), follow_symlinks=False)

    def unlink(self, path: str) -> None:
        os.unlink(self._path(path))

    def rmdir(self, path: str) -> None:
        os.rmdir(self._path(path))

    def posix_rename(self, source: str, target: str) -> None:
        os.rename(self._path(source), self._path(target))


def empty(path: str) -> None:
    """Remove everything below a directory of the host, whatever its permissions."""
    for entry in os.scandir(path):
        if host_stat.S_ISDIR(entry.stat(follow_symlinks=False).st_mode):
            os.chmod(entry.path, 0o700)
            empty(entry.path)
            os.rmdir(entry.path)
        else:
            os.unlink(entry.path)
