"""The file systems of an image among which the user chooses."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from types import TracebackType
from typing import NamedTuple, Self

from rumpfs.base.address import parse_image
from rumpfs.base.errors import DiskError, VfsError
from rumpfs.cli.images.mapwords import size_text
from rumpfs.cli.images.opening import opened
from rumpfs.cli.images.studying import studied
from rumpfs.cli.tool import Failure
from rumpfs.inspect.disk import Part, Table, tables
from rumpfs.inspect.raw import Raw
from rumpfs.inspect.shown import one_line


class Choice(NamedTuple):
    """A file system: its address, and a few words on it."""

    address: str
    text: str


class Volumes:
    """The file systems of an image; those that were opened are closed with it.

    Args:
        text: address of the image.
        sblock: the sector of a copy of the superblock; 0 for the primary.

    Attributes:
        choices: those that there are.

    Errors:
        Failure: there is none, or the image cannot be read.
    """

    def __init__(self, text: str, sblock: int = 0) -> None:
        self._stack = ExitStack()
        self._sblock = sblock
        with opened(text, readonly=True) as window:
            try:
                raw = Raw(window, sblock)
                self.choices = [Choice(text, _words(raw))]
            except (DiskError, VfsError):
                found = tables(window.pread, window.size, text)
                self.choices = list(_choices(text, found, sblock))
                if not self.choices:
                    raise
        self.text = text

    def open(self, choice: Choice) -> Raw:
        """Open a file system. Errors: Failure."""
        return self._stack.enter_context(studied(choice.address, self._sblock))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()


def _choices(text: str, found: list[Table], sblock: int) -> Iterator[Choice]:
    """Yield the file systems in the partitions of an image."""
    image = parse_image(text)
    at = f"@{image.offset}" if image.offset else ""
    for part in _parts(found):
        address = f"{image.path}:{part.name}{at}"
        try:
            with studied(address, sblock) as raw:
                yield Choice(address, _words(raw))
        except Failure:
            continue  # it holds something else


def _parts(found: list[Table]) -> Iterator[Part]:
    """Yield the partitions of all tables, inner ones after what they are in."""
    for table in found:
        for part in table.parts:
            yield part
            yield from _parts(list(part.tables))


def _words(raw: Raw) -> str:
    fs = raw.fs
    label = one_line(fs.fs_volname)
    mounted = one_line(fs.fs_fsmnt)
    about = f"FFSv{2 if fs.ufs2 else 1}, {size_text(raw.frags * fs.fs_fsize)}"
    about += f", label {label}" if label else ""
    return about + (f", last mounted on {mounted}" if mounted else "")
