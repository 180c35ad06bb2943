"""New cylinder groups: headers, and maps from what is used (NetBSD sbin/newfs/mkfs.c, `initcg`)."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from rumpfs.fs.ffs.cylgroup import CylGroup
from rumpfs.ondisk.ufs.cg import CG, CG_MAGIC, MAXFRAG, Cg
from rumpfs.ondisk.ufs.ckhash import CK_CYLGRP, set_hash
from rumpfs.ondisk.ufs.dinode import dinode_codec
from rumpfs.ondisk.ufs.fs import ROOTINO
from rumpfs.ondisk.ufs.superblock import Csum

if TYPE_CHECKING:
    from rumpfs.ondisk.ufs.superblock import Superblock


class GroupUse(NamedTuple):
    """What is used of a group.

    Attributes:
        inodes: how many of its inodes, from the first on.
        ndir: how many of these are directories.
        free: its free frags, bit n for frag n.
        initediblk: inodes of the table that are initialised.
    """

    inodes: int
    ndir: int
    free: int
    initediblk: int


def first_block(fs: Superblock) -> int:
    """Return the first block for files of the first group: that after the summary."""
    return -(-(fs.fs_dblkno + fs.fs_cssize // fs.fs_fsize) // fs.fs_frag)


def free_frags(fs: Superblock, cgx: int) -> int:
    """Return the map of the frags of a group that are for files: bit n for frag n."""
    frags = fs.cgfrags(cgx)
    before = fs.fs_sblkno if cgx else 0
    first = fs.fs_dblkno + (0 if cgx else fs.fs_cssize // fs.fs_fsize)
    return (1 << before) - 1 | (1 << frags) - 1 >> first << first


def initial_inodes(fs: Superblock, used: int) -> int:
    """Return how many inodes of a group are initialised when `used` of them are in use.

    All of UFS1; of UFS2 two blocks, or enough for the kernel not to need more at once.
    """
    if not fs.ufs2:
        return fs.fs_ipg
    return min(fs.fs_ipg, max(2, -(-used // fs.fs_inopb) + 1) * fs.fs_inopb)


def group_bytes(
    fs: Superblock, cgx: int, use: GroupUse, seconds: int, like: Any = None
) -> tuple[bytes, Csum]:
    """Return the fs_cgsize bytes of a new group, and its counters.

    Args:
        fs: the superblock.
        cgx: number of the group.
        use: what is used of it.
        seconds: the time.
        like: the header of another group of the file system, whose maps are where this one's are to be.
    """
    taken = max(use.inodes, ROOTINO) if cgx == 0 else use.inodes
    record = _header(fs, cgx, use.initediblk) if like is None else _alike(fs, cgx, use.initediblk, like)
    cg = Cg(
        cgx=cgx, old=False, record=record, cg_cs=Csum(0, 0, 0, 0), ndblk=record.cg_ndblk,
        initediblk=use.initediblk,
        inosused=((1 << taken) - 1).to_bytes(fs.fs_ipg + 7 >> 3, "little"),
        blksfree=use.free.to_bytes(fs.fs_fpg + 7 >> 3, "little"),
    )  # fmt: skip
    return _encoded(fs, cg, bytes(fs.fs_cgsize), Csum(use.ndir, 0, fs.fs_ipg - taken, 0), use.free, seconds)


def changed_group(fs: Superblock, cg: Cg, data: bytes, free: int, seconds: int) -> tuple[bytes, Csum]:
    """Return the bytes and counters of a group with another map of free frags, and perhaps of another size.

    Args:
        fs: the superblock, which says how many frags the group has now.
        cg: the group as it was.
        data: its bytes.
        free: its free frags.
        seconds: the time.
    """
    frags = fs.cgfrags(cg.cgx)
    record = cg.record._replace(cg_ndblk=frags)
    if fs.fs_contigsumsize > 0:
        record = record._replace(cg_nclusterblks=frags // fs.fs_frag)
    if not fs.ufs2:
        record = record._replace(cg_old_ncyl=_ncyl(fs, frags))
    cg = replace(cg, record=record, ndblk=frags, blksfree=free.to_bytes(fs.fs_fpg + 7 >> 3, "little"))
    return _encoded(fs, cg, data, cg.cg_cs, free, seconds)


def _encoded(fs: Superblock, cg: Cg, data: bytes, cs: Csum, free: int, seconds: int) -> tuple[bytes, Csum]:
    """Return the bytes of a group, and its counters, those of blocks and frags counted anew."""
    group = CylGroup(fs, cg, data, f"{fs.where}: cylinder group {cg.cgx}")
    nbfree = group.blocks.count((1 << fs.fs_frag) - 1)
    cs = cs._replace(cs_nbfree=nbfree, cs_nffree=free.bit_count() - nbfree * fs.fs_frag)
    encoded = bytearray(group.encode(cs, seconds))
    if not fs.ufs2 and fs.fs_old_cpg == 1 and cg.record.cg_old_boff == cg.record.cg_old_btotoff + 4:
        low = (nbfree & 0xFFFF ^ 0x8000) - 0x8000
        struct.pack_into(f"{fs.order}ih", encoded, cg.record.cg_old_btotoff, nbfree, low)
        set_hash(fs, CK_CYLGRP, encoded, CG, "cg_ckhash")
    return bytes(encoded), cs


def blank_inodes(fs: Superblock, count: int, random: Callable[[int], bytes]) -> bytearray:
    """Return free inodes, which differ in their generation numbers only.

    Args:
        random: returns so many bytes.
    """
    record = dinode_codec(fs).record
    table = bytearray(count * record.size)
    at = record.offset("di_gen")
    drawn = random(4 * count)
    for index in range(4):
        table[at + index :: record.size] = drawn[index::4]
    top = at if fs.order == ">" else at + 3
    table[top :: record.size] = bytes(value & 0x7F for value in table[top :: record.size])
    return table


def _ncyl(fs: Superblock, frags: int) -> int:
    """Return cg_old_ncyl of a group of so many frags: the cylinders that they are in."""
    per = fs.fs_fpg // max(1, fs.fs_old_cpg)
    return min(fs.fs_old_cpg, -(-frags // max(1, per)))


def _alike(fs: Superblock, cgx: int, initediblk: int, like: Any) -> Any:
    """Return the header of a group whose maps are where they are in another one."""
    frags = fs.cgfrags(cgx)
    values: dict[str, Any] = {
        "cg_cgx": cgx, "cg_ndblk": frags, "cg_cs": (0, 0, 0, 0), "cg_rotor": 0, "cg_frotor": 0,
        "cg_irotor": 0, "cg_sparecon32": (0, 0), "cg_sparecon64": (0, 0, 0),
        "cg_nclusterblks": frags // fs.fs_frag if fs.fs_contigsumsize > 0 else 0,
    }  # fmt: skip
    values |= {"cg_initediblk": initediblk} if fs.ufs2 else {"cg_old_ncyl": _ncyl(fs, frags)}
    return like._replace(**values)


def _header(fs: Superblock, cgx: int, initediblk: int) -> Any:
    """Return the header of a group."""
    frags = fs.cgfrags(cgx)
    values: dict[str, Any] = dict.fromkeys(CG.names, 0)
    values |= {"cg_sparecon32": (0, 0), "cg_sparecon64": (0, 0, 0), "cg_frsum": (0,) * MAXFRAG}
    values |= {"cg_magic": CG_MAGIC, "cg_cgx": cgx, "cg_ndblk": frags, "cg_cs": (0, 0, 0, 0)}
    if fs.fs_contigsumsize > 0:
        values["cg_nclusterblks"] = frags // fs.fs_frag
    if fs.ufs2:
        values["cg_niblk"] = fs.fs_ipg
        values["cg_initediblk"] = initediblk
        iused = CG.size
    else:
        values["cg_old_ncyl"] = fs.fs_old_cpg
        values["cg_old_niblk"] = (fs.fs_ipg & 0xFFFF ^ 0x8000) - 0x8000
        values["cg_old_btotoff"] = CG.size
        values["cg_old_boff"] = CG.size + 4 * fs.fs_old_cpg
        iused = CG.size + 6 * fs.fs_old_cpg
    free = iused + (fs.fs_ipg + 7 >> 3)
    end = free + (fs.fs_fpg + 7 >> 3)
    if fs.fs_contigsumsize > 0:
        values["cg_clustersumoff"] = end - 1 & ~3
        values["cg_clusteroff"] = values["cg_clustersumoff"] + 4 * (fs.fs_contigsumsize + 1)
        end = values["cg_clusteroff"] + (fs.fs_fpg // fs.fs_frag + 7 >> 3)
    return CG.row(**values | {"cg_iusedoff": iused, "cg_freeoff": free, "cg_nextfreeoff": end})
