"""What the space of a file system is used for: counted for its groups, and for the cells of a picture.

One pass over the groups and the inodes, in large pieces; what is kept are the counters, so that a volume of
any size takes as much memory as its picture.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from rumpfs.inspect.grid import Band, Grid, plan
from rumpfs.inspect.owners import Kind, kind_of, log_behind, structures_of
from rumpfs.inspect.raw import Piece, Pieces, Raw
from rumpfs.ondisk.ufs.cg import Cg
from rumpfs.ondisk.ufs.dinode import Dinode

#: Blocks from which on a piece of a file is a large one.
LARGE: Final = 8
#: Layers from this number on are those of what is to be marked.
MARK: Final = 32


class Area(IntEnum):
    """What a frag is used for."""

    FREE = 0
    #: its group has it in use, and nothing leads to it
    LOST = 1
    BOOT = 2
    SUPERBLOCK = 3
    GROUP = 4
    SUMMARY = 5
    #: inodes: in use, free, and such as were never initialised
    INODES = 6
    INODES_FREE = 7
    INODES_RAW = 8
    LOG = 9
    DIRECTORY = 10
    INDIRECT = 11
    ATTRIBUTES = 12
    #: of a file in one piece, in pieces of `LARGE` blocks or more on average, and in smaller ones
    FILE = 13
    PIECES = 14
    SCATTERED = 15
    SNAPSHOT = 16
    OTHER = 17


_OF_STRUCTURE: Final = {
    Kind.BOOT: Area.BOOT, Kind.SUPERBLOCK: Area.SUPERBLOCK, Kind.GROUP: Area.GROUP,
    Kind.SUMMARY: Area.SUMMARY,
}  # fmt: skip
_OF_INODE: Final = {
    Kind.DIRECTORY: Area.DIRECTORY, Kind.LOG: Area.LOG, Kind.SNAPSHOT: Area.SNAPSHOT, Kind.OTHER: Area.OTHER,
}  # fmt: skip


@dataclass(slots=True)
class GroupFigures:
    """A cylinder group.

    Attributes:
        cgx: its number.
        frag, frags: where it is, as far as the device goes.
        damaged: its block cannot be used; then nothing in it is known to be free.
        free: free frags, those of free blocks among them.
        free_blocks: whole free blocks.
        inodes, inodes_used, inodes_initialised, directories: counts.
        areas: frags by what they are used for, those of free and lost ones left out.
    """

    cgx: int
    frag: int
    frags: int
    damaged: bool = False
    free: int = 0
    free_blocks: int = 0
    inodes: int = 0
    inodes_used: int = 0
    inodes_initialised: int = 0
    directories: int = 0
    areas: Counter[int] = field(default_factory=Counter)

    @property
    def used(self) -> int:
        """Frags in use, metadata among them."""
        return self.frags - self.free

    @property
    def lost(self) -> int:
        """Frags in use to which nothing leads."""
        return max(0, self.used - sum(self.areas.values()))

    @property
    def doubled(self) -> int:
        """Frags that have two uses: more than one owner, or one and are free."""
        return max(0, sum(self.areas.values()) - self.used)


@dataclass(slots=True)
class Contiguity:
    """How files lie on the disk.

    Attributes:
        files: those that have blocks.
        extents: their pieces; an indirect block between two does not part them.
        in_pieces: files with more than one.
        frags: frags of the pieces.
    """

    files: int = 0
    extents: int = 0
    in_pieces: int = 0
    frags: int = 0

    def add(self, pieces: int, frags: int) -> None:
        """Count a file."""
        if pieces:
            self.files += 1
            self.extents += pieces
            self.in_pieces += pieces > 1
            self.frags += frags


@dataclass(slots=True)
class Allocation:
    """What a file system's space is used for. Picklable.

    Attributes:
        grid: the cells.
        layers: frags in each cell by `Area`, and by `MARK` + n for what is marked as number n; a marked frag
            is in no other layer.
        groups: figures of the groups.
        contiguity: of all files and directories.
        marked: of what is marked, by number.
        inodes: how many are in use by what their mode says.
    """

    grid: Grid
    layers: dict[int, array[int]]
    groups: list[GroupFigures]
    contiguity: Contiguity
    marked: list[Contiguity]
    inodes: int

    @property
    def frags(self) -> int:
        """Frags of all groups."""
        return sum(group.frags for group in self.groups)

    @property
    def free(self) -> int:
        """Free frags."""
        return sum(group.free for group in self.groups)

    @property
    def free_blocks(self) -> int:
        """Whole free blocks."""
        return sum(group.free_blocks for group in self.groups)

    @property
    def lost(self) -> int:
        """Frags in use to which nothing leads."""
        return sum(group.lost for group in self.groups)

    @property
    def doubled(self) -> int:
        """Frags that have two uses: more than one owner, or one and are free."""
        return sum(group.doubled for group in self.groups)

    @property
    def log(self) -> int:
        """Frags of a log behind the file system."""
        return sum(band.frags for band in self.grid.bands if not band.groups)

    def areas(self) -> Counter[int]:
        """Return the frags by what they are used for, free and lost ones among them."""
        total: Counter[int] = Counter()
        for group in self.groups:
            total.update(group.areas)
        total[Area.FREE] = self.free
        total[Area.LOST] = self.lost
        return +total


def grid_of(raw: Raw, width: int, height: int, label: int = 0) -> Grid:
    """Return the grid that shows a file system, and a log behind it; arguments as of `grid.plan`."""
    log = log_behind(raw)
    return plan(raw.fs, raw.frags, (log.frag, log.frags) if log else (0, 0), width, height, label)


def allocation(raw: Raw, grid: Grid, marks: Sequence[Collection[int]] = ()) -> Allocation:
    """Count what the space of a file system is used for.

    Args:
        raw: the file system.
        grid: the cells of the picture: `grid_of`.
        marks: sets of inodes that are to be marked; the first one with an inode has it.
    """
    return _Survey(raw, grid, marks).run()


class _Survey:
    """One pass over a file system."""

    def __init__(self, raw: Raw, grid: Grid, marks: Sequence[Collection[int]]) -> None:
        self._raw = raw
        self._fs = raw.fs
        self._grid = grid
        self._marks = [(number, inos) for number, inos in enumerate(marks) if inos]
        self._layers: dict[int, array[int]] = {}
        self._groups: list[GroupFigures] = []
        self._marked = [Contiguity() for _ in marks]
        #: groups of a band, and cells of one, to find the cell of a frag
        self._span = grid.bands[0].groups * raw.fs.fs_fpg
        self._cells = grid.whole

    def run(self) -> Allocation:
        for cgx in range(self._raw.groups):
            self._group(cgx)
        contiguity = Contiguity()
        pieces = Pieces(self._raw)
        inodes = 0
        for ino, di in self._raw.inodes():
            inodes += 1
            if di.di_blocks or di.di_size:
                self._inode(ino, di, list(pieces.of(di)), contiguity)
        for band in self._grid.bands:
            if not band.groups:
                self._fill(Area.LOG, band.cell, band.frags)
        self._lose()
        return Allocation(self._grid, self._layers, self._groups, contiguity, self._marked, inodes)

    # --- groups -----------------------------------------------------------------------------------

    def _group(self, cgx: int) -> None:
        fs, raw = self._fs, self._raw
        base = fs.cgbase(cgx)
        group = GroupFigures(cgx, base, min(fs.fs_fpg, raw.frags - base), inodes=fs.fs_ipg)
        self._groups.append(group)
        cg = raw.group(cgx)
        if cg is None:
            group.damaged = True
            group.inodes_initialised = fs.fs_ipg
        else:
            group.free = _set_bits(cg.blksfree, 0, group.frags)
            group.free_blocks = _whole_blocks(cg.blksfree, group.frags, fs.fs_frag)
            group.inodes_used = _set_bits(cg.inosused, 0, fs.fs_ipg)
            group.inodes_initialised = cg.initediblk
            group.directories = cg.cg_cs.cs_ndir
            self._free(cg, group)
        for owner in structures_of(fs, cgx):
            if owner.kind == Kind.INODES:
                self._inode_table(cg, group, owner.frag)
            else:
                self._add(_OF_STRUCTURE[owner.kind], owner.frag, owner.frags)

    def _free(self, cg: Cg, group: GroupFigures) -> None:
        """Count the free frags of the cells of a group."""
        layer = self._layer(Area.FREE)
        done = 0
        while done < group.frags:
            index, room = self._cell(group.frag + done)
            count = min(room, group.frags - done)
            layer[index] += _set_bits(cg.blksfree, done, done + count)
            done += count

    def _inode_table(self, cg: Cg | None, group: GroupFigures, first: int) -> None:
        """Count the frags of a group's inodes by how their inodes are used."""
        fs = self._fs
        per = fs.fs_fsize // fs.dinode_size or 1
        frags = min(fs.fs_ipg // per, fs.cgdmin(group.cgx) - first)
        done = 0
        while done < frags:
            _, room = self._cell(first + done)
            count = min(room, frags - done)
            start, stop = done * per, (done + count) * per
            ready = min(max(0, -(-(group.inodes_initialised - start) // per)), count)
            used = ready if cg is None else min(-(-_set_bits(cg.inosused, start, stop) // per), count)
            free = max(0, ready - used)
            for area, part in (
                (Area.INODES, used), (Area.INODES_FREE, free), (Area.INODES_RAW, count - used - free),
            ):  # fmt: skip
                self._add(area, first + done, part)
            done += count

    # --- inodes -----------------------------------------------------------------------------------

    def _inode(self, ino: int, di: Dinode, pieces: list[Piece], total: Contiguity) -> None:
        """Count what an inode has."""
        kind = kind_of(di)
        extents, frags = _extents(pieces)
        mark = next((number for number, inos in self._marks if ino in inos), -1)
        counted = kind not in (Kind.LOG, Kind.SNAPSHOT)
        if counted:
            total.add(extents, frags)
        if mark >= 0:
            self._marked[mark].add(extents, frags)
        data = _OF_INODE.get(kind, Area.FILE)
        if data == Area.FILE and extents > 1:
            data = Area.PIECES if frags >= LARGE * self._fs.fs_frag * extents else Area.SCATTERED
        for piece in pieces:
            area = Area.ATTRIBUTES if piece.attributes else Area.INDIRECT if piece.lbn < 0 else data
            self._add(area, piece.frag, piece.frags, MARK + mark if mark >= 0 else -1)

    # --- cells ------------------------------------------------------------------------------------

    def _layer(self, number: int) -> array[int]:
        layer = self._layers.get(number)
        if layer is None:
            layer = self._layers[number] = array("I", bytes(4 * self._grid.cells))
        return layer

    def _cell(self, frag: int) -> tuple[int, int]:
        """Return the cell of a frag of a group, and how many frags it has from there on."""
        number, inside = divmod(frag, self._span)
        cell, skip = divmod(inside, self._grid.cell)
        return number * self._cells + cell, min(self._grid.cell - skip, self._span - inside)

    def _add(self, area: Area, frag: int, frags: int, layer: int = -1) -> None:
        """Count frags, as far as they lie in the file system.

        Args:
            layer: in which they are shown; that of the area when it is negative.
        """
        fpg = self._fs.fs_fpg
        end = min(frag + frags, self._raw.frags)
        while frag < end:
            cgx = frag // fpg
            part = min(end, (cgx + 1) * fpg) - frag
            self._groups[cgx].areas[area] += part
            index, room = self._cell(frag)
            counts = self._layer(area if layer < 0 else layer)
            counts[index] += min(room, part)
            if part > room:
                self._fill(area if layer < 0 else layer, index + 1, part - room)
            frag += part

    def _fill(self, number: int, index: int, frags: int) -> None:
        """Count frags that begin with a cell, and lie in one band."""
        layer, step = self._layer(number), self._grid.cell
        whole, rest = divmod(frags, step)
        for cell in range(index, index + whole):
            layer[cell] += step
        if rest:
            layer[index + whole] += rest

    def _lose(self) -> None:
        """Count what is in use, and nothing leads there."""
        if not any(group.lost for group in self._groups):
            return
        lost = self._layer(Area.LOST)
        rows = [layer for number, layer in self._layers.items() if number != Area.LOST]
        for band in self._grid.bands:
            for cell, span in _spans(band, self._grid.cell):
                lost[cell] = max(0, span - sum(row[cell] for row in rows))


def _spans(band: Band, cell: int) -> list[tuple[int, int]]:
    """Return the cells of a band, each with its frags."""
    return [(band.cell + index, min(cell, band.frags - index * cell)) for index in range(band.cells)]


def _extents(pieces: list[Piece]) -> tuple[int, int]:
    """Return in how many pieces the content of an inode lies, and how many frags these are."""
    end = -1
    extents = frags = 0
    for piece in pieces:
        if piece.attributes:
            continue
        if piece.lbn >= 0:
            extents += piece.frag != end
            frags += piece.frags
        elif piece.frag != end:
            continue
        end = piece.frag + piece.frags
    return extents, frags


def _set_bits(bits: bytes, start: int, stop: int) -> int:
    """Return how many bits of a map are set from `start` on, before `stop`."""
    number = int.from_bytes(bits[start >> 3 : (stop + 7) >> 3], "little") >> (start & 7)
    return (number & (1 << (stop - start)) - 1).bit_count()


def _whole_blocks(bits: bytes, frags: int, unit: int) -> int:
    """Return how many whole blocks are free."""
    if unit == 8:
        return bits[: frags >> 3].count(255)
    if unit == 1:
        return _set_bits(bits, 0, frags)
    table = bytes(_blocks_in(byte, unit) for byte in range(256))
    whole, rest = divmod(frags, 8)
    count = sum(bits[:whole].translate(table))
    return count + _blocks_in(bits[whole] & (1 << rest) - 1, unit) if rest else count


def _blocks_in(byte: int, unit: int) -> int:
    mask = (1 << unit) - 1
    return sum(byte >> shift & mask == mask for shift in range(0, 8, unit))
