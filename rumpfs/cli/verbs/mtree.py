"""rumpfs mtree."""

from __future__ import annotations

import re
from argparse import ArgumentTypeError, Namespace
from collections.abc import Callable, Iterator
from typing import Final

from rumpfs.abi.stat import FILE_FLAGS, S_IFLNK, S_IFMT, S_IFREG
from rumpfs.cli import listing
from rumpfs.cli.digest import Digester
from rumpfs.cli.places import Place, ServerFiles
from rumpfs.cli.tool import Parser, Tool
from rumpfs.cli.walk import Visit, visit, walk
from rumpfs.client.records import StatResult

EXAMPLES: Final = """\
  rumpfs mtree disk.img:a:/ > manifest                 every file with its attributes and SHA-256
  rumpfs mtree -k type,mode,uid,gid :/mnt/etc
  rumpfs makefs -F manifest new.img copy-of-a          the way back

The manifest is one of mtree(5), with a path in each line; mtree -p DIRECTORY -f manifest of a BSD takes it.
Bytes of names that are no printable ASCII are octal: \\040 is a space.
"""

#: mtree(5)'s names of types
_TYPES: Final = {
    "file": "file", "dir": "dir", "symlink": "link", "char": "char", "block": "block", "fifo": "fifo",
    "socket": "socket",
}  # fmt: skip


def _time(st: StatResult) -> str:
    return f"{st.st_mtime_ns // 10**9}.{st.st_mtime_ns % 10**9:09}"


def _flags(st: StatResult) -> str:
    return ",".join(word for word, bit in FILE_FLAGS.items() if st.st_flags & bit)


#: keyword -> its value; those that are no attributes are below
_KEYWORDS: Final[dict[str, Callable[[StatResult], str]]] = {
    "type": lambda st: _TYPES.get(listing.type_name(st.st_mode), ""),
    "uid": lambda st: str(st.st_uid),
    "gid": lambda st: str(st.st_gid),
    "mode": lambda st: f"{st.st_mode & 0o7777:04o}",
    "nlink": lambda st: str(st.st_nlink),
    "size": lambda st: str(st.st_size) if st.st_mode & S_IFMT == S_IFREG else "",
    "time": _time,
    "flags": _flags,
}
_OTHERS: Final = ("device", "link", "sha256")
_ALL: Final = (*_KEYWORDS, *_OTHERS)


def _words(text: str) -> list[str]:
    words = text.split(",")
    for word in words:
        if word not in _ALL:
            raise ArgumentTypeError(f"{word!r} is none of {', '.join(_ALL)}")
    return words


def arguments(parser: Parser) -> None:
    """Add the options."""
    text = f"only these: {' '.join(_ALL)} (all)"
    parser.add_argument("-k", dest="keywords", metavar="WORD,...", type=_words, default=list(_ALL), help=text)
    parser.add_argument("address", metavar="ADDRESS", help="disk.img:/path, :/path or unix://sock:/path")


def run(tool: Tool, args: Namespace) -> None:
    """Show the manifest of what the command line names."""
    top = visit(tool, tool.remote(args.address, b"/"), follow=True)
    if top is None:
        return
    tool.write("#mtree\n")
    prefix = len(top.place.path.rstrip(b"/"))
    digester = Digester()
    for found in walk(tool, top):
        try:
            values = dict(_values(found, args.keywords, digester))
        except OSError as error:
            tool.failed(str(found.place), error)
            continue
        words = [f"{word}={values[word]}" for word in args.keywords if values.get(word)]
        tool.write(" ".join([_vis(b"." + found.place.path[prefix:].rstrip(b"/")), *words]) + "\n")


def _values(found: Visit, keywords: list[str], digester: Digester) -> Iterator[tuple[str, str]]:
    """Yield the keywords that a file has. Errors: OSError."""
    st = found.st
    for word, value in _KEYWORDS.items():
        if word in keywords:
            yield word, value(st)
    if "device" in keywords and listing.is_device(st.st_mode):
        yield "device", "netbsd,{},{}".format(*found.place.files.device(st))
    yield from _content(found.place, st.st_mode & S_IFMT, keywords, digester)


def _content(
    place: Place[ServerFiles], kind: int, keywords: list[str], digester: Digester
) -> Iterator[tuple[str, str]]:
    if "link" in keywords and kind == S_IFLNK:
        yield "link", _vis(place.files.readlink(place.path))
    if "sha256" in keywords and kind == S_IFREG:
        yield "sha256", digester.sha256(place)


def _vis(name: bytes) -> str:
    """Return a name as mtree(5) writes it (vis(3), VIS_OCTAL)."""
    return re.sub(rb"[^!-~]|[#\\*?\[=]", lambda match: b"\\%03o" % match[0][0], name).decode("ascii")
