"""The inodes of files and of trees, which a picture marks."""

from __future__ import annotations

from rumpfs.inspect.names import chunks_of, entries_in, lookup
from rumpfs.inspect.raw import Raw
from rumpfs.ondisk.ufs.dinode import IFDIR, IFMT


def inodes_of(raw: Raw, path: bytes) -> set[int]:
    """Return the inode that a path leads to; of a directory, those of all that is in it as well.

    Raises:
        VfsError: ENOENT, ENOTDIR.
    """
    found = {lookup(raw, path)}
    pending = list(found)
    while pending:
        di = raw.inode(pending.pop())
        if di is None or di.di_mode & IFMT != IFDIR:
            continue
        for base, _, data in chunks_of(raw, di):
            for _, ino, _, name in entries_in(raw, data, base):
                if name not in (b".", b"..") and ino not in found:
                    found.add(ino)
                    pending.append(ino)
    return found
