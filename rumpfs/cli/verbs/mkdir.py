"""rumpfs mkdir."""

from __future__ import annotations

from argparse import ArgumentTypeError, Namespace
from typing import Final

from rumpfs.cli.places import Place, ServerFiles
from rumpfs.cli.tool import Parser, Tool

#: images are opened for writing
WRITES: Final = True

EXAMPLES: Final = """\
  rumpfs mkdir :/mnt
  rumpfs mkdir -p unix://sock:/tmp/a/b/c
  rumpfs mkdir -m 700 :/tmp/private
"""


def octal(text: str) -> int:
    """Parse permissions."""
    try:
        mode = int(text, 8)
    except ValueError:
        mode = -1
    if not 0 <= mode <= 0o7777:
        raise ArgumentTypeError(f"{text!r} is not an octal number up to 7777")
    return mode


def arguments(parser: Parser) -> None:
    """Add the options."""
    parser.flag("-p", "parents", "directories above as well; it is no error when it exists")
    parser.add_argument("-m", dest="mode", metavar="MODE", type=octal, help="permissions, octal")
    parser.add_argument("address", metavar="ADDRESS", nargs="+", help=":/path or unix://sock:/path")


def run(tool: Tool, args: Namespace) -> None:
    """Make what the command line names."""
    for text in args.address:
        place = tool.remote(text)
        try:
            if args.parents:
                _parents(place)
            else:
                place.files.mkdir(place.path)
            if args.mode is not None:
                place.files.chmod(place.path, args.mode)
        except OSError as error:
            hint = "-p makes the directories above as well" if isinstance(error, FileNotFoundError) else ""
            tool.failed(str(place), error, hint)


def _parents(place: Place[ServerFiles]) -> None:
    path = b"/" if place.path.startswith(b"/") else b""
    for part in place.path.split(b"/"):
        if not part:
            continue
        path += part
        try:
            place.files.mkdir(path)
        except FileExistsError:
            if not Place(place.files, path, "").is_dir():
                raise
        path += b"/"
