"""Regular files, symbolic links, devices, FIFOs and sockets of a tmpfs (NetBSD: tmpfs_vnops.c)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rumpfs.abi import errno
from rumpfs.abi.mount import MNT_RDONLY
from rumpfs.abi.stat import S_ISGID, S_ISUID
from rumpfs.base.aobj import Aobj
from rumpfs.base.clock import Timespec
from rumpfs.base.copy import Buffer, Data
from rumpfs.base.errors import VfsError
from rumpfs.fs.tmpfs.node import TmpfsNode, name_size
from rumpfs.vfs.cred import Cred
from rumpfs.vfs.fifofs import Fifo
from rumpfs.vfs.vnode import IO_APPEND, NODEV, VFIFO, VLNK, VREG

if TYPE_CHECKING:
    from rumpfs.fs.tmpfs.vfsops import TmpfsMount

#: the longest file: what an off_t can say
_SIZE_MAX: Final = 2**63 - 1


class TmpfsReg(TmpfsNode):
    """A regular file."""

    __slots__ = ("tn_aobj",)

    def __init__(self, mp: TmpfsMount, number: int, mode: int, uid: int, gid: int, moment: Timespec) -> None:
        super().__init__(mp, VREG, number, mode, uid, gid, moment)
        self.tn_aobj = Aobj(mp)

    def size(self) -> int:
        return self.tn_aobj.size

    def resident(self) -> int:
        return self.tn_aobj.resident

    def read(self, offset: int, length: int) -> Data:
        data = self.tn_aobj.read(offset, length)
        if length:
            self._accessed()
        return data

    def write(self, offset: int, data: Buffer, ioflag: int, cred: Cred) -> int:
        """Store `data` and return the offset behind it. Errors: EFBIG, ENOSPC; nothing was written then."""
        aobj = self.tn_aobj
        if ioflag & IO_APPEND:
            offset = aobj.size
        nbytes = len(data)
        if not nbytes:
            return offset
        if offset + nbytes > _SIZE_MAX:
            raise VfsError(errno.EFBIG)
        aobj.write(offset, data)
        if self.tn_mode & (S_ISUID | S_ISGID) and cred.euid != 0:
            self.tn_mode &= ~(S_ISUID | S_ISGID)
        self._modified()
        return offset + nbytes

    def _chsize(self, size: int) -> None:
        """Set the length."""
        self._changeable()
        self.tn_aobj.truncate(size)
        self._modified()

    def reclaim(self) -> int:
        self.tn_aobj.truncate(0)
        return 0


class TmpfsLnk(TmpfsNode):
    """A symbolic link."""

    __slots__ = ("_target",)

    def __init__(
        self, mp: TmpfsMount, number: int, mode: int, uid: int, gid: int, moment: Timespec, target: bytes
    ) -> None:
        super().__init__(mp, VLNK, number, mode, uid, gid, moment)
        self._target = target

    def size(self) -> int:
        return len(self._target)

    def readlink(self) -> bytes:
        self._accessed()
        return self._target

    def reclaim(self) -> int:
        return name_size(len(self._target))


class TmpfsSpec(TmpfsNode):
    """A device or socket: a name for something that is not in the file system.

    Args:
        rdev: the device's number; NODEV for what is no device.
    """

    __slots__ = ("_rdev",)

    def __init__(
        self,
        mp: TmpfsMount,
        vtype: int,
        number: int,
        mode: int,
        uid: int,
        gid: int,
        moment: Timespec,
        rdev: int,
    ) -> None:
        super().__init__(mp, vtype, number, mode, uid, gid, moment)
        self._rdev = rdev

    def rdev(self) -> int:
        return self._rdev


class TmpfsFifo(TmpfsSpec):
    """A FIFO."""

    __slots__ = ("_fifo",)

    def __init__(self, mp: TmpfsMount, number: int, mode: int, uid: int, gid: int, moment: Timespec) -> None:
        super().__init__(mp, VFIFO, number, mode, uid, gid, moment, NODEV)
        self._fifo: Fifo | None = None

    def fifo(self) -> Fifo:
        if self._fifo is None:
            self._fifo = Fifo()
        return self._fifo

    def fifo_used(self, nread: int, nwritten: int) -> None:
        if nread:
            self._accessed()
        if nwritten and not self.v_mount.mnt_flag & MNT_RDONLY:
            self._modified()
