"""rumpfs tree."""

from __future__ import annotations

from argparse import Namespace
from typing import Any, Final

from rumpfs.abi.stat import S_IFLNK, S_IFMT
from rumpfs.cli import listing
from rumpfs.cli.places import printable
from rumpfs.cli.tool import Parser, Tool, json_text
from rumpfs.cli.verbs.du import depth
from rumpfs.cli.walk import Visit, visit, walk

EXAMPLES: Final = """\
  rumpfs tree :/mnt/etc
  rumpfs tree -d -L 2 unix://sock:/mnt   directories, two levels of them
  rumpfs tree --json :/mnt | jq '.trees[0].children[].name'
"""
_ROOT: Final = b"/"


def arguments(parser: Parser) -> None:
    """Add the options."""
    parser.flag("-a", "all", "names that begin with a dot as well")
    parser.flag("-d", "directories", "directories alone")
    parser.flag("-l", "long", "mode, owner and size before each name")
    parser.flag("--json", "json", "a JSON document; see rumpfs help json")
    parser.add_argument("-L", dest="depth", metavar="DEPTH", type=depth, help="go no deeper")
    parser.add_argument("address", metavar="ADDRESS", nargs="*", help=":/path or unix://sock:/path (:/)")


class _Trees:
    """Draws trees; a line is known to be the last of its directory only when the next one is."""

    def __init__(self, tool: Tool, args: Namespace) -> None:
        self.tool = tool
        self.args = args
        self.counts = {True: 0, False: 0}  # of directories, of others

    def visits(self, top: Visit) -> list[Visit]:
        """Return the files of a tree that are shown."""

        def enter(found: Visit) -> bool:
            if not found.depth or self.visible(found):
                return self.args.depth is None or found.depth < self.args.depth
            return False

        found = [each for each in walk(self.tool, top, enter) if not each.depth or self.visible(each)]
        for each in found[1:]:
            self.counts[each.is_dir] += 1
        return found

    def visible(self, found: Visit) -> bool:
        if self.args.directories and not found.is_dir:
            return False
        return self.args.all or not found.place.name.startswith(b".")

    def target(self, found: Visit) -> bytes | None:
        """Return what a symbolic link says; None for what is none."""
        if found.st.st_mode & S_IFMT != S_IFLNK:
            return None
        try:
            return found.place.files.readlink(found.place.path)
        except OSError as error:
            self.tool.failed(str(found.place), error)
            return b""

    def text(self, found: Visit) -> str:
        name = printable(found.place.name) if found.depth else str(found.place)
        target = self.target(found)
        arrow = "" if target is None else f" -> {printable(target)}"
        st = found.st
        if not self.args.long:
            return name + arrow
        mode, size = listing.mode_string(st.st_mode), listing.size_text(st)
        return f"[{mode} {st.st_uid:>5} {st.st_gid:>5} {size:>10}]  {name}{arrow}"

    def draw(self, top: Visit) -> None:
        found = self.visits(top)
        # Whether a line has a sibling below it, seen from the last line upwards.
        follows: list[bool] = []
        last: list[bool] = []
        for each in reversed(found):
            del follows[each.depth + 1 :]
            follows += [False] * (each.depth + 1 - len(follows))
            last.append(not follows[each.depth])
            follows[each.depth] = True
        bars: list[str] = []
        for each, ends in zip(found, reversed(last), strict=True):
            if each.depth:
                del bars[each.depth - 1 :]
                self.tool.write("".join(bars) + ("└── " if ends else "├── "))
                bars.append("    " if ends else "│   ")
            self.tool.write(self.text(each) + "\n")

    def document(self, top: Visit) -> dict[str, object]:
        """Return a tree as JSON has it: each directory with a list of what is in it."""
        branch: list[Any] = []
        for each in self.visits(top):
            st = each.st
            node = listing.node(each.place.name or _ROOT, each.place.path, st, self.target(each))
            if each.is_dir:
                node["children"] = []
            if each.depth:
                branch[each.depth - 1]["children"].append(node)
            del branch[each.depth :]
            branch.append(node)
        return dict(branch[0])


def run(tool: Tool, args: Namespace) -> None:
    """Draw what the command line names."""
    trees = _Trees(tool, args)
    documents = []
    for text in args.address or [tool.here]:
        top = visit(tool, tool.remote(text, _ROOT), follow=True)
        if top is None:
            continue
        if args.json:
            documents.append(trees.document(top))
        else:
            trees.draw(top)
    if args.json:
        tool.write(json_text({"trees": documents}))
        return
    directories, others = trees.counts[True], trees.counts[False]
    words = [f"{directories} {'directory' if directories == 1 else 'directories'}"]
    if not args.directories:
        words.append(f"{others} {'file' if others == 1 else 'files'}")
    tool.write(f"\n{', '.join(words)}\n")
