"""What is to be drawn, in pixels from the top left corner."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import sqrt
from typing import NamedTuple

#: red, green, blue: 0 to 255
Colour = tuple[int, int, int]


class Box(NamedTuple):
    """A rectangle."""

    x: int
    y: int
    width: int
    height: int
    colour: Colour


class Text(NamedTuple):
    """A line of text.

    Attributes:
        x, y: where its base line begins; or ends, when it is `right`.
        size: height of a capital letter.
    """

    x: int
    y: int
    text: str
    size: float
    colour: Colour
    bold: bool = False
    right: bool = False


class Cells(NamedTuple):
    """Squares in lines.

    Attributes:
        x, y: of the first one.
        size: from one to the next.
        gap: pixels of it that are left free.
        width: squares in a line.
        colours: of the squares.
    """

    x: int
    y: int
    size: int
    gap: int
    width: int
    colours: Sequence[Colour]


@dataclass(slots=True)
class Scene:
    """A picture.

    Attributes:
        title: what it shows, for who cannot see it.
        paper: the colour of what is not drawn on.
        items: drawn one over the other.
    """

    width: int
    height: int
    title: str
    paper: Colour = (255, 255, 255)
    items: list[Box | Text | Cells] = field(default_factory=list)


def mixed(colours: Sequence[tuple[Colour, float]]) -> Colour:
    """Return the mean of colours, each with its weight, as an eye far away sees it."""
    total = sum(weight for _, weight in colours) or 1.0
    return (_mean(colours, 0, total), _mean(colours, 1, total), _mean(colours, 2, total))


def _mean(colours: Sequence[tuple[Colour, float]], channel: int, total: float) -> int:
    return round(sqrt(sum(colour[channel] ** 2 * weight for colour, weight in colours) / total))
