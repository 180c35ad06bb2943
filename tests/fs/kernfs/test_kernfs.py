"""kernfs: what its files say, and what it refuses (NetBSD: kernfs_vnops.c, kernfs_vfsops.c)."""

from __future__ import annotations

import struct
import time

import pytest

from rumpfs.abi.fcntl import O_APPEND, O_CREAT, O_RDONLY, O_RDWR, O_TRUNC, O_WRONLY
from rumpfs.abi.mount import MNT_GETARGS, MNT_LOCAL, MNT_RDONLY, MNT_UPDATE
from rumpfs.abi.stat import DT_DIR, DT_REG, S_IFDIR, S_IFREG
from tests.kern.incore import USER, Machine, Process
from tests.kern.sysctl_util import sysctl

FILES = {
    b"boottime", b"byteorder", b"copyright", b"hostname", b"hz", b"loadavg", b"msgbuf", b"pagesize",
    b"physmem", b"time", b"version",
}  # fmt: skip


@pytest.fixture
def machine() -> Machine:
    return Machine(memlimit=64 << 20)


@pytest.fixture
def p(machine: Machine) -> Process:
    """A process of a kernel with a kernfs on /kern."""
    process = machine.process()
    process.call("mkdir", b"/kern", 0o755)
    mount(process)
    return process


def mount(p: Process, flags: int = 0) -> None:
    p.call("__mount50", b"kernfs\0", b"/kern\0", flags, None, 0)


def numbers(p: Process, name: bytes) -> tuple[int, ...]:
    text = p.content(b"/kern/" + name)
    assert text.endswith(b"\n")
    return tuple(map(int, text.split()))


def test_what_is_there(p: Process) -> None:
    assert p.names(b"/kern") == FILES
    entries = p.entries(b"/kern")
    assert [entry.name for entry in entries] == [b".", b"..", *sorted(FILES)]
    assert [entry.type for entry in entries] == [DT_DIR] * 2 + [DT_REG] * len(FILES)
    assert [entry.fileno for entry in entries] == [2, 2, *range(4, 4 + len(FILES))]


def test_numbers_are_those_of_sysctl(p: Process) -> None:
    assert numbers(p, b"byteorder") == struct.unpack("<i", sysctl(p, 6, 4).old) == (1234,)
    assert numbers(p, b"pagesize") == struct.unpack("<i", sysctl(p, 6, 7).old) == (4096,)
    assert numbers(p, b"hz") == struct.unpack_from("<i", sysctl(p, 1, 12).old) == (100,)
    assert numbers(p, b"physmem") == ((64 << 20) // 4096,)
    assert numbers(p, b"boottime") == struct.unpack_from("<q", sysctl(p, 1, 83).old)
    assert numbers(p, b"loadavg") == struct.unpack("<III4xq", sysctl(p, 2, 2).old) == (0, 0, 0, 2048)


def test_texts_are_those_of_sysctl(p: Process) -> None:
    assert p.content(b"/kern/version") + b"\0" == sysctl(p, 1, 4).old
    assert p.content(b"/kern/version").startswith(b"NetBSD ")
    assert p.content(b"/kern/hostname") == sysctl(p, 1, 10).old.rstrip(b"\0") + b"\n"
    assert p.content(b"/kern/copyright").startswith(b"Copyright ")


def test_time_has_microseconds(p: Process) -> None:
    before = time.time()
    seconds, microseconds = numbers(p, b"time")
    assert before - 0.001 <= seconds + microseconds / 1e6 <= time.time()


def test_msgbuf_has_what_the_kernel_printed(machine: Machine, p: Process) -> None:
    machine.kernel.print("to be seen")
    machine.kernel.print_verbose("not to be seen")
    assert machine.console == b"to be seen\n"
    text = p.content(b"/kern/msgbuf")
    assert text.endswith(b"to be seen\nnot to be seen\n")
    assert sysctl(p, 1, 53, room=16384).old == text.rjust(16384, b"\0")
    for number in range(2000):
        machine.kernel.print(f"line {number}")
    assert len(p.content(b"/kern/msgbuf")) == p.stat(b"/kern/msgbuf").size == 16384
    assert p.content(b"/kern/msgbuf").endswith(b"\nline 1999\n")


def test_setting_the_hostname(p: Process) -> None:
    fd = p.call("open", b"/kern/hostname", O_WRONLY | O_TRUNC, 0)
    assert p.call("write", fd, b"kern.example\n") == 13
    assert sysctl(p, 1, 10).old == b"kern.example\0"
    assert p.error("write", fd, b"more") == "EINVAL"  # not at the beginning
    assert p.call("pwrite", fd, b"without.newline", 0) == 15
    assert p.content(b"/kern/hostname") == b"without.newline\n"
    assert p.call("pwrite", fd, b"short\0rest", 0) == 10
    assert p.content(b"/kern/hostname") == b"short\n"
    assert p.call("pwrite", fd, b"h" * 255, 0) == 255
    assert p.content(b"/kern/hostname") == b"h" * 255 + b"\n"
    assert p.error("pwrite", fd, b"h" * 256, 0) == "EIO"
    again = p.call("open", b"/kern/hostname", O_WRONLY | O_APPEND, 0)
    assert p.call("write", again, b"appended\n") == 9
    assert p.content(b"/kern/hostname") == b"appended\n"


def test_sysctl_sets_what_the_file_says(p: Process) -> None:
    sysctl(p, 1, 10, new=b"by.sysctl")
    assert p.content(b"/kern/hostname") == b"by.sysctl\n"


def test_attributes(machine: Machine, p: Process) -> None:
    va = p.stat(b"/kern")
    assert (va.mode, va.nlink, va.fileid, va.size, va.blocks) == (S_IFDIR | 0o555, 2, 2, 512, 1)
    for name in FILES - {b"time"}:
        va = p.stat(b"/kern/" + name)
        assert va.mode == S_IFREG | (0o644 if name == b"hostname" else 0o444)
        assert (va.uid, va.gid, va.nlink, va.rdev, va.blocksize) == (0, 0, 1, 0, 512)
        assert va.size == len(p.content(b"/kern/" + name))
        assert va.fsid == p.stat(b"/kern").fsid
    before = int(time.time())
    va = p.stat(b"/kern/hz")
    assert before - 1 <= va.atime == va.mtime == va.ctime <= time.time()
    assert p.stat(b"/kern/boottime").mtime == numbers(p, b"boottime")[0]


def test_permissions(machine: Machine, p: Process) -> None:
    user = machine.process(USER)
    assert user.content(b"/kern/hostname")
    assert user.error("open", b"/kern/hostname", O_WRONLY, 0) == "EACCES"
    assert user.error("open", b"/kern/hz", O_RDWR, 0) == "EACCES"
    fd = p.call("open", b"/kern/hz", O_RDWR, 0)  # the superuser may open it, in vain
    assert p.error("write", fd, b"1000") == "EIO"


def test_attributes_stay_and_nobody_is_told(p: Process) -> None:
    before = p.stat(b"/kern/hostname")[:7]
    assert p.error("chmod", b"/kern/hostname", 0o777) == p.error("chown", b"/kern/hostname", 1, 1) == "ok"
    assert p.error("truncate", b"/kern/hostname", 0) == p.error("chflags", b"/kern/hostname", 1) == "ok"
    assert p.stat(b"/kern/hostname")[:7] == before


@pytest.mark.parametrize(
    "call",
    [
        ("open", b"/kern/new", O_CREAT | O_RDWR, 0o644),
        ("mkdir", b"/kern/new", 0o755),
        ("mkfifo", b"/kern/new", 0o644),
        ("symlink", b"hz", b"/kern/new"),
        ("link", b"/kern/hz", b"/kern/new"),
        ("unlink", b"/kern/hz"),
        ("unlink", b"/kern/nothing"),
        ("rmdir", b"/kern/nothing"),
        ("rename", b"/kern/nothing", b"/tmp/new"),
        ("rename", b"/dev/null", b"/kern/hz"),
        ("rename", b"/kern/hz", b"/kern/new"),
    ],
)
def test_names_cannot_change(machine: Machine, p: Process, call: tuple[object, ...]) -> None:
    # kernfs_lookup says so, before anybody looks at permissions
    assert p.error(*call) == "EROFS"
    if call[:2] != ("rename", b"/dev/null"):
        assert machine.process(USER).error(*call) == "EROFS"
    assert p.names(b"/kern") == FILES


def test_other_errors(p: Process) -> None:
    assert p.error("open", b"/kern/nothing", O_RDONLY, 0) == "ENOENT"
    assert p.error("open", b"/kern/hz/x", O_RDONLY, 0) == "ENOTDIR"
    fd = p.call("open", b"/kern", O_RDONLY, 0)
    assert p.error("read", fd, 10) == "EISDIR"
    assert p.error("__getdents30", fd, 31) == "EINVAL"
    assert p.error("readlink", b"/kern/hz", 10) == "EINVAL"
    assert p.error("__getfh30", b"/kern/hz", bytearray(64), (64).to_bytes(8, "little")) == "EOPNOTSUPP"


def test_pathconf(p: Process) -> None:
    answers = {1: 32767, 2: 255, 3: 255, 6: 512, 7: 1, 9: 255, 10: 1}
    for name in range(1, 16):
        if name in answers:
            assert p.call("pathconf", b"/kern/hz", name) == answers[name]
        else:
            assert p.error("pathconf", b"/kern/hz", name) == "EINVAL"


def test_the_mount(p: Process) -> None:
    fields = p.statvfs(b"/kern")
    assert fields[0] == MNT_LOCAL
    assert fields[1:12] == (512, 512, 512, 2, 0, 0, 0, 0, 0, 0, 0)
    assert fields[-3:] == (b"kernfs", b"/kern", b"kernfs")
    assert p.call("__mount50", None, b"/kern\0", MNT_GETARGS, bytearray(8), 8) == 0
    assert p.error("__mount50", None, b"/kern\0", MNT_UPDATE, None, 0) == "EOPNOTSUPP"
    fd = p.call("open", b"/kern/hz", O_RDONLY, 0)
    assert p.error("unmount", b"/kern", 0) == "EBUSY"
    p.call("close", fd)
    p.call("unmount", b"/kern", 0)
    assert p.names(b"/kern") == set()


def test_read_only(p: Process) -> None:
    p.call("unmount", b"/kern", 0)
    mount(p, MNT_RDONLY)
    assert p.error("open", b"/kern/hostname", O_WRONLY, 0) == "EROFS"
    assert p.content(b"/kern/hz") == b"100\n"


def test_a_server_without_it(p: Process) -> None:
    bare = Machine(["rumpvfs"]).process()
    bare.call("mkdir", b"/kern", 0o755)
    assert bare.error("__mount50", b"kernfs\0", b"/kern\0", 0, None, 0) == "ENODEV"
