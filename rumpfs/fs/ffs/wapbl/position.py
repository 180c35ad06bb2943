"""Where the log of a file system lies: it is found, made, or removed (NetBSD: ffs_wapbl.c, ufs_wapbl.h).

A log is made behind the file system when the partition has room there, else of blocks of the file system that
follow each other: those of a file without a name, which has the flag SF_LOG.
"""

from __future__ import annotations

import logging
from array import array
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final, NamedTuple

from rumpfs.abi import errno
from rumpfs.abi.stat import S_IFREG
from rumpfs.base.errors import Corrupt, DiskError, VfsError
from rumpfs.fs.ffs.inode import Inode
from rumpfs.ondisk.ufs.dinode import SF_LOG
from rumpfs.ondisk.ufs.fs import (
    NDADDR,
    UFS_WAPBL_FLAGS_CLEAR_LOG,
    UFS_WAPBL_FLAGS_CREATE_LOG,
    UFS_WAPBL_JOURNALLOC_END_PARTITION,
    UFS_WAPBL_JOURNALLOC_IN_FILESYSTEM,
    UFS_WAPBL_VERSION,
)
from rumpfs.ondisk.ufs.wapbl import (
    DEV_BSIZE,
    LogPosition,
    desired_size,
    enter_log,
    find_log,
    log_flags,
    log_numbers,
    log_order,
    swapped,
)
from rumpfs.vfs.cred import ROOT

if TYPE_CHECKING:
    from rumpfs.fs.ffs.ufsmount import FfsMount
    from rumpfs.ondisk.layout import Order
    from rumpfs.ondisk.ufs.superblock import Superblock

log = logging.getLogger("rumpfs.fs.ffs")

_LOCATIONS: Final = (UFS_WAPBL_JOURNALLOC_END_PARTITION, UFS_WAPBL_JOURNALLOC_IN_FILESYSTEM)

#: A log that is smaller is not used (MAXPHYS, as wapbl_start has it).
_SMALLEST: Final = 65536

#: di_blocks counts units of this many bytes.
_UNIT_SHIFT: Final = 9


def check_log(fs: Superblock) -> None:
    """Check that a file system may have a log. Errors: EINVAL."""
    why = ""
    if fs.old_layout:
        why = "its superblock has the old layout, without place for a log"
    elif fs.freebsd:
        why = "FreeBSD keeps other things where NetBSD notes the log"
    if why:
        log.warning("%s: it cannot be mounted with a log: %s", fs.where, why)
        raise VfsError(errno.EINVAL, f"{fs.where}: {why}")


def is_to_go(fs: Superblock) -> bool:
    """True when the log is to be removed, because tunefs -l 0 or fsck_ffs said so."""
    return not fs.old_layout and not fs.freebsd and bool(log_flags(fs) & UFS_WAPBL_FLAGS_CLEAR_LOG)


def has_place(fs: Superblock) -> bool:
    """True when the superblock says where the log is, whether it is in use or not."""
    return fs.fs_journal_version == UFS_WAPBL_VERSION


def open_position(mp: FfsMount) -> tuple[LogPosition, Order]:
    """Return where the log is that the superblock names, and the byte order that its records are to have.

    Errors: EINVAL: there is no such place; ENOSPC: it is too small.
    """
    fs = mp.um_fs
    try:
        if fs.fs_journal_location not in _LOCATIONS:
            raise Corrupt(fs.where, "fs_journal_location", fs.fs_journal_location, "is no place of a log")
        position = find_log(fs, mp.um_window.size)
    except DiskError as error:
        log.warning("%s", error)
        raise VfsError(errno.EINVAL, str(error)) from error
    why = ""
    if position.blksize > fs.fs_fsize:
        why = f"its blocks have {position.blksize} bytes, a fragment {fs.fs_fsize}"
    elif position.size < max(_SMALLEST, 2 * (4 * fs.fs_cgsize + fs.fs_cssize + fs.fs_sbsize)):
        why = f"its {position.size} bytes are too few for a transaction"
    if why:
        log.warning("%s: the log cannot be used: %s", fs.where, why)
        raise VfsError(errno.ENOSPC, f"{fs.where}: {why}")
    return position, log_order(fs)


def remove_log(mp: FfsMount) -> None:
    """Free a log that is to be removed, and forget where it was (wapbl_remove_log). Errors: EIO.

    The mount is written without a log meanwhile.
    """
    fs = mp.um_fs
    if fs.fs_journal_location == UFS_WAPBL_JOURNALLOC_IN_FILESYSTEM:
        ino = log_numbers(fs)[3]
        try:
            vp = mp.vget(ino) if 0 < ino < fs.maxino else None
        except VfsError:
            vp = None  # said already; it is for fsck_ffs then
        if vp is not None and vp.dinode.di_flags & SF_LOG:
            vp.discard()
        elif vp is not None:
            log.warning("%s: inode %d is no log, and is not removed as one", fs.where, ino)
    enter_log(fs, 0, (0, 0, 0, 0))
    mp.sync()


def make_log(mp: FfsMount) -> None:
    """Make a place for a log, and enter it in the superblock (wapbl_log_position).

    The mount is written without a log meanwhile.

    Errors: ENOSPC: there is no room; EIO.
    """
    fs = mp.um_fs
    end = fs.fs_size << fs.fs_fshift
    room = mp.um_window.size - end
    size = desired_size(end)
    if room >= size:
        locs = (end // DEV_BSIZE, room // DEV_BSIZE, DEV_BSIZE, 0)
        enter_log(fs, UFS_WAPBL_JOURNALLOC_END_PARTITION, locs)
    else:
        wanted = 0
        if log_flags(fs) & UFS_WAPBL_FLAGS_CREATE_LOG:
            wanted = fs.fs_journallocs[1]
            wanted = min(wanted, swapped(wanted))
        ip, frag = _make_file(mp, wanted)
        locs = ((frag << fs.fs_fshift) // DEV_BSIZE, ip.i_size // DEV_BSIZE, DEV_BSIZE, ip.i_number)
        enter_log(fs, UFS_WAPBL_JOURNALLOC_IN_FILESYSTEM, locs)
    mp.sync()


# --- a log in the file system -----------------------------------------------------------------------------


class _Extent(NamedTuple):
    """Blocks for a log: `indirect` blocks of pointers from `frag` on, and `blocks` of the log behind them."""

    frag: int
    indirect: int
    blocks: int


def _make_file(mp: FfsMount, wanted: int) -> tuple[Inode, int]:
    """Make the file of a log; return its inode, and the frag where its content starts.

    Args:
        wanted: bytes that were asked for; 0 for what suits the file system.

    Errors: ENOSPC, EIO.
    """
    fs = mp.um_fs
    extent = _find(mp, wanted)
    assert mp.um_alloc is not None
    total = extent.indirect + extent.blocks
    frag, count = mp.um_alloc.blocks(extent.frag // fs.fs_fpg, extent.frag, total, ROOT)
    if (frag, count) != (extent.frag, total):
        mp.um_alloc.untake(frag, count << fs.fs_fragshift)
        raise VfsError(errno.ENOSPC, f"{fs.where}: there is no room for a log")
    root = mp.mnt_root
    assert isinstance(root, Inode)
    try:
        ip = mp.make_inode(root, S_IFREG, ROOT)
    except VfsError:
        mp.um_alloc.untake(frag, count << fs.fs_fragshift)
        raise
    first = extent.frag + (extent.indirect << fs.fs_fragshift)
    blocks = [first + (number << fs.fs_fragshift) for number in range(extent.blocks)]
    tables = iter(range(extent.frag, first, fs.fs_frag))
    db = (*blocks[:NDADDR], *(0,) * (NDADDR - len(blocks)))
    ib = [0, 0, 0]
    rest = blocks[NDADDR:]
    if rest:
        ib[0] = _table(mp, tables, rest[: fs.fs_nindir])
        rest = rest[fs.fs_nindir :]
    if rest:
        double = next(tables)
        parts = (rest[start : start + fs.fs_nindir] for start in range(0, len(rest), fs.fs_nindir))
        ib[1] = _table(mp, iter((double,)), [_table(mp, tables, part) for part in parts])
    ip.change(
        di_flags=SF_LOG, di_size=extent.blocks << fs.fs_bshift, di_db=db, di_ib=tuple(ib),
        di_blocks=total << fs.fs_bshift - _UNIT_SHIFT,
    )  # fmt: skip
    ip.remap(ip.dinode.di_size)
    ip.update()
    return ip, first


def _table(mp: FfsMount, places: Iterator[int], pointers: list[int]) -> int:
    """Write an indirect block to the next of some places, and return its frag."""
    frag = next(places)
    table = mp.um_bmap.hold(frag)
    table[: len(pointers)] = array(table.typecode, pointers)
    mp.um_bmap.write(frag)
    return frag


def _find(mp: FfsMount, wanted: int) -> _Extent:
    """Find free blocks that follow each other (wapbl_find_log_start).

    The groups are tried from the middle of the file system outwards, until one has room for all; when nobody
    asked for a size, the longest run will do if it has a quarter of what is desired.

    Errors: ENOSPC.
    """
    fs, alloc = mp.um_fs, mp.um_alloc
    assert alloc is not None
    size = wanted or desired_size(fs.fs_dsize << fs.fs_fshift)
    desired = size >> fs.fs_bshift
    desired += _indirect_blocks(fs, desired)
    least = desired if wanted else max(1, desired // 4)
    best, found = 0, 0
    for cg in _outwards(fs.fs_ncg):
        frag, count = alloc.longest_run(cg, desired)
        if count > found:
            best, found = frag, count
        if found >= desired:
            break
    if found < least:
        log.warning(
            "%s: no log was made: %d bytes are wanted, and only %d that are free follow each other",
            fs.where, size, found << fs.fs_bshift,
        )  # fmt: skip
        raise VfsError(errno.ENOSPC, f"{fs.where}: there is no room for a log")
    total = min(desired, found)
    indirect = _indirect_blocks(fs, total)
    return _Extent(best, indirect, total - indirect)


def _indirect_blocks(fs: Superblock, blocks: int) -> int:
    """Return how many indirect blocks a file has that has so many blocks, at least."""
    beyond = blocks - NDADDR
    if beyond <= 0:
        return 0
    if beyond <= fs.fs_nindir:
        return 1
    return 2 + -(-(beyond - fs.fs_nindir) // fs.fs_nindir)


def _outwards(ncg: int) -> Iterator[int]:
    """Yield the groups from the middle one on, on both sides of it in turn."""
    middle = ncg // 2
    yield middle
    for step in range(1, ncg):
        for cg in (middle - step, middle + step):
            if 0 <= cg < ncg:
                yield cg
