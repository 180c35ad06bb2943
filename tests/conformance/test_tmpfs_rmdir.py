"""Removing directories (NetBSD: tests/fs/tmpfs/t_rmdir.sh)."""

from __future__ import annotations

import pytest

from rumpfs.abi.fcntl import O_RDONLY
from tests.conformance.notes import Watch
from tests.conformance.volume import Volume

PROGRAM = "fs/tmpfs/t_rmdir"


def test_mntpt(fs: Volume) -> None:
    assert fs.error("rmdir", fs.mp) == "EBUSY"


def test_non_existent(fs: Volume) -> None:
    assert fs.error("rmdir", b"non-existent") == "ENOENT"


@pytest.mark.needs("nlink")
def test_single(fs: Volume) -> None:
    fs.call("mkdir", b"a", 0o777)
    assert fs.stat(fs.mp).nlink == 3
    fs.call("rmdir", b"a")
    assert fs.stat(fs.mp).nlink == 2


def test_nested(fs: Volume) -> None:
    paths = (b"a", b"a/b", b"a/b/c")
    for path in paths:
        fs.call("mkdir", path, 0o777)
    for path in reversed(paths):
        fs.call("rmdir", path)
    assert fs.names(b".") == set()


def test_dots(fs: Volume) -> None:
    fs.call("mkdir", b"a", 0o777)
    assert fs.error("rmdir", b"a/.") == "EINVAL"
    assert fs.error("rmdir", b"a/..") in ("ENOTEMPTY", "EBUSY")
    fs.call("rmdir", b"a")


def test_non_empty(fs: Volume) -> None:
    for path in (b"a", b"a/b", b"a/c"):
        fs.call("mkdir", path, 0o777)
    assert fs.error("rmdir", b"a") == "ENOTEMPTY"
    for path in (b"a/b", b"a/c", b"a"):
        fs.call("rmdir", path)


@pytest.mark.needs("nlink")
def test_links(fs: Volume) -> None:
    for path in (b"a", b"a/b", b"c"):
        fs.call("mkdir", path, 0o777)
    for path in (b"c", b"a/b", b"a"):
        fs.call("rmdir", path)
    assert fs.stat(fs.mp).nlink == 2


def test_curdir(fs: Volume) -> None:
    fs.call("mkdir", b"a", 0o777)
    inside = fs.process()
    inside.call("chdir", b"a")
    inside.call("rmdir", b"../a")
    assert inside.error("open", b"..", O_RDONLY, 0) == "ENOENT"
    assert inside.error("open", b"file", O_RDONLY, 0) == "ENOENT"
    assert fs.error("__stat50", b"a") == "ENOENT"


def test_kqueue(fs: Volume) -> None:
    fs.call("mkdir", b"dir", 0o777)
    fs.call("mkdir", b"dir/a", 0o777)
    watch = Watch(fs, b"dir", b"dir/a")
    fs.call("rmdir", b"dir/a")
    assert watch.notes() == {(b"dir/a", "NOTE_DELETE"), (b"dir", "NOTE_LINK"), (b"dir", "NOTE_WRITE")}
    fs.call("rmdir", b"dir")
