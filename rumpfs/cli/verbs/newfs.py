"""rumpfs newfs."""

from __future__ import annotations

from argparse import Namespace
from typing import Final

from rumpfs.cli.tool import Parser, Tool

EXAMPLES: Final = """\
  rumpfs newfs -s 64m disk.img           make disk.img with an FFSv1 of 64 MiB
  rumpfs newfs -O 2 -b 16k -f 2k disk.img:e
                                         an FFSv2 in partition e of an image that is there
  rumpfs newfs -O 2 -s 2g --log disk.img
                                         room at the end for the log that mount -o log uses
  rumpfs newfs -N -O 2 -s 1t new.img     show what would be made
  rumpfs newfs -B be -s 10m -L backup sparc.img
                                         a big-endian file system with a label

With SOURCE_DATE_EPOCH set, the same options make the same image again.
"""

_INT_MAX: Final = (1 << 31) - 1

#: option, name, least and largest value, what it is
NUMBERS: Final = (
    ("-b", "bsize", 4096, 65536, "bytes of a block"),
    ("-f", "fsize", 512, 65536, "bytes of a fragment"),
    ("-i", "density", 1, _INT_MAX, "bytes for which there is an inode"),
    ("-n", "inodes", 1, _INT_MAX, "inodes; instead of -i"),
    ("-m", "minfree", 0, 99, "percent that only root may fill (5)"),
    ("-a", "maxcontig", 1, _INT_MAX, "blocks that are laid out together"),
    ("-e", "maxbpg", 1, _INT_MAX, "blocks of one file in a cylinder group"),
    ("-g", "avgfilesize", 1, _INT_MAX, "expected bytes of a file (16384)"),
    ("-h", "avgfpdir", 1, _INT_MAX, "expected files of a directory (64)"),
    ("-S", "secsize", 512, 65536, "bytes of a sector (512)"),
)


def arguments(parser: Parser) -> None:
    """Add the options."""
    text = "1: UFS1 (default), 2: UFS2"
    parser.add_argument(
        "-O", dest="version", metavar="FORMAT", type=int, choices=(1, 2), default=1, help=text
    )
    text = "byte order (le)"
    parser.add_argument("-B", dest="order", metavar="le|be", choices=("le", "be"), default="le", help=text)
    text = "size; in sectors without a suffix. Default: that of the image"
    parser.add_argument("-s", dest="size", metavar="SIZE", help=text)
    for option, name, least, largest, text in NUMBERS:
        parser.number(option, name, least, largest, text)
    text = "what allocation is optimized for (time)"
    parser.add_argument("-o", dest="optim", choices=("time", "space"), help=text)
    parser.add_argument("-L", dest="volname", metavar="LABEL", default="", help="volume label")
    parser.attached("--log", "SIZE", "leave room for a log (WAPBL) at the end, of SIZE or what suits")
    parser.flag("-N", "show", "show what would be made, and write nothing")
    text = "image, partition, byte at which it begins"
    parser.add_argument("image", metavar="IMAGE[:PART][@OFFSET]", help=text)


def run(tool: Tool, args: Namespace) -> None:
    """Make a file system."""
    from rumpfs.cli.images.newfs import run as run_newfs

    run_newfs(tool, args)
