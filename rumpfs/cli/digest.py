"""Digests of files, whatever side they are on."""

from __future__ import annotations

import hashlib
from typing import Final

from rumpfs.cli.places import Files, Place

_CHUNK: Final = 1 << 20


class Digester:
    """Computes SHA-256 of one file after the other."""

    def __init__(self) -> None:
        self._buffer = memoryview(bytearray(_CHUNK))

    def sha256(self, place: Place[Files]) -> str:
        """Return the digest of a file in hexadecimal. Errors: OSError."""
        digest = hashlib.sha256()
        with place.files.reader(place.path) as stream:
            while count := stream.readinto(self._buffer):
                digest.update(self._buffer[:count])
        return digest.hexdigest()
