"""rumpfs explain."""

from __future__ import annotations

from argparse import Namespace
from typing import Final

from rumpfs.cli.tool import Parser, Tool

EXAMPLES: Final = """\
  rumpfs explain disk.img:a:/etc/rc.conf        the inode of a file, and where its blocks are
  rumpfs explain disk.img inode 5
  rumpfs explain disk.img block 1234            whose fragment 1234 is, and what is in it
  rumpfs explain disk.img byte 631808           which structure, and which field, this byte belongs to
  rumpfs explain disk.img group 3
  rumpfs explain disk.img superblock
  rumpfs explain -b 32 disk.img superblock      a copy, at sector 32 of 512 bytes
  rumpfs explain --json disk.img inode 2 | jq -r '.structures[0].fields[] | "\\(.offset) \\(.name)"'

Blocks are counted in fragments of the file system, as fsdb(8), dumpfs(8) and sleuthkit do it. Every field is
shown with the byte of the image at which it is. A log that was not replayed is seen as if it were; --raw
shows what is on the disk.
"""


def arguments(parser: Parser) -> None:
    """Add the options."""
    parser.sector()
    parser.flag("-v", "verbose", "all fields of all structures, also where there are many")
    parser.flag("--raw", "raw", "do not replay a log")
    parser.flag("--json", "json", "a JSON document; see rumpfs help json")
    text = "image, partition, byte at which it begins, and a path in it"
    parser.add_argument("image", metavar="IMAGE[:PART][@OFFSET][:/path]", help=text)
    text = "inode N, block N, byte N, group N, superblock, or /path"
    parser.add_argument("what", metavar="WHAT", nargs="*", help=text)


def run(tool: Tool, args: Namespace) -> None:
    """Explain a place in an image."""
    from rumpfs.cli.images.explain import run as run_explain

    run_explain(tool, args)
