"""The superblock of a file system that is checked, its copies, and the log (fsck_ffs setup.c, wapbl.c)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from rumpfs.base.errors import Corrupt
from rumpfs.fs.ffs.fsck.hashes import wrong_hash
from rumpfs.fs.ffs.fsck.rebuild import offsets
from rumpfs.ondisk.ufs.cg import CG
from rumpfs.ondisk.ufs.ckhash import CK_SUPERBLOCK, set_hash
from rumpfs.ondisk.ufs.fs import (
    FS,
    FS_42POSTBLFMT,
    FS_44INODEFMT,
    FS_ACLS,
    FS_DOQUOTA2,
    FS_DOSOFTDEP,
    FS_DOWAPBL,
    FS_GJOURNAL,
    FS_MULTILABEL,
    FS_NEEDSFSCK,
    FS_SUJ,
    FS_TRIM,
    FS_UNCLEAN,
    MAXSYMLINKLEN_UFS1,
    MAXSYMLINKLEN_UFS2,
    NDADDR,
    NIADDR,
    UFS_WAPBL_FLAGS_CLEAR_LOG,
)
from rumpfs.ondisk.ufs.superblock import Superblock, find_superblock
from rumpfs.ondisk.ufs.wapbl import Replay, Wapbl, find_log

if TYPE_CHECKING:
    from rumpfs.fs.ffs.fsck.checker import Check
    from rumpfs.fs.ffs.fsck.disk import Disk

#: fs_flags of any BSD; what is left is nobody's. 0x800: NFSv4 ACLs of NetBSD 10.
_KNOWN_FLAGS: Final = (
    FS_UNCLEAN | FS_DOSOFTDEP | FS_NEEDSFSCK | FS_SUJ | FS_ACLS | FS_MULTILABEL | FS_GJOURNAL
    | FS_DOWAPBL | FS_DOQUOTA2 | FS_TRIM | 0x800 | 0x80
)  # fmt: skip
_FS_OPTTIME: Final = 0
_FS_OPTSPACE: Final = 1


#: Fields in which every copy agrees with the primary (cmpsblks).
_GEOMETRY: Final = (
    "fs_sblkno", "fs_cblkno", "fs_iblkno", "fs_dblkno", "fs_ncg", "fs_bsize", "fs_fsize", "fs_frag",
    "fs_bmask", "fs_fmask", "fs_bshift", "fs_fshift", "fs_fragshift", "fs_fsbtodb", "fs_sbsize", "fs_nindir",
    "fs_inopb", "fs_cssize", "fs_ipg", "fs_fpg", "fs_magic",
)  # fmt: skip


def _maxfilesize(fs: Superblock) -> int:
    """Return fs_maxfilesize as newfs counts it."""
    blocks: int = NDADDR + sum(fs.fs_nindir**level for level in range(1, NIADDR + 1))
    return fs.fs_bsize * blocks - 1


@dataclass(frozen=True, slots=True)
class _Rule:
    """A field that fsck_ffs repairs.

    Attributes:
        kind: of the finding.
        field: its name.
        applies: when it has to hold.
        sound: whether it does.
        value: what it is set to.
    """

    kind: str
    field: str
    applies: Callable[[Superblock], bool]
    sound: Callable[[Superblock, Any], bool]
    value: Callable[[Superblock], Any]


def _always(fs: Superblock) -> bool:
    return True


def _rotates(fs: Superblock) -> bool:
    """True when there are sectors on a track, without which nothing that counts them can be right."""
    return not fs.ufs2 and fs.fs_old_postblformat != FS_42POSTBLFMT and fs.record.fs_old_nsect > 0


def _modern(fs: Superblock) -> bool:
    return fs.ufs2 or fs.fs_old_inodefmt >= FS_44INODEFMT


def _equals(value: Callable[[Superblock], Any]) -> Callable[[Superblock, Any], bool]:
    return lambda fs, got: bool(got == value(fs))


def _symlinklen(fs: Superblock) -> int:
    return MAXSYMLINKLEN_UFS2 if fs.ufs2 else MAXSYMLINKLEN_UFS1


_RULES: Final = (
    _Rule(
        "undefined-optimization", "fs_optim", _always,
        lambda fs, got: got in (_FS_OPTTIME, _FS_OPTSPACE), lambda fs: _FS_OPTTIME,
    ),
    _Rule("impossible-minfree", "fs_minfree", _always, lambda fs, got: 0 <= got <= 99, lambda fs: 10),
    _Rule(
        "impossible-interleave", "fs_old_interleave", _rotates,
        lambda fs, got: 1 <= got <= fs.record.fs_old_nsect, lambda fs: 1,
    ),
    _Rule(
        "impossible-npsect", "fs_old_npsect", _rotates,
        lambda fs, got: fs.record.fs_old_nsect <= got <= 2 * fs.record.fs_old_nsect,
        lambda fs: fs.record.fs_old_nsect,
    ),
    _Rule("incorrect-maxfilesize", "fs_maxfilesize", _modern, _equals(_maxfilesize), _maxfilesize),
    _Rule("incorrect-maxsymlinklen", "fs_maxsymlinklen", _modern, _equals(_symlinklen), _symlinklen),
    _Rule(
        "incorrect-qbmask", "fs_qbmask", _modern,
        lambda fs, got: got == fs.fs_bsize - 1, lambda fs: fs.fs_bsize - 1,
    ),
    _Rule(
        "incorrect-qfmask", "fs_qfmask", _modern,
        lambda fs, got: got == fs.fs_fsize - 1, lambda fs: fs.fs_fsize - 1,
    ),
)  # fmt: skip


def check_superblock_fields(ck: Check) -> None:
    """Check what fsck_ffs checks of a superblock that can be used."""
    fs = ck.fs
    known = fs.fs_flags & _KNOWN_FLAGS
    if fs.fs_flags != known and ck.ask("unknown-flags", field="fs_flags", got=fs.fs_flags, expected=known):
        fs.fs_flags = known
        ck.sb_dirty = True
    for rule in _RULES:
        got = getattr(fs.record, rule.field)
        if not rule.applies(fs) or rule.sound(fs, got):
            continue
        value = rule.value(fs)
        if ck.ask(rule.kind, field=rule.field, got=got, expected=value):
            fs.record = fs.record._replace(**{rule.field: value})
            ck.sb_dirty = True
        if hasattr(fs, rule.field):
            setattr(fs, rule.field, value)
    data = FS.codec(fs.order).pack(fs.record) + fs.tail
    wrong = wrong_hash(fs, CK_SUPERBLOCK, data, FS, "fs_ckhash")
    if wrong and ck.ask("superblock-hash", **wrong):
        ck.sb_dirty = True


def copy_differs(ck: Check, cgx: int) -> str:
    """Return the first field in which a group's copy of the superblock is wrong; empty when none is."""
    fs = ck.fs
    data = ck.disk.read(FS.size, fs.cgsblock(cgx) * fs.fs_fsize)
    if len(data) < FS.size:
        return "fs_magic"
    copy = FS.codec(fs.order).unpack(data)
    for name in _GEOMETRY:
        if getattr(copy, name) != getattr(fs.record, name):
            return name
    return ""


def encode_superblock(ck: Check) -> bytes:
    """Return the superblock as it is to be written."""
    data = bytearray(ck.fs.encode())
    set_hash(ck.fs, CK_SUPERBLOCK, data, FS, "fs_ckhash")
    return bytes(data)


def write_superblocks(ck: Check) -> None:
    """Write the superblock, the summary, and the copies that are stale."""
    fs = ck.fs
    data = encode_superblock(ck)
    ck.disk.write(data, fs.fs_sblockloc)
    ck.write_summary()
    for cgx in ck.stale_copies:
        ck.disk.write(data, fs.cgsblock(cgx) * fs.fs_fsize)


def open_superblock(disk: Disk, where: str, sblock: int) -> Superblock:
    """Return the superblock of a device.

    Args:
        disk: the device.
        where: names it in messages.
        sblock: the sector of 512 bytes at which a copy lies; 0 for the primary.

    Raises:
        DiskError: there is none that can be used.
    """
    fs = find_superblock(disk.read, disk.size, where, sblock)
    if fs.bytes_needed > disk.size:
        raise Corrupt(
            f"{where}: superblock at byte {fs.offset}", "fs_size", fs.fs_size,
            f"this is {fs.bytes_needed} bytes, the device has {disk.size}: it has been truncated",
        )  # fmt: skip
    if fs.old_layout and fs.fs_old_postblformat == FS_42POSTBLFMT:
        raise Corrupt(
            f"{where}: superblock at byte {fs.offset}", "fs_old_postblformat", FS_42POSTBLFMT,
            "file systems with the cylinder groups of 4.2BSD are read, and cannot be checked",
        )  # fmt: skip
    if not CG.size <= min(offsets(fs).values()) <= max(offsets(fs).values()) <= fs.fs_cgsize:
        raise Corrupt(
            f"{where}: superblock at byte {fs.offset}", "fs_cgsize", fs.fs_cgsize,
            "the maps of a cylinder group must fit in this many bytes",
        )  # fmt: skip
    return fs


def read_log(disk: Disk, fs: Superblock) -> Replay:
    """Return what a replay of the log amounts to. Raises: DiskError: it is damaged."""
    return Wapbl(disk.read, disk.size, find_log(fs, disk.size), fs.where).replay()


def replay(disk: Disk, found: Replay) -> None:
    """Replay a log."""
    contents = [(extent.start, disk.read(extent.length, extent.source)) for extent in found.extents]
    for start, content in contents:
        disk.write(content, start)


def drop_log(fs: Superblock) -> None:
    """Let a log that cannot be read be made anew."""
    fs.fs_flags &= ~FS_DOWAPBL
    fs.fs_journal_flags = UFS_WAPBL_FLAGS_CLEAR_LOG
