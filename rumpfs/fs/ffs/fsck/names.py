"""Paths for findings: up the ``..`` of directories, as far as it leads.

Source: NetBSD sbin/fsck_ffs/utilities.c (`getpathname`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rumpfs.fs.ffs.fsck.entries import blocks, entries
from rumpfs.fs.ffs.fsck.tables import DIRECTORIES
from rumpfs.ondisk.ufs.fs import ROOTINO

if TYPE_CHECKING:
    from rumpfs.fs.ffs.fsck.checker import Check

#: Components of a path that are looked for.
_DEPTH: Final = 64
#: Directories whose names are remembered.
_CACHED: Final = 256


class Names:
    """Finds names in directories, which are read as they are on the disk.

    Args:
        ck: the check.
    """

    def __init__(self, ck: Check) -> None:
        self._ck = ck
        self._read: dict[int, tuple[dict[int, bytes], int]] = {}

    def path(self, parent: int, ino: int) -> bytes:
        """Return the path of an inode.

        Args:
            parent: a directory that names it, or the inode itself when it is a directory.
            ino: inode number.
        """
        if ino == parent == ROOTINO:
            return b"/"
        if self._ck.inodes.state[parent] not in DIRECTORIES:
            return b"?"
        parts: list[bytes] = []
        if parent == ino:
            parent = self._directory(ino)[1]
        while len(parts) < _DEPTH:
            name = self._directory(parent)[0].get(ino) if parent else None
            if name is None:
                return b"?" + b"".join(reversed(parts))
            parts.append(b"/" + name)
            ino = parent
            if ino == ROOTINO:
                return b"".join(reversed(parts))
            parent = self._directory(ino)[1]
        return b"?" + b"".join(reversed(parts))

    def dotdot(self, ino: int) -> int:
        """Return what the ``..`` of a directory says; 0 for nothing."""
        return self._directory(ino)[1]

    def forget(self, ino: int) -> None:
        """Forget what a directory held, which is about to change."""
        self._read.pop(ino, None)

    def _directory(self, ino: int) -> tuple[dict[int, bytes], int]:
        """Return inode -> name of what a directory names, and what its ``..`` says."""
        if ino not in self._read:
            if len(self._read) >= _CACHED:
                self._read.clear()
            self._read[ino] = self._list(ino)
        return self._read[ino]

    def _list(self, ino: int) -> tuple[dict[int, bytes], int]:
        names: dict[int, bytes] = {}
        dotdot = 0
        d = self._ck.dirs.get(ino)
        if d is None:
            return names, 0
        form = self._ck.dirs_format
        for block in blocks(self._ck, d, lambda: False):
            block.dirty = False
            for entry in entries(form, block.data):
                if not entry.ino:
                    continue
                name = form.name(block.data, entry)
                if name == b"..":
                    dotdot = entry.ino
                elif name != b".":
                    names.setdefault(entry.ino, name)
        return names, dotdot
