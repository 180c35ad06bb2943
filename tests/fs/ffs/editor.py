"""Changes structures of an FFS image, for tests of variants and of damage."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from rumpfs.ondisk.layout import BIG
from rumpfs.ondisk.ufs.cg import Cg
from rumpfs.ondisk.ufs.dinode import IFDIR, IFMT, Dinode, dinode_codec
from rumpfs.ondisk.ufs.fs import FS, NDADDR
from rumpfs.ondisk.ufs.superblock import Superblock, find_superblock
from tests.fs.ffs.harness import mounted, resolve


class Editor:
    """An image open for changes.

    Attributes:
        fs: its superblock as it was when the image was opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd = os.open(path, os.O_RDWR)
        self.size = os.fstat(self._fd).st_size
        self.fs: Superblock = find_superblock(self.read, self.size, path.name)
        self.codec = dinode_codec(self.fs)

    def __enter__(self) -> Editor:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._fd)

    def read(self, nbytes: int, offset: int) -> bytes:
        return os.pread(self._fd, nbytes, offset)

    def write(self, offset: int, data: bytes) -> None:
        assert os.pwrite(self._fd, data, offset) == len(data)

    def ino(self, path: str) -> int:
        """Return the inode number of a path."""
        with mounted(self.path) as mp:
            return resolve(mp, path).getattr().fileid

    # The superblock.

    def superblock(self, **fields: Any) -> None:
        """Change fields of the primary superblock, in its bytes alone."""
        codec = FS.codec(self.fs.order)
        row = codec.unpack(self.read(FS.size, self.fs.offset))
        self.write(self.fs.offset, codec.pack(row._replace(**fields)))

    # Inodes.

    def dinode(self, ino: int) -> Dinode:
        return self.codec.decode(self.read(self.codec.size, self.fs.ino_to_byte(ino)))

    def change_inode(self, ino: int, **fields: Any) -> None:
        """Change fields of an inode."""
        offset = self.fs.ino_to_byte(ino)
        old = self.read(self.codec.size, offset)
        self.write(offset, self.codec.encode(self.codec.decode(old)._replace(**fields), old))

    def initialised(self, cg: int) -> int:
        """Return how many inodes of a group were ever initialised."""
        return Cg.decode(self.read(self.fs.fs_cgsize, self.at(self.fs.cgtod(cg))), self.fs, cg).initediblk

    def inodes(self) -> Iterator[tuple[int, Dinode]]:
        """Yield every inode in use."""
        for cg in range(self.fs.fs_ncg):
            first = cg * self.fs.fs_ipg
            for ino in range(first, first + self.initialised(cg)):
                dinode = self.dinode(ino)
                if dinode.di_mode:
                    yield ino, dinode

    def change_pointer(self, ino: int, index: int, frag: int) -> None:
        """Change di_db[index]."""
        db = list(self.dinode(ino).di_db)
        db[index] = frag
        self.change_inode(ino, di_db=tuple(db))

    # Blocks.

    def at(self, frag: int) -> int:
        """Return the byte offset of a frag."""
        return frag * self.fs.fs_fsize

    def pointer_block(self, frag: int, pointers: dict[int, int]) -> None:
        """Make the block at `frag` an indirect block with these pointers, the rest holes."""
        values = [0] * self.fs.fs_nindir
        for index, value in pointers.items():
            values[index] = value
        code = "q" if self.fs.ufs2 else "i"
        self.write(self.at(frag), struct.pack(f"{self.fs.order}{len(values)}{code}", *values))

    # Directories whose blocks are all direct ones.

    def directory(self, ino: int) -> bytes:
        dinode = self.dinode(ino)
        assert dinode.di_mode & IFMT == IFDIR
        assert dinode.di_size <= NDADDR * self.fs.fs_bsize
        return b"".join(self.read(nbytes, offset) for offset, nbytes in self._pieces(dinode))

    def write_directory(self, ino: int, data: bytes) -> None:
        for offset, nbytes in self._pieces(self.dinode(ino)):
            self.write(offset, data[:nbytes])
            data = data[nbytes:]

    def _pieces(self, dinode: Dinode) -> Iterator[tuple[int, int]]:
        left = dinode.di_size
        for frag in dinode.di_db:
            if left:
                nbytes = min(left, self.fs.fs_bsize)
                yield self.at(frag), nbytes
                left -= nbytes

    def dirents(self, data: bytes) -> Iterator[tuple[int, int, int, bytes]]:
        """Yield (offset, ino, reclen, name) of every entry, unused ones too; new format only."""
        offset = 0
        while offset < len(data):
            ino, reclen, _, namlen = struct.unpack_from(self.fs.order + "IHBB", data, offset)
            yield offset, ino, reclen, data[offset + 8 : offset + 8 + namlen]
            offset += reclen

    def dirent(self, ino: int, name: bytes) -> int:
        """Return the byte offset on the device of the entry of a name in a directory of one block."""
        for offset, _, _, found in self.dirents(self.directory(ino)):
            if found == name:
                return self.at(self.dinode(ino).di_db[0]) + offset
        raise AssertionError(name)

    def old_dirents(self, data: bytes) -> bytes:
        """Return directory content in the 4.2BSD format: 16 bits of name length and no type."""
        old = bytearray(data)
        for offset, _, _, name in self.dirents(data):
            old[offset + 6 : offset + 8] = len(name).to_bytes(2, "big" if self.fs.order == BIG else "little")
        return bytes(old)
