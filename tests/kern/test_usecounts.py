"""Whatever a call ends with, afterwards nothing is in use that was not before."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rumpfs.abi.errno import EFAULT, EINTR
from rumpfs.abi.fcntl import (
    AT_FDCWD,
    AT_REMOVEDIR,
    F_CLOSEM,
    F_MAXFD,
    O_CREAT,
    O_DIRECTORY,
    O_EXCL,
    O_NOFOLLOW,
    O_NONBLOCK,
    O_RDONLY,
    O_RDWR,
    O_TRUNC,
)
from rumpfs.abi.mount import MNT_RDONLY, TMPFS_ARGS, UFS_ARGS
from rumpfs.abi.stat import S_IFCHR
from tests.images_util import makefs
from tests.kern.incore import Machine, Process

PATHS = [
    b"", b"/", b".", b"..", b"f", b"f/", b"f/x", b"d", b"d/", b"d/.", b"d/..", b"d/f", b"d/missing",
    b"missing", b"missing/x", b"s", b"s/", b"ds", b"ds/", b"ds/f", b"loop", b"dangling", b"dangling/",
    b"n" * 256,
    b"/m", b"/m/", b"/m/..", b"/m/file", b"/dev/null", b"/dev/dk", b"/dev/missing", b"nodev", b"x" * 1024,
]  # fmt: skip

FLAGS = [
    0,
    1,
    2,
    3,
    O_CREAT,
    O_CREAT | O_EXCL,
    O_TRUNC | O_RDWR,
    O_DIRECTORY,
    O_NOFOLLOW,
    O_CREAT | O_DIRECTORY,
]


def setup(machine: Machine, image: Path) -> Process:
    """A process in the tmpfs /t, with the image mounted at /m."""
    machine.drive(b"/dev/dk", image)
    p = machine.process()
    for directory in (b"/t", b"/m"):
        p.call("mkdir", directory, 0o755)
    p.mount_tmpfs(b"/t")
    p.mount_ffs(b"/m", b"/dev/dk")
    p.call("chdir", b"/t")
    populate(p)
    return p


def populate(p: Process) -> None:
    p.call("mkdir", b"d", 0o755)
    p.make(b"f", b"content")
    p.make(b"d/f")
    for text, name in ((b"f", b"s"), (b"d", b"ds"), (b"loop", b"loop"), (b"nothing", b"dangling")):
        p.call("symlink", text, name)
    p.call("__mknod50", b"nodev", S_IFCHR | 0o644, 99 << 8)


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("ffs")
    tree = directory / "tree"
    tree.mkdir()
    (tree / "file").write_bytes(b"content")
    return makefs(tree, directory / "image", 2, "<", 8192, 1024)


def calls_with_paths(path: bytes) -> Iterator[tuple[Any, ...]]:
    yield from (("open", path, flags | O_NONBLOCK, 0o644) for flags in FLAGS)
    yield from ((name, path) for name in ("chdir", "rmdir", "unlink", "__stat50", "__lstat50", "chroot"))
    yield "readlink", path, 100
    yield from ((name, path, 0o644) for name in ("mkdir", "mkfifo", "chmod", "lchmod"))
    yield "__mknod50", path, S_IFCHR | 0o644, 514
    yield "unlinkat", AT_FDCWD, path, AT_REMOVEDIR
    yield "chown", path, 0, 0
    yield "__utimes50", path, None
    yield "truncate", path, 3
    yield "truncate", path, -1
    yield "access", path, 7
    yield "pathconf", path, 4
    yield "statvfs1", path, 1
    yield "symlink", b"text", path
    for other in (b"f", b"d", b"new", b"/m/new", b"/", b"d/f"):
        yield "link", path, other
        yield "link", other, path
        yield "rename", path, other
        yield "rename", other, path
        yield "__posix_rename", path, other
    tmpfs = TMPFS_ARGS.pack(1, 0, 0, 0, 0, 0o755)
    for data in (tmpfs, tmpfs[:8], None):
        yield "__mount50", b"tmpfs\0", path + b"\0", 0, data, 0 if data is None else len(data)
    yield "__mount50", b"nofs\0", path + b"\0", 0, None, 0
    yield "__mount50", b"ffs\0", path + b"\0", MNT_RDONLY, UFS_ARGS.pack(0xDEAD0000), 8
    yield "unmount", path, 0


@pytest.mark.parametrize("path", PATHS, ids=repr)
def test_failing_calls_leave_nothing_in_use(path: bytes, image: Path) -> None:
    p: Process | None = None
    for call in calls_with_paths(path):
        if p is None:
            machine = Machine()
            p = setup(machine, image)
            before = machine.busy()
        result = p.error(*call)
        if result == "ok":
            p = None  # that has changed something
        else:
            assert machine.busy() == before, (call, result)
            assert p.call("fcntl", 0, F_MAXFD, 0) == 2, (call, result)


def calls_by_descriptor() -> Iterator[tuple[Any, ...]]:
    for fd in (-1, 3, 4, 5, 6, 99):
        for name in ("fchdir", "fsync", "fdatasync", "dup"):
            yield name, fd
        yield "openat", fd, b"missing", 0, 0
        yield "openat", fd, b"x", 3, 0
        yield "mkdirat", fd, b"file", 0o755
        yield "__getdents30", fd, 0
        yield "lseek", fd, -1, 0
        yield "ftruncate", fd, -1
        yield "fchmod", fd, 0o600
        yield "dup2", fd, 128
        yield "dup3", fd, 10, -1
        yield "fcntl", fd, 999, 0
        yield "ioctl", fd, 0x40047477, bytearray(4)
        yield "pread", fd, 1, -1
        yield "pwrite", fd, b"x", -1
        yield "readv", fd, None, 1
        yield "readv", fd, struct.pack("<QQ", 0xDEAD0000, 1), 1
        yield "writev", fd, struct.pack("<QQ", 0xDEAD0000, 1), 1
        yield "preadv", fd, struct.pack("<QQ", 0xDEAD0000, 1), 1, 0
        yield "pwritev", fd, struct.pack("<QQ", 0xDEAD0000, 1), 1, 0
        yield "write", fd, b"x" * 100


def test_failing_calls_with_descriptors(machine: Machine, image: Path) -> None:
    p = setup(machine, image)
    assert p.call("open", b"/m/file", O_RDONLY, 0) == 3
    assert p.call("open", b"/t/f", O_RDWR, 0) == 4
    assert p.call("pipe") == (5, 6)
    p.call("close", 5)  # writing is EPIPE
    before = machine.busy()
    files = [fp and (fp.f_count, fp.f_busy) for fp in p.p.fd.files]
    failures = 0
    for call in calls_by_descriptor():
        if p.error(*call) != "ok":
            failures += 1
            assert machine.busy() == before, call
            assert [fp and (fp.f_count, fp.f_busy) for fp in p.p.fd.files] == files, call
        else:
            p.error("close", 5)
            p.call("fcntl", 7, F_CLOSEM, 0)
            p.call("chdir", b"/t")
    assert failures > 60


@pytest.mark.parametrize("number", [EFAULT, EINTR, 0])
@pytest.mark.parametrize(
    "call", ["open", "link", "rename", "write", "writev", "readv", "mount tmpfs", "mount ffs", "ioctl"]
)
def test_calls_that_end_at_any_request_leave_nothing_in_use(call: str, number: int, image: Path) -> None:
    """Stop after 0, 1, 2 ... requests; 0 stands for a caller that is gone without a word."""
    for requests in range(20):
        machine = Machine()
        p = setup(machine, image)
        p.call("unmount", b"/m", 0)
        p.call("open", b"f", O_RDWR, 0)
        before = machine.busy()
        running = p.start(*arguments(p, call))
        for _ in range(requests):
            if not running.done:
                running.step()
        if running.done:
            assert requests > 0
            return
        if number:
            running.throw(number)
            while not running.done:
                running.step()
        else:
            running.drop()
        assert machine.busy() == before, requests
        p.call("close", 3)
        p.call("chdir", b"/")
        p.call("unmount", b"/t", 0)
        p.mount_ffs(b"/m", b"/dev/dk")  # the device is free
    raise AssertionError(f"{call} never ends")


def arguments(p: Process, call: str) -> tuple[Any, ...]:
    if call == "mount tmpfs":
        return "__mount50", b"tmpfs\0", b"/m\0", 0, TMPFS_ARGS.pack(1, 0, 0, 0, 0, 0o755), TMPFS_ARGS.size
    if call == "mount ffs":
        fspec = p.memory.map(b"/dev/dk\0")
        return "__mount50", b"ffs\0", b"/m\0", MNT_RDONLY, UFS_ARGS.pack(fspec), UFS_ARGS.size
    return {
        "open": ("open", b"f", O_RDWR, 0),
        "link": ("link", b"f", b"new"),
        "rename": ("rename", b"f", b"new"),
        "write": ("write", 3, b"data"),
        "writev": ("writev", 3, p.iovec(b"a", b"b"), 2),
        "readv": ("readv", 3, p.iovec(bytearray(1), bytearray(1)), 2),
        "ioctl": ("ioctl", 3, 0x8004667E, bytes(4)),
    }[call]


def test_processes_leave_nothing_behind(machine: Machine, image: Path) -> None:
    p = setup(machine, image)
    before = machine.busy()
    for _ in range(100):
        child = machine.fork(p)
        child.call("chdir", b"/m")
        child.call("open", b"/t/f", O_RDWR, 0)
        child.call("pipe")
        machine.kernel.forget(machine.kernel.prefork(child.p))
        child.p.exit()
    assert machine.busy() == before
    assert len(machine.kernel.procs) == 2  # init, and this one
