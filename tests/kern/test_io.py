"""Reading, writing, positions and lengths: NetBSD's t_io and t_basic, and netbsd_abi 1.3."""

from __future__ import annotations

import struct

import pytest

from rumpfs.abi.fcntl import O_APPEND, O_CREAT, O_RDONLY, O_RDWR, O_WRONLY, SEEK_CUR, SEEK_END, SEEK_SET
from rumpfs.base.copy import COPYIN_MAX, CopyIn
from rumpfs.base.errors import VfsError
from tests.kern.incore import Machine, Process


@pytest.fixture
def fd(t: Process) -> int:
    """An empty file, open for reading and writing."""
    return int(t.call("open", b"file", O_CREAT | O_RDWR, 0o644))


# --- t_io -------------------------------------------------------------------------------------------


def test_holywrite(t: Process, fd: int) -> None:
    t.call("pwrite", fd, b"\1" * 512, 1024)
    for offset in (1024, 0):
        t.call("pwrite", fd, b"\2" * 512, offset)
    t.call("pwrite", fd, b"\3" * 1024, 512)
    assert t.content(b"file") == b"\2" * 512 + b"\3" * 1024


def test_extendfile(t: Process, fd: int) -> None:
    t.call("write", fd, b"test")
    t.call("pwrite", fd, b"test2", 654321)
    assert t.stat(b"file").size == 654326
    assert t.call("pread", fd, 10, 0) == b"test" + bytes(6)


def test_extendfile_append(t: Process) -> None:
    t.make(b"file", b"test")
    fd = t.call("open", b"file", O_RDWR | O_APPEND, 0)
    t.call("ftruncate", fd, 37)
    t.call("write", fd, b"appended")
    assert t.content(b"file") == b"test" + bytes(33) + b"appended"


def test_appending_goes_to_the_end_wherever_one_is(t: Process) -> None:
    t.make(b"file", b"0123456789")
    fd = t.call("open", b"file", O_RDWR | O_APPEND, 0)
    assert t.call("pwrite", fd, b"AB", 3) == 2  # pwrite too
    assert t.call("lseek", fd, 0, SEEK_CUR) == 0
    t.call("lseek", fd, 2, SEEK_SET)
    t.call("write", fd, b"CD")
    assert t.call("lseek", fd, 0, SEEK_CUR) == 14
    assert t.call("pwritev", fd, t.iovec(b"E", b"F"), 2, 0) == 2
    assert t.content(b"file") == b"0123456789ABCDEF"


@pytest.mark.parametrize("size", [512, 65536])
def test_overwrite(t: Process, fd: int, size: int) -> None:
    for value in (b"\1", b"\2"):
        t.call("pwrite", fd, value * size, 0)
    assert t.content(b"file") == b"\2" * size


def test_shrinkfile(t: Process, fd: int) -> None:
    t.call("ftruncate", fd, 2)
    t.call("ftruncate", fd, 1)
    assert t.stat(b"file").size == 1


def test_overwrite_trunc(t: Process, fd: int) -> None:
    t.call("pwrite", fd, b"x" * 65536, 0)
    t.call("ftruncate", fd, 100)
    t.call("ftruncate", fd, 65536)
    assert t.content(b"file") == b"x" * 100 + bytes(65436)


# --- limits -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("offset", [5 << 20, 5 << 30, 2**63 - 1])
def test_lseek_returns_large_offsets_intact(t: Process, fd: int, offset: int) -> None:
    assert t.call("lseek", fd, offset, SEEK_SET) == offset
    assert t.call("lseek", fd, 0, SEEK_CUR) == offset
    assert t.call("read", fd, 10) == b""


def test_lseek(t: Process, fd: int) -> None:
    t.call("write", fd, b"0123456789")
    assert t.call("lseek", fd, -3, SEEK_END) == 7
    assert t.call("lseek", fd, -2, SEEK_CUR) == 5
    assert t.call("lseek", fd, 100, SEEK_END) == 110
    assert t.error("lseek", fd, -1, SEEK_SET) == "EINVAL"
    assert t.error("lseek", fd, -111, SEEK_CUR) == "EINVAL"
    assert t.error("lseek", fd, 2**63 - 1, SEEK_END) == "EINVAL"
    assert t.error("lseek", fd, 0, 3) == "EINVAL"
    assert t.error("lseek", 99, 0, SEEK_SET) == "EBADF"
    assert t.call("lseek", fd, 0, SEEK_CUR) == 110
    directory = t.call("open", b".", O_RDONLY, 0)
    assert t.call("lseek", directory, 0, SEEK_SET) == 0


def test_descriptors_that_do_not_do(t: Process) -> None:
    t.make(b"f")
    reading, writing = t.call("open", b"f", O_RDONLY, 0), t.call("open", b"f", O_WRONLY, 0)
    for call, rest in (("read", (1,)), ("pread", (1, 0)), ("readv", (t.iovec(bytearray(1)), 1))):
        assert t.error(call, writing, *rest) == "EBADF"
        assert t.error(call, 99, *rest) == "EBADF"
    for call, rest in (("write", (b"x",)), ("pwrite", (b"x", 0)), ("writev", (t.iovec(b"x"), 1))):
        assert t.error(call, reading, *rest) == "EBADF"
        assert t.error(call, -1, *rest) == "EBADF"
    assert t.error("__getdents30", writing, 100) == "EBADF"
    assert t.error("__getdents30", reading, 100) == "EINVAL"


def test_a_bad_descriptor_beats_a_bad_pointer(t: Process) -> None:
    for call in ("readv", "writev"):
        assert t.error(call, 99, 0xDEAD0000, 1) == "EBADF"
        assert t.asked == []


def test_negative_offsets(t: Process, fd: int) -> None:
    assert t.error("pread", fd, 1, -1) == "EINVAL"
    assert t.error("pwrite", fd, b"x", -1) == "EINVAL"
    assert t.error("preadv", fd, t.iovec(bytearray(1)), 1, -1) == "EINVAL"
    assert t.error("pwritev", fd, t.iovec(b"x"), 1, -1) == "EINVAL"


@pytest.mark.parametrize("call", ["readv", "writev", "preadv", "pwritev"])
def test_iovcnt(t: Process, fd: int, call: str) -> None:
    offset = (0,) if call[0] == "p" else ()
    assert t.error(call, fd, t.iovec(bytearray(1)), 0, *offset) == "EINVAL"
    assert t.error(call, fd, t.iovec(bytearray(1)), -1, *offset) == "EINVAL"
    assert t.error(call, fd, t.iovec(bytearray(1)) * 1025, 1025, *offset) == "EINVAL"
    assert t.error(call, fd, t.iovec(bytearray(1)) * 1024, 1024, *offset) == "ok"
    assert t.error(call, fd, t.iovec(2**62, 2**62), 2, *offset) == "EINVAL"
    assert t.error(call, fd, None, 1, *offset) == "EFAULT"
    assert t.error(call, fd, t.iovec(0, 0), 2, *offset) == "ok"


def test_lengths_beyond_ssize_max(t: Process, fd: int) -> None:
    for number, offset in ((3, ()), (4, ()), (173, (0,)), (174, (0,))):  # read, write, pread, pwrite
        sysent = t.p.kernel.sysent[number]
        assert sysent is not None
        with pytest.raises(VfsError, match="EINVAL"):
            sysent.run(t.p, fd, 0x1000, 2**63, *offset)


def test_vectors(t: Process, fd: int) -> None:
    assert t.call("writev", fd, t.iovec(b"one", b"", b"two", b"three"), 4) == 11
    assert t.call("pwritev", fd, t.iovec(b"ONE", b"TWO"), 2, 0) == 6
    assert t.call("lseek", fd, 0, SEEK_CUR) == 11
    places = bytearray(5), bytearray(0), bytearray(100)
    assert t.call("preadv", fd, t.iovec(*places), 3, 1) == 10
    assert places[0] == b"NETWO"
    assert places[2][:5] == b"three"
    t.call("lseek", fd, 9, SEEK_SET)
    place = bytearray(4)
    assert t.call("readv", fd, t.iovec(place), 1) == 2
    assert t.call("lseek", fd, 0, SEEK_CUR) == 11


def test_transfers_larger_than_one_copy(t: Process, fd: int) -> None:
    size = 2 * COPYIN_MAX + 12345
    data = bytes(range(251)) * (size // 251 + 1)
    data = data[:size]
    assert t.call("write", fd, data) == size
    assert [request.length for request in t.asked] == [COPYIN_MAX, COPYIN_MAX, 12345]
    assert t.call("pread", fd, size + 10, 0) == data
    t.call("lseek", fd, 1, SEEK_SET)
    assert t.call("read", fd, size) == data[1:]
    assert t.call("pwrite", fd, data, 3) == size
    assert t.call("pread", fd, size + 3, 0) == data[:3] + data


def test_a_vector_is_fetched_in_order_and_written_as_one(t: Process, fd: int) -> None:
    addresses = [t.memory.map(piece) for piece in (b"ab", b"cd")]
    iov = struct.pack("<4Q", addresses[0], 2, addresses[1], 2)
    writing = t.start("writev", fd, iov, 2)
    writing.step()
    assert writing.request == CopyIn(addresses[0], 2)
    writing.step()
    assert writing.request == CopyIn(addresses[1], 2)
    assert t.fstat(fd).size == 0
    writing.step()
    assert writing.result == 4
    assert t.content(b"file") == b"abcd"


def test_a_bad_pointer_writes_nothing(t: Process, fd: int) -> None:
    good = t.memory.map(b"good")
    assert t.error("writev", fd, struct.pack("<4Q", good, 4, 0xDEAD0000, 4), 2) == "EFAULT"
    assert t.error("writev", fd, struct.pack("<4Q", good, 4, 0, 4), 2) == "EFAULT"
    assert t.fstat(fd).size == 0
    assert t.call("lseek", fd, 0, SEEK_CUR) == 0


def test_a_null_buffer_leaves_the_offset(t: Process, fd: int) -> None:
    t.call("write", fd, b"content")
    t.call("lseek", fd, 0, SEEK_SET)
    for number, offset in ((3, ()), (173, (0,))):
        sysent = t.p.kernel.sysent[number]
        assert sysent is not None
        with pytest.raises(VfsError, match="EFAULT"):
            sysent.run(t.p, fd, 0, 5, *offset)
    assert t.call("read", fd, 100) == b"content"


def test_reading_nothing(t: Process, fd: int) -> None:
    t.call("write", fd, b"content")
    assert t.call("pread", fd, 0, 0) == b""
    assert t.call("write", fd, b"") == 0
    assert t.call("pwrite", fd, b"", 1000) == 0
    assert t.fstat(fd).size == 7


# --- truncate ---------------------------------------------------------------------------------------


def test_truncate(t: Process) -> None:
    t.make(b"f", b"0123456789")
    t.call("truncate", b"f", 4)
    assert t.content(b"f") == b"0123"
    t.call("truncate", b"f", 6)
    assert t.content(b"f") == b"0123\0\0"


def test_what_truncate_refuses(t: Process) -> None:
    t.make(b"f", b"0123456789")
    reading, writing = t.call("open", b"f", O_RDONLY, 0), t.call("open", b"f", O_WRONLY, 0)
    assert t.error("truncate", b"missing", -1) == "EINVAL"
    assert t.error("truncate", b"missing", 0) == "ENOENT"
    assert t.error("truncate", b".", 0) == "EISDIR"
    assert t.error("ftruncate", 99, -1) == "EINVAL"
    assert t.error("ftruncate", 99, 0) == "EBADF"
    assert t.error("ftruncate", reading, 0) == "EINVAL"
    assert t.error("ftruncate", writing, -1) == "EINVAL"
    assert t.stat(b"f").size == 10


def test_fdatasync_needs_a_file_open_for_writing(t: Process) -> None:
    t.make(b"f")
    reading, writing = t.call("open", b"f", O_RDONLY, 0), t.call("open", b"f", O_WRONLY, 0)
    assert t.call("fsync", reading) == t.call("fsync", writing) == t.call("fdatasync", writing) == 0
    assert t.error("fdatasync", reading) == "EBADF"
    assert t.error("fsync", 99) == "EBADF"


# --- getdents ---------------------------------------------------------------------------------------


def test_getdents_goes_on_and_rewinds(t: Process) -> None:
    names = {b"name-%03d" % number for number in range(300)}
    for name in names:
        t.make(name)
    fd = t.call("open", b".", O_RDONLY, 0)
    pieces = []
    while data := t.call("__getdents30", fd, 512):
        assert len(data) <= 512
        pieces.append(data)
    assert len(pieces) > 10
    t.call("lseek", fd, 0, SEEK_SET)
    assert t.call("__getdents30", fd, 65536) == b"".join(pieces)
    assert t.names(b".") == names


def test_getdents_is_capped_at_64_kib(t: Process) -> None:
    for number in range(300):
        t.make(b"%0250d" % number)
    fd = t.call("open", b".", O_RDONLY, 0)
    assert 65536 - 280 < len(t.call("__getdents30", fd, 1 << 20)) <= 65536


def test_getdents_with_no_room_for_an_entry(tmp: Process) -> None:
    fd = tmp.call("open", b".", O_RDONLY, 0)
    assert tmp.call("__getdents30", fd, 10) == b""
    assert tmp.call("__getdents30", fd, 16) != b""


def test_readlink_cuts_silently(t: Process) -> None:
    t.call("symlink", b"target", b"s")
    t.make(b"f")
    assert t.call("readlink", b"s", 3) == b"tar"
    assert t.call("readlink", b"s", 6) == b"target"
    assert t.call("readlink", b"s", 0) == b""
    assert t.error("readlink", b"f", 10) == "EINVAL"
    assert t.error("readlink", b".", 10) == "EINVAL"


def test_write_fills_no_more_than_there_is(machine: Machine) -> None:
    p = machine.process()
    p.call("mkdir", b"/t", 0o755)
    p.mount_tmpfs(b"/t", size=1 << 20)
    fd = p.call("open", b"/t/f", O_CREAT | O_RDWR, 0o644)
    assert p.error("write", fd, bytes(2 << 20)) == "ENOSPC"
    assert p.fstat(fd).size == 0
    assert p.call("lseek", fd, 0, SEEK_CUR) == 0
