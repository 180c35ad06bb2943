"""rumpfs cp."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterable
from typing import Final

from rumpfs.cli.places import Files, Place
from rumpfs.cli.progress import AUTO, CHOICES, Progress
from rumpfs.cli.tool import Parser, Tool
from rumpfs.cli.trees import Copier, operands

EXAMPLES: Final = """\
  rumpfs cp :/mnt/etc/rc.conf .           out of the server that RUMP_SERVER names
  rumpfs cp -r unix://sock:/mnt/etc etc   a tree; into etc when that is a directory already
  rumpfs cp -a disk.img:a:/etc .          out of an image, with all that the host can keep
  rumpfs cp -p notes.txt :/tmp/           into it, with owner, permissions and times
  rumpfs cp :/mnt/a :/mnt/b               within it

A copy that fails halfway is left where it is, and named. Without -p a new file gets the permissions of the
old one less the umask: of the host, or of a process in the server, 022. Holes of files in images and on the
host stay holes; a server does not tell where they are.
"""


def options(parser: Parser) -> None:
    """Add the options that say how files are copied."""
    parser.flag("-r -R", "recursive", "directories with what is in them; links and devices as themselves")
    parser.flag("-p", "preserve", "keep permissions, owner and times")
    parser.flag("-a", "archive", "as -rp, and keep hard links and extended attributes")
    parser.flag("-v", "verbose", "name each file")
    parser.add_argument(
        "--progress", choices=CHOICES, default=AUTO, help="on a terminal only (auto), in lines, or not"
    )


def arguments(parser: Parser) -> None:
    """Add the options."""
    options(parser)
    parser.add_argument("source", metavar="SOURCE", nargs="+", help="a path of the host, or :/path")
    parser.add_argument("target", metavar="TARGET", help="a file, or a directory to copy into")


def copy(tool: Tool, args: Namespace, pairs: Iterable[tuple[Place[Files], Place[Files]]]) -> None:
    """Copy as the options say."""
    copier = Copier(
        tool,
        recursive=args.recursive or args.archive,
        preserve=args.preserve or args.archive,
        archive=args.archive,
        verbose=args.verbose,
        progress=Progress(args.progress),
    )
    for source, target in pairs:
        copier.copy(source, target)


def run(tool: Tool, args: Namespace) -> None:
    """Copy what the command line names."""
    copy(tool, args, operands(tool, args))
