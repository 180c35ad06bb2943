"""Vnodes, and the operations that a file system implements for them (NetBSD: vnode_if.src, vfs_vnode.c)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple, NoReturn

from rumpfs.abi import errno, limits
from rumpfs.abi.stat import S_IFMT, STAT
from rumpfs.base.clock import Timespec
from rumpfs.base.copy import Buffer, Data
from rumpfs.base.errors import VfsError
from rumpfs.vfs.cred import Cred, vaccess

if TYPE_CHECKING:
    from rumpfs.base.knote import Klist
    from rumpfs.vfs.fifofs import Fifo
    from rumpfs.vfs.lockf import Lockf
    from rumpfs.vfs.mount import Mount

# enum vtype (sys/sys/vnode.h)
VNON: Final = 0
VREG: Final = 1
VDIR: Final = 2
VBLK: Final = 3
VCHR: Final = 4
VLNK: Final = 5
VSOCK: Final = 6
VFIFO: Final = 7
VBAD: Final = 8

#: S_IFMT bits -> vtype
IFTOVT: Final = {0o010000: VFIFO, 0o020000: VCHR, 0o040000: VDIR, 0o060000: VBLK, 0o100000: VREG,
                 0o120000: VLNK, 0o140000: VSOCK}  # fmt: skip
#: vtype -> S_IFMT bits
VTTOIF: Final = {vtype: bits for bits, vtype in IFTOVT.items()}

#: ioflag of read and write
IO_APPEND: Final = 0x00002
IO_SYNC: Final = 0x00004

#: va_rdev of what is no device
NODEV: Final = 0xFFFFFFFFFFFFFFFF


class Vattr(NamedTuple):
    """Attributes of a vnode in the order of struct stat; `mode` has the type, `blocks` are of 512 bytes."""

    fsid: int
    mode: int
    fileid: int
    nlink: int
    uid: int
    gid: int
    rdev: int
    atime: int
    atimensec: int
    mtime: int
    mtimensec: int
    ctime: int
    ctimensec: int
    birthtime: int
    birthtimensec: int
    size: int
    blocks: int
    blocksize: int
    flags: int
    gen: int


@dataclass(slots=True)
class SetAttr:
    """Attributes to change, None for none. `touch`: utimes(path, NULL), for which write permission does."""

    mode: int | None = None
    uid: int | None = None
    gid: int | None = None
    size: int | None = None
    flags: int | None = None
    atime: Timespec | None = None
    mtime: Timespec | None = None
    birthtime: Timespec | None = None
    touch: bool = False


def eopnotsupp(why: str = "") -> NoReturn:
    """Refuse an operation that a file system does not have (genfs_eopnotsupp)."""
    raise VfsError(errno.EOPNOTSUPP, why)


class Vnode:
    """An object in a file system. File systems subclass it; the methods are the vops.

    Names are bytes without a slash. Directory operations are called by the kernel after it has resolved
    the name, refused a read-only mount (EROFS), and checked that the caller may write the directory.
    """

    __slots__ = ("v_front", "v_klist", "v_lockf", "v_mount", "v_mountedhere", "v_type", "v_usecount")

    #: etfs keys that this directory resolves (only the real root has them)
    v_keys: dict[bytes, Vnode] | None = None
    #: names neither come to this directory nor go, whatever the flags of the mount (EROFS)
    v_fixed = False
    #: the vnode below, in a layer
    v_lower: Vnode | None = None

    def __init__(self, v_mount: Mount, v_type: int) -> None:
        self.v_mount = v_mount
        self.v_type = v_type
        self.v_mountedhere: Mount | None = None
        self.v_usecount = 0
        self.v_front: Any = None  # what a front end keeps with it; nobody else looks at it
        self.v_klist: Klist | None = None  # while somebody watches it
        self.v_lockf: Lockf | None = None  # while somebody holds or wants an advisory lock

    # --- attributes -----------------------------------------------------------------------------

    def getattr(self) -> Vattr:
        """Return the attributes (VOP_GETATTR)."""
        eopnotsupp()

    def stat(self) -> bytes:
        """Return struct stat (vfs_vnops.c: vn_stat). st_gen is only for the superuser's file handles: 0."""
        va = self.getattr()
        return STAT.pack(*va[:-1], 0)

    def access(self, want: int, cred: Cred) -> None:
        """Check permission (VOP_ACCESS). Errors: EACCES."""
        va = self.getattr()
        vaccess(va.mode, va.uid, va.gid, want, cred)

    def setattr(self, va: SetAttr, cred: Cred) -> None:
        """Change attributes (VOP_SETATTR). Errors: EROFS, EPERM, EACCES, EISDIR (size), EOPNOTSUPP."""
        eopnotsupp()

    def rdev(self) -> int:
        """Return the device number of a VBLK or VCHR vnode."""
        return self.getattr().rdev

    def pathconf(self, name: int) -> int:
        """Return a limit of the file system (VOP_PATHCONF). Errors: EINVAL for an unknown name."""
        try:
            return PATHCONF[name]
        except KeyError:
            raise VfsError(errno.EINVAL) from None

    # --- names ----------------------------------------------------------------------------------

    def lookup(self, name: bytes) -> Vnode | None:
        """Return what `name` is in this directory (VOP_LOOKUP); None when it is not there.

        ``..`` is asked for below the root of the file system only, ``.`` never.
        Errors: EIO for a damaged directory.
        """
        raise VfsError(errno.ENOTDIR)

    def create(self, name: bytes, mode: int, cred: Cred, rdev: int = NODEV) -> Vnode:
        """Make a file, FIFO, socket or device node and return it (VOP_CREATE, VOP_MKNOD).

        Args:
            mode: type and permission bits.
        """
        eopnotsupp()

    def mkdir(self, name: bytes, mode: int, cred: Cred) -> Vnode:
        """Make a directory (VOP_MKDIR). Errors: EMLINK."""
        eopnotsupp()

    def symlink(self, name: bytes, mode: int, target: bytes, cred: Cred) -> Vnode:
        """Make a symbolic link (VOP_SYMLINK)."""
        eopnotsupp()

    def link(self, name: bytes, vp: Vnode, cred: Cred) -> None:
        """Give `vp`, of the same mount and no directory, another name (VOP_LINK). Errors: EMLINK."""
        eopnotsupp()

    def remove(self, name: bytes, vp: Vnode, cred: Cred) -> None:
        """Take the name `name` of `vp` away (VOP_REMOVE)."""
        eopnotsupp()

    def rmdir(self, name: bytes, vp: Vnode, cred: Cred) -> None:
        """Remove the directory `vp` (VOP_RMDIR). Errors: ENOTEMPTY."""
        eopnotsupp()

    def rename(
        self, name: bytes, vp: Vnode, tdvp: Vnode, tname: bytes, tvp: Vnode | None, cred: Cred
    ) -> None:
        """Move `vp`, called `name` here, to `tname` in `tdvp`, replacing `tvp` (VOP_RENAME).

        The kernel has checked that both directories are on one mount, that types agree, and that a
        directory does not move below itself. Errors: ENOTEMPTY, EMLINK.
        """
        eopnotsupp()

    def readlink(self) -> bytes:
        """Return the text of a symbolic link (VOP_READLINK)."""
        raise VfsError(errno.EINVAL)

    def readdir(self, offset: int, count: int) -> tuple[Data, int]:
        """Return struct dirents of at most `count` bytes from the cookie `offset`, and the next cookie.

        A buffer that is too small for one entry gives nothing (VOP_READDIR; see `dirent`).
        """
        raise VfsError(errno.ENOTDIR)

    # --- content --------------------------------------------------------------------------------

    def open(self, flags: int, cred: Cred) -> None:
        """The file is opened with FREAD, FWRITE (VOP_OPEN)."""

    def close(self, flags: int) -> None:
        """A file opened with `flags` is closed (VOP_CLOSE)."""

    def read(self, offset: int, length: int) -> Data:
        """Return at most `length` bytes at `offset`; fewer only at the end of the file (VOP_READ)."""
        raise VfsError(errno.EISDIR if self.v_type == VDIR else errno.EOPNOTSUPP)

    def write(self, offset: int, data: Buffer, ioflag: int, cred: Cred) -> int:
        """Store `data` at `offset` (with IO_APPEND: at the end) and return the offset behind it (VOP_WRITE).

        Errors: EFBIG, ENOSPC; nothing or a prefix was written then.
        """
        raise VfsError(errno.EISDIR if self.v_type == VDIR else errno.EOPNOTSUPP)

    def size(self) -> int:
        """Return the length in bytes."""
        return self.getattr().size

    def fsync(self) -> None:
        """Bring content and attributes to stable storage (VOP_FSYNC)."""

    def ioctl(self, command: int, data: bytes) -> bytes:
        """Carry out a command (VOP_IOCTL). Errors: ENOTTY."""
        raise VfsError(errno.ENOTTY)

    def fallocate(self, pos: int, length: int) -> None:
        """Allocate space for a range of the file (VOP_FALLOCATE)."""
        eopnotsupp()

    def fdiscard(self, pos: int, length: int) -> None:
        """Give the space of a range back, which reads as zeros then (VOP_FDISCARD)."""
        eopnotsupp()

    def inactive(self) -> None:
        """The last use is gone (VOP_INACTIVE): free an object without names."""

    # --- extended attributes -----------------------------------------------------------------------

    def getextattr(self, attrnamespace: int, name: bytes, cred: Cred) -> Buffer:
        """Return the value of an extended attribute (VOP_GETEXTATTR).

        Errors: EOPNOTSUPP; EINVAL: no name, no such namespace; EPERM, EACCES; ENODATA: the file has no such
        attribute; EIO.
        """
        eopnotsupp()

    def listextattr(self, attrnamespace: int, cred: Cred) -> list[bytes]:
        """Return the names of the extended attributes in a namespace (VOP_LISTEXTATTR).

        Errors: EOPNOTSUPP, EINVAL, EPERM, EACCES, EIO.
        """
        eopnotsupp()

    def setextattr(self, attrnamespace: int, name: bytes, length: int, cred: Cred) -> Callable[[bytes], None]:
        """Return what stores `length` bytes as the value of an extended attribute (VOP_SETEXTATTR).

        The caller fetches the value when everything else has been checked.
        Errors: EOPNOTSUPP, EROFS, EINVAL, EPERM, EACCES; ENXIO, ENOSPC: the value is too long.
        """
        eopnotsupp()

    def deleteextattr(self, attrnamespace: int, name: bytes, cred: Cred) -> None:
        """Take an extended attribute away (VOP_DELETEEXTATTR).

        Errors: EOPNOTSUPP, EROFS, EINVAL, EPERM, EACCES, ENODATA, EIO.
        """
        eopnotsupp()

    # --- FIFOs and file handles -----------------------------------------------------------------

    def fifo(self) -> Fifo:
        """Return what is behind a FIFO, the same every time. Errors: EOPNOTSUPP: here it is only a name."""
        eopnotsupp()

    def fifo_used(self, nread: int, nwritten: int) -> None:
        """So many bytes have gone through the FIFO: note the time."""

    def vptofh(self) -> bytes:
        """Return the struct fid that `Mount.fhtovp` finds the file by (VFS_VPTOFH). Errors: EOPNOTSUPP."""
        eopnotsupp()


#: what most file systems answer to pathconf
PATHCONF: Final = {
    limits.PC_LINK_MAX: limits.LINK_MAX,
    limits.PC_NAME_MAX: limits.NAME_MAX,
    limits.PC_PATH_MAX: limits.PATH_MAX,
    limits.PC_PIPE_BUF: limits.PIPE_BUF,
    limits.PC_CHOWN_RESTRICTED: 1,
    limits.PC_NO_TRUNC: 1,
    limits.PC_SYNC_IO: 1,
    limits.PC_FILESIZEBITS: 64,
}


def vref(vp: Vnode) -> None:
    """Count a use of `vp` that outlives the present call."""
    vp.v_usecount += 1
    vp.v_mount.mnt_busy += 1


def vrele(vp: Vnode) -> None:
    """Give a use back; the last one makes the vnode inactive."""
    vp.v_usecount -= 1
    vp.v_mount.mnt_busy -= 1
    if vp.v_usecount == 0:
        vp.inactive()


def knote(vp: Vnode, hint: int, *names: bytes) -> None:
    """Tell who watches `vp`, or its mount, what has happened to it (VN_KNOTE).

    Args:
        hint: NOTE_ flags.
        names: those that have come to or gone from a directory.
    """
    if vp.v_klist is not None:
        vp.v_klist.note(hint)
    heard = vp.v_mount.mnt_heard
    if heard is not None:
        heard(vp, names)


def watched(vp: Vnode) -> bool:
    """Whether anybody hears what `knote` tells of `vp`."""
    return vp.v_klist is not None or vp.v_mount.mnt_heard is not None


def layers(vp: Vnode) -> Iterator[Vnode]:
    """Yield a vnode, and those below that it is a layer on."""
    lower: Vnode | None = vp
    while lower is not None:
        yield lower
        lower = lower.v_lower


def type_of(mode: int) -> int:
    """Return the vtype of a mode's S_IFMT bits; VNON when they mean nothing."""
    return IFTOVT.get(mode & S_IFMT, VNON)
