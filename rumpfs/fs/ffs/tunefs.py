"""Changing what a file system is tuned to, as tunefs(8) does it (NetBSD sbin/tunefs/tunefs.c)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from rumpfs.abi import errno
from rumpfs.base.errors import VfsError
from rumpfs.fs.ffs.newfs_layout import FS_OPTSPACE, FS_OPTTIME, MINFREE
from rumpfs.ondisk.ufs.ckhash import CK_SUPERBLOCK, set_hash
from rumpfs.ondisk.ufs.fs import (
    FS,
    FS_SIZE,
    SBLOCKSIZE,
    UFS_WAPBL_FLAGS_CLEAR_LOG,
    UFS_WAPBL_FLAGS_CREATE_LOG,
    UFS_WAPBL_JOURNALLOC_END_PARTITION,
    UFS_WAPBL_JOURNALLOC_IN_FILESYSTEM,
)
from rumpfs.ondisk.ufs.wapbl import log_flags, log_numbers, log_order

if TYPE_CHECKING:
    from rumpfs.dev.window import Window
    from rumpfs.ondisk.ufs.superblock import Superblock

OPTIMIZATION: Final = {FS_OPTTIME: "time", FS_OPTSPACE: "space"}
#: field -> what it is called, and its unit
SETTINGS: Final = {
    "fs_maxcontig": ("maximum contiguous block count", ""),
    "fs_maxbpg": ("maximum blocks per file in a cylinder group", ""),
    "fs_minfree": ("minimum percentage of free space", "%"),
    "fs_optim": ("optimization preference", ""),
    "fs_avgfilesize": ("average file size", ""),
    "fs_avgfpdir": ("expected number of files per directory", ""),
    "fs_volname": ("volume label", ""),
}
#: what the superblock of the old layout has no place for
_NEW_LAYOUT: Final = ("fs_avgfilesize", "fs_avgfpdir", "fs_volname")
_VOLNAME: Final = 32


@dataclass(frozen=True, slots=True)
class Log:
    """Where a file system has its log.

    Attributes:
        place: in words; empty when there is none.
        size: bytes; of a log that is to be made those that were asked for.
        flags: what is to be done at the next mount: create-log, clear-log.
    """

    place: str
    size: int
    flags: tuple[str, ...]


def log_of(fs: Superblock) -> Log:
    """Return where a file system has its log."""
    if fs.old_layout or fs.freebsd or not fs.fs_journal_location:
        return Log("", 0, ())
    places = {
        UFS_WAPBL_JOURNALLOC_END_PARTITION: "end of partition",
        UFS_WAPBL_JOURNALLOC_IN_FILESYSTEM: "in filesystem",
    }
    flags = log_flags(fs)
    _, count, blksize, _ = log_numbers(fs)
    creating = flags & UFS_WAPBL_FLAGS_CREATE_LOG
    words = [("create-log", creating), ("clear-log", flags & UFS_WAPBL_FLAGS_CLEAR_LOG)]
    size = count if creating and not blksize else count * blksize
    place = places.get(fs.fs_journal_location, "unknown")
    return Log(place, size, tuple(word for word, bit in words if bit))


def change_settings(fs: Superblock, wanted: dict[str, int | bytes]) -> list[str]:
    """Change settings in a superblock in memory.

    Args:
        fs: the superblock.
        wanted: field -> value.

    Returns:
        What has changed, in words, a line each.

    Raises:
        VfsError: EINVAL: the superblock has no place for it.
    """
    said = []
    for field, new in wanted.items():
        text, unit = SETTINGS[field]
        if fs.old_layout and field in _NEW_LAYOUT:
            raise VfsError(errno.EINVAL, f"a superblock of the old layout has no {text}")
        old = getattr(fs, field)
        if old == new:
            how = "as" if field == "fs_optim" else "at"
            said.append(f"{text} remains unchanged {how} {_shown(field, old)}{unit}")
            continue
        said.append(f"{text} changes from {_shown(field, old)}{unit} to {_shown(field, new)}{unit}")
        setattr(fs, field, new)
        value = new.ljust(_VOLNAME, b"\0") if isinstance(new, bytes) else new
        fs.record = fs.record._replace(**{field: value})
    return said + _advice(fs, wanted)


def _shown(field: str, value: Any) -> str:
    if field == "fs_optim":
        return OPTIMIZATION.get(value, str(value))
    return value.decode("utf-8", "backslashreplace") or '""' if isinstance(value, bytes) else str(value)


def _advice(fs: Superblock, wanted: dict[str, int | bytes]) -> list[str]:
    """Return what tunefs says when minfree and the optimization do not fit each other."""
    if not {"fs_minfree", "fs_optim"} & set(wanted):
        return []
    if fs.fs_minfree >= MINFREE and fs.fs_optim == FS_OPTSPACE:
        return [f"should optimize for time with minfree >= {MINFREE}%"]
    if fs.fs_minfree < MINFREE and fs.fs_optim == FS_OPTTIME:
        return [f"should optimize for space with minfree < {MINFREE}%"]
    return []


def change_log(fs: Superblock, size: int) -> str:
    """Note in a superblock in memory that the next mount is to make a log, or to remove it.

    Args:
        fs: the superblock.
        size: bytes of the log; 0 to remove it.

    Returns:
        What has changed, in words.

    Raises:
        VfsError: EINVAL: the file system cannot have one, or has one of another size.
    """
    if fs.old_layout or fs.freebsd:
        whose = "FreeBSD's" if fs.freebsd else "of the old layout"
        raise VfsError(errno.EINVAL, f"its superblock is {whose}, and has no place for a log")
    log = log_of(fs)
    flags = log_flags(fs) & ~(UFS_WAPBL_FLAGS_CLEAR_LOG | UFS_WAPBL_FLAGS_CREATE_LOG)
    if not size:
        _set_log(fs, flags | UFS_WAPBL_FLAGS_CLEAR_LOG)
        return f"log file size cleared from {log.size}"
    if log.size == size:
        return f"log file size remains unchanged at {size}"
    if log.size and "create-log" not in log.flags:
        hint = "remove it with -l 0, and mount the file system before it gets another one"
        raise VfsError(errno.EINVAL, f"there is a log of {log.size} bytes, {log.place}; {hint}")
    _set_log(fs, flags | UFS_WAPBL_FLAGS_CREATE_LOG, (0, size, 0, 0))
    return f"log file size set to {size}"


def _set_log(fs: Superblock, flags: int, numbers: tuple[int, int, int, int] | None = None) -> None:
    """Change the fields of the log, in the byte order that they have."""
    if numbers is None and log_order(fs) != fs.order:
        flags = int.from_bytes(flags.to_bytes(4, "little"), "big")
    changed: dict[str, Any] = {"fs_journal_flags": flags}
    if numbers is not None:
        changed |= {
            "fs_journal_location": UFS_WAPBL_JOURNALLOC_IN_FILESYSTEM, "fs_journallocs": numbers,
        }  # fmt: skip
    for field, value in changed.items():
        setattr(fs, field, value)
    fs.record = fs.record._replace(**changed)


def write_superblock(fs: Superblock, window: Window, changed: dict[str, Any], copies: bool) -> int:
    """Write a superblock that was changed, last of all and after its copies.

    Args:
        fs: the superblock.
        window: the device, writable.
        changed: fields of the record that the copies get; all else in them stays, if they are copies.
        copies: write these, too (tunefs -A).

    Returns:
        How many copies were written.

    Raises:
        VfsError: what the host says.
    """
    count = 0
    for cgx in range(fs.fs_ncg) if copies else ():
        offset = fs.cgsblock(cgx) * fs.fs_fsize
        if offset != fs.offset:
            window.pwrite(_copy(fs, window.pread(SBLOCKSIZE, offset), changed), offset)
            count += 1
    window.fsync()
    window.pwrite(fs.encode(), fs.offset)
    window.fsync()
    return count


def _copy(fs: Superblock, data: bytes, changed: dict[str, Any]) -> bytes:
    """Return a copy of the superblock with changed fields; the primary in place of what is no copy."""
    row = FS.codec(fs.order).unpack(data) if len(data) >= FS_SIZE else None
    if row is None or (row.fs_magic, row.fs_fpg, row.fs_bsize) != (fs.fs_magic, fs.fs_fpg, fs.fs_bsize):
        return fs.encode()
    copy = bytearray(data[: fs.fs_sbsize])
    copy[:FS_SIZE] = FS.codec(fs.order).pack(row._replace(**changed))
    set_hash(fs, CK_SUPERBLOCK, copy, FS, "fs_ckhash")
    return bytes(copy)
