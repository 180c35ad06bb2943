"""rumpfs cat."""

from __future__ import annotations

import sys
from argparse import Namespace
from io import RawIOBase
from typing import Final

from rumpfs.cli.sending import Sender
from rumpfs.cli.tool import OutputLost, Parser, Tool

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
                sent = _send(tool, file)
                if sent:
                    file.seek(sent)
                while count := file.readinto(buffer):
                    tool.write_bytes(buffer[:count])
        except OSError as error:
            tool.failed(str(place), error)


def _send(tool: Tool, file: RawIOBase) -> int:
    """Let the host's kernel copy as much of a file as it can; return how many bytes that are."""
    sender = Sender(file, sys.stdout.fileno())
    tool.flush()
    done = 0
    try:
        while count := sender.send(done, sys.maxsize):
            done += count
    except OSError as error:
        raise OutputLost(error) from error
    return done
