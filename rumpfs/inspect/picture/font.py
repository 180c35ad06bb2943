"""A typeface for pictures: letters as dots on a grid, drawn as smooth lines in any size.

Dots beside each other are joined by lines with round ends, so that a letter is no staircase.
"""

from __future__ import annotations

from functools import lru_cache
from math import hypot
from typing import Final

#: Rows of a capital letter; two more are below the line.
CAPITAL: Final = 7
#: Units between letters, and of a blank.
_SPACING: Final = 1.6
_BLANK: Final = 2.6
#: Half the width of a line, in units.
_LINE: Final = 0.46
_BOLD: Final = 0.6

_GLYPHS: Final = {
    "!": "# # # # # . #",
    '"': "#.# #.# #.#",
    "#": ".#.#. .#.#. ##### .#.#. ##### .#.#. .#.#.",
    "$": "..#.. .#### #.#.. .###. ..#.# ####. ..#..",
    "%": "##..# ##..# ...#. ..#.. .#... #..## #..##",
    "&": ".##.. #..#. #.#.. .#... #.#.# #..#. .##.#",
    "'": "# # #",
    "(": "..# .#. #.. #.. #.. .#. ..#",
    ")": "#.. .#. ..# ..# ..# .#. #..",
    "*": "..... ..#.. #.#.# .###. #.#.# ..#..",
    "+": "..... ..#.. ..#.. ##### ..#.. ..#..",
    ",": ".. .. .. .. .. .. .# #.",
    "-": "... ... ... ###",
    ".": ". . . . . . #",
    "/": "....# ....# ...#. ..#.. .#... #.... #....",
    "0": ".###. #...# #...# #...# #...# #...# .###.",
    "1": "..#.. .##.. ..#.. ..#.. ..#.. ..#.. .###.",
    "2": ".###. #...# ....# ...#. ..#.. .#... #####",
    "3": ".###. #...# ....# ..##. ....# #...# .###.",
    "4": "...#. ..##. .#.#. #..#. ##### ...#. ...#.",
    "5": "##### #.... ####. ....# ....# #...# .###.",
    "6": "..##. .#... #.... ####. #...# #...# .###.",
    "7": "##### ....# ...#. ...#. ..#.. ..#.. ..#..",
    "8": ".###. #...# #...# .###. #...# #...# .###.",
    "9": ".###. #...# #...# .#### ....# ...#. .##..",
    ":": ". . # . . . #",
    ";": ".. .. .# .. .. .. .# #.",
    "<": "...# ..#. .#.. #... .#.. ..#. ...#",
    "=": "..... ..... ##### ..... #####",
    ">": "#... .#.. ..#. ...# ..#. .#.. #...",
    "?": ".###. #...# ....# ...#. ..#.. ..... ..#..",
    "@": ".###. #...# #.### #.#.# #.### #.... .####",
    "A": "..#.. .#.#. .#.#. #...# ##### #...# #...#",
    "B": "####. #...# #...# ####. #...# #...# ####.",
    "C": ".###. #...# #.... #.... #.... #...# .###.",
    "D": "####. #...# #...# #...# #...# #...# ####.",
    "E": "##### #.... #.... ####. #.... #.... #####",
    "F": "##### #.... #.... ####. #.... #.... #....",
    "G": ".###. #...# #.... #.### #...# #...# .###.",
    "H": "#...# #...# #...# ##### #...# #...# #...#",
    "I": "### .#. .#. .#. .#. .#. ###",
    "J": "..### ...#. ...#. ...#. ...#. #..#. .##..",
    "K": "#...# #..#. #.#.. ##... #.#.. #..#. #...#",
    "L": "#.... #.... #.... #.... #.... #.... #####",
    "M": "#...# ##.## #.#.# #.#.# #...# #...# #...#",
    "N": "#...# ##..# ##..# #.#.# #..## #..## #...#",
    "O": ".###. #...# #...# #...# #...# #...# .###.",
    "P": "####. #...# #...# ####. #.... #.... #....",
    "Q": ".###. #...# #...# #...# #.#.# #..#. .##.#",
    "R": "####. #...# #...# ####. #.#.. #..#. #...#",
    "S": ".#### #.... #.... .###. ....# ....# ####.",
    "T": "##### ..#.. ..#.. ..#.. ..#.. ..#.. ..#..",
    "U": "#...# #...# #...# #...# #...# #...# .###.",
    "V": "#...# #...# #...# .#.#. .#.#. ..#.. ..#..",
    "W": "#...# #...# #...# #.#.# #.#.# ##.## #...#",
    "X": "#...# #...# .#.#. ..#.. .#.#. #...# #...#",
    "Y": "#...# #...# .#.#. ..#.. ..#.. ..#.. ..#..",
    "Z": "##### ....# ...#. ..#.. .#... #.... #####",
    "[": "## #. #. #. #. #. ##",
    "\\": "#.... #.... .#... ..#.. ...#. ....# ....#",
    "]": "## .# .# .# .# .# ##",
    "^": "..#.. .#.#. #...#",
    "_": "..... ..... ..... ..... ..... ..... ..... #####",
    "`": "#. .#",
    "a": ".... .... .##. ...# .### #..# .###",
    "b": "#... #... ###. #..# #..# #..# ###.",
    "c": ".... .... .### #... #... #... .###",
    "d": "...# ...# .### #..# #..# #..# .###",
    "e": ".... .... .##. #..# #### #... .###",
    "f": "..# .#. ### .#. .#. .#. .#.",
    "g": ".... .... .### #..# #..# #..# .### ...# .##.",
    "h": "#... #... ###. #..# #..# #..# #..#",
    "i": "# . # # # # #",
    "j": ".# .. .# .# .# .# .# .# #.",
    "k": "#... #... #..# #.#. ##.. #.#. #..#",
    "l": "# # # # # # #",
    "m": "..... ..... ##.#. #.#.# #.#.# #.#.# #.#.#",
    "n": ".... .... ###. #..# #..# #..# #..#",
    "o": ".... .... .##. #..# #..# #..# .##.",
    "p": ".... .... ###. #..# #..# #..# ###. #... #...",
    "q": ".... .... .### #..# #..# #..# .### ...# ...#",
    "r": "... ... #.# ##. #.. #.. #..",
    "s": ".... .... .### #... .##. ...# ###.",
    "t": ".#. .#. ### .#. .#. .#. .##",
    "u": ".... .... #..# #..# #..# #..# .###",
    "v": "..... ..... #...# #...# .#.#. .#.#. ..#..",
    "w": "..... ..... #...# #.#.# #.#.# #.#.# .#.#.",
    "x": "..... ..... #...# .#.#. ..#.. .#.#. #...#",
    "y": ".... .... #..# #..# #..# #..# .### ...# .##.",
    "z": ".... .... #### ...# .##. #... ####",
    "{": "..# .#. .#. #.. .#. .#. ..#",
    "|": "# # # # # # # # #",
    "}": "#.. .#. .#. ..# .#. .#. #..",
    "~": "..... ..... .#... #.#.# ...#.",
    "\N{MIDDLE DOT}": ". . . . #",
    "\N{MULTIPLICATION SIGN}": "..... ..... #...# .#.#. ..#.. .#.#. #...#",
    "\N{EN DASH}": ".... .... .... .... ####",
}
#: What stands for letters that there are none of.
_UNKNOWN: Final = "##### #...# #...# #...# #...# #...# #####"

#: a line from one point to another, in units; a dot begins and ends at the same
Line = tuple[int, int, int, int]


@lru_cache(maxsize=256)
def _lines(letter: str) -> tuple[float, tuple[Line, ...]]:
    """Return width and lines of a letter, in units; y grows downwards from the top of a capital."""
    if letter == " ":
        return _BLANK, ()
    rows = _GLYPHS.get(letter, _UNKNOWN).split()
    dots = {(x, y) for y, row in enumerate(rows) for x, dot in enumerate(row) if dot == "#"}
    lines: list[Line] = []
    for x, y in sorted(dots):
        ends = [(x + 1, y), (x, y + 1)]
        ends += [(x + dx, y + 1) for dx in (-1, 1) if not dots & {(x + dx, y), (x, y + 1)}]
        lines += [(x, y, *end) for end in ends if end in dots]
        if not any((x + dx, y + dy) in dots for dx in (-1, 0, 1) for dy in (-1, 0, 1) if dx or dy):
            lines.append((x, y, x, y))
    return float(len(rows[0])) - 1, tuple(lines)


def text_width(text: str, size: float) -> float:
    """Return the width of a text in pixels.

    Args:
        size: height of a capital letter in pixels.
    """
    unit = size / (CAPITAL - 1)
    return unit * sum(_lines(letter)[0] + _SPACING for letter in text) if text else 0.0


#: place of the first pixel, from the start of the base line, and rows of how much is covered, 0 to 255
Shape = tuple[int, int, tuple[bytes, ...]]


def shapes(text: str, size: float, bold: bool = False) -> list[tuple[float, Shape]]:
    """Return the letters of a text as (x in pixels, coverage).

    Args:
        size: height of a capital letter in pixels.
    """
    unit = size / (CAPITAL - 1)
    found = []
    x = 0.0
    for letter in text:
        whole = int(x)
        found.append((float(whole), _shape(letter, unit, round((x - whole) * 4) / 4, bold)))
        x += unit * (_lines(letter)[0] + _SPACING)
    return found


@lru_cache(maxsize=2048)
def _shape(letter: str, unit: float, shift: float, bold: bool) -> Shape:
    """Return the coverage of the pixels that a letter covers."""
    width, lines = _lines(letter)
    radius = max(0.55, unit * (_BOLD if bold else _LINE))
    if not lines:
        return 0, 0, ()
    margin = int(radius) + 2
    columns = int(width * unit + shift) + 2 * margin
    above = int((CAPITAL - 1) * unit) + margin
    below = int(2 * unit) + margin
    scaled = [
        (x * unit + shift, (y - CAPITAL + 1) * unit, end * unit + shift, (foot - CAPITAL + 1) * unit)
        for x, y, end, foot in lines
    ]
    rows = []
    for py in range(-above, below):
        row = bytearray(columns)
        for px in range(-margin, columns - margin):
            near = min(_distance(px + 0.5, py + 0.5, line) for line in scaled)
            row[px + margin] = round(255 * min(1.0, max(0.0, radius - near + 0.5)))
        rows.append(bytes(row))
    return -margin, -above, tuple(rows)


def _distance(x: float, y: float, line: tuple[float, float, float, float]) -> float:
    """Return the distance of a point from a line."""
    x0, y0, x1, y1 = line
    dx, dy = x1 - x0, y1 - y0
    length = dx * dx + dy * dy
    part = min(1.0, max(0.0, ((x - x0) * dx + (y - y0) * dy) / length)) if length else 0.0
    return hypot(x - x0 - part * dx, y - y0 - part * dy)
