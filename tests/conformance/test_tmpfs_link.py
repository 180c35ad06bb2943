"""Hard links (NetBSD: tests/fs/tmpfs/t_link.sh)."""

from __future__ import annotations

import pytest

from tests.conformance.notes import Watch
from tests.conformance.volume import Volume

PROGRAM = "fs/tmpfs/t_link"


def linked(fs: Volume, other: bytes) -> None:
    """Link `other` to a, and take a away again."""
    fs.make(b"a")
    assert fs.stat(b"a").nlink == 1
    fs.call("link", b"a", other)
    assert fs.stat(b"a") == fs.stat(other)
    assert fs.stat(other).nlink == 2
    fs.call("unlink", b"a")
    assert fs.stat(other).nlink == 1
    fs.call("unlink", other)


@pytest.mark.needs("links")
def test_basic(fs: Volume) -> None:
    fs.make(b"z")
    fs.make(b"a")
    assert fs.stat(b"a").fileid != fs.stat(b"z").fileid
    linked(fs, b"b")


@pytest.mark.needs("links")
def test_subdirs(fs: Volume) -> None:
    fs.call("mkdir", b"c", 0o777)
    linked(fs, b"c/b")
    fs.call("rmdir", b"c")


@pytest.mark.needs("links")
def test_kqueue(fs: Volume) -> None:
    """What is left of a file that loses one of its names: kqueue(2) has NOTE_LINK for it."""
    fs.call("mkdir", b"dir", 0o777)
    fs.make(b"dir/a")
    watch = Watch(fs, b"dir", b"dir/a")
    fs.call("link", b"dir/a", b"dir/b")
    assert watch.notes() == {(b"dir/a", "NOTE_LINK"), (b"dir", "NOTE_WRITE")}
    watch = Watch(fs, b"dir", b"dir/b")
    fs.call("unlink", b"dir/a")
    assert watch.notes() == {(b"dir/b", "NOTE_LINK"), (b"dir", "NOTE_WRITE")}
    fs.call("unlink", b"dir/b")
    fs.call("rmdir", b"dir")
