"""What stands in a ``--help``: usage, sections, and in them paragraphs and items.

All commands lay theirs out in one way, whether argparse or a person wrote it: a line ``title:`` begins a
section; a line that is indented by two spaces an item, whose meaning follows after two more or stands below,
indented further; a line at the margin a paragraph.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple, TypeAlias

_TITLE: Final = re.compile(r"([A-Za-z][a-z]*(?: [a-z]+)?):(?: +(.*))?")
_STATUS: Final = re.compile(r"(?<=\S)\s+(?=Exit status: )")


class Item(NamedTuple):
    """A term, and what it means; that may be empty."""

    term: str
    text: str


#: a paragraph is a string without newlines
Block: TypeAlias = str | list[Item]


@dataclass(slots=True)
class HelpText:
    """A help; `sections` by their titles, that without a title is the description."""

    usage: str = ""
    sections: dict[str, list[Block]] = field(default_factory=dict)

    def items(self, title: str) -> list[Item]:
        """Return all items of a section; none when it is not there."""
        return [
            item for block in self.sections.get(title, ()) if not isinstance(block, str) for item in block
        ]

    def paragraphs(self, title: str) -> list[str]:
        """Return all paragraphs of a section."""
        return [block for block in self.sections.get(title, ()) if isinstance(block, str)]


def parse_help(text: str) -> HelpText:
    """Return what is in a help."""
    usage, _, rest = text.partition("\n\n")
    found = HelpText(" ".join(usage.removeprefix("usage: ").split()))
    title = ""
    for chunk in _STATUS.sub("\n\n", rest).split("\n\n"):
        lines = chunk.strip("\n").split("\n")
        head = _TITLE.fullmatch(lines[0])
        if head is not None:
            title = head[1]
            lines[:1] = [head[2]] if head[2] else []
        elif not lines[0].startswith(" "):
            title = ""  # it is about the command again
        found.sections.setdefault(title, []).extend(_blocks(lines, title == "examples"))
    return found


def _blocks(lines: list[str], commands: bool) -> Iterator[Block]:
    """Yield paragraphs and lists.

    Args:
        commands: terms may have runs of spaces in them.
    """
    block: Block = ""
    for line in lines:
        depth = len(line) - len(line.lstrip())
        if depth == 2:
            if isinstance(block, str):
                if block:
                    yield block
                block = []
            block.append(_item(line.strip(), commands))
        elif depth and not isinstance(block, str):
            term, meaning = block[-1]
            block[-1] = Item(term, f"{meaning} {line.strip()}".strip())
        elif isinstance(block, str):
            block = f"{block} {line.strip()}".strip()
        else:
            yield block
            block = line.strip()
    if block:
        yield block


def _item(line: str, commands: bool) -> Item:
    words = re.split(r" {2,}", line)
    if commands and len(words) > 1:
        return Item(line[: line.rindex(words[-1])].rstrip(), words[-1])
    return Item(words[0], " ".join(words[1:]))
