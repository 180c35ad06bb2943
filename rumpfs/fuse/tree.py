"""What can be mounted: files, and what FUSE asks of them.

`Operations` knows files through this interface only. Errors are `VfsError` with NetBSD's numbers; names are
bytes without a slash; attributes are struct stat as NetBSD packs it.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Hashable
from typing import Any, Final, Generic, Protocol, TypeVar

from rumpfs.base.copy import Buffer
from rumpfs.vfs.cred import Cred
from rumpfs.vfs.mount import StatVfs
from rumpfs.vfs.vnode import SetAttr


class File(Protocol):
    """A file; there is one object of each.

    Attributes:
        v_front: what the mount keeps with it.
    """

    v_front: Any


F = TypeVar("F", bound=File)
#: an open file
H = TypeVar("H")

#: an entry of a directory: the number of its file, its DT_ type, its name
Entry = tuple[int, int, bytes]

#: the inode number that FUSE has for the root
ROOT_NUMBER: Final = 1
#: inode numbers below this are those of the file system that the root is in; others get a prefix
_MOUNT_SHIFT: Final = 48
#: what a file gets whose number is the root's
_TAKEN: Final = 0xFFFF << _MOUNT_SHIFT


def distinct(ordinal: int, number: int) -> int:
    """Return the host's number of a file, but the root.

    Args:
        ordinal: of its file system; that of the root is 0.
        number: its inode number there.
    """
    if ordinal:
        return ordinal << _MOUNT_SHIFT | number
    return number if number != ROOT_NUMBER else _TAKEN | number


class Numbers:
    """Ordinals of file systems, given as they are met."""

    def __init__(self) -> None:
        self._ordinals: dict[Hashable, int] = {}
        self._lock = threading.Lock()

    def number(self, device: Hashable, number: int) -> int:
        """Return the host's number of a file, given what its file system is known by and its number there."""
        ordinal = self._ordinals.get(device)
        if ordinal is None:
            with self._lock:
                ordinal = self._ordinals.setdefault(device, len(self._ordinals))
        return distinct(ordinal, number)


class Tree(ABC, Generic[F, H]):
    """A file system, or a part of one.

    Attributes:
        root: its root directory.
        has_xattrs: extended attributes may exist.
        waits: its methods may wait; they are then called in threads, and several at a time.
    """

    root: F
    has_xattrs = True
    waits = False

    def begin(self) -> None:
        """A request begins in this thread, if the tree waits."""

    def interrupt(self) -> None:
        """Let methods that wait fail with EIO, and those that are called from now on."""

    def release(self) -> None:
        """The files are not used any more."""

    # --- files ----------------------------------------------------------------------------------

    @abstractmethod
    def number(self, file: F, status: bytes) -> int:
        """Return the inode number that the host knows the file by, given its struct stat."""

    @abstractmethod
    def entry_number(self, directory: F, fileno: int) -> int:
        """Return what `number` does for a file, given its directory and its number there."""

    @abstractmethod
    def hold(self, file: F) -> None:
        """The host knows the file from now on: it stays, even without a name."""

    @abstractmethod
    def drop(self, file: F) -> None:
        """The host has forgotten the file."""

    def kept(self, file: F) -> bool:
        """Whether the host may keep what it knows of the file for as long as it is mounted so."""
        return True

    @abstractmethod
    def stat(self, file: F) -> bytes:
        """Return struct stat; the same object as before when nothing has changed, if that is known."""

    @abstractmethod
    def setattr(self, file: F, va: SetAttr) -> None:
        """Change attributes; the host has checked that the caller may."""

    @abstractmethod
    def readlink(self, file: F) -> bytes:
        """Return the text of a symbolic link."""

    # --- names ----------------------------------------------------------------------------------

    @abstractmethod
    def lookup(self, directory: F, name: bytes) -> F:
        """Return what a name is. Errors: ENOENT, ENAMETOOLONG, EIO."""

    @abstractmethod
    def mknod(self, directory: F, name: bytes, mode: int, rdev: int, cred: Cred) -> F:
        """Make anything but a directory or a link, and return it.

        Args:
            mode: type and permission bits.
            rdev: NetBSD's number of a device.
        """

    @abstractmethod
    def mkdir(self, directory: F, name: bytes, mode: int, cred: Cred) -> F:
        """Make a directory and return it."""

    @abstractmethod
    def symlink(self, directory: F, name: bytes, target: bytes, cred: Cred) -> F:
        """Make a symbolic link and return it."""

    @abstractmethod
    def link(self, file: F, directory: F, name: bytes, cred: Cred) -> None:
        """Give a file a further name."""

    @abstractmethod
    def unlink(self, directory: F, name: bytes, cred: Cred, *, rmdir: bool) -> None:
        """Take a name away; with `rmdir` that of a directory."""

    @abstractmethod
    def rename(self, directory: F, name: bytes, to_directory: F, to_name: bytes, cred: Cred) -> None:
        """Move a name, replacing another."""

    @abstractmethod
    def readdir(self, directory: H, cookie: int) -> tuple[list[Entry], int]:
        """Return some entries from a cookie on (0 is the start) and the next cookie; none at the end."""

    # --- open files -----------------------------------------------------------------------------

    @abstractmethod
    def open(self, file: F, flags: int) -> H:
        """Open a file or directory.

        Args:
            flags: NetBSD's: an access mode, O_APPEND, O_SYNC, O_TRUNC.
        """

    @abstractmethod
    def close(self, handle: H) -> None:
        """Close an open file."""

    @abstractmethod
    def read(self, handle: H, offset: int, length: int) -> Buffer:
        """Return at most `length` bytes; fewer at the end only."""

    @abstractmethod
    def write(self, handle: H, offset: int, data: bytes, append: bool) -> None:
        """Store all of the data at `offset`, or with `append` at the end."""

    @abstractmethod
    def fsync(self, handle: H) -> None:
        """Bring the file to stable storage."""

    # --- the rest -------------------------------------------------------------------------------

    @abstractmethod
    def statvfs(self) -> StatVfs:
        """Return the space figures."""

    @abstractmethod
    def getxattr(self, file: F, name: bytes, cred: Cred) -> bytes:
        """Return an attribute of the namespace user. Errors: EOPNOTSUPP, ENODATA, EACCES."""

    @abstractmethod
    def listxattr(self, file: F, cred: Cred) -> list[bytes]:
        """Return the names of the attributes in the namespace user."""

    @abstractmethod
    def setxattr(self, file: F, name: bytes, value: bytes, cred: Cred) -> None:
        """Set an attribute of the namespace user."""

    @abstractmethod
    def removexattr(self, file: F, name: bytes, cred: Cred) -> None:
        """Take an attribute of the namespace user away."""
