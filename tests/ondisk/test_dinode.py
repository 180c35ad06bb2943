from __future__ import annotations

import os
import stat
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rumpfs.ondisk.layout import ORDERS
from rumpfs.ondisk.ufs.dinode import STAT, Dinode, DinodeCodec, dinode_codec
from rumpfs.ondisk.ufs.superblock import find_superblock
from tests.images_util import makefs, manifest, netbsd_image, netbsd_images

CLEAN = [
    name for name in netbsd_images() if not name.startswith(("disklabel", "mbr")) and "dirty" not in name
]
KINDS = {"file": stat.S_IFREG, "dir": stat.S_IFDIR, "symlink": stat.S_IFLNK, "fifo": stat.S_IFIFO,
         "chr": stat.S_IFCHR, "blk": stat.S_IFBLK, "socket": stat.S_IFSOCK}  # fmt: skip


def opened(path):
    fd = os.open(path, os.O_RDONLY)
    return fd, find_superblock(lambda n, at: os.pread(fd, n, at), os.fstat(fd).st_size, path.name)


@pytest.mark.parametrize("name", CLEAN)
def test_every_inode_of_a_netbsd_image_is_what_its_manifest_says(name):
    fd, fs = opened(netbsd_image(name))
    codec = dinode_codec(fs)
    try:
        for entry in manifest(name)["entries"]:
            raw = os.pread(fd, codec.size, fs.ino_to_byte(entry["ino"]))
            ip = codec.decode(raw)
            assert stat.S_IMODE(ip.di_mode) == int(entry["mode"], 8), entry["path"]
            assert stat.S_IFMT(ip.di_mode) == KINDS.get(entry["type"], stat.S_IFMT(ip.di_mode)), entry["path"]
            assert (ip.di_uid, ip.di_gid) == (entry["uid"], entry["gid"]), entry["path"]
            assert (ip.di_nlink, ip.di_blocks) == (entry["nlink"], entry["blocks"]), entry["path"]
            assert (ip.di_mtime, ip.di_mtimensec) == (entry["mtime"], entry["mtime_nsec"]), entry["path"]
            assert ip.di_flags == entry.get("flags", 0), entry["path"]
            if "size" in entry:
                assert ip.di_size == entry["size"], entry["path"]
            if "rdev" in entry:
                assert ip.rdev == entry["rdev"]
            if entry["type"] == "symlink" and fs.is_fast_symlink(ip.di_size, ip.di_blocks):
                assert codec.fast_symlink(raw, 0, ip.di_size) == os.fsencode(entry["target"])
            assert codec.encode(ip, raw) == raw
    finally:
        os.close(fd)


@pytest.mark.parametrize("ufs2", [False, True])
@pytest.mark.parametrize("order", ORDERS)
def test_fields_of_an_inode_are_where_the_format_has_them(order, ufs2):
    """Offsets from the tables of dinode.h, packed here by hand."""
    codec = DinodeCodec(order, ufs2)
    raw = bytearray(codec.size)
    if ufs2:
        places = {"di_mode": (0, "H"), "di_nlink": (2, "h"), "di_uid": (4, "I"), "di_gid": (8, "I"),
                  "di_size": (16, "Q"), "di_blocks": (24, "Q"), "di_atime": (32, "q"), "di_mtime": (40, "q"),
                  "di_ctime": (48, "q"), "di_birthtime": (56, "q"), "di_mtimensec": (64, "i"),
                  "di_atimensec": (68, "i"), "di_ctimensec": (72, "i"), "di_birthnsec": (76, "i"),
                  "di_gen": (80, "i"), "di_flags": (88, "I"), "di_extsize": (92, "i")}  # fmt: skip
        arrays = {"di_extb": (96, 2, "q"), "di_db": (112, 12, "q"), "di_ib": (208, 3, "q")}
    else:
        places = {"di_mode": (0, "H"), "di_nlink": (2, "h"), "di_size": (8, "Q"), "di_atime": (16, "i"),
                  "di_atimensec": (20, "i"), "di_mtime": (24, "i"), "di_mtimensec": (28, "i"),
                  "di_ctime": (32, "i"), "di_ctimensec": (36, "i"), "di_flags": (100, "I"),
                  "di_blocks": (104, "I"), "di_gen": (108, "i"), "di_uid": (112, "I"),
                  "di_gid": (116, "I")}  # fmt: skip
        arrays = {"di_db": (40, 12, "i"), "di_ib": (88, 3, "i")}
    want = dict.fromkeys(Dinode._fields, 0) | {"di_extb": (0, 0)}
    for number, (name, (offset, code)) in enumerate(places.items(), 1):
        struct.pack_into(order + code, raw, offset, number)
        want[name] = number
    for name, (offset, count, code) in arrays.items():
        want[name] = tuple(range(offset, offset + count))
        struct.pack_into(f"{order}{count}{code}", raw, offset, *want[name])
    assert codec.decode(raw)._asdict() == want
    assert codec.decode(b"front" + raw, 5)._asdict() == want


@pytest.mark.parametrize("order", ORDERS)
def test_owners_of_42bsd_inodes_are_the_16_bit_numbers(order):
    raw = bytearray(128)
    struct.pack_into(order + "HH", raw, 4, 1234, 65535)
    struct.pack_into(order + "II", raw, 112, 70000, 80000)
    old = DinodeCodec(order, ufs2=False, old_owner=True)
    assert old.decode(raw)[2:4] == (1234, 65535)
    assert DinodeCodec(order, ufs2=False).decode(raw)[2:4] == (70000, 80000)
    written = old.encode(old.decode(raw)._replace(di_uid=5), raw)
    assert struct.unpack_from(order + "HH", written, 4) == (5, 65535)


@pytest.mark.parametrize("ufs2", [False, True])
@pytest.mark.parametrize("order", ORDERS)
@given(data=st.data())
def test_any_inode_is_written_as_it_was_read(order, ufs2, data):
    codec = DinodeCodec(order, ufs2)
    raw = data.draw(st.binary(min_size=codec.size * 2, max_size=codec.size * 2))
    assert [codec.decode(raw), codec.decode(raw, codec.size)] == list(codec.decode_many(raw))
    assert codec.encode(codec.decode(raw), raw[: codec.size]) == raw[: codec.size]


@pytest.mark.parametrize(("ufs2", "old_owner"), [(False, True), (False, False), (True, False)])
@pytest.mark.parametrize("order", ORDERS)
@given(data=st.data())
def test_what_stat_tells_is_in_the_inode(order, ufs2, old_owner, data):
    codec = DinodeCodec(order, ufs2, old_owner)
    raw = data.draw(st.binary(min_size=3 * codec.size, max_size=3 * codec.size))
    for index in range(3):
        dinode = codec.decode(raw, index * codec.size)
        assert codec.stat(raw, index * codec.size) == tuple(getattr(dinode, name) for name in STAT)
        assert codec.column("di_mode", raw)[index] == dinode.di_mode


@pytest.mark.parametrize(("ufs2", "room"), [(False, 60), (True, 120)])
def test_a_fast_symlink_never_reaches_beyond_the_pointers(ufs2, room):
    codec = DinodeCodec("<", ufs2)
    raw = bytes(range(256))[: codec.size]
    start = 112 if ufs2 else 40
    assert codec.fast_symlink(raw, 0, 5) == raw[start : start + 5]
    assert codec.fast_symlink(raw, 0, 1 << 60) == raw[start : start + room]


@pytest.mark.root
@pytest.mark.parametrize("order", ["le", "be"])
@pytest.mark.parametrize("version", [1, 2])
def test_a_device_number_of_makefs(tmp_path, version, order):
    tree = tmp_path / "tree"
    tree.mkdir()
    os.mknod(tree / "disk", 0o640 | stat.S_IFBLK, os.makedev(8, 300))
    fd, fs = opened(makefs(tree, tmp_path / "image", version, order, 8192, 1024))
    try:
        codec = dinode_codec(fs)
        # The only file: inode 3. NetBSD's dev_t of (8, 300), spec: minor bits 0..7 and 20..31, major 8..19.
        ip = codec.decode(os.pread(fd, codec.size, fs.ino_to_byte(3)))
        assert (stat.S_IFMT(ip.di_mode), ip.rdev) == (stat.S_IFBLK, 0x0010082C)
    finally:
        os.close(fd)
