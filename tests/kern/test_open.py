"""open and openat: flags, errnos and their order (netbsd_abi 1.3), devices, etfs keys (sysproxy 14.1)."""

from __future__ import annotations

from pathlib import Path

import pytest

from rumpfs.abi.fcntl import (
    AT_FDCWD,
    F_GETFD,
    F_GETFL,
    O_APPEND,
    O_CLOEXEC,
    O_CREAT,
    O_DIRECTORY,
    O_EXCL,
    O_NOCTTY,
    O_NOFOLLOW,
    O_NONBLOCK,
    O_RDONLY,
    O_RDWR,
    O_SYNC,
    O_TRUNC,
    O_WRONLY,
    SEEK_SET,
)
from rumpfs.abi.mount import MNT_NODEV
from rumpfs.abi.stat import S_IFCHR
from tests.kern.incore import USER, Machine, Process


def test_the_lowest_free_descriptor(t: Process) -> None:
    t.make(b"f")
    assert [t.call("open", b"f", O_RDONLY, 0) for _ in range(3)] == [3, 4, 5]
    t.call("close", 4)
    t.call("close", 0)
    assert [t.call("open", b"f", O_RDONLY, 0) for _ in range(3)] == [0, 4, 6]


def test_flags_that_contradict_each_other(t: Process) -> None:
    t.make(b"f")
    assert t.error("open", b"f", 3, 0) == "EINVAL"
    assert t.error("open", b"missing", 3, 0) == "EINVAL"
    assert t.error("open", b"f", O_CREAT | O_DIRECTORY, 0) == "EINVAL"


@pytest.mark.parametrize(
    ("path", "flags", "error"),
    [
        (b"missing", O_RDONLY, "ENOENT"),
        (b"missing/x", O_CREAT, "ENOENT"),
        (b"", O_CREAT, "ENOENT"),
        (b"f/", O_RDONLY, "ENOTDIR"),
        (b"f/x", O_CREAT, "ENOTDIR"),
        (b"f", O_CREAT | O_EXCL, "EEXIST"),
        (b"d", O_CREAT | O_EXCL, "EEXIST"),
        (b"dangling", O_CREAT | O_EXCL, "EEXIST"),
        (b"f", O_CREAT, "ok"),
        (b"f", O_EXCL, "ok"),
        (b"d", O_RDONLY, "ok"),
        (b"d", O_CREAT, "ok"),
        (b"d", O_WRONLY, "EISDIR"),
        (b"d", O_RDWR, "EISDIR"),
        (b"d", O_RDONLY | O_TRUNC, "EISDIR"),
        (b"d", O_DIRECTORY, "ok"),
        (b"f", O_DIRECTORY, "ENOTDIR"),
        (b"s", O_NOFOLLOW, "EFTYPE"),
        (b"s", O_NOFOLLOW | O_CREAT, "EFTYPE"),
        (b"s", O_NOFOLLOW | O_DIRECTORY, "EFTYPE"),
        (b"ds/", O_NOFOLLOW, "ok"),
        (b"dangling", O_RDONLY, "ENOENT"),
        (b"loop", O_RDONLY, "ELOOP"),
        (b"loop", O_CREAT, "ELOOP"),
        (b"nodev", O_RDONLY, "ENXIO"),
        (b"/", O_RDONLY, "ok"),
        (b"/", O_CREAT, "EEXIST"),
        (b"//", O_CREAT, "EEXIST"),
        (b"/.", O_CREAT, "ok"),
        (b"rooted", O_CREAT, "EEXIST"),
    ],
)
def test_open(t: Process, path: bytes, flags: int, error: str) -> None:
    t.make(b"f", b"content")
    t.call("mkdir", b"d", 0o755)
    t.call("symlink", b"f", b"s")
    t.call("symlink", b"d", b"ds")
    t.call("symlink", b"nothing", b"dangling")
    t.call("symlink", b"loop", b"loop")
    t.call("symlink", b"/", b"rooted")
    t.call("__mknod50", b"nodev", S_IFCHR | 0o644, 99 << 8)
    before = t.names(b".")
    assert t.error("open", path, flags, 0o644) == error
    assert t.error("openat", AT_FDCWD, path, flags, 0o644) == error
    assert t.names(b".") == before
    assert t.content(b"f") == b"content"
    # what failed has left no descriptor behind
    assert t.call("fcntl", 0, 11, 0) == (4 if error == "ok" else 2)


def test_o_creat_makes_what_a_link_points_to(t: Process) -> None:
    t.call("mkdir", b"d", 0o755)
    t.call("symlink", b"d/new", b"s")
    t.call("open", b"s", O_CREAT | O_RDWR, 0o600)
    assert t.stat(b"d/new").mode == 0o100600
    assert t.names(b"d") == {b"new"}


def test_o_trunc(t: Process) -> None:
    t.make(b"f", b"content")
    fd = t.call("open", b"f", O_RDONLY | O_TRUNC, 0)
    assert t.call("read", fd, 10) == b""
    assert t.stat(b"f").size == 0


def test_o_creat_opens_its_file_whatever_mode_it_gets(machine: Machine) -> None:
    root = machine.process()
    root.call("mkdir", b"/t", 0o777)
    root.call("chmod", b"/t", 0o777)
    user = machine.process(USER)
    fd = user.call("open", b"/t/f", O_CREAT | O_RDWR, 0)
    assert user.call("write", fd, b"x") == 1
    assert user.error("open", b"/t/f", O_RDWR, 0) == "EACCES"
    assert user.error("open", b"/t/f", O_CREAT | O_RDWR, 0) == "EACCES"
    assert user.error("open", b"/t/f", O_RDONLY | O_TRUNC, 0) == "EACCES"


def test_f_getfl_shows_what_matters_after_open(t: Process) -> None:
    flags = O_APPEND | O_NONBLOCK | O_SYNC
    other = O_CREAT | O_TRUNC | O_NOCTTY | O_NOFOLLOW | O_CLOEXEC
    for access in (O_RDONLY, O_WRONLY, O_RDWR):
        fd = t.call("open", b"f", access | flags | other, 0o644)
        assert t.call("fcntl", fd, F_GETFL, 0) == access | flags
        assert t.call("fcntl", fd, F_GETFD, 0) == 1
        t.call("close", fd)


def test_a_full_table(t: Process) -> None:
    t.make(b"f")
    for fd in range(3, 128):
        assert t.call("open", b"f", O_RDONLY, 0) == fd
    assert t.error("open", b"f", O_RDONLY, 0) == "EMFILE"
    assert t.error("open", b"new", O_CREAT, 0) == "EMFILE"
    assert t.error("dup", 3) == "EMFILE"
    assert t.error("fcntl", 3, 0, 5) == "EMFILE"
    assert t.error("pipe") == "EMFILE"
    assert t.names(b".") == {b"f"} if t.call("close", 3) == 0 else None
    assert t.error("pipe") == "EMFILE"  # it needs two
    assert t.call("open", b"f", O_RDONLY, 0) == 3


# --- devices ----------------------------------------------------------------------------------------


def test_dev_null(p: Process) -> None:
    fd = p.call("open", b"/dev/null", O_CREAT | O_RDWR | O_TRUNC, 0o644)
    assert p.call("write", fd, b"x" * 1000) == 1000
    assert p.call("pwrite", fd, b"x", 1 << 40) == 1
    assert p.asked == []  # what is thrown away is not fetched
    assert p.call("read", fd, 100) == b""
    assert p.call("lseek", fd, 5, SEEK_SET) == 5
    assert p.fstat(fd).rdev == 514


def test_dev_zero(p: Process) -> None:
    fd = p.call("open", b"/dev/zero", O_RDONLY, 0)
    assert p.call("read", fd, 70000) == bytes(70000)
    assert p.call("pread", fd, 3, 1 << 50) == bytes(3)
    assert p.error("write", fd, b"x") == "EBADF"


def test_nodev_mounts_have_no_devices(p: Process) -> None:
    p.call("mkdir", b"/t", 0o755)
    p.mount_tmpfs(b"/t", MNT_NODEV)
    p.call("__mknod50", b"/t/null", S_IFCHR | 0o666, 514)
    assert p.error("open", b"/t/null", O_RDONLY, 0) == "ENXIO"
    assert p.stat(b"/t/null").rdev == 514


def test_the_console(machine: Machine, p: Process) -> None:
    # sysproxy 5.1
    assert p.call("write", 1, b"out\n") == 4
    assert p.call("writev", 2, p.iovec(b"er", b"ror\n"), 2) == 6
    assert machine.console.endswith(b"out\nerror\n")
    assert p.error("read", 0, 10) == "EBADF"
    assert p.fstat(0).mode == 0o020600
    assert p.error("lseek", 0, 0, SEEK_SET) == "ESPIPE"
    assert p.error("pwrite", 1, b"x", 0) == "ESPIPE"
    assert p.call("ioctl", 0, 0x402C7413, bytearray(44)) == 0
    assert p.error("ioctl", 0, 0x40047477, bytearray(4)) == "ENOTTY"


# --- etfs keys: t_etfs and sysproxy 14.1 ------------------------------------------------------------


@pytest.fixture
def keys(machine: Machine, tmp_path: Path) -> Process:
    """A process of a kernel with the keys /dev/dk (a device) and //key//with/slashes (a file)."""
    image = tmp_path / "image"
    image.write_bytes(b"the content of the image".ljust(1024, b"."))
    machine.drive(b"/dev/dk", image)
    machine.drive(b"////key//with/slashes", image, "reg")
    p = machine.process()
    p.call("mkdir", b"/a", 0o755)
    return p


@pytest.mark.parametrize(
    ("cwd", "path", "error"),
    [
        (b"/", b"/dev/dk", "ok"),
        (b"/", b"////dev/dk", "ok"),
        (b"/", b"dev/dk", "ok"),
        (b"/", b"/dev/dk/", "ok"),
        (b"/", b"/key//with/slashes", "ok"),
        (b"/", b"////////key//with/slashes", "ok"),
        (b"/", b"key//with/slashes", "ok"),
        (b"/", b"/key/with/slashes", "ENOENT"),
        (b"/", b"/dev//dk", "ENOENT"),
        (b"/", b"/./dev/dk", "ENOENT"),
        (b"/", b"./dev/dk", "ENOENT"),
        (b"/", b"/a/dev/dk", "ENOENT"),
        (b"/", b"/dev/dk/x", "ENOENT"),
        (b"/", b"/dev/d", "ENOENT"),
        (b"/", b"/dev/dkx", "ENOENT"),
        (b"/a", b"/dev/dk", "ok"),
        (b"/a", b"dev/dk", "ENOENT"),
        (b"/a", b"key//with/slashes", "ENOENT"),
        (b"/dev", b"dk", "ENOENT"),
    ],
)
def test_keys_match_as_a_whole(keys: Process, cwd: bytes, path: bytes, error: str) -> None:
    keys.call("chdir", cwd)
    assert keys.error("open", path, O_RDONLY, 0) == error
    assert keys.error("__stat50", path) == error
    assert keys.error("__lstat50", path) == error


def test_keys_read_as_the_host_file(keys: Process) -> None:
    for path in (b"/dev/dk", b"/key//with/slashes"):
        assert keys.content(path)[:11] == b"the content"
        assert keys.stat(path).size == 1024
        assert keys.stat(path).mode & 0o7777 == 0o755


def test_keys_are_no_names(keys: Process) -> None:
    assert b"dk" not in keys.names(b"/dev")
    for path in (b"/dev/dk", b"/key//with/slashes"):
        assert keys.error("unlink", path) == "ENOENT"
        assert keys.error("rmdir", path) == "ENOENT"
        assert keys.error("rename", path, b"/x") == "ENOENT"
        assert keys.error("mkdir", path, 0o755) == "EEXIST"
        assert keys.error("symlink", b"x", path) == "EEXIST"
        assert keys.error("open", path, O_CREAT | O_EXCL, 0) == "EEXIST"


def test_a_key_hides_a_file_until_that_is_to_be_removed(machine: Machine, tmp_path: Path) -> None:
    p = machine.process()
    p.make(b"/dev/real", b"real")
    image = tmp_path / "image"
    image.write_bytes(b"image")
    machine.drive(b"/dev/real", image, "reg")
    assert p.content(b"/dev/real") == b"image"
    assert p.content(b"/dev/../dev/real") == b"real"
    p.call("unlink", b"/dev/real")
    assert p.content(b"/dev/real") == b"image"
    assert p.error("unlink", b"/dev/real") == "ENOENT"
    assert p.error("__stat50", b"/./dev/real") == "ENOENT"


def test_who_has_another_root_has_no_keys(keys: Process) -> None:
    keys.call("chroot", b"/a")
    assert keys.error("__stat50", b"/dev/dk") == "ENOENT"


def test_a_read_only_key_is_not_written(keys: Process) -> None:
    for path in (b"/dev/dk", b"/key//with/slashes"):
        assert keys.error("open", path, O_RDWR, 0) == "EROFS"
