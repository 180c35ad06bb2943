"""The manual pages: ``python -m rumpfs.cli.manual docs/man DIRECTORY`` makes them below DIRECTORY.

A page is a file of docs/man into which what the command says of itself in ``--help`` is put, so that neither
knows an option that the other does not. ``@NAME@`` on a line of its own stands for the lines that `_parts`
has by that name, and within a line for a word. ``verb.1`` becomes the page of every verb of `rumpfs`.
"""

from __future__ import annotations

import inspect
import os
import re
import sys
import time
from argparse import RawDescriptionHelpFormatter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from rumpfs import __version__
from rumpfs.cli import mdoc, mount_helper, options, rump_ffs, rump_halt
from rumpfs.cli import rumpfs as tool
from rumpfs.cli.helptext import HelpText, Item, parse_help
from rumpfs.cli.mountopts import IGNORED
from rumpfs.cli.tool import Parser
from rumpfs.client.api import Client
from rumpfs.inspect.image import Image
from rumpfs.inspect.image import Path as ImagePath

_PLACEHOLDER: Final = re.compile(r"@([A-Za-z ]+)@")
#: sections of help that all pages have a place for
_COMMON: Final = ("", "positional arguments", "options", "examples", "Exit status")
#: what help says about another verb
_VERB: Final = re.compile(r"\brumpfs ([a-z0-9]+)\b")
_VERB_SOURCE: Final = "verb.1"


def _wide(prog: str) -> RawDescriptionHelpFormatter:
    """Return a formatter that breaks no line."""
    return RawDescriptionHelpFormatter(prog, max_help_position=26, width=10_000)


def _of(parser: Parser) -> str:
    parser.formatter_class = _wide
    return parser.format_help()


def _verb_help(verb: str) -> str:
    return _of(tool.verb_parser(verb, f"rumpfs {verb}"))


#: pages -> the help that is put into them
_HELPS: Final[Mapping[str, Callable[[], str]]] = {
    "rump_server.1": lambda: options.help_text("rump_server", everything=False),
    "rump.halt.1": lambda: rump_halt.HELP,
    "rumpfs.1": tool.help_text,
    "rump_ffs.8": lambda: _of(rump_ffs.parser("rump_ffs")),
    "rump_tmpfs.8": lambda: _of(rump_ffs.parser("rump_tmpfs")),
    "mount.rumpfs.8": lambda: _of(mount_helper.mount_parser()),
    "umount.fuse.rumpfs.8": lambda: _of(mount_helper.umount_parser()),
}
#: further names of pages (mandoc(1) advises against .so)
_LINKS: Final = {
    "rump_allserver.1": "rump_server.1",
    "mount.fuse.rumpfs.8": "mount.rumpfs.8",
    "rumpfs-mount.8": "mount.rumpfs.8",
    "rumpfs-umount.8": "umount.fuse.rumpfs.8",
}


def pages(sources: Path) -> Iterator[tuple[str, str]]:
    """Yield the names of all pages, as ls.1, and what is in them.

    Args:
        sources: the directory of the files with placeholders, docs/man.
    """
    texts = {}
    for path in sorted(sources.glob("*.[0-9]")):
        if path.name == _VERB_SOURCE:
            for verb, summary in tool.VERBS.items():
                yield f"rumpfs-{verb}.1", _page(path, _verb_help(verb), {"verb": verb, "summary": summary})
        else:
            texts[path.name] = _page(path, _HELPS[path.name]() if path.name in _HELPS else "", {})
    yield from texts.items()
    yield from ((name, texts[target]) for name, target in _LINKS.items())


def _page(path: Path, help_text: str, words: Mapping[str, str]) -> str:
    """Return a page with its placeholders filled in."""
    source = path.read_text(encoding="utf-8")
    parts = _parts(parse_help(help_text), help_text, words.get("verb", ""))
    day = time.gmtime(int(os.environ.get("SOURCE_DATE_EPOCH", time.time())))
    inline = {
        **words,
        "title": f"rumpfs-{words.get('verb', '')}".upper(),
        "date": f"{time.strftime('%B', day)} {day.tm_mday}, {day.tm_year}",
        "version": __version__,
    }
    made: list[str] = []
    for line in source.splitlines():
        whole = _PLACEHOLDER.fullmatch(line)
        made += parts[whole[1]]() if whole else [_PLACEHOLDER.sub(lambda found: inline[found[1]], line)]
    return "\n".join(made) + "\n"


def _parts(found: HelpText, text: str, verb: str) -> dict[str, Callable[[], Iterable[str]]]:
    """Return what placeholders stand for; each gives lines."""
    words = found.usage.removeprefix(f"rumpfs {verb}") if verb else found.usage.partition(" ")[2]
    return {
        "usage": lambda: mdoc.usage(words),
        "description": lambda: mdoc.blocks(found.sections.get("", [])),
        "sections": lambda: _sections(found),
        "operands": lambda: mdoc.items(found.items("positional arguments"), "Ar"),
        "options": lambda: mdoc.items(found.items("options")),
        "drivespec": lambda: mdoc.blocks(found.sections["drivespec"]),
        "mount options": lambda: mdoc.items(found.items("")),
        "ignored options": lambda: mdoc.fill(", ".join(sorted(IGNORED)) + "."),
        "exit status": lambda: _exit_status(found),
        "examples": lambda: mdoc.items(found.items("examples"), "Ic"),
        "addresses": lambda: mdoc.items(found.items("addresses")),
        "verbs": _verbs,
        "json": lambda: (mdoc.escape(line) for line in tool.JSON.splitlines()),
        "see also": lambda: _see_also(text, verb),
        "api Image": lambda: _api(Image),
        "api Path": lambda: _api(ImagePath),
        "api Client": lambda: _api(Client),
    }


def _sections(found: HelpText) -> Iterator[str]:
    """Yield what only one command has a section for."""
    for title, blocks in found.sections.items():
        if title not in _COMMON:
            yield f".Ss {title.capitalize()}"
            yield from mdoc.blocks(blocks)


def _verbs() -> Iterator[str]:
    yield ".Bl -tag -width Ds"
    for verb, summary in tool.VERBS.items():
        yield f".It Xr rumpfs-{verb} 1"
        yield from mdoc.fill(summary)
    yield ".El"


def _exit_status(found: HelpText) -> Iterator[str]:
    """Yield what a command says of its exit status, or what all verbs have in common."""
    common = parse_help(tool.help_text())
    for text in (found if "Exit status" in found.sections else common).paragraphs("Exit status"):
        yield from mdoc.fill(text[0].upper() + text[1:])


def _see_also(text: str, verb: str) -> Iterator[str]:
    """Yield references to the pages of the verbs that a help speaks of, and to `rumpfs`."""
    named = {word for word in _VERB.findall(text) if word in tool.VERBS and word != verb}
    references = ["rumpfs 1", *(f"rumpfs-{word} 1" for word in sorted(named))]
    yield from (f".Xr {reference} ," for reference in references[:-1])
    yield f".Xr {references[-1]}"


def _api(kind: type) -> Iterator[str]:
    """Yield the public methods and properties of a class, with the first paragraph of what each does."""
    found = []
    for name, member in inspect.getmembers(kind):
        doc = inspect.getdoc(member) if callable(member) or isinstance(member, property) else None
        if not name.startswith("_") and doc is not None:
            found.append(Item(name + _arguments(member), " ".join(doc.split("\n\n")[0].split())))
    yield from mdoc.items(found, "Fa")


def _arguments(member: Any) -> str:
    """Return how a method is called; nothing for a property."""
    if isinstance(member, property):
        return ""
    signature = inspect.signature(member)
    bare = [
        argument.replace(annotation=argument.empty)
        for name, argument in signature.parameters.items()
        if name not in ("self", "cls")
    ]
    return str(inspect.Signature(bare))


def main() -> int:
    """Make the pages."""
    if len(sys.argv) != 3:
        print("usage: python -m rumpfs.cli.manual SOURCES DIRECTORY", file=sys.stderr)
        return 2
    for name, text in pages(Path(sys.argv[1])):
        target = Path(sys.argv[2], f"man{name[-1]}", name)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
        print(target)
    return 0


if __name__ == "__main__":
    sys.exit(main())
