"""rumpfs diff."""

from __future__ import annotations

import itertools
import os
from argparse import ArgumentTypeError, Namespace
from collections.abc import Callable, Iterator
from contextlib import suppress
from io import RawIOBase
from typing import Any, Final

from rumpfs.abi.stat import S_IFDIR, S_IFLNK, S_IFMT, S_IFREG
from rumpfs.cli import listing
from rumpfs.cli.address import HostAddress
from rumpfs.cli.places import Attributes, Files, Place, printable
from rumpfs.cli.tool import Parser, Tool, json_name, json_text

EXAMPLES: Final = """\
  rumpfs diff monday.img:a tuesday.img:a        two images
  rumpfs diff disk.img:a:/etc /mnt/backup/etc   an image and a directory of the host
  rumpfs diff --ignore mtime,nlink old.img new.img
  rumpfs diff --json old.img:/ :/mnt | jq -r '.differences[].path'

Names, attributes and contents are compared; times of access and of the last change of an inode, its number
and the sizes of directories are not. Exit status: 0 when both are the same, 1 when they differ, 2 when
something could not be compared.
"""

#: exit status after an error
TROUBLE: Final = 2
_CHUNK: Final = 1 << 20

#: what is compared -> how it is had from attributes, and shown
_FIELDS: Final[dict[str, tuple[Callable[[Any], Any], Callable[[Any], str]]]] = {
    "mode": (lambda st: st.st_mode & 0o7777, lambda value: f"{value:04o}"),
    "uid": (lambda st: st.st_uid, str),
    "gid": (lambda st: st.st_gid, str),
    "nlink": (lambda st: 0 if st.st_mode & S_IFMT == S_IFDIR else st.st_nlink, str),
    "size": (lambda st: 0 if st.st_mode & S_IFMT == S_IFDIR else st.st_size, str),
    "mtime": (lambda st: st.st_mtime_ns, listing.full_time),
}
_WORDS: Final = (*_FIELDS, "device", "target", "content")


def _words(text: str) -> frozenset[str]:
    words = frozenset(text.split(","))
    unknown = sorted(words.difference(_WORDS))
    if unknown:
        raise ArgumentTypeError(f"{unknown[0]!r} is none of {', '.join(_WORDS)}")
    return words


def arguments(parser: Parser) -> None:
    """Add the options."""
    parser.flag("-q", "quiet", "say nothing; the exit status tells")
    text = f"do not compare these, of {' '.join(_WORDS)}"
    parser.add_argument("--ignore", metavar="WORD,...", type=_words, default=frozenset(), help=text)
    parser.flag("--seconds", "seconds", "compare times without their fractions")
    parser.flag("--json", "json", "a JSON document; see rumpfs help json")
    parser.add_argument("one", metavar="A", help="an image, a path in one or in a server, or of the host")
    parser.add_argument("other", metavar="B", help="the same")


class _Difference(Exception):
    """There is one, and -q wants to know no more."""


class _Comparison:
    """Compares two trees.

    Args:
        tool: reports what cannot be read.
        args: the options.
    """

    def __init__(self, tool: Tool, args: Namespace) -> None:
        self.tool = tool
        self.args = args
        self.found: list[dict[str, object]] = []
        self.differs = False
        self._buffers = memoryview(bytearray(_CHUNK)), memoryview(bytearray(_CHUNK))

    def trees(self, one: Place[Files], other: Place[Files]) -> None:
        """Compare two files or directories, and all that is below them."""
        pending = [(one, other, b"")]
        while pending:
            one, other, path = pending.pop()
            try:
                pending += reversed(self._pair(one, other, path))
            except OSError as error:
                self.trouble(one, error)

    def trouble(self, place: Place[Files], error: OSError) -> None:
        """Say that something cannot be compared."""
        self.tool.failed(str(place), error)
        self.tool.status = TROUBLE

    def _pair(
        self, one: Place[Files], other: Place[Files], path: bytes
    ) -> list[tuple[Place[Files], Place[Files], bytes]]:
        """Compare two files; return what is to be compared below them."""
        a, b = one.stat(follow_symlinks=not path), other.stat(follow_symlinks=not path)
        was, now = listing.type_name(a.st_mode), listing.type_name(b.st_mode)
        if was != now:
            self._say(path, "changed", {"type": (was, now, was, now)})
            return []
        fields = dict(self._attributes(a, b, one, other))
        kind = a.st_mode & S_IFMT
        if kind == S_IFLNK and "target" not in self.args.ignore:
            was, now = (printable(place.files.readlink(place.path)) for place in (one, other))
            if was != now:
                fields["target"] = (was, now, was, now)
        if kind == S_IFREG and "content" not in self.args.ignore:
            at = self._content(one, a, other, b)
            if at is not None:
                fields["content"] = (at, at, "", f"differs from byte {at} on")
        if fields:
            self._say(path, "changed", fields)
        return self._below(one, other, path) if kind == S_IFDIR else []

    def _attributes(
        self, a: Attributes, b: Attributes, one: Place[Files], other: Place[Files]
    ) -> Iterator[tuple[str, tuple[Any, Any, str, str]]]:
        for name, (value, shown) in _FIELDS.items():
            x, y = value(a), value(b)
            if name in self.args.ignore or x == y:
                continue
            if name == "mtime" and self.args.seconds and x // 10**9 == y // 10**9:
                continue
            yield name, (x, y, shown(x), shown(y))
        if listing.is_device(a.st_mode) and "device" not in self.args.ignore:
            x, y = list(one.files.device(a)), list(other.files.device(b))
            if x != y:
                yield "device", (x, y, f"{x[0]}, {x[1]}", f"{y[0]}, {y[1]}")

    def _below(
        self, one: Place[Files], other: Place[Files], path: bytes
    ) -> list[tuple[Place[Files], Place[Files], bytes]]:
        """Say which names only one directory has; return those that both have."""
        mine, others = (set(place.files.listdir(place.path)) for place in (one, other))
        both = []
        for name in sorted(mine | others):
            below = path + b"/" + name
            if name not in others:
                self._say(below, "removed", {})
            elif name not in mine:
                self._say(below, "added", {})
            else:
                both.append((one.below(name), other.below(name), below))
        return both

    def _content(self, one: Place[Files], a: Attributes, other: Place[Files], b: Attributes) -> int | None:
        """Return the offset of the first byte that differs; None for none."""
        at = 0
        mine, its = self._buffers
        with one.files.reader(one.path) as first, other.files.reader(other.path) as second:
            while True:
                x, y = _piece(first, mine), _piece(second, its)
                if x != y:
                    pairs = enumerate(itertools.zip_longest(x, y))
                    return at + next(index for index, (byte, beside) in pairs if byte != beside)
                if not x:
                    return None
                at += len(x)

    # --- output -----------------------------------------------------------------------------------

    def _say(self, path: bytes, change: str, fields: dict[str, tuple[Any, Any, str, str]]) -> None:
        self.differs = True
        if self.args.quiet:
            raise _Difference
        if self.args.json:
            document: dict[str, object] = {**json_name("path", path or b"/"), "change": change}
            document["fields"] = {name: [x, y] for name, (x, y, _, _) in fields.items()}
            self.found.append(document)
            return
        name = printable(path or b"/")
        if change != "changed":
            self.tool.write(f"{'-' if change == 'removed' else '+'} {name}\n")
            return
        texts = [f"{word} {x} -> {y}" if x else f"{word} {y}" for word, (_, _, x, y) in fields.items()]
        self.tool.write(f"! {name}: {', '.join(texts)}\n")


def _piece(reader: RawIOBase, buffer: memoryview) -> memoryview:
    """Fill a buffer, and return as much of it as the file has left."""
    done = 0
    while done < len(buffer) and (count := reader.readinto(buffer[done:])):
        done += count
    return buffer[:done]


def _place(tool: Tool, text: str) -> Place[Files]:
    """Return the place of a directory of the host, or of what is in an image or a server."""
    if isinstance(tool.parse(text), HostAddress) and os.path.isdir(text):
        return tool.place(text)
    return tool.remote(text, b"/")


def run(tool: Tool, args: Namespace) -> None:
    """Compare what the command line names."""
    comparison = _Comparison(tool, args)
    with suppress(_Difference):
        comparison.trees(_place(tool, args.one), _place(tool, args.other))
    if tool.status:
        tool.status = TROUBLE
    elif comparison.differs:
        tool.status = 1
    if args.json:
        tool.write(json_text({"differences": comparison.found}))
