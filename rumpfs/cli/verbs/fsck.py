"""rumpfs fsck."""

from __future__ import annotations

from argparse import Namespace
from typing import Final

from rumpfs.cli.tool import Parser, Tool

#: fsck(8)
FSCK_EXIT_USAGE: Final = 1

EXAMPLES: Final = """\
  rumpfs fsck -n disk.img                look, and change nothing
  rumpfs fsck -fy disk.img:a             repair partition a, even if it says that it is clean
  rumpfs fsck -p disk.img@1m             repair only what a crash leaves behind
  rumpfs fsck -y --overlay fix disk.img  write the repairs to the overlay fix; disk.img stays as it is
  rumpfs overlay commit fix              and now write them to disk.img
  rumpfs fsck -n --json disk.img         what is wrong, for programs

Exit status, as of fsck(8): 0 all is well or repaired, 1 the command line is wrong, 2 something is left to be
repaired, 8 it cannot be checked, 12 it was interrupted.
"""


def arguments(parser: Parser) -> None:
    """Add the options."""
    parser.wrong = FSCK_EXIT_USAGE
    how = parser.add_mutually_exclusive_group()
    how.add_argument("-n", dest="how", action="store_const", const="no", help="answer no to all questions")
    how.add_argument("-y", dest="how", action="store_const", const="yes", help="answer yes to all questions")
    text = "repair what a crash leaves behind, and give up when anything else is wrong"
    how.add_argument("-p", dest="how", action="store_const", const="preen", help=text)
    parser.flag("-f", "force", "check also what says that it is clean")
    parser.sector()
    parser.flag("--json", "json", "a JSON document; see rumpfs help json")
    text = "leave the image as it is, and keep the changes in FILE (rumpfs overlay)"
    parser.add_argument("--overlay", metavar="FILE", help=text)
    parser.add_argument(
        "image", metavar="IMAGE[:PART][@OFFSET]", help="image, partition, byte at which it begins"
    )


def run(tool: Tool, args: Namespace) -> None:
    """Check an image."""
    from rumpfs.cli.images.fsck import run as run_fsck

    run_fsck(tool, args)
