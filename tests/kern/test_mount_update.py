"""MNT_UPDATE and MNT_GETARGS (netbsd_abi section 7, items 7 and 8; NetBSD's t_rwtoro; mount(2))."""

from __future__ import annotations

from pathlib import Path

import pytest

from rumpfs.abi.fcntl import O_CREAT, O_RDONLY, O_RDWR
from rumpfs.abi.mount import (
    MNT_FORCE,
    MNT_GETARGS,
    MNT_LOCAL,
    MNT_LOG,
    MNT_NOATIME,
    MNT_NODEV,
    MNT_RDONLY,
    MNT_RELATIME,
    MNT_RELOAD,
    MNT_SOFTDEP,
    MNT_UPDATE,
    TMPFS_ARGS,
    UFS_ARGS,
)
from rumpfs.base.errors import VfsError
from tests.images_util import makefs
from tests.kern.incore import USER, Machine, Process

UNLIMITED = 2**64 - 1


def tmpfs_args(
    nodes: int = 0, size: int = 0, uid: int = 0, gid: int = 0, mode: int = 0o755, version: int = 1
) -> bytes:
    return TMPFS_ARGS.pack(version, nodes, size, uid, gid, mode)


def update(p: Process, path: bytes, flags: int, data: bytes | None, length: int = -1) -> str:
    """Return the name of the errno that MNT_UPDATE fails with, or ``ok``."""
    size = (0 if data is None else len(data)) if length < 0 else length
    signed = flags - (1 << 32) if flags & 1 << 31 else flags  # an int
    return p.error("__mount50", None, path + b"\0", signed | MNT_UPDATE, data, size)


def flags_of(p: Process, path: bytes) -> int:
    flags: int = p.statvfs(path)[0]
    return flags


def getargs(p: Process, path: bytes, data: bytes) -> tuple[int, bytes]:
    """Return the retval of MNT_GETARGS, and what it leaves in `data`."""
    buffer = bytearray(data)
    return p.call("__mount50", None, path + b"\0", MNT_GETARGS, buffer, len(data)), bytes(buffer)


@pytest.fixture
def tm(p: Process) -> Process:
    """A process of a kernel with a tmpfs at /t."""
    p.call("mkdir", b"/t", 0o755)
    p.mount_tmpfs(b"/t")
    return p


@pytest.fixture(params=["rootfs", "tmpfs"])
def rw(request: pytest.FixtureRequest, p: Process) -> tuple[Process, bytes | None]:
    """A process in /t, the root of a mount that can be written, and arguments for it."""
    p.call("mkdir", b"/t", 0o755)
    if request.param == "tmpfs":
        p.mount_tmpfs(b"/t")
    else:
        p.call("__mount50", b"rumpfs\0", b"/t\0", 0, None, 0)
    p.call("chdir", b"/t")
    return p, tmpfs_args() if request.param == "tmpfs" else None


@pytest.fixture
def ffs(machine: Machine, p: Process, tmp_path: Path) -> Process:
    """A process of a kernel with an FFS at /m from /dev/dk, and another device /dev/dk2."""
    (tmp_path / "tree").mkdir()
    image = makefs(tmp_path / "tree", tmp_path / "image", 2, "<", 8192, 1024)
    machine.drive(b"/dev/dk", image)
    (tmp_path / "other").write_bytes(bytes(65536))
    machine.drive(b"/dev/dk2", tmp_path / "other")
    p.call("mkdir", b"/m", 0o755)
    p.mount_ffs(b"/m", b"/dev/dk", MNT_RDONLY | MNT_NODEV)
    return p


# --- t_rwtoro -----------------------------------------------------------------------------------------


def test_noneopen(rw: tuple[Process, bytes | None]) -> None:
    p, args = rw
    p.make(b"f", b"content")
    assert update(p, b"/t", MNT_RDONLY, args) == "ok"
    assert flags_of(p, b"/t") == MNT_RDONLY | MNT_LOCAL
    assert p.error("open", b"f", O_RDWR, 0) == "EROFS"
    assert p.content(b"f") == b"content"
    assert update(p, b"/t", 0, args) == "ok"
    p.make(b"f", b"new")


def test_readopen(rw: tuple[Process, bytes | None]) -> None:
    p, args = rw
    p.make(b"f", b"content")
    fd = p.call("open", b"f", O_RDONLY, 0)
    assert update(p, b"/t", MNT_RDONLY, args) == "ok"
    assert p.call("read", fd, 100) == b"content"


def test_writeopen(rw: tuple[Process, bytes | None]) -> None:
    p, args = rw
    fd = p.call("open", b"f", O_RDWR | O_CREAT, 0o644)
    assert update(p, b"/t", MNT_RDONLY, args) == "EBUSY"
    assert flags_of(p, b"/t") == MNT_LOCAL
    assert p.call("write", fd, b"text") == 4
    p.call("close", fd)
    assert update(p, b"/t", MNT_RDONLY, args) == "ok"


def test_read_unlinked(rw: tuple[Process, bytes | None]) -> None:
    p, args = rw
    p.make(b"f")
    fd = p.call("open", b"f", O_RDONLY, 0)
    p.call("unlink", b"f")
    assert update(p, b"/t", MNT_RDONLY, args) == "EBUSY"
    p.call("close", fd)
    assert update(p, b"/t", MNT_RDONLY, args) == "ok"


def test_force_takes_the_files_away(machine: Machine, rw: tuple[Process, bytes | None]) -> None:
    p, args = rw
    p.make(b"kept", b"content")
    child = machine.fork(p)
    written = child.call("open", b"f", O_RDWR | O_CREAT, 0o644)
    read = child.call("open", b"kept", O_RDONLY, 0)
    assert update(p, b"/t", MNT_RDONLY | MNT_FORCE, args) == "ok"
    assert child.error("write", written, b"x") == "EIO"
    assert child.call("read", read, 10) == b"content"
    assert flags_of(p, b"/t") & MNT_RDONLY


def test_what_is_no_regular_file_does_not_matter(tm: Process) -> None:
    tm.call("mkfifo", b"/t/p", 0o644)
    tm.call("__mknod50", b"/t/null", 0o020666, 514)
    for path in (b"/t/p", b"/t/null"):
        tm.call("open", path, O_RDWR, 0)
    assert update(tm, b"/t", MNT_RDONLY, tmpfs_args()) == "ok"


def test_files_of_other_mounts_do_not_matter(tm: Process) -> None:
    tm.call("open", b"/f", O_RDWR | O_CREAT, 0o644)
    assert update(tm, b"/t", MNT_RDONLY, tmpfs_args()) == "ok"


# --- what is refused, and who may -----------------------------------------------------------------------


def test_only_the_root_of_a_mount(tm: Process) -> None:
    tm.call("mkdir", b"/t/d", 0o755)
    tm.make(b"/t/f")
    for path in (b"/t/d", b"/t/f", b"/dev"):
        assert update(tm, path, 0, tmpfs_args()) == "EINVAL"
        assert (
            tm.error("__mount50", None, path + b"\0", MNT_GETARGS, tmpfs_args(), TMPFS_ARGS.size) == "EINVAL"
        )
    assert update(tm, b"/t/missing", 0, tmpfs_args()) == "ENOENT"


def test_who_may(machine: Machine, tm: Process) -> None:
    user = machine.process(USER)
    assert update(user, b"/t", 0, tmpfs_args()) == "EPERM"
    assert getargs(user, b"/t", tmpfs_args())[0] == 40


def test_reload_is_for_what_is_read_only(tm: Process, ffs: Process) -> None:
    assert update(tm, b"/t", MNT_RELOAD, tmpfs_args()) == "EOPNOTSUPP"
    assert update(ffs, b"/m", MNT_RELOAD | MNT_RDONLY, UFS_ARGS.pack(0)) == "EOPNOTSUPP"


def test_getargs_is_alone(tm: Process) -> None:
    for flag in (MNT_UPDATE, MNT_RDONLY, MNT_FORCE):
        assert tm.error("__mount50", None, b"/t\0", MNT_GETARGS | flag, tmpfs_args(), 40) == "EINVAL"


# --- tmpfs --------------------------------------------------------------------------------------------


def test_tmpfs_getargs(p: Process) -> None:
    p.call("mkdir", b"/t", 0o755)
    p.mount_tmpfs(b"/t", nodes=100, size=1 << 20, uid=5, gid=6, mode=0o1770)
    assert getargs(p, b"/t", tmpfs_args()) == (40, tmpfs_args(100, 1 << 20, 5, 6, 0o1770))
    longer = tmpfs_args() + b"rest"
    assert getargs(p, b"/t", longer) == (40, tmpfs_args(100, 1 << 20, 5, 6, 0o1770) + b"rest")
    for data in (tmpfs_args()[:39], tmpfs_args(version=2)):
        assert p.error("__mount50", None, b"/t\0", MNT_GETARGS, data, len(data)) == "EINVAL"
    assert p.error("__mount50", None, b"/t\0", MNT_GETARGS, None, 0) == "EINVAL"
    assert p.error("__mount50", None, b"/t\0", MNT_GETARGS, None, 40) == "EINVAL"
    assert p.error("__mount50", None, b"/t\0", MNT_GETARGS, tmpfs_args(), 8193) == "EINVAL"
    buffer = bytearray(40)
    buffer[0] = 1
    assert p.call("__mount50", None, b"/t\0", MNT_GETARGS, buffer, 0) == 40


def test_tmpfs_getargs_without_limits(tm: Process) -> None:
    assert getargs(tm, b"/t", tmpfs_args())[1] == tmpfs_args(0x7FFFFFFF, UNLIMITED)
    assert update(tm, b"/t", MNT_NOATIME, getargs(tm, b"/t", tmpfs_args())[1]) == "ok"
    assert getargs(tm, b"/t", tmpfs_args())[1] == tmpfs_args(0x7FFFFFFF, UNLIMITED)


def test_tmpfs_update(tm: Process) -> None:
    assert update(tm, b"/t", MNT_NOATIME, tmpfs_args(50, 1 << 20, 7, 8, 0o700)) == "ok"
    assert getargs(tm, b"/t", tmpfs_args())[1] == tmpfs_args(50, 1 << 20, 7, 8, 0o700)
    va = tm.stat(b"/t")
    assert (va.mode, va.uid, va.gid) == (0o040700, 7, 8)
    assert flags_of(tm, b"/t") == MNT_NOATIME | MNT_LOCAL
    assert tm.statvfs(b"/t")[4] == (1 << 20) // 4096
    assert update(tm, b"/t", 0, tmpfs_args()) == "ok"  # no limits given: they stay
    assert getargs(tm, b"/t", tmpfs_args())[1] == tmpfs_args(50, 1 << 20)
    assert flags_of(tm, b"/t") == MNT_LOCAL


def test_tmpfs_limits_below_what_is_used(tm: Process) -> None:
    for number in range(10):
        tm.make(b"/t/%d" % number, bytes(4096))
    assert update(tm, b"/t", MNT_NODEV, tmpfs_args(nodes=10)) == "EBUSY"
    assert update(tm, b"/t", MNT_NODEV, tmpfs_args(size=40960)) == "EBUSY"
    assert flags_of(tm, b"/t") == MNT_LOCAL
    assert getargs(tm, b"/t", tmpfs_args())[1] == tmpfs_args(0x7FFFFFFF, UNLIMITED)
    assert update(tm, b"/t", 0, tmpfs_args(nodes=11, size=100_000)) == "ok"
    assert tm.error("open", b"/t/new", O_CREAT | O_RDWR, 0o644) == "ENOSPC"
    assert update(tm, b"/t", 0, tmpfs_args(nodes=12)) == "ok"
    tm.make(b"/t/new")


def test_tmpfs_arguments(tm: Process) -> None:
    assert update(tm, b"/t", 0, None) == "EINVAL"
    assert update(tm, b"/t", 0, tmpfs_args()[:39]) == "EINVAL"
    assert update(tm, b"/t", 0, tmpfs_args(version=2)) == "EINVAL"
    assert update(tm, b"/t", 0, tmpfs_args(uid=0xFFFFFFFF)) == "EINVAL"
    assert update(tm, b"/t", 0, tmpfs_args(gid=0xFFFFFFFF)) == "EINVAL"
    assert update(tm, b"/t", 0, tmpfs_args(), 8193) == "EINVAL"
    # without a length what is copied in is as long as an export structure of old
    assert update(tm, b"/t", 0, tmpfs_args(), 0) == "EFAULT"
    assert update(tm, b"/t", 0, tmpfs_args() + bytes(88), 0) == "ok"


def test_relatime_is_taken_and_not_shown(tm: Process) -> None:
    assert update(tm, b"/t", MNT_RELATIME, tmpfs_args()) == "ok"
    assert flags_of(tm, b"/t") == MNT_LOCAL


# --- ffs ----------------------------------------------------------------------------------------------


def test_ffs_getargs(ffs: Process) -> None:
    assert getargs(ffs, b"/m", UFS_ARGS.pack(0xDEAD)) == (8, bytes(8))
    assert getargs(ffs, b"/m", UFS_ARGS.pack(0xDEAD) + b"rest") == (8, bytes(8) + b"rest")
    assert ffs.error("__mount50", None, b"/m\0", MNT_GETARGS, bytes(7), 7) == "EINVAL"
    assert ffs.error("__mount50", None, b"/m\0", MNT_GETARGS, None, 8) == "EINVAL"


def test_ffs_update(ffs: Process) -> None:
    assert flags_of(ffs, b"/m") == MNT_RDONLY | MNT_NODEV | MNT_LOCAL
    assert update(ffs, b"/m", MNT_RDONLY | MNT_NOATIME | MNT_LOG | MNT_SOFTDEP, UFS_ARGS.pack(0)) == "ok"
    assert flags_of(ffs, b"/m") == MNT_RDONLY | MNT_NOATIME | MNT_LOCAL
    assert update(ffs, b"/m", 0, UFS_ARGS.pack(0)) == "EROFS"
    assert flags_of(ffs, b"/m") == MNT_RDONLY | MNT_NOATIME | MNT_LOCAL
    assert update(ffs, b"/m", MNT_RDONLY, None) == "EINVAL"


def test_ffs_update_with_a_device(ffs: Process) -> None:
    def named(path: bytes) -> str:
        return update(ffs, b"/m", MNT_RDONLY, UFS_ARGS.pack(ffs.memory.map(path + b"\0")))

    assert named(b"/dev/dk") == "ok"
    assert named(b"/dev/dk2") == "EINVAL"
    assert named(b"/dev/null") == "ENOTBLK"
    assert named(b"/dev/missing") == "ENOENT"
    assert update(ffs, b"/m", MNT_RDONLY, UFS_ARGS.pack(0xDEAD)) == "EFAULT"


# --- the root file system -------------------------------------------------------------------------------


def test_rootfs(p: Process) -> None:
    before = flags_of(p, b"/")
    assert update(p, b"/", 0, None) == update(p, b"/", 0, b"anything") == "ok"
    assert flags_of(p, b"/") == before
    assert getargs(p, b"/", b"anything") == (8, b"anything")
    assert p.error("__mount50", None, b"/\0", MNT_GETARGS, None, 0) == "EINVAL"


def test_what_fails_while_arguments_are_fetched_changes_nothing(ffs: Process) -> None:
    call = ffs.start("__mount50", None, b"/m\0", MNT_UPDATE | MNT_RDONLY, UFS_ARGS.pack(0xDEAD0000), 8)
    call.step()
    call.step()
    call.throw(4)
    with pytest.raises(VfsError, match="EINTR"):
        call.result  # noqa: B018
    assert flags_of(ffs, b"/m") == MNT_RDONLY | MNT_NODEV | MNT_LOCAL
