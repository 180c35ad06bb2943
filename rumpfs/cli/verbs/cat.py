"""rumpfs cat."""

from __future__ import annotations

import sys
from argparse import Namespace
from io import RawIOBase
from typing import Final

from rumpfs.cli.sending import Sender
from rumpfs.cli.tool import OutputLost, Parser, Tool
from rumpfs.client.errors import RumpError

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
            with place.files.reader(place.path) as file:
                _print(tool, file, buffer)
        except OSError as error:
            tool.failed(str(place), error)


def _print(tool: Tool, file: RawIOBase, buffer: memoryview) -> None:
    """Print what a file holds; the host's kernel copies what it can."""
    tool.flush()
    sender = Sender(file, sys.stdout.fileno())
    done = 0
    while True:
        if sent := _send(sender, done):
            done += sent
            file.seek(done)
        elif count := file.readinto(buffer):
            done += count
            tool.write_bytes(buffer[:count])
            tool.flush()
        else:
            return


def _send(sender: Sender, offset: int) -> int:
    try:
        return sender.send(offset, sys.maxsize)
    except RumpError:
        raise
    except OSError as error:
        raise OutputLost(error) from error
