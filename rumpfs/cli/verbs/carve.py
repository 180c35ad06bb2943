"""rumpfs carve."""

from __future__ import annotations

from argparse import Namespace
from typing import Final

from rumpfs.cli.tool import Parser, Tool

EXAMPLES: Final = """\
  rumpfs carve disk.img                  the file systems and disklabels that are anywhere in it
  rumpfs carve --json disk.img | jq -r '.filesystems[] | "\\(.start) \\(.label)"'
  rumpfs ls disk.img@1080832:/           the files of one that was found at that byte
  rumpfs fsck -b 144 disk.img@1080832    check it with a copy of its superblock

Superblocks are looked for at every sector of 512 bytes, in both byte orders, and put together to file
systems.
For each it is said where it begins, whether its primary superblock is sound, and what to type
to use it.
Exit status: 1 when nothing was found.
"""


def arguments(parser: Parser) -> None:
    """Add the options."""
    parser.flag("-v", "verbose", "list all copies of superblocks")
    parser.flag("--json", "json", "a JSON document; see rumpfs help json")
    text = "image, partition, byte at which it begins"
    parser.add_argument("image", metavar="IMAGE[:PART][@OFFSET]", help=text)


def run(tool: Tool, args: Namespace) -> None:
    """Look for file systems in an image."""
    from rumpfs.cli.images.carve import run as run_carve

    run_carve(tool, args)
