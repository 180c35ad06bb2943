"""rumpfs tunefs."""

from __future__ import annotations

from argparse import Namespace
from typing import Final

from rumpfs.cli.tool import Parser, Tool

EXAMPLES: Final = """\
  rumpfs tunefs -N disk.img              show how it is tuned
  rumpfs tunefs -m 2 -o space disk.img:a
                                         reserve 2 percent, and allocate for space
  rumpfs tunefs -A -L backup disk.img    a volume label, in all copies of the superblock
  rumpfs tunefs -l 4m disk.img           make a log (WAPBL) of 4 MiB at the next mount with -o log
  rumpfs tunefs -l 0 disk.img            remove the log at the next mount
"""

_INT_MAX: Final = (1 << 31) - 1

#: option, field of the superblock, least and largest value, what it is
NUMBERS: Final = (
    ("-a", "fs_maxcontig", 1, _INT_MAX, "blocks that are laid out together"),
    ("-e", "fs_maxbpg", 1, _INT_MAX, "blocks of one file in a cylinder group"),
    ("-g", "fs_avgfilesize", 1, _INT_MAX, "expected bytes of a file"),
    ("-h", "fs_avgfpdir", 1, _INT_MAX, "expected files of a directory"),
    ("-m", "fs_minfree", 0, 99, "percent that only root may fill"),
)


def arguments(parser: Parser) -> None:
    """Add the options."""
    parser.flag("-A", "all", "change the copies of the superblock, too")
    parser.flag("-N", "show", "change nothing, and show what would be")
    parser.flag("-F", "file", "is allowed for tunefs's sake: an image may always be a file")
    for option, name, least, largest, text in NUMBERS:
        parser.number(option, name, least, largest, text)
    parser.add_argument(
        "-o", dest="optim", choices=("time", "space"), help="what allocation is optimized for"
    )
    parser.add_argument("-L", dest="volname", metavar="LABEL", help="volume label, up to 31 bytes")
    text = "bytes of the log that the next mount makes; 0: it removes the log"
    parser.number("-l", "log", 0, _INT_MAX, text, "SIZE")
    text = "user, group, nouser or nogroup: is refused, with what helps"
    parser.add_argument("-q", dest="quota", metavar="TYPE", help=text)
    parser.flag("--json", "json", "a JSON document; see rumpfs help json")
    text = "image, partition, byte at which it begins"
    parser.add_argument("image", metavar="IMAGE[:PART][@OFFSET]", help=text)


def run(tool: Tool, args: Namespace) -> None:
    """Tune a file system."""
    from rumpfs.cli.images.tunefs import run as run_tunefs

    run_tunefs(tool, args)
