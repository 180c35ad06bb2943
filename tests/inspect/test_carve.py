"""Finding file systems in damaged disks: they are where the manifests say that they were made."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import pytest

from rumpfs.dev.image import open_image
from rumpfs.inspect.carve import Carved, carve
from rumpfs.ondisk.disklabel import DISKMAGIC
from rumpfs.ondisk.ufs.fs import SBLOCK_UFS2
from tests.images_util import freebsd_image, freebsd_images, manifest, netbsd_image, netbsd_images

WHOLE = [
    name for name in netbsd_images()
    if re.fullmatch(r"(clean-v(0be-8k-1k|1be-16k-2k|2le-4k-512|2be-64k-8k)|appleufs.*|many-cg.*)", name)
]  # fmt: skip
PARTED = [name for name in netbsd_images() if "partitions" in manifest(name)]


def _carved(path: Path) -> Carved:
    window = open_image(str(path))
    try:
        return carve(window.pread, window.size, str(path))
    finally:
        window.close()


def _primary(name: str) -> int:
    """Return the byte at which the kernel's newfs puts the superblock."""
    return SBLOCK_UFS2 if manifest(name)["O"] == 2 else 8192


@pytest.mark.parametrize("name", WHOLE)
def test_a_file_system_begins_where_it_begins(name: str) -> None:
    (found,) = _carved(netbsd_image(name)).filesystems
    assert (found.start, found.primary, found.sure) == (0, True, True)
    assert len(found.copies) == found.fs.fs_ncg + 1
    assert found.copies[0].offset == _primary(name)


@pytest.mark.parametrize("name", PARTED)
def test_partitions_are_found_without_their_table(name: str, tmp_path: Path) -> None:
    data = bytearray(netbsd_image(name).read_bytes())
    data[:4096] = bytes(4096)
    data[2048 * 512 : 2050 * 512] = bytes(1024)  # the disklabel in the slice of the MBR
    (tmp_path / "disk.img").write_bytes(data)
    found = _carved(tmp_path / "disk.img")
    parts = [part for part in manifest(name)["partitions"] if "entries" in part]
    assert [each.start for each in found.filesystems] == sorted(p["offset_sectors"] * 512 for p in parts)
    assert not found.labels


@pytest.mark.parametrize("name", WHOLE)
def test_copies_are_enough(name: str, tmp_path: Path) -> None:
    """The first superblocks are gone; what is left says where they were, and serves fsck -b."""
    data = bytearray(netbsd_image(name).read_bytes())
    (whole,) = _carved(netbsd_image(name)).filesystems
    end = whole.copies[1].offset + 8192
    data[:end] = bytes(end)
    (tmp_path / "disk.img").write_bytes(data)
    (found,) = _carved(tmp_path / "disk.img").filesystems
    assert (found.start, found.primary) == (0, False)
    assert found.copies == whole.copies[2:]
    assert found.sblock == whole.copies[2].offset // 512


def test_two_copies_of_one_file_system_are_two(tmp_path: Path) -> None:
    if not WHOLE:
        pytest.skip("../shared/images has no images of NetBSD")
    data = netbsd_image(WHOLE[0]).read_bytes()
    (tmp_path / "disk.img").write_bytes(bytes(3 * 512) + data + bytes(5 << 20) + data)
    found = _carved(tmp_path / "disk.img").filesystems
    assert [each.start for each in found] == [3 * 512, 3 * 512 + len(data) + (5 << 20)]
    assert all(each.primary for each in found)


def test_the_end_of_a_file_system_says_where_it_began(tmp_path: Path) -> None:
    if not WHOLE:
        pytest.skip("../shared/images has no images of NetBSD")
    data = netbsd_image(WHOLE[0]).read_bytes()
    (tmp_path / "disk.img").write_bytes(data[3 << 20 :])
    (found,) = _carved(tmp_path / "disk.img").filesystems
    assert (found.start, found.primary) == (-(3 << 20), False)


@pytest.mark.parametrize("name", freebsd_images())
def test_file_systems_of_freebsd(name: str) -> None:
    (found,) = _carved(freebsd_image(name)).filesystems
    assert (found.start, found.primary, len(found.copies)) == (0, True, found.fs.fs_ncg + 1)


def test_labels_are_found_deleted_ones_too(tmp_path: Path) -> None:
    names = [name for name in PARTED if not name.endswith("-be")]
    if not names:
        pytest.skip("../shared/images has no image with a disklabel")
    (label,) = _carved(netbsd_image(names[0])).labels
    assert label.label is not None
    starts = {part.p_offset for part in label.label.partitions if part.p_size}
    assert {
        part["offset_sectors"] for part in manifest(names[0])["partitions"] if "entries" in part
    } <= starts
    data = bytearray(netbsd_image(names[0]).read_bytes())
    for place in (0, 132):
        data[label.offset + place : label.offset + place + 4] = struct.pack("<I", DISKMAGIC ^ 0xFFFFFFFF)
    (tmp_path / "disk.img").write_bytes(data)
    (deleted,) = _carved(tmp_path / "disk.img").labels
    assert (deleted.offset, deleted.label) == (label.offset, None)
    assert "deleted" in deleted.problem


def test_numbers_that_only_look_like_one_are_counted(tmp_path: Path) -> None:
    disk = bytearray(64 * 512)
    for sector in range(3, 60, 4):
        struct.pack_into("<I", disk, sector * 512 + 348, 0x19540119)
    (tmp_path / "disk.img").write_bytes(disk)
    found = _carved(tmp_path / "disk.img")
    assert (found.filesystems, found.labels, found.rejected) == ([], [], 15)
