"""What `rumpfs map` writes around its picture: title, figures, scale."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from rumpfs.inspect.allocation import MARK, Allocation, Area, Contiguity
from rumpfs.inspect.grid import Grid
from rumpfs.inspect.picture.drawing import Fact, Words
from rumpfs.inspect.raw import Raw
from rumpfs.ondisk.layout import ORDER_NAMES

_UNITS: Final = ("KiB", "MiB", "GiB", "TiB", "PiB")
_DATA: Final = frozenset((
    Area.DIRECTORY, Area.INDIRECT, Area.ATTRIBUTES, Area.FILE, Area.PIECES, Area.SCATTERED, Area.SNAPSHOT,
    Area.OTHER, Area.LOST,
))  # fmt: skip


class Figures(NamedTuple):
    """Figures of a file system, as parts of 1.

    Attributes:
        used: of the space for files, as df(1) has it without the reserve.
        fragmentation: free frags that are not in free blocks, of the space for files, as fsck_ffs(8) has it.
        metadata: frags that never are a file's.
    """

    used: float
    fragmentation: float
    metadata: int


def figures(raw: Raw, what: Allocation) -> Figures:
    """Return the figures of a file system."""
    dsize = max(1, raw.fs.fs_dsize)
    metadata = sum(count for area, count in what.areas().items() if area not in _DATA and area != Area.FREE)
    partial = what.free - what.free_blocks * raw.fs.fs_frag
    return Figures(max(0, dsize - what.free) / dsize, partial / dsize, metadata)


def size_text(nbytes: int) -> str:
    """Return a number of bytes with a unit."""
    if nbytes < 1024:
        return f"{nbytes} bytes"
    power = next((n for n in range(1, len(_UNITS)) if nbytes < 1000 << 10 * n), len(_UNITS))
    value, unit = nbytes / (1 << 10 * power), _UNITS[power - 1]
    return f"{value:.0f} {unit}" if value >= 99.95 or value == int(value) else f"{value:.1f} {unit}"


def percent(part: float) -> str:
    """Return a part of 1 in percent; what is little, but not nothing, is not shown as nothing."""
    if 0 < part < 0.001:
        return "<0.1%"
    return f"{part * 100:.1f}%" if part < 0.9995 or part == 1 else ">99.9%"


def count_text(number: int, word: str) -> str:
    """Return a number with what it counts."""
    return f"{number:,} {word}{'' if number == 1 else 's'}"


def words(raw: Raw, what: Allocation, grid: Grid, image: str, files: Sequence[str]) -> Words:
    """Return what is written around a picture of an image in which files are marked."""
    fs = raw.fs
    subtitle = (
        f"FFSv{2 if fs.ufs2 else 1}, {ORDER_NAMES[fs.order]}, {size_text(what.frags * fs.fs_fsize)} in "
        f"{count_text(len(what.groups), 'cylinder group')}; blocks of {size_text(fs.fs_bsize)}, "
        f"fragments of {size_text(fs.fs_fsize)}"
    )
    cell = count_text(grid.cell, "fragment") + f" ({size_text(grid.cell * fs.fs_fsize)})"
    line = size_text(grid.cell * grid.width * fs.fs_fsize)
    named = [f"{name} ({_pieces(of)})" for name, of in zip(files, what.marked, strict=True)]
    return Words(image, subtitle, _facts(raw, what), named, cell, line, shares(what))


def shares(what: Allocation) -> dict[int, str]:
    """Return the part of the space that each use has, and that what is marked has."""
    total = max(1, what.frags)
    found = {int(area): percent(count / total) for area, count in what.areas().items()}
    if what.log:
        found[Area.LOG] = "behind"
    for number, of in enumerate(what.marked):
        found[MARK + number] = percent(of.frags / total)
    return found


def _pieces(of: Contiguity) -> str:
    pieces = count_text(of.extents, "piece")
    return f"{count_text(of.files, 'file')} in {pieces}" if of.files != 1 else f"in {pieces}"


def _facts(raw: Raw, what: Allocation) -> list[Fact]:
    fs, of = raw.fs, what.contiguity
    numbers = figures(raw, what)
    free = size_text(what.free * fs.fs_fsize)
    split = of.in_pieces / of.files if of.files else 0.0
    facts = [
        Fact(percent(numbers.used), f"used, {free} free"),
        Fact(percent(numbers.fragmentation), "fragmentation of free space"),
        Fact(f"{of.files:,}", f"files in {count_text(of.extents, 'piece')}"),
        Fact(percent(split), "of them in more than one"),
        Fact(size_text(numbers.metadata * fs.fs_fsize), "for inodes, groups and log"),
    ]
    for number, text in ((what.lost, "lost"), (what.doubled, "used twice, or free and used")):
        if number:
            facts.append(Fact(count_text(number, "fragment"), f"{text}: see rumpfs fsck"))
    return facts
