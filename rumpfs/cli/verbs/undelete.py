"""rumpfs undelete."""

from __future__ import annotations

from argparse import Namespace
from typing import Final

from rumpfs.cli.tool import Parser, Tool

CONFIDENCES: Final = ("name", "low", "medium", "high")

EXAMPLES: Final = """\
  rumpfs undelete disk.img                          the deleted files, and what is left of each
  rumpfs undelete --min low -v disk.img             those of which there is content, and why
  rumpfs undelete disk.img restore -o here 675 report.txt '*.c'
  rumpfs undelete disk.img --tree recovered         everything that can be restored, in its directories
  rumpfs undelete --json disk.img | jq -r '.deleted[] | select(.confidence == "high") | .path'

confidence:
  high    all of its blocks are free, and the inode is surely its own; or only its names are gone
  medium  all of its blocks are free, but the inode has been another file's since, or its number was inferred
  low     other files have some of its blocks, or it is not sure whose the copy of the inode is
  name    nothing but the name is left: the kernel clears inodes, and no older copy was found in a log

Content is found by older copies of inodes, so only where there is a log; also in what a log holds from before
the last mounts, as far as they have not overwritten it. Look before you mount an image for writing.
Restored files keep their permissions and times. What other files have now is zeros in them, and is told.
Nothing is overwritten. Exit status: 1 when something could not be restored.
"""


def arguments(parser: Parser) -> None:
    """Add the options."""
    parser.add_argument("-o", dest="output", metavar="DIR", help="restore into this directory of the host")
    parser.add_argument("--tree", metavar="DIR", help="restore everything, as a tree below this directory")
    text = "leave out what is less sure: name low medium high"
    parser.add_argument("--min", dest="least", metavar="CONFIDENCE", choices=CONFIDENCES, help=text)
    parser.flag("-v", "verbose", "say for each file what the confidence comes from")
    parser.flag("--quick", "quick", "do not read all free blocks for deleted directories")
    parser.sector()
    parser.flag("--json", "json", "a JSON document; see rumpfs help json")
    text = "image, partition, byte at which it begins"
    parser.add_argument("image", metavar="IMAGE[:PART][@OFFSET]", help=text)
    text = "ls, or restore and names, paths, patterns or inode numbers"
    parser.add_argument("words", metavar="ls|restore NAME", nargs="*", help=text)


def run(tool: Tool, args: Namespace) -> None:
    """List deleted files, or restore them."""
    from rumpfs.cli.images.undelete import run as run_undelete

    run_undelete(tool, args)
