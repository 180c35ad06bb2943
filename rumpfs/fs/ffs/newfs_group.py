"""New cylinder groups: headers, and maps from what is used (NetBSD sbin/newfs/mkfs.c, `initcg`)."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, NamedTuple

from rumpfs.fs.ffs.cylgroup import CylGroup
from rumpfs.ondisk.ufs.cg import CG, CG_MAGIC, MAXFRAG, Cg
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


def group_bytes(fs: Superblock, cgx: int, use: GroupUse, seconds: int) -> tuple[bytes, Csum]:
    """Return the fs_cgsize bytes of a new group, and its counters.

    Args:
        fs: the superblock.
        cgx: number of the group.
        use: what is used of it.
        seconds: the time.
    """
    taken = max(use.inodes, ROOTINO) if cgx == 0 else use.inodes
    record = _header(fs, cgx, use.initediblk)
    cg = Cg(
        cgx=cgx, old=False, record=record, cg_cs=Csum(0, 0, 0, 0), ndblk=record.cg_ndblk,
        initediblk=use.initediblk,
        inosused=((1 << taken) - 1).to_bytes(fs.fs_ipg + 7 >> 3, "little"),
        blksfree=use.free.to_bytes(fs.fs_fpg + 7 >> 3, "little"),
    )  # fmt: skip
    group = CylGroup(fs, cg, bytes(fs.fs_cgsize), f"{fs.where}: cylinder group {cgx}")
    nbfree = group.blocks.count((1 << fs.fs_frag) - 1)
    cs = Csum(use.ndir, nbfree, fs.fs_ipg - taken, use.free.bit_count() - nbfree * fs.fs_frag)
    data = bytearray(group.encode(cs, seconds))
    if not fs.ufs2:
        low = (nbfree & 0xFFFF ^ 0x8000) - 0x8000
        struct.pack_into(f"{fs.order}ih", data, record.cg_old_btotoff, nbfree, low)
    return bytes(data), cs


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
