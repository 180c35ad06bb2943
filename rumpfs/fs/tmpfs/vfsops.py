"""Mounting tmpfs, and its limits (NetBSD: tmpfs_vfsops.c, tmpfs_mem.c)."""

from __future__ import annotations

from typing import Any, Final

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
from rumpfs.fs.tmpfs.node import NODE_SIZE, TMPFS_FID, TmpfsNode
from rumpfs.vfs.mount import Mount, MountArgs, MountBody, StatVfs, UpdateBody, Vfs, VfsOps
from rumpfs.vfs.vnode import Vnode

#: pages that a kernel without `-r` calls free, whatever is in use: 512 MiB (librump/rumpkern/vm.c)
UNLIMITED_PAGES: Final = 131072
#: nodes that one file system may have at most (INT_MAX)
NODES_MAX: Final = 0x7FFFFFFF
_UNLIMITED: Final = 2**64 - 1
_NOID: Final = 0xFFFFFFFF  # uid or gid -1


def _mem_limit(size_max: int) -> int:
    """Return the bytes that ta_size_max allows: less than a page, or a negative off_t, is no limit."""
    return size_max if PAGE_SIZE <= size_max < 1 << 63 else _UNLIMITED


def _nodes_max(nodes_max: int, mem_limit: int) -> int:
    """Return the files that ta_nodes_max allows."""
    return min(nodes_max if nodes_max > 3 else 3 + mem_limit // 1024, NODES_MAX)


def _arguments(data: bytes | None) -> tuple[Any, ...]:
    """Return the fields of struct tmpfs_args. Errors: EINVAL: it is missing, short, or of another version."""
    if data is None or len(data) < TMPFS_ARGS.size:
        raise VfsError(errno.EINVAL, "mount arguments missing or short")
    fields = TMPFS_ARGS.unpack_from(data)
    if fields[0] != TMPFS_ARGS_VERSION:
        raise VfsError(errno.EINVAL, "mount arguments of another version")
    return fields


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
        tm_handles: inode number -> file, of those that somebody has asked a handle of.
        tm_gone: whether it was unmounted; what a forced unmount left open cannot grow any more.
    """

    mnt_root: TmpfsDir

    def __init__(self, op: VfsOps, flags: int, memory: Memory, size_max: int = 0, nodes_max: int = 0) -> None:
        super().__init__(op, flags | MNT_LOCAL)
        self.tm_mem_limit = _mem_limit(size_max)
        self.tm_nodes_max = _nodes_max(nodes_max, self.tm_mem_limit)
        self.tm_handles: dict[int, TmpfsNode] = {}
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

    def fhtovp(self, fid: bytes) -> Vnode:
        """Return the file of a handle. Errors: EINVAL: it is no handle of a tmpfs; ESTALE."""
        if len(fid) != TMPFS_FID.size:
            raise VfsError(errno.EINVAL)
        _, gen, number = TMPFS_FID.unpack(fid)
        node = self.tm_handles.get(number)
        if node is None or node.tn_gen != gen:
            raise VfsError(errno.ESTALE)
        return node

    def getargs(self, data: bytes | None) -> bytes:
        """Return struct tmpfs_args with the limits and the attributes of the root. Errors: EINVAL."""
        _arguments(data)
        root = self.mnt_root.getattr()
        return TMPFS_ARGS.pack(
            TMPFS_ARGS_VERSION, self.tm_nodes_max, self.tm_mem_limit, root.uid, root.gid, root.mode & ALLPERMS
        )

    def update(self, args: MountArgs) -> UpdateBody:
        """Change the limits that are not 0, and the root's owner, group and permission bits.

        Errors: EINVAL, EBUSY: more is in use than a new limit.
        """
        _, nodes_max, size_max, uid, gid, mode = _arguments(args.data)
        if _NOID in (uid, gid):
            raise VfsError(errno.EINVAL)
        limit = _mem_limit(size_max) if size_max else self.tm_mem_limit
        nodes = _nodes_max(nodes_max, limit) if nodes_max else self.tm_nodes_max
        if nodes < self.tm_nodes_cnt or limit < self.tm_bytes_used:
            raise VfsError(errno.EBUSY)
        self.tm_mem_limit, self.tm_nodes_max = limit, nodes
        self.mnt_root.chattr(uid, gid, mode & ALLPERMS)
        return args.flags
        yield

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
        _, nodes_max, size_max, uid, gid, mode = _arguments(args.data)
        if _NOID in (uid, gid):
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
