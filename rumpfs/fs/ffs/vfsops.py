"""Mounting an FFS (NetBSD: ffs_vfsops.c)."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from rumpfs.abi import errno
from rumpfs.abi.fcntl import FREAD
from rumpfs.abi.limits import PATH_MAX
from rumpfs.abi.mount import MNT_RDONLY, UFS_ARGS
from rumpfs.base.copy import CopyInStr
from rumpfs.base.errors import DiskError, VfsError
from rumpfs.fs.ffs.ufsmount import FfsMount
from rumpfs.ondisk.ufs.superblock import find_superblock
from rumpfs.vfs.mount import MountArgs, MountBody, Vfs, VfsOps
from rumpfs.vfs.namei import namei
from rumpfs.vfs.vnode import VBLK, Vnode, vref, vrele

if TYPE_CHECKING:
    from rumpfs.dev.window import Window
    from rumpfs.vfs.specfs import Disk

log = logging.getLogger("rumpfs.fs.ffs")


class FfsOps(VfsOps):
    """The file system type "ffs"."""

    name = b"ffs"
    args_size = UFS_ARGS.size

    def __init__(self) -> None:
        self._mounted: set[int] = set()

    def mount(self, vfs: Vfs, args: MountArgs) -> MountBody:
        """Mount the block device that ufs_args names (ffs_mount).

        Errors: EINVAL (arguments missing, no fspec); those of the lookup; ENOTBLK; ENXIO; EBUSY when the
        device is mounted; EINVAL (no superblock, or a wrong one); EROFS without MNT_RDONLY; EIO.
        """
        (fspec,) = args.unpack(UFS_ARGS)
        if not fspec:
            raise VfsError(errno.EINVAL, "a mount needs a device")
        name = yield CopyInStr(fspec, PATH_MAX)
        devvp = namei(args.caller, name)
        device = self._open(vfs, devvp)
        rdev = devvp.rdev()
        self._mounted.add(rdev)
        vref(devvp)

        def close() -> None:
            self._mounted.discard(rdev)
            vrele(devvp)
            device.close()

        try:
            mp = mount_window(vfs, device.window, rdev, args.flags, self)
        except VfsError:
            close()
            raise
        mp.um_close = close
        try:
            yield from args.names(mp, fspec)
        except BaseException:
            mp.unmount(0)
            raise
        return mp

    def _open(self, vfs: Vfs, devvp: Vnode) -> Disk:
        """Open the device, which is used by one mount at a time (spec_open)."""
        if devvp.v_type == VBLK and devvp.rdev() in self._mounted:
            raise VfsError(errno.EBUSY, "the device is mounted")
        return vfs.devsw.open_disk(devvp, FREAD)


def mount_window(vfs: Vfs, window: Window, rdev: int, flags: int, op: VfsOps | None = None) -> FfsMount:
    """Mount the FFS in a window (ffs_mountfs).

    Args:
        vfs: the kernel's mounts; the new one is not entered there.
        window: the device. Unmounting closes it; when this fails, the caller does.
        rdev: its device number.
        flags: MNT_ flags; MNT_RDONLY is needed.
        op: the file system type.

    Errors:
        EINVAL: no superblock, or a damaged one.
        EROFS: without MNT_RDONLY.
        EIO: the root directory is damaged; what the host says.
    """
    try:
        fs = find_superblock(window.pread, window.size, window.name)
    except DiskError as error:
        log.warning("%s", error)
        raise VfsError(errno.EINVAL, str(error)) from error
    if not flags & MNT_RDONLY:
        raise VfsError(errno.EROFS, f"{window.name}: an FFS is mounted read-only")
    mp = FfsMount(vfs, op or FfsOps(), window, fs, rdev, flags)
    try:
        mp.start()
    except VfsError:
        mp.release()
        raise
    return mp
