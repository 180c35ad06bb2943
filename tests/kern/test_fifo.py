"""FIFOs: opens that wait, and a pipe behind the name (netbsd_abi 1.3; open(2), mkfifo(2), fifo_vnops.c)."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from rumpfs.abi.errno import EINTR
from rumpfs.abi.fcntl import (
    F_GETFL,
    F_MAXFD,
    F_RDLCK,
    F_SETFL,
    F_SETLK,
    FLOCK,
    LOCK_EX,
    O_NONBLOCK,
    O_RDONLY,
    O_RDWR,
    O_TRUNC,
    O_WRONLY,
)
from rumpfs.abi.ioctl import FIONREAD
from rumpfs.abi.limits import PIPE_BUF, SIGPIPE
from rumpfs.abi.mount import MNT_FORCE, MNT_RDONLY, TMPFS_ARGS
from rumpfs.base.errors import VfsError
from rumpfs.base.pipebuf import PIPE_SIZE
from tests.images_util import makefs
from tests.kern.incore import USER, Machine, Process, Running
from tests.serving import COPYIN, REQ, RESP, SYSCALL, Frame, Peer, serving


@pytest.fixture
def a(tmp: Process) -> Process:
    """A process in a tmpfs with a FIFO p."""
    tmp.call("mkfifo", b"p", 0o644)
    return tmp


@pytest.fixture
def b(machine: Machine, a: Process) -> Process:
    """Another process there."""
    process = machine.process()
    process.call("chdir", b"/t")
    return process


def error(running: Running) -> str:
    with pytest.raises(VfsError) as caught:
        running.result  # noqa: B018
    return str(caught.value).split()[0]


def ends(a: Process, b: Process, flags: int = 0) -> tuple[int, int]:
    """Open p for reading in `a` and for writing in `b`."""
    waiting = a.begin("open", b"p", O_RDONLY | flags, 0)
    writer = b.call("open", b"p", O_WRONLY | flags, 0)
    if not waiting.done:
        waiting.step()
    return waiting.result, writer


# --- opening ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("mine", "theirs"), [(O_RDONLY, O_WRONLY), (O_WRONLY, O_RDONLY)])
def test_each_side_waits_for_the_other(a: Process, b: Process, mine: int, theirs: int) -> None:
    waiting = a.begin("open", b"p", mine, 0)
    assert waiting.asleep
    same = b.begin("open", b"p", mine, 0)
    assert same.asleep
    assert b.call("open", b"p", theirs, 0) == 3
    for opening in (waiting, same):
        opening.step()
    assert (waiting.result, same.result) == (3, 4)
    assert a.call("fcntl", 3, F_GETFL, 0) == mine


def test_o_nonblock_does_not_wait(a: Process) -> None:
    assert a.error("open", b"p", O_WRONLY | O_NONBLOCK, 0) == "ENXIO"
    reader = a.call("open", b"p", O_RDONLY | O_NONBLOCK, 0)
    writer = a.call("open", b"p", O_WRONLY | O_NONBLOCK, 0)
    assert a.call("write", writer, b"text") == 4
    assert a.call("read", reader, 10) == b"text"
    a.call("close", reader)
    assert a.error("open", b"p", O_WRONLY | O_NONBLOCK, 0) == "ENXIO"


def test_who_opens_both_ends_does_not_wait(a: Process) -> None:
    fd = a.call("open", b"p", O_RDWR, 0)
    assert a.call("write", fd, b"to myself") == 9
    assert a.call("read", fd, 100) == b"to myself"
    waiting = a.begin("read", fd, 100)
    assert waiting.asleep
    a.call("write", fd, b"more")
    waiting.step()
    assert waiting.result == b"more"


def test_a_writer_that_is_gone_again_lets_the_reader_in(a: Process, b: Process) -> None:
    waiting = a.begin("open", b"p", O_RDONLY, 0)
    writer = b.call("open", b"p", O_WRONLY, 0)
    b.call("write", writer, b"left behind")
    b.call("close", writer)
    waiting.step()
    assert a.call("read", waiting.result, 100) == b"left behind"
    assert a.call("read", waiting.result, 100) == b""


def test_an_interrupted_open_leaves_nothing(machine: Machine, a: Process, b: Process) -> None:
    before = machine.busy()
    waiting = a.begin("open", b"p", O_RDONLY, 0)
    assert machine.busy()[b"/t"] == before[b"/t"] + 1
    assert b.error("unmount", b"/t", 0) == "EBUSY"
    waiting.throw(EINTR)
    assert error(waiting) == "EINTR"
    assert machine.busy() == before
    assert a.call("fcntl", 0, F_MAXFD, 0) == 2
    assert b.error("open", b"p", O_WRONLY | O_NONBLOCK, 0) == "ENXIO"


def test_what_open_checks_first(machine: Machine, a: Process) -> None:
    user = machine.process(USER)
    assert user.error("open", b"/t/p", O_WRONLY, 0) == "EACCES"
    assert a.error("open", b"p", 0x200000, 0) == "ENOTDIR"
    assert a.error("open", b"p", O_RDONLY | O_NONBLOCK | O_TRUNC, 0) == "ok"


def test_the_root_file_system_has_fifos_too(p: Process) -> None:
    p.call("mkfifo", b"/p", 0o644)
    assert p.error("open", b"/p", O_WRONLY | O_NONBLOCK, 0) == "ENXIO"
    waiting = p.begin("open", b"/p", O_RDONLY, 0)
    writer = p.call("open", b"/p", O_WRONLY, 0)
    waiting.step()
    p.call("write", writer, b"through")
    assert p.call("read", waiting.result, 10) == b"through"
    assert p.stat(b"/p").size == 512  # as every file there that has no content


def test_a_fifo_of_an_ffs_that_is_read_only(machine: Machine, p: Process, tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "file").write_bytes(b"")
    spec = tmp_path / "spec"
    spec.write_text(". type=dir\n./p type=fifo mode=0644 uid=0 gid=0\n./file type=file\n")
    image = makefs(tmp_path / "tree", tmp_path / "image", 2, "<", 8192, 1024, "-F", str(spec))
    machine.drive(b"/dev/dk", image)
    p.call("mkdir", b"/m", 0o755)
    p.mount_ffs(b"/m", b"/dev/dk", MNT_RDONLY)
    fd = p.call("open", b"/m/p", O_RDWR, 0)
    again = p.call("open", b"/m/p", O_RDONLY, 0)
    assert p.call("write", fd, b"stays in the kernel") == 19
    assert p.call("read", again, 100) == b"stays in the kernel"
    assert p.fstat(fd).mode == 0o010644


# --- reading and writing ------------------------------------------------------------------------------


def test_a_reader_waits_for_data(a: Process, b: Process) -> None:
    reader, writer = ends(a, b)
    waiting = a.begin("read", reader, 100)
    assert waiting.asleep
    b.call("write", writer, b"text")
    waiting.step()
    assert waiting.result == b"text"
    waiting = a.begin("read", reader, 100)
    b.call("close", writer)
    waiting.step()
    assert waiting.result == b""


def test_no_reader_is_epipe_and_a_signal(a: Process, b: Process) -> None:
    reader, writer = ends(a, b)
    a.call("close", reader)
    assert b.error("write", writer, b"x") == "EPIPE"
    assert b.signals == [SIGPIPE]


def test_o_nonblock(a: Process, b: Process) -> None:
    reader, writer = ends(a, b, O_NONBLOCK)
    assert a.error("read", reader, 1) == "EAGAIN"
    assert b.call("write", writer, bytes(PIPE_SIZE)) == PIPE_SIZE
    assert b.error("write", writer, b"x") == "EAGAIN"
    assert len(a.call("read", reader, 100)) == 100
    assert b.error("write", writer, bytes(PIPE_BUF)) == "EAGAIN"  # all or nothing
    assert b.call("write", writer, bytes(PIPE_BUF + 1)) == 100
    b.call("close", writer)
    assert len(a.call("read", reader, 2 * PIPE_SIZE)) == PIPE_SIZE
    assert a.call("read", reader, 1) == b""


def test_a_writer_waits_for_room(a: Process, b: Process) -> None:
    reader, writer = ends(a, b)
    waiting = b.begin("write", writer, bytes(PIPE_SIZE + 10))
    assert waiting.asleep
    assert len(a.call("read", reader, PIPE_SIZE)) == PIPE_SIZE
    waiting.step()
    assert waiting.result == PIPE_SIZE + 10


def test_readv_and_writev(a: Process, b: Process) -> None:
    reader, writer = ends(a, b)
    assert b.call("writev", writer, b.iovec(b"one", b"two"), 2) == 6
    first, second = bytearray(4), bytearray(4)
    assert a.call("readv", reader, a.iovec(first, second), 2) == 6
    assert bytes(first + second[:2]) == b"onetwo"
    waiting = a.begin("readv", reader, a.iovec(first), 1)
    assert waiting.asleep
    b.call("write", writer, b"late")
    waiting.step()
    assert waiting.result == 4
    assert first == b"late"


def test_what_nobody_has_read_goes_with_the_last_close(a: Process) -> None:
    fd = a.call("open", b"p", O_RDWR, 0)
    a.call("write", fd, b"old")
    other = a.call("open", b"p", O_RDONLY, 0)
    a.call("close", fd)
    assert a.call("read", other, 1) == b"o"
    a.call("close", other)
    fd = a.call("open", b"p", O_RDONLY | O_NONBLOCK, 0)
    assert a.call("read", fd, 100) == b""


def test_closing_while_another_call_waits(a: Process, b: Process) -> None:
    reader, writer = ends(a, b)
    waiting = a.begin("read", reader, 1)
    a.call("close", reader)
    waiting.step()
    assert error(waiting) == "EBADF"
    assert b.error("write", writer, b"x") == "EPIPE"


def test_a_name_that_is_gone_is_still_a_pipe(a: Process, b: Process) -> None:
    reader, writer = ends(a, b)
    a.call("unlink", b"p")
    b.call("write", writer, b"text")
    assert a.call("read", reader, 10) == b"text"
    assert a.fstat(reader).nlink == 0


def test_two_names_are_one_fifo_and_two_fifos_are_two(a: Process) -> None:
    a.call("link", b"p", b"q")
    a.call("mkfifo", b"r", 0o644)
    fd = a.call("open", b"p", O_RDWR, 0)
    same = a.call("open", b"q", O_RDONLY | O_NONBLOCK, 0)
    other = a.call("open", b"r", O_RDONLY | O_NONBLOCK, 0)
    a.call("write", fd, b"x")
    assert a.call("read", same, 1) == b"x"
    assert a.call("read", other, 1) == b""


# --- everything else ----------------------------------------------------------------------------------


def test_there_is_no_position(a: Process) -> None:
    fd = a.call("open", b"p", O_RDWR, 0)
    assert a.error("lseek", fd, 0, 0) == "ESPIPE"
    assert a.error("pread", fd, 1, 0) == "ESPIPE"
    assert a.error("pread", fd, 1, -1) == "ESPIPE"
    assert a.error("pwrite", fd, b"x", 0) == "ESPIPE"
    assert a.error("preadv", fd, a.iovec(bytearray(1)), 1, 0) == "ESPIPE"
    assert a.error("pwritev", fd, a.iovec(b"x"), 1, 0) == "ESPIPE"


def test_it_is_a_file_with_attributes(a: Process) -> None:
    fd = a.call("open", b"p", O_RDWR, 0)
    a.call("fchmod", fd, 0o600)
    assert a.stat(b"p").mode == 0o010600
    assert a.stat(b"p") == a.fstat(fd)
    a.call("write", fd, b"text")
    assert a.fstat(fd).size == 0
    assert a.call("fsync", fd) == 0


def test_times(a: Process) -> None:
    fd = a.call("open", b"p", O_RDWR, 0)
    long_ago = bytes(32)
    for operation, changed in (("write", {"mtime"}), ("read", {"atime"})):
        a.call("__futimes50", fd, long_ago)
        a.call(operation, fd, b"x" if operation == "write" else 1)
        va = a.fstat(fd)
        assert {name for name in ("atime", "mtime") if getattr(va, name)} == changed


def test_pathconf_ioctl_and_flags(a: Process) -> None:
    fd = a.call("open", b"p", O_RDWR | O_NONBLOCK, 0)
    a.call("write", fd, b"12345")
    buffer = bytearray(4)
    a.call("ioctl", fd, FIONREAD, buffer)
    assert buffer == bytes([5, 0, 0, 0])
    assert [a.call("fpathconf", fd, name) for name in (1, 6, 7, 10)] == [32767, 512, 1, 1]
    assert a.error("fpathconf", fd, 4) == "EINVAL"
    a.call("fcntl", fd, F_SETFL, 0)
    a.call("read", fd, 5)
    assert a.begin("read", fd, 1).asleep


def test_locks_are_invalid(a: Process) -> None:
    fd = a.call("open", b"p", O_RDWR, 0)
    assert a.error("flock", fd, LOCK_EX) == "EINVAL"
    assert a.error("fcntl", fd, F_SETLK, a.memory.map(FLOCK.pack(0, 0, 0, F_RDLCK, 0))) == "EINVAL"


def test_forced_unmount(machine: Machine, a: Process, b: Process) -> None:
    reader, writer = ends(a, b)
    waiting = a.begin("open", b"p", O_WRONLY, 0)
    for p in (a, b):
        p.call("chdir", b"/")
    b.call("unmount", b"/t", MNT_FORCE)
    assert waiting.done
    for p, fd in ((a, reader), (b, writer), (a, waiting.result)):
        p.call("close", fd)
    assert b"/t" not in machine.busy()


def test_two_clients(tmp_path: Path) -> None:
    memory = {
        0x1000: b"/t\0",
        0x2000: b"tmpfs\0",
        0x3000: TMPFS_ARGS.pack(1, 0, 0, 0, 0, 0o755),
        0x4000: b"/t/p\0",
        0x5000: b"text",
    }
    with serving(tmp_path) as served, Peer(served.path) as reader, Peer(served.path) as writer:
        for peer in (reader, writer):
            peer.guest()
        assert reader.call(136, 0x1000, 0o755, memory=memory).error == 0
        assert reader.call(410, 0x2000, 0x1000, 0, 0x3000, 40, memory=memory).error == 0
        assert reader.call(132, 0x4000, 0o644, memory=memory).error == 0
        reader.send(Frame(7, REQ, SYSCALL, 5, struct.pack("<3Q", 0x4000, O_RDONLY, 0)).encode())
        copy = reader.frame()  # it wants the path, and waits for a writer then
        assert copy is not None
        reader.send(Frame(copy.reqno, RESP, COPYIN, 0, memory[0x4000]).encode())
        assert reader.call(20).error == 0  # getpid: other calls go on
        assert writer.call(5, 0x4000, O_WRONLY, 0, memory=memory).retval == 3
        assert reader.finish(7, memory).retval == 3
        assert writer.call(4, 3, 0x5000, 4, memory=memory).retval == 4
        assert reader.call(3, 3, 0x6000, 100).data == b"text"
        assert writer.call(6, 3).error == 0
        assert reader.call(3, 3, 0x6000, 100).retval == 0
