"""File handles: getfh, fhopen, fhstat, fhstatvfs (netbsd_abi 1.3; getfh(2); NetBSD's t_vfsops)."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rumpfs.abi.errno import EINTR
from rumpfs.abi.fcntl import O_CREAT, O_EXLOCK, O_NONBLOCK, O_RDONLY, O_RDWR, O_TRUNC, O_WRONLY
from rumpfs.abi.mount import MNT_FORCE
from rumpfs.abi.stat import STAT, STATVFS, STATVFS_100
from rumpfs.base.errors import VfsError
from rumpfs.vfs.vnode import Vattr
from tests.images_util import makefs
from tests.kern.incore import USER, Machine, Process

SIZE = 28  # FHANDLE_SIZE_COMPAT: the least a handle has


def getfh(p: Process, path: bytes, room: int = SIZE) -> bytes:
    handle, size = bytearray(room), bytearray(room.to_bytes(8, "little"))
    assert p.call("__getfh30", path + b"\0", handle, size) == 0
    assert int.from_bytes(size, "little") == SIZE
    return bytes(handle[:SIZE])


def fhopen(p: Process, handle: bytes, flags: int = O_RDONLY) -> int:
    fd: int = p.call("__fhopen40", handle, len(handle), flags)
    return fd


@pytest.fixture
def ffs(machine: Machine, p: Process, tmp_path: Path) -> Process:
    """A process in an FFS with the files f and d/f."""
    tree = tmp_path / "tree"
    (tree / "d").mkdir(parents=True)
    (tree / "f").write_bytes(b"on the disk")
    (tree / "d" / "f").write_bytes(b"below")
    machine.drive(b"/dev/dk", makefs(tree, tmp_path / "image", 2, "<", 8192, 1024))
    p.call("mkdir", b"/m", 0o755)
    p.mount_ffs(b"/m", b"/dev/dk")
    p.call("chdir", b"/m")
    return p


def test_t_vfsops_tfilehandle(tmp: Process) -> None:
    tmp.make(b"f", b"the same file")
    size = bytearray(8)
    assert tmp.error("__getfh30", b"f\0", None, size) == "E2BIG"
    assert int.from_bytes(size, "little") == SIZE
    fd = fhopen(tmp, getfh(tmp, b"f"), O_RDWR)
    assert tmp.call("read", fd, 100) == b"the same file"
    assert tmp.fstat(fd) == tmp.stat(b"f")
    tmp.call("pwrite", fd, b"THE", 0)
    assert tmp.content(b"f") == b"THE same file"


def test_t_vfsops_tfhremove(tmp: Process) -> None:
    tmp.make(b"f")
    handle = getfh(tmp, b"f")
    fd = tmp.call("open", b"f", O_RDONLY, 0)
    tmp.call("unlink", b"f")
    tmp.call("close", fhopen(tmp, handle))  # it is open still
    tmp.call("close", fd)
    for call in (("__fhopen40", handle, SIZE, O_RDONLY), ("__fhstat50", handle, SIZE)):
        assert tmp.error(*call) == "ESTALE"
    tmp.make(b"f")
    assert tmp.error("__fhopen40", handle, SIZE, O_RDONLY) == "ESTALE"


@given(st.binary(min_size=SIZE, max_size=64))
@settings(max_examples=200, deadline=None)
def test_t_vfsops_tfhinval(handle: bytes) -> None:
    p = _garbage()
    assert p.error("__fhopen40", handle, len(handle), O_RDONLY) in ("ESTALE", "EINVAL")
    whole = getfh(p, b"/t/f")
    mixed = whole[:8] + handle[8:SIZE]
    assert p.error("__fhopen40", mixed, SIZE, O_RDONLY) in ("ESTALE", "EINVAL") or mixed == whole
    for at in range(8, 24):
        changed = bytearray(whole)
        changed[at] ^= handle[at] or 1
        assert p.error("__fhstat50", bytes(changed), SIZE) in ("ESTALE", "EINVAL") or at in (10, 11)


_made: list[Process] = []


def _garbage() -> Process:
    """A process with a file in a tmpfs, the same for every example."""
    if not _made:
        p = Machine().process()
        p.call("mkdir", b"/t", 0o755)
        p.mount_tmpfs(b"/t")
        p.make(b"/t/f")
        _made.append(p)
    return _made[0]


def test_garbage_on_an_ffs(ffs: Process) -> None:
    whole = getfh(ffs, b"f")
    assert struct.unpack_from("<HHII", whole, 8)[:3] == (12, 0, ffs.stat(b"f").fileid)
    for ino in (0, 1, 40, 2**31, 2**32 - 1, 10_000_000):
        handle = whole[:12] + ino.to_bytes(4, "little") + whole[16:]
        assert ffs.error("__fhstat50", handle, SIZE) == "ESTALE"
    assert ffs.error("__fhstat50", whole[:8] + struct.pack("<HHIQ", 16, 0, 1, 2) + bytes(4), SIZE) == "EINVAL"
    other = whole[:16] + bytes([whole[16] ^ 1]) + whole[17:]
    assert ffs.error("__fhstat50", other, SIZE) == "ESTALE"


def test_an_ffs(ffs: Process) -> None:
    for path, content in ((b"f", b"on the disk"), (b"d/f", b"below")):
        fd = fhopen(ffs, getfh(ffs, path))
        assert ffs.call("read", fd, 100) == content
        assert ffs.fstat(fd) == ffs.stat(path)
    assert ffs.error("__fhopen40", getfh(ffs, b"f"), SIZE, O_WRONLY) == "EROFS"


def test_directories(tmp: Process) -> None:
    tmp.call("mkdir", b"d", 0o755)
    tmp.make(b"d/f")
    handle = getfh(tmp, b"d")
    assert handle != getfh(tmp, b".")
    fd = fhopen(tmp, handle)
    tmp.call("fchdir", fd)
    assert tmp.names(b".") == {b"f"}
    assert tmp.error("__fhopen40", handle, SIZE, O_RDWR) == "EISDIR"


def test_handles_follow_the_file_not_the_name(tmp: Process) -> None:
    tmp.make(b"f", b"text")
    handle = getfh(tmp, b"f")
    tmp.call("rename", b"f", b"g")
    assert tmp.call("read", fhopen(tmp, handle), 10) == b"text"
    assert handle == getfh(tmp, b"g")
    tmp.call("symlink", b"g", b"s")
    assert handle == getfh(tmp, b"s")


def test_only_root(machine: Machine, tmp: Process) -> None:
    tmp.make(b"f")
    handle = getfh(tmp, b"f")
    user = machine.process(USER)
    for call in (
        ("__getfh30", b"/t/f\0", bytearray(SIZE), bytearray(8)),
        ("__fhopen40", handle, SIZE, O_RDONLY),
        ("__fhstat50", handle, SIZE),
        ("__fhstatvfs140", handle, SIZE, 1),
        ("__fhstatvfs190", handle, SIZE, 1),
    ):
        assert user.error(*call) == "EPERM"


def test_what_has_no_handles(p: Process) -> None:
    p.make(b"/f")
    for path in (b"/f\0", b"/\0", b"/dev/null\0"):
        assert p.error("__getfh30", path, bytearray(SIZE), bytearray(8)) == "EOPNOTSUPP"
    assert p.error("__getfh30", b"/missing\0", bytearray(SIZE), bytearray(8)) == "ENOENT"


def test_bad_arguments(tmp: Process) -> None:
    tmp.make(b"f")
    handle = getfh(tmp, b"f", 100)
    assert tmp.error("__getfh30", b"f\0", None, (SIZE).to_bytes(8, "little")) == "EFAULT"
    assert tmp.error("__getfh30", b"f\0", bytearray(SIZE), None) == "EFAULT"
    assert tmp.error("__getfh30", None, bytearray(SIZE), bytearray(8)) == "EFAULT"
    assert tmp.error("__fhopen40", handle, SIZE, 3) == "EINVAL"
    assert tmp.error("__fhopen40", handle, SIZE, O_RDWR | O_CREAT) == "EINVAL"
    assert tmp.error("__fhopen40", None, SIZE, O_RDONLY) == "EFAULT"
    for size in (0, SIZE - 1, 1025, 2**64 - 1):
        assert tmp.error("__fhopen40", handle + bytes(1000), size, O_RDONLY) == "EINVAL"
    assert (
        tmp.error("__fhopen40", handle + bytes(4), SIZE + 4, O_RDONLY) == "EINVAL"
    )  # it says its own length


def test_open_flags(tmp: Process) -> None:
    tmp.make(b"f", b"content")
    tmp.call("mkfifo", b"p", 0o644)
    tmp.call("__mknod50", b"null", 0o020644, 514)
    tmp.call("close", fhopen(tmp, getfh(tmp, b"f"), O_RDWR | O_TRUNC))
    assert tmp.content(b"f") == b""
    fd = fhopen(tmp, getfh(tmp, b"f"), O_RDWR | O_EXLOCK)
    assert tmp.error("__fhopen40", getfh(tmp, b"f"), SIZE, O_RDONLY | O_EXLOCK | O_NONBLOCK) == "EAGAIN"
    tmp.call("close", fd)
    assert tmp.begin("__fhopen40", getfh(tmp, b"p"), SIZE, O_RDONLY).asleep
    assert tmp.error("__fhopen40", getfh(tmp, b"p"), SIZE, O_WRONLY | O_NONBLOCK) == "ok"
    assert tmp.call("read", fhopen(tmp, getfh(tmp, b"null")), 10) == b""


def test_fhstat_and_fhstatvfs(tmp: Process) -> None:
    tmp.make(b"f", b"content")
    handle = getfh(tmp, b"f")
    assert Vattr(*STAT.unpack(tmp.call("__fhstat50", handle, SIZE))) == tmp.stat(b"f")
    old = STATVFS.unpack(tmp.call("__fhstatvfs140", handle, SIZE, 1))
    new = STATVFS_100.unpack(tmp.call("__fhstatvfs190", handle, SIZE, 1))
    assert old == STATVFS.unpack(tmp.call("statvfs1", b"f", 1))
    assert (*old, bytes(1024)) == new
    assert new == STATVFS_100.unpack(tmp.call("__statvfs190", b"f", 1))


def test_a_handle_of_a_mount_that_is_gone(tmp: Process) -> None:
    tmp.make(b"f")
    handle = getfh(tmp, b"f")
    tmp.call("chdir", b"/")
    tmp.call("unmount", b"/t", MNT_FORCE)
    assert tmp.error("__fhstat50", handle, SIZE) == "ESTALE"
    tmp.mount_tmpfs(b"/t")  # it may get the same id
    assert tmp.error("__fhstat50", handle, SIZE) == "ESTALE"


def test_handles_are_forgotten_with_their_files(machine: Machine, tmp: Process) -> None:
    for number in range(100):
        tmp.make(b"%d" % number)
        getfh(tmp, b"%d" % number)
        tmp.call("unlink", b"%d" % number)
    assert machine.kernel.vfs is not None
    assert machine.kernel.vfs.mountlist[1].tm_handles == {}  # type: ignore[attr-defined]


def test_the_caller_may_vanish_while_the_handle_is_fetched(tmp: Process) -> None:
    tmp.make(b"f")
    call = tmp.start("__fhopen40", getfh(tmp, b"f"), SIZE, O_RDONLY)
    call.throw(EINTR)
    with pytest.raises(VfsError, match="EINTR"):
        call.result  # noqa: B018
    assert tmp.call("fcntl", 0, 11, 0) == 2
