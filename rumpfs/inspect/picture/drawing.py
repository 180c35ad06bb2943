"""The allocation picture: bands of squares for the groups, with title, figures, scale and legend."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from rumpfs.inspect.allocation import MARK, Allocation, grid_of
from rumpfs.inspect.grid import GAP, Band, Grid
from rumpfs.inspect.picture.font import text_width
from rumpfs.inspect.picture.palette import FAINT, GREY, INK, PAPER, STYLES, Painter, shade, style_of
from rumpfs.inspect.picture.scene import Box, Cells, Scene, Text
from rumpfs.inspect.raw import Raw

#: Sizes of squares in pixels, the first one with room for every frag is taken; else frags share squares.
_SIZES: Final = (12, 10, 8, 7, 6, 5, 4)
_SHARED: Final = 3
#: Squares of this size have a line of paper between them.
_GAPPED: Final = 6

_MARGIN: Final = 28
_LABELS: Final = 46
_METERS: Final = 92
_TITLE: Final = 15
_FIGURE: Final = 16
_SMALL: Final = 8
_LEGEND: Final = 9
#: Height of the bands, as a part of the width of the picture, where nothing else is wanted.
_ASPECT: Final = 0.72
_NARROWEST: Final = 320


class Fact(NamedTuple):
    """A figure, and what it counts."""

    figure: str
    words: str


class Words(NamedTuple):
    """What is written around the cells.

    Attributes:
        title, subtitle: what it is a picture of.
        facts: figures of the whole.
        marks: names of what is marked, by number.
        cell, line: what a square and a line of squares are.
        shares: of the areas, for the legend.
    """

    title: str
    subtitle: str
    facts: Sequence[Fact]
    marks: Sequence[str]
    cell: str
    line: str
    shares: dict[int, str]


class Frame(NamedTuple):
    """The size of a picture and of its squares.

    Attributes:
        width: pixels of the picture.
        size, gap: pixels from one square to the next, and of them those between.
        grid: the squares.
    """

    width: int
    size: int
    gap: int
    grid: Grid

    @property
    def meters(self) -> bool:
        """Whether the bands have a bar that says how full they are."""
        return self.grid.columns == 1


class Drawing(NamedTuple):
    """A picture.

    Attributes:
        places: where the first square of each band is, in pixels.
    """

    scene: Scene
    frame: Frame
    places: list[tuple[int, int]]


def frame(raw: Raw, width: int, height: int = 0) -> Frame:
    """Return the frame of a picture: with the largest squares with which every frag has its own.

    Args:
        width: pixels.
        height: pixels that the bands may have at most; 0 for some that look well.
    """
    width = max(width, _NARROWEST)
    height = height or round(width * _ASPECT)
    room = width - 2 * _MARGIN
    for size in (*_SIZES, _SHARED):
        grid = grid_of(raw, (room - _METERS) // size, height // size, -(-_LABELS // size))
        if grid.cell == 1:
            break
    if grid.columns > 1:
        grid = grid_of(raw, room // size, height // size, -(-_LABELS // size))
    return Frame(width, size, int(size >= _GAPPED), grid)


def draw(what: Allocation, frame: Frame, words: Words, legend: bool = True) -> Drawing:
    """Draw an allocation.

    Args:
        what: counted on the grid of the frame.
        legend: say what the colours mean.
    """
    scene = Scene(frame.width, 0, words.title, PAPER)
    y = _head(scene, words)
    places = _bands(scene, what, frame, y)
    lines = [-(-band.cells // frame.grid.width) for band in frame.grid.bands]
    y = max(top + count * frame.size for count, (_, top) in zip(lines, places, strict=True)) + 26
    if legend:
        y = _legend(scene, what, words, y)
    scene.height = y + _MARGIN // 2
    return Drawing(scene, frame, places)


def _write(
    scene: Scene, x: int, y: int, text: str, size: float, colour: tuple[int, int, int] = INK,
    bold: bool = False, right: bool = False,
) -> None:  # fmt: skip
    scene.items.append(Text(x, y, text, size, colour, bold, right))


# --- above ------------------------------------------------------------------------------------------------


def _head(scene: Scene, words: Words) -> int:
    """Write title and figures; return where the bands begin."""
    y = _MARGIN + _TITLE
    room = scene.width - 2 * _MARGIN
    _write(scene, _MARGIN, y, _shortened(words.title, _TITLE, room), _TITLE, bold=True)
    y += 24
    _write(scene, _MARGIN, y, _shortened(words.subtitle, _LEGEND, room), _LEGEND, GREY)
    y += 16
    if words.facts:
        columns = max(1, min(len(words.facts), room // 180))
        for index, fact in enumerate(words.facts):
            line, column = divmod(index, columns)
            x, top = _MARGIN + column * room // columns, y + line * 58
            scene.items.append(Box(x, top + 10, 3, _FIGURE + 22, _BAR))
            _write(scene, x + 14, top + 10 + _FIGURE, fact.figure, _FIGURE, bold=True)
            _write(scene, x + 14, top + 10 + _FIGURE + 20, fact.words, _SMALL, GREY)
        y += -(-len(words.facts) // columns) * 58
    return y + 22


_BAR: Final = (70, 130, 196)


def _shortened(text: str, size: float, room: int) -> str:
    """Return a text that is not wider than the room for it; it loses its beginning."""
    if text_width(text, size) <= room:
        return text
    while text and text_width(f"...{text}", size) > room:
        text = text[max(1, len(text) // 50) :]
    return f"...{text}"


# --- bands ------------------------------------------------------------------------------------------------


def _height(frame: Frame) -> int:
    return frame.grid.lines * frame.size


def _bands(scene: Scene, what: Allocation, frame: Frame, y: int) -> list[tuple[int, int]]:
    """Draw the bands; return where they are."""
    grid, size = frame.grid, frame.size
    painter = Painter(what)
    step = _height(frame) + min(GAP * size, 7)
    across = (scene.width - 2 * _MARGIN) // grid.columns
    every = max(1, -(-(_SMALL + 5) // step))
    places = []
    for number, band in enumerate(grid.bands):
        row, column = divmod(number, grid.columns)
        x, top = _MARGIN + column * across + _LABELS, y + row * step
        places.append((x, top))
        scene.items.append(Cells(x, top, size, frame.gap, grid.width, painter.colours(band)))
        base = top + (min(_height(frame), 3 * _SMALL) + _SMALL) // 2
        if row % every == 0:
            name = "log" if band.cgx < 0 else str(band.cgx)
            label = f"cg {name}" if band.cgx >= 0 and every == 1 else name
            _write(scene, x - 8, base, label, _SMALL, GREY, right=True)
        if frame.meters and band.groups:
            _meter(scene, what, band, x + grid.width * size + 14, top, frame, row % every == 0)
    return places


def _meter(scene: Scene, what: Allocation, band: Band, x: int, top: int, frame: Frame, text: bool) -> None:
    """Draw how full a band is."""
    groups = what.groups[band.cgx : band.cgx + band.groups]
    frags = sum(group.frags for group in groups)
    used = sum(group.used for group in groups)
    height = min(_height(frame) - frame.gap, 8)
    width = 34
    middle = top + (min(_height(frame), 3 * _SMALL) - height) // 2
    scene.items.append(Box(x, middle, width, height, FAINT))
    scene.items.append(Box(x, middle, width * used // max(1, frags), height, _BAR))
    if text:
        base = top + (min(_height(frame), 3 * _SMALL) + _SMALL) // 2
        _write(scene, x + width + 36, base, f"{used * 100 // max(1, frags)}%", _SMALL, GREY, right=True)


# --- below ------------------------------------------------------------------------------------------------


def _legend(scene: Scene, what: Allocation, words: Words, y: int) -> int:
    """Say what the colours mean; return where the picture ends."""
    entries = [
        (style_of(MARK + number).colour, name, words.shares.get(MARK + number, ""))
        for number, name in enumerate(words.marks)
    ]
    entries += [
        (shade(area, bool(what.marked)), style.text, words.shares.get(area, ""))
        for area, style in STYLES.items()
        if area in words.shares
    ]
    room = scene.width - 2 * _MARGIN
    columns = max(1, room // 340)
    rows = -(-len(entries) // columns)
    scene.items.append(Box(_MARGIN, y - 6, room, 1, FAINT))
    y += 14
    for index, (colour, text, share) in enumerate(entries):
        column, row = divmod(index, rows)
        x, top = _MARGIN + column * room // columns, y + row * 22
        scene.items.append(Box(x, top, 12, 12, colour))
        _write(scene, x + 20, top + 11, share, _LEGEND, INK)
        _write(scene, x + 74, top + 11, _shortened(text, _LEGEND, room // columns - 90), _LEGEND, GREY)
    y += rows * 22 + 14
    scale = f"one square: {words.cell}; one line of a band: {words.line}"
    _write(scene, _MARGIN, y, scale, _LEGEND, GREY)
    return y + 8
