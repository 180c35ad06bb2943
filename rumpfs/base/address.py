"""Addresses of images: `IMAGE[:PART][@OFFSET]`.

PART is a letter of a disklabel (``a``), the number of a partition (``2``) or both (``s2a``), OFFSET the byte
at which the disk begins (``1m``). IMAGE is a path of the host, or a url (``https://host/disk.img``).
"""

from __future__ import annotations

import os
import re
from typing import Final, NamedTuple

from rumpfs.base.sizes import SizeError, parse_size

#: urls of servers
SCHEMES: Final = ("unix", "tcp", "tcp6")


class AddressError(Exception):
    """An address cannot be understood; the text says how to write it."""


class ImageAddress(NamedTuple):
    """An image, or a partition of it; `part` is empty for everything, `offset` in bytes.

    `path` is of the host, or a url as fsspec has them (`is_url`).
    """

    path: str
    part: str
    offset: int


_IMAGE: Final = re.compile(
    r"(?P<path>.+?)(?::(?P<part>[a-z]|s?\d+[a-z]?))?(?:@(?P<offset>\d\w*))?", re.DOTALL
)

_URL: Final = re.compile(r"(?:[a-z][a-z0-9+.-]*::)*[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_FILE: Final = "file://"


def is_url(path: str) -> bool:
    """Whether the path of an image is a url."""
    return _URL.match(path) is not None


def parse_image(text: str) -> ImageAddress:
    """Parse the address of an image.

    A file whose name ends as if a partition were meant is found under its whole name.

    Errors:
        AddressError: it is none.
    """
    if os.path.exists(text):
        return ImageAddress(text, "", 0)
    if text.partition("://")[0] in SCHEMES or text.startswith(":"):
        raise AddressError(f"{text}: this is for images of the host, not for servers")
    match = _IMAGE.fullmatch(text)
    if match is None:
        raise AddressError("an empty path is no address")
    path, part, offset = match.group("path", "part", "offset")
    path = path.removeprefix(_FILE)
    try:
        return ImageAddress(path, part or "", parse_size(offset, "offset") if offset else 0)
    except SizeError as error:
        raise AddressError(f"{text}: {error}") from error
