"""Cylinder group blocks: counters, and the maps of inodes, frags and clusters.

`Cg.decode` checks every offset against the block before anything is read through it. Bit n of a map is
bit n & 7 of byte n >> 3 in both byte orders; in the inode map 1 means used, in the others free.
Source: NetBSD sys/ufs/ffs/fs.h (``struct cg``, ``struct ocg``).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rumpfs.base.errors import BadMagic, Corrupt
from rumpfs.ondisk.layout import I16, I32, I64, U32, Buffer, Record
from rumpfs.ondisk.ufs.ckhash import CK_CYLGRP, check_hash, set_hash
from rumpfs.ondisk.ufs.superblock import Csum

if TYPE_CHECKING:
    from rumpfs.ondisk.ufs.superblock import Superblock

CG_MAGIC = 0x090255

#: Frag runs of 1..7 are counted in cg_frsum; MAXFRAG.
MAXFRAG = 8

CG = Record(
    "cg",
    168,
    (
        (0, "cg_firstfield", I32),
        (4, "cg_magic", U32),
        (8, "cg_old_time", I32),
        (12, "cg_cgx", I32),
        (16, "cg_old_ncyl", I16),
        (18, "cg_old_niblk", I16),
        (20, "cg_ndblk", I32),
        (24, "cg_cs", I32[4]),
        (40, "cg_rotor", I32),
        (44, "cg_frotor", I32),
        (48, "cg_irotor", I32),
        (52, "cg_frsum", I32[MAXFRAG]),
        (84, "cg_old_btotoff", I32),
        (88, "cg_old_boff", I32),
        (92, "cg_iusedoff", I32),
        (96, "cg_freeoff", I32),
        (100, "cg_nextfreeoff", I32),
        (104, "cg_clustersumoff", I32),
        (108, "cg_clusteroff", I32),
        (112, "cg_nclusterblks", I32),
        (116, "cg_niblk", I32),
        (120, "cg_initediblk", I32),
        (124, "cg_sparecon32", I32[2]),
        (132, "cg_ckhash", U32),
        (136, "cg_time", I64),
        (144, "cg_sparecon64", I64[3]),
    ),
)

#: 4.2BSD groups (ocg): byte offsets of the inode map, the magic and the frag map; inodes that fit.
_OCG_IUSED = 724
_OCG_MAGIC = 980
_OCG_FREE = 984
_OCG_MAXIPG = 2048

_MAGIC_OFFSET = CG.offset("cg_magic")


@dataclass(slots=True)
class Cg:
    """A checked cylinder group.

    Attributes:
        cgx: the group's number.
        old: True for a 4.2BSD group (ocg), which has neither clusters nor initediblk.
        record: all fields of the header under their BSD names; those of an ocg end with cg_frsum.
        cg_cs: the group's counters.
        ndblk: frags in the group.
        initediblk: inodes whose table slots are valid; the rest of a UFS2 table is uninitialised.
        inosused: inode map, 1 = used.
        blksfree: frag map, 1 = free.
        clustersum: clustersum[k] = runs of k free blocks, index 0 unused; empty without clusters.
        clustersfree: block map, 1 = the whole block is free; empty without clusters.
    """

    cgx: int
    old: bool
    record: Any = field(repr=False)
    cg_cs: Csum
    ndblk: int
    initediblk: int
    inosused: bytes = field(repr=False)
    blksfree: bytes = field(repr=False)
    clustersum: tuple[int, ...] = ()
    clustersfree: bytes = field(default=b"", repr=False)

    @classmethod
    def decode(cls, data: Buffer, fs: Superblock, cgx: int) -> Cg:
        """Return group `cgx` from the fs_cgsize bytes at its cgtod.

        Raises:
            BadMagic: there is no cylinder group.
            Corrupt: its check hash is wrong, a field contradicts the superblock, or a map leaves the block.
        """
        where = f"{fs.where}: cylinder group {cgx}"
        if len(data) < fs.fs_cgsize:
            raise Corrupt(where, "fs_cgsize", fs.fs_cgsize, f"the device ends after {len(data)} bytes of it")
        data = bytes(data[: fs.fs_cgsize])
        row = CG.codec(fs.order).unpack(data)
        old = row.cg_magic != CG_MAGIC
        if old and not _has_ocg_magic(data, fs):
            raise BadMagic(f"{where} at byte {fs.cgtod(cgx) * fs.fs_fsize}", f"cg_magic is {row.cg_magic:#x}")
        check_hash(fs, CK_CYLGRP, data, CG, "cg_ckhash", where)
        if row.cg_cgx != cgx:
            raise Corrupt(where, "cg_cgx", row.cg_cgx, "is another group's number")
        if row.cg_ndblk != fs.cgfrags(cgx):
            raise Corrupt(where, "cg_ndblk", row.cg_ndblk, f"the group has {fs.cgfrags(cgx)} frags")
        if old:
            return cls._decode_ocg(data, fs, row, where)
        iusedoff, freeoff = row.cg_iusedoff, row.cg_freeoff
        clustersum, clustersfree = _clusters(data, fs, row, where)
        return cls(
            cgx=cgx,
            old=False,
            record=row,
            cg_cs=Csum(*row.cg_cs),
            ndblk=row.cg_ndblk,
            initediblk=_initediblk(fs, row, where),
            inosused=_map(data, iusedoff, fs.fs_ipg, where, "cg_iusedoff"),
            blksfree=_map(data, freeoff, fs.fs_fpg, where, "cg_freeoff"),
            clustersum=clustersum,
            clustersfree=clustersfree,
        )

    @classmethod
    def _decode_ocg(cls, data: bytes, fs: Superblock, row: Any, where: str) -> Cg:
        """Return a 4.2BSD group, whose maps are at fixed places."""
        if fs.fs_ipg > _OCG_MAXIPG:
            raise Corrupt(where, "fs_ipg", fs.fs_ipg, f"a 4.2BSD group has at most {_OCG_MAXIPG} inodes")
        return cls(
            cgx=row.cg_cgx,
            old=True,
            record=row,
            cg_cs=Csum(*row.cg_cs),
            ndblk=row.cg_ndblk,
            initediblk=fs.fs_ipg,
            inosused=_map(data, _OCG_IUSED, fs.fs_ipg, where, "cg_iused"),
            blksfree=_map(data, _OCG_FREE, fs.fs_fpg, where, "cg_free"),
        )

    def inode_used(self, index: int) -> bool:
        """True when the group's inode `index` (0..fs_ipg-1) is allocated."""
        return bool(self.inosused[index >> 3] >> (index & 7) & 1)

    def frag_free(self, index: int) -> bool:
        """True when the group's frag `index` (0..ndblk-1) is free."""
        return bool(self.blksfree[index >> 3] >> (index & 7) & 1)


def encode_cg(
    fs: Superblock,
    old: Buffer,
    record: Any,
    inosused: bytes,
    blksfree: bytes,
    clustersum: Sequence[int] = (),
    clustersfree: bytes = b"",
) -> bytes:
    """Return the fs_cgsize bytes of a group; what is not given stays as it was.

    Args:
        fs: the superblock.
        old: the bytes that `Cg.decode` took.
        record: the header, its offsets unchanged.
        inosused, blksfree, clustersum, clustersfree: the maps, as `Cg` has them.
    """
    data = bytearray(old[: fs.fs_cgsize])
    data[: CG.size] = CG.codec(fs.order).pack(record)
    for offset, content in ((record.cg_iusedoff, inosused), (record.cg_freeoff, blksfree)):
        data[offset : offset + len(content)] = content
    if clustersum:
        first = record.cg_clustersumoff + 4
        struct.pack_into(f"{fs.order}{len(clustersum) - 1}i", data, first, *clustersum[1:])
        data[record.cg_clusteroff : record.cg_clusteroff + len(clustersfree)] = clustersfree
    set_hash(fs, CK_CYLGRP, data, CG, "cg_ckhash")
    return bytes(data)


def _has_ocg_magic(data: bytes, fs: Superblock) -> bool:
    if fs.ufs2 or len(data) < _OCG_FREE:
        return False
    return bool(struct.unpack_from(fs.order + "I", data, _OCG_MAGIC)[0] == CG_MAGIC)


def _map(data: bytes, offset: int, nbits: int, where: str, name: str) -> bytes:
    """Return the bytes of a bitmap of `nbits` bits; Corrupt when it is not inside the group."""
    nbytes = (nbits + 7) // 8
    if offset < CG.size or offset + nbytes > len(data):
        raise Corrupt(where, name, offset, f"a map of {nbytes} bytes must lie in {CG.size}..{len(data)}")
    return data[offset : offset + nbytes]


def _initediblk(fs: Superblock, row: Any, where: str) -> int:
    """Return the number of initialised inodes."""
    if not fs.ufs2:
        return fs.fs_ipg
    inited = int(row.cg_initediblk)
    if not 0 <= inited <= fs.fs_ipg:
        raise Corrupt(where, "cg_initediblk", inited, f"must be 0..{fs.fs_ipg}")
    return inited


def _clusters(data: bytes, fs: Superblock, row: Any, where: str) -> tuple[tuple[int, ...], bytes]:
    """Return cluster counters and map; both empty when the file system has none."""
    count = fs.fs_contigsumsize
    if count <= 0:
        return (), b""
    offset = row.cg_clustersumoff
    if offset < CG.size or offset % 4 or offset + 4 * (count + 1) > len(data):
        raise Corrupt(
            where, "cg_clustersumoff", offset, f"{count + 1} counters must lie in {len(data)} bytes"
        )
    if not 0 <= row.cg_nclusterblks <= fs.fs_fpg // fs.fs_frag:
        raise Corrupt(where, "cg_nclusterblks", row.cg_nclusterblks, "exceeds the blocks of a group")
    sums = struct.unpack_from(f"{fs.order}{count + 1}i", data, offset)
    return sums, _map(data, row.cg_clusteroff, row.cg_nclusterblks, where, "cg_clusteroff")
