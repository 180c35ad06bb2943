"""rumpfs chflags."""

from __future__ import annotations

from argparse import ArgumentTypeError, Namespace
from typing import Final, NamedTuple

from rumpfs.abi.stat import FILE_FLAGS
from rumpfs.cli.tool import Parser, Tool
from rumpfs.cli.walk import visit, walk

#: images are opened for writing
WRITES: Final = True

EXAMPLES: Final = """\
  rumpfs chflags uchg :/tmp/file         nobody may change or remove it
  rumpfs chflags nouchg,nodump :/tmp/file
  rumpfs chflags -R 0 unix://sock:/tmp/tree
"""
#: chflags(1) has several words for most flags; "no" before a word takes the flag away
KEYWORDS: Final = {
    "arch": "archived", "archived": "archived",
    "opaque": "opaque", "dump": "nodump",
    "sappnd": "sappnd", "sappend": "sappnd",
    "schg": "schg", "schange": "schg", "simmutable": "schg",
    "uappnd": "uappnd", "uappend": "uappnd",
    "uchg": "uchg", "uchange": "uchg", "uimmutable": "uchg",
}  # fmt: skip


class Change(NamedTuple):
    """Flags to be set and taken away; all others stay."""

    on: int
    off: int

    def of(self, flags: int) -> int:
        """Return the flags that a file gets."""
        return flags & ~self.off | self.on


def change(text: str) -> Change:
    """Parse an octal number, or keywords with commas between them."""
    if text and set(text) <= set("01234567") and int(text, 8) <= 0xFFFFFFFF:
        return Change(int(text, 8), 0xFFFFFFFF)
    on = off = 0
    for word in text.split(","):
        negated = word.startswith("no") and word not in KEYWORDS
        flag = KEYWORDS.get(word.removeprefix("no") if negated else word)
        if flag is None:
            known = " ".join(sorted(KEYWORDS))
            raise ArgumentTypeError(f"{word!r} is no flag: an octal number, or, with or without no: {known}")
        bit = FILE_FLAGS[flag]
        # The flag is named for what it forbids: dump clears it, nodump sets it.
        if negated == (flag == "nodump"):
            on, off = on | bit, off & ~bit
        else:
            on, off = on & ~bit, off | bit
    return Change(on, off)


def arguments(parser: Parser) -> None:
    """Add the options."""
    parser.flag("-R", "recursive", "what is in directories as well; symbolic links in them change themselves")
    parser.flag("-h", "itself", "the flags of a symbolic link itself, not of what it leads to")
    parser.flag("-v", "verbose", "name each file that changes")
    parser.add_argument("flags", metavar="FLAGS", type=change, help="octal, or keywords as uchg,nodump")
    parser.add_argument("address", metavar="ADDRESS", nargs="+", help=":/path or unix://sock:/path")


def run(tool: Tool, args: Namespace) -> None:
    """Set the flags of what the command line names."""
    for text in args.address:
        top = visit(tool, tool.remote(text), follow=not args.itself)
        if top is None:
            continue
        for found in walk(tool, top, bottom_up=True) if args.recursive else [top]:
            wanted = args.flags.of(found.st.st_flags)
            if wanted == found.st.st_flags:
                continue
            follow = not args.itself and not found.depth
            try:
                found.place.files.chflags(found.place.path, wanted, follow_symlinks=follow)
            except OSError as error:
                tool.failed(str(found.place), error)
                continue
            if args.verbose:
                tool.write(f"{found.place}: {found.st.st_flags:o} -> {wanted:o}\n")
