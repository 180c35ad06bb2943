"""open(2) with O_TRUNC changes the modification time (NetBSD: tests/fs/vfs/t_mtime_otrunc.c)."""

from __future__ import annotations

from rumpfs.abi.fcntl import O_CREAT, O_TRUNC, O_WRONLY
from tests.conformance.clock import age
from tests.conformance.volume import Volume

PROGRAM = "fs/vfs/t_mtime_otrunc"


def test_otrunc_mtime_update(fs: Volume) -> None:
    fs.make(b"lock")
    for _ in range(5):
        old = age(fs, b"lock")
        fs.call("close", fs.call("open", b"lock", O_WRONLY | O_CREAT | O_TRUNC, 0o666))
        assert fs.stat(b"lock").mtime > old
