"""Syncing, allocating, advice, quotas, revoke, fchroot, lpathconf, NetBSD 10 (netbsd_abi 1.2, 1.3)."""

from __future__ import annotations

from pathlib import Path

import pytest

from rumpfs.abi.errno import NAMES
from rumpfs.abi.fcntl import (
    F_GETFD,
    FDATASYNC,
    FDISKSYNC,
    FFILESYNC,
    LOCK_EX,
    LOCK_NB,
    O_CLOEXEC,
    O_CREAT,
    O_DIRECTORY,
    O_NONBLOCK,
    O_RDONLY,
    O_RDWR,
    O_WRONLY,
)
from rumpfs.abi.limits import PC_LINK_MAX, PC_NAME_MAX
from rumpfs.abi.mount import MNT_RDONLY
from rumpfs.abi.stat import STATVFS, STATVFS_100
from rumpfs.base.errors import VfsError
from tests.images_util import makefs
from tests.kern.incore import USER, Machine, Process

EINVAL, EBADF, EISDIR, EOPNOTSUPP, ESPIPE = 22, 9, 21, 45, 29
MAX = 2**63 - 1

# --- fsync_range --------------------------------------------------------------------------------------


def test_fsync_range(t: Process) -> None:
    fd = t.call("open", b"f", O_CREAT | O_RDWR, 0o644)
    for how in (FDATASYNC, FFILESYNC, FDATASYNC | FDISKSYNC, FFILESYNC | FDISKSYNC):
        assert t.call("fsync_range", fd, how, 0, 0) == t.call("fsync_range", fd, how, 100, 50) == 0
    for how in (0, FDISKSYNC, FDATASYNC | FFILESYNC, FDATASYNC | FFILESYNC | FDISKSYNC):
        assert t.error("fsync_range", fd, how, 0, 0) == "EINVAL"
    assert t.error("fsync_range", fd, FDATASYNC, 100, -50) == "EINVAL"
    assert t.error("fsync_range", fd, FDATASYNC, MAX, 1) == "EINVAL"


def test_fsync_range_needs_a_file_open_for_writing(t: Process) -> None:
    t.make(b"f")
    fd = t.call("open", b"f", O_RDONLY, 0)
    assert t.error("fsync_range", fd, FDATASYNC, 0, 0) == "EBADF"
    assert t.error("fsync_range", fd, 0, 0, 0) == "EBADF"
    assert t.error("fsync_range", 99, FDATASYNC, 0, 0) == "EBADF"
    _, writer = t.call("pipe")
    assert t.error("fsync_range", writer, FDATASYNC, 0, 0) == "EINVAL"


# --- posix_fallocate, fdiscard, posix_fadvise -----------------------------------------------------------


def space(p: Process, fd: int, pos: int, length: int) -> int:
    """Return the errno of posix_fallocate, which does not fail, and check that of fdiscard against it."""
    number: int = p.call("posix_fallocate", fd, pos, length)
    assert p.error("fdiscard", fd, pos, length) == NAMES[number]
    return number


def test_allocating_and_discarding(t: Process) -> None:
    fd = t.call("open", b"f", O_CREAT | O_RDWR, 0o644)
    assert space(t, fd, 0, 100) == space(t, fd, MAX - 1, 1) == EOPNOTSUPP
    for pos, length in ((-1, 1), (0, -1), (MAX, 1), (1, MAX)):
        assert space(t, fd, pos, length) == space(t, 99, pos, length) == EINVAL
    assert space(t, 99, 0, 1) == EBADF
    assert space(t, t.call("open", b"f", O_RDONLY, 0), 0, 1) == EBADF
    assert space(t, t.call("open", b".", O_RDONLY | O_DIRECTORY, 0), 0, 1) == EBADF
    assert space(t, t.call("pipe")[1], 0, 1) == EINVAL
    assert t.fstat(fd).size == 0


def test_fadvise(t: Process) -> None:
    fd = t.call("open", b"f", O_CREAT | O_RDWR, 0o644)
    directory = t.call("open", b".", O_RDONLY, 0)
    for advice in range(6):
        for file in (fd, directory):
            assert t.call("__posix_fadvise50", file, 0, 0, advice) == 0
            assert t.call("__posix_fadvise50", file, 10, 100, advice) == 0
    assert t.call("__posix_fadvise50", fd, 0, 0, 6) == EINVAL
    assert t.call("__posix_fadvise50", fd, 0, 0, -1) == EINVAL
    assert t.call("__posix_fadvise50", fd, 0, -1, 0) == EINVAL
    assert t.call("__posix_fadvise50", 99, MAX, 1, 0) == EINVAL
    assert t.call("__posix_fadvise50", 99, 0, 0, 0) == EBADF
    assert t.call("__posix_fadvise50", t.call("pipe")[0], 0, 0, 0) == ESPIPE
    assert t.call("__posix_fadvise50", 1, 0, 0, 0) == EOPNOTSUPP


# --- quotactl -----------------------------------------------------------------------------------------


def test_there_are_no_quotas(t: Process) -> None:
    for op in range(14):
        assert t.error("__quotactl", b".", op.to_bytes(48, "little")) == "EOPNOTSUPP"
    assert t.error("__quotactl", b".", (14).to_bytes(48, "little")) == "EINVAL"
    assert t.error("__quotactl", b"missing", bytes(48)) == "ENOENT"
    assert t.error("__quotactl", b".", None) == "EFAULT"
    assert t.error("__quotactl", None, bytes(48)) == "EFAULT"


# --- revoke -------------------------------------------------------------------------------------------


def test_revoke_takes_the_file_from_every_descriptor(machine: Machine, t: Process) -> None:
    t.make(b"f", b"content")
    t.make(b"g", b"another")
    other = machine.process()
    fds = [
        t.call("open", b"f", O_RDWR | O_CLOEXEC, 0),
        t.call("dup", 3),
        other.call("open", b"/t/f", O_RDONLY, 0),
    ]
    unrelated = t.call("open", b"g", O_RDONLY, 0)
    busy = machine.busy().get(b"/t")
    t.call("flock", fds[0], LOCK_EX)
    assert t.call("revoke", b"f") == 0
    for p, fd in zip((t, t, other), fds, strict=True):
        assert p.error("read", fd, 1) == "EIO"
        for call in (
            ("__fstat50", fd),
            ("fchmod", fd, 0o600),
            ("lseek", fd, 0, 0),
            ("fsync", fd),
            ("fchdir", fd),
        ):
            assert p.error(*call) == "EBADF"
        assert p.error("fstatvfs1", fd, 1) == p.error("__getdents30", fd, 512) == "EBADF"
    assert t.error("write", fds[0], b"x") == "EIO"
    assert t.call("fcntl", fds[0], F_GETFD, 0) == 1
    assert t.call("read", unrelated, 10) == b"another"
    assert t.content(b"f") == b"content"
    again = t.call("open", b"f", O_RDWR, 0)
    assert t.call("flock", again, LOCK_EX | LOCK_NB) == 0
    t.call("close", again)
    for p, fd in zip((t, t, other), fds, strict=True):
        p.call("close", fd)
        assert p.error("close", fd) == "EBADF"
    if busy is not None:
        assert machine.busy()[b"/t"] == busy - 2


def test_revoke_of_a_device_counts_for_all_its_names(t: Process) -> None:
    t.call("__mknod50", b"zero", 0o020666, 2 << 8 | 12)
    zero, null = t.call("open", b"/dev/zero", O_RDWR, 0), t.call("open", b"/dev/null", O_RDWR, 0)
    t.call("revoke", b"zero")
    assert t.call("read", zero, 10) == b""  # the end of the file
    assert t.error("write", zero, b"x") == "EIO"
    assert t.error("ioctl", zero, 0x4004667F, bytearray(4)) == "EBADF"
    assert t.call("write", null, b"x") == 1


def test_revoke_ends_what_waits(machine: Machine, tmp: Process) -> None:
    tmp.call("mkfifo", b"p", 0o644)
    tmp.make(b"f")
    reader = tmp.call("open", b"p", O_RDWR, 0)
    waiting = tmp.begin("read", reader, 10)
    tmp.call("revoke", b"p")
    waiting.step()
    with pytest.raises(VfsError, match="EBADF"):
        waiting.result  # noqa: B018
    assert tmp.error("open", b"p", O_WRONLY | O_NONBLOCK, 0) == "ENXIO"
    tmp.call("flock", tmp.call("open", b"f", O_RDWR, 0), LOCK_EX)
    fd = tmp.call("open", b"f", O_RDWR, 0)
    waiting = tmp.begin("flock", fd, LOCK_EX)
    tmp.call("revoke", b"f")
    waiting.step()
    with pytest.raises(VfsError, match="EBADF"):
        waiting.result  # noqa: B018


def test_who_may_revoke(machine: Machine, t: Process) -> None:
    t.make(b"f")
    user = machine.process(USER)
    assert user.error("revoke", b"/t/f") == "EPERM"
    assert user.error("revoke", b"/t/missing") == "ENOENT"
    t.call("chown", b"f", USER.euid, USER.egid)
    assert user.call("revoke", b"/t/f") == 0


# --- fchroot, lpathconf -------------------------------------------------------------------------------


def test_fchroot(machine: Machine, t: Process) -> None:
    t.call("mkdir", b"d", 0o755)
    t.make(b"d/f", b"inside")
    t.make(b"g")
    directory, file = t.call("open", b"d", O_RDONLY, 0), t.call("open", b"g", O_RDONLY, 0)
    assert t.error("fchroot", file) == "ENOTDIR"
    assert t.error("fchroot", 99) == "EBADF"
    assert t.error("fchroot", t.call("pipe")[0]) == "EINVAL"
    user = machine.process(USER)
    assert user.error("fchroot", user.call("open", b"/t/d", O_RDONLY, 0)) == "EPERM"
    assert t.call("fchroot", directory) == 0
    assert t.content(b"/f") == b"inside"
    assert t.getcwd() == b"/"  # it was outside
    assert t.error("__stat50", b"/../g") == "ENOENT"


def test_lpathconf(t: Process) -> None:
    t.make(b"f")
    t.call("symlink", b"missing", b"s")
    assert t.call("lpathconf", b"f", PC_NAME_MAX) == t.call("pathconf", b"f", PC_NAME_MAX) == 255
    assert t.call("lpathconf", b"s", PC_LINK_MAX) == 32767
    assert t.error("pathconf", b"s", PC_LINK_MAX) == "ENOENT"
    assert t.error("lpathconf", b"s", 99) == "EINVAL"


# --- NetBSD 10's struct statvfs -------------------------------------------------------------------------


def test_both_structures_say_the_same(machine: Machine, p: Process, tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    machine.drive(b"/dev/dk", makefs(tmp_path / "tree", tmp_path / "image", 1, ">", 8192, 1024))
    for path in (b"/t", b"/m"):
        p.call("mkdir", path, 0o755)
    p.mount_tmpfs(b"/t")
    p.mount_ffs(b"/m", b"/dev/dk", MNT_RDONLY)
    for path in (b"/", b"/t", b"/m"):
        old, new = p.call("statvfs1", path, 1), p.call("__statvfs190", path, 1)
        assert (len(old), len(new)) == (2256, 3296)
        assert (*STATVFS.unpack(old), bytes(1024)) == STATVFS_100.unpack(new)
        fd = p.call("open", path, O_RDONLY, 0)
        assert p.call("__fstatvfs190", fd, 1) == new
    assert new[192:195] == b"ffs"  # f_fstypename
    assert new[224:227] == b"/m\0"  # f_mntonname
    assert new[1248:1256] == b"/dev/dk\0"  # f_mntfromname


def test_getvfsstat90(p: Process) -> None:
    p.call("mkdir", b"/t", 0o755)
    p.mount_tmpfs(b"/t")
    assert p.call("__getvfsstat90", None, 0, 1) == 2
    buffer = bytearray(2 * 3296 + 100)
    assert p.call("__getvfsstat90", buffer, len(buffer), 1) == 2
    assert [STATVFS_100.unpack_from(buffer, at)[21].rstrip(b"\0") for at in (0, 3296)] == [b"/", b"/t"]
    small = bytearray(3296)
    assert p.call("__getvfsstat90", small, 2 * 3296 - 1, 1) == 1
    assert small == buffer[:3296]
    assert p.call("__getvfsstat90", small, 3295, 1) == 0
    assert p.error("__fstatvfs190", 99, 1) == "EBADF"
    assert p.error("__statvfs190", b"/missing", 1) == "ENOENT"
