"""What is left of a file that was revoked, or whose file system is gone (NetBSD: miscfs/deadfs/dead_vnops.c).

A descriptor of it stays open; who has it as a directory finds nothing there any more.
"""

from __future__ import annotations

from typing import Final

from rumpfs.abi import errno
from rumpfs.base.copy import Buffer, Data
from rumpfs.base.errors import VfsError
from rumpfs.vfs.cred import Cred
from rumpfs.vfs.mount import Mount, VfsOps
from rumpfs.vfs.vnode import VBAD, VCHR, VDIR, SetAttr, Vattr, Vnode


class _DeadOps(VfsOps):
    """The type of the mount that dead vnodes belong to; nothing can mount it."""

    name = b"deadfs"


#: where dead vnodes belong (vfs_mount.c: dead_rootmount)
DEAD_ROOTMOUNT: Final = Mount(_DeadOps(), 0)


class DeadVnode(Vnode):
    """A vnode without a file.

    Args:
        vtype: of what it was. A character device that is gone is at its end; reading anything else fails.
    """

    __slots__ = ("_tty",)

    def __init__(self, vtype: int) -> None:
        super().__init__(DEAD_ROOTMOUNT, VBAD)
        self._tty = vtype == VCHR

    def getattr(self) -> Vattr:
        """Fail. Errors: EBADF."""
        raise VfsError(errno.EBADF)

    def setattr(self, va: SetAttr, cred: Cred) -> None:
        """Fail. Errors: EBADF."""
        raise VfsError(errno.EBADF)

    def pathconf(self, name: int) -> int:
        """Fail. Errors: EBADF."""
        raise VfsError(errno.EBADF)

    def lookup(self, name: bytes) -> None:
        """Find nothing (dead_lookup)."""

    def open(self, flags: int, cred: Cred) -> None:
        """Fail. Errors: ENXIO."""
        raise VfsError(errno.ENXIO)

    def read(self, offset: int, length: int) -> Data:
        """Return nothing for what was a character device. Errors: EIO."""
        if not self._tty:
            raise VfsError(errno.EIO)
        return b""

    def write(self, offset: int, data: Buffer, ioflag: int, cred: Cred) -> int:
        """Fail. Errors: EIO."""
        raise VfsError(errno.EIO)

    def ioctl(self, command: int, data: bytes) -> bytes:
        """Fail. Errors: EBADF."""
        raise VfsError(errno.EBADF)


# what a walk that goes up compares a directory with: the root of the mount that it is in
DEAD_ROOTMOUNT.mnt_root = DeadVnode(VDIR)
