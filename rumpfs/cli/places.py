"""Files on either side of a copy: the host's and a server's, with the same methods."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from io import FileIO, RawIOBase
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from rumpfs.abi import errno
from rumpfs.abi.stat import S_IFDIR, S_IFMT, major, makedev, minor
from rumpfs.client.api import Client
from rumpfs.client.records import StatResult
from rumpfs.sysproxy.url import parse


class Attributes(Protocol):
    """What is used of a stat_result, of either side."""

    @property
    def st_dev(self) -> int: ...
    @property
    def st_ino(self) -> int: ...
    @property
    def st_mode(self) -> int: ...
    @property
    def st_nlink(self) -> int: ...
    @property
    def st_uid(self) -> int: ...
    @property
    def st_gid(self) -> int: ...
    @property
    def st_size(self) -> int: ...
    @property
    def st_atime_ns(self) -> int: ...
    @property
    def st_mtime_ns(self) -> int: ...


class Files(Protocol):
    """The operations that copying, moving and removing need; paths are bytes."""

    def stat(self, path: bytes, *, follow_symlinks: bool = True) -> Attributes:
        """Return the attributes of a path."""

    def listdir(self, path: bytes) -> list[bytes]:
        """Return the names in a directory."""

    def reader(self, path: bytes) -> RawIOBase:
        """Open a file for reading."""

    def writer(self, path: bytes, perm: int) -> RawIOBase:
        """Open a file for writing, empty; `perm` is for a new one."""

    def runs(self, path: bytes, size: int) -> list[tuple[int, int]] | None:
        """Return (offset, bytes) of what of a file's `size` bytes is no hole, in order; None: who knows."""

    def link(self, source: bytes, target: bytes) -> None:
        """Give a file a further name."""

    def listxattr(self, path: bytes, *, follow_symlinks: bool = True) -> list[str]:
        """Return the names of the extended attributes, user.NAME and others."""

    def getxattr(self, path: bytes, name: str, *, follow_symlinks: bool = True) -> bytes:
        """Return an extended attribute."""

    def setxattr(self, path: bytes, name: str, value: bytes, *, follow_symlinks: bool = True) -> None:
        """Set an extended attribute."""

    def mkdir(self, path: bytes, mode: int = 0o777) -> None:
        """Make a directory."""

    def rmdir(self, path: bytes) -> None:
        """Remove an empty directory."""

    def unlink(self, path: bytes) -> None:
        """Remove a name."""

    def rename(self, source: bytes, target: bytes) -> None:
        """Rename."""

    def symlink(self, text: bytes, path: bytes) -> None:
        """Make a symbolic link."""

    def readlink(self, path: bytes) -> bytes:
        """Return what a symbolic link says."""

    def mknod(self, path: bytes, mode: int, dev: int = 0) -> None:
        """Make a FIFO or a device; `dev` is a number of this side."""

    def device(self, st: Any) -> tuple[int, int]:
        """Return major and minor number of a device."""

    def number(self, major: int, minor: int) -> int:
        """Return the number of a device on this side."""

    def chmod(self, path: bytes, mode: int) -> None:
        """Set the permissions."""

    def chown(self, path: bytes, uid: int, gid: int, *, follow_symlinks: bool = True) -> None:
        """Set owner and group."""

    def utimens(self, path: bytes, times_ns: tuple[int, int], *, follow_symlinks: bool = True) -> None:
        """Set the times of access and modification."""

    def umask(self) -> int:
        """Return the umask."""


class HostFiles:
    """The host's files."""

    stat = staticmethod(os.stat)
    mkdir = staticmethod(os.mkdir)
    rmdir = staticmethod(os.rmdir)
    unlink = staticmethod(os.unlink)
    rename = staticmethod(os.rename)
    symlink = staticmethod(os.symlink)
    readlink = staticmethod(os.readlink)
    mknod = staticmethod(os.mknod)
    chmod = staticmethod(os.chmod)
    chown = staticmethod(os.chown)
    link = staticmethod(os.link)
    getxattr = staticmethod(os.getxattr)
    setxattr = staticmethod(os.setxattr)
    number = staticmethod(os.makedev)

    def listdir(self, path: bytes) -> list[bytes]:
        """Return the names in a directory."""
        return os.listdir(path)

    def reader(self, path: bytes) -> RawIOBase:
        """Open a file for reading."""
        return FileIO(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY), "rb")

    def writer(self, path: bytes, perm: int) -> RawIOBase:
        """Open a file for writing, empty."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOCTTY
        return FileIO(os.open(path, flags, perm), "wb")

    def listxattr(self, path: bytes, *, follow_symlinks: bool = True) -> list[str]:
        """Return the names of the extended attributes."""
        return os.listxattr(path, follow_symlinks=follow_symlinks)

    def runs(self, path: bytes, size: int) -> list[tuple[int, int]] | None:
        """Return (offset, bytes) of what of a file is no hole (lseek(2))."""
        found = []
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            stop = 0
            while stop < size:
                start = os.lseek(fd, stop, os.SEEK_DATA)
                stop = os.lseek(fd, start, os.SEEK_HOLE)
                found.append((start, stop - start))
        except OSError as error:
            if error.errno != errno.TO_HOST[errno.ENXIO]:  # nothing but a hole is left
                return None
        finally:
            os.close(fd)
        return found

    def utimens(self, path: bytes, times_ns: tuple[int, int], *, follow_symlinks: bool = True) -> None:
        """Set the times of access and modification."""
        try:
            os.utime(path, ns=times_ns, follow_symlinks=follow_symlinks)
        except OverflowError as error:
            number = errno.TO_HOST[errno.EOVERFLOW]
            raise OSError(number, "a time of the file is beyond what the host can keep") from error

    def device(self, st: os.stat_result) -> tuple[int, int]:
        """Return major and minor number of a device."""
        return os.major(st.st_rdev), os.minor(st.st_rdev)

    def umask(self) -> int:
        """Return the umask."""
        mask = os.umask(0o077)
        os.umask(mask)
        return mask


class Scanned(Protocol):
    """What `ServerFiles.scan` finds: a name, and st_mode and st_size of what it names."""

    @property
    def name(self) -> bytes: ...
    @property
    def mode(self) -> int: ...
    @property
    def size(self) -> int: ...


class _Scanned(NamedTuple):
    """What is in a directory of a server."""

    name: bytes
    mode: int
    st: StatResult

    @property
    def size(self) -> int:
        """Its bytes."""
        return self.st.st_size


class ServerFiles(Client):
    """A server's files."""

    number = staticmethod(makedev)

    @property
    def where(self) -> str:
        """Where the files are, whatever becomes of the host's working directory."""
        return str(parse(self.url, client=True))

    def scan(
        self, path: bytes, failed: Callable[[bytes, OSError], None], above: Any = None
    ) -> Sequence[Scanned]:
        """Return what is in a directory, by name.

        Args:
            failed: is told the names whose attributes cannot be had, and why.
            above: what another scan has found at `path`; None: nothing is known of it.
        """
        slash = b"" if path.endswith(b"/") else b"/"
        found = []
        for name in sorted(self.listdir(path)):
            try:
                st = self.lstat(path + slash + name)
            except OSError as error:
                failed(name, error)
            else:
                found.append(_Scanned(name, st.st_mode, st))
        return found

    def attributes(self, found: Any) -> StatResult:
        """Return the attributes of what `scan` has found."""
        return found.st  # type: ignore[no-any-return]

    def reader(self, path: bytes) -> RawIOBase:
        """Open a file for reading."""
        return self.open(path, "rb")

    def writer(self, path: bytes, perm: int) -> RawIOBase:
        """Open a file for writing, empty."""
        return self.open(path, "wb", perm=perm)

    def runs(self, path: bytes, size: int) -> list[tuple[int, int]] | None:
        """Return None: NetBSD's calls do not tell where holes are."""
        return None

    def device(self, st: StatResult) -> tuple[int, int]:
        """Return major and minor number of a device."""
        return major(st.st_rdev), minor(st.st_rdev)

    def umask(self) -> int:
        """Return the umask of the process."""
        mask: int = self.sys.umask(0o077)
        self.sys.umask(mask)
        return mask


_Side = TypeVar("_Side", bound=Files, covariant=True)


class Place(Generic[_Side]):
    """A path on one side.

    Args:
        files: the side.
        path: the path there.
        prefix: what stands before it in the address.
    """

    __slots__ = ("files", "path", "prefix")

    def __init__(self, files: _Side, path: bytes, prefix: str) -> None:
        self.files = files
        self.path = path
        self.prefix = prefix

    def __str__(self) -> str:
        return self.prefix + printable(self.path)

    @property
    def name(self) -> bytes:
        """The last component; empty for a root directory."""
        return self.path.rstrip(b"/").rpartition(b"/")[2]

    def below(self, name: bytes) -> Place[_Side]:
        """Return the place of a name in this directory."""
        slash = b"" if self.path.endswith(b"/") else b"/"
        return Place(self.files, self.path + slash + name, self.prefix)

    def stat(self, follow_symlinks: bool = True) -> Attributes:
        """Return its attributes."""
        return self.files.stat(self.path, follow_symlinks=follow_symlinks)

    def kind(self, follow_symlinks: bool = True) -> int:
        """Return its file type (S_IFMT); 0 when nothing is there."""
        try:
            return self.stat(follow_symlinks).st_mode & S_IFMT
        except (FileNotFoundError, NotADirectoryError):
            return 0

    def is_dir(self) -> bool:
        """Whether it is a directory, or leads to one."""
        return self.kind() == S_IFDIR


def printable(name: bytes) -> str:
    """Return a name as text that is turned back into the same bytes where it is printed."""
    return os.fsdecode(name)
