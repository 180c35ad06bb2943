"""FIFOs (NetBSD: tests/fs/tmpfs/t_pipes.sh)."""

from __future__ import annotations

import pytest

from rumpfs.abi.fcntl import O_RDONLY, O_WRONLY
from rumpfs.abi.stat import S_IFIFO
from tests.conformance.volume import Volume

PROGRAM = "fs/tmpfs/t_pipes"


@pytest.mark.needs("fifos")
def test_basic(fs: Volume) -> None:
    fs.call("__mknod50", b"pipe", S_IFIFO | 0o644, 0)
    writer = fs.process()
    opening = fs.system.begin(writer, "open", b"pipe", O_WRONLY, 0)
    reader = fs.call("open", b"pipe", O_RDONLY, 0)
    fd = fs.system.finish(opening)
    reading = fs.system.begin(fs.p, "read", reader, 100)
    assert writer.call("write", fd, b"foo") == 3
    assert fs.system.finish(reading) == b"foo"
    writer.call("close", fd)
    assert fs.call("read", reader, 100) == b""
