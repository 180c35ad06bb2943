"""A mounted FFS: its superblock, its caches and its vnodes (NetBSD: ufs/ufs/ufsmount.h, ffs_vfsops.c)."""

from __future__ import annotations

import logging
import sys
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, NoReturn

from rumpfs.abi import errno
from rumpfs.abi.limits import PATH_MAX
from rumpfs.abi.mount import (
    MNT_EXTATTR,
    MNT_FORCE,
    MNT_LOCAL,
    MNT_LOG,
    MNT_RELOAD,
    MNT_SOFTDEP,
    UFS_ARGS,
    makefstype,
)
from rumpfs.base.copy import CopyInStr
from rumpfs.base.errors import Corrupt, DiskError, VfsError
from rumpfs.dev.buf import BufCache
from rumpfs.fs.ffs.bmap import Bmap
from rumpfs.fs.ffs.cache import Cache
from rumpfs.fs.ffs.directory import Directory, FfsDir
from rumpfs.fs.ffs.extattr import extattrs_of
from rumpfs.fs.ffs.inode import UFID, Inode
from rumpfs.fs.ffs.quota import quotas_of
from rumpfs.fs.ffs.vnops import vnode_class
from rumpfs.fs.ffs.writing import Writing
from rumpfs.ondisk.layout import LITTLE
from rumpfs.ondisk.ufs.dinode import Dinode
from rumpfs.ondisk.ufs.fs import FS_ISCLEAN, ROOTINO
from rumpfs.ondisk.ufs.superblock import Superblock
from rumpfs.vfs.mount import Mount, MountArgs, StatVfs, UpdateBody
from rumpfs.vfs.namei import namei
from rumpfs.vfs.vnode import VBLK, VDIR, Vnode, type_of

if TYPE_CHECKING:
    from rumpfs.base.memory import Memory
    from rumpfs.dev.window import Window
    from rumpfs.fs.ffs.wapbl.replay import Replayed
    from rumpfs.vfs.cred import Cred
    from rumpfs.vfs.mount import Vfs, VfsOps
    from rumpfs.vfs.quota import Quotas

log = logging.getLogger("rumpfs.fs.ffs")

#: The accounted bytes of a vnode with its inode and struct stat; kern.maxvnodes bounds how many are kept.
_VNODE = 1536
_VNODES_CACHE = 1 << 62

#: Bytes of directories kept in memory, and the largest one of which all entries are.
_DIRHASH_CACHE = 64 << 20
_DIRHASH_MAX = 16 << 20

#: Places of damage that are logged; the sum of it is what fsck_ffs is for.
_MAXDAMAGE = 32


class FfsMount(Writing):
    """One mounted FFS.

    Args:
        vfs: the kernel's mounts, for its memory and its name cache.
        op: the file system type.
        window: the device; the mount closes it.
        fs: its superblock.
        rdev: the device's number.
        flags: MNT_ flags.

    Attributes:
        um_dev: the device number, st_dev of every file.
        um_window: the device.
        um_bufs: its blocks of metadata.
        um_swapped: the file system's byte order is not this machine's.
        um_frags: frags that exist both for the superblock and on the device.
        um_freed: inodes that a replayed log leaves to be freed; on the disk they are still in use.
        um_replayed: the log that the mount found in use.
        um_dirhash_max: bytes of the largest directory that is read whole.
        um_gone: the file system has been unmounted.
        pread, preadv: the window's, until the mount is gone.
    """

    def __init__(self, vfs: Vfs, op: VfsOps, window: Window, fs: Superblock, rdev: int, flags: int) -> None:
        Mount.__init__(self, op, flags & ~(MNT_SOFTDEP | MNT_LOG) | MNT_LOCAL)
        self.mnt_fsid = (rdev, makefstype(op.name))
        self.um_fs = fs
        self.um_dev = rdev
        self.um_frags = min(fs.fs_size, window.size >> fs.fs_fshift)
        self.um_dirhash_max = _DIRHASH_MAX
        self.um_freed: set[int] = set()
        self.um_gone = False
        self.um_memory: Memory = vfs.memory
        self.um_namecache = vfs.namecache
        self._syncer = vfs.syncer
        self.um_swapped = (fs.order == LITTLE) != (sys.byteorder == "little")
        self.um_replayed: Replayed | None = None
        self.um_bufs = BufCache(window, vfs.memory, self.write_failed, fs.fs_fsize, fs.fs_bsize)
        self.attach(window)
        self.um_close: Callable[[], None] = window.close
        self.um_bmap = Bmap(self)
        self._init_writing()
        self._loaded: weakref.WeakValueDictionary[int, Inode] = weakref.WeakValueDictionary()
        self._vnodes: Cache[int, Inode] = Cache(
            vfs.memory, _VNODES_CACHE, lambda _: _VNODE, self._loaded.__setitem__
        )
        self._vcache = vfs.vcache
        self._vcache.attach(self._vnodes)
        self.um_dirs: Cache[FfsDir, Directory] = Cache(
            vfs.memory, _DIRHASH_CACHE, lambda directory: directory.nbytes, FfsDir.forget
        )
        self._vcache.attach(self.um_dirs)
        self._damage: set[str] = set()
        self.um_extattr = extattrs_of(self)

    def start(self) -> None:
        """Get the root directory, and log what a user should know (VFS_START). Errors: EIO."""
        vp = self.vget(ROOTINO)
        if vp.v_type != VDIR:
            where = f"{self.um_fs.where}: root inode {ROOTINO}"
            raise self.damaged(Corrupt(where, "di_mode", vp.i_mode, "is no directory"))
        self.mnt_root = vp
        fs = self.um_fs
        for warning in fs.warnings:
            log.warning("%s: %s", fs.where, warning)
        if not fs.fs_clean & FS_ISCLEAN and not fs.has_wapbl:
            log.warning("%s: the file system was not unmounted cleanly; run fsck_ffs on it", fs.where)
        if self.mnt_flag & MNT_EXTATTR:
            self.um_extattr.mounted()

    def attach(self, window: Window) -> None:
        """Use a device, which has the same content as the one before."""
        self.um_window = window
        self.um_bufs.attach(window)
        self.pread: Callable[[int, int], bytes] = window.pread
        self.preadv: Callable[[list[memoryview | bytearray], int], int] = window.preadv

    def vget(self, ino: int) -> Inode:
        """Return the vnode of an inode, the same one for as long as anything uses it (ffs_vget).

        Args:
            ino: below maxino.

        Errors: EIO for an inode that is damaged or free.
        """
        vp = self._vnodes.get(ino)
        if vp is None:
            vp = self._loaded.pop(ino, None)
            if vp is None:
                vp = self._load(ino)
            self._vnodes.put(ino, vp)
            self._vcache.trim()
        return vp

    def allocated(self, ino: int) -> Dinode | None:
        """Return what is on the disk of an inode, whatever it holds; None when its group has it as free.

        Raises:
            DiskError, VfsError: it cannot be read.
        """
        return self._table.allocated(ino)

    def fast_symlink(self, ip: Inode) -> bytes:
        """Return the text that a symbolic link keeps in its inode. Errors: EIO."""
        try:
            return self._table.fast_symlink(ip.i_number, ip.i_size)
        except DiskError as error:
            raise self.damaged(error) from error

    def damaged(self, error: DiskError | VfsError) -> VfsError:
        """Log what is wrong on the disk, each place once and not too many of them; return what to raise."""
        text = str(error)
        if text not in self._damage and len(self._damage) <= _MAXDAMAGE:
            self._damage.add(text)
            if len(self._damage) > _MAXDAMAGE:
                text = f"{self.um_fs.where}: more damage is not logged; fsck_ffs finds all of it"
            log.warning("%s", text)
        return error if isinstance(error, VfsError) else VfsError(error.errno, text)

    def fhtovp(self, fid: bytes) -> Inode:
        """Return the file of a handle (ffs_fhtovp).

        Errors: EINVAL: it is no handle of an FFS; ESTALE: the inode is free, or another file's; EIO.
        """
        if len(fid) != UFID.size:
            raise VfsError(errno.EINVAL)
        _, ino, gen = UFID.unpack(fid)
        if not ROOTINO <= ino < self.um_fs.maxino or ino in self.um_freed:
            raise VfsError(errno.ESTALE)
        try:
            dinode = self._table.read(ino)
        except DiskError as error:
            raise VfsError(errno.ESTALE, str(error)) from error
        if dinode.di_gen & 0xFFFFFFFF != gen:
            raise VfsError(errno.ESTALE)
        return self.vget(ino)

    def getargs(self, data: bytes | None) -> bytes:
        """Return struct ufs_args without a device, as NetBSD does. Errors: EINVAL."""
        if data is None or len(data) < UFS_ARGS.size:
            raise VfsError(errno.EINVAL)
        return UFS_ARGS.pack(0)

    def update(self, args: MountArgs) -> UpdateBody:
        """Change the mount's flags.

        Errors: EINVAL (arguments; another device), those of the lookup of the device, ENOTBLK; EOPNOTSUPP
        (MNT_RELOAD); EROFS: it cannot be written; EIO.
        """
        (fspec,) = args.unpack(UFS_ARGS)
        if fspec:
            devvp = namei(args.caller, (yield CopyInStr(fspec, PATH_MAX)))
            if devvp.v_type != VBLK:
                raise VfsError(errno.ENOTBLK)
            if devvp.rdev() != self.um_dev:
                raise VfsError(errno.EINVAL, "another device")
        if args.flags & MNT_RELOAD:
            raise VfsError(errno.EOPNOTSUPP)
        self.change_writing(args.flags)
        flags = args.flags & ~(MNT_SOFTDEP | MNT_LOG) | (MNT_LOG if self.um_log is not None else 0)
        return self.um_extattr.update(flags)

    def extattrctl(
        self, cmd: int, vp: Vnode | None, attrnamespace: int, name: bytes | None, cred: Cred
    ) -> None:
        self.um_extattr.extattrctl(cmd, vp, attrnamespace, name, cred)

    def quotas(self) -> Quotas:
        return quotas_of(self)

    def statvfs(self) -> StatVfs:
        fs = self.um_fs
        if self.um_alloc is not None:
            fs.fs_cstotal = self.um_alloc.totals()
        freed = self.um_alloc.freed if self.um_alloc is not None else 0
        bfree = _u64(fs.free_frags + freed)
        bresvd = _u64(fs.reserved_frags)
        ffree = _u64(fs.fs_cstotal.cs_nifree)
        return StatVfs(
            bsize=fs.fs_bsize,
            frsize=fs.fs_fsize,
            iosize=fs.fs_bsize,
            blocks=_u64(fs.fs_dsize),
            bfree=bfree,
            bavail=max(0, bfree - bresvd),
            bresvd=bresvd,
            files=_u64(fs.maxino - ROOTINO),
            ffree=ffree,
            favail=ffree,
            fresvd=0,
        )

    def unmount(self, flags: int) -> None:
        """Write everything, and give up the caches and the device.

        Files that are still open (MNT_FORCE) read as EIO. Errors: EIO: something could not be written, which
        MNT_FORCE takes.
        """
        try:
            self.stop_writing()
        except VfsError:
            if not flags & MNT_FORCE:
                raise
            self.stopped()
        self.um_gone = True
        self.um_extattr.stop()
        self.pread = self.preadv = _gone
        self.release()
        self.um_bufs.close(_gone)
        self.um_close()

    def release(self) -> None:
        """Give up the caches."""
        for cache in (self._vnodes, self.um_dirs, self.um_bmap, self.um_bufs):
            cache.clear()

    def enter_vnode(self, ino: int, vp: Inode) -> None:
        """Keep the vnode of a new inode."""
        self._loaded.pop(ino, None)
        self._vnodes.remove(ino)
        self._vnodes.put(ino, vp)
        self._vcache.trim()

    def forget(self, vp: Inode) -> None:
        """An inode is free: its number may become another file's."""
        ino = vp.i_number
        self._vnodes.remove(ino)
        self._loaded.pop(ino, None)
        self.um_orphans.pop(ino, None)
        if self.um_log is None:
            self.um_dirty.pop(ino, None)
        if isinstance(vp, FfsDir):
            self.um_dirs.remove(vp)

    def _load(self, ino: int) -> Inode:
        try:
            dinode = self._table.read(ino)
        except DiskError as error:
            raise self.damaged(error) from error
        return vnode_class(dinode)(self, type_of(dinode.di_mode), ino, dinode)


def _u64(value: int) -> int:
    """Return a counter that no check vouches for as what statvfs can hold."""
    return min(max(value, 0), (1 << 64) - 1)


def _gone(*_: object) -> NoReturn:
    raise VfsError(errno.EIO, "the file system has been unmounted")
