"""rumpfs du."""

from __future__ import annotations

from argparse import ArgumentTypeError, Namespace
from typing import Final

from rumpfs.cli.listing import human
from rumpfs.cli.tool import Parser, Tool, json_name, json_text
from rumpfs.cli.walk import Visit, visit, walk

EXAMPLES: Final = """\
  rumpfs du -sh :/mnt                    the sum
  rumpfs du -d 1 -h unix://sock:/mnt     the directories right below it
  rumpfs du --json :/mnt | jq '.usage | max_by(.bytes)'
"""
_BLOCK: Final = 512  # of st_blocks


def depth(text: str) -> int:
    """Parse a depth."""
    if not text.isdecimal():
        raise ArgumentTypeError(f"{text!r} is no depth: it is 0, 1, 2 …")
    return int(text)


def arguments(parser: Parser) -> None:
    """Add the options."""
    flag = parser.flag
    flag("-h", "human", "sizes in K, M, G ...")
    flag("-a", "all", "files as well as directories")
    flag("-x", "one", "stay in the file system that the walk begins in")
    flag("-A", "apparent", "the sizes of files, not the blocks that they occupy")
    flag("-c", "grand", "the sum of all at the end")
    flag("--json", "json", "a JSON document; see rumpfs help json")
    group = parser.add_mutually_exclusive_group()
    group.add_argument("-s", dest="depth", action="store_const", const=0, help="the sums alone, as -d 0")
    group.add_argument("-d", dest="depth", metavar="DEPTH", type=depth, help="go no deeper in what is shown")
    parser.add_argument("address", metavar="ADDRESS", nargs="*", help=":/path or unix://sock:/path (:/)")


class _Usage:
    """Adds up what trees occupy; a file with several links counts once."""

    def __init__(self, tool: Tool, args: Namespace) -> None:
        self.tool = tool
        self.args = args
        self.seen: set[tuple[int, int]] = set()
        self.entries: list[dict[str, object]] = []

    def size(self, found: Visit) -> int:
        st = found.st
        if st.st_nlink > 1 and not found.is_dir:
            if (st.st_dev, st.st_ino) in self.seen:
                return 0
            self.seen.add((st.st_dev, st.st_ino))
        return st.st_size if self.args.apparent else st.st_blocks * _BLOCK

    def tree(self, top: Visit) -> int:
        """Show a tree; return the bytes of it."""
        sums = [0]  # of the directories from the top to where the walk is

        def enter(found: Visit) -> bool:
            return not self.args.one or found.st.st_dev == top.st.st_dev

        for found in walk(self.tool, top, enter, bottom_up=True):
            while len(sums) <= found.depth + 1:
                sums.append(0)
            total = self.size(found)
            if found.is_dir:
                total += sum(sums[found.depth + 1 :])
                del sums[found.depth + 1 :]
            sums[found.depth] += total
            if (found.is_dir or self.args.all or not found.depth) and self._shown(found):
                self.show(str(found.place), found.place.path, total)
        return sums[0]

    def _shown(self, found: Visit) -> bool:
        return self.args.depth is None or found.depth <= self.args.depth

    def show(self, text: str, path: bytes | None, total: int) -> None:
        if self.args.json:
            if path is not None:
                self.entries.append({**json_name("path", path), "bytes": total})
            return
        amount = human(total) if self.args.human else str(-(-total // 1024))
        self.tool.write(f"{amount}\t{text}\n")


def run(tool: Tool, args: Namespace) -> None:
    """Show what the command line names."""
    usage = _Usage(tool, args)
    grand = 0
    for text in args.address or [tool.here]:
        top = visit(tool, tool.remote(text, b"/"))
        if top is not None:
            grand += usage.tree(top)
    if args.json:
        tool.write(json_text({"usage": usage.entries, "total_bytes": grand}))
    elif args.grand:
        usage.show("total", None, grand)
