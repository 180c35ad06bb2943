"""rumpfs log."""

from __future__ import annotations

from argparse import Namespace
from typing import Final

from rumpfs.cli.tool import Parser, Tool

EXAMPLES: Final = """\
  rumpfs log disk.img                    what each transaction has changed, the oldest first
  rumpfs log -v disk.img                 and every block of it
  rumpfs log --live disk.img             what a mount would replay
  rumpfs log --json disk.img | jq '.transactions[].names[].name'

Transactions that count when the file system is mounted are live; the others are in their places, and show
what it looked like before. An inode is shown as `perhaps' changed when no older copy of it is in the log.
Each mount begins at the start of the log again and overwrites the beginning of older transactions, with the
list of what they hold; in the rest, copies of inodes and pieces of directories are counted, -v shows them.
Exit status: 1 when there is no log, or when it is damaged.
"""


def arguments(parser: Parser) -> None:
    """Add the options."""
    parser.flag("-v", "verbose", "every block, with what it is")
    parser.flag("--live", "live", "only what is to be replayed")
    parser.flag("--json", "json", "a JSON document; see rumpfs help json")
    text = "image, partition, byte at which it begins"
    parser.add_argument("image", metavar="IMAGE[:PART][@OFFSET]", help=text)


def run(tool: Tool, args: Namespace) -> None:
    """Show the log of an image."""
    from rumpfs.cli.images.log import run as run_log

    run_log(tool, args)
