"""What the verbs that study images share: opening one, numbers as they are written, structures in JSON."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rumpfs.base.address import AddressError
from rumpfs.base.sizes import SizeError, parse_size
from rumpfs.cli import address
from rumpfs.cli.address import ImagePath
from rumpfs.cli.images.opening import opened
from rumpfs.cli.tool import USAGE, Failure
from rumpfs.inspect.raw import Raw
from rumpfs.inspect.structures import Field, Structure


def split(text: str) -> tuple[str, bytes | None]:
    """Return the image that an address names, and the path in it; None without one.

    Errors:
        Failure: it is no address of an image.
    """
    try:
        found = address.parse(text)
    except AddressError as error:
        raise Failure(str(error), USAGE) from error
    return (found.text, found.path) if isinstance(found, ImagePath) else (text, None)


@contextmanager
def studied(text: str, sblock: int = 0, replay: bool = True) -> Iterator[Raw]:
    """Open the file system in an image for as long as the block runs.

    Args:
        text: address of the image.
        sblock: the sector of a copy of the superblock; 0 for the primary.
        replay: see a log that was not replayed as if it were.

    Errors:
        Failure: as the text of the error says, also for errors in the block.
    """
    with opened(text, readonly=True) as window:
        yield Raw(window, sblock, replay)


def number(text: str, what: str) -> int:
    """Return a number: decimal, or hexadecimal with 0x.

    Errors:
        Failure: it is none.
    """
    try:
        return int(text, 0 if text[:2] in ("0x", "0X") else 10)
    except ValueError as error:
        raise Failure(f"{what} is a number, not {text}", USAGE) from error


def size(text: str, option: str) -> int:
    """Return a number of bytes: with a suffix (`base.sizes`), or hexadecimal with 0x.

    Errors:
        Failure: it is none.
    """
    if text[:2] in ("0x", "0X"):
        return number(text, option)
    try:
        return parse_size(text, option)
    except SizeError as error:
        raise Failure(str(error), USAGE) from error


def structure_json(structure: Structure) -> dict[str, object]:
    """Return a structure as JSON has it."""
    return {
        "name": structure.name,
        "type": structure.type,
        "offset": structure.offset,
        "size": structure.size,
        "fields": [_field(field) for field in structure.fields],
    }


def _field(field: Field) -> dict[str, object]:
    value = field.value
    if isinstance(value, bytes):
        value = value.hex()
    return {
        "name": field.name,
        "offset": field.offset,
        "size": field.size,
        "value": list(value) if isinstance(value, tuple) else value,
        "text": field.text,
        "meaning": field.meaning,
    }
