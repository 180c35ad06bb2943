"""Inodes: reading them from disk, and the attributes of a vnode (NetBSD: ffs_inode.c, ufs_vnops.c)."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NoReturn

from rumpfs.abi import errno
from rumpfs.abi.limits import PATH_MAX, PC_2_SYMLINKS, PC_FILESIZEBITS, PC_SYMLINK_MAX
from rumpfs.abi.mount import MNT_RDONLY
from rumpfs.abi.stat import S_IFMT, STAT
from rumpfs.base.copy import Buffer
from rumpfs.base.errors import Corrupt, DiskError, VfsError
from rumpfs.fs.ffs.cache import Cache
from rumpfs.ondisk.ufs.cg import Cg
from rumpfs.ondisk.ufs.ckhash import CK_INODE, check_hash
from rumpfs.ondisk.ufs.dinode import SF_SNAPSHOT, UFS2_DINODE, Dinode, dinode_codec
from rumpfs.ondisk.ufs.fs import NDADDR, ROOTINO
from rumpfs.vfs.cred import VWRITE, Cred, vaccess
from rumpfs.vfs.vnode import IFTOVT, NODEV, VBLK, VCHR, VDIR, VLNK, VREG, Vattr, Vnode

if TYPE_CHECKING:
    from rumpfs.fs.ffs.ufsmount import FfsMount

#: st_blksize of devices: BLKDEV_IOSIZE (amd64's param.h) and MAXBSIZE (sys/sys/param.h).
BLKDEV_IOSIZE = 2048
MAXBSIZE = 65536

#: UF_IMMUTABLE and SF_IMMUTABLE (sys/sys/stat.h).
IMMUTABLE = 0x00020002

#: Bytes of inode blocks kept: neighbours of an inode are usually wanted next.
_TABLE_CACHE = 4 << 20

#: struct ufid: ufid_len ufid_ino ufid_gen (ufs/ufs/inode.h)
UFID = struct.Struct("<HxxII")

_INT64_MAX = (1 << 63) - 1

#: what pathconf says of a UFS beyond the common values (ufs_vnops.c: ufs_pathconf)
_PATHCONF = {PC_FILESIZEBITS: 42, PC_SYMLINK_MAX: PATH_MAX, PC_2_SYMLINKS: 1}


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
        self._blocks: Cache[int, bytes] = Cache(mp.um_memory, _TABLE_CACHE, len)
        self._initediblk: dict[int, int] = {}
        pointers = fs.fs_nindir
        capacity = (NDADDR + pointers + pointers**2 + pointers**3) << fs.fs_bshift
        self._maxsize = min(capacity, _INT64_MAX)

    def read(self, ino: int) -> Dinode:
        """Return an inode in use.

        Raises:
            Corrupt: it is free, uninitialised, or holds what no inode may.
        """
        cg, index = divmod(ino, self._fs.fs_ipg)
        if self._fs.ufs2 and index >= self._initialised(cg):
            raise Corrupt(self._where(ino), "cg_initediblk", self._initediblk[cg], "the inode is beyond it")
        data, offset = self._locate(ino)
        dinode = self._codec.decode(data, offset)
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
        return self._codec.decode(*self._locate(ino))

    def fast_symlink(self, ino: int, length: int) -> bytes:
        """Return the `length` bytes of text that a symbolic link keeps in its inode."""
        data, offset = self._locate(ino)
        return self._codec.fast_symlink(data, offset, length)

    def clear(self) -> None:
        """Drop the cached blocks."""
        self._blocks.clear()

    def _where(self, ino: int) -> str:
        return f"{self._fs.where}: inode {ino}"

    def _locate(self, ino: int) -> tuple[bytes, int]:
        """Return the block of inodes that holds `ino`, and its byte offset there."""
        number, index = divmod(ino, self._inopb)
        data = self._blocks.get(number)
        if data is None:
            fs = self._fs
            frag = fs.ino_to_fsba(ino)
            if frag + fs.fs_frag > self._mp.um_frags:
                raise Corrupt(self._where(ino), "fs_size", fs.fs_size, "the device ends before the inode")
            data = self._mp.pread(fs.fs_bsize, frag << fs.fs_fshift)
            self._blocks.put(number, data)
        return data, index * self._codec.size

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
        return Cg.decode(self._mp.pread(fs.fs_cgsize, fs.cgtod(cg) << fs.fs_fshift), fs, cg)


class HashedInodeTable(InodeTable):
    """The inodes of a file system in which each has FreeBSD's check hash."""

    def read(self, ino: int) -> Dinode:
        dinode = InodeTable.read(self, ino)
        data, offset = self._locate(ino)
        data = data[offset : offset + self._codec.size]
        check_hash(self._fs, CK_INODE, data, UFS2_DINODE, "di_ckhash", self._where(ino))
        return dinode


def inode_table(mp: FfsMount) -> InodeTable:
    """Return the inodes of a mount."""
    return (HashedInodeTable if mp.um_fs.metackhash & CK_INODE else InodeTable)(mp)


class Inode(Vnode):
    """A vnode of an FFS.

    Args:
        mp: the mount.
        vtype: VREG, VDIR, ...
        ino: its number.
        dinode: the inode as it is on disk.
    """

    __slots__ = ("__weakref__", "_stat", "dinode", "i_mode", "i_number", "i_size")

    v_mount: FfsMount

    def __init__(self, mp: FfsMount, vtype: int, ino: int, dinode: Dinode) -> None:
        Vnode.__init__(self, mp, vtype)
        self.i_number = ino
        self.dinode = dinode
        self.i_mode = dinode.di_mode
        self.i_size = dinode.di_size
        self._stat: bytes | None = None

    def getattr(self) -> Vattr:
        d = self.dinode
        mp = self.v_mount
        return Vattr(
            mp.um_dev, d.di_mode, self.i_number, d.di_nlink & 0xFFFFFFFF, d.di_uid, d.di_gid, self.rdev(),
            d.di_atime, d.di_atimensec, d.di_mtime, d.di_mtimensec, d.di_ctime, d.di_ctimensec,
            d.di_birthtime, d.di_birthnsec, d.di_size, d.di_blocks & _INT64_MAX, self._blocksize(),
            d.di_flags, d.di_gen & 0xFFFFFFFF,
        )  # fmt: skip

    def stat(self) -> bytes:
        packed = self._stat
        if packed is None:
            packed = self._stat = STAT.pack(*self.getattr()[:-1], 0)
        return packed

    def access(self, want: int, cred: Cred) -> None:
        """Check permission (VOP_ACCESS; ufs_vnops.c: ufs_check_possible).

        A snapshot is read like any file, as in FreeBSD; NetBSD has it read through fss(4) only.

        Errors: EROFS for writing what a read-only mount holds; EPERM for writing what is immutable, or a
        snapshot; EACCES.
        """
        flags = self.dinode.di_flags
        if want & VWRITE:
            if self.v_type in (VREG, VDIR, VLNK) and self.v_mount.mnt_flag & MNT_RDONLY:
                raise VfsError(errno.EROFS)
            if flags & (IMMUTABLE | SF_SNAPSHOT):
                raise VfsError(errno.EPERM)
        vaccess(self.i_mode, self.dinode.di_uid, self.dinode.di_gid, want, cred)

    def vptofh(self) -> bytes:
        """Return struct ufid (ufs_vptofh, ffs_vptofh)."""
        return UFID.pack(UFID.size, self.i_number, self.dinode.di_gen & 0xFFFFFFFF)

    def getextattr(self, attrnamespace: int, name: bytes, cred: Cred) -> Buffer:
        return self.v_mount.um_extattr.get(self, attrnamespace, name, cred)

    def listextattr(self, attrnamespace: int, cred: Cred) -> list[bytes]:
        return self.v_mount.um_extattr.names(self, attrnamespace, cred)

    def setextattr(self, attrnamespace: int, name: bytes, length: int, cred: Cred) -> NoReturn:
        self.v_mount.um_extattr.change(name)

    def deleteextattr(self, attrnamespace: int, name: bytes, cred: Cred) -> NoReturn:
        self.v_mount.um_extattr.change(name)

    def rdev(self) -> int:
        return self.dinode.rdev if self.v_type in (VBLK, VCHR) else NODEV

    def size(self) -> int:
        return self.i_size

    def pathconf(self, name: int) -> int:
        value = _PATHCONF.get(name)
        return Vnode.pathconf(self, name) if value is None else value

    def _blocksize(self) -> int:
        if self.v_type == VBLK:
            return BLKDEV_IOSIZE
        if self.v_type == VCHR:
            return MAXBSIZE
        return self.v_mount.um_fs.fs_bsize
