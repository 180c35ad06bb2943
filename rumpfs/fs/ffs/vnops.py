"""The vnodes of an FFS, by kind of file (NetBSD: ffs_vnops.c, ufs_vnops.c)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rumpfs.abi import errno
from rumpfs.abi.limits import PATH_MAX
from rumpfs.abi.stat import S_IFDIR, S_IFIFO, S_IFLNK, S_IFMT, S_IFREG, S_ISGID, S_ISUID
from rumpfs.base.copy import COPYIN_MAX, Buffer, Data
from rumpfs.base.errors import VfsError
from rumpfs.fs.ffs.directory import FfsDir
from rumpfs.fs.ffs.inode import Inode
from rumpfs.fs.ffs.readwrite import DataInode
from rumpfs.fs.ffs.snapshot import FfsSnapshot
from rumpfs.fs.ffs.truncate import truncate
from rumpfs.fs.ffs.wapbl.operation import operation
from rumpfs.ondisk.ufs.dinode import SF_SNAPSHOT, Dinode
from rumpfs.vfs.cred import Cred
from rumpfs.vfs.fifofs import Fifo
from rumpfs.vfs.genfs import APPEND
from rumpfs.vfs.vnode import IO_APPEND, IO_SYNC

if TYPE_CHECKING:
    from rumpfs.fs.ffs.ufsmount import FfsMount


class FfsReg(DataInode):
    """A regular file."""

    __slots__ = ()

    def read(self, offset: int, length: int) -> Data:
        mp = self.v_mount
        if mp.um_atime and length:
            self.accessed()
        if self._start <= offset and offset + length <= self._stop and length <= COPYIN_MAX:
            return mp.pread(length, offset + self._delta)
        return self.content(offset, length)

    @operation
    def write(self, offset: int, data: Buffer, ioflag: int, cred: Cred) -> int:
        """Store `data` and return the offset behind it (ffs_write).

        Errors: EPERM: an append-only file is written elsewhere than at its end; EFBIG, ENOSPC, nothing was
        written then; EIO.
        """
        mp = self.v_mount
        mp.begin()
        size = self.i_size
        if ioflag & IO_APPEND:
            offset = size
        if self.dinode.di_flags & APPEND and offset != size:
            raise VfsError(errno.EPERM)
        if not len(data):
            return offset
        end = offset + len(data)
        if end > mp.um_fs.fs_maxfilesize:
            raise VfsError(errno.EFBIG)
        self.store(offset, data, cred)
        mode = self.dinode.di_mode
        if mode & (S_ISUID | S_ISGID) and cred.euid:
            self.modify(di_mode=mode & ~(S_ISUID | S_ISGID))
        else:
            self.modify()
        if ioflag & IO_SYNC or mp.um_bufs.synchronous:
            self.fsync()
        return end

    def _chsize(self, size: int, cred: Cred) -> None:
        """Set the length."""
        self._changeable()
        self.v_mount.begin()
        truncate(self, size, cred)
        self.modify()


class FfsLnk(DataInode):
    """A symbolic link."""

    __slots__ = ("_target",)

    def __init__(self, mp: FfsMount, vtype: int, ino: int, dinode: Dinode) -> None:
        DataInode.__init__(self, mp, vtype, ino, dinode)
        self._target: bytes | None = None

    def readlink(self) -> bytes:
        """Return the text (VOP_READLINK), no more of it than any path may have. Errors: EIO."""
        if self.v_mount.um_atime:
            self.accessed()
        target = self._target
        if target is None:
            dinode = self.dinode
            if self.v_mount.um_fs.is_fast_symlink(dinode.di_size, dinode.di_blocks):
                target = self.v_mount.fast_symlink(self)
            else:
                target = bytes(self.content(0, PATH_MAX))
            self._target = target
        return target


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

    def fifo_used(self, nread: int, nwritten: int) -> None:
        mp = self.v_mount
        if nread and mp.um_atime:
            self.accessed()
        if nwritten and mp.um_alloc is not None:
            self.modify()


_CLASSES = {S_IFREG: FfsReg, S_IFDIR: FfsDir, S_IFLNK: FfsLnk, S_IFIFO: FfsFifo}


def vnode_class(dinode: Dinode) -> type[Inode]:
    """Return the class of an inode's vnode; devices and sockets have no operations of their own."""
    kind = _CLASSES.get(dinode.di_mode & S_IFMT, Inode)
    return FfsSnapshot if kind is FfsReg and dinode.di_flags & SF_SNAPSHOT else kind
