"""Content of tmpfs files: sizes, holes, limits, and a model (NetBSD t_sizes.sh, t_io.c, t_truncate.sh)."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from rumpfs.abi import errno
from rumpfs.base.errors import VfsError
from rumpfs.base.memory import Memory
from rumpfs.vfs.cred import ROOT
from rumpfs.vfs.mount import Vfs
from rumpfs.vfs.vnode import IO_APPEND, SetAttr
from tests.fs.tmpfs.harness import content, joined, make, mount

MEGABYTE = 1 << 20
OFF_MAX = 2**63 - 1


def fails(number, call, *args):
    with pytest.raises(VfsError) as caught:
        call(*args)
    assert caught.value.errno == number


def truncate(vp, size):
    vp.setattr(SetAttr(size=size), ROOT)


def test_append_goes_to_the_end_whatever_the_offset(root):
    vp = make(root, b"file", b"abc")
    assert vp.write(0, b"def", IO_APPEND, ROOT) == 6
    truncate(vp, 4)
    assert vp.write(100, b"!", IO_APPEND, ROOT) == 5
    assert content(vp) == b"abcd!"


def test_holes_read_as_zeroes_and_take_no_memory(root):
    vp = make(root, b"file")
    free = root.v_mount.statvfs().bfree
    truncate(vp, 10 << 40)
    assert vp.write(5 << 40, b"x", 0, ROOT) == (5 << 40) + 1
    assert vp.getattr().size == 10 << 40
    assert vp.getattr().blocks == 8
    assert root.v_mount.statvfs().bfree >= free - 1
    assert joined(vp.read((5 << 40) - 3, 7)) == b"\0\0\0x\0\0\0"
    assert joined(vp.read((10 << 40) - 2, 7)) == b"\0\0"


def test_holywrite(root):
    vp = make(root, b"file")
    vp.write(0x200, b"x" * 2048, 0, ROOT)
    vp.write(0x8000 - 0x200, b"y" * 2048, 0, ROOT)
    expected = bytearray(0x8000 - 0x200 + 2048)
    expected[0x200:0xA00] = b"x" * 2048
    expected[0x8000 - 0x200 :] = b"y" * 2048
    assert content(vp) == expected


def test_the_largest_file(root):
    vp = make(root, b"file")
    truncate(vp, OFF_MAX)
    assert vp.size() == OFF_MAX
    assert vp.write(OFF_MAX - 1, b"x", 0, ROOT) == OFF_MAX
    fails(errno.EFBIG, vp.write, OFF_MAX, b"x", 0, ROOT)
    fails(errno.EFBIG, vp.write, OFF_MAX - 1, b"xy", 0, ROOT)
    fails(errno.EFBIG, vp.write, 0, b"x", IO_APPEND, ROOT)
    assert joined(vp.read(OFF_MAX - 2, 100)) == b"\0x"
    assert joined(vp.read(OFF_MAX, 100)) == b""


def test_one_read_of_an_endless_hole_comes_to_an_end(root):
    vp = make(root, b"file")
    truncate(vp, OFF_MAX)
    data = vp.read(12345, OFF_MAX)
    assert sum(map(len, data)) == 1 << 30


def test_a_file_beyond_the_limit_is_refused_and_its_space_comes_back():
    mp = mount(size=10 * MEGABYTE)
    root = mp.mnt_root
    before = mp.statvfs()
    vp = make(root, b"file")
    for piece in range(159):
        vp.write(piece << 16, bytes(1 << 16), 0, ROOT)
    fails(errno.ENOSPC, vp.write, 159 << 16, bytes(1 << 16), 0, ROOT)
    assert vp.size() == 159 << 16
    fails(errno.ENOSPC, make, root, b"other", bytes(15 * MEGABYTE))
    root.remove(b"file", vp, ROOT)
    other = root.lookup(b"other")
    assert other.size() == 0
    root.remove(b"other", other, ROOT)
    assert mp.statvfs() == before


def test_overwriting_a_full_file_system_works():
    mp = mount(size=MEGABYTE)
    vp = make(mp.mnt_root, b"file", bytes(1000 * 1024))
    fails(errno.ENOSPC, vp.write, 1000 * 1024, bytes(64 * 1024), 0, ROOT)
    vp.write(0, b"x" * (1000 * 1024), 0, ROOT)
    assert content(vp) == b"x" * (1000 * 1024)
    truncate(vp, 900 * 1024)
    vp.write(900 * 1024, bytes(64 * 1024), 0, ROOT)


def test_the_memory_limit_of_the_kernel_holds():
    memory = Memory(MEGABYTE)
    vp = make(mount(Vfs(memory)).mnt_root, b"file")
    fails(errno.ENOSPC, vp.write, 0, bytes(2 * MEGABYTE), 0, ROOT)
    assert vp.size() == 0
    vp.write(0, bytes(MEGABYTE // 2), 0, ROOT)
    assert MEGABYTE // 2 < memory.used <= MEGABYTE


@pytest.mark.parametrize(
    ("size", "blocks"),
    [(0, 0), (1, 8), (4096, 8), (4097, 16), (65536, 128), (65537, 136), (MEGABYTE, 2048)],
)
def test_blocks_are_whole_pages(root, size, blocks):
    vp = make(root, b"file", bytes(size))
    assert (vp.getattr().size, vp.getattr().blocks) == (size, blocks)


def test_truncation_frees_pages_and_zeroes_the_rest(root):
    vp = make(root, b"file", b"x" * 200_000)
    truncate(vp, 70_000)
    assert vp.getattr().blocks == (65536 + 8192) // 512
    truncate(vp, 200_000)
    assert vp.getattr().blocks == (65536 + 8192) // 512
    assert content(vp) == b"x" * 70_000 + bytes(130_000)


def test_what_was_read_can_still_be_sent_while_the_file_changes(root):
    vp = make(root, b"file", b"a" * 150_000)
    pieces = vp.read(0, 150_000)
    assert all(isinstance(piece, memoryview) for piece in pieces)
    truncate(vp, 10)
    vp.write(140_000, b"b" * 100_000, 0, ROOT)
    root.remove(b"file", vp, ROOT)
    assert sum(map(len, pieces)) == 150_000


def test_what_lies_in_one_chunk_does_not_change_once_it_was_read(root):
    vp = make(root, b"file", b"a" * 65536)
    data = vp.read(0, 65536)
    vp.write(0, b"b" * 65536, 0, ROOT)
    assert data == b"a" * 65536


def test_all_kinds_of_buffers_can_be_written(root):
    vp = make(root, b"file")
    for number, data in enumerate((b"ab", bytearray(b"cd"), memoryview(b"xefx")[1:3])):
        vp.write(2 * number, data, 0, ROOT)
    for number, data in enumerate((bytes(70_000), bytearray(70_000), memoryview(bytes(70_000)))):
        vp.write(100_000 * number + 6, data, 0, ROOT)
    assert joined(vp.read(0, 6)) == b"abcdef"


OFFSETS = st.builds(
    lambda base, delta: max(0, base + delta),
    st.sampled_from([0, 4096, 8192, 65536, 131072, 262144, 1 << 33]),
    st.integers(-3, 3),
)
LENGTHS = st.one_of(
    st.integers(0, 10),
    st.sampled_from([4095, 4096, 4097, 8192, 65535, 65536, 65537, 131072, 200_000]),
)


class FileModel(RuleBasedStateMachine):
    """A file against a model: what was written, by offset, laid out on demand."""

    @initialize()
    def start(self):
        self.memory = Memory()
        root = mount(Vfs(self.memory)).mnt_root
        self.vp = make(root, b"file")
        self.base = self.memory.used
        self.low = bytearray()  # the model of the first MiB
        self.high = bytearray()  # and of the MiB from 8 GiB - 512 KiB on
        self.size = 0
        self.held = []
        self.fill = 0

    WINDOW = 1 << 20
    HIGH = (1 << 33) - (1 << 19)

    def model(self, offset):
        return (self.low, 0) if offset < self.WINDOW else (self.high, self.HIGH)

    @rule(offset=OFFSETS, length=LENGTHS, append=st.booleans())
    def write(self, offset, length, append):
        if self.WINDOW // 2 < self.size < self.HIGH or self.size > self.HIGH + self.WINDOW // 2:
            append = False  # it would leave what the model knows
        self.fill = self.fill % 255 + 1
        data = bytes([self.fill]) * length
        if append:
            offset = self.size
        end = self.vp.write(0 if append else offset, data, IO_APPEND if append else 0, ROOT)
        assert end == offset + length
        if length:
            target, base = self.model(offset)
            at = offset - base
            target.extend(bytes(max(0, at + length - len(target))))
            target[at : at + length] = data
            self.size = max(self.size, end)

    @rule(size=OFFSETS)
    def truncate(self, size):
        truncate(self.vp, size)
        for target, base in ((self.low, 0), (self.high, self.HIGH)):
            del target[max(0, size - base) :]
        self.size = size

    @rule(offset=OFFSETS, length=LENGTHS, hold=st.booleans())
    def read(self, offset, length, hold):
        data = self.vp.read(offset, length)
        target, base = self.model(offset)
        length = max(0, min(length, self.size - offset))
        at = offset - base
        assert joined(data) == bytes(target[at : at + length]).ljust(length, b"\0")
        if hold:
            self.held.append(data)

    @rule()
    def let_go(self):
        self.held.clear()

    @invariant()
    def the_size_is_known_and_the_memory_accounted(self):
        assert self.vp.size() == self.size
        taken = self.memory.used - self.base
        assert taken == self.vp.getattr().blocks * 512
        assert taken % 4096 == 0
        assert taken <= len(self.low) + len(self.high) + 2 * 4096

    def teardown(self):
        truncate(self.vp, 0)
        assert self.memory.used == self.base


TestFileModel = FileModel.TestCase
TestFileModel.settings = settings(stateful_step_count=30)
