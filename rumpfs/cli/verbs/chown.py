"""rumpfs chown."""

from __future__ import annotations

from argparse import ArgumentTypeError, Namespace
from typing import Final

from rumpfs.cli.tool import Parser, Tool
from rumpfs.cli.walk import visit, walk

#: images are opened for writing
WRITES: Final = True

EXAMPLES: Final = """\
  rumpfs chown 1000 :/tmp/file
  rumpfs chown -R 1000:100 unix://sock:/tmp/tree
  rumpfs chown :0 :/tmp/file             the group alone
"""
_ID_MAX: Final = 0xFFFFFFFE


def owner(text: str) -> tuple[int, int]:
    """Parse uid, uid:gid or :gid; -1 for what stays."""
    uid, _, gid = text.partition(":")
    ids = [int(part) if part.isdecimal() else -1 for part in (uid, gid)]
    if any(part and not 0 <= value <= _ID_MAX for part, value in zip((uid, gid), ids, strict=True)):
        raise ArgumentTypeError(f"{text!r} is no owner: a server knows numbers, as 1000, 1000:100 or :100")
    if not uid and not gid:
        raise ArgumentTypeError("an owner is 1000, 1000:100 or :100")
    return ids[0], ids[1]


def arguments(parser: Parser) -> None:
    """Add the options."""
    parser.flag("-R", "recursive", "what is in directories as well; symbolic links in them change themselves")
    parser.flag("-h", "itself", "the owner of a symbolic link itself, not of what it leads to")
    parser.flag("-v", "verbose", "name each file that changes")
    parser.add_argument("owner", metavar="UID[:GID]", type=owner, help="numbers; :GID for the group alone")
    parser.add_argument("address", metavar="ADDRESS", nargs="+", help=":/path or unix://sock:/path")


def run(tool: Tool, args: Namespace) -> None:
    """Set the owner of what the command line names."""
    uid, gid = args.owner
    for text in args.address:
        top = visit(tool, tool.remote(text), follow=not args.itself)
        if top is None:
            continue
        for found in walk(tool, top, bottom_up=True) if args.recursive else [top]:
            follow = not args.itself and not found.depth
            try:
                found.place.files.chown(found.place.path, uid, gid, follow_symlinks=follow)
            except OSError as error:
                tool.failed(str(found.place), error)
                continue
            if args.verbose:
                tool.write(f"{found.place}\n")
