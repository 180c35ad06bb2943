"""Scenes as PNG (ISO/IEC 15948): 8 bits of red, green and blue, without interlacing."""

from __future__ import annotations

import struct
import zlib
from typing import Final

from rumpfs.inspect.picture.font import shapes, text_width
from rumpfs.inspect.picture.scene import Box, Cells, Colour, Scene, Text

_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_TRUE_COLOUR: Final = 2


class Canvas:
    """Pixels.

    Args:
        width, height: how many.
        paper: their colour.
    """

    def __init__(self, width: int, height: int, paper: Colour) -> None:
        self.width = width
        self.height = height
        self._rows = [bytearray(bytes(paper) * width) for _ in range(height)]

    def box(self, x: int, y: int, width: int, height: int, colour: Colour) -> None:
        """Fill a rectangle, as far as it is in the picture."""
        left, right = max(0, x), min(x + width, self.width)
        if left < right:
            line = bytes(colour) * (right - left)
            for row in self._rows[max(0, y) : max(0, y + height)]:
                row[3 * left : 3 * right] = line

    def cells(self, cells: Cells) -> None:
        """Draw squares: runs of the same colour at a time."""
        side = cells.size - cells.gap
        for first in range(0, len(cells.colours), cells.width):
            colours = cells.colours[first : first + cells.width]
            y = cells.y + first // cells.width * cells.size
            if not cells.gap:
                line = b"".join(bytes(colour) * side for colour in colours)
                for row in self._rows[y : y + side]:
                    row[3 * cells.x : 3 * cells.x + len(line)] = line
                continue
            for index, colour in enumerate(colours):
                self.box(cells.x + index * cells.size, y, side, side, colour)

    def text(self, text: Text) -> None:
        """Write a line."""
        start = text.x - (round(text_width(text.text, text.size)) if text.right else 0)
        for advance, (left, top, rows) in shapes(text.text, text.size, text.bold):
            for y, coverage in enumerate(rows, text.y + top):
                if 0 <= y < self.height:
                    self._blend(self._rows[y], start + int(advance) + left, coverage, text.colour)

    def _blend(self, row: bytearray, x: int, coverage: bytes, colour: Colour) -> None:
        for place, part in enumerate(coverage, x):
            if part and 0 <= place < self.width:
                for channel in range(3):
                    old = row[3 * place + channel]
                    row[3 * place + channel] = old + (colour[channel] - old) * part // 255

    def encode(self, title: str = "") -> bytes:
        """Return the file.

        Args:
            title: put into it as text.
        """
        head = struct.pack(">IIBBBBB", self.width, self.height, 8, _TRUE_COLOUR, 0, 0, 0)
        data = zlib.compress(b"".join(b"\0" + row for row in self._rows), 9)
        text = b"Title\0" + title.encode("latin-1", "replace")
        chunks = ((b"IHDR", head), (b"tEXt", text), (b"IDAT", data), (b"IEND", b""))
        return _SIGNATURE + b"".join(_chunk(kind, body) for kind, body in chunks)


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(scene: Scene) -> bytes:
    """Return a scene as a PNG file."""
    canvas = Canvas(scene.width, scene.height, scene.paper)
    for item in scene.items:
        if isinstance(item, Box):
            canvas.box(*item)
        elif isinstance(item, Cells):
            canvas.cells(item)
        else:
            canvas.text(item)
    return canvas.encode(scene.title)
