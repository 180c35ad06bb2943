"""rumpfs tar."""

from __future__ import annotations

from argparse import Namespace
from typing import Final

from rumpfs.cli.tool import Parser, Tool

EXAMPLES: Final = """\
  rumpfs tar disk.img:a:/ > root.tar              all of partition a
  rumpfs tar -z -f etc.tar.gz disk.img:a:/etc :/mnt/etc
  rumpfs tar disk.img:/ | tar -tvf -
  rumpfs tar disk.img:/ | zstd > root.tar.zst

The archive is a pax one: times with nanoseconds, extended attributes, file flags, times of birth, names that
are not UTF-8, holes and hard links are kept. It begins with a directory itself; names in it are relative.
Sockets are left out, with a warning.
"""


def arguments(parser: Parser) -> None:
    """Add the options."""
    parser.add_argument("-f", dest="file", metavar="FILE", help="write it there, not to standard output")
    squeeze = parser.add_mutually_exclusive_group()
    squeeze.add_argument("-z", dest="compress", action="store_const", const="gz", default="", help="gzip")
    squeeze.add_argument("-j", dest="compress", action="store_const", const="bz2", help="bzip2")
    squeeze.add_argument("-J", dest="compress", action="store_const", const="xz", help="xz")
    parser.flag("-v", "verbose", "name each file on standard error")
    parser.add_argument(
        "address", metavar="ADDRESS", nargs="+", help="disk.img:/path, :/path or unix://sock:/path"
    )


def run(tool: Tool, args: Namespace) -> None:
    """Write an archive of what the command line names."""
    from rumpfs.cli.archive import run as run_tar

    run_tar(tool, args)
