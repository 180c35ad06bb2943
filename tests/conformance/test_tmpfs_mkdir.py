"""Making directories (NetBSD: tests/fs/tmpfs/t_mkdir.sh)."""

from __future__ import annotations

import pytest

from rumpfs.abi.stat import S_IFDIR
from tests.conformance.notes import Watch
from tests.conformance.volume import Volume

PROGRAM = "fs/tmpfs/t_mkdir"

USER = 1000


@pytest.mark.needs("nlink")
def test_single(fs: Volume) -> None:
    assert fs.error("__stat50", b"a") == "ENOENT"
    fs.call("mkdir", b"a", 0o777)
    assert fs.stat(b"a").mode == S_IFDIR | 0o755
    assert fs.stat(fs.mp).nlink == 3


@pytest.mark.needs("nlink")
def test_many(fs: Volume) -> None:
    for number in range(1, 101):
        assert fs.error("__stat50", b"%d" % number) == "ENOENT"
        fs.call("mkdir", b"%d" % number, 0o777)
        fs.stat(b"%d" % number)
    assert fs.stat(fs.mp).nlink == 102


def test_nested(fs: Volume) -> None:
    assert fs.error("__stat50", b"a/b/c/d/e") == "ENOENT"
    for depth in range(1, 6):
        fs.call("mkdir", b"/".join([b"a", b"b", b"c", b"d", b"e"][:depth]), 0o777)
    assert fs.stat(b"a/b/c/d/e").mode == S_IFDIR | 0o755


def test_attrs(fs: Volume) -> None:
    user = fs.user(USER)
    for directory, group in ((b"b", 0), (b"c", 100)):
        fs.call("mkdir", directory, 0o777)
        fs.call("chown", directory, USER, group)
        assert (fs.stat(directory).uid, fs.stat(directory).gid) == (USER, group)
        user.call("mkdir", directory + b"/a", 0o777)
        made = fs.stat(directory + b"/a")
        assert (made.uid, made.gid) == (USER, group)


def test_kqueue(fs: Volume) -> None:
    fs.call("mkdir", b"dir", 0o777)
    watch = Watch(fs, b"dir")
    fs.call("mkdir", b"dir/a", 0o777)
    assert watch.notes() == {(b"dir", "NOTE_LINK"), (b"dir", "NOTE_WRITE")}
    fs.call("rmdir", b"dir/a")
    fs.call("rmdir", b"dir")
