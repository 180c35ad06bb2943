from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rumpfs.abi import errno
from rumpfs.base.errors import VfsError
from rumpfs.dev.hostfile import HostFile
from rumpfs.dev.window import Window

CONTENT = bytes(range(256)) * 40


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("window") / "disk.img"
    path.write_bytes(CONTENT)
    return path


@pytest.fixture
def window(path):
    window = Window(HostFile.open(str(path), readonly=True), 1000, 2000)
    yield window
    window.close()


def errno_of(call, *arguments):
    with pytest.raises(VfsError) as caught:
        call(*arguments)
    return caught.value.errno


@given(
    nbytes=st.integers(0, 4000), offset=st.integers(0, 2000), cuts=st.lists(st.integers(0, 900), max_size=5)
)
def test_reads_are_the_file_at_the_window(path, nbytes, offset, cuts):
    window = Window(HostFile.open(str(path), readonly=True), 1000, 2000)
    try:
        want = CONTENT[1000:3000][offset : offset + nbytes]
        assert window.pread(nbytes, offset) == want
        buffers = [bytearray(cut) for cut in cuts]
        count = window.preadv(buffers, offset)
        joined = b"".join(buffers)
        assert count == min(len(joined), 2000 - offset)
        assert joined[:count] == CONTENT[1000 + offset : 1000 + offset + count]
        assert not any(joined[count:])
    finally:
        window.close()


def test_the_end_of_the_window(window):
    assert window.pread(10, 1995) == CONTENT[2995:3000]
    assert window.pread(10, 2000) == b""
    assert window.preadv([bytearray(10)], 2000) == 0
    for offset in (2001, -1, 1 << 70):
        assert errno_of(window.pread, 1, offset) == errno.EINVAL
        assert errno_of(window.preadv, [bytearray(1)], offset) == errno.EINVAL
    assert errno_of(window.pread, -1, 0) == errno.EINVAL


def test_many_buffers(window):
    buffers = [bytearray(1) for _ in range(1500)]
    assert window.preadv(buffers, 100) == 1500
    assert b"".join(buffers) == CONTENT[1100:2600]


def test_a_read_only_window_answers_erofs(window, path):
    assert window.readonly
    assert errno_of(window.pwrite, b"x", 0) == errno.EROFS
    writable = HostFile.open(str(path))
    other = Window(writable, 0, 10, readonly=True)
    assert errno_of(other.pwrite, b"x", 0) == errno.EROFS
    other.fsync()
    other.close()


def test_writes_stay_in_the_window(tmp_path):
    path = tmp_path / "disk.img"
    path.write_bytes(b"." * 30)
    window = Window(HostFile.open(str(path)), 10, 10)
    assert window.pwrite(b"abc", 0) == 3
    assert window.pwrite(memoryview(b"0123456789"), 7) == 3
    assert window.pwrite(b"x", 10) == 0
    assert errno_of(window.pwrite, b"x", 11) == errno.EINVAL
    window.fsync()
    window.close()
    assert path.read_bytes() == b"." * 10 + b"abc....012" + b"." * 10


def test_a_host_file_that_was_truncated_is_an_io_error_and_no_short_data(tmp_path):
    path = tmp_path / "disk.img"
    path.write_bytes(bytes(4096))
    window = Window(HostFile.open(str(path), readonly=True), 1024, 3072, name="dk0")
    os.truncate(path, 2000)
    assert window.pread(976, 0) == bytes(976)
    with pytest.raises(VfsError, match=rf"dk0: host file {path} ends at or before byte 976") as caught:
        window.pread(977, 0)
    assert caught.value.errno == errno.EIO
    assert errno_of(window.preadv, [bytearray(500), bytearray(500)], 0) == errno.EIO
    assert errno_of(window.pread, 1, 2000) == errno.EIO
    assert window.pread(1, 3072) == b""
    window.close()


def test_a_window_beyond_4_gib(tmp_path):
    path = tmp_path / "disk.img"
    base = (9 << 30) + 512
    with path.open("wb") as stream:
        stream.seek(base)
        stream.write(b"here")
    window = Window(HostFile.open(str(path)), base, 1 << 20)
    window.hostfile.extend(base + (1 << 20))
    assert window.pread(4, 0) == b"here"
    window.close()


def test_negative_windows_are_refused(path):
    hostfile = HostFile.open(str(path), readonly=True)
    for offset, size in ((-1, 10), (0, -1)):
        with pytest.raises(VfsError):
            Window(hostfile, offset, size)
    hostfile.close()
