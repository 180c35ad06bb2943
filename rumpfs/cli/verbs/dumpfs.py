"""rumpfs dumpfs."""

from __future__ import annotations

from argparse import Namespace
from typing import Final

from rumpfs.cli.tool import Parser, Tool

EXAMPLES: Final = """\
  rumpfs dumpfs disk.img                 the superblock and every cylinder group
  rumpfs dumpfs -s disk.img:a            the superblock of partition a
  rumpfs dumpfs -b 32 disk.img           as a copy of the superblock has it
  rumpfs dumpfs --json disk.img          every field, for programs
"""


def arguments(parser: Parser) -> None:
    """Add the options."""
    parser.flag("-s", "superblock", "the superblock and the summary only")
    parser.sector()
    parser.flag("--json", "json", "a JSON document; see rumpfs help json")
    text = "image, partition, byte at which it begins"
    parser.add_argument("image", metavar="IMAGE[:PART][@OFFSET]", help=text)


def run(tool: Tool, args: Namespace) -> None:
    """Show what is in a file system's superblock and groups."""
    from rumpfs.cli.images.dumpfs import run as run_dumpfs

    run_dumpfs(tool, args)
