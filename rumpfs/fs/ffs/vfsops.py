"""Mounting an FFS (NetBSD: ffs_vfsops.c)."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from rumpfs.abi import errno
from rumpfs.abi.fcntl import FREAD, FWRITE
from rumpfs.abi.limits import PATH_MAX
from rumpfs.abi.mount import (
    MNT_FORCE,
    MNT_RDONLY,
    UFS_ARGS,
    UFS_REPLAY_AUTO,
    UFS_REPLAY_IGNORE,
    UFS_REPLAY_REFUSE,
    UFS_VALUE,
    UFS_VALUES,
)
from rumpfs.base.copy import CopyInStr
from rumpfs.base.errors import DiskError, VfsError
from rumpfs.fs.ffs.ufsmount import FfsMount
from rumpfs.fs.ffs.writing import check_writable
from rumpfs.ondisk.ufs.ckhash import check_superblock_hash
from rumpfs.ondisk.ufs.superblock import Superblock, find_superblock
from rumpfs.vfs.mount import MountArgs, MountBody, Vfs, VfsOps
from rumpfs.vfs.namei import namei
from rumpfs.vfs.vnode import vref, vrele

if TYPE_CHECKING:
    from rumpfs.dev.window import Window

log = logging.getLogger("rumpfs.fs.ffs")


class FfsOps(VfsOps):
    """The file system type "ffs"."""

    name = b"ffs"
    args_size = UFS_ARGS.size

    def mount(self, vfs: Vfs, args: MountArgs) -> MountBody:
        """Mount the block device that ufs_args names (ffs_mount).

        Behind ufs_args a caller may say more (`UFS_VALUES`); a NetBSD kernel does not look there.

        Errors: EINVAL (arguments missing, no fspec); those of the lookup; ENOTBLK; ENXIO; EBUSY when the
        device is in use; those of `mount_window`.
        """
        (fspec,) = args.unpack(UFS_ARGS)
        if not fspec:
            raise VfsError(errno.EINVAL, "a mount needs a device")
        name = yield CopyInStr(fspec, PATH_MAX)
        devvp = namei(args.caller, name)
        device = vfs.devsw.open_disk(devvp, FREAD if args.flags & MNT_RDONLY else FREAD | FWRITE)
        vref(devvp)

        def close() -> None:
            vrele(devvp)
            device.close()

        try:
            mp = mount_window(vfs, device.window, devvp.rdev(), args.flags, self, **_values(args.data))
        except BaseException:
            close()
            raise
        mp.um_close = close
        try:
            yield from args.names(mp, fspec)
        except BaseException:
            mp.unmount(0)
            raise
        return mp


def mount_window(
    vfs: Vfs,
    window: Window,
    rdev: int,
    flags: int,
    op: VfsOps | None = None,
    sblock: int = 0,
    replay: int = UFS_REPLAY_AUTO,
) -> FfsMount:
    """Mount the FFS in a window (ffs_mountfs).

    Args:
        vfs: the kernel's mounts; the new one is not entered there.
        window: the device. Unmounting closes it; when this fails, the caller does.
        rdev: its device number.
        flags: MNT_ flags. MNT_FORCE does without a log that is damaged, takes a superblock whose check hash
            is wrong, and writes what was not unmounted cleanly.
        op: the file system type.
        sblock: the sector of 512 bytes of the superblock, a copy; 0 for the primary.
        replay: what becomes of a log that is not empty (UFS_REPLAY_).

    Errors:
        EINVAL: no superblock, or a damaged one; a log that is not to be replayed, and no MNT_RDONLY.
        EBUSY: there is a log, which is refused.
        EROFS: without MNT_RDONLY, and it cannot be written.
        EFTYPE: the log is damaged.
        EIO: the root directory is damaged; what the host says.
    """
    force = bool(flags & MNT_FORCE)
    fs = _superblock(window, sblock, force)
    if not flags & MNT_RDONLY:
        check_writable(fs, window, force)
    readonly = bool(flags & MNT_RDONLY)
    replayed = None
    if fs.has_wapbl and _replays(fs, replay, flags):
        from rumpfs.fs.ffs.wapbl.replay import replay_start  # most of what is read has no log

        replayed = replay_start(window, fs, force, readonly)
    if replayed is not None:
        if readonly:
            window = replayed.in_memory(window)
        else:
            replayed.to_disk(window)
        fs = _superblock(window, sblock, force)
        replayed.cstotal = fs.fs_cstotal
    mp = FfsMount(vfs, op or FfsOps(), window, fs, rdev, flags)
    mp.um_replayed = replayed
    try:
        mp.start()
        if not readonly:
            mp.start_writing(flags)
        elif replayed is not None:
            from rumpfs.fs.ffs.wapbl.replay import count_as_free

            count_as_free(mp, replayed.inodes)
    except BaseException:
        mp.release()
        raise
    return mp


def _superblock(window: Window, sblock: int, force: bool) -> Superblock:
    """Return the superblock. Errors: EINVAL; what the host says."""
    try:
        fs = find_superblock(window.pread, window.size, window.name, sblock)
    except DiskError as error:
        log.warning("%s", error)
        raise VfsError(errno.EINVAL, str(error)) from error
    try:
        check_superblock_hash(fs)
    except DiskError as error:
        if not force:
            log.warning("%s", error.advise("mount with -o force to take it all the same, or run fsck_ffs"))
            raise VfsError(errno.EINVAL, str(error)) from error
        fs.warnings.append(f"mounted although {error.why}")
    return fs


def _replays(fs: Superblock, replay: int, flags: int) -> bool:
    """Return whether a log that is not empty is to be replayed. Errors: EBUSY, EINVAL."""
    if replay == UFS_REPLAY_REFUSE:
        why = "the file system was not unmounted cleanly, and its log is not to be replayed"
        raise VfsError(errno.EBUSY, f"{fs.where}: {why}; replay=auto does it")
    if replay == UFS_REPLAY_IGNORE:
        if not flags & MNT_RDONLY:
            raise VfsError(errno.EINVAL, f"{fs.where}: without its log it can only be mounted read-only")
        why = "its log is ignored: what is seen is older, and may be a mixture of states"
        log.warning("%s: the file system was not unmounted cleanly; %s", fs.where, why)
    return replay != UFS_REPLAY_IGNORE


def _values(data: bytes | None) -> dict[str, int]:
    """Return what a caller put behind ufs_args, as far as it is known."""
    values: dict[str, int] = {}
    for start in range(UFS_ARGS.size, len(data or b"") - UFS_VALUE.size + 1, UFS_VALUE.size):
        magic, value = UFS_VALUE.unpack_from(data or b"", start)
        values.update({name: value for name, known in UFS_VALUES.items() if known == magic})
    return values
