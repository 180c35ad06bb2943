"""A cylinder group as it should be, from what the other passes found.

Source: NetBSD sbin/fsck_ffs/pass5.c; sys/ufs/ffs/fs.h (``struct cg``).
"""

from __future__ import annotations

import functools
import re
import struct
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from rumpfs.fs.ffs.fsck.tables import BADDIR, DIR, FOUND, FREE
from rumpfs.ondisk.ufs.cg import CG, CG_MAGIC, MAXFRAG
from rumpfs.ondisk.ufs.fs import FS_FLAGS_UPDATED, ROOTINO
from rumpfs.ondisk.ufs.rotational import rotational_tables
from rumpfs.ondisk.ufs.superblock import Csum

if TYPE_CHECKING:
    from rumpfs.fs.ffs.fsck.checker import Check
    from rumpfs.ondisk.ufs.superblock import Superblock

#: What a rebuilt header takes over from the one that is there: times, and what NetBSD leaves spare.
_KEPT: Final = ("cg_old_time", "cg_time")
#: Words that FreeBSD uses where NetBSD has zeros: cg_unrefs, cg_ckhash.
_FREEBSD: Final = ("cg_sparecon32", "cg_ckhash", "cg_sparecon64")


@dataclass(frozen=True, slots=True)
class Group:
    """A group, rebuilt.

    Attributes:
        row: the header.
        data: all of its bytes, without a check hash.
        tables: the byte offset and the end of the rotational tables; equal when there are none.
        maps: the byte offset and the end of the maps.
        cs: its counters.
    """

    row: Any
    data: bytes
    tables: tuple[int, int]
    maps: tuple[int, int]
    cs: Csum


def rebuild(ck: Check, cgx: int, found: Any) -> Group:
    """Return a group as it should be.

    Args:
        ck: the check.
        cgx: its number.
        found: the header that is there, for its times and rotors.
    """
    fs = ck.fs
    frags = fs.cgfrags(cgx)
    free = ck.map.free_bits(fs.cgbase(cgx), frags)
    free_map = free.to_bytes(-(-fs.fs_fpg // 8), "little")
    nbfree, nffree, frsum = _count(free_map, fs.fs_frag)
    used, ndir = _inodes(ck, cgx)
    nifree = fs.fs_ipg - used.bit_count()
    cs = Csum(ndir, nbfree, nifree, nffree)
    row = _header(fs, cgx, found, frags, cs, frsum)
    if fs.ufs2:
        row = row._replace(cg_niblk=fs.fs_ipg, cg_initediblk=ck.inited[cgx])
    data = bytearray(fs.fs_cgsize)
    data[: CG.size] = CG.codec(fs.order).pack(row)
    _place(data, row.cg_iusedoff, used.to_bytes(-(-fs.fs_ipg // 8), "little"))
    _place(data, row.cg_freeoff, free_map)
    blocks = _whole_blocks(free_map, fs.fs_frag)
    if fs.fs_contigsumsize > 0:
        _clusters(fs, row, data, blocks[: row.cg_nclusterblks])
    tables = (row.cg_old_btotoff, row.cg_iusedoff) if fs.old_layout else (0, 0)
    if fs.old_layout:
        starts = (match.start() * fs.fs_frag for match in re.finditer(b"1", blocks))
        data = bytearray(rotational_tables(fs, data, row._replace(cg_old_ncyl=fs.fs_old_cpg), starts))
    return Group(row, bytes(data[: fs.fs_cgsize]), tables, (row.cg_iusedoff, row.cg_nextfreeoff), cs)


def _place(data: bytearray, offset: int, content: bytes) -> None:
    data[offset : offset + len(content)] = content


def _inodes(ck: Check, cgx: int) -> tuple[int, int]:
    """Return the inode map of a group as a number, and how many directories it has."""
    ipg = ck.fs.fs_ipg
    state = ck.inodes.state[cgx * ipg : (cgx + 1) * ipg]
    used = int(state.translate(_USED)[::-1], 2)
    if cgx == 0:
        used |= (1 << ROOTINO) - 1
    return used, sum(map(state.count, _DIRECTORY_STATES))


def _header(fs: Superblock, cgx: int, found: Any, frags: int, cs: Csum, frsum: list[int]) -> Any:
    """Return the header of a group."""
    values: dict[str, Any] = dict.fromkeys(CG.names, 0)
    values |= {"cg_sparecon32": (0, 0), "cg_sparecon64": (0, 0, 0)}
    values |= {name: getattr(found, name) for name in _KEPT}
    if is_freebsd(fs):
        values |= {name: getattr(found, name) for name in _FREEBSD}
    if fs.old_layout:
        values["cg_time"] = 0
    values |= offsets(fs)
    values |= {
        "cg_magic": CG_MAGIC, "cg_cgx": cgx, "cg_ndblk": frags, "cg_cs": tuple(cs), "cg_frsum": tuple(frsum),
    }  # fmt: skip
    for name, end in (("cg_rotor", frags), ("cg_frotor", frags), ("cg_irotor", fs.fs_ipg)):
        at = getattr(found, name)
        values[name] = at if 0 <= at < end else 0
    if fs.fs_contigsumsize > 0:
        values["cg_nclusterblks"] = frags // fs.fs_frag
    if not fs.ufs2:
        values["cg_old_niblk"] = fs.fs_ipg & 0x7FFF
        values["cg_old_ncyl"] = _cylinders(fs, cgx, frags)
    return CG.row(**values)


def is_freebsd(fs: Superblock) -> bool:
    """True when FreeBSD keeps something in the words of a group that NetBSD leaves zero."""
    return bool(fs.metackhash)


def _cylinders(fs: Superblock, cgx: int, frags: int) -> int:
    """Return cg_old_ncyl."""
    cpg = fs.fs_old_cpg
    if cgx != fs.fs_ncg - 1 or cpg <= 0:
        return cpg
    if not fs.record.fs_old_flags & FS_FLAGS_UPDATED:
        return int(fs.record.fs_old_ncyl % cpg)
    return -(-frags // max(1, fs.fs_fpg // cpg))


def offsets(fs: Superblock) -> dict[str, int]:
    """Return where the maps of a group are."""
    values = {}
    iused = CG.size
    if not fs.ufs2:
        values["cg_old_btotoff"] = iused
        values["cg_old_boff"] = iused + 4 * fs.fs_old_cpg
        iused = values["cg_old_boff"] + 2 * fs.fs_old_cpg * fs.fs_old_nrpos
    free = iused + -(-fs.fs_ipg // 8)
    end = free + -(-fs.fs_fpg // 8)
    if fs.fs_contigsumsize > 0:
        sums = end if fs.apple_ufs else end - 4
        values["cg_clustersumoff"] = sums + 3 & ~3
        values["cg_clusteroff"] = values["cg_clustersumoff"] + 4 * (fs.fs_contigsumsize + 1)
        end = values["cg_clusteroff"] + -(-(fs.fs_fpg // fs.fs_frag) // 8)
    return values | {"cg_iusedoff": iused, "cg_freeoff": free, "cg_nextfreeoff": end}


def _clusters(fs: Superblock, row: Any, data: bytearray, blocks: bytes) -> None:
    """Enter the runs of free blocks, and the map of free blocks."""
    sums = [0] * (fs.fs_contigsumsize + 1)
    for match in re.finditer(b"1+", blocks):
        sums[min(match.end() - match.start(), fs.fs_contigsumsize)] += 1
    struct.pack_into(f"{fs.order}{fs.fs_contigsumsize}i", data, row.cg_clustersumoff + 4, *sums[1:])
    if blocks:
        _place(data, row.cg_clusteroff, int(blocks[::-1], 2).to_bytes(-(-len(blocks) // 8), "little"))


#: state of an inode -> the digit of its bit
_USED: Final = bytes(ord("0") if state == FREE else ord("1") for state in range(256))
_DIRECTORY_STATES: Final = (DIR, FOUND, BADDIR)


@functools.cache
def _byte_counts(frag: int) -> list[tuple[int, int, tuple[int, ...]]]:
    """Return for each byte of a frag map: free blocks, free frags outside of them, lengths of their runs."""
    table = []
    full = (1 << frag) - 1
    for value in range(256):
        blocks = frags = 0
        lengths: list[int] = []
        for shift in range(0, 8, frag):
            part = value >> shift & full
            if part == full:
                blocks += 1
            elif part:
                frags += part.bit_count()
                lengths += map(len, re.findall("1+", f"{part:b}"))
        table.append((blocks, frags, tuple(lengths)))
    return table


def _count(free_map: bytes, frag: int) -> tuple[int, int, list[int]]:
    """Return cs_nbfree, cs_nffree and cg_frsum of a frag map."""
    nbfree = nffree = 0
    frsum = [0] * MAXFRAG
    table = _byte_counts(frag)
    for value, times in Counter(free_map).items():
        blocks, frags, lengths = table[value]
        nbfree += blocks * times
        nffree += frags * times
        for length in lengths:
            frsum[length] += times
    return nbfree, nffree, frsum


@functools.cache
def _byte_blocks(frag: int) -> list[bytes]:
    """Return for each byte of a frag map a digit for each of its blocks: 1 when it is free."""
    full = (1 << frag) - 1
    return [
        b"".join(b"1" if value >> shift & full == full else b"0" for shift in range(0, 8, frag))
        for value in range(256)
    ]


def _whole_blocks(free_map: bytes, frag: int) -> bytes:
    """Return a digit for each block of a frag map: 1 when all of it is free."""
    return b"".join(map(_byte_blocks(frag).__getitem__, free_map))
