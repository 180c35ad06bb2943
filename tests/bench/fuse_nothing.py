"""What `fuse_nothing.c` is, in Python: pyfuse3 on the loop of rumpfs, and the least that a handler can do.

``python -m tests.bench.fuse_nothing MOUNTPOINT TIMEOUT DIRECTORIES FILES SIZE``; see there.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Sequence

import pyfuse3
import trio

from rumpfs.fuse.loop import serve

_ZEROS = memoryview(bytes(1 << 20))


class Node:
    """A file: its attributes, and what is in it when it is a directory."""

    __slots__ = ("attributes", "entries", "nlookup")

    def __init__(self, ino: int, mode: int, size: int, timeout: float) -> None:
        entry = self.attributes = pyfuse3.EntryAttributes()
        entry.st_ino, entry.st_mode, entry.st_size = ino, mode, size
        entry.st_uid, entry.st_gid = os.getuid(), os.getgid()
        entry.attr_timeout = entry.entry_timeout = timeout
        self.entries: dict[bytes, Node] = {}
        self.nlookup = 0


class Nothing(pyfuse3.Operations):
    """Names, types and lengths; no data."""

    def __init__(self, timeout: float, directories: int, files: int, size: int) -> None:
        super().__init__()
        self._timeout = timeout
        self._last = 0
        self._by_ino: dict[int, Node] = {}
        self._listings: dict[int, list[tuple[bytes, Node]]] = {}
        root = self._make(stat.S_IFDIR | 0o777, 0)
        for d in range(directories):
            directory = root.entries[b"d%d" % d] = self._make(stat.S_IFDIR | 0o755, 0)
            for f in range(files):
                directory.entries[b"f%06d" % f] = self._make(stat.S_IFREG | 0o644, size)

    def _make(self, mode: int, size: int) -> Node:
        self._last += 1
        node = self._by_ino[self._last] = Node(self._last, mode, size, self._timeout)
        return node

    async def lookup(self, parent: int, name: bytes, ctx: pyfuse3.RequestContext) -> pyfuse3.EntryAttributes:
        """Find a name."""
        node = self._by_ino[parent].entries.get(name)
        if node is None:
            raise pyfuse3.FUSEError(errno.ENOENT)
        node.nlookup += 1
        return node.attributes

    async def forget(self, inode_list: Sequence[tuple[int, int]]) -> None:
        """Drop what has no name and is not known any more."""
        for ino, count in inode_list:
            node = self._by_ino[ino]
            node.nlookup -= count
            if node.nlookup <= 0 and not node.attributes.st_nlink:
                del self._by_ino[ino]

    async def getattr(self, ino: int, ctx: pyfuse3.RequestContext) -> pyfuse3.EntryAttributes:
        """Return attributes."""
        return self._by_ino[ino].attributes

    async def setattr(
        self,
        ino: int,
        attr: pyfuse3.EntryAttributes,
        fields: pyfuse3.SetattrFields,
        fh: int | None,
        ctx: pyfuse3.RequestContext,
    ) -> pyfuse3.EntryAttributes:
        """Set the length."""
        entry = self._by_ino[ino].attributes
        if fields.update_size:
            entry.st_size = attr.st_size
        return entry

    async def mkdir(
        self, parent: int, name: bytes, mode: int, ctx: pyfuse3.RequestContext
    ) -> pyfuse3.EntryAttributes:
        """Make a directory."""
        node = self._by_ino[parent].entries[name] = self._make(mode | stat.S_IFDIR, 0)
        node.nlookup = 1
        return node.attributes

    async def unlink(self, parent: int, name: bytes, ctx: pyfuse3.RequestContext) -> None:
        """Take a name away."""
        self._by_ino[parent].entries.pop(name).attributes.st_nlink = 0

    async def rmdir(self, parent: int, name: bytes, ctx: pyfuse3.RequestContext) -> None:
        """Take a directory away."""
        self._by_ino[parent].entries.pop(name).attributes.st_nlink = 0

    async def open(self, ino: int, flags: int, ctx: pyfuse3.RequestContext) -> pyfuse3.FileInfo:
        """Open a file."""
        return pyfuse3.FileInfo(fh=ino)

    async def create(
        self, parent: int, name: bytes, mode: int, flags: int, ctx: pyfuse3.RequestContext
    ) -> tuple[pyfuse3.FileInfo, pyfuse3.EntryAttributes]:
        """Make a file."""
        node = self._by_ino[parent].entries[name] = self._make(mode, 0)
        node.nlookup = 1
        return pyfuse3.FileInfo(fh=node.attributes.st_ino), node.attributes

    async def read(self, fh: int, off: int, size: int) -> memoryview:
        """Return zeros."""
        return _ZEROS[: max(0, min(size, self._by_ino[fh].attributes.st_size - off))]

    async def write(self, fh: int, off: int, buf: bytes) -> int:
        """Note the length."""
        entry = self._by_ino[fh].attributes
        if off + len(buf) > entry.st_size:
            entry.st_size = off + len(buf)
        return len(buf)

    async def release(self, fh: int) -> None:
        """Close a file."""

    async def opendir(self, ino: int, ctx: pyfuse3.RequestContext) -> int:
        """Open a directory."""
        self._listings[ino] = list(self._by_ino[ino].entries.items())
        return ino

    async def readdir(self, fh: int, start_id: int, token: pyfuse3.ReaddirToken) -> None:
        """List a directory."""
        listing = self._listings[fh]
        for index in range(start_id, len(listing)):
            name, node = listing[index]
            if not pyfuse3.readdir_reply(token, name, node.attributes, index + 1):
                return
            node.nlookup += 1

    async def releasedir(self, fh: int) -> None:
        """Close a directory."""
        self._listings.pop(fh, None)


def main() -> None:
    """Mount and serve."""
    mountpoint, timeout, directories, files, size = sys.argv[1:]
    operations = Nothing(float(timeout), int(directories), int(files), int(size))
    pyfuse3.init(operations, mountpoint, {"default_permissions", "fsname=nothing"})
    try:
        trio.run(serve, False)
    finally:
        pyfuse3.close(unmount=True)


if __name__ == "__main__":
    main()
