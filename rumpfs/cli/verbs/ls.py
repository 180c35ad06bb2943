"""rumpfs ls."""

from __future__ import annotations

import os
import sys
import time
from argparse import Namespace
from typing import Final, NamedTuple, TypeAlias

from rumpfs.abi.stat import DT_DIR, DT_UNKNOWN, S_IFDIR, S_IFLNK, S_IFMT
from rumpfs.cli import listing
from rumpfs.cli.places import Place, ServerFiles, printable
from rumpfs.cli.tool import Parser, Tool, columns, json_text
from rumpfs.client.records import DirEntry, StatResult

EXAMPLES: Final = """\
  rumpfs ls                     the root directory of the server that RUMP_SERVER names
  rumpfs ls -l :/mnt/etc
  rumpfs ls -R unix://sock:/mnt
  rumpfs ls --json :/mnt | jq -r '.entries[] | select(.size > 1000000) | .path'
"""


def arguments(parser: Parser) -> None:
    """Add the options."""
    flag = parser.flag
    flag("-l", "long", "one line a file, with its attributes")
    flag("-a", "all", "names that begin with a dot as well")
    flag("-R", "recursive", "directories below as well")
    flag("-d", "itself", "directories themselves, not what is in them")
    flag("-i", "inode", "inode numbers")
    flag("-1", "single", "one name a line, also on a terminal")
    flag("--json", "json", "a JSON document; see rumpfs help json")
    parser.add_argument("address", metavar="ADDRESS", nargs="*", help=":/path or unix://sock:/path (:/)")


class _Row(NamedTuple):
    """A file to be shown; attributes and what a symbolic link says only where an option wants them."""

    name: bytes
    place: Place[ServerFiles]
    st: StatResult | None
    target: bytes | None


#: device and inode of the directories above one
_Above: TypeAlias = frozenset[tuple[int, int]]


class _Lister:
    """Lists files as the options say."""

    def __init__(self, tool: Tool, args: Namespace) -> None:
        self.tool = tool
        self.args = args
        self.attributes = args.long or args.json or args.inode
        self.now = time.time()
        self.entries: list[dict[str, object]] = []  # of the JSON document
        self.terminal = sys.stdout.isatty()
        self.first = True

    def row(self, name: bytes, place: Place[ServerFiles]) -> _Row | None:
        """Return a row; None when its attributes cannot be had, which has been said then."""
        if not self.attributes:
            return _Row(name, place, None, None)
        try:
            st = place.files.lstat(place.path)
            target = place.files.readlink(place.path) if st.st_mode & S_IFMT == S_IFLNK else None
        except OSError as error:
            self.tool.failed(str(place), error)
            return None
        return _Row(name, place, st, target)

    def show(self, rows: list[_Row], total: bool) -> None:
        """Print rows, or keep them for the JSON document."""
        if self.args.json:
            for _, place, st, target in rows:
                assert st is not None
                self.entries.append(listing.node(place.name or b"/", place.path, st, target))
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
        lines = []
        blocks = 0
        for name, _, st, target in rows:
            assert st is not None
            blocks += st.st_blocks
            shown = self._name(name) + (f" -> {self._name(target)}" if target is not None else "")
            lines.append([
                *([str(st.st_ino)] if self.args.inode else []),
                listing.mode_string(st.st_mode),
                *map(str, (st.st_nlink, st.st_uid, st.st_gid)),
                listing.size_text(st),
                listing.when(st.st_mtime_ns, self.now),
                shown,
            ])  # fmt: skip
        if total:
            self.tool.write(f"total {blocks}\n")
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)][:-1]
        for *line, shown in lines:
            aligned = " ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True))
            self.tool.write(f"{aligned} {shown}\n")

    # --- directories ------------------------------------------------------------------------------

    def tree(self, top: Place[ServerFiles], header: bool) -> None:
        """List a directory and, with -R, those below."""
        pending: list[tuple[Place[ServerFiles], _Above]] = [(top, frozenset())]
        while pending:
            place, above = pending.pop()
            try:
                pending += self._directory(place, above, header)
            except OSError as error:
                self.tool.failed(str(place), error)

    def _directory(
        self, place: Place[ServerFiles], above: _Above, header: bool
    ) -> list[tuple[Place[ServerFiles], _Above]]:
        """List one directory; return those below it, the last one first."""
        if self.args.recursive:
            st = place.stat()
            if (st.st_dev, st.st_ino) in above:
                self.tool.error(f"{place}: this directory contains itself: its file system is damaged")
                return []
            above |= {(st.st_dev, st.st_ino)}
        entries = sorted(place.files.scandir(place.path))
        if header and not self.args.json:
            self.tool.write(f"{place}:\n" if self.first else f"\n{place}:\n")
        self.first = False
        if self.args.all:
            entries = [DirEntry(b".", 0, DT_DIR), DirEntry(b"..", 0, DT_DIR), *entries]
        rows = []
        below = []
        for entry in entries:
            if entry.name.startswith(b".") and not self.args.all:
                continue
            row = self.row(entry.name, place.below(entry.name))
            if row is None:
                continue
            rows.append(row)
            if self.args.recursive and entry.name not in (b".", b"..") and _is_dir(entry, row):
                below.append((row.place, above))
        self.show(rows, total=True)
        return below[::-1]


def _is_dir(entry: DirEntry, row: _Row) -> bool:
    if row.st is not None:
        return row.st.st_mode & S_IFMT == S_IFDIR
    if entry.type == DT_UNKNOWN:  # its file system keeps no types in directories
        return row.place.kind(follow_symlinks=False) == S_IFDIR
    return entry.type == DT_DIR


def run(tool: Tool, args: Namespace) -> None:
    """List what the command line names."""
    lister = _Lister(tool, args)
    files: list[_Row] = []
    directories: list[Place[ServerFiles]] = []
    for text in args.address or [tool.here]:
        place = tool.remote(text, b"/")
        try:
            # As ls does it: a symbolic link leads to its directory, unless attributes are shown.
            kind = place.kind(follow_symlinks=not (args.itself or args.long))
            if kind == S_IFDIR and not args.itself:
                directories.append(place)
                continue
            place.files.lstat(place.path)
        except OSError as error:
            tool.failed(str(place), error)
            continue
        row = lister.row(os.fsencode(str(place)), place)
        files += [row] if row else []
    if files:
        lister.show(sorted(files, key=lambda row: row.name), total=False)
        lister.first = False
    for place in sorted(directories, key=str):
        lister.tree(place, header=args.recursive or len(args.address) > 1)
    if args.json:
        tool.write(json_text({"entries": lister.entries}))
