"""Inodes on the disk: read, checked and written (NetBSD: ffs_inode.c)."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from rumpfs.abi.stat import S_IFMT
from rumpfs.base.errors import Corrupt, DiskError, VfsError
from rumpfs.dev.buf import Buf, BufCache
from rumpfs.ondisk.ufs.cg import Cg
from rumpfs.ondisk.ufs.ckhash import CK_INODE, check_hash, set_hash
from rumpfs.ondisk.ufs.dinode import UFS2_DINODE, Dinode, dinode_codec
from rumpfs.ondisk.ufs.fs import NDADDR, ROOTINO
from rumpfs.vfs.vnode import IFTOVT

if TYPE_CHECKING:
    from rumpfs.fs.ffs.ufsmount import FfsMount

_INT64_MAX = (1 << 63) - 1

#: Where a directory has di_dirdepth, in the word that links unlinked files when there are soft updates.
_DIRDEPTH: Final = UFS2_DINODE.offset("di_freelink")

#: `BufCache.bwrite`, `BufCache.bawrite` or `BufCache.bdwrite`
Put = Callable[[BufCache, Buf, int, int], None]


class InodeTable:
    """The inodes of a file system, read a block of them at a time.

    Args:
        mp: the mount.
    """

    def __init__(self, mp: FfsMount) -> None:
        fs = mp.um_fs
        self._mp = mp
        self._fs = fs
        self._codec = dinode_codec(fs)
        self._inopb = fs.fs_inopb
        self._initediblk: dict[int, int] = {}
        pointers = fs.fs_nindir
        capacity = (NDADDR + pointers + pointers**2 + pointers**3) << fs.fs_bshift
        self._maxsize = min(capacity, _INT64_MAX)
        self._dirdepth = struct.Struct(fs.order + "I")

    def read(self, ino: int) -> Dinode:
        """Return an inode in use.

        Raises:
            Corrupt: it is free, uninitialised, or holds what no inode may.
        """
        cg, index = divmod(ino, self._fs.fs_ipg)
        if self._fs.ufs2 and index >= self._initialised(cg):
            raise Corrupt(self._where(ino), "cg_initediblk", self._initediblk[cg], "the inode is beyond it")
        dinode = self.peek(ino)
        if dinode.di_mode & S_IFMT not in IFTOVT:
            why = "has no type of file" if dinode.di_mode else "the inode is free, and something refers to it"
            raise Corrupt(self._where(ino), "di_mode", dinode.di_mode, why)
        if dinode.di_size > self._maxsize:
            raise Corrupt(self._where(ino), "di_size", dinode.di_size, "exceeds what the blocks can hold")
        return dinode

    def allocated(self, ino: int) -> Dinode | None:
        """Return an inode that its group has as used, whatever it holds; None for another.

        Raises:
            DiskError: the group's block is damaged.
        """
        if not ROOTINO <= ino < self._fs.maxino:
            return None
        number, index = divmod(ino, self._fs.fs_ipg)
        cg = self._cg(number)
        if index >= cg.initediblk or not cg.inode_used(index):
            return None
        return self.peek(ino)

    def fast_symlink(self, ino: int, length: int) -> bytes:
        """Return the `length` bytes of text that a symbolic link keeps in its inode."""
        bp, offset = self._locate(ino)
        return self._codec.fast_symlink(bp.data, offset, length)

    def write(self, ino: int, dinode: Dinode, put: Put = BufCache.bwrite, text: bytes = b"") -> None:
        """Write an inode (ffs_update).

        Args:
            put: when: one of the buffer cache's ways to write.
            text: what a symbolic link keeps in its inode, when that is new.

        Errors: EIO.
        """
        bp, offset = self._locate(ino)
        size = self._codec.size
        data = bytearray(self._codec.encode(dinode, memoryview(bp.data)[offset : offset + size], text))
        set_hash(self._fs, CK_INODE, data, self._codec.record, "di_ckhash")
        bp.data[offset : offset + size] = data
        put(self._mp.um_bufs, bp, offset, offset + size)

    def set_dirdepth(self, ino: int, parent: int) -> None:
        """Note how far below the root a directory is, where FreeBSD does (di_dirdepth); 0 for not known.

        Args:
            ino: a new inode, or a directory that moves.
            parent: inode number of the directory that it is in; 0 for what is no directory.

        Errors: EIO.
        """
        if not (self._fs.ufs2 and self._fs.freebsd):
            return
        above = 0
        if parent:
            bp, offset = self._locate(parent)
            above = int(self._dirdepth.unpack_from(bp.data, offset + _DIRDEPTH)[0])
        bp, offset = self._locate(ino)
        size = self._codec.size
        data = bytearray(bp.data[offset : offset + size])
        depth = above + 1 if above or parent == ROOTINO else 0
        self._dirdepth.pack_into(data, _DIRDEPTH, depth)
        set_hash(self._fs, CK_INODE, data, self._codec.record, "di_ckhash")
        bp.data[offset : offset + size] = data
        self._mp.um_bufs.bdwrite(bp, offset, offset + size)

    def peek(self, ino: int) -> Dinode:
        """Return an inode as it is now, whatever it holds. Errors: EIO."""
        ip = self._mp.um_dirty.get(ino)
        if ip is not None:
            return ip.dinode
        bp, offset = self._locate(ino)
        return self._codec.decode(bp.data, offset)

    def forget(self, cg: int) -> None:
        """Forget how many inodes of a group were ever initialised."""
        self._initediblk.pop(cg, None)

    def _where(self, ino: int) -> str:
        return f"{self._fs.where}: inode {ino}"

    def _locate(self, ino: int) -> tuple[Buf, int]:
        """Return the block of inodes that holds `ino`, and its byte offset there."""
        fs = self._fs
        frag = fs.ino_to_fsba(ino)
        if frag + fs.fs_frag > self._mp.um_frags:
            raise Corrupt(self._where(ino), "fs_size", fs.fs_size, "the device ends before the inode")
        return self._mp.um_bufs.bread(frag << fs.fs_fshift, fs.fs_bsize), ino % self._inopb * self._codec.size

    def _initialised(self, cg: int) -> int:
        """Return how many inodes of a group were ever initialised; all of them when its block is damaged."""
        count = self._initediblk.get(cg)
        if count is None:
            try:
                count = self._cg(cg).initediblk
            except (DiskError, VfsError) as error:
                self._mp.damaged(error)
                count = self._fs.fs_ipg
            self._initediblk[cg] = count
        return count

    def _cg(self, cg: int) -> Cg:
        """Read a cylinder group."""
        fs = self._fs
        return Cg.decode(self._mp.um_bufs.bread(fs.cgtod(cg) << fs.fs_fshift, fs.fs_cgsize).data, fs, cg)


class HashedInodeTable(InodeTable):
    """The inodes of a file system in which each has FreeBSD's check hash."""

    def read(self, ino: int) -> Dinode:
        dinode = InodeTable.read(self, ino)
        bp, offset = self._locate(ino)
        data = bytes(bp.data[offset : offset + self._codec.size])
        check_hash(self._fs, CK_INODE, data, UFS2_DINODE, "di_ckhash", self._where(ino))
        return dinode


def inode_table(mp: FfsMount) -> InodeTable:
    """Return the inodes of a mount."""
    return (HashedInodeTable if mp.um_fs.metackhash & CK_INODE else InodeTable)(mp)
