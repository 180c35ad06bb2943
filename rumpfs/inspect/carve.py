"""File systems and disklabels on a disk whose tables are lost: found by their magic numbers.

Every superblock is one of several copies: the primary, and one in each cylinder group, just before the
group's block. That block says the number of the group, and the superblock where in the file system it is: so
each copy tells where its file system begins.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from rumpfs.base.errors import Corrupt, DiskError
from rumpfs.ondisk.disklabel import (
    DISKMAGIC,
    DISKMAGIC_DELETED,
    Dialect,
    Disklabel,
    decode_disklabel,
    is_deleted,
    label_order,
)
from rumpfs.ondisk.labelscan import PORT_OFFSETS
from rumpfs.ondisk.layout import BIG, LITTLE
from rumpfs.ondisk.ufs.cg import CG_MAGIC
from rumpfs.ondisk.ufs.fs import FS, FS_SIZE, FS_UFS1_MAGIC, FS_UFS2_MAGIC, FS_UFS2EA_MAGIC, SBLOCKSEARCH
from rumpfs.ondisk.ufs.sbcheck import check_superblock
from rumpfs.ondisk.ufs.superblock import Superblock

#: ``read(nbytes, offset)`` returns the bytes there
Read = Callable[[int, int], bytes]

_SECTOR: Final = 512
#: Bytes that are looked at together, and how far the structures that begin in them reach.
_CHUNK: Final = 8 << 20
_REACH: Final = 8192
#: Superblocks and labels that are remembered: a disk of 16 TB has as many groups.
_MOST: Final = 65536
_ENDLESS: Final = 1 << 62

_FS_MAGICS: Final = (FS_UFS1_MAGIC, FS_UFS2_MAGIC, FS_UFS2EA_MAGIC)
#: Byte of a cylinder group at which its magic number is; the second is that of 4.2BSD.
_CG_MAGICS: Final = (4, 980)
_CG_CGX: Final = 12


def _swapped(number: int) -> int:
    return int.from_bytes(number.to_bytes(4, "little"), "big")


def _both(numbers: tuple[int, ...]) -> frozenset[int]:
    """Return numbers of 32 bits as they look in both byte orders."""
    return frozenset(numbers) | frozenset(map(_swapped, numbers))


_FS_LOOK: Final = _both(_FS_MAGICS)
_LABEL_LOOK: Final = _both((DISKMAGIC, DISKMAGIC_DELETED))
#: Bytes of a sector at which the magic number of a superblock, and those of labels, can be.
_FS_PLACE: Final = FS.offset("fs_magic") % _SECTOR
_LABEL_PLACES: Final = tuple(sorted({place % _SECTOR for place in PORT_OFFSETS}))


class Copy(NamedTuple):
    """A superblock of a file system.

    Attributes:
        offset: byte of the disk.
        group: the group whose copy it is; -1 for the primary.
    """

    offset: int
    group: int


@dataclass(slots=True)
class Found:
    """A file system.

    Attributes:
        start: byte of the disk at which it begins; negative when its beginning is missing.
        fs: its superblock, from the primary when there is one.
        copies: where its superblocks are, in order.
        sure: that it begins there follows from more than one superblock alone.
    """

    start: int
    fs: Superblock
    copies: list[Copy] = field(default_factory=list)
    sure: bool = True

    @property
    def size(self) -> int:
        """Bytes that it has."""
        return self.fs.fs_size * self.fs.fs_fsize

    @property
    def primary(self) -> bool:
        """True when its primary superblock is sound."""
        return any(copy.group < 0 for copy in self.copies)

    @property
    def sblock(self) -> int | None:
        """The sector, from its start, of a copy for fsck_ffs -b; None when there is none."""
        found = [copy.offset - self.start for copy in self.copies if copy.group >= 0]
        return found[0] // _SECTOR if found else None


class FoundLabel(NamedTuple):
    """A disklabel.

    Attributes:
        offset: byte of the disk.
        label: what it says; None when it is damaged.
        problem: what is wrong with it, or empty.
    """

    offset: int
    label: Disklabel | None
    problem: str


class Carved(NamedTuple):
    """What was found; `rejected` places have the magic number of a superblock, and are none."""

    filesystems: list[Found]
    labels: list[FoundLabel]
    rejected: int


def carve(read: Read, size: int, where: str, progress: Callable[[int], None] | None = None) -> Carved:
    """Look for file systems and disklabels everywhere on a disk.

    Args:
        read: reads it.
        size: bytes of it.
        where: names it in messages.
        progress: is told how many bytes are done.
    """
    supers: list[Superblock] = []
    labels: list[FoundLabel] = []
    rejected = 0
    for base in range(0, size, _CHUNK):
        data = read(min(_CHUNK + _REACH, size - base), base)
        for place in _places(data, _FS_PLACE, _FS_LOOK):
            at = place - FS.offset("fs_magic")
            if at < 0 and base:
                continue  # it began in the chunk before
            fs = _superblock(data, at, base + at, where)
            rejected += fs is None
            if fs is not None and len(supers) < _MOST:
                supers.append(fs)
        for mod in _LABEL_PLACES:
            for place in _places(data, mod, _LABEL_LOOK):
                if place < _CHUNK and len(labels) < _MOST and (found := _label(data, place, base, where)):
                    labels.append(found)
        if progress is not None:
            progress(min(base + _CHUNK, size))
    supers = _once(supers)
    return Carved(_file_systems(supers, read, size), sorted(labels, key=lambda label: label.offset), rejected)


def _places(data: bytes, place: int, look: frozenset[int]) -> Iterator[int]:
    """Yield the bytes at which one of some numbers is, of those that are at a byte of a sector."""
    whole = memoryview(data)[: len(data) & ~3].cast("I")
    numbers = whole[place // 4 :: _SECTOR // 4].tolist()
    if look.isdisjoint(numbers):
        return
    for index, number in enumerate(numbers):
        if number in look:
            yield place + index * _SECTOR


def _superblock(data: bytes, at: int, offset: int, where: str) -> Superblock | None:
    """Return the superblock at a byte of the data, when it is one."""
    if at < 0 or at + FS_SIZE > len(data):
        return None
    magic = int.from_bytes(data[at + FS_SIZE - 4 : at + FS_SIZE], "little")
    order = LITTLE if magic in _FS_MAGICS else BIG
    fs = Superblock.decode(data[at : at + _REACH], order, offset, where)
    try:
        check_superblock(fs, _ENDLESS)
    except Corrupt:
        return None
    return fs


def _once(supers: list[Superblock]) -> list[Superblock]:
    """Return superblocks without those that two chunks have shown."""
    return list({fs.offset: fs for fs in supers}.values())


def _label(data: bytes, place: int, base: int, where: str) -> FoundLabel | None:
    if is_deleted(data, place):
        return FoundLabel(base + place, None, "it was deleted: its magic numbers are inverted")
    if label_order(data, place) is None:
        return None
    name = f"{where}: disklabel at byte {base + place}"
    try:
        return FoundLabel(base + place, decode_disklabel(data, place, name, Dialect.NETBSD), "")
    except DiskError as error:
        return FoundLabel(base + place, None, error.why)


# --- to which file system a superblock belongs -------------------------------------------------------------


def _file_systems(supers: list[Superblock], read: Read, size: int) -> list[Found]:
    """Return the file systems that superblocks belong to, in the order of the disk."""
    found: dict[tuple[object, ...], Found] = {}
    left: list[Superblock] = []
    for fs in supers:
        group = _group_beside(fs, read, size)
        if group is not None:
            _enter(found, fs, fs.offset - fs.cgsblock(group) * fs.fs_fsize, group)
        else:
            left.append(fs)
    for fs in left:
        _enter_other(found, fs)
    for each in found.values():
        each.copies.sort()
    return sorted(found.values(), key=lambda each: each.start)


def _key(fs: Superblock) -> tuple[object, ...]:
    """Return what the copies of one file system have in common."""
    return fs.order, fs.fs_magic, fs.fs_id, fs.fs_ncg, fs.fs_bsize, fs.fs_fsize, fs.fs_fpg, fs.fs_sblkno


def _enter(found: dict[tuple[object, ...], Found], fs: Superblock, start: int, group: int) -> Found:
    entry = found.setdefault((start, *_key(fs)), Found(start, fs))
    entry.copies.append(Copy(fs.offset, group))
    if group < 0:
        entry.fs = fs
    return entry


def _enter_other(found: dict[tuple[object, ...], Found], fs: Superblock) -> None:
    """Enter a superblock without a group's block behind it: a primary, or a copy whose group is damaged."""
    key = _key(fs)
    for entry in found.values():
        if _key(entry.fs) == key:
            group = _role(fs, entry.start)
            if group is not None:
                _enter(found, fs, entry.start, group)
                return
    primary = fs.offset - (fs.fs_sblockloc if fs.fs_sblockloc in SBLOCKSEARCH else fs.offset)
    entry = _enter(found, fs, primary, -1)
    entry.sure = fs.fs_sblockloc == fs.offset


def _role(fs: Superblock, start: int) -> int | None:
    """Return which copy a superblock is of what begins at a byte; -1: the primary; None: none."""
    distance = fs.offset - start
    if distance == fs.fs_sblockloc or (fs.old_layout and distance in SBLOCKSEARCH):
        return -1
    frag, rest = divmod(distance, fs.fs_fsize)
    group = max(0, frag) // fs.fs_fpg
    if not rest and group < fs.fs_ncg and fs.cgsblock(group) == frag:
        return group
    return None


def _group_beside(fs: Superblock, read: Read, size: int) -> int | None:
    """Return the number of the group whose block lies behind a superblock; None when there is none."""
    offset = fs.offset + (fs.fs_cblkno - fs.fs_sblkno) * fs.fs_fsize
    end = max(_CG_MAGICS) + 4
    if offset + end > size:
        return None
    data = read(end, offset)
    for place in _CG_MAGICS:
        if struct.unpack_from(f"{fs.order}I", data, place)[0] == CG_MAGIC:
            cgx = int(struct.unpack_from(f"{fs.order}i", data, _CG_CGX)[0])
            return cgx if 0 <= cgx < fs.fs_ncg else None
    return None
