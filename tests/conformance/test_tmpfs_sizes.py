"""What a file system of 10 MB says of its space (NetBSD: tests/fs/tmpfs/t_sizes.sh)."""

from __future__ import annotations

import pytest

from rumpfs.abi import errno
from rumpfs.abi.fcntl import O_CREAT, O_RDWR, O_WRONLY
from rumpfs.base.errors import VfsError
from tests.conformance.volume import Volume

PROGRAM = "fs/tmpfs/t_sizes"

MIB = 1 << 20
F_FRSIZE, F_BLOCKS, F_BFREE = 2, 4, 5  # fields of struct statvfs

pytestmark = [pytest.mark.needs("limit"), pytest.mark.imgsize(10 * MIB)]


def used(fs: Volume) -> int:
    """Return how many bytes are in use."""
    fs.call("sync")
    fields = fs.statvfs(b".")
    return int((fields[F_BLOCKS] - fields[F_BFREE]) * fields[F_FRSIZE])


def test_small(fs: Volume) -> None:
    fs.make(b"a", b"a\n")
    assert used(fs) > 1
    fs.call("unlink", b"a")


def test_big(fs: Volume) -> None:
    before = used(fs)
    fs.make(b"a", bytes(5 * MIB))
    most = used(fs)
    assert most - before >= 5 * MIB
    fs.call("unlink", b"a")
    assert used(fs) < most - 4 * MIB


def test_overflow(fs: Volume) -> None:
    fs.make(b"a")
    fs.call("unlink", b"a")
    before = used(fs)
    fd = fs.call("open", b"a", O_CREAT | O_RDWR, 0o666)

    def fill() -> None:
        for _ in range(15):
            fs.call("write", fd, bytes(MIB))

    with pytest.raises(VfsError) as full:
        fill()
    assert full.value.errno == errno.ENOSPC
    fs.call("close", fd)
    fs.call("unlink", b"a")
    assert before <= used(fs) <= before + fs.statvfs(b".")[F_FRSIZE]


def test_overwrite(fs: Volume) -> None:
    fs.make(b"a", bytes(10240))
    fs.call("sync")
    fd = fs.call("open", b"a", O_WRONLY, 0)
    fs.call("pwrite", fd, bytes(1024), 1024)
    fs.call("sync")
    assert fs.stat(b"a").size == 10240
