"""rumpfs sha256."""

from __future__ import annotations

import os
import re
import sys
from argparse import Namespace
from collections.abc import Iterator
from typing import Final

from rumpfs.abi.stat import S_IFMT, S_IFREG
from rumpfs.cli.digest import Digester
from rumpfs.cli.places import Place, ServerFiles, printable
from rumpfs.cli.tool import USAGE, Failure, Parser, Tool, json_name, json_text
from rumpfs.cli.walk import visit, walk

EXAMPLES: Final = """\
  rumpfs sha256 disk.img:a:/ > manifest           of all files
  (cd copy && sha256sum -c ../manifest)           whether a copy of them is the same
  rumpfs sha256 -c manifest other.img:a:/         or another image
  rumpfs sha256 --json :/mnt/etc

Lines are those of sha256sum(1), with names relative to the directory; a name with a newline or a backslash
begins with a backslash and has these as \\n and \\\\. Exit status: 1 when a file differs or cannot be read.
"""

_LINE: Final = re.compile(rb"(\\?)([0-9a-f]{64}) [ *](.+)", re.DOTALL)


def arguments(parser: Parser) -> None:
    """Add the options."""
    parser.add_argument(
        "-c", dest="manifest", metavar="FILE", help="compare with a manifest; - is standard input"
    )
    parser.flag("--json", "json", "a JSON document; see rumpfs help json")
    parser.add_argument(
        "address", metavar="ADDRESS", nargs="+", help="disk.img:/path, :/path, unix://sock:/path"
    )


def run(tool: Tool, args: Namespace) -> None:
    """Show the digests of files, or compare them."""
    if args.manifest is not None:
        _check(tool, args)
        return
    entries: list[dict[str, object]] = []
    digester = Digester()
    for text in args.address:
        for place, name in _files(tool, text):
            try:
                digest = digester.sha256(place)
            except OSError as error:
                tool.failed(str(place), error)
                continue
            if args.json:
                entries.append({**json_name("path", name), "sha256": digest})
            else:
                tool.write_bytes(_line(digest, name))
    if args.json:
        tool.write(json_text({"digests": entries}))


def _files(tool: Tool, text: str) -> Iterator[tuple[Place[ServerFiles], bytes]]:
    """Yield the regular files that an address means, with their names from there."""
    top = visit(tool, tool.remote(text, b"/"), follow=True)
    if top is None:
        return
    prefix = len(top.place.path.rstrip(b"/")) + 1
    for found in walk(tool, top):
        if found.st.st_mode & S_IFMT == S_IFREG:
            yield found.place, found.place.path[prefix:] if top.is_dir else found.place.name


def _line(digest: str, name: bytes) -> bytes:
    escaped = name.replace(b"\\", b"\\\\").replace(b"\n", b"\\n")
    return b"%s%s  %s\n" % (b"" if escaped == name else b"\\", digest.encode(), escaped)


def _manifest(path: str) -> list[tuple[bytes, str]]:
    """Return names and digests. Errors: Failure."""
    try:
        data = sys.stdin.buffer.read() if path == "-" else _read(path)
    except OSError as error:
        raise Failure(f"{path}: {error.strerror}") from error
    found = []
    for number, line in enumerate(data.splitlines(), 1):
        match = _LINE.fullmatch(line)
        if match is None:
            raise Failure(f"{path}, line {number}: no line of sha256sum(1)")
        escaped, digest, name = match.groups()
        if escaped:
            name = re.sub(rb"\\(.)", lambda each: b"\n" if each[1] == b"n" else each[1], name)
        found.append((name, digest.decode()))
    return found


def _read(path: str) -> bytes:
    with open(path, "rb") as stream:
        return stream.read()


def _check(tool: Tool, args: Namespace) -> None:
    """Compare the files of a manifest with those of a directory."""
    if len(args.address) != 1:
        raise Failure("-c compares with one directory", USAGE)
    top = tool.remote(args.address[0], b"/")
    digester = Digester()
    results: list[dict[str, object]] = []
    for name, expected in _manifest(args.manifest):
        place = top.below(os.path.normpath(name))
        try:
            digest = digester.sha256(place)
        except OSError as error:
            tool.failed(str(place), error)
            results.append({**json_name("path", name), "result": "unread"})
            continue
        same = digest == expected
        tool.status = tool.status or int(not same)
        results.append({**json_name("path", name), "result": "same" if same else "differs"})
        if not args.json and not same:
            tool.write(f"{printable(name)}: FAILED\n")
    if args.json:
        tool.write(json_text({"results": results}))
