"""How a file system is laid on a grid of cells: a band of lines for each cylinder group, in columns.

A cell stands for a frag, or for several when there are more frags than cells, so that a picture of any
volume has as many cells as fit.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from rumpfs.ondisk.ufs.superblock import Superblock

#: Columns of bands, tried in this order.
_COLUMNS: Final = (1, 2, 3, 4, 6, 8)
#: Lines that are left free below a band.
GAP: Final = 1


class Band(NamedTuple):
    """A line of lines of cells.

    Attributes:
        frag, frags: what it shows; the last one may be short.
        cgx, groups: first group and how many; of the log behind the groups -1 and 0.
        cell: number of its first cell: that of the first band times the cells of a whole one.
        cells: how many it has.
    """

    frag: int
    frags: int
    cgx: int
    groups: int
    cell: int
    cells: int


class Grid(NamedTuple):
    """Bands, in the order of the disk: along the line of columns first, then below.

    Attributes:
        cell: frags of a cell: 1, 2, 4 or a multiple of 8.
        width: cells in a line of a band.
        lines: lines of a whole band.
        columns: bands that stand beside each other.
        whole: cells of a whole band.
    """

    bands: tuple[Band, ...]
    cell: int
    width: int
    lines: int
    columns: int
    whole: int

    @property
    def cells(self) -> int:
        """Numbers of cells; those behind a short band stand for nothing."""
        last = self.bands[-1]
        return last.cell + last.cells

    @property
    def rows(self) -> int:
        """Bands that stand below each other."""
        return -(-len(self.bands) // self.columns)

    def number_of(self, cell: int) -> int:
        """Return the number of the band with a cell."""
        return cell // self.whole

    def span(self, cell: int) -> tuple[int, int]:
        """Return first frag and length of a cell."""
        band = self.bands[self.number_of(cell)]
        first = (cell - band.cell) * self.cell
        return band.frag + first, min(self.cell, band.frags - first)


def plan(fs: Superblock, frags: int, log: tuple[int, int], width: int, height: int, label: int = 0) -> Grid:
    """Return the grid that shows a file system in `width` x `height` cells, gaps included.

    Args:
        fs: its superblock.
        frags: those that the device has of it.
        log: frag and length of a log behind it; length 0 for none.
        label: cells beside each band that are kept free.
    """
    groups = max(1, -(-frags // fs.fs_fpg))
    columns, rows, per = _bands(groups + bool(log[1]), width, height, label)
    line = max(1, width // columns - label)
    lines = max(1, height // rows - GAP)
    if line >= 4 * fs.fs_frag:
        line -= line % fs.fs_frag
    span = per * fs.fs_fpg
    cell = _nice(-(-span // (line * lines)))
    cells = -(-span // cell)
    line = min(line, cells)
    bands = [
        _band(
            first * fs.fs_fpg, min(span, frags - first * fs.fs_fpg), first, per, groups, number * cells, cell
        )
        for number, first in enumerate(range(0, groups, per))
    ]
    if log[1]:
        bands += _log_bands(log, len(bands), cells, cell)
    return Grid(tuple(bands), cell, line, -(-cells // line), min(columns, len(bands)), cells)


def _bands(bands: int, width: int, height: int, label: int) -> tuple[int, int, int]:
    """Return (columns, rows, groups in a band) for that many bands."""
    room = max(1, height // (1 + GAP))
    columns = 1
    for columns in _COLUMNS:
        if width // columns < max(4 * label, 8):
            columns = max(1, columns - 1)
            break
        if -(-bands // columns) <= room:
            break
    per = max(1, -(-bands // (columns * room)))
    return columns, -(-bands // (per * columns)), per


def _band(frag: int, frags: int, cgx: int, per: int, groups: int, index: int, cell: int) -> Band:
    return Band(frag, frags, cgx, min(per, groups - cgx), index, -(-frags // cell))


def _log_bands(log: tuple[int, int], number: int, cells: int, cell: int) -> list[Band]:
    """Return the bands of a log, each as long as one of groups; `number` is that of the first."""
    frag, frags = log
    step = cells * cell
    bands = []
    for index, done in enumerate(range(0, frags, step), number):
        part = min(step, frags - done)
        bands.append(Band(frag + done, part, -1, 0, index * cells, -(-part // cell)))
    return bands


def _nice(frags: int) -> int:
    """Return the smallest size of a cell that is not less: a power of two, or whole bytes of a map."""
    if frags > 8:
        return -(-frags // 8) * 8
    return next(size for size in (1, 2, 4, 8) if size >= frags)
