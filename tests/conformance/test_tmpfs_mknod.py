"""Making devices and FIFOs (NetBSD: tests/fs/tmpfs/t_mknod.sh)."""

from __future__ import annotations

import pytest

from rumpfs.abi.stat import S_IFBLK, S_IFCHR, S_IFIFO, makedev
from tests.conformance.notes import Watch
from tests.conformance.volume import Volume

PROGRAM = "fs/tmpfs/t_mknod"

BLOCK = (S_IFBLK, makedev(2, 0))
CHAR = (S_IFCHR, makedev(2, 2))


def node(fs: Volume, kind: int, dev: int) -> int:
    """Make a node, and return the device number that it has then."""
    fs.call("umask", 0o022)
    fs.call("__mknod50", b"node", kind | 0o666, dev)
    made = fs.stat(b"node")
    assert made.mode == kind | 0o644
    return int(made.rdev)


def watched(fs: Volume, kind: int, dev: int) -> None:
    fs.call("mkdir", b"dir", 0o777)
    watch = Watch(fs, b"dir")
    fs.call("__mknod50", b"dir/node", kind | 0o666, dev)
    assert watch.notes() == {(b"dir", "NOTE_WRITE")}


@pytest.mark.needs("devices")
def test_block(fs: Volume) -> None:
    assert node(fs, *BLOCK) == 512


@pytest.mark.needs("devices")
def test_block_kqueue(fs: Volume) -> None:
    watched(fs, *BLOCK)


@pytest.mark.needs("devices")
def test_char(fs: Volume) -> None:
    assert node(fs, *CHAR) == 514


@pytest.mark.needs("devices")
def test_char_kqueue(fs: Volume) -> None:
    watched(fs, *CHAR)


@pytest.mark.needs("fifos")
def test_pipe(fs: Volume) -> None:
    node(fs, S_IFIFO, 0)


@pytest.mark.needs("fifos")
def test_pipe_kqueue(fs: Volume) -> None:
    watched(fs, S_IFIFO, 0)
