"""rumpfs grep."""

from __future__ import annotations

import os
import re
from argparse import Namespace
from collections.abc import Iterator
from io import BufferedReader
from typing import Final

from rumpfs.abi.stat import S_IFMT, S_IFREG
from rumpfs.cli.places import Place, ServerFiles
from rumpfs.cli.tool import USAGE, Failure, Parser, Tool, json_name, json_text, say
from rumpfs.cli.walk import Visit, visit, walk

EXAMPLES: Final = """\
  rumpfs grep -n root disk.img:a:/etc/passwd
  rumpfs grep -ri 'password *=' disk.img:a:/etc :/mnt/etc
  rumpfs grep -rlF needle disk.img             the names of the files that hold it

PATTERN is a regular expression of Python, on bytes. Of a file that holds a NUL byte in its first 32 KiB it is
only said that it matches. Exit status: 0 when something matches, 1 when nothing does, 2 after an error.
"""

#: exit status after an error
TROUBLE: Final = 2
#: what of a file is looked at for a NUL, and the longest line that is taken as one
_HEAD: Final = 32768
_LINE_MAX: Final = 1 << 20


def arguments(parser: Parser) -> None:
    """Add the options."""
    flag = parser.flag
    flag("-r", "recursive", "all files below directories")
    flag("-i", "insensitive", "whatever the case of letters")
    flag("-F", "fixed", "PATTERN is the text itself")
    flag("-v", "invert", "lines that do not match")
    flag("-n", "number", "with the number of each line")
    flag("-l", "names", "only the names of files that match")
    flag("-c", "count", "only the number of lines that match")
    flag("-a", "text", "lines of binary files as well")
    flag("--json", "json", "a JSON document; see rumpfs help json")
    parser.add_argument("pattern", metavar="PATTERN", help="regular expression; see below")
    parser.add_argument(
        "address", metavar="ADDRESS", nargs="+", help="disk.img:/path, :/path, unix://sock:/path"
    )


def run(tool: Tool, args: Namespace) -> None:
    """Show the lines that match."""
    pattern = os.fsencode(args.pattern)
    try:
        search = re.compile(re.escape(pattern) if args.fixed else pattern, re.IGNORECASE * args.insensitive)
    except re.error as error:
        raise Failure(f"{args.pattern}: {error}", USAGE) from error
    matches: list[dict[str, object]] = []
    found = False
    for file in _files(tool, args):
        try:
            found |= _grep(tool, args, search, file, matches)
        except OSError as error:
            tool.failed(str(file), error)
    if args.json:
        tool.write(json_text({"matches": matches}))
    tool.status = TROUBLE if tool.status else int(not found)


def _files(tool: Tool, args: Namespace) -> Iterator[Place[ServerFiles]]:
    for text in args.address:
        top = visit(tool, tool.remote(text, b"/"), follow=True)
        if top is None:
            continue
        if top.is_dir and not args.recursive:
            tool.error(f"{top.place}: Is a directory: -r looks into the files below it")
            continue
        yield from (each.place for each in walk(tool, top) if _is_file(each))


def _is_file(found: Visit) -> bool:
    return found.st.st_mode & S_IFMT == S_IFREG


def _grep(
    tool: Tool,
    args: Namespace,
    search: re.Pattern[bytes],
    place: Place[ServerFiles],
    matches: list[dict[str, object]],
) -> bool:
    """Look into one file; return whether something matches."""
    prefix = os.fsencode(f"{place}:") if args.recursive or len(args.address) > 1 else b""
    count = 0
    with BufferedReader(place.files.reader(place.path), _HEAD) as stream:
        binary = not args.text and b"\0" in stream.peek(_HEAD)[:_HEAD]
        number = 0
        while line := stream.readline(_LINE_MAX):
            number += 1
            if bool(search.search(line.rstrip(b"\n"))) == args.invert:
                continue
            count += 1
            if args.names or (binary and not args.count):
                break
            if args.json:
                matches.append(
                    {**json_name("path", place.path), "line": number, **json_name("text", line.rstrip(b"\n"))}
                )
            elif not args.count:
                at = b"%d:" % number if args.number else b""
                tool.write_bytes(prefix + at + line.rstrip(b"\n") + b"\n")
    _total(tool, args, place, prefix, count, binary, matches)
    return bool(count)


def _total(
    tool: Tool,
    args: Namespace,
    place: Place[ServerFiles],
    prefix: bytes,
    count: int,
    binary: bool,
    matches: list[dict[str, object]],
) -> None:
    """Show what there is to say of a file as a whole."""
    if args.json:
        if count and (args.names or binary):
            matches.append({**json_name("path", place.path), "line": None, "text": None})
    elif args.names:
        tool.write(f"{place}\n" if count else "")
    elif args.count:
        tool.write_bytes(prefix + b"%d\n" % count)
    elif binary and count:
        tool.flush()
        say(f"{tool.name}: {place}: binary file matches")
