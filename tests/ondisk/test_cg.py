from __future__ import annotations

import dataclasses
import os
import struct

import pytest

from rumpfs.base.errors import BadMagic, Corrupt
from rumpfs.ondisk.ufs.cg import CG, Cg
from rumpfs.ondisk.ufs.superblock import find_superblock
from tests.images_util import freebsd_image, makefs, netbsd_image, netbsd_images

CLEAN = [
    name for name in netbsd_images() if not name.startswith(("disklabel", "mbr")) and "dirty" not in name
]


def groups(path):
    """Return the superblock of an image and all of its group blocks."""
    with path.open("rb") as stream:
        fd = stream.fileno()
        fs = find_superblock(lambda n, at: os.pread(fd, n, at), os.fstat(fd).st_size, path.name)
        blocks = [os.pread(fd, fs.fs_cgsize, fs.cgtod(cg) * fs.fs_fsize) for cg in range(fs.fs_ncg)]
        sums = os.pread(fd, fs.fs_cssize, fs.fs_csaddr * fs.fs_fsize)
    return fs, blocks, sums


def bits(bitmap):
    return int.from_bytes(bitmap, "little").bit_count()


def check_counters(fs, blocks, sums):
    """A consistent file system: the counters are what the maps say, and add up."""
    total = [0, 0, 0, 0]
    for index, block in enumerate(blocks):
        cg = Cg.decode(block, fs, index)
        assert bits(cg.blksfree) == cg.cg_cs.cs_nbfree * fs.fs_frag + cg.cg_cs.cs_nffree
        assert fs.fs_ipg - bits(cg.inosused) == cg.cg_cs.cs_nifree
        assert struct.unpack_from(f"{fs.order}4i", sums, 16 * index) == cg.cg_cs
        if cg.clustersum:
            assert bits(cg.clustersfree) == cg.cg_cs.cs_nbfree
        total = [one + more for one, more in zip(total, cg.cg_cs, strict=True)]
    assert tuple(total) == fs.fs_cstotal


@pytest.mark.parametrize("name", CLEAN)
def test_counters_and_maps_of_netbsd_images_agree(name):
    check_counters(*groups(netbsd_image(name)))


@pytest.mark.parametrize("name", ["ufs-little", "ufs-big"])
def test_counters_and_maps_of_freebsd_images_agree(name):
    check_counters(*groups(freebsd_image(name)))


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    path = tmp_path_factory.mktemp("tree")
    (path / "file").write_bytes(bytes(100_000))
    return path


@pytest.mark.parametrize("order", ["le", "be"])
@pytest.mark.parametrize("version", [1, 2])
def test_counters_and_maps_of_makefs_images_agree(tree, tmp_path, version, order):
    extra = ("-s", "24m", ",maxbpcg=500,density=8192")
    image = makefs(tree, tmp_path / "many", version, order, 8192, 8192, *extra)
    assert groups(image)[0].fs_ncg > 5
    check_counters(*groups(image))


@pytest.fixture(scope="module")
def ufs1(tree, tmp_path_factory):
    return groups(makefs(tree, tmp_path_factory.mktemp("ufs1") / "image", 1, "le", 8192, 1024))


@pytest.fixture(scope="module")
def ufs2(tree, tmp_path_factory):
    return groups(makefs(tree, tmp_path_factory.mktemp("ufs2") / "image", 2, "be", 8192, 1024))


def patched(fs, block, **fields):
    codec = CG.codec(fs.order)
    return codec.pack(codec.unpack(block)._replace(**fields)) + block[CG.size :]


def test_reserved_inodes_and_metadata_are_in_use(ufs1):
    fs, blocks, _ = ufs1
    cg = Cg.decode(blocks[0], fs, 0)
    assert all(cg.inode_used(ino) for ino in (0, 1, 2))
    assert not cg.inode_used(fs.fs_ipg - 1)
    assert not any(cg.frag_free(frag) for frag in range(fs.fs_dblkno))
    assert cg.frag_free(cg.ndblk - 1)


def test_only_initialised_inodes_of_a_ufs2_group_are_valid(ufs2):
    fs, blocks, _ = ufs2
    cg = Cg.decode(blocks[0], fs, 0)
    assert cg.initediblk == cg.record.cg_initediblk > 2
    assert cg.initediblk % fs.fs_inopb == 0


def test_all_inodes_of_a_ufs1_group_are_valid(ufs1):
    fs, blocks, _ = ufs1
    assert Cg.decode(blocks[0], fs, 0).initediblk == fs.fs_ipg


def test_a_42bsd_group_has_its_maps_at_fixed_places(ufs1):
    fs, blocks, _ = ufs1
    fs = dataclasses.replace(fs, fs_cgsize=fs.fs_bsize)
    old = bytearray(blocks[0])
    modern = Cg.decode(blocks[0], ufs1[0], 0)
    iused = modern.inosused.ljust(256, b"\0")[:256]
    old[84:] = bytes(len(old) - 84)
    struct.pack_into("<I", old, 4, 0)
    old[724:980] = iused
    struct.pack_into("<I", old, 980, 0x090255)
    old[984 : 984 + len(modern.blksfree)] = modern.blksfree
    cg = Cg.decode(bytes(old).ljust(fs.fs_cgsize, b"\0"), fs, 0)
    assert cg.old
    assert cg.blksfree == modern.blksfree
    assert cg.cg_cs == modern.cg_cs
    assert cg.inode_used(2)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("cg_cgx", 1), ("cg_ndblk", 0), ("cg_ndblk", -1), ("cg_iusedoff", 0), ("cg_iusedoff", -1),
        ("cg_iusedoff", 1 << 30), ("cg_freeoff", 167), ("cg_freeoff", 8190), ("cg_clustersumoff", 8192),
        ("cg_clustersumoff", -4), ("cg_clustersumoff", 169), ("cg_clusteroff", 8192),
        ("cg_nclusterblks", 1 << 20), ("cg_nclusterblks", -1), ("cg_initediblk", -1),
        ("cg_initediblk", 1 << 30),
    ],
)  # fmt: skip
def test_a_field_with_an_impossible_value_is_named(ufs2, field, value):
    fs, blocks, _ = ufs2
    with pytest.raises(Corrupt, match=f"cylinder group 0: {field} "):
        Cg.decode(patched(fs, blocks[0], **{field: value}), fs, 0)


def test_a_group_without_magic_says_where_it_was_looked_for(ufs2):
    fs, blocks, _ = ufs2
    with pytest.raises(BadMagic, match=f"cylinder group 0 at byte {fs.cgtod(0) * 1024}: cg_magic is 0x0"):
        Cg.decode(bytes(len(blocks[0])), fs, 0)


def test_a_group_beyond_the_end_of_the_device_is_damage(ufs2):
    fs, blocks, _ = ufs2
    with pytest.raises(Corrupt, match="the device ends after 100 bytes of it"):
        Cg.decode(blocks[0][:100], fs, 0)
