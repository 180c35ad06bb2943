"""Bytes as hexdump(1) -C shows them, and with the structures that they are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from rumpfs.inspect.contents import structures_in
from rumpfs.inspect.explain import owner_words
from rumpfs.inspect.names import Names
from rumpfs.inspect.owners import Owners
from rumpfs.inspect.raw import Raw
from rumpfs.inspect.structures import Field, Structure

_ROW: Final = 16
_TEXT: Final = bytes(byte if 32 <= byte < 127 else 46 for byte in range(256))
#: bytes of a field that are shown
_MOST: Final = 16


def rows(pieces: Iterable[bytes], start: int, squeeze: bool = True, end: bool = True) -> Iterator[str]:
    """Yield the lines of a dump, without their ends.

    Args:
        pieces: the bytes; all but the last one are of multiples of 16.
        start: the offset of the first of them.
        squeeze: show equal lines after the first as one ``*``.
        end: a last line with the offset of the end.
    """
    last = b""
    starred = False
    offset = start
    for piece in pieces:
        for place in range(0, len(piece), _ROW):
            row = piece[place : place + _ROW]
            if squeeze and row == last:
                if not starred:
                    yield "*"
                starred = True
            else:
                yield line(offset, row)
                starred = False
            last = row
            offset += len(row)
    if end and offset > start:
        yield f"{offset:08x}"


def line(offset: int, row: bytes) -> str:
    """Return a line of up to 16 bytes."""
    left, right = row[:8].hex(" "), row[8:].hex(" ")
    return f"{offset:08x}  {left:23}  {right:23}  |{row.translate(_TEXT).decode('ascii')}|"


def explained(raw: Raw, start: int, length: int) -> Iterator[str]:
    """Yield lines with what some bytes of a device are: structures field by field, the rest as a dump.

    Args:
        raw: the file system.
        start, length: bytes of the device.
    """
    owners = Owners(raw)
    names: Names | None = None
    end = min(start + length, raw.size)
    size = raw.fs.fs_fsize
    offset = start
    while offset < end:
        number = offset // size
        stop = min((number + 1) * size, end)
        found = owners.at(number)
        if names is None and any(owner.ino for owner in found):
            names = Names(raw)
        for owner in found:
            yield f"# byte {offset}, block {number}: {owner_words(raw, owner, number, names)}"
        if not found:
            yield f"# byte {offset}, block {number}: {'free' if owners.is_free(number) else 'nobody'}"
        fields = [
            (each, field)
            for owner in found
            for each in structures_in(raw, owner, offset, stop - offset)
            for field in each.fields
        ]
        yield from _annotated(raw, sorted(fields, key=lambda pair: pair[1].offset), offset, stop)
        offset = stop


def _annotated(raw: Raw, fields: list[tuple[Structure, Field]], start: int, stop: int) -> Iterator[str]:
    """Yield fields that lie in some bytes, and dumps of what is between them."""
    offset = start
    structure = None
    for each, field in fields:
        end = field.offset + field.size
        if field.offset < offset or end > stop:
            continue
        if field.offset > offset:
            yield from rows([raw.disk.read(field.offset - offset, offset)], offset, end=False)
        if each is not structure:
            yield f"# {each.name}"
            structure = each
        data = raw.disk.read(min(field.size, _MOST), field.offset)
        more = " ..." if field.size > _MOST else ""
        yield f"{field.offset:08x}  {data.hex(' ') + more:51}  {field.name} = {field.text}  ({field.meaning})"
        offset = end
    if offset < stop:
        yield from rows([raw.disk.read(stop - offset, offset)], offset, end=False)
