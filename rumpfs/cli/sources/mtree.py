"""Manifests of mtree(8) (mtree(5) on other systems): the lines, with what /set says and whole paths."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from rumpfs.cli.sources.errors import SourceError, shown
from rumpfs.cli.sources.vis import unvis

#: what a keyword without a value stands for
_NO_VALUE = b""


class Entry(NamedTuple):
    """A file in a manifest.

    Attributes:
        path: its components, none for the root.
        words: keyword -> value, as it stands there; those that /set has given, too.
        where: manifest and line, for messages.
    """

    path: tuple[bytes, ...]
    words: dict[bytes, bytes]
    where: str


def parse_mtree(data: bytes, name: str) -> Iterator[Entry]:
    """Yield the files of a manifest, in the order of its lines.

    Args:
        data: the manifest, with names that are relative to the directory before them, full paths, or both.
        name: what messages call it.

    Raises:
        SourceError: a line cannot be understood.
    """
    defaults: dict[bytes, bytes] = {}
    here: tuple[bytes, ...] = ()
    closed = False
    for number, line in _lines(data):
        where = f"{name}: line {number}"
        first, *rest = line.split()
        if first == b"/set":
            defaults |= _words(rest, where)
        elif first == b"/unset":
            for word in rest:
                defaults = (
                    {} if word == b"all" else {key: value for key, value in defaults.items() if key != word}
                )
        elif first.startswith(b"/") and b"/" not in first[1:]:
            raise SourceError(f"{where}: {shown(first)} is neither /set nor /unset")
        elif first == b"..":
            if closed:
                raise SourceError(f"{where}: .. leads out of the tree")
            closed = not here
            here = here[:-1]
        else:
            words = defaults | _words(rest, where)
            full = b"/" in first
            path = _path(first, () if full else here, where)
            yield Entry(path, words, where)
            if words.get(b"type") == b"dir":
                here, closed = path, False
            elif full:
                here = path[:-1]


def _lines(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield number and text of lines that say something; a backslash at the end joins the next one."""
    text, first = b"", 0
    for number, line in enumerate(data.split(b"\n"), 1):
        first = first or number
        stripped = line.rstrip(b"\r")
        if (len(stripped) - len(stripped.rstrip(b"\\"))) % 2:
            text += stripped[:-1] + b" "
            continue
        text = (text + stripped).strip()
        if text and not text.startswith(b"#"):
            yield first, text
        text, first = b"", 0
    if text.strip():
        yield first, text.strip()


def _words(words: list[bytes], where: str) -> dict[bytes, bytes]:
    found = {}
    for word in words:
        if word.startswith(b"#"):
            break
        key, equals, value = word.partition(b"=")
        if not key:
            raise SourceError(f"{where}: {shown(word)} is no keyword")
        found[key] = value if equals else _NO_VALUE
    return found


def _path(text: bytes, base: tuple[bytes, ...], where: str) -> tuple[bytes, ...]:
    """Return the components of a name."""
    parts = list(base)
    for raw in text.split(b"/"):
        name = unvis(raw)
        if name == b".." or b"/" in name or b"\0" in name:
            raise SourceError(f"{where}: {shown(text)} is no path below the root of a tree")
        if name not in (b"", b"."):
            parts.append(name)
    return tuple(parts)
