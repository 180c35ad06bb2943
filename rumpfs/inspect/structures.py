"""On-disk structures taken apart: each field with its place, its value and its meaning."""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

from rumpfs.inspect.meanings import MEANINGS
from rumpfs.inspect.shown import plain
from rumpfs.ondisk.layout import Buffer, Order, Record


class Field(NamedTuple):
    """A field.

    Attributes:
        offset: byte of the device.
        size: bytes.
        name: as the BSD headers have it.
        value: a number, bytes, or several numbers.
        text: the value in words.
        meaning: what it is for.
    """

    offset: int
    size: int
    name: str
    value: Any
    text: str
    meaning: str


class Structure(NamedTuple):
    """A structure.

    Attributes:
        name: what it is, as `inode 5`.
        type: its tag in the BSD headers.
        offset, size: in bytes of the device.
        fields: in the order of the disk.
    """

    name: str
    type: str
    offset: int
    size: int
    fields: tuple[Field, ...]


def fields_of(record: Record, data: Buffer, order: Order, base: int, start: int = 0) -> list[Field]:
    """Return the fields of a record.

    Args:
        record: its declaration.
        data: bytes with the record.
        order: its byte order.
        base: byte of the device at which it is.
        start: where in `data` it begins.

    Raises:
        ValueError: the bytes end before.
    """
    try:
        row = record.codec(order).unpack(data, start)
    except struct.error as error:
        raise ValueError(f"{record.name} has {record.size} bytes, {len(data) - start} are left") from error
    meanings = MEANINGS[record.name]
    found = []
    for (offset, name, kind), value in zip(record.fields, row, strict=True):
        meaning = meanings[name]
        text, show = (meaning, plain) if isinstance(meaning, str) else meaning
        found.append(Field(base + offset, kind.nbytes, name, value, show(value), text))
    return found


def structure(
    record: Record, data: Buffer, order: Order, base: int, name: str = "", start: int = 0
) -> Structure:
    """Return a record with its fields; arguments and errors as of `fields_of`."""
    fields = tuple(fields_of(record, data, order, base, start))
    return Structure(name or record.name, record.name, base, record.size, fields)


def text_field(offset: int, name: str, value: bytes, meaning: str) -> Field:
    """Return a field for bytes of any length: a name, a map, a value."""
    return Field(offset, len(value), name, value, plain(value), meaning)
