"""rumpfs explore."""

from __future__ import annotations

from argparse import Namespace
from typing import Final

from rumpfs.cli.tool import Parser, Tool

EXAMPLES: Final = """\
  rumpfs explore disk.img                look around; of several partitions one is chosen
  rumpfs explore disk.img:a              in partition a
  rumpfs explore -b 32 disk.img          with a copy of the superblock, when the first one is damaged

The tree is on the left; on the right are what is in a file, its inode field by field, the bytes of a block
with the structures that they are, and the map. / looks for names, g goes to a path, `inode N` or `block N`,
b to the first block of a file, o to the owner of a block, x copies to the host, q ends. Nothing is written
to the image. It needs textual: pip install 'rumpfs[tui]'.
"""


def arguments(parser: Parser) -> None:
    """Add the options."""
    parser.sector()
    text = "image, partition, byte at which it begins"
    parser.add_argument("image", metavar="IMAGE[:PART][@OFFSET]", help=text)


def run(tool: Tool, args: Namespace) -> None:
    """Look around in an image."""
    from rumpfs.cli.images.explore import run as run_explore

    run_explore(args)
