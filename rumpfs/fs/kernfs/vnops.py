"""The directory and the files of a kernfs (NetBSD: kernfs_vnops.c)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rumpfs.abi import errno, limits
from rumpfs.abi.stat import DT_DIR, DT_REG, S_IFDIR, S_IFREG
from rumpfs.base.clock import Timespec, boottime, now
from rumpfs.base.copy import Buffer, Data
from rumpfs.base.errors import VfsError
from rumpfs.fs.kernfs.values import TARGETS, Target, store
from rumpfs.vfs.cred import Cred
from rumpfs.vfs.dirent import Listing
from rumpfs.vfs.vnode import VDIR, VREG, SetAttr, Vattr, Vnode

if TYPE_CHECKING:
    from rumpfs.fs.kernfs.vfsops import KernfsMount

BLOCK_SIZE: Final = 512  # DEV_BSIZE
_DIRENT: Final = 32  # UIO_MX: what a reader of the directory has to have room for
_ROOT_FILENO: Final = 2  # KERNFS_FILENO; . and .. have a number each
_FIRST_FILENO: Final = 4

_PATHCONF: Final = {
    limits.PC_LINK_MAX: limits.LINK_MAX,
    limits.PC_MAX_CANON: limits.MAX_CANON,
    limits.PC_MAX_INPUT: limits.MAX_INPUT,
    limits.PC_PIPE_BUF: limits.PIPE_BUF,
    limits.PC_CHOWN_RESTRICTED: 1,
    limits.PC_VDISABLE: limits.POSIX_VDISABLE,
    limits.PC_SYNC_IO: 1,
}


class KernfsNode(Vnode):
    """What both have in common. Attributes cannot be changed, and nobody is told.

    Args:
        mp: the mount.
        vtype: VDIR or VREG.
        mode: type and permission bits.
        fileno: its number.
    """

    __slots__ = ("kfs_fileno", "kfs_mode")

    v_mount: KernfsMount

    def __init__(self, mp: KernfsMount, vtype: int, mode: int, fileno: int) -> None:
        super().__init__(mp, vtype)
        self.kfs_mode = mode
        self.kfs_fileno = fileno

    def _attributes(self, nlink: int, size: int, moment: Timespec) -> Vattr:
        return Vattr(
            self.v_mount.mnt_fsid[0], self.kfs_mode, self.kfs_fileno, nlink, 0, 0, 0,
            *moment, *moment, *moment, *moment, size, size // BLOCK_SIZE, BLOCK_SIZE, 0, 0,
        )  # fmt: skip

    def setattr(self, va: SetAttr, cred: Cred) -> None:
        """Change nothing, so that a file can be opened with O_TRUNC."""

    def pathconf(self, name: int) -> int:
        """Return a limit: those of a terminal. Errors: EINVAL."""
        if name not in _PATHCONF:
            raise VfsError(errno.EINVAL)
        return _PATHCONF[name]


class KernfsFile(KernfsNode):
    """A file.

    Args:
        mp: the mount.
        target: what it says.
        fileno: its number.
    """

    __slots__ = ("_target",)

    def __init__(self, mp: KernfsMount, target: Target, fileno: int) -> None:
        super().__init__(mp, VREG, S_IFREG | target.mode, fileno)
        self._target = target

    def _content(self) -> bytes:
        return self._target.read(self.v_mount.values)

    def getattr(self) -> Vattr:
        moment = boottime() if self._target.name == b"boottime" else now()
        return self._attributes(1, len(self._content()), moment)

    def read(self, offset: int, length: int) -> Data:
        return self._content()[offset : offset + length]

    def write(self, offset: int, data: Buffer, ioflag: int, cred: Cred) -> int:
        """Set the value. Errors: those of `store`."""
        store(self._target, self.v_mount.values, offset, bytes(data))
        return offset + len(data)


class KernfsDir(KernfsNode):
    """The directory, which nothing can be made in or removed from.

    Args:
        mp: the mount.
    """

    __slots__ = ("_files", "_listing")

    v_fixed = True

    def __init__(self, mp: KernfsMount) -> None:
        super().__init__(mp, VDIR, S_IFDIR | 0o555, _ROOT_FILENO)
        self._files = {
            target.name: KernfsFile(mp, target, fileno)
            for fileno, target in enumerate(TARGETS, _FIRST_FILENO)
        }
        names = [(_ROOT_FILENO, DT_DIR, b"."), (_ROOT_FILENO, DT_DIR, b"..")]
        names += [(file.kfs_fileno, DT_REG, name) for name, file in self._files.items()]
        self._listing = Listing((cookie, *entry) for cookie, entry in enumerate(names))

    def getattr(self) -> Vattr:
        return self._attributes(2, BLOCK_SIZE, now())

    def lookup(self, name: bytes) -> Vnode | None:
        return self._files.get(name)

    def readdir(self, offset: int, count: int) -> tuple[Data, int]:
        """Return struct dirents and the next cookie. Errors: EINVAL: `count` is too small."""
        if count < _DIRENT:
            raise VfsError(errno.EINVAL)
        return self._listing.read(offset, count)
