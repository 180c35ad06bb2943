"""mount, unmount and what they show: netbsd_abi section 7, NetBSD's t_vfsops (tmount, tstatvfs, tsync)."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from rumpfs.abi.fcntl import O_CREAT, O_RDONLY, O_RDWR
from rumpfs.abi.mount import (
    MNT_EXPORTED,
    MNT_FORCE,
    MNT_GETARGS,
    MNT_LOCAL,
    MNT_NOATIME,
    MNT_RDONLY,
    MNT_RELATIME,
    MNT_UPDATE,
    TMPFS_ARGS,
    UFS_ARGS,
)
from rumpfs.abi.stat import S_IFBLK, S_IFCHR, STATVFS
from rumpfs.base.errors import VfsError
from tests.images_util import makefs
from tests.kern.incore import USER, Machine, Process


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("ffs")
    tree = directory / "tree"
    (tree / "dir").mkdir(parents=True)
    (tree / "file").write_bytes(b"content")
    return makefs(tree, directory / "image", 2, "<", 8192, 1024)


@pytest.fixture
def m(p: Process) -> Process:
    """A process of a kernel with an empty directory /m."""
    p.call("mkdir", b"/m", 0o755)
    return p


@pytest.fixture
def ffs(machine: Machine, m: Process, image: Path) -> Process:
    """A process of a kernel with /m and the image at the key /dev/dk, not mounted."""
    machine.drive(b"/dev/dk", image)
    return m


def mount(
    p: Process, kind: bytes, path: bytes | None, data: bytes | None, flags: int = 0, length: int = -1
) -> str:
    """Return the name of the errno that a mount fails with, or ``ok``."""
    size = (0 if data is None else len(data)) if length < 0 else length
    return p.error("__mount50", kind + b"\0", None if path is None else path + b"\0", flags, data, size)


def tmpfs_args(version: int = 1, uid: int = 0, gid: int = 0) -> bytes:
    return TMPFS_ARGS.pack(version, 0, 0, uid, gid, 0o755)


# --- mount ------------------------------------------------------------------------------------------


def test_what_mount_refuses(m: Process) -> None:
    m.make(b"/file")
    args = tmpfs_args()
    assert mount(m, b"nofs", b"/m", args) == "ENODEV"
    assert mount(m, b"nofs", b"/missing", args) == "ENOENT"
    assert mount(m, b"tmpfs", None, args) == "EFAULT"
    assert mount(m, b"x" * 32, b"/m", args) == "ENODEV"  # the name is too long for any
    assert mount(m, b"tmpfs", b"/file", args) == "ENOTDIR"
    assert mount(m, b"nofs", b"/file", args) == "ENODEV"
    assert mount(m, b"tmpfs", b"/m", args, MNT_EXPORTED) == "EINVAL"
    assert mount(m, b"tmpfs", b"/m", args, length=8193) == "EINVAL"
    assert mount(m, b"tmpfs", b"/m", args[:39]) == "EINVAL"
    assert mount(m, b"tmpfs", b"/m", None) == "EINVAL"
    assert mount(m, b"tmpfs", b"/m", tmpfs_args(version=2)) == "EINVAL"
    assert mount(m, b"tmpfs", b"/m", tmpfs_args(uid=0xFFFFFFFF)) == "EINVAL"
    assert mount(m, b"tmpfs", b"/m", tmpfs_args(gid=0xFFFFFFFF)) == "EINVAL"
    assert mount(m, b"tmpfs", b"/m", args, MNT_UPDATE) == "EINVAL"  # nothing is mounted there
    assert mount(m, b"tmpfs", b"/m", args, MNT_GETARGS) == "EINVAL"
    assert m.call("getvfsstat", None, 0, 1) == 1


@pytest.mark.parametrize(
    ("number", "error"), [(7, "ok"), (1, "EINVAL"), (4, "ENODEV"), (8, "ENODEV"), (0, "ENODEV")]
)
def test_types_that_were_numbers_once(m: Process, number: int, error: str) -> None:
    # mountcompatnames: 7 is kernfs, 1 is ffs (which needs arguments)
    assert m.error("__mount50", number, b"/m\0", 0, None, 0) == error


def test_arguments_of_another_length(m: Process) -> None:
    assert mount(m, b"tmpfs", b"/m", tmpfs_args() + bytes(100)) == "ok"
    assert mount(m, b"tmpfs", b"/m", tmpfs_args(), length=0) == "ok"  # the type's own size
    assert mount(m, b"rumpfs", b"/m", None) == "ok"
    assert m.call("getvfsstat", None, 0, 1) == 4


def test_mount_is_the_superusers(machine: Machine, m: Process) -> None:
    user = machine.process(USER)
    assert mount(user, b"tmpfs", b"/m", tmpfs_args()) == "EPERM"
    m.mount_tmpfs(b"/m")
    assert user.error("unmount", b"/m", 0) == "EPERM"


def test_flags_that_a_mount_keeps(m: Process) -> None:
    m.mount_tmpfs(b"/m", MNT_NOATIME | MNT_RELATIME | MNT_RDONLY | MNT_FORCE)
    # what statvfs shows is without MNT_RELATIME, and MNT_FORCE was for mount alone
    assert m.statvfs(b"/m")[0] == MNT_NOATIME | MNT_RDONLY | MNT_LOCAL


def test_mounts_are_found_and_left(m: Process) -> None:
    m.make(b"/m/under")
    m.mount_tmpfs(b"/m")
    assert m.names(b"/m") == set()
    m.make(b"/m/over")
    assert m.stat(b"/m/..") == m.stat(b"/")
    assert m.stat(b"/m/.") == m.stat(b"/m")
    m.call("unmount", b"/m", 0)
    assert m.names(b"/m") == {b"under"}


def test_mounts_stack(m: Process) -> None:
    for number in range(3):
        m.mount_tmpfs(b"/m")
        m.make(b"/m/%d" % number)
    for number in (2, 1, 0):
        assert m.names(b"/m") == {b"%d" % number}
        m.call("unmount", b"/m", 0)
    assert m.names(b"/m") == set()
    assert m.error("unmount", b"/m", 0) == "EINVAL"


def test_mounting_over_the_root(machine: Machine, p: Process) -> None:
    other = machine.process()
    other.call("chdir", b"/tmp")
    p.mount_tmpfs(b"/")
    assert p.names(b"/") == set()
    assert other.names(b"/") == set()
    assert other.names(b".") == set()
    new = machine.process()
    new.make(b"/file")
    assert p.names(b".") == {b"file"}
    assert p.stat(b"/..") == p.stat(b"/")
    assert new.statvfs(b"/")[-3:] == (b"tmpfs", b"/", b"tmpfs")
    assert p.error("unmount", b"/", 0) == "EBUSY"
    p.call("unmount", b"/", MNT_FORCE)
    assert p.names(b"/") == new.names(b"/") == machine.process().names(b"/") == {b"dev", b"tmp"}
    assert p.error("unmount", b"/", MNT_FORCE) == "EINVAL"


# --- ffs --------------------------------------------------------------------------------------------


def test_what_an_ffs_mount_refuses(ffs: Process, machine: Machine, tmp_path: Path) -> None:
    p = ffs
    p.make(b"/file")
    p.call("__mknod50", b"/nodriver", S_IFBLK | 0o600, 99 << 8)
    p.call("__mknod50", b"/chr", S_IFCHR | 0o600, 197 << 8)
    (tmp_path / "zeroes").write_bytes(bytes(1 << 20))
    machine.drive(b"/dev/zeroes", tmp_path / "zeroes")

    def fspec(path: bytes) -> bytes:
        return UFS_ARGS.pack(p.memory.map(path + b"\0"))

    assert mount(p, b"ffs", b"/m", None, MNT_RDONLY) == "EINVAL"
    assert mount(p, b"ffs", b"/m", bytes(8), MNT_RDONLY) == "EINVAL"  # fspec NULL
    assert mount(p, b"ffs", b"/m", bytes(4), MNT_RDONLY) == "EINVAL"
    assert mount(p, b"ffs", b"/m", struct.pack("<Q", 0xDEAD0000), MNT_RDONLY) == "EFAULT"
    assert mount(p, b"ffs", b"/m", fspec(b"/missing"), MNT_RDONLY) == "ENOENT"
    assert mount(p, b"ffs", b"/m", fspec(b"/file"), MNT_RDONLY) == "ENOTBLK"
    assert mount(p, b"ffs", b"/m", fspec(b"/chr"), MNT_RDONLY) == "ENOTBLK"
    assert mount(p, b"ffs", b"/m", fspec(b"/nodriver"), MNT_RDONLY) == "ENXIO"
    assert mount(p, b"ffs", b"/m", fspec(b"/dev/zeroes"), MNT_RDONLY) == "EINVAL"
    assert mount(p, b"ffs", b"/m", fspec(b"/dev/dk")) == "EROFS"
    assert mount(p, b"ffs", b"/m", fspec(b"/dev/dk"), MNT_RDONLY) == "ok"
    assert mount(p, b"ffs", b"/m", fspec(b"/dev/dk"), MNT_RDONLY) == "EBUSY"
    assert mount(p, b"ufs", b"/tmp", fspec(b"/dev/zeroes"), MNT_RDONLY) == "EINVAL"
    p.call("unmount", b"/m", 0)
    assert mount(p, b"ufs", b"/m", fspec(b"/dev/dk"), MNT_RDONLY) == "ok"  # the old name of ffs
    assert p.content(b"/m/file") == b"content"


def test_what_a_mount_copies_in(ffs: Process) -> None:
    # as recorded: the path, the type, the structure, fspec; then the names for statvfs and the path again
    ffs.mount_ffs(b"/m", b"/dev/dk")
    lengths = [getattr(request, "maxlen", 0) or request.length for request in ffs.asked]
    assert lengths == [1024, 32, 8, 1024, 1023, 1023, 1024]


def test_a_mounted_device_is_in_use(ffs: Process, machine: Machine) -> None:
    ffs.mount_ffs(b"/m", b"/dev/dk")
    with pytest.raises(VfsError, match="EBUSY"):
        machine.kernel.etfs_remove(b"/dev/dk")
    ffs.call("unmount", b"/m", 0)
    machine.kernel.etfs_remove(b"/dev/dk")
    assert ffs.error("__stat50", b"/dev/dk") == "ENOENT"


# --- unmount ----------------------------------------------------------------------------------------


def test_what_unmount_refuses(m: Process) -> None:
    m.make(b"/file")
    m.mount_tmpfs(b"/m")
    m.call("mkdir", b"/m/d", 0o755)
    m.call("symlink", b"/m", b"/link")
    assert m.error("unmount", b"/", 0) == "EINVAL"
    assert m.error("unmount", b"/", MNT_FORCE) == "EINVAL"
    assert m.error("unmount", b"/missing", 0) == "ENOENT"
    assert m.error("unmount", b"/file", 0) == "EINVAL"
    assert m.error("unmount", b"/m/d", 0) == "EINVAL"
    assert m.error("unmount", b"/link", 0) == "EINVAL"  # the last link is not followed
    assert m.error("unmount", b"/link/", 0) == "ok"


@pytest.mark.parametrize("use", ["file", "cwd", "root", "mount", "removed"])
def test_busy_mounts(m: Process, machine: Machine, use: str) -> None:
    m.mount_tmpfs(b"/m")
    m.call("mkdir", b"/m/d", 0o755)
    other = machine.process()
    if use in ("file", "removed"):
        fd = other.call("open", b"/m/f", O_CREAT | O_RDWR, 0o644)
        if use == "removed":
            other.call("unlink", b"/m/f")
    elif use == "cwd":
        other.call("chdir", b"/m/d")
    elif use == "root":
        other.call("chroot", b"/m/d")
    else:
        m.mount_tmpfs(b"/m/d")
    assert m.error("unmount", b"/m", 0) == "EBUSY"
    if use == "mount":
        assert m.error("unmount", b"/m", MNT_FORCE) == "EBUSY"
        m.call("unmount", b"/m/d", 0)
    elif use in ("file", "removed"):
        other.call("close", fd)
    else:
        other.p.exit()
    m.call("unmount", b"/m", 0)


def test_a_process_that_ends_leaves_nothing_busy(m: Process, machine: Machine) -> None:
    m.mount_tmpfs(b"/m")
    other = machine.process()
    other.call("chdir", b"/m")
    for number in range(10):
        other.call("open", b"/m/%d" % number, O_CREAT | O_RDWR, 0o644)
    child = machine.fork(other)
    other.p.exit()
    assert m.error("unmount", b"/m", 0) == "EBUSY"
    child.p.exit()
    m.call("unmount", b"/m", 0)


def test_directories_that_are_mounted_on(m: Process) -> None:
    # by a descriptor from before; genfs_rename.c: nothing moves in, out or within them
    m.mount_tmpfs(b"/m")
    for path in (b"/m/on", b"/m/other"):
        m.call("mkdir", path, 0o755)
    m.make(b"/m/on/f", b"under")
    m.make(b"/m/other/g")
    on, other = (m.call("open", path, O_RDONLY, 0) for path in (b"/m/on", b"/m/other"))
    m.mount_tmpfs(b"/m/on")
    assert m.names(b"/m/on") == set()
    assert m.error("renameat", on, b"f", on, b"g") == "EBUSY"
    assert m.error("renameat", on, b"f", other, b"f") == "EBUSY"
    assert m.error("renameat", other, b"g", on, b"g") == "EBUSY"
    assert m.error("renameat", other, b"g", other, b"h") == "ok"
    assert m.error("rename", b"/m/on", b"/m/new") == m.error("rename", b"/m/other", b"/m/on") == "EBUSY"
    assert m.error("rmdir", b"/m/on") == m.error("unlink", b"/m/on") == "EBUSY"
    assert m.error("rename", b"/m/other/h", b"/m/on/h") == "EXDEV"
    m.call("unmount", b"/m/on", 0)
    assert m.content(b"/m/on/f") == b"under"
    assert m.error("renameat", on, b"f", other, b"f") == "ok"


def test_relative_mount_points_and_what_covers_them(m: Process, machine: Machine) -> None:
    # checkdirs: who is in a directory when something is mounted there is in the mount from then on
    inside = machine.process()
    inside.call("chdir", b"/m")
    m.mount_tmpfs(b"/m")
    inside.make(b"f", b"in the mount")
    assert m.content(b"/m/f") == b"in the mount"
    assert m.error("unmount", b"/m", 0) == "EBUSY"
    inside.call("chdir", b"..")
    m.call("unmount", b"/m", 0)
    assert inside.getcwd() == b"/"


# --- statvfs, getvfsstat, sync ----------------------------------------------------------------------


def test_tstatvfs(ffs: Process) -> None:
    ffs.mount_ffs(b"/m", b"/dev/dk")
    for path, kind, onto, source in (
        (b"/", b"rumpfs", b"/", b"rumpfs"),
        (b"/dev/null", b"rumpfs", b"/", b"rumpfs"),
        (b"/m", b"ffs", b"/m", b"/dev/dk"),
        (b"/m/dir", b"ffs", b"/m", b"/dev/dk"),
    ):
        fields = ffs.statvfs(path)
        assert fields[-3:] == (kind, onto, source)
        assert 1 <= fields[-5] <= 511  # f_namemax
    fd = ffs.call("open", b"/m/file", O_RDONLY, 0)
    assert ffs.call("fstatvfs1", fd, 1) == ffs.call("statvfs1", b"/m", 1)
    reader, _ = ffs.call("pipe")
    assert ffs.error("fstatvfs1", reader, 1) == "EINVAL"
    assert ffs.error("fstatvfs1", 99, 1) == "EBADF"


def test_the_root_file_systems_statvfs(p: Process) -> None:
    # sysproxy 14.2
    fields = p.statvfs(b"/")
    assert fields[1:5] == (512, 512, 512, 2)
    assert fields[5:12] == (0,) * 7
    assert fields[0] & MNT_LOCAL


def test_names_are_as_the_caller_gave_them(m: Process) -> None:
    m.call("chdir", b"/m")
    m.mount_tmpfs(b"../m//.")
    assert m.statvfs(b"/m")[-2] == b"../m//."


def test_getvfsstat(m: Process) -> None:
    m.mount_tmpfs(b"/m")
    assert m.call("getvfsstat", None, 0, 1) == 2
    buffer = bytearray(5 * STATVFS.size)
    assert m.call("getvfsstat", buffer, len(buffer), 1) == 2
    assert buffer[: STATVFS.size] == m.call("statvfs1", b"/", 1)
    assert buffer[STATVFS.size : 2 * STATVFS.size] == m.call("statvfs1", b"/m", 1)
    assert m.call("getvfsstat", bytearray(STATVFS.size), STATVFS.size + 1, 1) == 1
    assert m.call("getvfsstat", bytearray(1), STATVFS.size - 1, 1) == 0


def test_file_system_ids_differ(m: Process) -> None:
    m.mount_tmpfs(b"/m")
    m.mount_tmpfs(b"/tmp")
    ids = {m.statvfs(path)[16] for path in (b"/", b"/m", b"/tmp")}  # f_fsidx; one half may be alike
    assert len(ids) == 3
    assert m.stat(b"/m").fsid != m.stat(b"/tmp").fsid


def test_tsync(m: Process) -> None:
    m.mount_tmpfs(b"/m")
    assert m.call("sync") == 0


def test_halt_unmounts_everything(ffs: Process, machine: Machine) -> None:
    ffs.mount_ffs(b"/m", b"/dev/dk")
    ffs.mount_tmpfs(b"/m/dir")
    ffs.call("open", b"/m/file", O_RDONLY, 0)
    assert ffs.call("reboot", 0, None) == 0
    assert machine.kernel.howto == 0
    assert machine.kernel.vfs is not None
    assert len(machine.kernel.vfs.mountlist) == 1
    assert b"rump kernel halting..." in machine.console


def test_halting_is_the_superusers(machine: Machine) -> None:
    assert machine.process(USER).error("reboot", 0, None) == "EPERM"
    assert machine.kernel.howto is None
