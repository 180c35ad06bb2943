"""The vnodes of an FFS, by kind of file (NetBSD: ffs_vnops.c, ufs_vnops.c)."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from rumpfs.abi import errno
from rumpfs.abi.limits import PATH_MAX
from rumpfs.abi.stat import S_IFDIR, S_IFIFO, S_IFLNK, S_IFMT, S_IFREG
from rumpfs.base.copy import COPYIN_MAX, Data
from rumpfs.base.errors import Corrupt, VfsError
from rumpfs.fs.ffs.bigdir import Bigdir
from rumpfs.fs.ffs.inode import Inode
from rumpfs.fs.ffs.lookup import MAXDIRSIZE, Dirhash
from rumpfs.fs.ffs.readwrite import DataInode
from rumpfs.fs.ffs.snapshot import FfsSnapshot
from rumpfs.ondisk.ufs.dinode import SF_SNAPSHOT, Dinode
from rumpfs.vfs.fifofs import Fifo

if TYPE_CHECKING:
    from rumpfs.fs.ffs.ufsmount import FfsMount

Directory: TypeAlias = Dirhash | Bigdir

#: what the name cache answers for a name that it does not know
_UNKNOWN = object()

#: the names of a directory that has not been read, or is too large
_NO_NAMES: dict[bytes, int] = {}


class FfsReg(DataInode):
    """A regular file."""

    __slots__ = ()

    def read(self, offset: int, length: int) -> Data:
        if self._start <= offset and offset + length <= self._stop and length <= COPYIN_MAX:
            return self.v_mount.pread(length, offset + self._delta)
        return self.content(offset, length)


class FfsLnk(DataInode):
    """A symbolic link."""

    __slots__ = ("_target",)

    def __init__(self, mp: FfsMount, vtype: int, ino: int, dinode: Dinode) -> None:
        DataInode.__init__(self, mp, vtype, ino, dinode)
        self._target: bytes | None = None

    def readlink(self) -> bytes:
        """Return the text (VOP_READLINK), no more of it than any path may have. Errors: EIO."""
        target = self._target
        if target is None:
            dinode = self.dinode
            if self.v_mount.um_fs.is_fast_symlink(dinode.di_size, dinode.di_blocks):
                target = self.v_mount.fast_symlink(self)
            else:
                target = bytes(self.content(0, PATH_MAX))
            self._target = target
        return target


class FfsDir(DataInode):
    """A directory."""

    __slots__ = ("_directory", "_names")

    def __init__(self, mp: FfsMount, vtype: int, ino: int, dinode: Dinode) -> None:
        DataInode.__init__(self, mp, vtype, ino, dinode)
        self._directory: Directory | None = None
        self._names = _NO_NAMES

    def lookup(self, name: bytes) -> Inode | None:
        ino = self._names.get(name) or self._find(name)
        return self.v_mount.vget(ino) if ino else None

    def readdir(self, offset: int, count: int) -> tuple[Data, int]:
        """Return struct dirents and the next cookie, which is the byte offset in the directory (VOP_READDIR).

        Errors: EINVAL when `count` is too small for the next entry; EIO behind the last entry of a directory
        of which a part is damaged.
        """
        return (self._directory or self._load()).read(offset, count)

    def forget(self, _: Directory) -> None:
        """Drop the entries, which are no longer accounted for."""
        self._directory = None
        self._names = _NO_NAMES

    def _load(self) -> Directory:
        """Read the directory."""
        mp = self.v_mount
        if mp.um_gone:
            raise VfsError(errno.EIO, "the file system has been unmounted")
        if self.i_size > MAXDIRSIZE:
            where = f"{mp.um_fs.where}: directory inode {self.i_number}"
            raise mp.damaged(
                Corrupt(where, "di_size", self.i_size, f"a directory has at most {MAXDIRSIZE} bytes")
            )
        directory: Directory
        if self.i_size <= mp.um_dirhash_max:
            directory = Dirhash(self)
            self._names = directory.names
        else:
            directory = Bigdir(self)
        self._directory = directory
        mp.um_dirs.put(self, directory)
        return directory

    def _find(self, name: bytes) -> int:
        """Return the inode number of a name that is not in `_names`, or 0. Errors: EIO."""
        directory = self._directory or self._load()
        if isinstance(directory, Dirhash):
            return directory.find(name)
        cache = self.v_mount.um_namecache
        known = cache.get((self, name), _UNKNOWN)
        if known is _UNKNOWN:
            ino = directory.find(name)
            vp = self.v_mount.vget(ino) if ino else None
            try:
                cache.enter(self, name, vp)
            except VfsError:
                pass  # no memory for it: the next search is as slow as this one
            return ino
        return known.i_number if isinstance(known, Inode) else 0


class FfsFifo(Inode):
    """A FIFO; what goes through it never reaches the disk."""

    __slots__ = ("_fifo",)

    def __init__(self, mp: FfsMount, vtype: int, ino: int, dinode: Dinode) -> None:
        Inode.__init__(self, mp, vtype, ino, dinode)
        self._fifo: Fifo | None = None

    def fifo(self) -> Fifo:
        if self._fifo is None:
            self._fifo = Fifo()
        return self._fifo


_CLASSES = {S_IFREG: FfsReg, S_IFDIR: FfsDir, S_IFLNK: FfsLnk, S_IFIFO: FfsFifo}


def vnode_class(dinode: Dinode) -> type[Inode]:
    """Return the class of an inode's vnode; devices and sockets have no operations of their own."""
    kind = _CLASSES.get(dinode.di_mode & S_IFMT, Inode)
    return FfsSnapshot if kind is FfsReg and dinode.di_flags & SF_SNAPSHOT else kind
