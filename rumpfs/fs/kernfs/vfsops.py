"""Mounting a kernfs (NetBSD: kernfs_vfsops.c)."""

from __future__ import annotations

from rumpfs.abi.mount import MNT_BASIC_FLAGS, MNT_IGNORE, MNT_LOCAL
from rumpfs.fs.kernfs.values import Values
from rumpfs.fs.kernfs.vnops import BLOCK_SIZE, KernfsDir
from rumpfs.vfs.mount import Mount, MountArgs, MountBody, StatVfs, Vfs, VfsOps


class KernfsMount(Mount):
    """A mounted kernfs.

    Args:
        op: its type.
        flags: MNT_ flags.
        values: what its files say.
    """

    def __init__(self, op: VfsOps, flags: int, values: Values) -> None:
        super().__init__(op, flags | MNT_LOCAL)
        self.values = values
        self.mnt_root = KernfsDir(self)

    def statvfs(self) -> StatVfs:
        return StatVfs(BLOCK_SIZE, BLOCK_SIZE, BLOCK_SIZE, 2, 0, 0, 0, 0, 0, 0, 0)

    def getargs(self, data: bytes | None) -> bytes:
        """Return nothing: there are no arguments."""
        return b""


class KernfsOps(VfsOps):
    """The file system type "kernfs".

    Args:
        values: the kernel's sysctl tree.
    """

    name = b"kernfs"

    def __init__(self, values: Values) -> None:
        self._values = values

    def mount(self, vfs: Vfs, args: MountArgs) -> MountBody:
        """Mount; arguments are ignored. Errors: EFAULT."""
        mp = KernfsMount(self, args.flags & (MNT_BASIC_FLAGS | MNT_IGNORE), self._values)
        vfs.getnewfsid(mp)
        yield from args.names(mp, self.name)
        return mp
