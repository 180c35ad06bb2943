"""Making a file system larger (growfs(8), NetBSD resize_ffs(8)).

Groups are added, and the last one becomes as large as it can be. What lies behind the old end is written
first, so that a cut leaves what was there; then the file system is marked as not clean, what it has is
changed, and the superblock comes last. A cut in between is repaired by fsck -p, to the old or the new size.
"""

from __future__ import annotations

import copy
import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from rumpfs.abi import errno
from rumpfs.base.errors import VfsError
from rumpfs.fs.ffs.newfs_group import (
    GroupUse,
    blank_inodes,
    changed_group,
    free_frags,
    group_bytes,
    initial_inodes,
)
from rumpfs.fs.ffs.tunefs import log_of, write_superblock
from rumpfs.ondisk.ufs.cg import Cg
from rumpfs.ondisk.ufs.fs import CSUM, FS_ISCLEAN
from rumpfs.ondisk.ufs.superblock import Csum, Superblock

if TYPE_CHECKING:
    from rumpfs.dev.window import Window

#: Bytes of inodes that are written at a time.
_WRITE: Final = 1 << 20
#: What the copies of the superblock get, too.
_FIELDS: Final = (
    "fs_size", "fs_dsize", "fs_ncg", "fs_cssize", "fs_csaddr", "fs_cstotal", "fs_time", "fs_journallocs",
    "fs_old_size", "fs_old_dsize", "fs_old_ncyl", "fs_old_csaddr", "fs_old_cstotal", "fs_old_time",
)  # fmt: skip


class Growfs:
    """A file system that is to grow.

    Args:
        window: the device.
        fs: its superblock.
        size: bytes that the file system is to have, at most.
        seconds: the time.
        random: returns bytes for generation numbers.

    Attributes:
        old, fs: the superblock as it is, and as it is to be; their fs_size is equal when there is no room.

    Raises:
        VfsError: EINVAL or EBUSY, with the reason why it cannot grow.
    """

    def __init__(
        self, window: Window, fs: Superblock, size: int, seconds: int, random: Callable[[int], bytes]
    ) -> None:
        _check(fs, size)
        self._window = window
        self._random = random
        self._seconds = seconds
        self.old = fs
        self.fs = _larger(fs, size)
        self._free: dict[int, int] = {}
        self._summary: list[Csum] = []
        if self.fs.fs_size > fs.fs_size:
            self._plan()

    # --- what is to be

    def _plan(self) -> None:
        """Read what changes, and find a place for the summary."""
        old, fs = self.old, self.fs
        nbytes = old.fs_ncg * CSUM.size
        data = self._window.pread(nbytes, old.fs_csaddr * old.fs_fsize)
        self._summary = [Csum(*row) for row in CSUM.codec(fs.order).iter_unpack_flat(data)]
        self._groups: dict[int, tuple[bytes, Cg]] = {}
        last = old.fs_ncg - 1
        extra = fs.cgfrags(last) - old.cgfrags(last)
        if extra:
            self._free[last] = self._map(last) | ((1 << extra) - 1) << old.cgfrags(last)
        self._place_summary()
        fs.fs_dsize = _dsize(fs)

    def _map(self, cgx: int) -> int:
        """Return the map of free frags of a group, as it is to be."""
        if cgx in self._free:
            return self._free[cgx]
        if cgx >= self.old.fs_ncg:
            return free_frags(self.fs, cgx)
        return int.from_bytes(self._group(cgx)[1].blksfree, "little") & (1 << self.old.cgfrags(cgx)) - 1

    def _group(self, cgx: int) -> tuple[bytes, Cg]:
        """Return the bytes of a group that is there, and the group. Raises: DiskError."""
        if cgx not in self._groups:
            old = self.old
            data = self._window.pread(old.fs_cgsize, old.cgtod(cgx) * old.fs_fsize)
            self._groups[cgx] = data, Cg.decode(data, old, cgx)
        return self._groups[cgx]

    def _place_summary(self) -> None:
        """Take the frags behind the summary, or others, when it gets longer."""
        old, fs = self.old, self.fs
        before, now = (each.fs_cssize // each.fs_fsize for each in (old, fs))
        if now == before:
            return
        cgx, bit = divmod(old.fs_csaddr, fs.fs_fpg)
        more = ((1 << now - before) - 1) << bit + before
        free = self._map(cgx)
        if free & more == more:
            self._free[cgx] = free & ~more
            return
        self._free[cgx] = free | ((1 << before) - 1) << bit
        for number in [*range(old.fs_ncg, fs.fs_ncg), *range(old.fs_ncg)]:
            free = self._map(number)
            place = _find_run(free, now)
            if place >= 0:
                self._free[number] = free & ~(((1 << now) - 1) << place)
                fs.fs_csaddr = fs.cgbase(number) + place
                return
        raise VfsError(
            errno.ENOSPC, f"{now} frags that follow each other are not free anywhere for the summary"
        )

    # --- writing

    def write(self, told: Callable[[int], None] | None = None) -> None:
        """Let it grow.

        Args:
            told: is called with the number of each group that has been made.

        Raises:
            VfsError: ENOSPC: the window is too small; what the host says.
            DiskError: a group cannot be read.
        """
        old, fs, window = self.old, self.fs, self._window
        if fs.bytes_needed > window.size:
            raise VfsError(
                errno.ENOSPC, f"{window.name} has {window.size} bytes, {fs.bytes_needed} are needed"
            )
        changed = {cgx: self._changed(cgx) for cgx in sorted(self._free) if cgx < old.fs_ncg}
        template = self._group(0)[1].record
        for cgx in range(old.fs_ncg, fs.fs_ncg):
            self._write_group(cgx, template)
            if told is not None:
                told(cgx)
        self._total()
        if fs.fs_csaddr // fs.fs_fpg >= old.fs_ncg:
            self._write_summary()
        window.fsync()
        old.fs_clean = 0
        window.pwrite(old.encode(), old.offset)
        window.fsync()
        for cgx, data in changed.items():
            window.pwrite(data, fs.cgtod(cgx) * fs.fs_fsize)
        self._write_summary()
        record = fs.record._asdict()
        fields = {name: record[name] for name in _FIELDS}
        fs.fs_clean = 0
        write_superblock(fs, window, fields, copies=False)
        fs.fs_clean = FS_ISCLEAN
        write_superblock(fs, window, fields, copies=True)

    def _changed(self, cgx: int) -> bytes:
        """Return the bytes of a group that is there and changes; its counters go into the summary."""
        data, cg = self._group(cgx)
        encoded, self._summary[cgx] = changed_group(self.fs, cg, data, self._free[cgx], self._seconds)
        return encoded

    def _write_group(self, cgx: int, template: Any) -> None:
        """Write a new group: a copy of the superblock, the maps, and inodes."""
        fs, window = self.fs, self._window
        inited = initial_inodes(fs, 0)
        use = GroupUse(0, 0, self._map(cgx), inited)
        data, cs = group_bytes(fs, cgx, use, self._seconds, template)
        self._summary.append(cs)
        room = (fs.fs_cblkno - fs.fs_sblkno) * fs.fs_fsize
        window.pwrite(fs.encode().ljust(room, b"\0"), fs.cgsblock(cgx) * fs.fs_fsize)
        window.pwrite(data.ljust(fs.fs_bsize, b"\0"), fs.cgtod(cgx) * fs.fs_fsize)
        step = _WRITE // fs.dinode_size
        start = fs.cgimin(cgx) * fs.fs_fsize
        for first in range(0, inited, step):
            table = blank_inodes(fs, min(step, inited - first), self._random)
            window.pwrite(table, start + first * fs.dinode_size)

    def _total(self) -> None:
        """Enter all that has changed in the record of the superblock."""
        fs = self.fs
        fs.fs_cstotal = Csum(*map(sum, zip(*self._summary, strict=True)))
        fs.fs_time = self._seconds
        changed: dict[str, Any] = {
            "fs_size": fs.fs_size, "fs_dsize": fs.fs_dsize, "fs_ncg": fs.fs_ncg, "fs_cssize": fs.fs_cssize,
            "fs_csaddr": fs.fs_csaddr, "fs_cstotal": tuple(fs.fs_cstotal), "fs_time": fs.fs_time,
        }  # fmt: skip
        if not fs.ufs2:
            cylinders = -(-fs.fs_size * fs.fs_old_nspf // fs.fs_old_spc) if fs.fs_old_spc > 0 else fs.fs_ncg
            changed |= {
                "fs_old_size": fs.fs_size, "fs_old_dsize": fs.fs_dsize, "fs_old_ncyl": cylinders,
                "fs_old_csaddr": fs.fs_csaddr, "fs_old_cstotal": tuple(fs.fs_cstotal),
                "fs_old_time": (self._seconds & 0xFFFFFFFF ^ 1 << 31) - (1 << 31),
            }  # fmt: skip
        if fs.freebsd and fs.fs_journallocs[0]:  # FreeBSD: fs_providersize, the frags of the device
            changed["fs_journallocs"] = (self._window.size // fs.fs_fsize, *fs.fs_journallocs[1:])
        fs.record = fs.record._replace(**changed)

    def _write_summary(self) -> None:
        """Write the summary, where it is to be."""
        fs = self.fs
        flat = [number for cs in self._summary for number in cs]
        data = struct.pack(f"{fs.order}{len(flat)}i", *flat).ljust(fs.fs_cssize, b"\0")
        self._window.pwrite(data, fs.fs_csaddr * fs.fs_fsize)


def _check(fs: Superblock, size: int) -> None:
    """Raise VfsError when a file system cannot grow as it is."""
    log = log_of(fs)
    checks: tuple[tuple[bool, str], ...] = (
        (bool(fs.fs_clean & FS_ISCLEAN), "it was not unmounted cleanly: repair it first with rumpfs fsck"),
        (not fs.has_wapbl, "its log is in use: mount it once, so that the log is replayed"),
        (
            log.place != "end of partition",
            "its log is behind it: remove that with rumpfs tunefs -l 0 and a mount",
        ),
        (not fs.old_layout, "its superblock has the old layout of 4.4BSD"),
        (not any(fs.fs_snapinum), "it has snapshots: remove them first"),
        (size >= fs.bytes_needed, f"it has {fs.bytes_needed} bytes already; it can grow, and not shrink"),
        (fs.ufs2 or size // fs.fs_fsize < 1 << 31, "a FFSv1 ends at 2^31 fragments"),
        (-(-size // fs.fs_fsize // fs.fs_fpg) * fs.fs_ipg < 1 << 32, "it would have more than 2^32 inodes"),
    )
    for passes, why in checks:
        if not passes:
            raise VfsError(errno.EINVAL, why)


def _larger(old: Superblock, size: int) -> Superblock:
    """Return the superblock of the larger file system, without its counters."""
    fs = copy.copy(old)
    fs.fs_size = max(old.fs_size, size // fs.fs_fsize)
    fs.fs_ncg = -(-fs.fs_size // fs.fs_fpg)
    last = fs.fs_ncg - 1
    # A group that has no room behind its inodes is not made.
    if fs.fs_ncg > old.fs_ncg and fs.cgdmin(last) + fs.fs_frag > fs.fs_size:
        fs.fs_ncg = last
        fs.fs_size = last * fs.fs_fpg
    fs.fs_cssize = max(old.fs_cssize, fs.fragroundup(fs.fs_ncg * CSUM.size))
    return fs


def _dsize(fs: Superblock) -> int:
    """Return the frags that are for files, used or not."""
    metadata = sum(fs.cgdmin(cgx) - fs.cgsblock(cgx) for cgx in range(fs.fs_ncg))
    return fs.fs_size - fs.cgsblock(0) - metadata - fs.fs_cssize // fs.fs_fsize


def _find_run(free: int, count: int) -> int:
    """Return the first bit of `count` ones that follow each other; -1 when there are none."""
    length = 1
    while length < count:
        step = min(length, count - length)
        free &= free >> step
        length += step
    return (free & -free).bit_length() - 1
