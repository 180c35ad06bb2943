"""Mounting a layer (NetBSD: null_vfsops.c, genfs/layer_vfsops.c; mount_null(8))."""

from __future__ import annotations

from weakref import WeakValueDictionary

from rumpfs.abi import errno
from rumpfs.abi.limits import PATH_MAX
from rumpfs.abi.mount import LAYER_ARGS, MNT_BASIC_FLAGS, MNT_FORCE, MNT_IGNORE, MNT_LOCAL
from rumpfs.base.copy import CopyInStr
from rumpfs.base.errors import VfsError
from rumpfs.fs.nullfs.vnops import LayerVnode
from rumpfs.vfs.deadfs import DeadVnode
from rumpfs.vfs.mount import Mount, MountArgs, MountBody, StatVfs, UpdateBody, Vfs, VfsOps
from rumpfs.vfs.namei import namei
from rumpfs.vfs.quota import Quotas
from rumpfs.vfs.vnode import VDIR, Vnode, vref, vrele


class NullMount(Mount):
    """A mounted layer. It uses the directory below, whose file system is busy for as long.

    Args:
        op: its type.
        flags: MNT_ flags.
        lower: the directory that it shows.
    """

    mnt_lower: Mount

    def __init__(self, op: VfsOps, flags: int, lower: Vnode) -> None:
        super().__init__(op, flags | lower.v_mount.mnt_flag & MNT_LOCAL)
        self.mnt_lower = lower.v_mount
        self.mnt_lower.mnt_layers.append(self)
        self._lower = lower
        vref(lower)
        self._nodes: WeakValueDictionary[Vnode, LayerVnode] = WeakValueDictionary()
        self.mnt_root = self.node(lower)

    def node(self, lower: Vnode) -> LayerVnode:
        """Return the layer's vnode on `lower`, the same one for as long as anybody has it."""
        vp = self._nodes.get(lower)
        if vp is None:
            vp = self._nodes[lower] = LayerVnode(self, lower)
        return vp

    def statvfs(self) -> StatVfs:
        return self.mnt_lower.statvfs()

    def unmount(self, flags: int) -> None:
        """Use the directory below no longer."""
        self.mnt_lower.mnt_layers.remove(self)
        vrele(self._lower)

    def lower_gone(self) -> None:
        """What is below was unmounted by force: every file is on a dead one from now on."""
        for vp in list(self._nodes.values()):
            vp.v_lower = DeadVnode(vp.v_type)
        self._nodes.clear()

    def fhtovp(self, fid: bytes) -> Vnode:
        return self.node(self.mnt_lower.fhtovp(fid))

    def quotas(self) -> Quotas:
        return self.mnt_lower.quotas()

    def getargs(self, data: bytes | None) -> bytes:
        """Return struct layer_args, which does not tell the target. Errors: EINVAL: missing or short."""
        if data is None or len(data) < LAYER_ARGS.size:
            raise VfsError(errno.EINVAL, "mount arguments missing or short")
        return LAYER_ARGS.pack(0)

    def update(self, args: MountArgs) -> UpdateBody:
        """Fail. Errors: EINVAL (the arguments are missing or short), EOPNOTSUPP."""
        args.unpack(LAYER_ARGS)
        raise VfsError(errno.EOPNOTSUPP)
        yield


class NullOps(VfsOps):
    """The file system type "null"."""

    name = b"null"
    args_size = LAYER_ARGS.size

    def mount(self, vfs: Vfs, args: MountArgs) -> MountBody:
        """Show the directory that struct layer_args names once more.

        It may be any, even the mount point or one above it: what is mounted below is not seen in the layer,
        so there are no circles.

        Errors: EINVAL (arguments missing or short), EFAULT, those of namei; ENOTDIR, which NetBSD does not
        check.
        """
        (target,) = args.unpack(LAYER_ARGS)
        lower = namei(args.caller, (yield CopyInStr(target, PATH_MAX)))
        if lower.v_type != VDIR:
            raise VfsError(errno.ENOTDIR)
        mp = NullMount(self, args.flags & (MNT_BASIC_FLAGS | MNT_IGNORE), lower)
        try:
            vfs.getnewfsid(mp)
            yield from args.names(mp, target)
        except BaseException:
            mp.unmount(MNT_FORCE)
            raise
        return mp
