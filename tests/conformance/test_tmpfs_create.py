"""Making files (NetBSD: tests/fs/tmpfs/t_create.sh)."""

from __future__ import annotations

from rumpfs.abi.stat import S_IFREG
from tests.conformance.notes import Watch
from tests.conformance.volume import Volume

PROGRAM = "fs/tmpfs/t_create"

USER = 1000


def test_create(fs: Volume) -> None:
    assert fs.error("__stat50", b"a") == "ENOENT"
    fs.make(b"a")
    assert fs.stat(b"a").mode == S_IFREG | 0o644


def test_attrs(fs: Volume) -> None:
    fs.call("umask", 0o022)
    fs.make(b"a", mode=0o666)
    made = fs.stat(b"a")
    assert (made.flags, made.size, made.uid, made.mode) == (0, 0, 0, S_IFREG | 0o644)
    assert made.gid == fs.stat(b".").gid

    user = fs.user(USER)
    for directory, group in ((b"b", 0), (b"c", 100)):
        fs.call("mkdir", directory, 0o777)
        fs.call("chown", directory, USER, group)
        assert (fs.stat(directory).uid, fs.stat(directory).gid) == (USER, group)
        user.make(directory + b"/a")
        made = fs.stat(directory + b"/a")
        assert (made.uid, made.gid) == (USER, group)


def test_kqueue(fs: Volume) -> None:
    fs.call("mkdir", b"dir", 0o777)
    watch = Watch(fs, b"dir")
    fs.make(b"dir/a")
    assert watch.notes() == {(b"dir", "NOTE_WRITE")}
