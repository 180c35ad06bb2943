"""rumpfs growfs."""

from __future__ import annotations

from argparse import Namespace
from typing import Final

from rumpfs.cli.tool import Parser, Tool

EXAMPLES: Final = """\
  rumpfs growfs disk.img                 let the file system fill its image
  rumpfs growfs -y -s 2g disk.img        make the image larger, too, and do not ask
  rumpfs label --grow --set a=,+512m disk.img; rumpfs growfs disk.img:a
                                         a partition, and then the file system in it
  rumpfs growfs -N -s 100g disk.img      show what would be

The file system must be clean and not mounted. When it is interrupted, rumpfs fsck -p brings it to the old or
to the new size; nothing in its files changes.
"""


def arguments(parser: Parser) -> None:
    """Add the options."""
    text = "size of the file system; in sectors without a suffix. Default: that of the image or partition"
    parser.add_argument("-s", dest="size", metavar="SIZE", help=text)
    parser.flag("-N", "show", "show what would be, and write nothing")
    parser.flag("-y", "yes", "do not ask")
    parser.flag("--json", "json", "a JSON document; see rumpfs help json")
    text = "image, partition, byte at which it begins"
    parser.add_argument("image", metavar="IMAGE[:PART][@OFFSET]", help=text)


def run(tool: Tool, args: Namespace) -> None:
    """Make a file system larger."""
    from rumpfs.cli.images.growfs import run as run_growfs

    run_growfs(tool, args)
