"""The names of all inodes, from all directories there are, whether the root leads to them or not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from rumpfs.abi import errno
from rumpfs.base.errors import VfsError
from rumpfs.inspect.raw import Raw, content
from rumpfs.inspect.shown import one_line
from rumpfs.ondisk.ufs.dinode import IFDIR, IFMT, Dinode
from rumpfs.ondisk.ufs.direct import Entry, parse_dir
from rumpfs.ondisk.ufs.fs import ROOTINO

#: Components of a path that are looked for.
_DEPTH: Final = 256
#: Bytes of a directory that are read (ufs_lookup.c: MAXDIRSIZE).
_MAXDIRSIZE: Final = (1 << 31) - 1


def directories(raw: Raw) -> Iterator[tuple[int, Dinode]]:
    """Yield the directories that are in use."""
    codec = raw.codec
    for first, data in raw.tables():
        for index, mode in enumerate(codec.column("di_mode", data)):
            if mode & IFMT == IFDIR:
                yield first + index, codec.decode(data, index * codec.size)


def chunks_of(raw: Raw, di: Dinode) -> Iterator[tuple[int, int, bytes]]:
    """Yield (byte offset, frag, bytes) of what can be read of a directory; each begins with a chunk."""
    try:
        yield from content(raw, di, _MAXDIRSIZE)
    except VfsError:
        return


def entries_in(raw: Raw, data: bytes, base: int = 0) -> list[Entry]:
    """Return the entries in use in chunks of a directory, as far as they are sound.

    Args:
        base: byte offset of the chunks in the directory.
    """
    fs = raw.fs
    return parse_dir(
        data, fs.order, fs.old_dirents, fs.dirblksiz, fs.maxino, base=base, on_damage=lambda _: None
    )


def lookup(raw: Raw, path: bytes) -> int:
    """Return the inode that a path leads to; symbolic links are not followed.

    Raises:
        VfsError: ENOENT, ENOTDIR.
    """
    ino = ROOTINO
    for part in path.split(b"/"):
        if part in (b"", b"."):
            continue
        di = raw.inode(ino)
        if di is None or di.di_mode & IFMT != IFDIR:
            raise _no_path(errno.ENOTDIR, path)
        found = (
            below
            for base, _, data in chunks_of(raw, di)
            for _, below, _, name in entries_in(raw, data, base)
            if name == part
        )
        ino = next(found, 0)
        if not ino:
            raise _no_path(errno.ENOENT, path)
    return ino


def _no_path(number: int, path: bytes) -> VfsError:
    return VfsError(number, f"{one_line(path)}: {errno.strerror(number)}")


class Names:
    """Names of inodes. Picklable.

    Args:
        raw: the file system; all its directories are read.
    """

    def __init__(self, raw: Raw) -> None:
        self._names: dict[int, tuple[int, bytes]] = {}
        self._count: dict[int, int] = {}
        self._entries: dict[int, set[tuple[int, bytes]]] = {}
        for parent, di in directories(raw):
            for base, _, data in chunks_of(raw, di):
                for _, ino, _, name in entries_in(raw, data, base):
                    if name not in (b".", b".."):
                        self._entries.setdefault(parent, set()).add((ino, name))
                        if ino in self._names:
                            self._count[ino] = self._count.get(ino, 1) + 1
                        else:
                            self._names[ino] = parent, name

    def __contains__(self, ino: int) -> bool:
        """True when an inode has a name, or is the root."""
        return ino in self._names or ino == ROOTINO

    def get(self, ino: int) -> tuple[int, bytes] | None:
        """Return the directory in which an inode has a name, and that name; None without one."""
        return self._names.get(ino)

    def items(self) -> Iterator[tuple[int, bytes]]:
        """Yield inodes, each with one of its names."""
        for ino, (_, name) in self._names.items():
            yield ino, name

    def entries(self, directory: int) -> set[tuple[int, bytes]]:
        """Return (inode, name) of what is in a directory, without ``.`` and ``..``."""
        return self._entries.get(directory, set())

    def links(self, ino: int) -> int:
        """Return how many names an inode has."""
        return self._count.get(ino, int(ino in self._names))

    def path(self, ino: int) -> bytes | None:
        """Return a path of an inode; None when no name leads to it from the root."""
        parts: list[bytes] = []
        while ino != ROOTINO:
            if ino not in self._names or len(parts) > _DEPTH:
                return None
            ino, name = self._names[ino]
            parts.append(name)
        return b"/" + b"/".join(reversed(parts))
