"""The vnodes of a layer, which pass operations to those below (NetBSD: genfs/layer_vnops.c, layer_subr.c).

Uses, watchers and locks of a vnode are those of the vnode below it, so that a file is the same one whichever
way it is reached. Two things are the layer's own: what is mounted on a directory, and the device in stat.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from rumpfs.abi import errno
from rumpfs.abi.mount import MNT_RDONLY
from rumpfs.base.errors import VfsError
from rumpfs.vfs.cred import VWRITE, Cred
from rumpfs.vfs.vnode import NODEV, VDIR, VLNK, VREG, SetAttr, Vattr, Vnode

if TYPE_CHECKING:
    from rumpfs.base.knote import Klist
    from rumpfs.fs.nullfs.vfsops import NullMount
    from rumpfs.vfs.lockf import Lockf

_st_dev = struct.Struct("<Q").pack

#: the operations that concern one vnode, and mean the same in a layer
_BYPASSED: Final = (
    "rdev", "pathconf", "readlink", "readdir", "open", "close", "read", "write", "size", "fsync", "ioctl",
    "fallocate", "fdiscard", "inactive", "getextattr", "listextattr", "fifo", "fifo_used", "vptofh",
)  # fmt: skip
#: and those that a layer refuses when it is mounted read-only
_CHANGING: Final = ("setextattr", "deleteextattr")


class LayerVnode(Vnode):
    """A file of the layer.

    Args:
        mp: the mount, which has one of them for each vnode below (`NullMount.node`).
        lower: the vnode below.
    """

    __slots__ = ("__weakref__", "v_fixed", "v_lower")

    v_mount: NullMount

    def __init__(self, mp: NullMount, lower: Vnode) -> None:
        self.v_mount = mp
        self.v_type = lower.v_type
        self.v_mountedhere = None
        self.v_front = None
        self.v_fixed = lower.v_fixed
        self.v_lower: Vnode = lower

    # --- what is shared with the vnode below ------------------------------------------------------

    @property
    def v_usecount(self) -> int:
        """Uses of the file, wherever it is used."""
        return self.v_lower.v_usecount

    @v_usecount.setter
    def v_usecount(self, count: int) -> None:
        self.v_lower.v_usecount = count

    @property
    def v_klist(self) -> Klist | None:
        """Who watches it."""
        return self.v_lower.v_klist

    @v_klist.setter
    def v_klist(self, klist: Klist | None) -> None:
        self.v_lower.v_klist = klist

    @property
    def v_lockf(self) -> Lockf | None:
        """Its advisory locks."""
        return self.v_lower.v_lockf

    @v_lockf.setter
    def v_lockf(self, lockf: Lockf | None) -> None:
        self.v_lower.v_lockf = lockf

    # --- attributes -------------------------------------------------------------------------------

    def getattr(self) -> Vattr:
        """Return the attributes of the file below, on the layer's device."""
        return self.v_lower.getattr()._replace(fsid=self.v_mount.mnt_fsid[0])

    def stat(self) -> bytes:
        return _st_dev(self.v_mount.mnt_fsid[0]) + self.v_lower.stat()[8:]

    def access(self, want: int, cred: Cred) -> None:
        """Check permission. Errors: EROFS: the layer is read-only; those of the file below."""
        if want & VWRITE and self.v_type in (VDIR, VLNK, VREG):
            self._check_writable()
        self.v_lower.access(want, cred)

    def setattr(self, va: SetAttr, cred: Cred) -> None:
        """Change attributes. Errors: EROFS, EISDIR (length of a directory); those of the file below."""
        self._check_writable()
        if va.size is not None:
            if self.v_type == VDIR:
                raise VfsError(errno.EISDIR)
            if self.v_type not in (VREG, VLNK):
                return
        self.v_lower.setattr(va, cred)

    def _check_writable(self) -> None:
        if self.v_mount.mnt_flag & MNT_RDONLY:
            raise VfsError(errno.EROFS)

    # --- names ------------------------------------------------------------------------------------

    def lookup(self, name: bytes) -> Vnode | None:
        """Return what `name` is below; what is mounted there is not seen."""
        vp = self.v_lower.lookup(name)
        return None if vp is None else self.v_mount.node(vp)

    def create(self, name: bytes, mode: int, cred: Cred, rdev: int = NODEV) -> Vnode:
        return self.v_mount.node(self.v_lower.create(name, mode, cred, rdev))

    def mkdir(self, name: bytes, mode: int, cred: Cred) -> Vnode:
        return self.v_mount.node(self.v_lower.mkdir(name, mode, cred))

    def symlink(self, name: bytes, mode: int, target: bytes, cred: Cred) -> Vnode:
        return self.v_mount.node(self.v_lower.symlink(name, mode, target, cred))

    def link(self, name: bytes, vp: Vnode, cred: Cred) -> None:
        self.v_lower.link(name, _below(vp), cred)

    def remove(self, name: bytes, vp: Vnode, cred: Cred) -> None:
        self.v_lower.remove(name, _below(vp), cred)

    def rmdir(self, name: bytes, vp: Vnode, cred: Cred) -> None:
        """Remove a directory. Errors: EBUSY: something is mounted there below; those of the one below."""
        self.v_lower.rmdir(name, _unmounted(vp), cred)

    def rename(
        self, name: bytes, vp: Vnode, tdvp: Vnode, tname: bytes, tvp: Vnode | None, cred: Cred
    ) -> None:
        """Move a name. Errors: EBUSY, as for `rmdir`; those of the directory below."""
        target = None if tvp is None else _unmounted(tvp)
        self.v_lower.rename(name, _unmounted(vp), _below(tdvp), tname, target, cred)


def _below(vp: Vnode) -> Vnode:
    """Return the vnode that one of the layer is on."""
    assert isinstance(vp, LayerVnode)
    return vp.v_lower


def _unmounted(vp: Vnode) -> Vnode:
    """Return the vnode below. Errors: EBUSY: something is mounted there."""
    lower = _below(vp)
    if lower.v_mountedhere is not None:
        raise VfsError(errno.EBUSY)
    return lower


def _bypass(name: str, check: bool) -> Callable[..., Any]:
    """Return the operation that calls that of the vnode below (layer_bypass).

    Args:
        check: whether a layer that is mounted read-only refuses it.
    """

    def vop(self: LayerVnode, *args: Any) -> Any:
        if check:
            self._check_writable()
        return getattr(self.v_lower, name)(*args)

    vop.__name__ = name
    vop.__doc__ = getattr(Vnode, name).__doc__
    return vop


for _name in _BYPASSED:
    setattr(LayerVnode, _name, _bypass(_name, check=False))
for _name in _CHANGING:
    setattr(LayerVnode, _name, _bypass(_name, check=True))
