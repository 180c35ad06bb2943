"""What pyfuse3 has no handler for is up to the kernel of the host; docs/mounting.md says what it does."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import socket
import stat
import subprocess
import sys
import termios
from collections.abc import Callable
from pathlib import Path

import pytest

FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE = 1, 2
RENAME_EXCHANGE = 2
AT_FDCWD = -100
FS_IOC_GETFLAGS = 0x80086601
libc = ctypes.CDLL(None, use_errno=True)


def refused(operation: Callable[..., object], *args: object) -> int:
    """Return the errno with which an operation fails."""
    with pytest.raises(OSError) as caught:
        operation(*args)
    assert caught.value.errno is not None
    return caught.value.errno


def call(function: str, *args: object) -> int:
    """Call a function of libc. Errors: OSError."""
    result: int = getattr(libc, function)(*args)
    if result < 0:
        raise OSError(ctypes.get_errno(), function)
    return result


def fallocate(fd: int, mode: int, offset: int, length: int) -> None:
    libc.fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_long, ctypes.c_long)
    call("fallocate", fd, mode, offset, length)


def test_fallocate_is_not_supported_and_posix_fallocate_writes_zeros(tmpfs: Path) -> None:
    with open(tmpfs / "f", "w+b", buffering=0) as file:
        file.write(b"text")
        for mode in (0, FALLOC_FL_KEEP_SIZE, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE):
            assert refused(fallocate, file.fileno(), mode, 0, 8192) == errno.EOPNOTSUPP
        os.posix_fallocate(file.fileno(), 0, 8192)
        assert os.fstat(file.fileno()).st_size == 8192
        assert os.pread(file.fileno(), 8192, 0) == b"text" + bytes(8188)


def test_a_file_with_holes_looks_as_if_it_had_none(tmpfs: Path) -> None:
    with open(tmpfs / "f", "w+b", buffering=0) as file:
        fd = file.fileno()
        os.pwrite(fd, b"end", 1 << 20)
        size = (1 << 20) + 3
        assert os.fstat(fd).st_blocks * 512 < size  # though it has one
        assert os.lseek(fd, 0, os.SEEK_DATA) == 0
        assert os.lseek(fd, 0, os.SEEK_HOLE) == size
        assert refused(os.lseek, fd, size, os.SEEK_DATA) == errno.ENXIO


LOCK = """
import errno, fcntl, sys
with open(sys.argv[1], "r+b") as file:
    try:
        getattr(fcntl, sys.argv[2])(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        print("locked")
    except OSError as error:
        print(errno.errorcode[error.errno])
"""


@pytest.mark.parametrize("how", ["flock", "lockf"])
def test_locks_are_between_the_processes_of_the_host(tmpfs: Path, how: str) -> None:
    (tmpfs / "f").touch()

    def other() -> str:
        words = [sys.executable, "-c", LOCK, tmpfs / "f", how]
        return subprocess.run(words, capture_output=True, text=True, check=True).stdout

    with open(tmpfs / "f", "r+b") as file:
        getattr(fcntl, how)(file, fcntl.LOCK_EX)
        assert other() == "EAGAIN\n"
        getattr(fcntl, how)(file, fcntl.LOCK_UN)
        assert other() == "locked\n"


def test_there_are_no_ioctls(tmpfs: Path) -> None:
    with open(tmpfs / "f", "w+b") as file:
        assert refused(fcntl.ioctl, file, FS_IOC_GETFLAGS, bytes(8)) == errno.ENOTTY
        assert refused(fcntl.ioctl, file, termios.TCGETS, bytes(64)) == errno.ENOTTY


def test_what_else_has_no_handler(tmpfs: Path) -> None:
    (tmpfs / "a").write_text("a")
    (tmpfs / "b").write_text("b")
    assert refused(os.open, tmpfs, os.O_TMPFILE | os.O_RDWR) == errno.EOPNOTSUPP
    names = (AT_FDCWD, bytes(tmpfs / "a"), AT_FDCWD, bytes(tmpfs / "b"), RENAME_EXCHANGE)
    assert refused(call, "renameat2", *names) == errno.EINVAL
    with open(tmpfs / "a", "rb") as source, open(tmpfs / "c", "wb") as target:
        assert (
            os.copy_file_range(source.fileno(), target.fileno(), 10) == 1
        )  # which the kernel does by reading
    assert (tmpfs / "c").read_text() == "a"


def test_a_socket_is_the_host_s(tmpfs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmpfs)  # the name of a socket is short
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        server.bind("sock")
        server.listen()
        client.connect("sock")
        peer, _ = server.accept()
        with peer:
            client.sendall(b"through")
            assert peer.recv(100) == b"through"


@pytest.mark.root
def test_devices_are_shown_and_not_opened(tmpfs: Path) -> None:
    os.mknod(tmpfs / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    assert (tmpfs / "null").stat().st_rdev == os.makedev(1, 3)
    assert refused(os.open, tmpfs / "null", os.O_RDONLY) == errno.EACCES


def test_there_are_no_access_control_lists(tmpfs: Path) -> None:
    (tmpfs / "f").touch()
    empty = b"\2\0\0\0" + b"\1\0\6\0\xff\xff\xff\xff\4\0\4\0\xff\xff\xff\xff\x20\0\4\0\xff\xff\xff\xff"
    for name in ("system.posix_acl_access", "trusted.other", "security.other"):
        assert refused(os.setxattr, tmpfs / "f", name, empty) in (errno.EOPNOTSUPP, errno.EPERM)


def test_a_fifo_is_the_host_s(tmpfs: Path) -> None:
    os.mkfifo(tmpfs / "fifo")
    reader = os.open(tmpfs / "fifo", os.O_RDONLY | os.O_NONBLOCK)
    writer = os.open(tmpfs / "fifo", os.O_WRONLY)
    os.write(writer, b"through")
    assert os.read(reader, 100) == b"through"
    os.close(reader)
    os.close(writer)
