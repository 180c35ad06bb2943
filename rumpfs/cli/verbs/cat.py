"""rumpfs cat."""

from __future__ import annotations

from argparse import Namespace
from typing import Final

from rumpfs.cli.tool import Parser, Tool

EXAMPLES: Final = """\
  rumpfs cat :/mnt/etc/rc.conf
  rumpfs cat unix://sock:/mnt/var/log/messages | less
"""

_CHUNK: Final = 1 << 20


def arguments(parser: Parser) -> None:
    """Add the options."""
    parser.add_argument("address", metavar="ADDRESS", nargs="+", help=":/path or unix://sock:/path")


def run(tool: Tool, args: Namespace) -> None:
    """Print what the command line names."""
    buffer = memoryview(bytearray(_CHUNK))
    for text in args.address:
        place = tool.remote(text)
        try:
            with place.files.open(place.path) as file:
                while count := file.readinto(buffer):
                    tool.write_bytes(buffer[:count])
        except OSError as error:
            tool.failed(str(place), error)
