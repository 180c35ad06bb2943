"""statvfs(2) of a file system of 10 MB (NetBSD: tests/fs/tmpfs/t_statvfs.sh)."""

from __future__ import annotations

import pytest

from rumpfs.abi.limits import PAGE_SIZE
from tests.conformance.volume import Volume

PROGRAM = "fs/tmpfs/t_statvfs"

SIZE = 10 << 20


@pytest.mark.needs("tmpfs_args")
def test_values(volume: Volume) -> None:
    volume.mount(size=SIZE)
    _, bsize, frsize, _, blocks, *_ = volume.statvfs(b".")
    assert bsize == frsize == PAGE_SIZE
    assert SIZE <= bsize * blocks <= SIZE + PAGE_SIZE
