"""The rotational tables of cylinder groups in the old layout of UFS1.

For each cylinder of a group, and for each rotational position in it, they count the blocks that are free.
Source: NetBSD sys/ufs/ffs/fs.h (`old_cg_blktot`, `old_cg_blks`, `old_cbtocylno`, `old_cbtorpos`).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from rumpfs.ondisk.layout import Buffer
from rumpfs.ondisk.ufs.cg import CG

if TYPE_CHECKING:
    from rumpfs.ondisk.ufs.superblock import Superblock


def rotational_tables(fs: Superblock, data: Buffer, record: Any, free: Iterable[int]) -> Buffer:
    """Return the bytes of a group with its tables counted anew; the same bytes when it has none.

    Args:
        fs: the superblock.
        data: the group.
        record: its header.
        free: frag indices of the free blocks.
    """
    cylinders, positions = fs.fs_old_cpg, fs.fs_old_nrpos
    totals, blocks = record.cg_old_btotoff, record.cg_old_boff
    if not fs.old_layout or cylinders <= 0 or positions <= 0 or min(fs.fs_old_spc, fs.fs_old_nspf) <= 0:
        return data
    if not CG.size <= totals <= totals + 4 * cylinders <= blocks <= len(data) - 2 * cylinders * positions:
        return data
    count = [0] * cylinders
    place = [0] * (cylinders * positions)
    for frag in free:
        cylinder = min(frag * fs.fs_old_nspf // fs.fs_old_spc, cylinders - 1)
        count[cylinder] += 1
        place[cylinder * positions + _position(fs, frag)] += 1
    changed = bytearray(data)
    struct.pack_into(f"{fs.order}{cylinders}i", changed, totals, *count)
    struct.pack_into(f"{fs.order}{len(place)}h", changed, blocks, *place)
    return changed


def _position(fs: Superblock, frag: int) -> int:
    """Return the rotational position of a block."""
    record = fs.record
    if fs.fs_old_nrpos <= 1 or record.fs_old_nsect <= 0 or record.fs_old_npsect <= 0:
        return 0
    track, sector = divmod(frag * fs.fs_old_nspf % fs.fs_old_spc, record.fs_old_nsect)
    turned = track * record.fs_old_trackskew + sector * record.fs_old_interleave
    position = turned % record.fs_old_nsect * fs.fs_old_nrpos // record.fs_old_npsect
    return int(min(position, fs.fs_old_nrpos - 1))
