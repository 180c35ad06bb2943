from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rumpfs.abi import errno
from rumpfs.base.errors import VfsError
from rumpfs.dev.hostfile import HostFile
from rumpfs.dev.overlay import Overlay
from rumpfs.dev.window import Window

CONTENT = bytes(range(256)) * 40
OFFSET, SIZE = 1000, 2000
EXTENTS = [(0, 10, 1500), (10, 5, 3), (100, 1, 99), (500, 300, 900), (1990, 10, 0)]
WANT = bytearray(CONTENT[OFFSET : OFFSET + SIZE])
for _start, _length, _source in EXTENTS:
    WANT[_start : _start + _length] = CONTENT[OFFSET + _source :][:_length]


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("overlay") / "disk.img"
    path.write_bytes(CONTENT)
    return path


def overlay(path, extents=EXTENTS):
    return Overlay(Window(HostFile.open(str(path)), OFFSET, SIZE), extents)


@given(
    nbytes=st.integers(0, 2500),
    offset=st.integers(0, SIZE),
    cuts=st.lists(st.integers(0, 900), max_size=5),
)
def test_reads_are_the_window_with_the_extents_in_it(path, nbytes, offset, cuts):
    window = overlay(path)
    try:
        assert window.pread(nbytes, offset) == WANT[offset : offset + nbytes]
        buffers = [bytearray(cut) for cut in cuts]
        count = window.preadv(buffers, offset)
        joined = b"".join(buffers)
        assert count == min(len(joined), SIZE - offset)
        assert joined[:count] == WANT[offset : offset + count]
        assert not any(joined[count:])
    finally:
        window.close()


def test_sources_are_those_of_the_file_not_of_the_overlay(path):
    window = overlay(path, [(0, 4, 100), (100, 4, 200)])
    assert window.pread(4, 0) == CONTENT[1100:1104]
    window.close()


def test_it_is_not_written_to(path):
    window = overlay(path)
    with pytest.raises(VfsError) as caught:
        window.pwrite(b"x", 0)
    assert caught.value.errno == errno.EROFS
    assert (window.size, window.offset, window.name) == (SIZE, OFFSET, str(path))
    window.close()
    assert path.read_bytes() == CONTENT


@given(nbytes=st.integers(1, 2500), offset=st.integers(-1, SIZE))
def test_located_bytes_are_those_of_the_host_file(path, nbytes, offset):
    window = overlay(path)
    try:
        found = window.located(offset, nbytes)
        if found is not None:
            fd, at = found
            assert os.pread(fd, nbytes, at) == WANT[offset : offset + nbytes]
            assert len(WANT[offset : offset + nbytes]) == nbytes
        else:
            outside = offset < 0 or offset + nbytes > SIZE
            assert outside or any(a < offset + nbytes and offset < a + n for a, n, _ in EXTENTS)
    finally:
        window.close()
