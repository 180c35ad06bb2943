"""What an FFS is, in a few facts: format, size, state, use."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rumpfs.base.errors import DiskError, VfsError
from rumpfs.ondisk.layout import ORDER_NAMES
from rumpfs.ondisk.ufs.fs import FS_DOSOFTDEP, FS_GJOURNAL, FS_ISCLEAN, FS_NEEDSFSCK, FS_SUJ, ROOTINO
from rumpfs.ondisk.ufs.superblock import Superblock, find_superblock
from rumpfs.ondisk.ufs.wapbl import Wapbl, find_log

Read = Callable[[int, int], bytes]


@dataclass(frozen=True, slots=True)
class Summary:
    """A file system.

    Attributes:
        format: FFSv1 or FFSv2; with what there is beside.
        byte_order: little-endian or big-endian.
        superblock: byte at which its superblock is.
        size: bytes that it has.
        block_size, fragment_size, groups: of its layout.
        used, free: bytes; what is kept for root is free.
        files, files_free: inodes.
        state: clean, dirty, or what is to be done with its log.
        log: the log, in words; None when it has none.
        label: its volume name; empty when it has none.
        last_mounted_on: where.
        last_written: seconds since 1970.
        warnings: what is odd.
    """

    format: str
    byte_order: str
    superblock: int
    size: int
    block_size: int
    fragment_size: int
    groups: int
    used: int
    free: int
    files: int
    files_free: int
    state: str
    log: str | None
    label: bytes
    last_mounted_on: bytes
    last_written: int
    warnings: tuple[str, ...]


def summary(read: Read, size: int, where: str) -> Summary | None:
    """Return what file system there is; None when there is no FFS.

    Args:
        read: reads bytes of the partition.
        size: bytes of the partition.
        where: names it in messages.

    Raises:
        VfsError: what the host says.
    """
    try:
        fs = find_superblock(read, size, where)
    except DiskError:
        return None
    log, live = _log(fs, read, size, where)
    cs = fs.fs_cstotal
    files = fs.maxino - ROOTINO
    return Summary(
        format=_format(fs),
        byte_order=ORDER_NAMES[fs.order],
        superblock=fs.offset,
        size=fs.fs_size * fs.fs_fsize,
        block_size=fs.fs_bsize,
        fragment_size=fs.fs_fsize,
        groups=fs.fs_ncg,
        used=max(0, fs.fs_dsize - fs.free_frags) * fs.fs_fsize,
        free=fs.free_frags * fs.fs_fsize,
        files=files - cs.cs_nifree,
        files_free=cs.cs_nifree,
        state=_state(fs, live),
        log=log,
        label=fs.fs_volname,
        last_mounted_on=fs.fs_fsmnt,
        last_written=fs.fs_time,
        warnings=tuple(fs.warnings),
    )


def _format(fs: Superblock) -> str:
    extras = (
        (fs.old_layout, "old layout"),
        (fs.apple_ufs, "Apple UFS"),
        (fs.freebsd, "FreeBSD"),
        (not fs.freebsd and fs.keeps_extattrs, "extended attributes"),
        (fs.has_quota2, "quotas"),
        (fs.fs_flags & FS_DOSOFTDEP, "soft updates"),
        (fs.fs_flags & FS_SUJ, "journaled soft updates"),
        (fs.fs_flags & FS_GJOURNAL, "gjournal"),
    )
    words = [text for is_so, text in extras if is_so]
    return f"FFSv{2 if fs.ufs2 else 1}" + (f" ({', '.join(words)})" if words else "")


def _log(fs: Superblock, read: Read, size: int, where: str) -> tuple[str | None, bool]:
    """Return what there is to say of the log, and whether it holds what is not in place."""
    if not fs.has_wapbl:
        return None, False
    try:
        position = find_log(fs, size)
        log = Wapbl(read, size, position, where)
        live = log.live
    except (DiskError, VfsError) as error:
        return f"damaged: {error}", True
    return f"WAPBL of {position.size} bytes at byte {position.start}, {live} bytes to replay", bool(live)


def _state(fs: Superblock, live: bool) -> str:
    if fs.has_wapbl:
        return "its log is to be replayed" if live else "clean"
    if fs.fs_flags & FS_NEEDSFSCK:
        return "to be checked by fsck"
    return "clean" if fs.fs_clean & FS_ISCLEAN else "not unmounted cleanly"
