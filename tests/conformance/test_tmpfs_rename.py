"""Renaming (NetBSD: tests/fs/tmpfs/t_rename.sh)."""

from __future__ import annotations

import pytest

from rumpfs.abi.stat import S_IFDIR, S_IFMT
from tests.conformance.notes import Watch
from tests.conformance.volume import Volume

PROGRAM = "fs/tmpfs/t_rename"

pytestmark = pytest.mark.needs("rename")


def directories(fs: Volume, *paths: bytes) -> None:
    for path in paths:
        fs.call("mkdir", path, 0o777)


def files(fs: Volume, *paths: bytes) -> None:
    for path in paths:
        fs.make(path)


def is_directory(fs: Volume, path: bytes) -> bool:
    return bool(fs.stat(path).mode & S_IFMT == S_IFDIR)


def test_dots(fs: Volume) -> None:
    directories(fs, b"a")
    assert fs.error("rename", b"a/.", b"c") == "EINVAL"
    assert fs.error("rename", b"a/..", b"c") == "EINVAL"
    fs.call("rmdir", b"a")


def test_crossdev(fs: Volume) -> None:
    directories(fs, b"a")
    assert fs.error("rename", b"a", b"/tmp/a") == "EXDEV"
    assert is_directory(fs, b"a")


def test_basic(fs: Volume) -> None:
    directories(fs, b"a")
    fs.call("rename", b"a", b"c")
    assert fs.error("__stat50", b"a") == "ENOENT"
    assert is_directory(fs, b"c")


def test_dotdot(fs: Volume) -> None:
    directories(fs, b"a", b"b")
    fs.call("rename", b"b", b"a/b")
    assert fs.stat(b"a/b/../b") == fs.stat(b"a/b")
    assert fs.stat(b"a/b/../../a") == fs.stat(b"a")
    assert (fs.stat(b"a/b").nlink, fs.stat(b"a").nlink) == (2, 3)
    fs.call("rename", b"a", b"c")
    assert fs.stat(b"c/b/../b") == fs.stat(b"c/b")
    assert fs.stat(b"c/b/../../c") == fs.stat(b"c")
    fs.call("rename", b"c/b", b"d")
    assert fs.stat(b"d/../c") == fs.stat(b"c")
    fs.call("rmdir", b"d")
    fs.call("rmdir", b"c")


def test_dir_to_emptydir(fs: Volume) -> None:
    directories(fs, b"a", b"b")
    files(fs, b"a/c")
    fs.call("rename", b"a", b"b")
    assert fs.error("__stat50", b"a") == "ENOENT"
    assert is_directory(fs, b"b")
    assert fs.names(b"b") == {b"c"}


def test_dir_to_fulldir(fs: Volume) -> None:
    directories(fs, b"a", b"b")
    files(fs, b"a/c", b"b/d")
    assert fs.error("rename", b"a", b"b") == "ENOTEMPTY"
    assert (fs.names(b"a"), fs.names(b"b")) == ({b"c"}, {b"d"})


def test_dir_to_file(fs: Volume) -> None:
    directories(fs, b"a")
    files(fs, b"b")
    assert fs.error("rename", b"a", b"b") == "ENOTDIR"
    assert is_directory(fs, b"a")
    assert not is_directory(fs, b"b")


def test_file_to_dir(fs: Volume) -> None:
    files(fs, b"a")
    directories(fs, b"b")
    assert fs.error("rename", b"a", b"b") == "EISDIR"
    assert not is_directory(fs, b"a")
    assert is_directory(fs, b"b")


def test_kqueue(fs: Volume) -> None:
    directories(fs, b"dir", b"dir2")
    files(fs, b"dir/a")
    watch = Watch(fs, b"dir", b"dir/a")
    fs.call("rename", b"dir/a", b"dir/b")
    assert watch.notes() == {(b"dir/a", "NOTE_RENAME"), (b"dir", "NOTE_WRITE")}

    files(fs, b"dir/a")
    watch = Watch(fs, b"dir", b"dir/a", b"dir/b")
    fs.call("rename", b"dir/a", b"dir/b")
    assert watch.notes() == {
        (b"dir/a", "NOTE_RENAME"), (b"dir", "NOTE_WRITE"), (b"dir/b", "NOTE_DELETE")
    }  # fmt: skip

    watch = Watch(fs, b"dir", b"dir/b", b"dir2")
    fs.call("rename", b"dir/b", b"dir2/b")
    assert watch.notes() == {
        (b"dir/b", "NOTE_RENAME"), (b"dir", "NOTE_WRITE"), (b"dir2", "NOTE_WRITE")
    }  # fmt: skip
