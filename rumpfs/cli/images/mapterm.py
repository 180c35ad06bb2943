"""The allocation picture in a terminal: half blocks in colour, or letters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import Enum
from textwrap import wrap
from typing import Final

from rumpfs.inspect.allocation import MARK, Allocation
from rumpfs.inspect.grid import GAP
from rumpfs.inspect.picture.drawing import Words
from rumpfs.inspect.picture.palette import STYLES, Painter, shade, style_of
from rumpfs.inspect.picture.scene import Colour

_HALF: Final = "\N{UPPER HALF BLOCK}"
_FULL: Final = "\N{FULL BLOCK}"
_RESET: Final = "\x1b[0m"
#: characters before a band
LABEL: Final = 6
#: columns of an entry of the legend
_ENTRY: Final = 43
#: the levels of the 6 x 6 x 6 colours of a terminal with 256
_LEVELS: Final = (0, 95, 135, 175, 215, 255)


class Ink(Enum):
    """How colours are told to a terminal."""

    NONE = 0
    INDEXED = 1
    TRUE = 2


def ink(when: str, tty: bool, environ: Mapping[str, str]) -> Ink:
    """Return how to colour.

    Args:
        when: auto, always or never.
        tty: standard output is a terminal.
        environ: NO_COLOR and TERM=dumb turn colours off, COLORTERM says that there are 2**24.
    """
    plain = bool(environ.get("NO_COLOR")) or environ.get("TERM", "dumb") == "dumb"
    if when == "never" or (when == "auto" and (plain or not tty)):
        return Ink.NONE
    return Ink.TRUE if environ.get("COLORTERM", "") in ("truecolor", "24bit") else Ink.INDEXED


def render(what: Allocation, words: Words, colours: Ink, columns: int, legend: bool) -> str:
    """Return the picture as text.

    Args:
        columns: of the terminal.
        legend: say what colours or letters mean.
    """
    lines = [words.title, words.subtitle]
    lines += wrap("; ".join(f"{fact.figure} {fact.words}" for fact in words.facts), max(columns, 2 * LABEL))
    lines.append("")
    lines += _letters(what) if colours == Ink.NONE else _blocks(what, colours)
    if legend:
        lines += ["", *_legend(words, colours, columns)]
        lines.append(f"one square: {words.cell}; one line: {words.line}")
    return "".join(f"{line.rstrip()}\n" for line in lines)


def _label(cgx: int) -> str:
    return f"{'log' if cgx < 0 else cgx:>{LABEL - 1}} "


def _letters(what: Allocation) -> Iterator[str]:
    """Yield the bands as letters."""
    grid, painter = what.grid, Painter(what)
    for row in range(grid.rows):
        bands = grid.bands[row * grid.columns : (row + 1) * grid.columns]
        texts = [painter.letters(band) for band in bands]
        for line in range(grid.lines):
            parts = []
            for band, text in zip(bands, texts, strict=True):
                label = _label(band.cgx) if line == 0 else " " * LABEL
                parts.append(label + text[line * grid.width : (line + 1) * grid.width].ljust(grid.width))
            yield "".join(parts)


def _blocks(what: Allocation, colours: Ink) -> Iterator[str]:
    """Yield the bands as half blocks: two lines of squares in one of the terminal."""
    grid, painter = what.grid, Painter(what, dark=True)
    step = grid.lines + GAP
    height = grid.rows * step + (grid.rows * step & 1)
    lines: list[list[list[Colour | None]]] = [
        [[None] * grid.width for _ in range(height)] for _ in range(grid.columns)
    ]
    labels: dict[tuple[int, int], str] = {}
    for number, band in enumerate(grid.bands):
        row, column = divmod(number, grid.columns)
        labels[column, row * step // 2] = _label(band.cgx)
        for index, colour in enumerate(painter.colours(band)):
            line, place = divmod(index, grid.width)
            lines[column][row * step + line][place] = colour
    for y in range(0, height, 2):
        yield "".join(
            labels.get((column, y // 2), " " * LABEL)
            + "".join(_pairs(part[y], part[y + 1], colours))
            + _RESET
            for column, part in enumerate(lines)
        )


def _pairs(above: list[Colour | None], below: list[Colour | None], colours: Ink) -> Iterator[str]:
    """Yield what draws two lines of squares; colours are told when they change."""
    last: tuple[Colour | None, Colour | None] = (None, None)
    for pair in zip(above, below, strict=True):
        if pair != last:
            last = pair
            yield _RESET + _sgr(pair[0] or pair[1], 38, colours)
            if pair[0] and pair[1]:
                yield _sgr(pair[1], 48, colours)
        upper, lower = pair
        yield _HALF if upper else "\N{LOWER HALF BLOCK}" if lower else " "


def _sgr(colour: Colour | None, ground: int, colours: Ink) -> str:
    """Return what sets a colour: of letters (38), or behind them (48)."""
    if colour is None:
        return ""
    if colours == Ink.TRUE:
        return "\x1b[{};2;{};{};{}m".format(ground, *colour)
    red, green, blue = (min(range(6), key=lambda level: abs(_LEVELS[level] - part)) for part in colour)
    return f"\x1b[{ground};5;{16 + 36 * red + 6 * green + blue}m"


def _chip(layer: int, marked: bool, colours: Ink) -> str:
    """Return how a layer looks."""
    if colours == Ink.NONE:
        return style_of(layer).letter
    return _sgr(shade(layer, marked, dark=True), 38, colours) + _FULL + _RESET


def _legend(words: Words, colours: Ink, columns: int) -> Iterator[str]:
    """Yield what colours or letters mean."""
    entries = [(MARK + number, name) for number, name in enumerate(words.marks)]
    entries += [(int(area), style.text) for area, style in STYLES.items() if area in words.shares]
    beside = max(1, columns // _ENTRY)
    for first in range(0, len(entries), beside):
        parts = []
        for layer, text in entries[first : first + beside]:
            chip = _chip(layer, bool(words.marks), colours)
            parts.append(f"{chip} {words.shares.get(layer, ''):>6} {text}".ljust(_ENTRY + len(chip) - 1))
        yield "".join(parts)
