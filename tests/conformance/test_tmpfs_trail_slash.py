"""Slashes at the end of a name (NetBSD: tests/fs/tmpfs/t_trail_slash.sh)."""

from __future__ import annotations

from tests.conformance.volume import Volume

PROGRAM = "fs/tmpfs/t_trail_slash"


def test_main(fs: Volume) -> None:
    fs.call("mkdir", b"a/", 0o777)
    assert fs.names(b".") == {b"a"}
    fs.make(b"a/b")
    assert fs.names(b"a/") == {b"b"}
    fs.call("unlink", b"a/b")
    fs.call("rmdir", b"a/")
