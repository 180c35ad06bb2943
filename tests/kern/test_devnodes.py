"""The component devnodes (NetBSD: mm.c, rndpseudo.c, rump's cons.c, rumpblk.c, spec_vnops.c; MAKEDEV(8))."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rumpfs.abi.event import EVFILT_READ, EVFILT_WRITE
from rumpfs.abi.fcntl import O_RDONLY, O_RDWR, O_WRONLY
from rumpfs.abi.ioctl import DIOCGMEDIASIZE, FIONBIO, TIOCGETA
from rumpfs.abi.mount import MNT_NODEV, MNT_UPDATE, TMPFS_ARGS
from rumpfs.abi.poll import POLLIN, POLLOUT, POLLRDNORM
from rumpfs.abi.stat import S_IFBLK, S_IFCHR
from rumpfs.dev.hostfile import HostFile
from rumpfs.dev.window import Window
from tests.kern.incore import USER, Machine, Process
from tests.kern.kqueue_util import kevent, watch

SECTORS = 16
SIZE = SECTORS * 512


@pytest.fixture
def drive(machine: Machine, tmp_path: Path) -> Iterator[Path]:
    """The host file of the drive /dev/dk."""
    path = tmp_path / "disk"
    path.write_bytes(b"".join(bytes([number]) * 512 for number in range(SECTORS)))
    machine.kernel.etfs_register(b"/dev/dk", Window(HostFile.open(str(path)), 0, SIZE))
    yield path
    machine.kernel.etfs.close_all()


def poll(p: Process, fd: int) -> int:
    """Return which of the events that a device can have it has."""
    fds = bytearray(fd.to_bytes(4, "little") + (POLLIN | POLLOUT | POLLRDNORM).to_bytes(4, "little"))
    p.call("poll", fds, 1, 0)
    return int.from_bytes(fds[6:], "little")


@pytest.mark.parametrize(
    ("name", "mode", "rdev"),
    [
        (b"null", 0o644, 2 << 8 | 2),
        (b"zero", 0o644, 2 << 8 | 12),
        (b"full", 0o666, 2 << 8 | 11),
        (b"random", 0o444, 46 << 8),
        (b"urandom", 0o644, 46 << 8 | 1),
        (b"console", 0o600, 0),
    ],
)
def test_nodes(p: Process, name: bytes, mode: int, rdev: int) -> None:
    va = p.stat(b"/dev/" + name)
    assert (va.mode, va.rdev, va.uid, va.nlink) == (S_IFCHR | mode, rdev, 0, 1)
    assert name in p.names(b"/dev")


def test_other_files_have_the_numbers_that_they_have_without_nodes(p: Process) -> None:
    bare = Machine(["rumpvfs"]).process()
    for process in (p, bare):
        process.make(b"/file")
    assert p.stat(b"/file").fileid == bare.stat(b"/file").fileid == 8
    assert bare.names(b"/dev") == {b"null", b"zero"}


def test_full(p: Process) -> None:
    fd = p.call("open", b"/dev/full", O_RDWR, 0)
    assert p.call("read", fd, 100) == bytes(100)
    assert p.error("write", fd, b"x") == "ENOSPC"
    assert p.call("write", fd, b"") == 0


@pytest.mark.parametrize("name", [b"/dev/random", b"/dev/urandom"])
def test_random(p: Process, name: bytes) -> None:
    fd = p.call("open", name, O_RDWR, 0)
    first, second = p.call("read", fd, 4096), p.call("read", fd, 4096)
    assert len(first) == len(second) == 4096
    assert first != second
    assert len(set(first)) > 200
    assert len(p.call("pread", fd, 5 << 20, 0)) == 5 << 20  # more than one transfer
    assert p.call("write", fd, b"stirred in") == 10
    assert p.call("read", fd, 0) == b""
    assert p.error("ioctl", fd, FIONBIO, bytes(4)) == "ok"
    assert p.error("ioctl", fd, TIOCGETA, bytearray(44)) == "ENOTTY"


def test_who_may_use_what(machine: Machine) -> None:
    user = machine.process(USER)
    assert user.error("open", b"/dev/random", O_RDONLY, 0) == "ok"
    assert user.error("open", b"/dev/random", O_WRONLY, 0) == "EACCES"
    assert user.error("open", b"/dev/urandom", O_WRONLY, 0) == "EACCES"
    assert user.error("open", b"/dev/full", O_RDWR, 0) == "ok"
    assert user.error("open", b"/dev/console", O_WRONLY, 0) == "EACCES"


def test_the_console(machine: Machine, p: Process) -> None:
    fd = p.call("open", b"/dev/console", O_RDWR, 0)
    assert p.call("write", fd, b"a line\n") == 7
    assert p.call("pwrite", fd, b"another\n", 100) == 8
    assert machine.console.endswith(b"a line\nanother\n")
    assert p.call("read", fd, 10) == b""
    assert p.error("ioctl", fd, TIOCGETA, bytearray(44)) == "ok"  # isatty(3)
    assert p.error("ioctl", fd, DIOCGMEDIASIZE, bytearray(8)) == "ENOTTY"


@pytest.mark.parametrize(
    ("name", "events"),
    [
        (b"/dev/full", POLLIN | POLLOUT | POLLRDNORM),
        (b"/dev/urandom", POLLIN | POLLOUT | POLLRDNORM),
        (b"/dev/console", POLLOUT),
    ],
)
def test_poll(p: Process, name: bytes, events: int) -> None:
    assert poll(p, p.call("open", name, O_RDWR, 0)) == events


def test_kqueue(p: Process) -> None:
    full, random, console = (
        p.call("open", name, O_RDWR, 0) for name in (b"/dev/full", b"/dev/random", b"/dev/console")
    )
    kq = p.call("kqueue")
    for fd, filt in ((full, EVFILT_READ), (full, EVFILT_WRITE), (random, EVFILT_READ)):
        watch(p, fd, filt, kq=kq)
    watch(p, console, EVFILT_WRITE, kq=kq)
    assert {(event.ident, event.filter): event.data for event in kevent(p, kq)} == {
        (full, EVFILT_READ): 0,
        (full, EVFILT_WRITE): 0,
        (random, EVFILT_READ): 524288,  # CPRNG_MAX_LEN
        (console, EVFILT_WRITE): 0,
    }
    change = random.to_bytes(8, "little") + EVFILT_WRITE.to_bytes(4, "little") + b"\1".ljust(28, b"\0")
    assert p.error("__kevent50", kq, change, 1, None, 0, None) == "EINVAL"


# --- raw devices ----------------------------------------------------------------------------------------


def test_a_raw_device_beside_each_block_device(machine: Machine, p: Process, drive: Path) -> None:
    va = p.stat(b"/dev/rdk")
    assert va.mode == S_IFCHR | 0o600
    assert va.rdev == p.stat(b"/dev/dk").rdev == 197 << 8
    machine.drive(b"/dev/c", drive, "chr")
    machine.drive(b"/dev/f", drive, "reg")
    machine.drive(b"/dk2", drive)
    machine.drive(b"/dev/x/dk3", drive)
    assert not p.names(b"/dev") & {b"rc", b"rf", b"rdk2", b"rdk3"}
    machine.kernel.etfs_remove(b"/dev/dk")
    assert p.error("__stat50", b"/dev/rdk") == "ENOENT"


def test_a_name_that_is_taken_stays(machine: Machine, p: Process, tmp_path: Path) -> None:
    p.make(b"/dev/rdk", b"mine")
    (tmp_path / "image").write_bytes(bytes(SIZE))
    machine.drive(b"/dev/dk", tmp_path / "image")
    assert p.content(b"/dev/rdk") == b"mine"
    machine.kernel.etfs_remove(b"/dev/dk")
    assert p.content(b"/dev/rdk") == b"mine"


def test_raw_transfers(p: Process, drive: Path) -> None:
    fd = p.call("open", b"/dev/rdk", O_RDWR, 0)
    assert p.call("pread", fd, 1024, 512) == b"\1" * 512 + b"\2" * 512
    assert p.call("pwrite", fd, b"x" * 512, 1024) == 512
    assert drive.read_bytes()[1024:1536] == b"x" * 512
    for length, offset in ((511, 0), (1, 0), (512, 1), (513, 512)):
        assert p.error("pread", fd, length, offset) == "EINVAL"
        assert p.error("pwrite", fd, bytes(length), offset) == "EINVAL"
    assert p.call("pread", fd, 512, SIZE) == b""
    assert p.call("pread", fd, 1024, SIZE - 512) == b"\x0f" * 512
    assert p.error("pread", fd, 512, SIZE + 512) == "EINVAL"
    assert p.call("read", fd, 0) == b""
    size = bytearray(8)
    p.call("ioctl", fd, DIOCGMEDIASIZE, size)
    assert int.from_bytes(size, "little") == SIZE == p.call("lseek", fd, 0, 2)


def test_nodes_of_one_device_share_what_is_behind(machine: Machine, p: Process, drive: Path) -> None:
    # spec_open: a block device is open once, however often it is named; a character device as often as wanted
    p.call("mkdir", b"/n", 0o755)
    p.mount_tmpfs(b"/n")
    p.call("__mknod50", b"/n/b", S_IFBLK | 0o600, 197 << 8)
    p.call("__mknod50", b"/n/c", S_IFCHR | 0o600, 197 << 8)
    block = p.call("open", b"/dev/dk", O_RDWR, 0)
    copy = p.call("dup", block)
    assert p.error("open", b"/n/b", O_RDONLY, 0) == p.error("open", b"/dev/dk", O_RDONLY, 0) == "EBUSY"
    raw = [p.call("open", name, O_RDWR, 0) for name in (b"/dev/rdk", b"/n/c", b"/n/c")]
    p.call("write", block, b"shared".ljust(512))
    assert all(p.call("pread", fd, 512, 0).startswith(b"shared") for fd in raw)
    p.call("close", block)
    assert p.error("open", b"/n/b", O_RDONLY, 0) == "EBUSY"
    p.call("close", copy)
    assert p.error("open", b"/n/b", O_RDONLY, 0) == "ok"


def test_no_driver_and_no_devices(p: Process) -> None:
    p.call("mkdir", b"/n", 0o755)
    p.mount_tmpfs(b"/n")
    for name, mode, rdev in ((b"/n/b", S_IFBLK, 99 << 8), (b"/n/c", S_IFCHR, 46 << 8 | 2)):
        p.call("__mknod50", name, mode | 0o600, rdev)
        assert p.error("open", name, O_RDONLY, 0) == "ENXIO"
    p.call("__mknod50", b"/n/full", S_IFCHR | 0o600, 2 << 8 | 11)
    assert p.error("open", b"/n/full", O_RDONLY, 0) == "ok"
    args = TMPFS_ARGS.pack(1, 0, 0, 0, 0, 0o755)
    p.call("__mount50", None, b"/n\0", MNT_UPDATE | MNT_NODEV, args, len(args))
    assert p.error("open", b"/n/full", O_RDONLY, 0) == "ENXIO"
    assert p.stat(b"/n/full").rdev == 2 << 8 | 11
