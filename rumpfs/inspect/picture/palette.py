"""How each use of space is shown: colour, letter and words. And the colour of a cell that has several."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from rumpfs.inspect.allocation import LARGE, MARK, Allocation, Area
from rumpfs.inspect.grid import Band
from rumpfs.inspect.picture.scene import Colour, mixed

PAPER: Final = (255, 255, 255)
INK: Final = (31, 35, 40)
GREY: Final = (101, 109, 118)
FAINT: Final = (225, 229, 234)


class Style(NamedTuple):
    """How something is shown.

    Attributes:
        letter: in pictures of letters.
        text: what it is, in the legend.
    """

    colour: Colour
    letter: str
    text: str


#: in the order of the legend
STYLES: Final = {
    Area.FILE: Style((70, 130, 196), "f", "files in one piece"),
    Area.PIECES: Style((240, 173, 78), "p", f"files in pieces of {LARGE} blocks or more"),
    Area.SCATTERED: Style((214, 69, 65), "s", "files in smaller pieces"),
    Area.DIRECTORY: Style((52, 152, 96), "d", "directories"),
    Area.INDIRECT: Style((22, 60, 110), "i", "indirect blocks"),
    Area.ATTRIBUTES: Style((140, 190, 70), "a", "extended attributes"),
    Area.SNAPSHOT: Style((141, 98, 72), "n", "snapshots"),
    Area.OTHER: Style((120, 120, 60), "o", "of inodes that should have none"),
    Area.LOST: Style((255, 0, 170), "?", "in use, and nothing leads there"),
    Area.INODES: Style((124, 77, 190), "I", "inodes in use"),
    Area.INODES_FREE: Style((187, 162, 226), "F", "free inodes"),
    Area.INODES_RAW: Style((229, 220, 243), "-", "inodes never initialised"),
    Area.SUPERBLOCK: Style((45, 51, 59), "S", "superblock and its copies"),
    Area.GROUP: Style((214, 180, 20), "G", "cylinder group blocks"),
    Area.SUMMARY: Style((150, 120, 10), "C", "counters of all groups"),
    Area.LOG: Style((0, 160, 165), "L", "log"),
    Area.BOOT: Style((145, 152, 161), "B", "boot area"),
    Area.FREE: Style((234, 238, 242), ".", "free"),
}

#: what has other colours on dark ground, as that of a terminal
_ON_DARK: Final = {
    Area.FREE: (48, 54, 61), Area.INODES_RAW: (82, 72, 106), Area.SUPERBLOCK: (205, 211, 219),
    Area.INDIRECT: (120, 160, 230), Area.BOOT: (110, 118, 129),
}  # fmt: skip
_DARK: Final = (13, 17, 23)

#: of what is marked, by its number
MARKS: Final = ((225, 29, 72), (2, 132, 199), (22, 163, 74), (234, 88, 12), (147, 51, 234), (13, 148, 136))
_MARK_LETTERS: Final = "123456"

#: How much of its colour something keeps beside what is marked.
_DIMMED: Final = 0.3
#: The least part of a cell's colour that belongs to what must not be overlooked.
_SEEN: Final = 0.65
_BEWARE: Final = frozenset((Area.LOST, *(MARK + number for number in range(64))))


def style_of(layer: int) -> Style:
    """Return how a layer of an `Allocation` is shown; what is marked has no words of its own."""
    if layer < MARK:
        return STYLES[Area(layer)]
    number = (layer - MARK) % len(MARKS)
    return Style(MARKS[number], _MARK_LETTERS[number], "")


def shade(layer: int, marked: bool, dark: bool = False) -> Colour:
    """Return the colour of a layer of an `Allocation`.

    Args:
        marked: something is marked, and what is not is dimmed.
        dark: on dark ground.
    """
    colour = style_of(layer).colour
    if dark and layer < MARK:
        colour = _ON_DARK.get(Area(layer), colour)
    if not marked or layer >= MARK or layer == Area.FREE:
        return colour
    return mixed(((colour, _DIMMED), (_DARK if dark else PAPER, 1 - _DIMMED)))


class Painter:
    """Finds the colours of cells.

    Args:
        what: the cells; when something is marked, all else is dimmed.
        dark: for dark ground.
    """

    def __init__(self, what: Allocation, dark: bool = False) -> None:
        self._layers = sorted(what.layers)
        self._counts = [what.layers[number] for number in self._layers]
        marked = bool(what.marked)
        self._styles = [style_of(number) for number in self._layers]
        self._colours = [shade(number, marked, dark) for number in self._layers]
        self._known: dict[tuple[int, ...], Colour] = {}

    def colours(self, band: Band) -> list[Colour]:
        """Return the colours of the cells of a band."""
        return [self._colour(counts) for counts in self._rows(band)]

    def letters(self, band: Band) -> str:
        """Return the letters of the cells of a band: of what each has most of."""
        return "".join(self._styles[self._most(counts)].letter for counts in self._rows(band))

    def layers(self, band: Band) -> list[int]:
        """Return what the cells of a band have most of."""
        return [self._layers[self._most(counts)] for counts in self._rows(band)]

    def _rows(self, band: Band) -> Iterator[tuple[int, ...]]:
        part = slice(band.cell, band.cell + band.cells)
        return zip(*(counts[part] for counts in self._counts), strict=True)

    def _most(self, counts: tuple[int, ...]) -> int:
        """Return the index of the layer that a cell shows: the largest, or what must not be overlooked."""
        for index, count in enumerate(counts):
            if count and self._layers[index] in _BEWARE:
                return index
        return counts.index(max(counts))

    def _colour(self, counts: tuple[int, ...]) -> Colour:
        colour = self._known.get(counts)
        if colour is None:
            if len(self._known) > 1 << 16:
                self._known.clear()
            colour = self._known[counts] = self._mix(counts)
        return colour

    def _mix(self, counts: tuple[int, ...]) -> Colour:
        total = sum(counts)
        parts = [(colour, float(count)) for colour, count in zip(self._colours, counts, strict=True)]
        index = self._most(counts)
        if self._layers[index] in _BEWARE and counts[index] < total * _SEEN:
            parts[index] = self._colours[index], (total - counts[index]) * _SEEN / (1 - _SEEN)
        return mixed(parts) if total else PAPER
