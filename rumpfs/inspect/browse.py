"""The tree of a file system, a directory at a time, from its structures: of damaged ones, too."""

from __future__ import annotations

from typing import Final, NamedTuple

from rumpfs.abi.stat import DT_UNKNOWN
from rumpfs.inspect.names import Names, chunks_of, entries_in
from rumpfs.inspect.raw import Raw, content
from rumpfs.ondisk.ufs.dinode import IFDIR, IFLNK, IFMT

#: bits of a mode that are not the type
_TYPE_SHIFT: Final = 12


class Child(NamedTuple):
    """What is in a directory.

    Attributes:
        kind: as S_IFMT has it; 0 when its inode is free or missing.
    """

    name: bytes
    ino: int
    kind: int

    @property
    def is_dir(self) -> bool:
        """True for a directory."""
        return self.kind == IFDIR


def children(raw: Raw, ino: int) -> list[Child]:
    """Return what is in a directory, directories first, by name; nothing for what is none."""
    di = raw.inode(ino)
    if di is None or di.di_mode & IFMT != IFDIR:
        return []
    found = [
        Child(name, below, dtype << _TYPE_SHIFT if dtype != DT_UNKNOWN else kind_of(raw, below))
        for base, _, data in chunks_of(raw, di)
        for _, below, dtype, name in entries_in(raw, data, base)
        if name not in (b".", b"..")
    ]
    return sorted(found, key=lambda child: (not child.is_dir, child.name))


def kind_of(raw: Raw, ino: int) -> int:
    """Return the type of an inode as S_IFMT has it; 0 when it is free or missing."""
    di = raw.inode(ino)
    return 0 if di is None else di.di_mode & IFMT


def head(raw: Raw, ino: int, limit: int) -> bytes:
    """Return the first bytes of a file, or the text of a symbolic link; none when there is no inode.

    Args:
        limit: how many at most.
    """
    fs, di = raw.fs, raw.inode(ino)
    if di is None:
        return b""
    if di.di_mode & IFMT == IFLNK and fs.is_fast_symlink(di.di_size, di.di_blocks):
        return raw.codec.fast_symlink(raw.inode_bytes(ino), 0, di.di_size)[:limit]
    data = bytearray(min(limit, di.di_size))
    for offset, _, piece in content(raw, di, len(data)):
        data[offset : offset + len(piece)] = piece
    return bytes(data)


def search(names: Names, text: bytes, limit: int) -> list[tuple[bytes, int]]:
    """Return paths with a text in their last component, and their inodes.

    Args:
        text: in any case of its letters.
        limit: how many at most.
    """
    wanted = text.lower()
    found = []
    for ino, name in names.items():
        if wanted in name.lower():
            path = names.path(ino)
            if path is not None:
                found.append((path, ino))
                if len(found) == limit:
                    break
    return sorted(found)
