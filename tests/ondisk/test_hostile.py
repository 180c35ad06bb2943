"""Flipped bits in what a file system is mounted by: an answer or a DiskError, nothing else, and soon."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rumpfs.base.errors import DiskError
from rumpfs.ondisk.ufs.cg import Cg
from rumpfs.ondisk.ufs.dinode import dinode_codec
from rumpfs.ondisk.ufs.fs import FS, FS_FLAGS_UPDATED, SBLOCKSIZE
from rumpfs.ondisk.ufs.superblock import find_superblock
from tests.images_util import makefs

FORMS = [(version, order) for version in (1, 2) for order in ("le", "be")]


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    tree = tmp_path_factory.mktemp("tree")
    (tree / "file").write_bytes(bytes(100_000))
    out = tmp_path_factory.mktemp("images")
    return {form: makefs(tree, out / f"{form[0]}{form[1]}", *form, 4096, 512).read_bytes() for form in FORMS}


class Device:
    """Bytes that count what is read of them."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.total = 0

    def read(self, nbytes: int, offset: int) -> bytes:
        assert nbytes >= 0
        assert 0 <= offset <= len(self.data)
        self.total += nbytes
        return self.data[offset : offset + nbytes]


def flipped(data: bytes, start: int, bits: list[int]) -> bytes:
    damaged = bytearray(data)
    for bit in bits:
        damaged[start + bit // 8] ^= 1 << bit % 8
    return bytes(damaged)


def check_usable(fs, size):
    """What later code relies on."""
    assert fs.fs_bsize == fs.fs_fsize * fs.fs_frag <= 65536
    assert 0 < fs.fs_cssize <= size
    assert fs.fs_csaddr * fs.fs_fsize + fs.fs_cssize <= size
    assert fs.fs_ncg * 16 <= fs.fs_cssize
    assert fs.maxino < 1 << 32
    for cg in (0, fs.fs_ncg - 1):
        assert 0 <= fs.cgbase(cg) < fs.fs_size
        assert fs.cgbase(cg) < fs.cgsblock(cg) < fs.cgtod(cg) < fs.cgimin(cg) < fs.cgdmin(cg)
        assert fs.cgdmin(cg) <= fs.cgbase(cg) + fs.fs_fpg
        assert 0 < fs.cgfrags(cg) <= fs.fs_fpg
    last = fs.maxino - 1
    assert fs.ino_to_byte(last) + fs.dinode_size <= fs.cgdmin(fs.ino_to_cg(last)) * fs.fs_fsize
    assert fs.is_fast_symlink(121, 0) is False


@pytest.mark.parametrize("form", FORMS)
@given(bits=st.lists(st.integers(0, 8 * FS.size - 1), min_size=1, max_size=3))
def test_flipped_bits_in_the_superblock(images, form, bits):
    device = Device(flipped(images[form], 8192, bits))
    try:
        fs = find_superblock(device.read, len(device.data), "disk.img")
    except DiskError as error:
        assert str(error).startswith("disk.img")  # noqa: PT017
    else:
        check_usable(fs, len(device.data))
    assert device.total < 1 << 20


@pytest.mark.parametrize("form", FORMS)
@given(data=st.data())
def test_wild_values_in_the_superblock(images, form, data):
    """Whole fields replaced by the values that break arithmetic."""
    codec = FS.codec("<" if form[1] == "le" else ">")
    row = codec.unpack(images[form], 8192)
    scalars = [name for name in row._fields if isinstance(getattr(row, name), int) and name != "fs_magic"]
    changes = {}
    for name in data.draw(st.lists(st.sampled_from(scalars), min_size=1, max_size=3, unique=True)):
        (kind,) = [kind for _, field, kind in FS.fields if field == name]
        bits = 8 * kind.nbytes
        low, high = (0, (1 << bits) - 1) if kind.code.isupper() else (-(1 << bits - 1), (1 << bits - 1) - 1)
        value = getattr(row, name)
        changes[name] = data.draw(
            st.sampled_from([low, high, 0, 1, high // 2, value * 2, value // 2, value + 1, value - 1]).filter(
                lambda number, low=low, high=high: low <= number <= high
            )
        )
    wild = images[form][:8192] + codec.pack(row._replace(**changes)) + images[form][8192 + FS.size :]
    device = Device(wild)
    try:
        fs = find_superblock(device.read, len(wild), "disk.img")
    except DiskError as error:
        assert str(error).startswith("disk.img")  # noqa: PT017
    else:
        check_usable(fs, len(wild))
    assert device.total < 1 << 20


@given(
    block=st.binary(min_size=0, max_size=SBLOCKSIZE),
    magic=st.sampled_from([b"\x54\x19\x01\x00", b"\x00\x01\x19\x54"]),
)
def test_random_superblocks(block, magic):
    block = block.ljust(FS.size, b"\0")
    block = block[:211] + bytes([block[211] & ~FS_FLAGS_UPDATED]) + block[212:1372] + magic + block[1376:]
    device = Device(bytes(8192) + block)
    with pytest.raises(DiskError):
        find_superblock(device.read, len(device.data), "disk.img")


@pytest.mark.parametrize("form", FORMS)
@given(bits=st.lists(st.integers(0, 8 * 200 - 1), min_size=1, max_size=3))
def test_flipped_bits_in_a_group(images, form, bits):
    device = Device(images[form])
    fs = find_superblock(device.read, len(device.data), "disk.img")
    block = device.read(fs.fs_cgsize, fs.cgtod(0) * fs.fs_fsize)
    try:
        cg = Cg.decode(flipped(block, 0, bits), fs, 0)
    except DiskError as error:
        assert str(error).startswith("disk.img: cylinder group 0")  # noqa: PT017
    else:
        assert len(cg.inosused) == (fs.fs_ipg + 7) // 8
        assert len(cg.blksfree) == (fs.fs_fpg + 7) // 8
        assert 0 <= cg.initediblk <= fs.fs_ipg


@pytest.mark.parametrize("form", FORMS)
@given(data=st.data())
def test_random_groups(images, form, data):
    device = Device(images[form])
    fs = find_superblock(device.read, len(device.data), "disk.img")
    with pytest.raises(DiskError):
        Cg.decode(data.draw(st.binary(max_size=fs.fs_cgsize)), fs, 0)


@pytest.mark.parametrize("form", FORMS)
@given(data=st.data())
def test_random_inodes_decode(images, form, data):
    device = Device(images[form])
    codec = dinode_codec(find_superblock(device.read, len(device.data), "disk.img"))
    raw = data.draw(st.binary(min_size=codec.size, max_size=codec.size))
    ip = codec.decode(raw)
    assert len(ip.di_db) == 12
    assert len(ip.di_ib) == 3
    assert len(codec.fast_symlink(raw, 0, ip.di_size)) <= 120
