"""The root file system as a mount, and its first tree (NetBSD: rumpfs.c, rump_vfs.c)."""

from __future__ import annotations

from itertools import count
from typing import Final

from rumpfs.abi import errno
from rumpfs.abi.event import NOTE_WRITE
from rumpfs.abi.mount import MNT_BASIC_FLAGS, MNT_IGNORE, MNT_LOCAL, MNT_ROOTFS
from rumpfs.abi.stat import S_IFCHR, makedev
from rumpfs.base.clock import now
from rumpfs.base.errors import VfsError
from rumpfs.base.memory import Memory
from rumpfs.dev.etfs import EtfsEntry, shown
from rumpfs.fs.rootfs.etfs import EtfsNode, EtfsReg
from rumpfs.fs.rootfs.vnops import BLOCK_SIZE, RootfsDir, RootfsNode
from rumpfs.vfs.cred import ROOT
from rumpfs.vfs.mount import Mount, MountArgs, MountBody, StatVfs, UpdateBody, Vfs, VfsOps
from rumpfs.vfs.vnode import VBLK, VCHR, Vnode, knote

#: the memory devices: character major 2 (sys/dev/mm.c)
_NULL: Final = makedev(2, 2)
_ZERO: Final = makedev(2, 12)

#: the first inode number of a device node that `RootfsMount.add_node` makes
_NODE_INO: Final = 1 << 30


class RootfsMount(Mount):
    """A mounted rumpfs.

    Args:
        op: its type, which gives the inode numbers.
        flags: MNT_ flags.
        memory: where the content of files is accounted.
    """

    mnt_op: RootfsOps

    def __init__(self, op: RootfsOps, flags: int, memory: Memory) -> None:
        super().__init__(op, flags | MNT_LOCAL)
        self.memory = memory
        self.mnt_root: RootfsDir = RootfsDir(self, 0o755, 0, 0, None, now())
        self._devdir: RootfsDir | None = None

    def start_root(self) -> None:
        """Be the root of all: have keys, and what every kernel has: /dev, /tmp, /dev/null and /dev/zero."""
        root = self.mnt_root
        root.v_keys = {}
        dev = root.mkdir(b"dev", 0o755, ROOT)
        assert isinstance(dev, RootfsDir)
        self._devdir = dev
        root.mkdir(b"tmp", 0o1777, ROOT)
        dev.create(b"null", S_IFCHR | 0o644, ROOT, _NULL)
        dev.create(b"zero", S_IFCHR | 0o644, ROOT, _ZERO)

    def newino(self) -> int:
        """Return the next inode number."""
        return self.mnt_op.newino()

    def statvfs(self) -> StatVfs:
        return StatVfs(BLOCK_SIZE, BLOCK_SIZE, BLOCK_SIZE, 2, 0, 0, 0, 0, 0, 0, 0)

    def getargs(self, data: bytes | None) -> bytes:
        """Return what the caller gave: there are no arguments."""
        return data or b""

    def update(self, args: MountArgs) -> UpdateBody:
        """Change the flags; arguments are ignored."""
        return args.flags
        yield

    def unmount(self, flags: int) -> None:
        self.mnt_root.release()

    def add_key(self, key: bytes, entry: EtfsEntry) -> Vnode:
        """Make a registered host file known under an etfs key, and return its vnode.

        Args:
            key: a path; leading slashes do not count.

        Errors:
            EEXIST: the key is there already.
        """
        keys = self._keys()
        key = key.lstrip(b"/")
        if key in keys:
            raise VfsError(errno.EEXIST, shown(key))
        vp = keys[key] = EtfsReg(self, entry) if entry.type == "reg" else EtfsNode(self, entry)
        return vp

    def remove_key(self, key: bytes) -> None:
        """Forget an etfs key, which the registry has found to be unused. Errors: ENOENT."""
        keys = self._keys()
        key = key.lstrip(b"/")
        if key not in keys:
            raise VfsError(errno.ENOENT, shown(key))
        del keys[key]

    def add_node(self, name: bytes, mode: int, rdev: int) -> None:
        """Make a device node in /dev, unless something has that name or /dev is gone.

        Its inode number is outside the sequence that other files get theirs from, so that those have the
        same ones whatever nodes there are.

        Args:
            mode: type and permission bits.
        """
        dvp = self._dev
        if dvp.lookup(name) is None and dvp.rn_va.nlink:
            number = self.mnt_op.newino(nodes=True)
            dvp.attach(name, RootfsNode(self, mode, 0, 0, now(), rdev=rdev, number=number))
            knote(dvp, NOTE_WRITE, name)

    def remove_node(self, name: bytes, rdev: int) -> None:
        """Remove a device node from /dev, if it is still there."""
        vp = self._dev.lookup(name)
        if vp is not None and vp.v_type in (VBLK, VCHR) and vp.rdev() == rdev:
            self._dev.remove(name, vp, ROOT)
            knote(self._dev, NOTE_WRITE, name)

    @property
    def _dev(self) -> RootfsDir:
        assert self._devdir is not None, "only the root file system has device nodes"
        return self._devdir

    def _keys(self) -> dict[bytes, Vnode]:
        keys = self.mnt_root.v_keys
        assert keys is not None, "only the root file system has etfs keys"
        return keys


class RootfsOps(VfsOps):
    """The file system type "rumpfs". Its mounts share one sequence of inode numbers, which starts at 3."""

    name = b"rumpfs"

    def __init__(self) -> None:
        self._inos = count(3)
        self._node_inos = count(_NODE_INO)

    def newino(self, nodes: bool = False) -> int:
        """Return the next inode number; `nodes`: of the sequence of device nodes."""
        return next(self._node_inos if nodes else self._inos)

    def mount(self, vfs: Vfs, args: MountArgs) -> MountBody:
        """Mount an empty file system; arguments are ignored. Errors: EFAULT."""
        mp = RootfsMount(self, args.flags & (MNT_BASIC_FLAGS | MNT_IGNORE), vfs.memory)
        vfs.getnewfsid(mp)
        yield from args.names(mp, b"rumpfs")
        return mp


def mount_root(vfs: Vfs) -> RootfsMount:
    """Mount a rumpfs, whose type is attached, as the root with what every kernel has there, and return it.

    That is ``/dev``, ``/tmp``, ``/dev/null`` and ``/dev/zero``, inodes 4 to 7.
    """
    op = vfs.types[RootfsOps.name]
    assert isinstance(op, RootfsOps)
    mp = RootfsMount(op, MNT_ROOTFS, vfs.memory)
    vfs.getnewfsid(mp)
    mp.mnt_from = RootfsOps.name
    mp.start_root()
    vfs.mount_root(mp)
    return mp
