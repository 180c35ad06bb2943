"""BSD disklabels: layout, checks, building. Where to look for one is `labelscan`'s business.

NetBSD, FreeBSD and OpenBSD share the magic, the checksum and most of the header; OpenBSD's version 1 has
64-bit sizes in the spare words. Integers are in the byte order of the machine that wrote the label.
Source: NetBSD sys/sys/disklabel.h, FreeBSD sys/sys/disk/bsd.h, OpenBSD sys/sys/disklabel.h.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, NamedTuple

from rumpfs.base.errors import BadChecksum, BadMagic, Corrupt
from rumpfs.ondisk.layout import LITTLE, ORDERS, RAW, U8, U16, U32, Buffer, Order, Record

DISKMAGIC = 0x82564557
#: What a label that was deleted has in place of the magic.
DISKMAGIC_DELETED = DISKMAGIC ^ 0xFFFFFFFF

#: Bytes before the partitions, and of a partition.
LABEL_HEADER = 148
PARTITION_SIZE = 16
MAGIC2_OFFSET = 132

#: Partitions that a label in one 512-byte sector can have, and those of OpenBSD's longest form.
MAXPARTITIONS = 22
MAXPARTITIONS_OPENBSD = 52

DEV_BSIZE = 512
_BBSIZE = 8192
_SBSIZE = 8192

# p_fstype
FS_UNUSED = 0
FS_SWAP = 1
FS_BSDFFS = 7
FS_APPLEUFS = 22
#: The numbers that mean the same on all BSDs.
FSTYPE_NAMES = {0: "unused", 1: "swap", 7: "4.2BSD", 8: "MSDOS", 12: "ISO9660", 17: "ext2", 22: "Apple UFS"}

#: The names that NetBSD's disklabel(8) has for p_fstype, by number.
NETBSD_FSTYPES = (
    "unused", "swap", "Version 6", "Version 7", "System V", "4.1BSD", "Eighth Edition", "4.2BSD", "MSDOS",
    "4.4LFS", "unknown", "HPFS", "ISO9660", "boot", "ADOS", "HFS", "FILECORE", "Linux Ext2", "NTFS", "RAID",
    "ccd", "jfs", "Apple UFS", "vinum", "UDF", "SysVBFS", "EFS", "NiLFS", "cgd", "MINIX FSv3",
)  # fmt: skip

#: The names of d_type, by number.
DKTYPE_NAMES = (
    "unknown", "SMD", "MSCP", "old DEC", "SCSI", "ESDI", "ST506", "HP-IB", "HP-FL", "type 9", "floppy", "ccd",
    "vnd", "ATAPI", "RAID", "ld", "jfs", "cgd", "vinum", "flash", "dm", "rumpd", "md",
)  # fmt: skip

#: d_flags
D_FLAGS = {"removable": 1, "ecc": 2, "badsect": 4}

# d_type
DKTYPE_UNKNOWN = 0
DKTYPE_ESDI = 5

# What all dialects have in common, at both ends of the header.
_HEAD = (
    (0, "d_magic", U32),
    (4, "d_type", U16),
    (6, "d_subtype", U16),
    (8, "d_typename", RAW[16]),
    (24, "d_packname", RAW[16]),
    (40, "d_secsize", U32),
    (44, "d_nsectors", U32),
    (48, "d_ntracks", U32),
    (52, "d_ncylinders", U32),
    (56, "d_secpercyl", U32),
    (60, "d_secperunit", U32),
)
_TAIL = (
    (132, "d_magic2", U32),
    (136, "d_checksum", U16),
    (138, "d_npartitions", U16),
    (140, "d_bbsize", U32),
    (144, "d_sbsize", U32),
)

DISKLABEL = Record(
    "disklabel",
    LABEL_HEADER,
    (
        *_HEAD,
        (64, "d_sparespertrack", U16),
        (66, "d_sparespercyl", U16),
        (68, "d_acylinders", U32),
        (72, "d_rpm", U16),
        (74, "d_interleave", U16),
        (76, "d_trackskew", U16),
        (78, "d_cylskew", U16),
        (80, "d_headswitch", U32),
        (84, "d_trkseek", U32),
        (88, "d_flags", U32),
        (92, "d_drivedata", U32[5]),
        (112, "d_spare", U32[5]),
        *_TAIL,
    ),
)

PARTITION = Record(
    "partition",
    PARTITION_SIZE,
    (
        (0, "p_size", U32),
        (4, "p_offset", U32),
        (8, "p_fsize", U32),
        (12, "p_fstype", U8),
        (13, "p_frag", U8),
        (14, "p_cpg", U16),
    ),
)

#: OpenBSD's header from d_type to d_sbsize, where it differs.
DISKLABEL_OPENBSD = Record(
    "disklabel_openbsd",
    LABEL_HEADER,
    (
        *_HEAD,
        (64, "d_uid", RAW[8]),
        (72, "d_acylinders", U32),
        (76, "d_bstarth", U16),
        (78, "d_bendh", U16),
        (80, "d_bstart", U32),
        (84, "d_bend", U32),
        (88, "d_flags", U32),
        (92, "d_spare4", U32[5]),
        (112, "d_secperunith", U16),
        (114, "d_version", U16),
        (116, "d_spare", U32[4]),
        *_TAIL,
    ),
)

#: OpenBSD's partitions since d_version 1.
PARTITION_OPENBSD = Record(
    "partition_openbsd",
    PARTITION_SIZE,
    (
        (0, "p_size", U32),
        (4, "p_offset", U32),
        (8, "p_offseth", U16),
        (10, "p_sizeh", U16),
        (12, "p_fstype", U8),
        (13, "p_fragblock", U8),
        (14, "p_cpg", U16),
    ),
)


class Dialect(Enum):
    """Whose label it is; decides the meaning of offsets and of OpenBSD's extra fields."""

    NETBSD = "NetBSD"
    FREEBSD = "FreeBSD"
    OPENBSD = "OpenBSD"


class Partition(NamedTuple):
    """A partition in sectors of d_secsize; p_fsize (bytes), p_frag and p_cpg are hints only."""

    p_size: int
    p_offset: int
    p_fstype: int = FS_UNUSED
    p_fsize: int = 0
    p_frag: int = 0
    p_cpg: int = 0


@dataclass(frozen=True, slots=True)
class Disklabel:
    """A checked label.

    Attributes:
        order: byte order it was written in.
        dialect: whose it is.
        record: all header fields under their BSD names.
        d_secsize: bytes of a sector; 512 when the label says 0.
        d_secperunit: sectors of the disk, 64 bits.
        partitions: the d_npartitions valid entries.
    """

    order: Order
    dialect: Dialect
    record: Any = field(repr=False)
    d_secsize: int
    d_secperunit: int
    partitions: tuple[Partition, ...]


def label_order(data: Buffer, offset: int = 0) -> Order | None:
    """Return the byte order in which both magics are right, or None when there is no label."""
    first = bytes(data[offset : offset + 4])
    if first != bytes(data[offset + MAGIC2_OFFSET : offset + MAGIC2_OFFSET + 4]):
        return None
    return _MAGICS.get(first)


def is_deleted(data: Buffer, offset: int = 0) -> bool:
    """True when a label was here and has been deleted by inverting its magics."""
    first = bytes(data[offset : offset + 4])
    return first in _DELETED and first == bytes(data[offset + MAGIC2_OFFSET : offset + MAGIC2_OFFSET + 4])


_MAGICS: dict[bytes, Order] = {struct.pack(order + "I", DISKMAGIC): order for order in ORDERS}
_DELETED = {struct.pack(order + "I", DISKMAGIC_DELETED) for order in ORDERS}

#: The first bytes of a label, and of a deleted one, in both orders: what a search looks for.
MAGIC_BYTES = (*_MAGICS, *_DELETED)


def dkcksum(data: Buffer) -> int:
    """Return the XOR of the 16-bit words of `data`, read as little-endian; 0 for a valid label."""
    words = struct.unpack(f"<{len(data) // 2}H", data[: len(data) & ~1])
    total = 0
    for word in words:
        total ^= word
    return total


def decode_disklabel(data: Buffer, offset: int, where: str, dialect: Dialect = Dialect.NETBSD) -> Disklabel:
    """Return the label at `offset`.

    Args:
        data: bytes with the whole label.
        offset: byte offset of the label in `data`.
        where: names the label and its place in messages.
        dialect: whose label it is, as the partition table around it says; a label in OpenBSD's version 1
            is OpenBSD's in any case.

    Raises:
        BadMagic: no label, or a deleted one.
        BadChecksum: the checksum is wrong.
        Corrupt: a field holds what it must not.
    """
    order = label_order(data, offset)
    if order is None:
        why = "a deleted disklabel (inverted magic)" if is_deleted(data, offset) else "no disklabel"
        raise BadMagic(where, why)
    room = len(data) - offset
    if room < LABEL_HEADER:
        raise Corrupt(where, "d_magic", DISKMAGIC, f"the data end after {room} bytes of the label")
    row = DISKLABEL.codec(order).unpack(data, offset)
    openbsd = DISKLABEL_OPENBSD.codec(order).unpack(data, offset)
    if _is_openbsd_v1(openbsd):
        dialect = Dialect.OPENBSD
    maximum = MAXPARTITIONS_OPENBSD if dialect is Dialect.OPENBSD else MAXPARTITIONS
    count = row.d_npartitions
    length = LABEL_HEADER + PARTITION_SIZE * count
    if count > maximum:
        raise Corrupt(where, "d_npartitions", count, f"must be at most {maximum}")
    if length > room:
        raise Corrupt(where, "d_npartitions", count, f"the label does not fit in the {room} bytes there")
    if dkcksum(data[offset : offset + length]):
        raise BadChecksum(where, f"the checksum of a disklabel with {count} partitions is wrong")
    secsize = row.d_secsize or DEV_BSIZE
    if secsize & (secsize - 1) or not DEV_BSIZE <= secsize <= 65536:
        raise Corrupt(where, "d_secsize", secsize, "must be a power of two in 512..65536")
    entries = data[offset + LABEL_HEADER : offset + length]
    if dialect is Dialect.OPENBSD and openbsd.d_version:
        partitions = tuple(map(_openbsd_partition, PARTITION_OPENBSD.codec(order).iter_unpack(entries)))
        secperunit = openbsd.d_secperunit | openbsd.d_secperunith << 32
    else:
        partitions = tuple(map(_classic_partition, PARTITION.codec(order).iter_unpack(entries)))
        secperunit = row.d_secperunit
    record = openbsd if dialect is Dialect.OPENBSD else row
    return Disklabel(order, dialect, record, secsize, secperunit, partitions)


def _is_openbsd_v1(row: Any) -> bool:
    """True for d_version 1 with spare words zero: NetBSD and FreeBSD have zeros there."""
    return bool(row.d_version == 1 and not any(row.d_spare))


def _classic_partition(row: Any) -> Partition:
    return Partition(row.p_size, row.p_offset, row.p_fstype, row.p_fsize, row.p_frag, row.p_cpg)


def _openbsd_partition(row: Any) -> Partition:
    code = row.p_fragblock
    fsize = frag = 0
    if code & 7:
        frag = 1 << ((code & 7) - 1)
        fsize = (1 << ((code >> 3) + 12)) // frag
    return Partition(
        row.p_size | row.p_sizeh << 32,
        row.p_offset | row.p_offseth << 32,
        row.p_fstype,
        fsize,
        frag,
        row.p_cpg,
    )


def encode_disklabel(
    partitions: Mapping[str, Partition],
    total_sectors: int,
    *,
    order: Order = LITTLE,
    npartitions: int = 8,
    secsize: int = DEV_BSIZE,
    packname: bytes = b"fictitious",
) -> bytes:
    """Return the bytes of a NetBSD label, checksum included.

    Args:
        partitions: letter -> partition; the others are unused.
        total_sectors: sectors of the disk.
        order: byte order of the machine that is to read it.
        npartitions: length of the table, 1..22.
        secsize: bytes of a sector, which sizes and offsets count.
        packname: up to 16 bytes that name the disk.

    Raises:
        ValueError: a letter is not in the table, or a number does not fit its field.
    """
    if not 1 <= npartitions <= MAXPARTITIONS:
        raise ValueError(f"a label has 1 to {MAXPARTITIONS} partitions, not {npartitions}")
    letters = "abcdefghijklmnopqrstuvwxyz"[:npartitions]
    if unknown := sorted(set(partitions) - set(letters)):
        raise ValueError(f"partition {unknown[0]} is not in a table of {npartitions}")
    nsectors, ntracks = 32, 64
    blank = DISKLABEL.codec(order).unpack(bytes(LABEL_HEADER))
    header = blank._replace(
        d_magic=DISKMAGIC,
        d_type=DKTYPE_UNKNOWN,
        d_typename=b"image",
        d_packname=packname,
        d_secsize=secsize,
        d_nsectors=nsectors,
        d_ntracks=ntracks,
        d_ncylinders=max(1, total_sectors // (nsectors * ntracks)),
        d_secpercyl=nsectors * ntracks,
        d_secperunit=min(total_sectors, 0xFFFFFFFF),
        d_rpm=3600,
        d_interleave=1,
        d_magic2=DISKMAGIC,
        d_npartitions=npartitions,
        d_bbsize=_BBSIZE,
        d_sbsize=_SBSIZE,
    )
    unused = Partition(0, 0)
    rows = tuple(partitions.get(letter, unused) for letter in letters)
    return encode_label(Disklabel(order, Dialect.NETBSD, header, secsize, total_sectors, rows))


def encode_label(label: Disklabel) -> bytes:
    """Return the bytes of a label, in the form that its dialect has, checksum included.

    Args:
        label: what is to be written; d_npartitions follows from its partitions.

    Raises:
        ValueError: a number does not fit its field.
    """
    openbsd = label.dialect is Dialect.OPENBSD
    record = DISKLABEL_OPENBSD if openbsd else DISKLABEL
    long_form = openbsd and label.record.d_version
    entry, convert = (PARTITION_OPENBSD, _openbsd_row) if long_form else (PARTITION, _classic_row)
    header = label.record._replace(d_checksum=0, d_npartitions=len(label.partitions))
    try:
        entries = b"".join(map(entry.codec(label.order).pack, map(convert, label.partitions)))
        data = record.codec(label.order).pack(header) + entries
    except struct.error as error:
        raise ValueError(f"does not fit a disklabel: {error}") from error
    place = record.offset("d_checksum")
    return data[:place] + struct.pack("<H", dkcksum(data)) + data[place + 2 :]


def _classic_row(partition: Partition) -> Any:
    return PARTITION.row(**partition._asdict())


def _openbsd_row(partition: Partition) -> Any:
    size, offset = partition.p_size, partition.p_offset
    code = 0
    if partition.p_frag and partition.p_fsize:
        blocks = (partition.p_fsize * partition.p_frag).bit_length() - 13
        code = blocks << 3 | partition.p_frag.bit_length()
    return PARTITION_OPENBSD.row(
        size & 0xFFFFFFFF, offset & 0xFFFFFFFF, offset >> 32, size >> 32, partition.p_fstype, code,
        partition.p_cpg,
    )  # fmt: skip
