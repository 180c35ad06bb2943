"""Files of a server: what tells them apart, and the names that lead to them.

A server's files are found by descriptor or by name; a name may mean another file the next time. So each
file is known by its device, inode number and type, and by its time of birth, because numbers are given anew.
"""

from __future__ import annotations

import struct
import threading
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakValueDictionary

from rumpfs.abi import errno
from rumpfs.abi.stat import S_IFDIR, S_IFMT, STAT
from rumpfs.client.errors import rump_error

if TYPE_CHECKING:
    from rumpfs.fuse.remote.descriptors import Descriptor

#: names that are remembered of a file with hard links
_NAMES_MAX: Final = 8
#: st_dev, st_mode, st_ino and st_birthtim of a struct stat
_identity = struct.Struct("<QI4xQ72x16s").unpack_from

#: device, inode number, file type
Key = tuple[int, int, int]
#: a directory and a name in it
Where = tuple["Rnode", bytes]


class Stale(Exception):
    """No name is known that leads to a file, and no descriptor of it is open."""


class Rnode:
    """A file of a server.

    Attributes:
        key: its device, inode number and type.
        born: its time of birth.
        names: directories, and its names there; the latest last. Nothing leads to the root.
        status: its struct stat as it was seen last.
        opened: the descriptors of those who have it open.
        v_front: as of a vnode.
    """

    __slots__ = ("__weakref__", "born", "key", "names", "opened", "status", "v_front")

    def __init__(self, status: bytes) -> None:
        self.key, self.born = identity(status)
        self.names: tuple[Where, ...] = ()
        self.status = status
        self.opened: tuple[Descriptor, ...] = ()
        self.v_front: Any = None

    @property
    def type(self) -> int:
        """Its type, one of S_IFMT."""
        return self.key[2]

    def become(self, status: bytes) -> None:
        """It is another file from now on."""
        self.key, self.born = identity(status)
        self.status = status

    def seen(self, status: bytes) -> bytes:
        """Take a new struct stat of it; return it, or the former object when nothing has changed."""
        if status == self.status:
            return self.status
        self.born = identity(status)[1]
        self.status = status
        return status

    def was(self, status: bytes, where: Where | None) -> bool:
        """Whether a struct stat is that of this file.

        Args:
            where: the name that it was found by; None when other directories may have been on the way.

        A time of birth moves when a modification before it is set (utimensat(2)): what still has its name
        and number is the same file.
        """
        key, born = identity(status)
        return key == self.key and (born == self.born or where in self.names)

    def named(self, where: Where) -> None:
        """It has, or still has, a name. A directory has one."""
        if self.names[-1:] == (where,):
            return
        others = () if self.type == S_IFDIR else tuple(name for name in self.names if name != where)
        self.names = (*others[1 - _NAMES_MAX :], where)

    def unnamed(self, where: Where) -> None:
        """A name does not lead to it."""
        self.names = tuple(name for name in self.names if name != where)


def identity(status: bytes) -> tuple[Key, bytes]:
    """Return what tells a file from others, and its time of birth.

    Errors:
        RumpError: EIO: the server sent another structure.
    """
    if len(status) != STAT.size:
        raise rump_error(errno.EIO)
    device, mode, number, born = _identity(status)
    return (device, number, mode & S_IFMT), born


class Rnodes:
    """The files that somebody knows: one object each."""

    def __init__(self) -> None:
        self._known: WeakValueDictionary[Key, Rnode] = WeakValueDictionary()
        self._lock = threading.Lock()

    def meet(self, directory: Rnode, name: bytes, status: bytes) -> Rnode:
        """Return the file that a name leads to, given its struct stat."""
        where = directory, name
        with self._lock:
            file = self._known.get(identity(status)[0])
            if file is None or not file.was(status, where):
                file = Rnode(status)
                self._known[file.key] = file
            else:
                file.seen(status)
            file.named(where)
        return file
