"""Reading and writing (NetBSD: tests/fs/tmpfs/t_read_write.sh)."""

from __future__ import annotations

from hashlib import md5

from rumpfs.abi.fcntl import O_APPEND, O_WRONLY
from tests.conformance.notes import Watch
from tests.conformance.volume import Volume

PROGRAM = "fs/tmpfs/t_read_write"


def test_basic(fs: Volume) -> None:
    fs.make(b"a", b"foo\n")
    assert md5(fs.content(b"a")).hexdigest() == "d3b07384d113edec49eaa6238ad5ff00"
    fs.call("write", fs.call("open", b"a", O_WRONLY | O_APPEND, 0), b"bar\n")
    assert md5(fs.content(b"a")).hexdigest() == "f47c75614087a8dd938ba4acff252494"
    fs.make(b"b", b"".join(b"%d\n" % number for number in range(1, 10001)))
    assert md5(fs.content(b"b")).hexdigest() == "72d4ff27a28afbc066d5804999d5a504"


def test_kqueue(fs: Volume) -> None:
    fs.make(b"c", bytes(10240))
    watch = Watch(fs, b"c")
    fd = fs.call("open", b"c", O_WRONLY, 0)
    fs.call("pwrite", fd, bytes(1024), 2048)
    assert watch.notes() == {(b"c", "NOTE_WRITE")}

    fs.make(b"d", b"foo\n")
    watch = Watch(fs, b"d")
    fd = fs.call("open", b"d", O_WRONLY | O_APPEND, 0)
    fs.call("write", fd, b"bar\n")
    assert watch.notes() == {(b"d", "NOTE_EXTEND"), (b"d", "NOTE_WRITE")}
