"""File system types, mounts, and the state of the vfs (NetBSD: vfs_mount.c, vfs_init.c, sys/mount.h)."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from rumpfs.abi import errno
from rumpfs.abi.mount import MNT_FORCE, MNT_RDONLY, MNT_VISFLAGMASK, VFS_MNAMELEN, makefstype
from rumpfs.abi.stat import STATVFS, STATVFS_100, makedev
from rumpfs.base.callout import CalloutTable
from rumpfs.base.copy import CopyInStr, Request
from rumpfs.base.errors import VfsError
from rumpfs.base.memory import Memory
from rumpfs.vfs.cred import ROOT, Cred
from rumpfs.vfs.lockf import Advlocks
from rumpfs.vfs.namecache import NameCache
from rumpfs.vfs.specfs import Devsw
from rumpfs.vfs.syncer import Syncer
from rumpfs.vfs.vcache import Vcache
from rumpfs.vfs.vnode import Vnode, vref, vrele

if TYPE_CHECKING:
    from rumpfs.dev.etfs import EtfsEntry
    from rumpfs.vfs.fifofs import Fifo
    from rumpfs.vfs.quota import Quotas


class StatVfs(NamedTuple):
    """What a file system knows of its space, in units of `frsize` (struct statvfs)."""

    bsize: int
    frsize: int
    iosize: int
    blocks: int
    bfree: int
    bavail: int
    bresvd: int
    files: int
    ffree: int
    favail: int
    fresvd: int


class Mount:
    """One mounted file system. File systems subclass it."""

    #: told of every file that changes, with the names that came or went when it is a directory (knote)
    mnt_heard: Callable[[Vnode, tuple[bytes, ...]], None] | None = None
    #: the mount that this one is a layer on
    mnt_lower: Mount | None = None

    def __init__(self, op: VfsOps, flags: int) -> None:
        self.mnt_op = op
        self.mnt_flag = flags & ~MNT_FORCE  # which is about mounting (MNT_OP_FLAGS)
        self.mnt_busy = 0  # uses of its vnodes (vref)
        self.mnt_gone = False  # it was unmounted (IMNT_GONE)
        self.mnt_fifos: list[Fifo] = []  # those that somebody waits to open
        self.mnt_layers: list[Mount] = []  # those on it
        self.mnt_vnodecovered: Vnode | None = None
        self.mnt_onto = b""
        self.mnt_from = b""
        self.mnt_owner = 0
        self.mnt_fsid = (0, 0)
        self.mnt_root: Vnode

    def statvfs(self) -> StatVfs:
        """Return the space figures (VFS_STATVFS)."""
        raise VfsError(errno.EOPNOTSUPP)

    def sync(self) -> None:
        """Bring everything to stable storage (VFS_SYNC)."""

    def lazy_sync(self) -> None:
        """Write what was changed some time ago, when the syncer says so (VFS_SYNC with MNT_LAZY)."""

    def unmount(self, flags: int) -> None:
        """Flush and give up the device (VFS_UNMOUNT); nothing uses the mount, or MNT_FORCE is given."""

    def lower_gone(self) -> None:
        """The mount that this layer is on was unmounted by force."""

    def fhtovp(self, fid: bytes) -> Vnode:
        """Return the file that a struct fid of `Vnode.vptofh` stands for (VFS_FHTOVP).

        Errors: EOPNOTSUPP; EINVAL: it is none of this file system's; ESTALE: the file is gone; EIO.
        """
        raise VfsError(errno.EOPNOTSUPP)

    def getargs(self, data: bytes | None) -> bytes:
        """Return the arguments that the mount has now (VFS_MOUNT with MNT_GETARGS).

        Args:
            data: the caller's structure.

        Errors: EOPNOTSUPP; EINVAL: it is missing, short, or of another version.
        """
        raise VfsError(errno.EOPNOTSUPP)

    def update(self, args: MountArgs) -> UpdateBody:
        """Change the mount (VFS_MOUNT with MNT_UPDATE), and return which of `args.flags` it takes.

        Nothing is open for writing when it becomes read-only. Errors: EOPNOTSUPP, EINVAL, EBUSY, EROFS.
        """
        raise VfsError(errno.EOPNOTSUPP)
        yield

    def extattrctl(
        self, cmd: int, vp: Vnode | None, attrnamespace: int, name: bytes | None, cred: Cred
    ) -> None:
        """Start or stop extended attributes, or one of them (VFS_EXTATTRCTL).

        Args:
            cmd: EXTATTR_CMD_, or a command of the file system's own.
            vp: the file that the command is about, if it is about one.
            name: the attribute, if it is about one.

        Errors: EOPNOTSUPP, EPERM; EINVAL: another command, or not its arguments; EBUSY, ENODATA, EEXIST, EIO.
        """
        raise VfsError(errno.EOPNOTSUPP)

    def quotas(self) -> Quotas:
        """Return the quotas (VFS_QUOTACTL). Errors: EOPNOTSUPP: there are none; EIO."""
        raise VfsError(errno.EOPNOTSUPP)

    def _pack(self) -> tuple[Any, ...]:
        """Return the fields of struct statvfs."""
        return (
            self.mnt_flag & MNT_VISFLAGMASK, *self.statvfs(), 0, 0, 0, 0,
            self.mnt_fsid[0] & 0xFFFFFFFF | self.mnt_fsid[1] << 32, self.mnt_fsid[0] & 0xFFFFFFFF, 255,
            self.mnt_owner, self.mnt_op.name, self.mnt_onto, self.mnt_from,
        )  # fmt: skip

    def pack_statvfs(self) -> bytes:
        """Return the 2256-byte struct statvfs."""
        return STATVFS.pack(*self._pack())

    def pack_statvfs_100(self) -> bytes:
        """Return NetBSD 10's struct statvfs, 3296 bytes; nothing here has a label."""
        return STATVFS_100.pack(*self._pack(), b"")


#: the body of a mount: it may copy in what its arguments point to, and returns the new mount
MountBody = Generator[Request, Any, Mount]
#: the same for the change of a mount, which returns flags
UpdateBody = Generator[Request, Any, int]


@dataclass(frozen=True, slots=True)
class MountArgs:
    """What mount(2) passes to a file system.

    Args:
        caller: the process, for looking up fspec.
        flags: MNT_ flags.
        data: the argument structure as copied in; None when the caller gave none.
        path: address of the mount point's name, as the caller gave it.
    """

    caller: Any
    flags: int
    data: bytes | None
    path: int

    def unpack(self, layout: Any) -> tuple[Any, ...]:
        """Decode the argument structure. Errors: EINVAL when it is missing or short."""
        if self.data is None or len(self.data) < layout.size:
            raise VfsError(errno.EINVAL, "mount arguments missing or short")
        fields: tuple[Any, ...] = layout.unpack_from(self.data)
        return fields

    def names(self, mp: Mount, fspec: int | bytes) -> Generator[Request, Any, None]:
        """Fill in f_mntonname and f_mntfromname (vfs_subr.c: set_statvfs_info).

        Args:
            fspec: the address of the source's name, or the name itself.
        """
        mp.mnt_onto = yield CopyInStr(self.path, VFS_MNAMELEN - 1)
        mp.mnt_from = fspec if isinstance(fspec, bytes) else (yield CopyInStr(fspec, VFS_MNAMELEN - 1))


class VfsOps:
    """A file system type. Subclasses set `name` and implement `mount`."""

    name: bytes
    #: size of the argument structure, used when the caller gives data without a length
    args_size = 0

    def mount(self, vfs: Vfs, args: MountArgs) -> MountBody:
        """Mount (VFS_MOUNT). Errors: EINVAL, ENOTBLK, ENXIO, EBUSY, EACCES, EROFS."""
        raise VfsError(errno.EOPNOTSUPP)
        yield


class Keys(Protocol):
    """Where etfs keys get their vnodes: the root file system."""

    def add_key(self, key: bytes, entry: EtfsEntry) -> Vnode:
        """Make `key`, without leading slashes, resolve to a vnode for `entry`."""

    def remove_key(self, key: bytes) -> None:
        """Take a key out again."""

    def add_node(self, name: bytes, mode: int, rdev: int) -> None:
        """Make a device node in /dev, unless something has that name."""

    def remove_node(self, name: bytes, rdev: int) -> None:
        """Remove a device node from /dev, if it is still there."""


class Vfs:
    """The mounts of one kernel, its file system types and its device drivers.

    Args:
        memory: where caches and tmpfs account for their bytes.
        callouts: the kernel's; without them nothing is done by itself.
    """

    def __init__(self, memory: Memory, callouts: CalloutTable | None = None) -> None:
        self.memory = memory
        self.syncer = Syncer(callouts or CalloutTable())
        self.types: dict[bytes, VfsOps] = {}
        self.mountlist: list[Mount] = []
        self.devsw = Devsw()
        self.namecache = NameCache(memory)
        self.vcache = Vcache(memory, self.namecache)
        self.advlocks = Advlocks()
        #: takes the vnodes of a mount from everybody who uses them (vfs_mount.c: vflush with FORCECLOSE)
        self.vflush: Callable[[Mount], None] = _nobody
        #: told of each mount after it was entered, and after it was unmounted
        self.moved: list[Callable[[Mount, Vnode], None]] = []
        self.rootvnode: Vnode
        self.keys: Keys

    def attach(self, op: VfsOps) -> None:
        """Enter a file system type (vfs_attach). Errors: EEXIST."""
        if op.name in self.types:
            raise VfsError(errno.EEXIST, f"file system {op.name.decode()} is already there")
        self.types[op.name] = op

    def detach(self, name: bytes) -> None:
        """Take a file system type out (vfs_detach). Errors: ENOENT, EBUSY while it is mounted."""
        if name not in self.types:
            raise VfsError(errno.ENOENT)
        if any(mp.mnt_op.name == name for mp in self.mountlist):
            raise VfsError(errno.EBUSY)
        del self.types[name]

    def fstype(self, name: bytes) -> VfsOps:
        """Return a file system type; "ufs" is another name of "ffs" (vfs_getopsbyname). Errors: ENODEV."""
        op = self.types.get(b"ffs" if name == b"ufs" else name)
        if op is None:
            raise VfsError(errno.ENODEV)
        return op

    def getnewfsid(self, mp: Mount) -> None:
        """Give a mount without a device its file system id (vfs_subr.c: vfs_getnewfsid)."""
        number = makefstype(mp.mnt_op.name)
        taken = {other.mnt_fsid for other in self.mountlist}
        mntid = 1
        while (fsid := (makedev(number & 0xFF, mntid), number)) in taken:
            mntid += 1
        mp.mnt_fsid = fsid

    def getvfs(self, fsid: tuple[Any, ...]) -> Mount:
        """Return the mount with a file system id, as struct fsid_t has it (vfs_getvfs). Errors: ESTALE."""
        for mp in self.mountlist:
            if tuple(number & 0xFFFFFFFF for number in mp.mnt_fsid) == fsid:
                return mp
        raise VfsError(errno.ESTALE)

    def mount_root(self, mp: Mount) -> None:
        """Make `mp` the root file system."""
        mp.mnt_onto = b"/"
        self.mountlist.append(mp)
        self.rootvnode = mp.mnt_root
        vref(mp.mnt_root)

    def _set_root(self, vp: Vnode) -> None:
        vref(vp)
        vrele(self.rootvnode)
        self.rootvnode = vp

    def enter(self, mp: Mount, covered: Vnode, cred: Cred = ROOT) -> None:
        """Put `mp` on the directory `covered` (vfs_mount.c: mount_domount)."""
        mp.mnt_vnodecovered = covered
        mp.mnt_owner = cred.euid
        vref(covered)
        covered.v_mountedhere = mp
        self.mountlist.append(mp)
        if covered is self.rootvnode:
            self._set_root(mp.mnt_root)
        self._moved(mp, covered)

    def dounmount(self, mp: Mount, flags: int) -> None:
        """Unmount (vfs_mount.c: dounmount).

        With MNT_FORCE what is in use is taken from its users, and nothing is synced before.

        Errors:
            EINVAL: the root file system.
            EBUSY: something is mounted in it, or without MNT_FORCE files or directories of it are in use.
            Those of the file system.
        """
        covered = mp.mnt_vnodecovered
        if covered is None:
            raise VfsError(errno.EINVAL)
        if any(
            below.mnt_vnodecovered is not None and below.mnt_vnodecovered.v_mount is mp
            for below in self.mountlist
        ):
            raise VfsError(errno.EBUSY)
        if flags & MNT_FORCE:
            self.vflush(mp)
        elif mp.mnt_busy:
            raise VfsError(errno.EBUSY)
        elif not mp.mnt_flag & MNT_RDONLY:
            mp.sync()
        mp.unmount(flags)
        mp.mnt_gone = True
        for layer in mp.mnt_layers:
            layer.lower_gone()
        if mp.mnt_root is self.rootvnode:
            self._set_root(covered)
        self.namecache.purge_mount(mp)
        self.mountlist.remove(mp)
        covered.v_mountedhere = None
        mp.mnt_vnodecovered = None
        self._moved(mp, covered)
        vrele(covered)

    def _moved(self, mp: Mount, covered: Vnode) -> None:
        for tell in self.moved:
            tell(mp, covered)

    def sync(self) -> None:
        """Sync every mount (vfs_syscalls.c: do_sys_sync)."""
        for mp in self.mountlist:
            mp.sync()

    def unmount_all(self) -> None:
        """Unmount everything, youngest first (vfs_mount.c: vfs_unmountall).

        Errors: the first that one of the file systems had; the others are unmounted all the same.
        """
        failed: VfsError | None = None
        for mp in reversed(self.mountlist[1:]):
            try:
                self.dounmount(mp, MNT_FORCE)
            except VfsError as error:
                failed = failed or error
        self.sync()
        if failed is not None:
            raise failed


def _nobody(mp: Mount) -> None:
    """A vfs without processes: nobody uses a mount."""
