"""What the extended attributes of UFS1 and of UFS2 have in common."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from rumpfs.abi.mount import MNT_EXTATTR
from rumpfs.base.copy import Buffer
from rumpfs.base.errors import VfsError
from rumpfs.vfs.cred import Cred
from rumpfs.vfs.vnode import Vnode, eopnotsupp

if TYPE_CHECKING:
    from rumpfs.fs.ffs.inode import Inode
    from rumpfs.fs.ffs.ufsmount import FfsMount

log = logging.getLogger("rumpfs.fs.ffs")

#: stores the value of an attribute, for which everything else has been checked
Store: TypeAlias = Callable[[bytes], None]


class Extattrs:
    """The extended attributes of a mount; the operations are those of `Vnode` and `Mount`.

    Args:
        mp: the mount.
    """

    def __init__(self, mp: FfsMount) -> None:
        self._mp = mp

    def get(self, ip: Inode, attrnamespace: int, name: bytes, cred: Cred) -> Buffer:
        """Return the value of an attribute."""
        eopnotsupp()

    def names(self, ip: Inode, attrnamespace: int, cred: Cred) -> list[bytes]:
        """Return the names of the attributes in a namespace."""
        eopnotsupp()

    def set(self, ip: Inode, attrnamespace: int, name: bytes, length: int, cred: Cred) -> Store:
        """Return what stores `length` bytes as the value of an attribute."""
        eopnotsupp()

    def delete(self, ip: Inode, attrnamespace: int, name: bytes, cred: Cred) -> None:
        """Take an attribute away."""
        eopnotsupp()

    def inactive(self, ip: Inode) -> None:
        """An inode is about to be freed: what is not kept with it goes (ufs_extattr_vnode_inactive)."""

    def extattrctl(
        self, cmd: int, vp: Vnode | None, attrnamespace: int, name: bytes | None, cred: Cred
    ) -> None:
        """Start or stop attributes."""
        eopnotsupp()

    def start(self) -> None:
        """Start what MNT_EXTATTR asks for. Errors: ENOENT, ENOTDIR, EBUSY, EIO."""

    def stop(self) -> None:
        """Stop what was started."""

    def mounted(self) -> bool:
        """Start what a mount with MNT_EXTATTR asks for (start_extattr); it is mounted even if that fails."""
        try:
            self.start()
        except VfsError as error:
            log.warning("%s: extended attributes are not started: %s", self._mp.um_fs.where, error)
            return False
        return True

    def update(self, flags: int) -> int:
        """Start or stop as the flags of an update ask; return those that the mount gets (mount_update)."""
        if (self._mp.mnt_flag ^ flags) & MNT_EXTATTR:
            if not flags & MNT_EXTATTR:
                self.stop()
            elif not self.mounted():
                return flags & ~MNT_EXTATTR
        return flags
