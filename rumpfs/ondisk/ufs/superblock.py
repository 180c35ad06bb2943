"""The FFS superblock as the kernel uses it: one set of fields for all layouts, and the geometry.

`find_superblock` looks in all the places and returns a checked `Superblock`.
Addresses called *frag* count fragments of fs_fsize bytes from the start of the file system.
Source: NetBSD sys/ufs/ffs/fs.h (fields and macros) and ffs_vfsops.c (the search of `ffs_mountfs`,
`ffs_oldfscompat_read`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple

from rumpfs.base.errors import BadMagic, Corrupt
from rumpfs.ondisk.layout import LITTLE, ORDERS, Buffer, Order
from rumpfs.ondisk.ufs.appleufs import APPLEUFS_LABEL_OFFSET, APPLEUFS_LABEL_SIZE, is_appleufs_label
from rumpfs.ondisk.ufs.ckhash import CK_SUPERBLOCK, set_hash
from rumpfs.ondisk.ufs.fs import (
    APPLEUFS_DIRBLKSIZ,
    CSUM,
    DIRBLKSIZ,
    FS,
    FS_42POSTBLFMT,
    FS_44INODEFMT,
    FS_BAD_MAGIC,
    FS_DOQUOTA2,
    FS_DOWAPBL,
    FS_FLAGS_UPDATED,
    FS_ISCLEAN,
    FS_METACKHASH,
    FS_NEEDSFSCK,
    FS_SIZE,
    FS_SUJ,
    FS_UFS1_MAGIC,
    FS_UFS2_MAGIC,
    FS_UFS2EA_MAGIC,
    FS_UNCLEAN,
    MAXSYMLINKLEN_UFS1,
    Q2_HEAD_MAGIC,
    SBLOCK_UFS1,
    SBLOCK_UFS2,
    SBLOCKSEARCH,
    SBLOCKSIZE,
    UFS_WAPBL_JOURNALLOC_END_PARTITION,
    UFS_WAPBL_JOURNALLOC_IN_FILESYSTEM,
    UFS_WAPBL_VERSION,
)
from rumpfs.ondisk.ufs.geometry import Geometry
from rumpfs.ondisk.ufs.sbcheck import check_superblock

#: ``read(nbytes, offset)`` returns the bytes there, fewer at the end of the device.
Read = Callable[[int, int], bytes]

_MAGICS = (FS_UFS1_MAGIC, FS_UFS2_MAGIC, FS_UFS2EA_MAGIC)
_MAGIC_OFFSET = FS.offset("fs_magic")

#: Where copies are looked for when there is no primary, to say so in the message.
_HINT_STEP = 8192
_HINT_END = 512 * 1024

#: The unit of fsck_ffs -b (DEV_BSIZE).
_SECTOR = 512

#: Defaults for directory placement when the fields are not positive (AVFILESIZ, AFPDIR).
_AVFILESIZ = 16384
_AFPDIR = 64

#: fs_maxfilesize of a file system with 4.2BSD inodes.
_MAXFILESIZE_42 = 1 << 39

#: Where a log may lie.
_WAPBL_LOCATIONS = (UFS_WAPBL_JOURNALLOC_END_PARTITION, UFS_WAPBL_JOURNALLOC_IN_FILESYSTEM)


class Csum(NamedTuple):
    """Counters of a group or of the whole file system: directories, free blocks, inodes and frags."""

    cs_ndir: int
    cs_nbfree: int
    cs_nifree: int
    cs_nffree: int


@dataclass(slots=True)
class Superblock(Geometry):
    """A superblock with its old forms made new.

    Attributes:
        where: names the file system in messages.
        offset: byte offset at which the superblock was found.
        order: byte order of every structure of the file system.
        ufs2: True for UFS2 (64-bit addresses, 256-byte inodes).
        old_layout: True for the UFS1 layout without 64-bit fields.
        apple_ufs: True for Apple UFS; may be set by a caller who knows it from a disklabel.
        record: all fields as they are on disk, under their BSD names (`fs.FS`).
        tail: bytes after the structure, up to fs_sbsize.
        warnings: oddities that do not prevent reading.
        fs_*: the fields of ``struct fs``, from wherever the layout keeps them.
    """

    where: str
    offset: int
    order: Order
    ufs2: bool
    old_layout: bool
    record: Any = field(repr=False)
    tail: bytes = field(repr=False)
    fs_sblkno: int
    fs_cblkno: int
    fs_iblkno: int
    fs_dblkno: int
    fs_old_cgoffset: int
    fs_old_cgmask: int
    fs_ncg: int
    fs_bsize: int
    fs_fsize: int
    fs_frag: int
    fs_minfree: int
    fs_bmask: int
    fs_fmask: int
    fs_bshift: int
    fs_fshift: int
    fs_maxcontig: int
    fs_maxbpg: int
    fs_fragshift: int
    fs_fsbtodb: int
    fs_sbsize: int
    fs_nindir: int
    fs_inopb: int
    fs_optim: int
    fs_id: tuple[int, int]
    fs_cssize: int
    fs_cgsize: int
    fs_old_nspf: int
    fs_old_spc: int
    fs_old_cpg: int
    fs_ipg: int
    fs_fpg: int
    fs_clean: int
    fs_fsmnt: bytes
    fs_volname: bytes
    fs_swuid: int
    fs_journal_version: int
    fs_journal_location: int
    fs_journal_flags: int
    fs_journallocs: tuple[int, int, int, int]
    fs_quota_magic: int
    fs_quota_flags: int
    fs_quotafile: tuple[int, int]
    fs_sblockloc: int
    fs_cstotal: Csum
    fs_time: int
    fs_size: int
    fs_dsize: int
    fs_csaddr: int
    fs_pendingblocks: int
    fs_pendinginodes: int
    fs_snapinum: tuple[int, ...]
    fs_avgfilesize: int
    fs_avgfpdir: int
    fs_mtime: int
    fs_sujfree: int
    fs_flags: int
    fs_contigsumsize: int
    fs_maxsymlinklen: int
    fs_old_inodefmt: int
    fs_maxfilesize: int
    fs_qbmask: int
    fs_qfmask: int
    fs_old_postblformat: int
    fs_old_nrpos: int
    fs_magic: int
    apple_ufs: bool = False
    warnings: list[str] = field(default_factory=list)

    @classmethod
    def decode(cls, data: Buffer, order: Order, offset: int, where: str) -> Superblock:
        """Return the superblock in `data`, unchecked apart from the layout it declares.

        Args:
            data: at least FS_SIZE bytes; what follows, up to fs_sbsize, is kept in `tail`.
            order: the byte order in which the magic matched.
            offset: byte offset in the file system at which the bytes lie.
            where: names the file system in messages.
        """
        row = FS.codec(order).unpack(data)
        ufs2 = row.fs_magic != FS_UFS1_MAGIC
        old_layout = not ufs2 and not row.fs_old_flags & FS_FLAGS_UPDATED
        values = {name: getattr(row, name) for name in _COPIED}
        values["fs_cstotal"] = Csum(*row.fs_cstotal)
        values["fs_fsmnt"] = row.fs_fsmnt.partition(b"\0")[0]
        values["fs_volname"] = row.fs_volname.partition(b"\0")[0]
        if old_layout:
            values |= _old_layout_values(row, offset)
        if not ufs2 and row.fs_old_inodefmt < FS_44INODEFMT:
            values["fs_maxfilesize"] = _MAXFILESIZE_42
            values["fs_qbmask"] = row.fs_bsize - 1
            values["fs_qfmask"] = row.fs_fsize - 1
        values["fs_maxfilesize"] = min(values["fs_maxfilesize"], 0x80000000 * row.fs_bsize - 1)
        if values["fs_avgfilesize"] <= 0:
            values["fs_avgfilesize"] = _AVFILESIZ
        if values["fs_avgfpdir"] <= 0:
            values["fs_avgfpdir"] = _AFPDIR
        if row.fs_old_postblformat == FS_42POSTBLFMT:
            values["fs_old_nrpos"] = 8
        return cls(
            where=where,
            offset=offset,
            order=order,
            ufs2=ufs2,
            old_layout=old_layout,
            record=row,
            tail=bytes(data[FS_SIZE : max(FS_SIZE, row.fs_sbsize)]),
            **values,
        )

    def encode(self) -> bytes:
        """Return the fs_sbsize bytes to write, with the fields that change while mounted.

        These are fs_clean, fs_time, fs_cstotal, fs_fsmnt, fs_flags, fs_optim, where the log is, the pending
        counters, and FreeBSD's fs_mtime, fs_sujfree and check hash. The old layout keeps them in its own
        places; everything else is written as it was read.
        """
        changed: dict[str, Any] = {
            "fs_clean": self.fs_clean,
            "fs_fmod": 0,
            "fs_ronly": 0,
            "fs_optim": self.fs_optim,
        }
        if self.fs_fsmnt != self.record.fs_fsmnt.partition(b"\0")[0]:
            changed["fs_fsmnt"] = self.fs_fsmnt[: len(self.record.fs_fsmnt) - 1]
        if not self.old_layout:
            changed |= {
                "fs_time": self.fs_time,
                "fs_cstotal": tuple(self.fs_cstotal),
                "fs_flags": self.fs_flags,
                "fs_journal_version": self.fs_journal_version,
                "fs_journal_location": self.fs_journal_location,
                "fs_journal_flags": self.fs_journal_flags,
                "fs_journallocs": self.fs_journallocs,
                "fs_pendingblocks": self.fs_pendingblocks,
                "fs_pendinginodes": self.fs_pendinginodes,
                "fs_mtime": self.fs_mtime,
                "fs_sujfree": self.fs_sujfree,
            }
        else:
            changed |= {
                "fs_old_time": _as_i32(self.fs_time),
                "fs_old_cstotal": tuple(self.fs_cstotal),
                "fs_old_flags": self.fs_flags & ~FS_FLAGS_UPDATED & 0xFF,
            }
        data = bytearray(FS.codec(self.order).pack(self.record._replace(**changed)) + self.tail)
        set_hash(self, CK_SUPERBLOCK, data, FS, "fs_ckhash")
        return bytes(data)

    # Formats of other structures.

    @property
    def old_inodes(self) -> bool:
        """True when owners are in the 16-bit fields of 4.2BSD inodes."""
        return not self.ufs2 and self.fs_old_inodefmt < FS_44INODEFMT

    @property
    def old_dirents(self) -> bool:
        """True when directory entries have a 16-bit name length and no type."""
        return not self.ufs2 and self.fs_maxsymlinklen <= 0 and not self.apple_ufs

    @property
    def dirblksiz(self) -> int:
        """Bytes of a directory chunk, which no entry crosses."""
        return APPLEUFS_DIRBLKSIZ if self.apple_ufs else DIRBLKSIZ

    def is_fast_symlink(self, size: int, blocks: int) -> bool:
        """True when a symlink's text is in the inode's block pointers.

        Args:
            size: di_size, bytes of the text.
            blocks: di_blocks, 512-byte units allocated.
        """
        if self.apple_ufs:
            return size < MAXSYMLINKLEN_UFS1
        if self.fs_maxsymlinklen == 0:
            return blocks == 0 and size <= MAXSYMLINKLEN_UFS1
        return size < self.fs_maxsymlinklen

    @property
    def has_wapbl(self) -> bool:
        """True when there is a log in use (FreeBSD uses the same bit for NFSv4 ACLs)."""
        return bool(
            not self.old_layout
            and self.fs_flags & FS_DOWAPBL
            and self.fs_journal_version == UFS_WAPBL_VERSION
            and self.fs_journal_location in _WAPBL_LOCATIONS
        )

    @property
    def has_quota2(self) -> bool:
        """True when quotas are kept in hidden inodes (fs_quotafile)."""
        return bool(
            not self.old_layout and self.fs_flags & FS_DOQUOTA2 and self.fs_quota_magic == Q2_HEAD_MAGIC
        )

    @property
    def metackhash(self) -> int:
        """FreeBSD's check hashes in use: bits 1 superblock, 2 groups, 4 inodes; 0 when none."""
        if self.old_layout or not self.fs_flags & FS_METACKHASH or self.has_quota2:
            return 0
        return int(self.record.fs_metackhash)

    @property
    def freebsd(self) -> bool:
        """True when FreeBSD has made or mounted it: NetBSD leaves the words for that 0."""
        return not self.old_layout and bool(self.metackhash or self.fs_mtime)

    @property
    def keeps_extattrs(self) -> bool:
        """True when the attributes that inodes of UFS2 hold are known to who checks it: FreeBSD, UFS2EA."""
        return self.ufs2 and (self.fs_magic == FS_UFS2EA_MAGIC or self.freebsd)

    # Whether it is in use.

    @property
    def is_clean(self) -> bool:
        """True when it was unmounted cleanly, and nobody asks for a check."""
        return bool(self.fs_clean & FS_ISCLEAN) and not self.fs_flags & FS_NEEDSFSCK

    def mark_in_use(self, seconds: int) -> None:
        """Say that it is mounted for writing since a time.

        All BSDs take an fs_clean of 0 for that. A journal of soft updates (SU+J) knows nothing of what is
        written now: FreeBSD's fsck_ffs goes by it only when its time is that of the last mount (fs_mtime),
        and never when a full check is asked for, as it is until `mark_clean` (suj.c, main.c).
        """
        self.fs_clean = 0
        if self.freebsd:
            self.fs_mtime = max(seconds, self.fs_mtime + 1)
        if self.fs_flags & FS_SUJ:
            self.fs_flags |= FS_NEEDSFSCK

    def mark_clean(self) -> None:
        """Say that it was unmounted cleanly, or that a check has left nothing to repair (ckfini)."""
        self.fs_clean = FS_ISCLEAN
        self.fs_flags &= ~(FS_UNCLEAN | FS_NEEDSFSCK)
        self.fs_pendingblocks = self.fs_pendinginodes = 0
        self.fs_sujfree = 0

    # Free space (statvfs).

    @property
    def free_frags(self) -> int:
        """Free frags, in free blocks and in partly used ones."""
        return self.fs_cstotal.cs_nbfree * self.fs_frag + self.fs_cstotal.cs_nffree

    @property
    def reserved_frags(self) -> int:
        """Frags that only root may allocate."""
        return self.fs_dsize * self.fs_minfree // 100


_COPIED = tuple(f.name for f in fields(Superblock) if f.name in FS.names)


def _old_layout_values(row: Any, offset: int) -> dict[str, Any]:
    """Return what the old UFS1 layout keeps elsewhere or lacks."""
    return {
        "fs_size": row.fs_old_size,
        "fs_dsize": row.fs_old_dsize,
        "fs_time": row.fs_old_time,
        "fs_csaddr": row.fs_old_csaddr,
        "fs_cstotal": Csum(*row.fs_old_cstotal),
        "fs_flags": row.fs_old_flags,
        "fs_sblockloc": offset,
        "fs_volname": b"",
        "fs_swuid": 0,
        "fs_journal_version": 0,
        "fs_journal_location": 0,
        "fs_journal_flags": 0,
        "fs_journallocs": (0, 0, 0, 0),
        "fs_quota_magic": 0,
        "fs_quota_flags": 0,
        "fs_quotafile": (0, 0),
        "fs_pendingblocks": 0,
        "fs_pendinginodes": 0,
        "fs_snapinum": (0,) * len(row.fs_snapinum),
        "fs_avgfilesize": 0,
        "fs_avgfpdir": 0,
        "fs_mtime": 0,
        "fs_sujfree": 0,
    }


def _as_i32(value: int) -> int:
    """Return the low 32 bits as a signed number."""
    return ((value & 0xFFFFFFFF) ^ 0x80000000) - 0x80000000


def find_superblock(read: Read, size: int, where: str, sblock: int = 0) -> Superblock:
    """Find and check the superblock of the file system on a device.

    Args:
        read: reads bytes of the device.
        size: bytes of the device.
        where: names the device in messages.
        sblock: the sector of 512 bytes at which a copy lies, as for fsck_ffs -b; 0 for the primary.

    Raises:
        BadMagic: there is no superblock, or an unfinished newfs.
        Corrupt: there is one, and a field holds what it must not.
    """
    if sblock:
        return _superblock_copy(read, size, where, sblock * _SECTOR)
    rejected: Corrupt | None = None
    unfinished: int | None = None
    for offset in SBLOCKSEARCH:
        if offset + FS_SIZE > size:
            continue
        data = read(min(SBLOCKSIZE, size - offset), offset)
        order, magic = _match_magic(data)
        if order is None:
            unfinished = offset if magic == FS_BAD_MAGIC and unfinished is None else unfinished
            continue
        fs = Superblock.decode(data, order, offset, where)
        if (fs.old_layout and offset == SBLOCK_UFS2) or fs.fs_sblockloc != offset:
            continue
        try:
            check_superblock(fs, size)
        except Corrupt as error:
            rejected = rejected or error
            continue
        fs.apple_ufs = _is_apple(fs, read, size)
        return fs
    if rejected is not None:
        raise rejected.advise(_copy_hint(read, size))
    if unfinished is not None:
        raise BadMagic(
            f"{where}: superblock at byte {unfinished}", "newfs was interrupted here (run newfs again)"
        )
    places = ", ".join(str(offset) for offset in SBLOCKSEARCH)
    hint = _copy_hint(read, size) or "is this the right partition, and is it an FFS?"
    raise BadMagic(where, f"no FFS superblock at bytes {places}").advise(hint)


def _superblock_copy(read: Read, size: int, where: str, offset: int) -> Superblock:
    """Return the superblock at a byte offset, a copy or not, with counters that are up to date.

    The kernel writes the primary only: a copy is as newfs, tunefs or fsck left it.
    """
    data = read(SBLOCKSIZE, offset) if offset + FS_SIZE <= size else b""
    order, _ = _match_magic(data)
    if order is None:
        raise BadMagic(where, f"no FFS superblock at byte {offset}").advise(_copy_hint(read, size))
    fs = Superblock.decode(data, order, offset, where)
    check_superblock(fs, size)
    fs.apple_ufs = _is_apple(fs, read, size)
    if fs.old_layout:
        fs.fs_sblockloc = SBLOCK_UFS1
    if fs.fs_sblockloc != offset:
        groups = CSUM.codec(order).iter_unpack_flat(read(fs.fs_ncg * CSUM.size, fs.fs_csaddr << fs.fs_fshift))
        fs.fs_cstotal = Csum(*map(sum, zip(*groups, strict=True)))
        fs.warnings.append(
            f"the superblock is the copy at byte {offset}, which nobody keeps up to date: whether the file "
            "system was unmounted cleanly is not known; fsck_ffs can repair the primary"
        )
    return fs


def _match_magic(data: bytes) -> tuple[Order | None, int]:
    """Return the byte order in which the magic is known and the magic; no order when it is not."""
    magic = 0
    field = data[_MAGIC_OFFSET : _MAGIC_OFFSET + 4]
    if len(field) < 4:
        return None, 0
    for order in ORDERS:
        magic = int.from_bytes(field, "little" if order == LITTLE else "big")
        if magic in _MAGICS:
            return order, magic
        if magic == FS_BAD_MAGIC:
            break
    return None, magic


def _is_apple(fs: Superblock, read: Read, size: int) -> bool:
    """True when a UFS1 file system carries a valid Apple UFS label."""
    if fs.ufs2 or size < APPLEUFS_LABEL_OFFSET + APPLEUFS_LABEL_SIZE:
        return False
    return is_appleufs_label(read(APPLEUFS_LABEL_SIZE, APPLEUFS_LABEL_OFFSET))


def _copy_hint(read: Read, size: int) -> str:
    """Return what to say of the first sound copy of the superblock near the start; "" without one."""
    for offset in range(_HINT_STEP, min(_HINT_END, size - FS_SIZE) + 1, _HINT_STEP):
        data = read(FS_SIZE, offset)
        order, _ = _match_magic(data)
        if order is None:
            continue
        try:
            check_superblock(Superblock.decode(data, order, offset, ""), size)
        except Corrupt:
            continue
        sblock = offset // _SECTOR
        return (
            f"there is a copy at byte {offset}: the primary is damaged, mount with -o sblock={sblock}, "
            f"or let fsck_ffs -b {sblock} restore it"
        )
    return ""
