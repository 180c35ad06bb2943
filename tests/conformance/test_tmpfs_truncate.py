"""Truncating files (NetBSD: tests/fs/tmpfs/t_truncate.sh)."""

from __future__ import annotations

from rumpfs.abi.fcntl import O_TRUNC, O_WRONLY
from tests.conformance.volume import Volume

PROGRAM = "fs/tmpfs/t_truncate"


def test_basic(fs: Volume) -> None:
    fs.make(b"a", b"".join(b"%d\n" % number for number in range(1, 10001)))
    fs.make(b"a", b"foo\n")
    assert fs.content(b"a") == b"foo\n"
    for _ in range(2):
        fs.call("close", fs.call("open", b"a", O_WRONLY | O_TRUNC, 0))
        assert fs.stat(b"a").size == 0
