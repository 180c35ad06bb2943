"""rumpfs ln."""

from __future__ import annotations

import os
from argparse import Namespace
from typing import Final

from rumpfs.abi.stat import S_IFDIR
from rumpfs.cli.places import Place, ServerFiles
from rumpfs.cli.tool import USAGE, Failure, Parser, Tool
from rumpfs.cli.trees import same_side

#: images are opened for writing
WRITES: Final = True

EXAMPLES: Final = """\
  rumpfs ln :/mnt/a :/mnt/b              a further name for a file
  rumpfs ln -s ../etc/rc.conf :/tmp/rc   a symbolic link that says ../etc/rc.conf
  rumpfs ln -s :/mnt/etc :/tmp/etc       one that says /mnt/etc
"""


def arguments(parser: Parser) -> None:
    """Add the options."""
    parser.flag("-s", "symbolic", "a symbolic link")
    parser.flag("-f", "force", "in place of what is there, unless it is a directory")
    parser.add_argument("source", metavar="SOURCE", help="the file; with -s the text of the link")
    parser.add_argument("target", metavar="ADDRESS", help="the new name, or a directory for it")


def run(tool: Tool, args: Namespace) -> None:
    """Make the link that the command line describes."""
    target = tool.remote(args.target)
    source = None
    text = os.fsencode(args.source)
    if not args.symbolic or args.source.startswith((":/", "unix://", "tcp://")):
        source = tool.remote(args.source)
        text = source.path
        if not same_side(source, target):
            raise Failure(f"{source} and {target} are in different servers", USAGE)
    try:
        if target.is_dir():
            target = target.below(text.rstrip(b"/").rpartition(b"/")[2])
        if args.force:
            _make_room(target)
        if args.symbolic:
            target.files.symlink(text, target.path)
        else:
            target.files.link(text, target.path)
    except OSError as error:
        hint = "-f replaces it" if isinstance(error, FileExistsError) and not args.force else ""
        tool.failed(str(target) if source is None else f"{source} to {target}", error, hint)


def _make_room(target: Place[ServerFiles]) -> None:
    if target.kind(follow_symlinks=False) not in (0, S_IFDIR):
        target.files.unlink(target.path)
