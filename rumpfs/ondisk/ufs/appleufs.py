"""The label of an Apple UFS volume, which distinguishes it from a big-endian FFSv1.

Source: NetBSD sys/ufs/ufs/dinode.h and sys/ufs/ffs/appleufs.h (``struct appleufslabel``).
"""

from __future__ import annotations

import struct

from rumpfs.ondisk.layout import BIG, I16, RAW, U16, U32, U64, Buffer, Record

APPLEUFS_LABEL_OFFSET = 7168
APPLEUFS_LABEL_SIZE = 1024
APPLEUFS_LABEL_MAGIC = 0x4C41424C
APPLEUFS_LABEL_VERSION = 1

APPLEUFSLABEL = Record(
    "appleufslabel",
    APPLEUFS_LABEL_SIZE,
    (
        (0, "ul_magic", U32),
        (4, "ul_checksum", U16),
        (6, "ul_unused0", I16),
        (8, "ul_version", U32),
        (12, "ul_time", U32),
        (16, "ul_namelen", U16),
        (18, "ul_name", RAW[512]),
        (530, "ul_unused1", U16),
        (532, "ul_uuid", U64),
        (540, "ul_reserved", RAW[484]),
    ),
)


def appleufs_cksum(data: Buffer) -> int:
    """Return the ones' complement sum of a label whose checksum field counts as zero."""
    total: int = sum(struct.unpack(f">{APPLEUFS_LABEL_SIZE // 2}H", data[:APPLEUFS_LABEL_SIZE]))
    total -= int.from_bytes(data[4:6], "big")
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def is_appleufs_label(data: Buffer) -> bool:
    """True when the 1024 bytes at APPLEUFS_LABEL_OFFSET are a valid label."""
    if len(data) < APPLEUFS_LABEL_SIZE:
        return False
    label = APPLEUFSLABEL.codec(BIG).unpack(data)
    return bool(
        label.ul_magic == APPLEUFS_LABEL_MAGIC
        and label.ul_version == APPLEUFS_LABEL_VERSION
        and label.ul_checksum == appleufs_cksum(data)
    )
