"""rumpfs info."""

from __future__ import annotations

from argparse import Namespace
from typing import Final

from rumpfs.cli.tool import Parser, Tool

EXAMPLES: Final = """\
  rumpfs info disk.img                   its partition tables, and the file systems in them
  rumpfs info disk.img:s2a               one partition
  rumpfs info disk.img@1m                what begins 1 MiB into the image
  rumpfs info --json *.img | jq -r '.images[].partitions[].address'

Every partition table is shown, also one inside the other, with the names that addresses have for the
partitions. Exit status: 1 when an image cannot be read, or holds neither partitions nor an FFS.
"""


def arguments(parser: Parser) -> None:
    """Add the options."""
    parser.flag("--json", "json", "a JSON document; see rumpfs help json")
    text = "image, partition, byte at which it begins"
    parser.add_argument("image", metavar="IMAGE[:PART][@OFFSET]", nargs="+", help=text)


def run(tool: Tool, args: Namespace) -> None:
    """Say what is in images."""
    from rumpfs.cli.images.info import run as run_info

    run_info(tool, args)
