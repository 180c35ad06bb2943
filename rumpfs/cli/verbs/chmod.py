"""rumpfs chmod."""

from __future__ import annotations

from argparse import ArgumentTypeError, Namespace
from typing import Final

from rumpfs.abi.stat import S_IFLNK, S_IFMT
from rumpfs.cli.modes import ALL, Mode
from rumpfs.cli.tool import Parser, Tool
from rumpfs.cli.walk import visit, walk

#: images are opened for writing
WRITES: Final = True

EXAMPLES: Final = """\
  rumpfs chmod 644 :/tmp/file
  rumpfs chmod -R u+rwX,go-w unix://sock:/tmp/tree
  rumpfs chmod -- -x :/tmp/script
"""


def mode(text: str) -> Mode:
    """Parse a mode."""
    try:
        return Mode(text)
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from error


def arguments(parser: Parser) -> None:
    """Add the options."""
    parser.flag("-R", "recursive", "what is in directories as well; symbolic links in them are left alone")
    parser.flag("-h", "itself", "the mode of a symbolic link itself, not of what it leads to")
    parser.flag("-v", "verbose", "name each file that changes")
    parser.add_argument("mode", metavar="MODE", type=mode, help="octal, or as u+x,go-w")
    parser.add_argument("address", metavar="ADDRESS", nargs="+", help=":/path or unix://sock:/path")


def run(tool: Tool, args: Namespace) -> None:
    """Set the permissions of what the command line names."""
    for text in args.address:
        place = tool.remote(text)
        top = visit(tool, place, follow=not args.itself)
        if top is None:
            continue
        umask = place.files.umask()
        for found in walk(tool, top, bottom_up=True) if args.recursive else [top]:
            if found.depth and found.st.st_mode & S_IFMT == S_IFLNK and not args.itself:
                continue
            wanted = args.mode.of(found.st.st_mode, found.is_dir, umask)
            if wanted == found.st.st_mode & ALL:
                continue
            try:
                found.place.files.chmod(found.place.path, wanted, follow_symlinks=not args.itself)
            except OSError as error:
                tool.failed(str(found.place), error)
                continue
            if args.verbose:
                tool.write(f"{found.place}: {found.st.st_mode & ALL:04o} -> {wanted:04o}\n")
