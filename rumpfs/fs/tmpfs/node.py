"""What all files of a tmpfs have in common: their attributes (NetBSD: tmpfs_subr.c, tmpfs_vnops.c)."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from rumpfs.abi import errno
from rumpfs.abi.fcntl import FWRITE, O_APPEND
from rumpfs.abi.mount import MNT_NOATIME, MNT_RDONLY, MNT_RELATIME
from rumpfs.abi.stat import S_IFMT, S_ISGID, S_ISUID, SF_SETTABLE, STAT
from rumpfs.base.aobj import PAGE_SIZE, round_page
from rumpfs.base.clock import Timespec, now
from rumpfs.base.errors import VfsError
from rumpfs.vfs.cred import VWRITE, Cred, vaccess
from rumpfs.vfs.genfs import (
    APPEND,
    IMMUTABLE,
    can_chflags,
    can_chmod,
    can_chown,
    can_chtimes,
)
from rumpfs.vfs.vnode import NODEV, VDIR, VLNK, VREG, SetAttr, Vattr, Vnode

if TYPE_CHECKING:
    from rumpfs.fs.tmpfs.vfsops import TmpfsMount

#: bytes that a node and a name in a directory count for (sizeof tmpfs_node_t, tmpfs_dirent_t on amd64)
NODE_SIZE: Final = 216
DIRENT_SIZE: Final = 48

#: struct tmpfs_fid: tf_len tf_gen tf_id (fs/tmpfs/tmpfs.h)
TMPFS_FID: Final = struct.Struct("<HxxIQ")

_LAZY_ATIME: Final = MNT_NOATIME | MNT_RELATIME | MNT_RDONLY


def name_size(length: int) -> int:
    """Return the bytes that a name or link text of `length` bytes counts for (tmpfs_strname_alloc)."""
    return (length + 31) & -32


class TmpfsNode(Vnode):
    """A file of any type.

    A node exists as long as a directory or an open file refers to it; `tn_gen` is 0 once it is gone.

    Args:
        mp: its mount.
        vtype: its type.
        number: its inode number.
        mode: type and permission bits.
        moment: the present.
    """

    __slots__ = (
        "_stat", "tn_atime", "tn_birthtime", "tn_ctime", "tn_flags", "tn_gen", "tn_gid", "tn_id", "tn_links",
        "tn_mode", "tn_mtime", "tn_uid",
    )  # fmt: skip

    v_mount: TmpfsMount

    def __init__(
        self, mp: TmpfsMount, vtype: int, number: int, mode: int, uid: int, gid: int, moment: Timespec
    ) -> None:
        self.v_mount = mp
        self.v_type = vtype
        self.v_mountedhere = None
        self.v_usecount = 0
        self.v_front = None
        self.v_klist = None
        self.v_lockf = None
        self.tn_id = number
        self.tn_gen = 1
        self.tn_mode = mode
        self.tn_uid = uid
        self.tn_gid = gid
        self.tn_flags = 0
        self.tn_links = 1
        self.tn_atime = self.tn_mtime = self.tn_ctime = self.tn_birthtime = moment
        self._stat: bytes | None = None  # the packed attributes, until one changes

    # --- attributes -----------------------------------------------------------------------------

    def _attributes(self) -> tuple[int, ...]:
        """Return the fields of struct stat up to st_flags."""
        return (
            self.v_mount.mnt_fsid[0], self.tn_mode, self.tn_id, self.tn_links, self.tn_uid, self.tn_gid,
            self.rdev(), *self.tn_atime, *self.tn_mtime, *self.tn_ctime, *self.tn_birthtime,
            self.size(), self.resident() >> 9, PAGE_SIZE, self.tn_flags,
        )  # fmt: skip

    def getattr(self) -> Vattr:
        return Vattr._make((*self._attributes(), self.tn_gen))

    def stat(self) -> bytes:
        packed = self._stat
        if packed is None:
            packed = self._stat = STAT.pack(*self._attributes(), 0)
        return packed

    def rdev(self) -> int:
        return NODEV

    def size(self) -> int:
        return 0

    def resident(self) -> int:
        """Return the bytes that the content takes."""
        return round_page(self.size())

    def access(self, want: int, cred: Cred) -> None:
        """Check permission. Errors: EROFS, EPERM (writing what is immutable), EACCES."""
        if want & VWRITE:
            if self.v_mount.mnt_flag & MNT_RDONLY and self.v_type in (VDIR, VLNK, VREG):
                raise VfsError(errno.EROFS)
            if self.tn_flags & IMMUTABLE:
                raise VfsError(errno.EPERM)
        vaccess(self.tn_mode, self.tn_uid, self.tn_gid, want, cred)

    def open(self, flags: int, cred: Cred) -> None:
        """The file is opened. Errors: EPERM: an append-only file is opened for writing without O_APPEND."""
        if self.tn_flags & APPEND and flags & (FWRITE | O_APPEND) == FWRITE:
            raise VfsError(errno.EPERM)

    def setattr(self, va: SetAttr, cred: Cred) -> None:
        """Change attributes.

        Errors:
            EROFS; EISDIR, EOPNOTSUPP (length of a directory, of a link or socket); EPERM: an immutable or
            append-only file, or not permitted (genfs); EFTYPE, EACCES.
        """
        if self.v_mount.mnt_flag & MNT_RDONLY:
            raise VfsError(errno.EROFS)
        if va.flags is not None:
            self._chflags(va.flags, cred)
        if va.size is not None:
            self._chsize(va.size)
        if va.uid is not None or va.gid is not None:
            self._chown(va.uid, va.gid, cred)
        if va.mode is not None:
            self._chmod(va.mode, cred)
        if va.atime is not None or va.mtime is not None or va.birthtime is not None:
            self._chtimes(va, cred)

    def _changeable(self) -> None:
        if self.tn_flags & (IMMUTABLE | APPEND):
            raise VfsError(errno.EPERM)

    def _chflags(self, flags: int, cred: Cred) -> None:
        can_chflags(self.v_type, cred, self.tn_uid, bool((flags ^ self.tn_flags) & SF_SETTABLE))
        self.tn_flags = flags
        self._changed()

    def _chsize(self, size: int) -> None:
        """Set the length: for a device or FIFO nothing happens."""
        if self.v_type == VDIR:
            raise VfsError(errno.EISDIR)
        if self.v_type == VLNK:
            raise VfsError(errno.EOPNOTSUPP)

    def _chown(self, uid: int | None, gid: int | None, cred: Cred) -> None:
        self._changeable()
        if uid is None:
            uid = self.tn_uid
        if gid is None:
            gid = self.tn_gid
        can_chown(cred, self.tn_uid, self.tn_gid, uid, gid)
        if cred.euid != 0 and self.v_type != VDIR:
            self.tn_mode &= ~(S_ISUID | S_ISGID)
        self.tn_uid = uid
        self.tn_gid = gid
        self._changed()

    def _chmod(self, mode: int, cred: Cred) -> None:
        self._changeable()
        can_chmod(self.v_type, cred, self.tn_uid, self.tn_gid, mode)
        self.tn_mode = self.tn_mode & S_IFMT | mode & ~S_IFMT
        self._changed()

    def _chtimes(self, va: SetAttr, cred: Cred) -> None:
        self._changeable()
        can_chtimes(self, cred, self.tn_uid, va.touch)
        if va.atime is not None:
            self.tn_atime = va.atime
        if va.mtime is not None:
            self.tn_mtime = va.mtime
        if va.birthtime is not None:
            self.tn_birthtime = va.birthtime
        self._changed()

    def _changed(self) -> None:
        """An attribute or the number of names has changed."""
        self.tn_ctime = now()
        self._stat = None

    def _modified(self) -> None:
        """The content has changed."""
        self.tn_mtime = self.tn_ctime = now()
        self._stat = None

    def _accessed(self) -> None:
        """The content was read; as the mount has it, that is noted always, never, or once after a change."""
        lazy = self.v_mount.mnt_flag & _LAZY_ATIME
        if not lazy or (lazy == MNT_RELATIME and self.tn_atime <= max(self.tn_mtime, self.tn_ctime)):
            self.tn_atime = now()
            self._stat = None

    def chattr(self, uid: int, gid: int, mode: int) -> None:
        """Set owner, group and permission bits of the root as a mount has them; no time changes."""
        self.tn_uid = uid
        self.tn_gid = gid
        self.tn_mode = self.tn_mode & S_IFMT | mode
        self._stat = None

    def vptofh(self) -> bytes:
        """Return struct tmpfs_fid (tmpfs_vptofh)."""
        self.v_mount.tm_handles[self.tn_id] = self
        return TMPFS_FID.pack(TMPFS_FID.size, self.tn_gen, self.tn_id)

    # --- life -----------------------------------------------------------------------------------

    def unlinked(self, moment: Timespec) -> None:
        """A name is gone; without names and users the node goes, too."""
        self.tn_links -= 1
        self.tn_ctime = moment
        self._stat = None
        if self.tn_links == 0 and self.v_usecount == 0:
            self.inactive()

    def inactive(self) -> None:
        if self.tn_links == 0 and self.tn_gen:
            self.tn_gen = 0
            self._stat = None
            self.v_mount.tm_handles.pop(self.tn_id, None)
            self.v_mount.node_put(self.reclaim())

    def reclaim(self) -> int:
        """Free the content, and return the bytes that went with the node (VOP_RECLAIM)."""
        return 0
