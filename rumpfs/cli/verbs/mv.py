"""rumpfs mv."""

from __future__ import annotations

import errno
from argparse import Namespace
from typing import Final

from rumpfs.cli.places import Files, Place
from rumpfs.cli.progress import AUTO, Progress
from rumpfs.cli.tool import Parser, Tool
from rumpfs.cli.trees import Copier, operands, remove, same_side

#: images are opened for writing
WRITES: Final = True

EXAMPLES: Final = """\
  rumpfs mv :/tmp/a :/tmp/b
  rumpfs mv :/tmp/a :/tmp/b unix://sock:/mnt/dir
  rumpfs mv core.img :/tmp/               from the host

Within a file system a file is renamed; otherwise it is copied as with cp -rp and then removed.
"""


def arguments(parser: Parser) -> None:
    """Add the options."""
    parser.flag("-v", "verbose", "name each file")
    parser.add_argument("source", metavar="SOURCE", nargs="+", help=":/path, or a path of the host")
    parser.add_argument("target", metavar="TARGET", help="the new name, or a directory to move into")


def run(tool: Tool, args: Namespace) -> None:
    """Move what the command line names."""
    for source, target in operands(tool, args):
        _move(tool, source, target, args.verbose)


def _move(tool: Tool, source: Place[Files], target: Place[Files], verbose: bool) -> None:
    if same_side(source, target):
        try:
            source.files.rename(source.path, target.path)
            if verbose:
                tool.write(f"{source} -> {target}\n")
            return
        except OSError as error:
            if error.errno != errno.EXDEV:
                tool.failed(f"{source} to {target}", error)
                return
    copier = Copier(
        tool, recursive=True, preserve=True, archive=True, verbose=verbose, progress=Progress(AUTO)
    )
    if copier.copy(source, target):
        remove(tool, source)
    else:
        tool.error(f"{source}: not removed, because it was not copied whole")
