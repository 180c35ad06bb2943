"""Looking up . and .. (NetBSD: tests/fs/tmpfs/t_dots.sh)."""

from __future__ import annotations

from tests.conformance.volume import Volume

PROGRAM = "fs/tmpfs/t_dots"


def test_topdir(fs: Volume) -> None:
    fs.call("mkdir", b"a", 0o777)
    assert fs.stat(b"./a") == fs.stat(b"a/../a") == fs.stat(b"a")


def test_nesteddir(fs: Volume) -> None:
    fs.call("mkdir", b"a", 0o777)
    fs.call("mkdir", b"a/b", 0o777)
    assert fs.stat(b"a/b/../b") == fs.stat(b"a/b")
    assert fs.stat(b"a/b/../../a") == fs.stat(b"a")
