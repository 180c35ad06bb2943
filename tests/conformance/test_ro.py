"""What a read-only mount refuses (NetBSD: tests/fs/vfs/t_ro.c)."""

from __future__ import annotations

import pytest

from rumpfs.abi.fcntl import O_CREAT, O_RDONLY, O_RDWR, O_WRONLY
from tests.conformance.volume import Volume

PROGRAM = "fs/vfs/t_ro"

TEXT = b"this is some text"


@pytest.fixture
def ro(volume: Volume) -> Volume:
    """A read-only mount with one file, if the file system is for files."""
    volume.mount_read_only({} if "files" in volume.kind.lacks else {"testfile": TEXT})
    return volume


def test_create(volume: Volume, ro: Volume) -> None:
    assert ro.error("open", b"newfile", O_CREAT | O_RDONLY, 0o600) == "EROFS"


@pytest.mark.needs("files")
def test_rmfile(volume: Volume, ro: Volume) -> None:
    assert ro.error("unlink", b"testfile") == "EROFS"


@pytest.mark.needs("files")
def test_fileio(volume: Volume, ro: Volume) -> None:
    assert ro.content(b"testfile") == TEXT
    assert ro.error("open", b"testfile", O_WRONLY, 0) == "EROFS"
    assert ro.error("open", b"testfile", O_RDWR, 0) == "EROFS"


@pytest.mark.needs("files")
def test_attrs(volume: Volume, ro: Volume) -> None:
    before = ro.stat(b"testfile")
    assert ro.error("chmod", b"testfile", 0o775) == "EROFS"
    assert ro.error("chown", b"testfile", 1, 1) == "EROFS"
    assert ro.error("__utimes50", b"testfile", bytes(32)) == "EROFS"
    fd = ro.call("open", b"testfile", O_RDONLY, 0)
    assert ro.error("fchmod", fd, 0o775) == "EROFS"
    assert ro.error("fchown", fd, 1, 1) == "EROFS"
    assert ro.error("__futimes50", fd, bytes(32)) == "EROFS"
    assert ro.fstat(fd) == before


def test_createdir(volume: Volume, ro: Volume) -> None:
    assert ro.error("mkdir", b"testdir", 0o775) == "EROFS"


def test_createfifo(volume: Volume, ro: Volume) -> None:
    assert ro.error("mkfifo", b"testfifo", 0o775) == "EROFS"


def test_createsymlink(volume: Volume, ro: Volume) -> None:
    assert ro.error("symlink", b"hoge", b"testsymlink") == "EROFS"


@pytest.mark.needs("files")
def test_createlink(volume: Volume, ro: Volume) -> None:
    assert ro.error("link", b"testfile", b"testlink") == "EROFS"
