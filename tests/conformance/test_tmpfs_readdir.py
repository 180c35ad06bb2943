"""Listing directories (NetBSD: tests/fs/tmpfs/t_readdir.sh)."""

from __future__ import annotations

import pytest

from rumpfs.abi.stat import (
    DT_BLK,
    DT_CHR,
    DT_DIR,
    DT_FIFO,
    DT_LNK,
    DT_REG,
    S_IFBLK,
    S_IFCHR,
    S_IFIFO,
)
from tests.conformance.volume import Volume

PROGRAM = "fs/tmpfs/t_readdir"


def numbers(count: int) -> list[bytes]:
    return [b"%d" % number for number in range(1, count + 1)]


@pytest.mark.needs("dots")
def test_dots(volume: Volume) -> None:
    volume.mount_read_only({})
    found = {entry.name: (entry.type, entry.fileno) for entry in volume.entries(b".")}
    here, above = found[b"."], found[b".."]
    assert here == (DT_DIR, volume.stat(b".").fileid)
    assert above[0] == DT_DIR


@pytest.mark.needs("devices")
@pytest.mark.needs("fifos")
def test_types(fs: Volume) -> None:
    """Every type but a socket, which needs a socket to be bound."""
    fs.call("mkdir", b"dir", 0o777)
    fs.make(b"reg")
    fs.call("symlink", b"reg", b"lnk")
    fs.call("__mknod50", b"blk", S_IFBLK | 0o644, 0)
    fs.call("__mknod50", b"chr", S_IFCHR | 0o644, 0)
    fs.call("__mknod50", b"fifo", S_IFIFO | 0o644, 0)
    types = {entry.name: entry.type for entry in fs.entries(b".") if entry.name not in (b".", b"..")}
    assert types == {
        b"dir": DT_DIR, b"reg": DT_REG, b"lnk": DT_LNK, b"blk": DT_BLK, b"chr": DT_CHR, b"fifo": DT_FIFO
    }  # fmt: skip
    fs.call("rmdir", b"dir")
    for name in types.keys() - {b"dir"}:
        fs.call("unlink", name)


def test_caching(fs: Volume) -> None:
    for name in numbers(10):
        fs.make(name)
    assert fs.names(b".") == set(numbers(10))
    for name in numbers(10):
        fs.call("unlink", name)
    for name in numbers(20):
        fs.make(name)
    assert fs.names(b".") == set(numbers(20))


def test_many(fs: Volume) -> None:
    fs.call("mkdir", b"a", 0o777)
    for name in numbers(500):
        fs.make(b"a/" + name)
    assert fs.names(b"a") == set(numbers(500))
    for name in numbers(500):
        fs.call("unlink", b"a/" + name)
    fs.call("rmdir", b"a")
