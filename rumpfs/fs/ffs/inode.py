"""What all vnodes of an FFS have in common: their attributes (NetBSD: ufs_vnops.c, ufs_inode.c)."""

from __future__ import annotations

import functools
import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rumpfs.abi import errno
from rumpfs.abi.fcntl import FWRITE, O_APPEND
from rumpfs.abi.limits import PATH_MAX, PC_2_SYMLINKS, PC_FILESIZEBITS, PC_SYMLINK_MAX
from rumpfs.abi.mount import MNT_RDONLY
from rumpfs.abi.stat import S_IFMT, S_ISGID, S_ISUID, SF_SETTABLE, STAT
from rumpfs.base.clock import Timespec, now
from rumpfs.base.copy import Buffer
from rumpfs.base.errors import VfsError
from rumpfs.dev.buf import BufCache
from rumpfs.fs.ffs.inodetable import Put
from rumpfs.fs.ffs.truncate import holds_blocks, release, shorten_in_steps
from rumpfs.fs.ffs.wapbl.operation import operation
from rumpfs.ondisk.ufs.dinode import SF_LOG, SF_SNAPSHOT, Dinode
from rumpfs.ondisk.ufs.fs import NDADDR
from rumpfs.vfs.cred import VWRITE, Cred, vaccess
from rumpfs.vfs.genfs import (
    APPEND,
    IMMUTABLE,
    can_chflags,
    can_chmod,
    can_chown,
    can_chtimes,
)
from rumpfs.vfs.vnode import NODEV, VBLK, VCHR, VDIR, VLNK, VREG, SetAttr, Vattr, Vnode

if TYPE_CHECKING:
    from rumpfs.fs.ffs.ufsmount import FfsMount

#: st_blksize of devices: BLKDEV_IOSIZE (amd64's param.h) and MAXBSIZE (sys/sys/param.h).
BLKDEV_IOSIZE = 2048
MAXBSIZE = 65536

#: struct ufid: ufid_len ufid_ino ufid_gen (ufs/ufs/inode.h)
UFID = struct.Struct("<HxxII")

_INT64_MAX = (1 << 63) - 1

#: what pathconf says of a UFS beyond the common values (ufs_vnops.c: ufs_pathconf)
_PATHCONF = {PC_FILESIZEBITS: 42, PC_SYMLINK_MAX: PATH_MAX, PC_2_SYMLINKS: 1}

#: what an inode that nobody uses has, beside its generation and its former owner and times
_FREE: dict[str, Any] = {
    "di_mode": 0, "di_nlink": 0, "di_size": 0, "di_blocks": 0, "di_flags": 0, "di_db": (0,) * NDADDR,
    "di_ib": (0, 0, 0), "di_extsize": 0, "di_extb": (0, 0),
}  # fmt: skip


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

    def open(self, flags: int, cred: Cred) -> None:
        """The file is opened. Errors: EPERM: an append-only file is opened for writing without O_APPEND."""
        if self.dinode.di_flags & APPEND and flags & (FWRITE | O_APPEND) == FWRITE:
            raise VfsError(errno.EPERM)

    # --- changing attributes --------------------------------------------------------------------

    @operation
    def setattr(self, va: SetAttr, cred: Cred) -> None:
        """Change attributes (ufs_setattr).

        Errors:
            EROFS; EISDIR, EOPNOTSUPP (length of a directory, of a link); EPERM: an immutable or append-only
            file, a snapshot, or not permitted (genfs); EFTYPE, EACCES, EFBIG, ENOSPC, EIO.
        """
        if self.v_mount.mnt_flag & MNT_RDONLY:
            raise VfsError(errno.EROFS)
        self.v_mount.begin()
        if va.flags is not None:
            self._chflags(va.flags, cred)
        if va.size is not None:
            self._chsize(va.size, cred)
        if va.uid is not None or va.gid is not None:
            self._chown(va.uid, va.gid, cred)
        if va.mode is not None:
            self._chmod(va.mode, cred)
        if va.atime is not None or va.mtime is not None or va.birthtime is not None:
            self._chtimes(va, cred)

    def _changeable(self) -> None:
        if self.dinode.di_flags & (IMMUTABLE | APPEND):
            raise VfsError(errno.EPERM)

    def _chflags(self, flags: int, cred: Cred) -> None:
        """Set the flags; that of snapshots and that of logs are the kernel's."""
        old = self.dinode.di_flags
        can_chflags(self.v_type, cred, self.dinode.di_uid, bool((flags ^ old) & SF_SETTABLE))
        if (flags ^ old) & (SF_SNAPSHOT | SF_LOG):
            raise VfsError(errno.EPERM)
        self.change(di_flags=flags)

    def _chsize(self, size: int, cred: Cred) -> None:
        """Set the length: for a device or FIFO nothing happens."""
        if self.v_type == VDIR:
            raise VfsError(errno.EISDIR)
        if self.v_type == VLNK:
            raise VfsError(errno.EOPNOTSUPP)

    def _chown(self, uid: int | None, gid: int | None, cred: Cred) -> None:
        self._changeable()
        old = self.dinode
        if uid is None:
            uid = old.di_uid
        if gid is None:
            gid = old.di_gid
        can_chown(cred, old.di_uid, old.di_gid, uid, gid)
        mode = old.di_mode
        if cred.euid and self.v_type != VDIR:
            mode &= ~(S_ISUID | S_ISGID)
        self.change(di_uid=uid, di_gid=gid, di_mode=mode)

    def _chmod(self, mode: int, cred: Cred) -> None:
        self._changeable()
        old = self.dinode
        can_chmod(self.v_type, cred, old.di_uid, old.di_gid, mode)
        self.change(di_mode=old.di_mode & S_IFMT | mode & ~S_IFMT)

    def _chtimes(self, va: SetAttr, cred: Cred) -> None:
        self._changeable()
        can_chtimes(self, cred, self.dinode.di_uid, va.touch)
        fields: dict[str, int] = {}
        if va.atime is not None:
            fields["di_atime"], fields["di_atimensec"] = self._storable(va.atime)
        if va.mtime is not None:
            fields["di_mtime"], fields["di_mtimensec"] = self._storable(va.mtime)
        if va.birthtime is not None and self.v_mount.um_fs.ufs2:
            fields["di_birthtime"], fields["di_birthnsec"] = self._storable(va.birthtime)
        self.change(**fields)

    def _storable(self, moment: Timespec) -> Timespec:
        """Return a time as the inode keeps it: UFS1 has 32 bits for the seconds."""
        if self.v_mount.um_fs.ufs2:
            return moment
        return ((moment[0] & 0xFFFFFFFF) ^ 0x80000000) - 0x80000000, moment[1]

    def change(self, **fields: Any) -> None:
        """Change fields of the inode, and the time of its change; it is written some time."""
        seconds, nanoseconds = now()
        self.dinode = dinode = self.dinode._replace(di_ctime=seconds, di_ctimensec=nanoseconds, **fields)
        self.i_mode = dinode.di_mode
        self.changed()

    def modify(self, **fields: Any) -> None:
        """Change fields of the inode because its content has changed."""
        seconds, nanoseconds = now()
        self.change(di_mtime=seconds, di_mtimensec=nanoseconds, **fields)

    def accessed(self) -> None:
        """The content was read: note the time, on a mount that does."""
        dinode = self.dinode
        if self.v_mount.um_relatime and (dinode.di_atime, dinode.di_atimensec) > max(
            (dinode.di_mtime, dinode.di_mtimensec), (dinode.di_ctime, dinode.di_ctimensec)
        ):
            return
        seconds, nanoseconds = now()
        self.dinode = dinode._replace(di_atime=seconds, di_atimensec=nanoseconds)
        self.changed()

    def changed(self) -> None:
        """The inode in memory is newer than the one on the disk."""
        self._stat = None
        self.v_mount.um_dirty[self.i_number] = self

    def update(self, put: Put = BufCache.bwrite) -> None:
        """Write the inode (ffs_update): `put` says when; with a log, when it is committed. Errors: EIO."""
        mp = self.v_mount
        if mp.um_log is not None:
            self.changed()
            return
        self._stat = None
        mp.write_inode(self.i_number, self.dinode, put)
        mp.um_dirty.pop(self.i_number, None)

    def link_count(self, change: int) -> None:
        """Change the number of names, on the disk before anything else (i_nlink). Errors: EIO."""
        free = change > 0 and self.i_number not in self.v_mount.um_dirty
        self.change(di_nlink=self.dinode.di_nlink + change)
        self.update(BufCache.bawrite if free else BufCache.bwrite)

    # --- life -----------------------------------------------------------------------------------

    def close(self, flags: int) -> None:
        """The file is closed: what was not written of its inode goes to the host, not yet to its disk.

        With a log that is when it is committed.
        """
        mp = self.v_mount
        if mp.um_log is None and self.i_number in mp.um_dirty and not mp.um_failed:
            mp.begin()
            self.update()

    def fsync(self) -> None:
        """Bring content and attributes to stable storage (ffs_fsync). Errors: EIO."""
        mp = self.v_mount
        if mp.um_alloc is None:
            return
        mp.begin()
        if mp.um_log is not None:
            mp.um_log.commit()
            return
        if self.i_number in mp.um_dirty:
            self.update()
        mp.fdatasync()

    def unlinked(self) -> None:
        """A name is gone; without names and users the inode goes, too: the last thing an operation does.

        Errors: EIO.
        """
        self.change(di_nlink=self.dinode.di_nlink - 1)
        if self.dinode.di_nlink > 0:
            self.update()
            return
        self.v_mount.um_orphans[self.i_number] = self
        if self.v_usecount:
            self.update()
        else:
            self.inactive()

    def is_empty(self) -> bool:
        """Return whether nothing is in it, which only a directory can deny. Errors: EIO."""
        return True

    def removed(self) -> None:
        """The name that the file had is gone. Errors: EIO."""
        self.unlinked()

    def discard(self) -> None:
        """Free an inode that was made for a name which cannot be entered."""
        self.change(di_nlink=0)
        self._free()

    def inactive(self) -> None:
        """Free an inode without names (ufs_inactive)."""
        mp = self.v_mount
        if self.dinode.di_nlink > 0 or not self.i_mode or mp.um_alloc is None or mp.um_failed:
            return
        mp.begin()
        if mp.um_log is not None:
            shorten_in_steps(self, 0)
        self._free()

    def _free(self) -> None:
        """Free the inode and what it has. Errors: EIO."""
        mp = self.v_mount
        assert mp.um_alloc is not None
        mp.um_extattr.inactive(self)
        mode = self.i_mode
        free = self.dinode._replace(**_FREE)
        if holds_blocks(self) or self.dinode.di_extsize > 0:
            release(self, free)
        else:
            self.dinode = free
            self.update()
        self.i_mode = 0
        self.i_size = 0
        mp.um_alloc.free_inode(self.i_number, mode)
        mp.forget(self)

    def remap(self, size: int) -> None:
        """The length or the blocks have changed."""
        self.i_size = size

    def vptofh(self) -> bytes:
        """Return struct ufid (ufs_vptofh, ffs_vptofh)."""
        return UFID.pack(UFID.size, self.i_number, self.dinode.di_gen & 0xFFFFFFFF)

    def getextattr(self, attrnamespace: int, name: bytes, cred: Cred) -> Buffer:
        return self.v_mount.um_extattr.get(self, attrnamespace, name, cred)

    def listextattr(self, attrnamespace: int, cred: Cred) -> list[bytes]:
        return self.v_mount.um_extattr.names(self, attrnamespace, cred)

    def setextattr(self, attrnamespace: int, name: bytes, length: int, cred: Cred) -> Callable[[bytes], None]:
        store = self.v_mount.um_extattr.set(self, attrnamespace, name, length, cred)
        return functools.partial(self._store, store)

    @operation
    def _store(self, store: Callable[[bytes], None], value: bytes) -> None:
        """Store the value of an extended attribute."""
        store(value)

    @operation
    def deleteextattr(self, attrnamespace: int, name: bytes, cred: Cred) -> None:
        self.v_mount.um_extattr.delete(self, attrnamespace, name, cred)

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
