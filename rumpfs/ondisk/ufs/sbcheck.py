"""The checks that make a superblock safe to use.

The rules are those of NetBSD's kernel (sys/ufs/ffs/ffs_vfsops.c, `ffs_superblock_validate`) and the
relations between fields that newfs guarantees, so that no later code has to fear a division by zero, a
negative address or a table larger than the device.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from rumpfs.base.errors import Corrupt
from rumpfs.ondisk.ufs.fs import FS_SIZE, MAXSYMLINKLEN_UFS1, MAXSYMLINKLEN_UFS2, SBLOCKSIZE

if TYPE_CHECKING:
    from rumpfs.ondisk.ufs.superblock import Superblock

MINBSIZE = 4096
MAXBSIZE = 65536
MAXFRAG = 8
#: sizeof(struct cg) and the least fragment size, a sector.
_CG_SIZE = 176
_MINFSIZE = 512

#: A check: field, predicate, rule. A later check may rely on the earlier ones.
_Check = tuple[str, Callable[["Superblock"], bool], str]


def _power_of_two(value: int) -> bool:
    return value > 0 and value & (value - 1) == 0


def _log2(value: int) -> int:
    return value.bit_length() - 1


def _address_size(fs: Superblock) -> int:
    return 8 if fs.ufs2 else 4


def _max_skew(fs: Superblock) -> int:
    """Return the largest cgstart - cgbase of any group, in frags."""
    if fs.ufs2:
        return 0
    return fs.fs_old_cgoffset * min(fs.fs_ncg - 1, ~fs.fs_old_cgmask & 0xFFFFFFFF)


_CHECKS: tuple[_Check, ...] = (
    ("fs_sbsize", lambda fs: FS_SIZE <= fs.fs_sbsize <= SBLOCKSIZE, f"must be {FS_SIZE}..{SBLOCKSIZE}"),
    (
        "fs_bsize",
        lambda fs: _power_of_two(fs.fs_bsize) and MINBSIZE <= fs.fs_bsize <= MAXBSIZE,
        f"must be a power of two in {MINBSIZE}..{MAXBSIZE}",
    ),
    (
        "fs_fsize",
        lambda fs: _power_of_two(fs.fs_fsize) and _MINFSIZE <= fs.fs_fsize <= fs.fs_bsize,
        f"must be a power of two from {_MINFSIZE} to fs_bsize",
    ),
    (
        "fs_frag",
        lambda fs: fs.fs_frag == fs.fs_bsize // fs.fs_fsize <= MAXFRAG,
        "must be fs_bsize / fs_fsize and at most 8",
    ),
    ("fs_bshift", lambda fs: fs.fs_bshift == _log2(fs.fs_bsize), "must be log2 of fs_bsize"),
    ("fs_fshift", lambda fs: fs.fs_fshift == _log2(fs.fs_fsize), "must be log2 of fs_fsize"),
    ("fs_fragshift", lambda fs: fs.fs_fragshift == _log2(fs.fs_frag), "must be log2 of fs_frag"),
    ("fs_bmask", lambda fs: fs.fs_bmask == -fs.fs_bsize, "must be ~(fs_bsize - 1)"),
    ("fs_fmask", lambda fs: fs.fs_fmask == -fs.fs_fsize, "must be ~(fs_fsize - 1)"),
    ("fs_inopb", lambda fs: fs.fs_inopb == fs.fs_bsize // fs.dinode_size, "must be inodes per block"),
    ("fs_nindir", lambda fs: fs.fs_nindir == fs.fs_bsize // _address_size(fs), "must be pointers per block"),
    ("fs_size", lambda fs: fs.fs_size > 0, "must be positive"),
    ("fs_ncg", lambda fs: fs.fs_ncg > 0, "must be positive"),
    ("fs_maxbpg", lambda fs: fs.fs_maxbpg > 0, "must be positive"),
    (
        "fs_fpg",
        lambda fs: fs.fs_fpg > 0 and fs.fs_fpg % fs.fs_frag == 0,
        "must be a positive multiple of fs_frag",
    ),
    (
        "fs_ipg",
        lambda fs: fs.fs_ipg > 0 and fs.fs_ipg % fs.fs_inopb == 0,
        "must be a positive multiple of fs_inopb",
    ),
    ("fs_ipg", lambda fs: fs.fs_ipg * fs.fs_ncg < 1 << 32, "times fs_ncg must be below 2^32"),
    (
        "fs_cgsize",
        lambda fs: _CG_SIZE <= fs.fs_cgsize <= fs.fs_bsize,
        f"must be {_CG_SIZE}..fs_bsize",
    ),
    (
        "fs_sblkno",
        lambda fs: 0 < fs.fs_sblkno < fs.fs_cblkno < fs.fs_iblkno < fs.fs_dblkno <= fs.fs_fpg,
        "fs_sblkno < fs_cblkno < fs_iblkno < fs_dblkno <= fs_fpg must hold",
    ),
    (
        "fs_dblkno",
        lambda fs: (fs.fs_dblkno - fs.fs_iblkno) * fs.fs_fsize >= fs.fs_ipg * fs.dinode_size,
        "the inode table of fs_ipg inodes must fit before it",
    ),
    (
        "fs_old_cgoffset",
        lambda fs: fs.fs_old_cgoffset >= 0 and fs.fs_dblkno + _max_skew(fs) <= fs.fs_fpg,
        "must keep each group's metadata inside the group",
    ),
    (
        "fs_ncg",
        lambda fs: (fs.fs_ncg - 1) * fs.fs_fpg < fs.fs_size <= fs.fs_ncg * fs.fs_fpg,
        "groups of fs_fpg frags must cover fs_size exactly",
    ),
    ("fs_cssize", lambda fs: fs.fs_cssize >= fs.fs_ncg * 16, "must hold 16 bytes for each group"),
    ("fs_csaddr", lambda fs: 0 < fs.fs_csaddr < fs.fs_size, "must lie in the file system"),
    (
        "fs_maxsymlinklen",
        lambda fs: fs.fs_maxsymlinklen <= (MAXSYMLINKLEN_UFS2 if fs.ufs2 else MAXSYMLINKLEN_UFS1),
        "must not exceed the room of the block pointers",
    ),
)


def check_superblock(fs: Superblock, size: int) -> None:
    """Check a superblock's fields against each other and against the device.

    Adds to `fs.warnings` what is odd but harmless when reading.

    Args:
        fs: the superblock.
        size: bytes of the device.

    Raises:
        Corrupt: the first check that fails.
    """
    where = f"{fs.where}: superblock at byte {fs.offset}"
    for name, passes, rule in _CHECKS:
        if not passes(fs):
            raise Corrupt(where, name, getattr(fs, name), rule)
    if fs.fs_csaddr * fs.fs_fsize + fs.fs_cssize > size:
        raise Corrupt(where, "fs_csaddr", fs.fs_csaddr, f"the summary must lie in the device of {size} bytes")
    fs.warnings.extend(_oddities(fs, size))


def _oddities(fs: Superblock, size: int) -> Iterable[str]:
    """Yield sentences on what does not prevent reading."""
    if fs.bytes_needed > size:
        yield f"fs_size says {fs.bytes_needed} bytes, the device has {size}: it may have been truncated"
    if not 0 <= fs.fs_minfree <= 99:
        yield f"fs_minfree is {fs.fs_minfree}, not a percentage"
