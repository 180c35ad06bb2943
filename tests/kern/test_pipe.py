"""Pipes: order, atomicity, sleeping, ends that close (netbsd_abi 1.3, pipe(2))."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from rumpfs.abi.errno import EBADF, EINTR
from rumpfs.abi.fcntl import (
    F_GETFD,
    F_GETFL,
    F_SETFL,
    O_CLOEXEC,
    O_NONBLOCK,
    O_NOSIGPIPE,
    O_RDONLY,
    O_RDWR,
    O_WRONLY,
)
from rumpfs.abi.ioctl import FIONREAD, FIONSPACE, FIONWRITE
from rumpfs.abi.limits import PIPE_BUF, SIGPIPE
from rumpfs.base.errors import VfsError
from rumpfs.vfs.cred import Cred
from tests.kern.incore import Machine, Process
from tests.serving import REQ, SYSCALL, SYSRESP, Frame, Peer, serving

PIPE_SIZE, BIG_PIPE_SIZE = 16384, 65536  # sys/sys/pipe.h


@pytest.fixture
def ends(p: Process) -> tuple[int, int]:
    first, second = p.call("pipe")
    return first, second


def test_a_pipe(p: Process, ends: tuple[int, int]) -> None:
    reader, writer = ends
    assert ends == (3, 4)
    assert p.call("write", writer, b"hello ") == 6
    assert p.call("write", writer, b"world") == 5
    buffer = bytearray(4)
    p.call("ioctl", reader, FIONREAD, buffer)
    assert int.from_bytes(buffer, "little") == 11
    assert p.call("read", reader, 4) == b"hell"
    assert p.call("read", reader, 100) == b"o world"
    assert p.fstat(reader).mode & 0o170000 == 0o010000


def test_each_end_has_its_direction(p: Process, ends: tuple[int, int]) -> None:
    reader, writer = ends
    assert p.call("fcntl", reader, F_GETFL, 0) == O_RDONLY
    assert p.call("fcntl", writer, F_GETFL, 0) == O_WRONLY
    assert p.error("write", reader, b"x") == "EBADF"
    assert p.error("read", writer, 1) == "EBADF"


def test_a_pipe_is_no_file(p: Process, ends: tuple[int, int]) -> None:
    reader, writer = ends
    assert p.error("lseek", reader, 0, 0) == "ESPIPE"
    assert p.error("pread", reader, 1, 0) == "ESPIPE"
    assert p.error("pwrite", writer, b"x", 0) == "ESPIPE"
    assert p.error("preadv", reader, p.iovec(bytearray(1)), 1, 0) == "ESPIPE"
    for call in ("fsync", "fdatasync", "fchdir"):
        assert p.error(call, reader) == "EINVAL"
    assert p.error("fchmod", reader, 0o600) == "EINVAL"
    assert p.error("ftruncate", writer, 0) == "EINVAL"
    assert p.error("__getdents30", reader, 100) == "EINVAL"
    assert p.call("fpathconf", reader, 6) == 512
    assert p.error("fpathconf", reader, 4) == "EINVAL"


def test_pipe2(p: Process) -> None:
    ends = bytearray(8)
    assert p.call("pipe2", ends, O_CLOEXEC | O_NONBLOCK | O_NOSIGPIPE) == 0
    assert ends == bytes([3, 0, 0, 0, 4, 0, 0, 0])
    for fd, access in ((3, O_RDONLY), (4, O_WRONLY)):
        assert p.call("fcntl", fd, F_GETFD, 0) == 1
        assert p.call("fcntl", fd, F_GETFL, 0) == access | O_NONBLOCK | O_NOSIGPIPE
    assert p.error("pipe2", bytearray(8), O_RDWR) == "EINVAL"
    assert p.error("read", 3, 1) == "EAGAIN"


def test_no_writer_is_the_end_of_the_file(p: Process, ends: tuple[int, int]) -> None:
    reader, writer = ends
    p.call("write", writer, b"rest")
    p.call("close", writer)
    assert p.call("read", reader, 100) == b"rest"
    assert p.call("read", reader, 100) == b""


def test_no_reader_is_epipe_and_a_signal(p: Process, ends: tuple[int, int]) -> None:
    reader, writer = ends
    p.call("close", reader)
    assert p.error("write", writer, b"x") == "EPIPE"
    assert p.signals == [SIGPIPE]
    assert p.error("writev", writer, p.iovec(b"x"), 1) == "EPIPE"
    assert p.signals == [SIGPIPE, SIGPIPE]
    p.call("fcntl", writer, F_SETFL, O_NOSIGPIPE)
    assert p.error("write", writer, b"x") == "EPIPE"
    assert p.signals == [SIGPIPE, SIGPIPE]


def test_epipe_comes_before_the_data_is_fetched(p: Process, ends: tuple[int, int]) -> None:
    reader, writer = ends
    p.call("close", reader)
    writing = p.start("write", writer, b"x")
    assert writing.request.signo == SIGPIPE
    writing.drop()


def test_a_reader_sleeps_until_something_comes(p: Process, ends: tuple[int, int]) -> None:
    reader, writer = ends
    reading = p.begin("read", reader, 100)
    assert reading.asleep
    p.call("write", writer, b"data")
    assert not reading.asleep
    reading.step()
    assert reading.result == b"data"


def test_a_sleeping_reader_sees_the_last_writer_go(p: Process, ends: tuple[int, int]) -> None:
    reader, writer = ends
    reading = p.begin("read", reader, 100)
    p.call("close", writer)
    reading.step()
    assert reading.result == b""


def test_of_two_readers_one_gets_the_data_and_the_other_sleeps_on(p: Process, ends: tuple[int, int]) -> None:
    reader, writer = ends
    first, second = p.begin("read", reader, 100), p.begin("read", reader, 100)
    p.call("write", writer, b"data")
    second.step()
    first.step()
    assert second.result == b"data"
    assert first.asleep
    p.call("write", writer, b"more")
    first.step()
    assert first.result == b"more"


def test_an_interrupted_reader_takes_nothing(p: Process, ends: tuple[int, int]) -> None:
    reader, writer = ends
    reading = p.begin("read", reader, 100)
    p.call("write", writer, b"data")  # it is awake, but has not run yet
    reading.throw(EINTR)
    with pytest.raises(VfsError, match="EINTR"):
        _ = reading.result
    assert p.call("read", reader, 100) == b"data"


def test_reading_nothing_does_not_sleep(p: Process, ends: tuple[int, int]) -> None:
    assert p.call("read", ends[0], 0) == b""


def test_a_writer_sleeps_while_the_pipe_is_full(p: Process, ends: tuple[int, int]) -> None:
    reader, writer = ends
    data = bytes(range(256)) * 400  # 102400 bytes
    writing = p.begin("write", writer, data)
    got = b""
    while not writing.done:
        assert writing.asleep
        got += p.call("read", reader, 5000)
        writing.step()
    assert writing.result == len(data)
    while len(got) < len(data):
        got += p.call("read", reader, 5000)
    assert got == data


def test_a_sleeping_writer_sees_the_last_reader_go(p: Process, ends: tuple[int, int]) -> None:
    reader, writer = ends
    writing = p.begin("write", writer, bytes(BIG_PIPE_SIZE + 1))
    p.call("close", reader)
    writing.step()
    with pytest.raises(VfsError, match="EPIPE"):
        _ = writing.result
    assert p.signals == [SIGPIPE]


def test_an_interrupted_writer_says_what_it_wrote(p: Process, ends: tuple[int, int]) -> None:
    writing = p.begin("write", ends[1], bytes(BIG_PIPE_SIZE + 1))
    writing.throw(EINTR)
    assert writing.result == BIG_PIPE_SIZE
    again = p.begin("write", ends[1], b"x")
    again.throw(EINTR)
    with pytest.raises(VfsError, match="EINTR"):
        _ = again.result


def test_small_writes_go_in_as_one_or_not_at_all(p: Process, ends: tuple[int, int]) -> None:
    reader, writer = ends
    p.call("write", writer, bytes(PIPE_SIZE - PIPE_BUF + 1))
    p.call("fcntl", writer, F_SETFL, O_NONBLOCK)
    assert p.error("write", writer, b"x" * PIPE_BUF) == "EAGAIN"
    assert p.error("writev", writer, p.iovec(b"x" * 256, b"x" * 256), 2) == "EAGAIN"
    assert p.call("write", writer, b"x" * (PIPE_BUF + 1)) == PIPE_BUF - 1
    assert p.error("write", writer, b"x") == "EAGAIN"
    p.call("read", reader, PIPE_BUF)
    assert p.call("writev", writer, p.iovec(b"x" * 256, b"x" * 256), 2) == PIPE_BUF


def test_two_small_writers_do_not_mix(p: Process, ends: tuple[int, int]) -> None:
    reader, writer = ends
    p.call("write", writer, bytes(PIPE_SIZE))
    first = p.begin("writev", writer, p.iovec(b"a" * 200, b"a" * 200), 2)
    second = p.begin("writev", writer, p.iovec(b"b" * 200, b"b" * 200), 2)
    p.call("read", reader, 400)
    second.step()
    first.step()
    assert second.done
    assert first.asleep
    p.call("read", reader, PIPE_SIZE - 400)
    first.step()
    assert p.call("read", reader, 1000) == b"b" * 400 + b"a" * 400


def test_readv_takes_what_is_there_for_all_its_places(p: Process, ends: tuple[int, int]) -> None:
    reader, writer = ends
    p.call("write", writer, b"0123456789abcde")
    places = bytearray(4), bytearray(4), bytearray(10), bytearray(3)
    assert p.call("readv", reader, p.iovec(*places), 4) == 15
    assert [bytes(place) for place in places] == [b"0123", b"4567", b"89abcde\0\0\0", bytes(3)]


def test_a_sleeping_readv(p: Process, ends: tuple[int, int]) -> None:
    reader, writer = ends
    places = bytearray(2), bytearray(2)
    reading = p.begin("readv", reader, p.iovec(*places), 2)
    assert reading.asleep
    p.call("write", writer, b"abc")
    reading.step()
    assert reading.result == 3
    assert places == (b"ab", b"c\0")


def test_a_blocked_reader_whose_descriptor_is_closed(p: Process, ends: tuple[int, int]) -> None:
    reader, writer = ends
    other = p.call("dup", reader)
    reading = [p.begin("read", fd, 100) for fd in (reader, other)]
    p.call("close", reader)
    for call in reading:
        call.step()
    with pytest.raises(VfsError, match="EBADF"):
        _ = reading[0].result
    assert reading[1].asleep, "its descriptor is open"
    assert p.call("write", writer, b"x") == 1
    reading[1].step()
    assert reading[1].result == b"x"


def test_a_blocked_writer_whose_descriptor_is_closed_says_what_it_wrote(
    p: Process, ends: tuple[int, int]
) -> None:
    reader, writer = ends
    other = p.call("dup", writer)
    some = p.begin("write", writer, bytes(BIG_PIPE_SIZE + 1))
    none = p.begin("writev", writer, p.iovec(b"x"), 1)
    stays = p.begin("write", other, b"y")
    p.call("close", writer)
    for call in (some, none, stays):
        call.step()
    assert some.result == BIG_PIPE_SIZE
    with pytest.raises(VfsError, match="EBADF"):
        _ = none.result
    assert stays.asleep
    assert p.call("read", reader, 1 << 20) == bytes(BIG_PIPE_SIZE)
    stays.step()
    assert stays.result == 1


# --- size -----------------------------------------------------------------------------------------------


def space(p: Process, writer: int) -> int:
    stored = bytearray(4)
    p.call("ioctl", writer, FIONSPACE, stored)
    return int.from_bytes(stored, "little")


def test_an_empty_pipe_grows_for_a_long_write(p: Process, ends: tuple[int, int]) -> None:
    reader, writer = ends
    assert space(p, writer) == PIPE_SIZE
    assert p.call("write", writer, bytes(PIPE_SIZE)) == PIPE_SIZE
    assert space(p, writer) == 0
    p.call("read", reader, PIPE_SIZE - 1)
    writing = p.begin("write", writer, bytes(PIPE_SIZE + 1))
    assert writing.asleep, "it was not empty"
    p.call("read", reader, PIPE_SIZE)
    writing.step()
    p.call("read", reader, PIPE_SIZE)
    assert p.call("write", writer, bytes(BIG_PIPE_SIZE)) == BIG_PIPE_SIZE
    assert p.fstat(reader).blocksize == BIG_PIPE_SIZE


def test_32_pipes_are_large_at_a_time(p: Process) -> None:
    pipes = [p.call("pipe") for _ in range(33)]
    p.call("fcntl", pipes[-1][1], F_SETFL, O_NONBLOCK)
    for _, writer in pipes[:-1]:
        assert p.call("write", writer, bytes(BIG_PIPE_SIZE)) == BIG_PIPE_SIZE
    assert p.call("write", pipes[-1][1], bytes(BIG_PIPE_SIZE)) == PIPE_SIZE
    p.call("read", pipes[-1][0], PIPE_SIZE)
    for fd in pipes[7]:
        p.call("close", fd)
    assert p.call("write", pipes[-1][1], bytes(BIG_PIPE_SIZE)) == BIG_PIPE_SIZE


def test_what_fstat_says(machine: Machine) -> None:
    user = machine.process(Cred(7, 8, 7, 8, 7, 8))
    reader, writer = user.call("pipe")
    for fd in (reader, writer):
        st = user.fstat(fd)
        assert (st.fsid, st.fileid, st.nlink, st.uid, st.gid, st.mode) == (0, 0, 0, 7, 8, 0o10600)
        assert (st.size, st.blocks, st.blocksize) == (0, 0, PIPE_SIZE)
        assert st.birthtime == st.ctime
    user.call("write", writer, bytes(600))
    st = user.fstat(reader)
    assert (st.size, st.blocks) == (600, 1)
    born = (st.birthtime, st.birthtimensec)
    assert born == (st.atime, st.atimensec) < (st.mtime, st.mtimensec)
    user.call("read", reader, 1)
    st = user.fstat(reader)
    assert (st.atime, st.atimensec) > (st.mtime, st.mtimensec)


def test_each_side_tells_what_waits_there(p: Process, ends: tuple[int, int]) -> None:
    p.call("write", ends[1], bytes(300))
    stored = bytearray(4)
    for fd, command, number in [
        (ends[0], FIONREAD, 300), (ends[0], FIONWRITE, 0), (ends[0], FIONSPACE, 0),
        (ends[1], FIONREAD, 0), (ends[1], FIONWRITE, 300), (ends[1], FIONSPACE, PIPE_SIZE - 300),
    ]:  # fmt: skip
        p.call("ioctl", fd, command, stored)
        assert int.from_bytes(stored, "little") == number


@pytest.mark.parametrize("end", ["reader", "writer"])
def test_closing_the_last_descriptor_ends_who_sleeps_with_it(
    p: Process, ends: tuple[int, int], end: str
) -> None:
    reader, writer = ends
    if end == "writer":
        p.call("write", writer, bytes(PIPE_SIZE))
    sleeping = p.begin("read", reader, 1) if end == "reader" else p.begin("write", writer, b"x")
    p.call("close", reader if end == "reader" else writer)
    sleeping.step()
    with pytest.raises(VfsError, match="EBADF"):
        _ = sleeping.result
    if end == "reader":
        assert p.error("write", writer, b"x") == "EPIPE"
    else:
        assert len(p.call("read", reader, 1 << 20)) == PIPE_SIZE
        assert p.call("read", reader, 1) == b""


def test_a_client_closes_what_another_of_its_threads_reads(tmp_path: Path) -> None:
    read, close, pipe, dup = 3, 6, 42, 41
    with serving(tmp_path, program="rump_server") as served, Peer(served.path) as peer:
        peer.guest()
        reader = peer.call(pipe).retval
        peer.call(dup, reader)
        peer.send(Frame(9, REQ, SYSCALL, read, struct.pack("<3Q", reader, 0x1000, 1)).encode())
        peer.send(Frame(10, REQ, SYSCALL, close, struct.pack("<Q", reader)).encode())
        answers = [peer.frame() for _ in range(2)]
        found = {frame.reqno: SYSRESP.unpack(frame.body)[0] for frame in answers if frame is not None}
        assert found == {9: EBADF, 10: 0}
