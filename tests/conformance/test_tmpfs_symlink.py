"""Symbolic links (NetBSD: tests/fs/tmpfs/t_symlink.sh)."""

from __future__ import annotations

from rumpfs.abi.fcntl import O_TRUNC, O_WRONLY
from tests.conformance.notes import Watch
from tests.conformance.volume import Volume

PROGRAM = "fs/tmpfs/t_symlink"

NOT_APPLICABLE = {"exec": "a rump kernel runs no programs"}


def test_file(fs: Volume) -> None:
    fs.make(b"a")
    fs.call("symlink", b"a", b"b")
    assert fs.content(b"b") == b""
    fs.call("write", fs.call("open", b"a", O_WRONLY | O_TRUNC, 0), b"foo\n")
    assert fs.content(b"b") == b"foo\n"


def test_dir(fs: Volume) -> None:
    fs.call("mkdir", b"d", 0o777)
    assert fs.error("__stat50", b"d/foo") == "ENOENT"
    assert fs.error("__stat50", b"e/foo") == "ENOENT"
    fs.call("symlink", b"d", b"e")
    fs.make(b"d/foo")
    assert fs.stat(b"e/foo") == fs.stat(b"d/foo")


def test_kqueue(fs: Volume) -> None:
    fs.call("mkdir", b"dir", 0o777)
    watch = Watch(fs, b"dir")
    fs.call("symlink", b"non-existent", b"dir/a")
    assert watch.notes() == {(b"dir", "NOTE_WRITE")}
    fs.call("unlink", b"dir/a")
    fs.call("rmdir", b"dir")
