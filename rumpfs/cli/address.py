"""Addresses of files: on the host, in an image, or in a server; and of images and servers.

==========================  =================================================================
`path`                      a path without ``:/`` in it is the host's
`IMAGE[:PART][@OFFSET]:/p`  inside an image of the host
`:/path`                    in the server that RUMP_SERVER names
`unix://sock:/path`         in the server at unix://sock (unix:///tmp/sock: with an absolute path)
`tcp://host:port:/path`     in the server at tcp://host:port
`unix://sock`               a server as a whole
==========================  =================================================================

The url, and the image, end at the last ``:/``; behind the scheme of a url.

Of an image, PART is a letter of a disklabel (``a``), the number of a partition (``2``) or both (``s2a``),
OFFSET the byte at which the disk begins (``1m``).
"""

from __future__ import annotations

import os
import re
from typing import Final, NamedTuple

from rumpfs.base.sizes import SizeError, parse_size

SCHEMES: Final = ("unix", "tcp", "tcp6")


class AddressError(Exception):
    """An address cannot be understood; the text says how to write it."""


class HostAddress(NamedTuple):
    """A path of the host."""

    path: bytes


class ServerAddress(NamedTuple):
    """A path in a server.

    `url` is None for the server that RUMP_SERVER names, `path` is None for a server as a whole.
    """

    url: str | None
    path: bytes | None

    @property
    def prefix(self) -> str:
        """What stands before the path in the address."""
        return f"{self.url or ''}:"


class ImageAddress(NamedTuple):
    """An image of the host, or a partition of it; `part` is empty for everything, `offset` in bytes."""

    path: str
    part: str
    offset: int


class ImagePath(NamedTuple):
    """A path in an image; `text` is the image as it was written."""

    image: ImageAddress
    text: str
    path: bytes

    @property
    def prefix(self) -> str:
        """What stands before the path in the address."""
        return f"{self.text}:"


_IMAGE: Final = re.compile(
    r"(?P<path>.+?)(?::(?P<part>[a-z]|s?\d+[a-z]?))?(?:@(?P<offset>\d\w*))?", re.DOTALL
)


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
    try:
        return ImageAddress(path, part or "", parse_size(offset, "offset") if offset else 0)
    except SizeError as error:
        raise AddressError(f"{text}: {error}") from error


def parse(text: str) -> HostAddress | ServerAddress | ImagePath:
    """Parse an address.

    Errors:
        AddressError: it is none.
    """
    if text.startswith(":"):
        if not text.startswith(":/"):
            raise AddressError(f"{text}: a path in a server begins with a slash: write :/{text[1:]}")
        return ServerAddress(None, os.fsencode(text[1:]))
    scheme, separator, rest = text.partition("://")
    if separator and "/" not in scheme:
        return _server(text, scheme, rest)
    image, separator, path = text.rpartition(":/")
    if separator:
        return ImagePath(parse_image(image), image, os.fsencode(f"/{path}"))
    if not text:
        raise AddressError("an empty path is no address")
    return HostAddress(os.fsencode(text))


def _server(text: str, scheme: str, rest: str) -> ServerAddress:
    if scheme not in SCHEMES:
        raise AddressError(f"{text}: servers are at unix://socket or tcp://address:port, not at {scheme}://")
    end = rest.rfind(":/")
    where = rest if end < 0 else rest[:end]
    if not where:
        raise AddressError(f"{text}: no server is named behind {scheme}://")
    return ServerAddress(f"{scheme}://{where}", None if end < 0 else os.fsencode(rest[end + 1 :]))
