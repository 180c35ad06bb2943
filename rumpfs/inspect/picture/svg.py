"""Scenes as SVG: text stays text, and squares of a colour are one path."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from html import escape
from itertools import groupby
from typing import Final

from rumpfs.inspect.picture.scene import Box, Cells, Colour, Scene, Text

#: Height of a capital letter in most sans-serif typefaces, as a part of the size.
_CAPITAL: Final = 0.72
_FONT: Final = "system-ui, 'Helvetica Neue', Arial, 'DejaVu Sans', sans-serif"


def svg(scene: Scene, inside: str = "") -> str:
    """Return a scene as an SVG document.

    Args:
        inside: elements that are put over it.
    """
    items = "\n".join(line for item in scene.items for line in _item(item))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{scene.width}" height="{scene.height}" '
        f'viewBox="0 0 {scene.width} {scene.height}" font-family="{_FONT}" role="img">\n'
        f"<title>{_text(scene.title)}</title>\n"
        f'<rect width="100%" height="100%" fill="{colour_name(scene.paper)}"/>\n{items}\n{inside}</svg>\n'
    )


def colour_name(colour: Colour) -> str:
    """Return a colour as SVG has it."""
    return f"#{bytes(colour).hex()}"


def _text(text: str) -> str:
    """Return text as XML can have it."""
    return escape("".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text))


def _item(item: Box | Text | Cells) -> Iterator[str]:
    if isinstance(item, Box):
        yield (
            f'<rect x="{item.x}" y="{item.y}" width="{item.width}" height="{item.height}" '
            f'fill="{colour_name(item.colour)}"/>'
        )
    elif isinstance(item, Text):
        weight = ' font-weight="600"' if item.bold else ""
        anchor = ' text-anchor="end"' if item.right else ""
        yield (
            f'<text x="{item.x}" y="{item.y}" font-size="{item.size / _CAPITAL:.1f}" '
            f'fill="{colour_name(item.colour)}"{weight}{anchor}>{_text(item.text)}</text>'
        )
    else:
        yield from _cells(item)


def _cells(cells: Cells) -> Iterator[str]:
    """Yield a path for each colour: runs of it, or squares when there are gaps between them."""
    paths: defaultdict[Colour, list[str]] = defaultdict(list)
    side = cells.size - cells.gap
    for first in range(0, len(cells.colours), cells.width):
        y = cells.y + first // cells.width * cells.size
        x = cells.x
        for colour, run in groupby(cells.colours[first : first + cells.width]):
            count = sum(1 for _ in run)
            path = paths[colour]
            if not cells.gap:
                path.append(f"M{x} {y}h{count * side}v{side}h-{count * side}z")
            else:
                square = f"h{side}v{side}h-{side}z"
                path += (f"M{x + index * cells.size} {y}{square}" for index in range(count))
            x += count * cells.size
    yield '<g shape-rendering="crispEdges">'
    for colour, path in paths.items():
        yield f'<path fill="{colour_name(colour)}" d="{"".join(path)}"/>'
    yield "</g>"
