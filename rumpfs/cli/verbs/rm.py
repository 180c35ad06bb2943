"""rumpfs rm."""

from __future__ import annotations

from argparse import Namespace
from typing import Final

from rumpfs.cli.tool import Parser, Tool
from rumpfs.cli.trees import remove

#: images are opened for writing
WRITES: Final = True

EXAMPLES: Final = """\
  rumpfs rm :/tmp/a :/tmp/b
  rumpfs rm -r unix://sock:/tmp/tree
  rumpfs rm -f :/tmp/maybe                no complaint when nothing is there
"""


def arguments(parser: Parser) -> None:
    """Add the options."""
    parser.flag("-r -R", "recursive", "directories with what is in them")
    parser.flag("-f", "force", "it is no error when a file does not exist")
    parser.add_argument("address", metavar="ADDRESS", nargs="+", help=":/path or unix://sock:/path")


def run(tool: Tool, args: Namespace) -> None:
    """Remove what the command line names."""
    for text in args.address:
        remove(tool, tool.remote(text), args.recursive, args.force)
