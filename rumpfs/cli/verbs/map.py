"""rumpfs map."""

from __future__ import annotations

from argparse import Namespace
from typing import Final

from rumpfs.cli.tool import Parser, Tool

EXAMPLES: Final = """\
  rumpfs map disk.img                    in the terminal: what its space is used for
  rumpfs map -o map.png disk.img:a       as a picture; .svg can be scaled, .html tells whose a block is
  rumpfs map -o map.svg -f /etc -f /netbsd disk.img
                                         where a file and a directory with all that is in it are
  rumpfs map --json disk.img | jq '.groups[] | {group, free}'

Each cylinder group is a band of squares, one for each fragment, or for several where there are many. Files
in one piece, in large and in small pieces have different colours. Exit status: 1 when the image cannot be
read, or a file is not in it.
"""

FORMATS: Final = ("png", "svg", "html")
WHEN: Final = ("auto", "always", "never")


def arguments(parser: Parser) -> None:
    """Add the options."""
    text = "write a picture; its name ends in .png, .svg or .html, or is - for standard output"
    parser.add_argument("-o", dest="output", metavar="FILE", help=text)
    text = "of the picture, whatever its name is"
    parser.add_argument("--format", choices=FORMATS, help=text)
    text = "mark a file, or a directory with all that is in it; may be repeated"
    parser.add_argument("-f", "--file", dest="files", metavar="PATH", action="append", default=[], help=text)
    text = "pixels (1200), in the terminal columns"
    parser.add_argument("--width", metavar="N", type=int, default=0, help=text)
    text = "pixels of the bands, in the terminal lines"
    parser.add_argument("--height", metavar="N", type=int, default=0, help=text)
    parser.flag("--no-legend", "bare", "leave out what the colours mean")
    text = "in the terminal: auto (the default) is when it is one, and NO_COLOR is not set"
    parser.add_argument("--color", choices=WHEN, default="auto", help=text)
    parser.flag("--json", "json", "a JSON document; see rumpfs help json")
    text = "image, partition, byte at which it begins"
    parser.add_argument("image", metavar="IMAGE[:PART][@OFFSET]", help=text)


def run(tool: Tool, args: Namespace) -> None:
    """Draw what the space of a file system is used for."""
    from rumpfs.cli.images.map import run as run_map

    run_map(tool, args)
