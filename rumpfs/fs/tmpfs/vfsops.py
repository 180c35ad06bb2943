"""Mounting tmpfs, and its limits (NetBSD: tmpfs_vfsops.c, tmpfs_mem.c)."""

from __future__ import annotations

from typing import Final

from rumpfs.abi import errno
from rumpfs.abi.mount import (
    MNT_BASIC_FLAGS,
    MNT_FORCE,
    MNT_IGNORE,
    MNT_LOCAL,
    TMPFS_ARGS,
    TMPFS_ARGS_VERSION,
)
from rumpfs.abi.stat import ALLPERMS
from rumpfs.base.aobj import PAGE_SIZE, round_page
from rumpfs.base.errors import VfsError
from rumpfs.base.memory import Memory
from rumpfs.fs.tmpfs.directory import TmpfsDir
from rumpfs.fs.tmpfs.node import NODE_SIZE
from rumpfs.vfs.mount import Mount, MountArgs, MountBody, StatVfs, Vfs, VfsOps
from rumpfs.vfs.vnode import Vnode

#: pages that a kernel without `-r` calls free, whatever is in use: 512 MiB (librump/rumpkern/vm.c)
UNLIMITED_PAGES: Final = 131072
#: nodes that one file system may have at most (INT_MAX)
NODES_MAX: Final = 0x7FFFFFFF
_UNLIMITED: Final = 2**64 - 1
_NOID: Final = 0xFFFFFFFF  # uid or gid -1


class TmpfsMount(Mount):
    """A mounted tmpfs.

    Args:
        op: its type.
        flags: MNT_ flags.
        memory: where its bytes are accounted.
        size_max: bytes that it may hold; less than a page: as many as there is memory.
        nodes_max: files that it may hold; 3 or less: one for every KiB of `size_max`.

    Attributes:
        tm_mem_limit, tm_bytes_used: bytes it may take, and takes, for nodes, names and content.
        tm_nodes_max, tm_nodes_cnt: files it may have, and has.
        tm_lastid: the inode number given last.
        tm_gone: whether it was unmounted; what a forced unmount left open cannot grow any more.
    """

    def __init__(self, op: VfsOps, flags: int, memory: Memory, size_max: int = 0, nodes_max: int = 0) -> None:
        super().__init__(op, flags | MNT_LOCAL)
        limited = PAGE_SIZE <= size_max < 1 << 63  # an off_t: above is negative
        self.tm_mem_limit = size_max if limited else _UNLIMITED
        self.tm_nodes_max = min(nodes_max if nodes_max > 3 else 3 + self.tm_mem_limit // 1024, NODES_MAX)
        self.tm_bytes_used = 0
        self.tm_nodes_cnt = 0
        self.tm_lastid = 1
        self.tm_gone = False
        self._memory = memory

    def charge(self, nbytes: int) -> None:
        """Count `nbytes` as used. Errors: ENOSPC at a limit; EIO once it was unmounted."""
        used = self.tm_bytes_used + nbytes
        if used > self.tm_mem_limit:
            raise VfsError(errno.EIO if self.tm_gone else errno.ENOSPC)
        self._memory.charge(nbytes)
        self.tm_bytes_used = used

    def credit(self, nbytes: int) -> None:
        """Give `nbytes` back."""
        self.tm_bytes_used -= nbytes
        self._memory.credit(nbytes)

    def node_get(self, nbytes: int) -> int:
        """Make room for a node and `nbytes` that go with it; return its inode number. Errors: ENOSPC, EIO."""
        if self.tm_nodes_cnt >= self.tm_nodes_max:
            raise VfsError(errno.EIO if self.tm_gone else errno.ENOSPC)
        self.charge(NODE_SIZE + nbytes)
        self.tm_nodes_cnt += 1
        self.tm_lastid = number = self.tm_lastid + 1
        return number

    def node_put(self, nbytes: int) -> None:
        """A node and `nbytes` that went with it are gone."""
        self.tm_nodes_cnt -= 1
        self.credit(NODE_SIZE + nbytes)

    def statvfs(self) -> StatVfs:
        available = self._memory.available
        free = UNLIMITED_PAGES if available is None else available // PAGE_SIZE
        most = min(self.tm_mem_limit, round_page(self.tm_bytes_used) + free * PAGE_SIZE)
        avail = max(0, most - self.tm_bytes_used) // PAGE_SIZE
        nodes = min(self.tm_nodes_max - self.tm_nodes_cnt, avail * PAGE_SIZE // NODE_SIZE)
        return StatVfs(
            PAGE_SIZE, PAGE_SIZE, PAGE_SIZE, most // PAGE_SIZE, avail, avail, 0,
            self.tm_nodes_cnt + nodes, nodes, nodes, 0,
        )  # fmt: skip

    def unmount(self, flags: int) -> None:
        """Give all memory back. What a forced unmount leaves open is empty from now on."""
        todo: list[Vnode] = [self.mnt_root]
        while todo:
            vp = todo.pop()
            if isinstance(vp, TmpfsDir):
                todo.extend(vp.dissolve())
            vp.inactive()
        self._memory.credit(self.tm_bytes_used)
        self._memory = Memory()
        self.tm_bytes_used = self.tm_mem_limit = self.tm_nodes_max = 0
        self.tm_gone = True


class TmpfsOps(VfsOps):
    """The file system type "tmpfs"."""

    name = b"tmpfs"
    args_size = TMPFS_ARGS.size

    def mount(self, vfs: Vfs, args: MountArgs) -> MountBody:
        """Mount. Errors: EINVAL (arguments short, their version, a uid or gid of -1), ENOSPC, EFAULT."""
        version, nodes_max, size_max, uid, gid, mode = args.unpack(TMPFS_ARGS)
        if version != TMPFS_ARGS_VERSION or _NOID in (uid, gid):
            raise VfsError(errno.EINVAL)
        flags = args.flags & (MNT_BASIC_FLAGS | MNT_IGNORE)
        mp = TmpfsMount(self, flags, vfs.memory, size_max, nodes_max)
        mp.mnt_root = TmpfsDir(mp, mode & ALLPERMS, uid, gid, None)
        try:
            vfs.getnewfsid(mp)
            yield from args.names(mp, b"tmpfs")
        except BaseException:
            mp.unmount(MNT_FORCE)
            raise
        return mp
