"""Removing files (NetBSD: tests/fs/tmpfs/t_remove.sh)."""

from __future__ import annotations

import pytest

from rumpfs.vfs.genfs import UF_IMMUTABLE
from tests.conformance.notes import Watch
from tests.conformance.volume import Volume

PROGRAM = "fs/tmpfs/t_remove"


def test_single(fs: Volume) -> None:
    assert fs.error("__stat50", b"a") == "ENOENT"
    fs.make(b"a")
    fs.stat(b"a")
    fs.call("unlink", b"a")
    assert fs.error("__stat50", b"a") == "ENOENT"


@pytest.mark.needs("flags")
def test_uchg(fs: Volume) -> None:
    fs.make(b"a")
    fs.call("chflags", b"a", UF_IMMUTABLE)
    assert fs.error("unlink", b"a") == "EPERM"
    fs.call("chflags", b"a", 0)
    fs.call("unlink", b"a")
    assert fs.error("__stat50", b"a") == "ENOENT"


def test_dot(fs: Volume) -> None:
    fs.call("mkdir", b"a", 0o777)
    assert fs.error("unlink", b"a/.") != "ok"
    fs.call("rmdir", b"a")


def test_kqueue(fs: Volume) -> None:
    fs.call("mkdir", b"dir", 0o777)
    fs.make(b"dir/a")
    watch = Watch(fs, b"dir", b"dir/a")
    fs.call("unlink", b"dir/a")
    assert watch.notes() == {(b"dir/a", "NOTE_DELETE"), (b"dir", "NOTE_WRITE")}
    fs.call("rmdir", b"dir")
