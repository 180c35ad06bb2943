"""Changes of an image that are kept in a file of their own.

The file is a magic, and then records: byte offset and number of bytes, both of 64 bits and little-endian, and
the bytes.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Iterator
from typing import BinaryIO, Final

from rumpfs.base.errors import BadMagic, Corrupt

_MAGIC: Final = b"rumpfs overlay 1"
_RECORD: Final = struct.Struct("<QQ")
#: Bytes of a record; what is larger is no overlay of ours.
_MAXRECORD: Final = 1 << 20


def load(path: str) -> Iterator[tuple[int, bytes]]:
    """Yield (offset, bytes) of the changes in a file; nothing when there is no such file.

    Raises:
        OSError: it cannot be read.
        BadMagic, Corrupt: it is something else, or damaged.
    """
    if not os.path.exists(path):
        return
    with open(path, "rb") as stream:
        if stream.read(len(_MAGIC)) != _MAGIC:
            raise BadMagic(path, "is no overlay")
        while head := stream.read(_RECORD.size):
            yield _record(stream, head, path)


def _record(stream: BinaryIO, head: bytes, path: str) -> tuple[int, bytes]:
    offset, length = _RECORD.unpack(head.ljust(_RECORD.size, b"\0"))
    data = stream.read(min(length, _MAXRECORD))
    if len(head) < _RECORD.size or not data or len(data) != length:
        raise Corrupt(f"{path}: record before byte {stream.tell()}", "length", length, "the file ends early")
    return offset, data


def save(path: str, changes: Iterable[tuple[int, bytes]]) -> None:
    """Write changes to a file, which is replaced as a whole.

    Args:
        path: host path.
        changes: (offset, bytes), no more than 1 MiB each.

    Raises:
        OSError: it cannot be written.
    """
    partial = f"{path}.part"
    with open(partial, "wb") as stream:
        stream.write(_MAGIC)
        for offset, data in changes:
            stream.write(_RECORD.pack(offset, len(data)))
            stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(partial, path)
