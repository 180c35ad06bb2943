"""FreeBSD's check hashes: a CRC-32C in a structure, over all of it with the hash itself taken as 0.

They are in use when the superblock says so (`Superblock.metackhash`). NetBSD knows none of them; what it
writes to such a file system is refused by FreeBSD.
Source: FreeBSD sys/ufs/ffs/fs.h (CK_ bits), ffs_subr.c (what is covered).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from rumpfs.base.errors import Corrupt
from rumpfs.ondisk.crc32c import crc32c
from rumpfs.ondisk.layout import LITTLE, Buffer, Record
from rumpfs.ondisk.ufs.fs import FS

if TYPE_CHECKING:
    from rumpfs.ondisk.ufs.superblock import Superblock

#: fs_metackhash
CK_SUPERBLOCK = 0x1
CK_CYLGRP = 0x2
CK_INODE = 0x4


def check_hash(fs: Superblock, bit: int, data: bytes, record: Record, field: str, where: str) -> None:
    """Check the hash of a structure, when the file system has hashes of its kind.

    Args:
        fs: the superblock.
        bit: CK_, the kind of the structure.
        data: the structure, no more and no less than the hash covers.
        record: its declaration.
        field: the hash.
        where: names the structure in messages.

    Raises:
        Corrupt: it is wrong.
    """
    if not fs.metackhash & bit:
        return
    start = record.offset(field)
    stored = int.from_bytes(data[start : start + 4], _byteorder(fs))
    computed = _hash(data, start)
    if stored != computed:
        raise Corrupt(where, field, stored, f"the check hash of what is there is {computed}")


def set_hash(fs: Superblock, bit: int, data: bytearray, record: Record, field: str) -> None:
    """Store the hash of a structure in it, when the file system has hashes of its kind.

    Args:
        fs, bit, data, record, field: as for `check_hash`.
    """
    if fs.metackhash & bit:
        start = record.offset(field)
        data[start : start + 4] = _hash(data, start).to_bytes(4, _byteorder(fs))


def _hash(data: Buffer, start: int) -> int:
    """Return the hash of a structure that has it at byte `start`."""
    return crc32c(data[start + 4 :], crc32c(bytes(4), crc32c(data[:start])))


def _byteorder(fs: Superblock) -> Literal["little", "big"]:
    return "little" if fs.order == LITTLE else "big"


def check_superblock_hash(fs: Superblock) -> None:
    """Check the hash of a superblock, which covers fs_sbsize bytes. Raises: Corrupt."""
    if fs.metackhash & CK_SUPERBLOCK:
        data = FS.codec(fs.order).pack(fs.record) + fs.tail
        check_hash(fs, CK_SUPERBLOCK, data, FS, "fs_ckhash", f"{fs.where}: superblock at byte {fs.offset}")
