from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest

from rumpfs.base.errors import BadMagic, Corrupt
from rumpfs.ondisk.ufs.fs import FS, FS_BAD_MAGIC, FS_UFS2EA_MAGIC, SBLOCKSIZE
from rumpfs.ondisk.ufs.superblock import Superblock, find_superblock
from tests.images_util import (
    freebsd_image,
    freebsd_images,
    makefs,
    manifest,
    netbsd_image,
    netbsd_images,
)

PLAIN = [name for name in netbsd_images() if not name.startswith(("disklabel", "mbr"))]


def search(data: bytes, where: str = "image", size: int | None = None) -> Superblock:
    return find_superblock(lambda nbytes, at: data[at : at + nbytes], size or len(data), where)


def search_file(path: Path) -> Superblock:
    with path.open("rb") as stream:
        fd = stream.fileno()
        return find_superblock(lambda n, at: os.pread(fd, n, at), os.fstat(fd).st_size, path.name)


def start_of(path: Path, nbytes: int = 1 << 20) -> bytes:
    with path.open("rb") as stream:
        return stream.read(nbytes)


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    path = tmp_path_factory.mktemp("tree")
    (path / "hello").write_bytes(b"hello\n")
    return path


@pytest.fixture(scope="module")
def images(tree, tmp_path_factory):
    """(version, order) -> the start of a makefs image with 8192/1024 blocks."""
    directory = tmp_path_factory.mktemp("images")
    return {
        (version, order): start_of(makefs(tree, directory / f"{version}{order}", version, order, 8192, 1024))
        for version in (1, 2)
        for order in ("le", "be")
    }


def patched(data: bytes, offset: int, order: str, **fields: int) -> bytes:
    """Return an image start whose superblock at `offset` has other values in some fields."""
    codec = FS.codec("<" if order == "le" else ">")
    row = codec.unpack(data, offset)._replace(**fields)
    return data[:offset] + codec.pack(row) + data[offset + FS.size :]


# Real images.


@pytest.mark.parametrize("name", PLAIN)
def test_netbsd_images_are_found_as_their_manifest_says(name):
    facts = manifest(name)
    image = netbsd_image(name)
    fs = search_file(image)
    want = facts["superblock"]
    # Two manifests of UFS1 with 64 KiB blocks give the place of the first copy, 65536.
    assert fs.offset == fs.fs_sblockloc == (65536 if fs.ufs2 else 8192)
    assert want["superblock_offset"] == fs.offset or (facts["O"], facts["bsize"]) == (1, 65536)
    assert fs.order == {"le": "<", "be": ">"}[want["byte_order"]]
    assert hex(fs.fs_magic) == want["magic"]
    assert hex(fs.fs_flags) == want["fs_flags"]
    assert fs.old_layout == ("layout" in want)
    for field in ("ncg", "bsize", "fsize", "ipg", "fpg", "clean"):
        assert getattr(fs, f"fs_{field}") == want[field], field
    assert fs.record.fs_old_inodefmt == want["old_inodefmt"]
    assert fs.apple_ufs == (name == "appleufs-v1be")
    assert fs.has_wapbl == name.startswith(("wapbl-dirty", "wapbl-end-dirty"))
    assert fs.has_quota2 == name.startswith("quota2")
    assert fs.metackhash == 0
    assert fs.warnings == []


@pytest.mark.parametrize("name", [name for name in PLAIN if "dirty" not in name])
def test_free_space_of_clean_netbsd_images_is_what_statvfs_said(name):
    fs = search_file(netbsd_image(name))
    want = manifest(name)["statvfs"]
    assert (fs.fs_bsize, fs.fs_fsize, fs.fs_dsize) == (want["bsize"], want["frsize"], want["blocks"])
    assert fs.free_frags == want["bfree"]
    assert max(0, fs.free_frags - fs.reserved_frags) == want["bavail"]
    assert fs.maxino - 2 == want["files"]
    assert fs.fs_cstotal.cs_nifree == want["ffree"]


@pytest.mark.parametrize("name", PLAIN)
def test_an_unchanged_superblock_is_written_as_it_was_read(name):
    image = netbsd_image(name)
    fs = search_file(image)
    with image.open("rb") as stream:
        stream.seek(fs.offset)
        assert fs.encode() == stream.read(fs.fs_sbsize)


@pytest.mark.parametrize("name", freebsd_images())
def test_freebsd_images(name):
    fs = search_file(freebsd_image(name))
    assert (fs.offset, fs.order, fs.ufs2) == (65536, "<" if name == "ufs-little" else ">", True)
    assert (fs.fs_bsize, fs.fs_fsize, fs.fs_ncg) == (32768, 4096, 4)
    # Flag 0x200 means check hashes here, not quota2, and 0x100 is clear.
    assert (fs.metackhash, fs.has_quota2, fs.has_wapbl) == (7, False, False)


@pytest.mark.parametrize("partition", range(2))
@pytest.mark.parametrize("name", ["disklabel-le", "disklabel-be", "mbr-disklabel"])
def test_superblocks_in_partitions(name, partition):
    facts = manifest(name)["partitions"][partition]
    image = netbsd_image(name)
    start, size = facts["offset_sectors"] * 512, facts["size_sectors"] * 512
    with image.open("rb") as stream:
        fd = stream.fileno()
        fs = find_superblock(lambda n, at: os.pread(fd, n, start + at), size, name)
    want = facts["superblock"]
    assert (fs.offset, hex(fs.fs_magic), fs.fs_ncg) == (want["superblock_offset"], want["magic"], want["ncg"])


@pytest.mark.parametrize("order", ["le", "be"])
@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize(
    ("bsize", "fsize"),
    [(4096, 4096), (4096, 512), (8192, 1024), (16384, 8192), (32768, 4096), (65536, 65536), (65536, 8192)],
)
def test_makefs_images_are_found_at_8192_in_both_versions(tree, tmp_path, version, order, bsize, fsize):
    fs = search_file(makefs(tree, tmp_path / "image", version, order, bsize, fsize))
    # With 64 KiB blocks and 8 KiB frags the first copy lies at 65536, which is searched first.
    assert (fs.offset, fs.ufs2, fs.order) == (8192, version == 2, {"le": "<", "be": ">"}[order])
    assert (fs.fs_bsize, fs.fs_fsize, fs.fs_frag) == (bsize, fsize, bsize // fsize)


def test_the_sector_size_of_newfs_does_not_matter(tree, tmp_path):
    fs = search_file(makefs(tree, tmp_path / "image", 2, "le", 16384, 4096, "-S", "2048", "-M", "2m"))
    assert fs.fs_fsbtodb == 1  # log2(4096 / 2048)
    assert fs.cgtod(0) * fs.fs_fsize == 32768


# The search.


def test_a_copy_is_not_taken_for_the_primary(images):
    data = bytearray(images[2, "le"])
    data[65536 : 65536 + SBLOCKSIZE] = data[8192 : 8192 + SBLOCKSIZE]
    assert search(bytes(data)).offset == 8192


def test_an_old_layout_superblock_at_65536_is_a_copy(images):
    old = patched(images[1, "le"], 8192, "le", fs_old_flags=0)
    data = bytearray(old)
    data[65536 : 65536 + SBLOCKSIZE] = data[8192 : 8192 + SBLOCKSIZE]
    assert search(bytes(data)).offset == 8192
    data[8192 : 8192 + SBLOCKSIZE] = bytes(SBLOCKSIZE)
    with pytest.raises(BadMagic):
        search(bytes(data))


def test_a_ufs2_at_65536_wins_over_a_leftover_at_8192(images):
    data = bytearray(images[2, "be"])
    moved = patched(images[2, "be"], 8192, "be", fs_sblockloc=65536)
    data[65536 : 65536 + SBLOCKSIZE] = moved[8192 : 8192 + SBLOCKSIZE]
    data[8192 : 8192 + SBLOCKSIZE] = images[1, "le"][8192 : 8192 + SBLOCKSIZE]
    fs = search(bytes(data))
    assert (fs.offset, fs.ufs2, fs.order) == (65536, True, ">")


@pytest.mark.parametrize("offset", [0, 8192, 65536, 262144])
def test_all_four_places_are_searched(images, offset):
    block = patched(images[2, "le"], 8192, "le", fs_sblockloc=offset)[8192 : 8192 + SBLOCKSIZE]
    data = bytes(offset) + block + bytes(1 << 20)
    assert search(data).offset == offset


def test_the_old_layout_takes_its_values_from_the_old_places(images):
    # The 64-bit fields are undefined there: fill their whole area with what must not be used.
    data = bytearray(patched(images[1, "be"], 8192, "be", fs_old_flags=0))
    fs = search(images[1, "be"])
    area = slice(8192 + 860, 8192 + 1316)
    data[area] = b"\xa5" * (area.stop - area.start)
    old = search(bytes(data))
    assert old.old_layout
    assert not fs.old_layout
    assert (old.fs_size, old.fs_dsize, old.fs_csaddr) == (fs.fs_size, fs.fs_dsize, fs.fs_csaddr)
    assert old.fs_cstotal == fs.fs_cstotal
    assert (old.fs_sblockloc, old.fs_flags, old.has_wapbl) == (8192, 0, False)
    assert not any(old.fs_snapinum)
    old.fs_clean, old.fs_time, old.fs_flags = 0, 12345, 1
    written = old.encode()
    assert written[860:1316] == b"\xa5" * (1316 - 860)
    assert struct.unpack_from(">i", written, 32) == (12345,)
    assert (written[209], written[211]) == (0, 1)


def test_a_changed_superblock_differs_only_where_it_changed(images):
    fs = search(images[1, "le"])
    fs.fs_clean, fs.fs_time = 0, 1_700_000_000
    fs.fs_cstotal = fs.fs_cstotal._replace(cs_nbfree=7)
    before, after = images[1, "le"][8192 : 8192 + fs.fs_sbsize], fs.encode()
    changed = {at for at in range(len(before)) if before[at] != after[at]}
    assert changed <= {209, *range(1016, 1024), *range(1072, 1080)}
    assert struct.unpack_from("<q", after, 1016) == (7,)


def test_ufs2ea_is_ufs2_and_keeps_its_magic(images):
    fs = search(patched(images[2, "le"], 8192, "le", fs_magic=FS_UFS2EA_MAGIC))
    assert fs.ufs2
    assert fs.encode()[1372:1376] == struct.pack("<I", 0x19012038)


def test_an_unfinished_newfs_is_said(images):
    with pytest.raises(BadMagic, match="newfs was interrupted"):
        search(patched(images[2, "le"], 8192, "le", fs_magic=FS_BAD_MAGIC))


@pytest.mark.parametrize("size", [0, 1, 511, 1375, 1376, 8192, 9567])
def test_an_image_too_short_for_a_superblock_has_none(images, size):
    with pytest.raises(BadMagic, match="no FFS superblock"):
        search(images[1, "le"][:size])


def test_a_damaged_primary_names_a_copy(images):
    # The first copy of an 8192/1024 file system is at frag 16: the sector that fsck_ffs -b takes is 32.
    data = images[1, "le"][:8192] + bytes(SBLOCKSIZE) + images[1, "le"][16384:]
    with pytest.raises(BadMagic, match=r"a copy at byte 16384.*fsck_ffs -b 32 "):
        search(data)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("fs_sbsize", 1375), ("fs_sbsize", 8193), ("fs_bsize", 8191), ("fs_bsize", 2048),
        ("fs_bsize", 131072), ("fs_bsize", -8192), ("fs_bsize", 0), ("fs_fsize", 0), ("fs_fsize", 256),
        ("fs_fsize", 16384), ("fs_fsize", 1023), ("fs_frag", 4), ("fs_frag", 0), ("fs_bshift", 12),
        ("fs_fshift", 31), ("fs_fragshift", 2), ("fs_bmask", 8191), ("fs_fmask", -1), ("fs_inopb", 0),
        ("fs_inopb", 63), ("fs_nindir", 0), ("fs_nindir", 512), ("fs_size", 0), ("fs_size", -1),
        ("fs_ncg", 0), ("fs_ncg", 0xFFFFFFFF), ("fs_maxbpg", 0), ("fs_fpg", 0), ("fs_fpg", -8),
        ("fs_fpg", 12), ("fs_ipg", 0), ("fs_ipg", 1), ("fs_ipg", 0xFFFFFFC0), ("fs_cgsize", 175),
        ("fs_cgsize", 8193), ("fs_sblkno", 0), ("fs_cblkno", 8), ("fs_iblkno", 1 << 30), ("fs_dblkno", 0),
        ("fs_dblkno", 33), ("fs_cssize", 15), ("fs_cssize", -1), ("fs_cssize", 0x7FFFFFFF),
        ("fs_csaddr", 0), ("fs_csaddr", 1 << 40), ("fs_csaddr", -1), ("fs_maxsymlinklen", 1 << 20),
        ("fs_old_cgoffset", -8),
    ],
)  # fmt: skip
def test_a_field_with_an_impossible_value_is_named(images, field, value):
    with pytest.raises(Corrupt) as caught:
        search(patched(images[1, "le"], 8192, "le", **{field: value}), where="disk.img")
    assert "disk.img: superblock at byte 8192: fs_" in str(caught.value)
    named = caught.value.field
    # A value can break a relation that is checked under its neighbour's name.
    assert named == field or {named, field} <= {
        "fs_bsize", "fs_fsize", "fs_frag", "fs_inopb", "fs_fpg", "fs_sblkno", "fs_cblkno", "fs_iblkno",
        "fs_dblkno", "fs_ncg", "fs_ipg", "fs_size", "fs_cssize", "fs_csaddr",
    }  # fmt: skip


def test_skewed_groups_must_stay_inside_themselves(images):
    with pytest.raises(Corrupt, match="fs_old_cgoffset"):
        search(patched(images[1, "le"], 8192, "le", fs_old_cgoffset=1 << 20, fs_old_cgmask=0, fs_ncg=2,
                       fs_size=search(images[1, "le"]).fs_fpg + 8, fs_cssize=1024))  # fmt: skip


def test_a_truncated_image_is_a_warning(images):
    (warning,) = search(images[1, "be"], size=1 << 20).warnings
    assert "the device has 1048576: it may have been truncated" in warning


# Geometry.


def test_geometry_of_a_known_file_system():
    """clean-v1be-8k-1k: newfs -O 1 -B be -b 8192 -f 1024 -s 24576, four groups of 3072 frags, 768 inodes."""
    fs = search_file(netbsd_image("clean-v1be-8k-1k"))
    assert [fs.cgbase(cg) for cg in range(4)] == [0, 3072, 6144, 9216]
    assert (fs.cgsblock(1), fs.cgtod(1), fs.cgimin(1), fs.cgdmin(1)) == (3088, 3096, 3104, 3200)
    # The manifest has / as inode 2 and /1 as inode 768, the first one of group 1.
    assert fs.ino_to_byte(2) == 32 * 1024 + 2 * 128
    assert (fs.ino_to_cg(768), fs.ino_to_byte(768)) == (1, 3104 * 1024)
    assert (fs.ino_to_fsba(63), fs.ino_to_fsba(64)) == (32, 40)
    assert (fs.dtog(3200), fs.dtogd(3200)) == (1, 128)
    assert (fs.lblkno(8191), fs.lblkno(8192), fs.blkoff(8193)) == (0, 1, 1)
    assert (fs.fragroundup(1), fs.fragroundup(1024), fs.blkroundup(8193)) == (1024, 1024, 16384)
    assert fs.cgfrags(3) == 3072
    assert fs.bytes_needed == 12288 * 1024


@pytest.mark.parametrize(
    ("size", "lbn", "nbytes"),
    [
        (0, 0, 0), (1, 0, 1024), (1024, 0, 1024), (1025, 0, 2048), (8192, 0, 8192), (8193, 0, 8192),
        (8193, 1, 1024), (8193, 2, 0), (12 * 8192 + 1, 12, 8192), (12 * 8192 + 1, 11, 8192),
    ],
)  # fmt: skip
def test_the_last_direct_block_is_as_many_frags_as_needed(images, size, lbn, nbytes):
    assert search(images[1, "le"]).blksize(size, lbn) == nbytes


@pytest.mark.parametrize(
    ("version", "fields", "size", "blocks", "fast"),
    [
        (1, {}, 59, 0, True), (1, {}, 60, 2, False), (2, {}, 119, 0, True), (2, {}, 120, 2, False),
        (1, {"fs_maxsymlinklen": 0}, 60, 0, True), (1, {"fs_maxsymlinklen": 0}, 5, 2, False),
        (1, {"fs_maxsymlinklen": 0}, 61, 0, False), (1, {"fs_maxsymlinklen": -1}, 5, 0, False),
    ],
)  # fmt: skip
def test_which_symlinks_are_fast(images, version, fields, size, blocks, fast):
    fs = search(patched(images[version, "le"], 8192, "le", **fields))
    assert fs.is_fast_symlink(size, blocks) is fast


def test_formats_of_old_file_systems(images):
    old = search(patched(images[1, "le"], 8192, "le", fs_maxsymlinklen=0, fs_old_inodefmt=-1))
    assert (old.old_inodes, old.old_dirents, old.dirblksiz, old.fs_maxfilesize) == (True, True, 512, 1 << 39)
    new = search(images[1, "le"])
    assert (new.old_inodes, new.old_dirents) == (False, False)
    new.apple_ufs = True
    assert (new.dirblksiz, new.is_fast_symlink(59, 2), new.is_fast_symlink(60, 0)) == (1024, True, False)
    # UFS2 has no old formats, whatever stands in these fields.
    ufs2 = search(patched(images[2, "le"], 8192, "le", fs_old_inodefmt=0))
    assert (ufs2.old_inodes, ufs2.old_dirents) == (False, False)
