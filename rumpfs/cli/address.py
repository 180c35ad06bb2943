"""Addresses of files: on the host, in an image, or in a server; and of images and servers.

==========================  =================================================================
`path`                      a path without ``:/`` in it is the host's
`IMAGE[:PART][@OFFSET]:/p`  inside an image of the host, or at a url: ``https://host/disk.img:a:/p``
`:/path`                    in the server that RUMP_SERVER names
`unix://sock:/path`         in the server at unix://sock (unix:///tmp/sock: with an absolute path)
`tcp://host:port:/path`     in the server at tcp://host:port
`unix://sock`               a server as a whole
==========================  =================================================================

The url of a server, and the image, end at the last ``:/``; behind the scheme of a url. `base.address` says
what PART and OFFSET are.
"""

from __future__ import annotations

import os
from typing import NamedTuple

from rumpfs.base.address import SCHEMES, AddressError, ImageAddress, is_url, parse_image


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


class ImagePath(NamedTuple):
    """A path in an image; `text` is the image as it was written."""

    image: ImageAddress
    text: str
    path: bytes

    @property
    def prefix(self) -> str:
        """What stands before the path in the address."""
        return f"{self.text}:"


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
    if scheme in SCHEMES:
        return _server(text, scheme, rest)
    start = len(scheme) + len(separator) if is_url(text) else 0
    image, separator, path = text[start:].rpartition(":/")
    if separator:
        image = text[:start] + image
        return ImagePath(parse_image(image), image, os.fsencode(f"/{path}"))
    if not text:
        raise AddressError("an empty path is no address")
    return HostAddress(os.fsencode(text))


def _server(text: str, scheme: str, rest: str) -> ServerAddress:
    end = rest.rfind(":/")
    where = rest if end < 0 else rest[:end]
    if not where:
        raise AddressError(f"{text}: no server is named behind {scheme}://")
    return ServerAddress(f"{scheme}://{where}", None if end < 0 else os.fsencode(rest[end + 1 :]))
