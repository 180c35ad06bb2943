"""Markup of manual pages, mdoc(7): text, terms and usages as macros."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

from rumpfs.cli.helptext import Block, Item

_PAGE: Final = re.compile(r"(\(?)\b([A-Za-z][\w.-]*)\((\d)\)([.,;:)]*)(?=\s|$)")
#: in a usage: at least one of them
_SEVERAL: Final = re.compile(r"(\S+) \[\1 \.\.\.\]")
_SENTENCE: Final = re.compile(r"(?<=[a-z0-9)][.:;!?]) (?=[A-Z])")
_OPTION: Final = re.compile(r"(?<![\w-])-(?=[\w-])")
#: letters that formatters print as others, or take for markup
_LETTERS: Final = str.maketrans({"\\": "\\e", "^": "\\(ha", "~": "\\(ti", "`": "\\(ga"})
_CODE: Final = _LETTERS | str.maketrans({"-": "\\-", "'": "\\(aq", '"': "\\(dq"})


def escape(text: str) -> str:
    """Return a line of running text."""
    line = _OPTION.sub(r"\\-", text.translate(_LETTERS))
    return f"\\&{line}" if line.startswith((".", "'")) else line


def code(text: str) -> str:
    """Return what a user types as one argument of a macro."""
    return '"' + text.translate(_CODE) + '"'


def fill(text: str) -> Iterator[str]:
    """Yield the lines of a paragraph: a sentence each, and references to pages as such."""
    for sentence in _SENTENCE.split(text):
        end = 0
        for found in _PAGE.finditer(sentence):
            if before := sentence[end : found.start()].strip():
                yield escape(before)
            glued = ".Pf ( " if found[1] else "."
            yield f"{glued}Xr {found[2]} {found[3]} {' '.join(found[4])}".rstrip()
            end = found.end()
        if rest := sentence[end:].strip():
            yield escape(rest)


def blocks(found: Iterable[Block], macro: str = "") -> Iterator[str]:
    """Yield the lines of paragraphs and lists.

    Args:
        macro: how terms are marked up; without one a term that begins with a dash is an option.
    """
    for number, block in enumerate(found):
        if isinstance(block, str):
            yield from [".Pp"] if number else []
            yield from fill(block)
        else:
            yield from items(block, macro)


def items(found: Iterable[Item], macro: str = "") -> Iterator[str]:
    """Yield the lines of a list."""
    yield ".Bl -tag -width Ds"
    for term, text in found:
        yield f".It {_term(term, macro)}"
        yield from fill(text)
    yield ".El"


def _term(text: str, macro: str) -> str:
    if macro:
        return f"{macro} {code(text)}"
    return (
        " , ".join(_macros(part) for part in text.split(", ")) if text.startswith("-") else f"Cm {code(text)}"
    )


def usage(text: str) -> list[str]:
    """Return the lines of a usage without the name of its command."""
    lines: list[str] = []
    for word in _words(_SEVERAL.sub(r"\1 ...", text)):
        if word == "...":
            lines[-1] += " ..."
        elif word.startswith("[") and _closing(word, 0) == len(word) - 1:
            lines.append(f".Op {_macros(word[1:-1])}")
        else:
            lines.append(f".{_macros(word)}")
    return lines


def _macros(text: str) -> str:
    """Return the macros for some words of a usage."""
    made = []
    for word in _words(text):
        if word in ("|", "..."):
            made.append(word)
        elif word.startswith("[=") or not word.startswith(("-", "[")):
            attached = "Ns " if word.startswith("[=") else ""
            made.append(f"{attached}Ar {word.translate(_CODE)}")
        elif word.startswith("["):
            made.append(f"Oo {_macros(word[1:-1])} Oc")
        else:
            made.append(f"Fl {word[1:].translate(_CODE) or chr(92) + '&'}")
    return " ".join(made)


def _words(text: str) -> Iterator[str]:
    """Yield words; what stands in brackets is one with what it touches."""
    at = 0
    while at < len(text):
        if text[at] == " ":
            at += 1
            continue
        end = at
        while end < len(text) and text[end] != " ":
            end = _closing(text, end) + 1 if text[end] == "[" else end + 1
        yield text[at:end]
        at = end


def _closing(text: str, start: int) -> int:
    """Return where the bracket ends that begins at `start`."""
    depth = 0
    for at in range(start, len(text)):
        depth += {"[": 1, "]": -1}.get(text[at], 0)
        if not depth:
            return at
    return len(text) - 1
