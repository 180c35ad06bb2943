"""Reading and writing (NetBSD: tests/fs/vfs/t_io.c)."""

from __future__ import annotations

import pytest

from rumpfs.abi.fcntl import O_APPEND, O_CREAT, O_RDONLY, O_RDWR, O_RSYNC, O_SYNC, O_TRUNC
from rumpfs.abi.limits import PAGE_SIZE
from tests.conformance.volume import Volume

PROGRAM = "fs/vfs/t_io"

TEXT = b"this is text, with a NUL at its end\0"


def test_holywrite(fs: Volume) -> None:
    fd = fs.call("open", b"file", O_RDWR | O_CREAT | O_TRUNC, 0o666)
    assert fs.call("pwrite", fd, b"A", PAGE_SIZE) == 1
    assert fs.call("pwrite", fd, b"BB", PAGE_SIZE - 1) == 2
    assert fs.call("pread", fd, PAGE_SIZE + 1, 0) == bytes(PAGE_SIZE - 1) + b"BB"


def extend(fs: Volume, offset: int) -> None:
    fd = fs.call("open", b"testfile", O_CREAT | O_RDWR | (O_APPEND if offset else 0), 0o666)
    fs.call("ftruncate", fd, offset)
    assert fs.fstat(fd).size == offset
    assert fs.call("write", fd, TEXT) == len(TEXT)
    assert fs.call("pread", fd, len(TEXT), offset) == TEXT
    assert fs.fstat(fd).size == offset + len(TEXT)


def test_extendfile(fs: Volume) -> None:
    extend(fs, 0)


def test_extendfile_append(fs: Volume) -> None:
    extend(fs, 37)


def overwrite(fs: Volume, count: int, truncate: bool) -> None:
    fd = fs.call("open", b"testi", O_CREAT | O_RDWR, 0o666)
    assert fs.call("write", fd, b"1" * count) == count
    fs.call("close", fd)
    fd = fs.call("open", b"testi", O_RDWR, 0)
    if truncate:
        fs.call("ftruncate", fd, 0)
    assert fs.call("write", fd, b"2" * count) == count
    assert fs.content(b"testi") == b"2" * count


def test_overwrite512(fs: Volume) -> None:
    overwrite(fs, 512, False)


def test_overwrite64k(fs: Volume) -> None:
    overwrite(fs, 1 << 16, False)


def test_overwrite_trunc(fs: Volume) -> None:
    overwrite(fs, 1 << 16, True)


def test_shrinkfile(fs: Volume) -> None:
    fd = fs.call("open", b"file", O_RDWR | O_CREAT | O_TRUNC, 0o666)
    for length in (2, 1):
        fs.call("ftruncate", fd, length)
        assert fs.fstat(fd).size == length


def test_read_after_unlink(fs: Volume) -> None:
    fs.make(b"file", b"D" * 9000)
    assert fs.error("unmount", fs.mp, 0) == "EBUSY"
    fd = fs.call("open", b"file", O_RDWR, 0)
    fs.call("unlink", b"file")
    assert fs.call("read", fd, 9000) == b"D" * 9000


def test_wrrd_after_unlink(fs: Volume) -> None:
    fd = fs.call("open", b"file", O_RDWR | O_CREAT, 0o666)
    fs.call("unlink", b"file")
    assert fs.call("pwrite", fd, b"\x11\0\0\0", 654321) == 4
    fs.call("fsync", fd)
    assert fs.call("pread", fd, 4, 654321) == b"\x11\0\0\0"


@pytest.mark.needs("files")
def test_read_fault(volume: Volume) -> None:
    volume.mount_read_only({"file": b"{"})
    fd = volume.call("open", b"file", O_RDONLY | O_SYNC | O_RSYNC, 0)
    assert volume.raw_error("read", fd, 0, 1) == "EFAULT"
    assert volume.call("read", fd, 1) == b"{"


def test_write_fault(fs: Volume) -> None:
    fd = fs.call("open", b"file", O_CREAT | O_RDWR | O_SYNC, 0o666)
    assert fs.raw_error("write", fd, 0, 1) == "EFAULT"
    assert fs.fstat(fd).size == 0
