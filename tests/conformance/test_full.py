"""A file system that fills up (NetBSD: tests/fs/vfs/t_full.c)."""

from __future__ import annotations

import pytest

from rumpfs.abi import errno
from rumpfs.abi.fcntl import O_CREAT, O_RDWR
from rumpfs.base.errors import VfsError
from tests.conformance.volume import Volume

PROGRAM = "fs/vfs/t_full"


@pytest.mark.needs("limit")
def test_fillfs(fs: Volume) -> None:
    fd = fs.call("open", b"afile", O_CREAT | O_RDWR, 0o666)
    written = 0

    def fill() -> None:
        nonlocal written
        while written < fs.size:
            written += fs.call("write", fd, bytes([written >> 13 & 0xFF]) * 8192)

    with pytest.raises(VfsError) as full:
        fill()
    assert full.value.errno == errno.ENOSPC
    # what was written before is there
    assert fs.fstat(fd).size >= written > 0
    assert fs.call("pread", fd, 1, written - 8192) == bytes([(written - 8192) >> 13 & 0xFF])
