"""Forced unmounts: what is left is dead (NetBSD: dead_vnops.c, vfs_mount.c: vflush, vfs_vnode.c: vclean)."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from pathlib import Path

import pytest

from rumpfs.abi.event import NOTE_DELETE, NOTE_REVOKE
from rumpfs.abi.fcntl import (
    F_GETFD,
    F_SETLKW,
    F_WRLCK,
    LOCK_EX,
    LOCK_UN,
    O_CREAT,
    O_EXLOCK,
    O_NONBLOCK,
    O_RDONLY,
    O_RDWR,
    O_WRONLY,
)
from rumpfs.abi.mount import MNT_FORCE
from rumpfs.abi.poll import POLLIN, POLLRDNORM
from rumpfs.base.errors import VfsError
from tests.images_util import makefs
from tests.kern.incore import Machine, Process
from tests.kern.kqueue_util import CLEAR, EOF, READ, VNODE, begin, kevent, watch


@pytest.fixture
def m(p: Process) -> Process:
    """A process of a kernel with a tmpfs on /m that has a directory and a file."""
    p.call("mkdir", b"/m", 0o755)
    p.mount_tmpfs(b"/m")
    p.call("mkdir", b"/m/d", 0o755)
    p.make(b"/m/f", b"content")
    return p


def force(p: Process) -> None:
    p.call("unmount", b"/m", MNT_FORCE)


def test_descriptors_stay_and_are_of_dead_files(m: Process, machine: Machine) -> None:
    other = machine.process()
    fds = [m.call("open", b"/m/f", O_RDWR, 0), other.call("open", b"/m/f", O_RDWR, 0)]
    copy = m.call("dup", fds[0])
    force(m)
    for p, fd in ((m, fds[0]), (m, copy), (other, fds[1])):
        assert p.error("read", fd, 10) == p.error("pread", fd, 10, 0) == "EIO"
        assert p.error("write", fd, b"x") == p.error("pwrite", fd, b"x", 0) == "EIO"
        assert p.error("__fstat50", fd) == p.error("fchmod", fd, 0o600) == "EBADF"
        assert p.error("fstatvfs1", fd, 1) == p.error("__getdents30", fd, 512) == "EBADF"
        assert p.call("fcntl", fd, F_GETFD, 0) == 0
        assert p.call("close", fd) == 0
    assert m.names(b"/m") == set()
    assert set(machine.busy()) == {b"/"}


def test_open_directories_find_nothing(m: Process) -> None:
    fd = m.call("open", b"/m/d", O_RDONLY, 0)
    force(m)
    assert m.error("__getdents30", fd, 512) == m.error("fchdir", fd) == "EBADF"
    assert m.error("openat", fd, b"f", O_RDONLY, 0) == "EBADF"
    m.call("close", fd)


@pytest.mark.parametrize("path", [b"/m", b"/m/d"])
def test_working_directories_find_nothing(m: Process, machine: Machine, path: bytes) -> None:
    other = machine.process()
    other.call("chdir", path)
    child = machine.fork(other)
    force(m)
    for p in (other, child):
        for name in (b".", b"..", b"f", b"../m", b"./"):
            assert p.error("__stat50", name) == "ENOENT"
        assert p.error("open", b"new", O_CREAT | O_RDWR, 0o644) == "ENOENT"
        assert p.error("mkdir", b"new", 0o755) == p.error("unlink", b"f") == "ENOENT"
        assert p.error("rename", b"f", b"/g") == p.error("link", b"f", b"/g") == "ENOENT"
        assert p.error("__getcwd", 1024) == "ENOENT"
        p.call("chdir", b"/")
        assert p.getcwd() == b"/"
    assert m.error("rmdir", b"/m") == "ok"


def test_root_directories_find_nothing(m: Process, machine: Machine) -> None:
    other = machine.process()
    other.call("chroot", b"/m/d")
    force(m)
    for name in (b"/", b"/f", b".", b".."):
        assert other.error("__stat50", name) == "ENOENT"
    assert other.error("__getcwd", 1024) == "ENOENT"
    assert other.error("chdir", b"/") == "ENOENT"
    other.p.exit()


def test_what_is_mounted_below_keeps_even_a_forced_unmount_away(m: Process) -> None:
    fd = m.call("open", b"/m/f", O_RDONLY, 0)
    m.mount_tmpfs(b"/m/d")
    assert m.error("unmount", b"/m", MNT_FORCE) == "EBUSY"
    assert m.call("read", fd, 10) == b"content"


def test_only_the_mounts_own_files_die(m: Process) -> None:
    m.make(b"/file", b"root")
    m.call("mkdir", b"/n", 0o755)
    m.mount_tmpfs(b"/n")
    m.make(b"/n/f", b"other")
    fds = [m.call("open", path, O_RDONLY, 0) for path in (b"/file", b"/n/f")]
    force(m)
    assert [m.call("read", fd, 10) for fd in fds] == [b"root", b"other"]


def test_knotes_hear_of_it(m: Process) -> None:
    fd = m.call("open", b"/m/f", O_RDONLY, 0)
    m.call("lseek", fd, 7, 0)
    kq = watch(m, fd, VNODE, CLEAR, NOTE_DELETE | NOTE_REVOKE)
    watch(m, fd, READ, kq=kq)
    assert kevent(m, kq) == []
    force(m)
    found = {event.filter: event for event in kevent(m, kq)}
    assert found[VNODE].fflags == NOTE_REVOKE
    assert found[VNODE].flags & found[READ].flags & EOF
    m.call("close", fd)
    assert kevent(m, kq) == []


def test_locks_go(m: Process, machine: Machine) -> None:
    assert machine.kernel.vfs is not None
    advlocks = machine.kernel.vfs.advlocks
    fd = m.call("open", b"/m/f", O_RDWR, 0)
    m.call("flock", fd, LOCK_EX)
    assert advlocks.counts
    force(m)
    assert not advlocks.counts
    assert m.error("flock", fd, LOCK_UN) == "EBADF"


def flock_waits(m: Process, machine: Machine) -> tuple[Process, tuple[object, ...]]:
    m.call("flock", m.call("open", b"/m/f", O_RDWR, 0), LOCK_EX)
    other = machine.process()
    return other, ("flock", other.call("open", b"/m/f", O_RDWR, 0), LOCK_EX)


def fcntl_waits(m: Process, machine: Machine) -> tuple[Process, tuple[object, ...]]:
    m.call("flock", m.call("open", b"/m/f", O_RDWR, 0), LOCK_EX)
    other = machine.process()
    flock = bytes(20) + F_WRLCK.to_bytes(2, "little") + bytes(2)
    return other, ("fcntl", other.call("open", b"/m/f", O_RDWR, 0), F_SETLKW, other.memory.map(flock))


def open_waits_for_a_lock(m: Process, machine: Machine) -> tuple[Process, tuple[object, ...]]:
    m.call("flock", m.call("open", b"/m/f", O_RDWR, 0), LOCK_EX)
    return machine.process(), ("open", b"/m/f", O_RDWR | O_EXLOCK, 0)


def open_waits_for_a_writer(m: Process, machine: Machine) -> tuple[Process, tuple[object, ...]]:
    m.call("mkfifo", b"/m/p", 0o644)
    return m, ("open", b"/m/p", O_RDONLY, 0)


def open_waits_for_a_reader(m: Process, machine: Machine) -> tuple[Process, tuple[object, ...]]:
    m.call("mkfifo", b"/m/p", 0o644)
    return m, ("open", b"/m/p", O_WRONLY, 0)


def read_waits(m: Process, machine: Machine) -> tuple[Process, tuple[object, ...]]:
    m.call("mkfifo", b"/m/p", 0o644)
    return m, ("read", m.call("open", b"/m/p", O_RDWR, 0), 10)


@pytest.mark.parametrize(
    ("waiter", "error"),
    [
        (flock_waits, "EBADF"),
        (fcntl_waits, "EBADF"),
        (open_waits_for_a_lock, "ENXIO"),
        (open_waits_for_a_writer, "ENXIO"),
        (open_waits_for_a_reader, "ENXIO"),
        (read_waits, "EBADF"),
    ],
)
def test_what_waits_is_woken_and_fails(
    m: Process,
    machine: Machine,
    waiter: Callable[[Process, Machine], tuple[Process, tuple[object, ...]]],
    error: str,
) -> None:
    p, call = waiter(m, machine)
    waiting = p.begin(*call)
    assert waiting.asleep
    force(m)
    assert not waiting.asleep
    waiting.step()
    with pytest.raises(VfsError, match=error):
        waiting.result  # noqa: B018
    assert machine.kernel.vfs is not None
    assert not machine.kernel.vfs.advlocks.counts
    assert not machine.kernel.vfs.advlocks.waits


def test_who_polls_is_woken(m: Process) -> None:
    # dead_poll: everything that was asked for is the case, so that somebody finds out
    m.call("mkfifo", b"/m/p", 0o644)
    fd = m.call("open", b"/m/p", O_RDWR, 0)
    fds = bytearray(fd.to_bytes(4, "little") + (POLLIN | POLLRDNORM).to_bytes(4, "little"))
    waiting = m.begin("poll", fds, 1, -1)
    kq = watch(m, fd, READ)
    events = begin(m, kq, [])
    assert waiting.asleep
    assert events.asleep
    force(m)
    for running in (waiting, events):
        running.step()
        assert running.result == 1
    assert int.from_bytes(fds[6:], "little") == POLLIN | POLLRDNORM
    m.call("close", fd)


def test_a_write_under_way_changes_nothing(m: Process) -> None:
    fd = m.call("open", b"/m/f", O_RDWR, 0)
    writing = m.start("write", fd, b"new")
    force(m)
    writing.step()
    with pytest.raises(VfsError, match="EIO"):
        writing.result  # noqa: B018


def test_a_revoked_fifo_can_be_opened_again(m: Process) -> None:
    m.call("mkfifo", b"/m/p", 0o644)
    waiting = m.begin("open", b"/m/p", O_RDONLY, 0)
    m.call("revoke", b"/m/p")
    waiting.step()
    with pytest.raises(VfsError, match="ENXIO"):
        waiting.result  # noqa: B018
    assert m.error("open", b"/m/p", O_WRONLY | O_NONBLOCK, 0) == "ENXIO"
    reader = m.call("open", b"/m/p", O_RDONLY | O_NONBLOCK, 0)
    writer = m.call("open", b"/m/p", O_WRONLY, 0)
    m.call("write", writer, b"x")
    assert m.call("read", reader, 10) == b"x"


def test_memory_comes_back(m: Process, machine: Machine) -> None:
    used = machine.kernel.memory.used
    fd = m.call("open", b"/m/big", O_CREAT | O_RDWR, 0o644)
    m.call("write", fd, bytes(1 << 20))
    m.call("unlink", b"/m/big")
    force(m)
    m.call("close", fd)
    assert machine.kernel.memory.used < used


@pytest.mark.oracle("makefs")
def test_a_disk_is_free_again(p: Process, machine: Machine, tmp_path: Path) -> None:
    (tmp_path / "tree" / "d").mkdir(parents=True)
    (tmp_path / "tree" / "d" / "f").write_bytes(b"content")
    machine.drive(b"/dev/dk", makefs(tmp_path / "tree", tmp_path / "image", 2, "<", 8192, 1024))
    p.call("mkdir", b"/m", 0o755)
    used = machine.kernel.memory.used
    p.mount_ffs(b"/m", b"/dev/dk")
    mount = weakref.ref(machine.kernel.vfs.mountlist[-1])
    fds = [p.call("open", path, O_RDONLY, 0) for path in (b"/m", b"/m/d", b"/m/d/f")]
    other = machine.process()
    other.call("chdir", b"/m/d")
    assert p.error("open", b"/dev/dk", O_RDONLY, 0) == "EBUSY"
    force(p)
    assert [p.error("pread", fd, 1, 0) for fd in fds] == ["EIO"] * 3
    assert other.error("__stat50", b"f") == "ENOENT"
    assert machine.kernel.memory.used == used
    gc.collect()
    assert mount() is None  # nothing of it is left
    assert p.error("open", b"/dev/dk", O_RDONLY, 0) == "ok"
    p.call("close", 6)
    p.mount_ffs(b"/m", b"/dev/dk")
    assert p.content(b"/m/d/f") == b"content"


def test_the_halt_takes_files_away_too(m: Process) -> None:
    fd = m.call("open", b"/m/f", O_RDONLY, 0)
    m.call("reboot", 0, None)
    assert m.error("read", fd, 1) == "EIO"
