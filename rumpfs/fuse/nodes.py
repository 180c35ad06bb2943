"""The files that the host knows, and how often it was told of each (FUSE's lookup count)."""

from __future__ import annotations

import struct
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Generic

import pyfuse3

from rumpfs.abi import errno
from rumpfs.abi.stat import S_IFMT, major, minor
from rumpfs.base.errors import VfsError
from rumpfs.fuse.tree import F, H

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rumpfs.fuse.habits import Habit
    from rumpfs.fuse.tree import Tree

ROOT_INO: Final = pyfuse3.ROOT_INODE
#: what a host's device number is made of (gnu_dev_makedev)
_MINOR_LOW: Final = 0xFF
_SECOND: Final = 1_000_000_000  # nanoseconds
#: struct stat without what the host has no place for: device, birth time, flags and generation
_unpack: Final = struct.Struct("<8xI4xQIII4xQqqqqqq16xqqI20x").unpack


@dataclass(frozen=True, slots=True)
class Shown:
    """How files are shown to the host.

    Attributes:
        uid, gid: of every file; None: its own.
        umask: permissions that no file has; None: each has its own.
        attr_timeout, entry_timeout: seconds that the host may go by what it was told.
    """

    uid: int | None = None
    gid: int | None = None
    umask: int | None = None
    attr_timeout: float = 3600.0
    entry_timeout: float = 3600.0


class Node(Generic[F]):
    """What the host is told of a file. It stays with the file while the host has forgotten it.

    Attributes:
        ino: FUSE's number of it.
        file: the tree's, while the host knows it.
        shown: how it is shown.
        kept: the host may keep something of it in its caches (`Tree.kept`).
        generation: tells the file from those that the host knew by the same number before.
        nlookup: how often the host was told of it and has not forgotten it.
        where: inode number of its directory and its name there, as the host asked last.
        size: the length that the host goes by.
        told: the host may have something of it in its caches.
        reader: of a directory: who read it last, when attributes were held back.
    """

    __slots__ = ("_entry", "_status", "file", "generation", "ino", "kept", "nlookup", "reader", "shown",
                 "size", "told", "where")  # fmt: skip

    file: F

    def __init__(self, ino: int, shown: Shown, kept: bool) -> None:
        self.ino = ino
        self.shown = shown
        self.kept = kept
        self.generation = 0
        self.nlookup = 0
        self.where: tuple[int, bytes] | None = None
        self.size = 0
        self.told = False
        self.reader: Habit | None = None
        self._status: bytes | None = None
        self._entry: pyfuse3.EntryAttributes

    def successor(self) -> Node[F]:
        """Return a node for another file with this number; what the host knows is counted there."""
        node: Node[F] = Node(self.ino, self.shown, self.kept)
        node.generation = self.generation + 1
        node.nlookup = self.nlookup
        return node

    def entry(self, status: bytes) -> pyfuse3.EntryAttributes:
        """Return the attributes for the host, which are made anew when they have changed."""
        self.told = True
        if status is not self._status:
            entry = self._entry = attributes(status, self.shown)
            entry.generation = self.generation
            if self.ino != ROOT_INO:
                entry.st_ino = self.ino
            if not self.kept:
                entry.attr_timeout = entry.entry_timeout = 0
            self._status = status
            self.size = entry.st_size
        return self._entry


def attributes(status: bytes, shown: Shown) -> pyfuse3.EntryAttributes:
    """Return a struct stat as the host has it."""
    (mode, ino, nlink, uid, gid, rdev, asec, ansec, msec, mnsec, csec, cnsec, size, blocks,
     blksize) = _unpack(status)  # fmt: skip
    entry = pyfuse3.EntryAttributes()
    entry.st_ino = ino
    entry.st_mode = mode if shown.umask is None else mode & S_IFMT | 0o777 & ~shown.umask
    entry.st_nlink = nlink
    entry.st_uid = uid if shown.uid is None else shown.uid
    entry.st_gid = gid if shown.gid is None else shown.gid
    if rdev >> 32 == 0:
        entry.st_rdev = host_rdev(rdev)
    entry.st_atime_ns = asec * _SECOND + ansec
    entry.st_mtime_ns = modified = msec * _SECOND + mnsec
    entry.st_ctime_ns = modified if csec == msec and cnsec == mnsec else csec * _SECOND + cnsec
    entry.st_size = size
    entry.st_blocks = blocks
    entry.st_blksize = blksize
    entry.attr_timeout = shown.attr_timeout
    entry.entry_timeout = shown.entry_timeout
    return entry


def host_rdev(rdev: int) -> int:
    """Return NetBSD's number of a device as the host has it."""
    low = minor(rdev)
    return low & _MINOR_LOW | major(rdev) << 8 | (low & ~_MINOR_LOW) << 12


class Nodes(Generic[F, H]):
    """The files that the host knows.

    Args:
        tree: whose files they are.
        shown: how they are shown.
    """

    def __init__(self, tree: Tree[F, H], shown: Shown) -> None:
        self._tree = tree
        self._stat = tree.stat
        self._shown = shown
        self._by_ino: dict[int, Node[F]] = {}
        self._meet(tree.root, tree.stat(tree.root)).nlookup = 1

    def __len__(self) -> int:
        return len(self._by_ino)

    def at(self, ino: int) -> Node[F]:
        """Return the file of an inode number. Errors: ESTALE."""
        node = self._by_ino.get(ino)
        if node is None:
            raise VfsError(errno.ESTALE)
        return node

    def get(self, file: F) -> Node[F] | None:
        """Return what the host was told of a file; None: it does not know the file."""
        node: Node[F] | None = file.v_front
        return node if node is not None and node.nlookup else None

    def _meet(self, file: F, status: bytes) -> Node[F]:
        """Enter a file that the host did not know."""
        tree = self._tree
        node: Node[F] | None = file.v_front
        if node is None or node.shown is not self._shown:
            node = file.v_front = Node(tree.number(file, status), self._shown, tree.kept(file))
        old = self._by_ino.get(node.ino)
        if old is not None:
            # The number was given anew; the host has not forgotten its former file yet.
            node = file.v_front = old.successor()
            self._part(old)
        node.file = file
        tree.hold(file)
        self._by_ino[node.ino] = node
        return node

    def _part(self, node: Node[F]) -> None:
        """The host does not know a file any more."""
        file = node.file
        node.nlookup = 0
        del node.file  # so that no circle of references keeps the file
        self._tree.drop(file)

    def attributes(self, node: Node[F]) -> pyfuse3.EntryAttributes:
        """Return the attributes of a file that the host knows."""
        return node.entry(self._stat(node.file))

    def tell(self, file: F, parent: int, name: bytes) -> pyfuse3.EntryAttributes:
        """Return the attributes of a file, of which the host is told that it has this name."""
        return self._told(file, self._stat(file), parent, name)

    def _told(self, file: F, status: bytes, parent: int, name: bytes) -> pyfuse3.EntryAttributes:
        node: Node[F] | None = file.v_front
        if node is None or not node.nlookup:
            node = self._meet(file, status)
        node.nlookup += 1
        node.where = parent, name
        return node.entry(status)

    def untell(self, file: F) -> None:
        """Take back what `tell` has counted: the host does not hear of it after all."""
        self.forget([(file.v_front.ino, 1)])

    def forget(self, counts: Iterable[tuple[int, int]]) -> None:
        """The host has forgotten files so many times; those that it does not know any more may go."""
        for ino, count in counts:
            node = self._by_ino.get(ino)
            if node is None:
                continue
            node.nlookup -= count
            if node.nlookup <= 0 and ino != ROOT_INO:
                del self._by_ino[ino]
                self._part(node)

    def clear(self) -> None:
        """The host knows nothing any more."""
        while self._by_ino:
            self._part(self._by_ino.popitem()[1])


class SharedNodes(Nodes[F, H]):
    """The same for a tree that waits: several threads use them."""

    def __init__(self, tree: Tree[F, H], shown: Shown) -> None:
        super().__init__(tree, shown)
        self._lock = threading.Lock()

    def attributes(self, node: Node[F]) -> pyfuse3.EntryAttributes:
        status = self._stat(node.file)
        with self._lock:
            return node.entry(status)

    def _told(self, file: F, status: bytes, parent: int, name: bytes) -> pyfuse3.EntryAttributes:
        with self._lock:
            return super()._told(file, status, parent, name)

    def forget(self, counts: Iterable[tuple[int, int]]) -> None:
        with self._lock:
            super().forget(counts)
