"""rumpfs ls."""

from __future__ import annotations

import os
import sys
import time
from argparse import Namespace
from typing import Final

from rumpfs.abi.stat import DT_DIR, DT_UNKNOWN, S_IFDIR, S_IFLNK, S_IFMT
from rumpfs.cli import listing
from rumpfs.cli.tool import Failure, Parser, Tool, columns, json_text, printable
from rumpfs.client.api import Client
from rumpfs.client.records import DirEntry, StatResult

EXAMPLES: Final = """\
  rumpfs ls                     the root directory of the server that RUMP_SERVER names
  rumpfs ls -l :/mnt/etc
  rumpfs ls -R unix://sock:/mnt
  rumpfs ls --json :/mnt | jq -r '.entries[] | select(.size > 1000000) | .path'
"""


def arguments(parser: Parser) -> None:
    """Add the options."""
    parser.add_argument("-l", dest="long", action="store_true", help="one line a file, with its attributes")
    parser.add_argument("-a", dest="all", action="store_true", help="names that begin with a dot as well")
    parser.add_argument("-R", dest="recursive", action="store_true", help="directories below as well")
    parser.add_argument("-d", dest="itself", action="store_true", help="directories themselves, not their contents")
    parser.add_argument("-i", dest="inode", action="store_true", help="inode numbers")
    parser.add_argument("-1", dest="single", action="store_true", help="one name a line, also on a terminal")
    parser.add_argument("--json", action="store_true", help="a JSON document; see rumpfs help json")
    parser.add_argument("address", metavar="ADDRESS", nargs="*", help=":/path or unix://sock:/path (default :/)")


class _Place:
    """A path that is listed."""

    def __init__(self, client: Client, prefix: str, path: bytes) -> None:
        self.client = client
        self.prefix = prefix
        self.path = path

    def __str__(self) -> str:
        return self.prefix + printable(self.path)

    def below(self, name: bytes) -> _Place:
        """Return the path of a name in this directory."""
        return _Place(self.client, self.prefix, self.path.rstrip(b"/") + b"/" + name)


#: name, path, attributes, what a symbolic link says
_Row = tuple[bytes, _Place, StatResult | None, bytes | None]


class _Lister:
    """Lists files as the options say."""

    def __init__(self, tool: Tool, args: Namespace) -> None:
        self.tool = tool
        self.args = args
        self.attributes = args.long or args.json
        self.now = time.time()
        self.entries: list[dict[str, object]] = []
        self.terminal = sys.stdout.isatty()
        self.first = True

    def row(self, name: bytes, place: _Place, st: StatResult | None) -> _Row | None:
        """Return a row, with what the options want to know of it; None when that cannot be had."""
        try:
            if st is None and self.attributes:
                st = place.client.lstat(place.path)
            target = None
            if st is not None and st.st_mode & S_IFMT == S_IFLNK:
                target = place.client.readlink(place.path)
        except OSError as error:
            self.tool.failed(str(place), error)
            return None
        return name, place, st, target

    def show(self, rows: list[_Row], total: bool) -> None:
        """Print rows, or keep them for the JSON document."""
        if self.args.json:
            self.entries += [
                listing.node(name, place.path, st, target) for name, place, st, target in rows if st is not None
            ]
        elif self.args.long:
            self._long(rows, total)
        else:
            self._short(rows)

    def _name(self, name: bytes) -> str:
        text = printable(name)
        if self.terminal:
            # A name must not be able to move the cursor.
            text = "".join(letter if letter.isprintable() else "?" for letter in text)
        return text

    def _short(self, rows: list[_Row]) -> None:
        names = []
        for name, _, st, _ in rows:
            text = self._name(name)
            names.append(f"{st.st_ino} {text}" if self.args.inode and st is not None else text)
        if self.terminal and not self.args.single:
            self.tool.write(columns(names, os.get_terminal_size(sys.stdout.fileno()).columns))
        else:
            self.tool.write("".join(f"{name}\n" for name in names))

    def _long(self, rows: list[_Row], total: bool) -> None:
        cells = []
        blocks = 0
        for name, _, st, target in rows:
            assert st is not None
            blocks += st.st_blocks
            shown = self._name(name) + (f" -> {self._name(target)}" if target is not None else "")
            inode = [str(st.st_ino)] if self.args.inode else []
            size = listing.size_text(st)
            owner = [str(st.st_nlink), str(st.st_uid), str(st.st_gid)]
            line = [*inode, listing.mode_string(st.st_mode), *owner, size, listing.when(st.st_mtime_ns, self.now)]
            cells.append([*line, shown])
        if total:
            self.tool.write(f"total {blocks}\n")
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)][:-1]
        for *line, shown in cells:
            aligned = " ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True))
            self.tool.write(f"{aligned} {shown}\n")

    # --- directories ------------------------------------------------------------------------------

    def directory(self, place: _Place, header: bool) -> None:
        """List a directory and, with -R, those below."""
        pending: list[tuple[_Place, frozenset[tuple[int, int]]]] = [(place, frozenset())]
        while pending:
            place, above = pending.pop()
            try:
                below = self._directory(place, above, header)
            except OSError as error:
                self.tool.failed(str(place), error)
                continue
            pending += reversed(below)

    def _directory(
        self, place: _Place, above: frozenset[tuple[int, int]], header: bool
    ) -> list[tuple[_Place, frozenset[tuple[int, int]]]]:
        entries = sorted(place.client.scandir(place.path))
        here = above
        if self.args.recursive:
            st = place.client.stat(place.path)
            if (st.st_dev, st.st_ino) in above:
                self.tool.error(f"{place}: this directory contains itself; the file system is damaged")
                return []
            here = above | {(st.st_dev, st.st_ino)}
        rows, below = self._rows(place, entries, here)
        if header and not self.args.json:
            self.tool.write(f"{'' if self.first else chr(10)}{place}:\n")
        self.first = False
        self.show(rows, total=True)
        return below

    def _rows(
        self, place: _Place, entries: list[DirEntry], here: frozenset[tuple[int, int]]
    ) -> tuple[list[_Row], list[tuple[_Place, frozenset[tuple[int, int]]]]]:
        rows: list[_Row] = []
        below = []
        if self.args.all:
            entries = [DirEntry(b".", 0, DT_DIR), DirEntry(b"..", 0, DT_DIR), *entries]
        for entry in entries:
            if entry.name.startswith(b".") and not self.args.all:
                continue
            inside = place.below(entry.name)
            # Without attributes the directory itself says enough, unless its file system leaves the type out.
            need = self.args.inode or (self.args.recursive and entry.type == DT_UNKNOWN)
            st = inside.client.lstat(inside.path) if need else None
            row = self.row(entry.name, inside, st)
            if row is None:
                continue
            rows.append(row)
            kind = entry.type << 12 if row[2] is None else row[2].st_mode & S_IFMT
            if self.args.recursive and kind == S_IFDIR and entry.name not in (b".", b".."):
                below.append((inside, here))
        return rows, below


def run(tool: Tool, args: Namespace) -> None:
    """List what the command line names."""
    lister = _Lister(tool, args)
    files: list[_Row] = []
    directories: list[_Place] = []
    for text in args.address or [":/"]:
        where = tool.remote(text)
        assert where.path is not None
        place = _Place(tool.client(where.url), where.prefix, where.path)
        try:
            st = place.client.stat(place.path, follow_symlinks=not (args.itself or args.long))
        except OSError as error:
            if isinstance(error, FileNotFoundError) and _dangling(place):
                st = place.client.lstat(place.path)
            else:
                tool.failed(str(place), error)
                continue
        if st.st_mode & S_IFMT == S_IFDIR and not args.itself:
            directories.append(place)
        else:
            row = lister.row(os.fsencode(str(place)), place, st)
            files += [row] if row else []
    if files:
        lister.show(sorted(files, key=lambda row: row[0]), total=False)
        lister.first = False
    header = args.recursive or len(args.address) > 1
    for place in sorted(directories, key=str):
        lister.directory(place, header)
    if args.json:
        tool.write(json_text({"entries": lister.entries}))


def _dangling(place: _Place) -> bool:
    try:
        return place.client.lstat(place.path).st_mode & S_IFMT == S_IFLNK
    except OSError:
        return False


__all__ = ["EXAMPLES", "Failure", "arguments", "run"]
