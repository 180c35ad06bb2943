"""write(2) changes the modification time (NetBSD: tests/fs/vfs/t_mtime_write.c)."""

from __future__ import annotations

from rumpfs.abi.fcntl import O_CREAT, O_WRONLY
from tests.conformance.clock import age
from tests.conformance.volume import Volume

PROGRAM = "fs/vfs/t_mtime_write"


def test_mtime_update_on_write(fs: Volume) -> None:
    fs.make(b"lock")
    for _ in range(5):
        old = age(fs, b"lock")
        fd = fs.call("open", b"lock", O_WRONLY | O_CREAT, 0o666)
        fs.call("write", fd, bytes(128))
        fs.call("close", fd)
        assert fs.stat(b"lock").mtime > old
