"""The files of the root file system (NetBSD: sys/rump/librump/rumpvfs/rumpfs.c).

It is simple on purpose: no renaming and no hard links, a directory does not list ``.`` and ``..``, and times
change only when they are set, or a file is written (tests/fs/vfs/t_mtime_write.c).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rumpfs.abi import errno, limits
from rumpfs.abi.mount import MNT_RDONLY
from rumpfs.abi.stat import S_IFDIR, S_IFLNK, S_IFMT, SF_SETTABLE
from rumpfs.base.aobj import Aobj
from rumpfs.base.clock import Timespec, now
from rumpfs.base.copy import Buffer, Data
from rumpfs.base.errors import VfsError
from rumpfs.vfs.cred import VWRITE, Cred, vaccess
from rumpfs.vfs.dirseq import DirSeq
from rumpfs.vfs.fifofs import Fifo
from rumpfs.vfs.genfs import can_chflags, can_chmod, can_chown, can_chtimes
from rumpfs.vfs.vnode import (
    IO_APPEND,
    NODEV,
    PATHCONF,
    VBLK,
    VCHR,
    VDIR,
    VFIFO,
    VLNK,
    VNON,
    VREG,
    SetAttr,
    Vattr,
    Vnode,
    type_of,
)

if TYPE_CHECKING:
    from rumpfs.fs.rootfs.vfsops import RootfsMount

#: st_blksize, and the size that directories and devices claim (DEV_BSIZE)
BLOCK_SIZE: Final = 512
SIZE_MAX: Final = 2**63 - 1

_PATHCONF: Final = PATHCONF | {
    limits.PC_FILESIZEBITS: 43,
    limits.PC_SYMLINK_MAX: limits.PATH_MAX,
    limits.PC_2_SYMLINKS: 1,
}

#: cookie of a directory's oldest entry; younger ones have smaller cookies
_OLDEST: Final = 1 << 62


class RootfsNode(Vnode):
    """A file of any type.

    Args:
        mp: its mount.
        mode: type and permission bits.
        size: st_size, for what has no content.
        rdev: the device's number.
        moment: all its times.
        number: of its inode; 0: the next.

    Attributes:
        rn_va: its attributes; the size of a regular file is elsewhere.
    """

    __slots__ = ("rn_va",)

    v_mount: RootfsMount

    def __init__(
        self,
        mp: RootfsMount,
        mode: int,
        uid: int,
        gid: int,
        moment: Timespec,
        size: int = BLOCK_SIZE,
        rdev: int = NODEV,
        number: int = 0,
    ) -> None:
        super().__init__(mp, type_of(mode))
        number = number or mp.newino()
        links = 2 if self.v_type == VDIR else 1
        # Each file claims a device of its own, with the number of its inode.
        self.rn_va = Vattr(
            number, mode, number, links, uid, gid, rdev, *moment, *moment, *moment, *moment,
            size, 1, BLOCK_SIZE, 0, 0,
        )  # fmt: skip

    def getattr(self) -> Vattr:
        return self.rn_va

    def rdev(self) -> int:
        return self.rn_va.rdev

    def pathconf(self, name: int) -> int:
        try:
            return _PATHCONF[name]
        except KeyError:
            raise VfsError(errno.EINVAL) from None

    def access(self, want: int, cred: Cred) -> None:
        """Check permission. Errors: EROFS, EACCES."""
        va = self.rn_va
        if want & VWRITE and self.v_mount.mnt_flag & MNT_RDONLY and self.v_type in (VDIR, VLNK, VREG):
            raise VfsError(errno.EROFS)
        vaccess(va.mode, va.uid, va.gid, want, cred)

    def setattr(self, va: SetAttr, cred: Cred) -> None:
        """Change attributes. Errors: EROFS, EPERM, EACCES, EFTYPE (genfs), EISDIR (length of a directory)."""
        if self.v_mount.mnt_flag & MNT_RDONLY:
            raise VfsError(errno.EROFS)
        self._chtimes(va, cred)
        old = self.rn_va
        if va.flags is not None:
            can_chflags(self.v_type, cred, old.uid, bool((va.flags ^ old.flags) & SF_SETTABLE))
            self.rn_va = self.rn_va._replace(flags=va.flags)
        if va.uid is not None or va.gid is not None:
            uid = old.uid if va.uid is None else va.uid
            gid = old.gid if va.gid is None else va.gid
            can_chown(cred, old.uid, old.gid, uid, gid)
            self.rn_va = self.rn_va._replace(uid=uid, gid=gid)
        if va.mode is not None:
            now_va = self.rn_va
            can_chmod(self.v_type, cred, now_va.uid, now_va.gid, va.mode)
            self.rn_va = now_va._replace(mode=now_va.mode & S_IFMT | va.mode & ~S_IFMT)
        if va.size is not None:
            self._chsize(va.size)

    def _chtimes(self, va: SetAttr, cred: Cred) -> None:
        changes: dict[str, int] = {}
        for name, moment in (("atime", va.atime), ("mtime", va.mtime), ("birthtime", va.birthtime)):
            if moment is not None:
                changes[name], changes[name + "nsec"] = moment
        if changes:
            can_chtimes(self, cred, self.rn_va.uid, va.touch)
            self.rn_va = self.rn_va._replace(**changes)

    def _chsize(self, size: int) -> None:
        """Set the length: only a regular file has one."""
        if self.v_type == VDIR:
            raise VfsError(errno.EISDIR)

    def unlinked(self) -> None:
        """The name is gone; without users the content goes, too."""
        self.rn_va = self.rn_va._replace(nlink=0)
        if self.v_usecount == 0:
            self.inactive()


class RootfsReg(RootfsNode):
    """A regular file; its content is in memory."""

    __slots__ = ("_aobj", "_written")

    def __init__(self, mp: RootfsMount, mode: int, uid: int, gid: int, moment: Timespec) -> None:
        super().__init__(mp, mode, uid, gid, moment, 0)
        self._aobj = Aobj(mp.memory)
        self._written: Timespec | None = None  # since somebody looked at the attributes

    def getattr(self) -> Vattr:
        self._update()
        return self.rn_va._replace(size=self._aobj.size)

    def setattr(self, va: SetAttr, cred: Cred) -> None:
        self._update()
        super().setattr(va, cred)

    def _update(self) -> None:
        """Let the times show when it was written."""
        if self._written is not None:
            seconds, nsec = self._written
            self.rn_va = self.rn_va._replace(mtime=seconds, mtimensec=nsec, ctime=seconds, ctimensec=nsec)
            self._written = None

    def size(self) -> int:
        return self._aobj.size

    def read(self, offset: int, length: int) -> Data:
        return self._aobj.read(offset, length)

    def write(self, offset: int, data: Buffer, ioflag: int, cred: Cred) -> int:
        """Store `data` and return the offset behind it. Errors: EFBIG, ENOSPC; nothing was written then."""
        if ioflag & IO_APPEND:
            offset = self._aobj.size
        if offset + len(data) > SIZE_MAX:
            raise VfsError(errno.EFBIG)
        self._aobj.write(offset, data)
        self._written = now()
        return offset + len(data)

    def _chsize(self, size: int) -> None:
        """Set the length."""
        self._aobj.truncate(size)
        self._written = now()

    def inactive(self) -> None:
        if not self.rn_va.nlink:
            self._aobj.truncate(0)


class RootfsFifo(RootfsNode):
    """A FIFO. NetBSD's, which needs the network component for its pipe, opens as an empty file."""

    __slots__ = ("_fifo",)

    def __init__(self, mp: RootfsMount, mode: int, uid: int, gid: int, moment: Timespec) -> None:
        super().__init__(mp, mode, uid, gid, moment)
        self._fifo: Fifo | None = None

    def fifo(self) -> Fifo:
        if self._fifo is None:
            self._fifo = Fifo()
        return self._fifo


class RootfsLnk(RootfsNode):
    """A symbolic link."""

    __slots__ = ("_target",)

    def __init__(
        self, mp: RootfsMount, mode: int, uid: int, gid: int, moment: Timespec, target: bytes
    ) -> None:
        super().__init__(mp, mode, uid, gid, moment, len(target))
        self._target = target

    def readlink(self) -> bytes:
        return self._target


class RootfsDir(RootfsNode):
    """A directory.

    Args:
        mp: its mount.
        mode: permission bits.
        parent: the directory that it is made in; None for the root.
        moment: all its times.
    """

    __slots__ = ("_dents", "_next", "_order", "_parent", "v_keys")

    def __init__(
        self, mp: RootfsMount, mode: int, uid: int, gid: int, parent: RootfsDir | None, moment: Timespec
    ) -> None:
        super().__init__(mp, mode | S_IFDIR, uid, gid, moment)
        self.v_keys: dict[bytes, Vnode] | None = None
        self._parent: RootfsDir | None = parent or self
        self._dents: dict[bytes, tuple[RootfsNode, int]] = {}
        self._next = _OLDEST
        self._order = DirSeq()

    def lookup(self, name: bytes) -> Vnode | None:
        dent = self._dents.get(name)
        if dent is not None:
            return dent[0]
        return self._parent if name == b".." else None

    def readdir(self, offset: int, count: int) -> tuple[Data, int]:
        """Return struct dirents, youngest first, and the next cookie.

        A cookie is not the entry's index as in NetBSD, where a reader misses entries when others are
        removed; nobody can tell otherwise.
        """
        return self._order.read(offset, count, self._inode)

    def _inode(self, name: bytes) -> tuple[int, int]:
        """Return the number and the DT_ type of what a name is."""
        va = self._dents[name][0].rn_va
        return va.fileid, va.mode >> 12

    def release(self) -> None:
        """Give the memory of every file below back: the file system is unmounted."""
        todo: list[RootfsNode] = [self]
        while todo:
            node = todo.pop()
            if isinstance(node, RootfsDir):
                todo.extend(child for child, _ in node._dents.values())
            elif isinstance(node, RootfsReg):
                node._chsize(0)

    # --- making and removing names --------------------------------------------------------------

    def create(self, name: bytes, mode: int, cred: Cred, rdev: int = NODEV) -> Vnode:
        """Make a file. Errors: EINVAL (no such type), ENOENT (the directory was removed)."""
        self._alive()
        vtype = type_of(mode)
        if vtype in (VNON, VDIR):
            raise VfsError(errno.EINVAL)
        gid = self.rn_va.gid
        if vtype == VREG:
            return self.attach(name, RootfsReg(self.v_mount, mode, cred.euid, gid, now()))
        if vtype == VFIFO:
            return self.attach(name, RootfsFifo(self.v_mount, mode, cred.euid, gid, now()))
        rdev = rdev if vtype in (VBLK, VCHR) else NODEV
        return self.attach(name, RootfsNode(self.v_mount, mode, cred.euid, gid, now(), rdev=rdev))

    def mkdir(self, name: bytes, mode: int, cred: Cred) -> Vnode:
        """Make a directory. Errors: ENOENT (this one was removed)."""
        self._alive()
        return self.attach(name, RootfsDir(self.v_mount, mode, cred.euid, self.rn_va.gid, self, now()))

    def symlink(self, name: bytes, mode: int, target: bytes, cred: Cred) -> Vnode:
        """Make a symbolic link. Errors: ENOENT (the directory was removed)."""
        self._alive()
        gid = self.rn_va.gid
        return self.attach(name, RootfsLnk(self.v_mount, mode | S_IFLNK, cred.euid, gid, now(), target))

    def _alive(self) -> None:
        if self._parent is None:
            raise VfsError(errno.ENOENT)

    def attach(self, name: bytes, node: RootfsNode) -> RootfsNode:
        """Give a node a name, which is free."""
        self._dents[name] = node, self._next
        self._order.prepend(self._next, name)
        self._next -= 1
        return node

    def remove(self, name: bytes, vp: Vnode, cred: Cred) -> None:
        node, cookie = self._dents.pop(name)
        self._order.remove(cookie)
        node.unlinked()

    def rmdir(self, name: bytes, vp: Vnode, cred: Cred) -> None:
        """Remove an empty directory. Errors: ENOTEMPTY."""
        assert isinstance(vp, RootfsDir)
        if vp._dents:
            raise VfsError(errno.ENOTEMPTY)
        vp._parent = None
        self.remove(name, vp, cred)
