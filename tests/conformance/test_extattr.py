"""Extended attributes (NetBSD: tests/fs/ffs/t_extattr.c, there for what newfs -O 2ea makes)."""

from __future__ import annotations

from typing import Any

import pytest

from rumpfs.abi.extattr import EXTATTR_NAMESPACE_USER
from rumpfs.abi.fcntl import O_CREAT, O_RDWR
from tests.conformance.volume import Volume

PROGRAM = "fs/ffs/t_extattr"

pytestmark = pytest.mark.needs("extattr", "write")


def call(volume: Volume, verb: str, where: int | bytes, *args: Any) -> int:
    """Make a call for a file in the namespace user; names and values are strings with their NUL."""
    form = "fd" if isinstance(where, int) else "file"
    return volume.call(f"extattr_{verb}_{form}", where, EXTATTR_NAMESPACE_USER, *args)


def value(volume: Volume, where: int | bytes, name: bytes) -> bytes:
    room = bytearray(512)
    return bytes(room[: call(volume, "get", where, name, room, len(room))])


def names(volume: Volume, where: int | bytes) -> set[bytes]:
    """Return the names of a file's attributes, each of which stands behind a byte with its length."""
    room = bytearray(512)
    packed = bytes(room[: call(volume, "list", where, room, len(room))])
    found = set()
    while packed:
        found.add(packed[1 : 1 + packed[0]])
        packed = packed[1 + packed[0] :]
    return found


def test_extattr_simple(volume: Volume) -> None:
    volume.kind.mount_extattrs(volume)
    fd = volume.call("open", b"mercedes", O_RDWR | O_CREAT, 0o600)
    assert volume.call("write", fd, b"hi mom\n") == 7
    assert call(volume, "set", fd, b"engine\0", b"carburator\0", 11) == 11
    assert value(volume, b"mercedes", b"engine\0") == b"carburator\0"
    assert call(volume, "set", b"mercedes", b"trunk\0", b"suitcase\0", 9) == 9
    assert value(volume, fd, b"trunk\0") == b"suitcase\0"
    assert names(volume, fd) == names(volume, b"mercedes") == {b"engine", b"trunk"}
    call(volume, "delete", fd, b"trunk\0")
    assert names(volume, fd) == {b"engine"}
    call(volume, "delete", b"mercedes", b"engine\0")
    assert names(volume, fd) == set()
    volume.call("close", fd)
    volume.call("unlink", b"mercedes")


def test_extattr_create_unlink(volume: Volume) -> None:
    volume.kind.mount_extattrs(volume)
    volume.call("close", volume.call("open", b"mercedes", O_RDWR | O_CREAT, 0o600))
    assert call(volume, "set", b"mercedes", b"trunk\0", b"suitcase\0", 9) == 9
    volume.call("unlink", b"mercedes")
