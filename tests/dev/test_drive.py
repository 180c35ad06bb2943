"""Opening drives: what is created, extended and refused (../shared/spec/sysproxy.md section 13.6)."""

from __future__ import annotations

import fcntl
import os

import pytest

from rumpfs.abi import errno
from rumpfs.dev.drive import DriveError, open_drive
from rumpfs.dev.drivespec import parse_drivespec
from rumpfs.ondisk.layout import ORDERS
from tests.images_util import manifest, netbsd_image, scratch_copy
from tests.ondisk.labels import label, mbr, openbsd_label


@pytest.fixture
def opened(request):
    """Open drives and close them after the test."""
    drives = []

    def open_it(words, path):
        drive = open_drive(parse_drivespec(f"key=/dev/dk,hostpath={path},{words}"))
        drives.append(drive)
        return drive

    yield open_it
    for drive in drives:
        drive.window.close()


def refused(words, path):
    with pytest.raises(DriveError) as caught:
        open_drive(parse_drivespec(f"key=/dev/dk,hostpath={path},{words}"))
    return caught.value


def placed(drive):
    return drive.window.offset, drive.window.size


def sparse(path, size, *pieces):
    with path.open("wb") as stream:
        stream.truncate(size)
        for offset, data in pieces:
            stream.seek(offset)
            stream.write(data)
    return path


# size= and offset=


def test_a_missing_file_is_created_sparse(tmp_path, opened):
    umask = os.umask(0o022)
    try:
        drive = opened("size=1g,offset=1k", tmp_path / "dk.img")
    finally:
        os.umask(umask)
    facts = (tmp_path / "dk.img").stat()
    assert (facts.st_size, facts.st_mode & 0o7777) == ((1 << 30) + 1024, 0o644)
    assert facts.st_blocks == 0
    assert placed(drive) == (1024, 1 << 30)
    assert not drive.window.readonly


def test_a_short_file_is_extended_and_a_long_one_stays(tmp_path, opened):
    short = sparse(tmp_path / "short", 1000, (0, b"x" * 1000))
    opened("size=4k", short)
    assert short.read_bytes() == b"x" * 1000 + bytes(3096)
    long = sparse(tmp_path / "long", 10000)
    assert placed(opened("size=4k,offset=512", long)) == (512, 4096)
    assert long.stat().st_size == 10000


def test_size_host(tmp_path, opened):
    image = sparse(tmp_path / "image", 5555)
    assert placed(opened("size=host", image)) == (0, 5555)
    error = refused("size=host", tmp_path / "missing")
    assert (error.reason, error.errno) == ("etfs hostpath open", errno.ENOENT)
    assert not (tmp_path / "missing").exists()
    error = refused("size=host", sparse(tmp_path / "empty", 0))
    assert str(error) == "size=host, but cannot query non-zero size: Invalid argument"
    assert (error.errno, error.host_errno) == (22, 22)


def test_a_regular_file_key_needs_no_size(tmp_path, opened):
    drive = opened("type=reg", tmp_path / "module.kmod")
    assert placed(drive) == (0, 0)
    assert (tmp_path / "module.kmod").stat().st_size == 0


def test_read_only_neither_creates_nor_extends_nor_writes(tmp_path, opened):
    error = refused("size=1m,ro", tmp_path / "missing")
    assert (error.reason, error.errno) == ("etfs hostpath open", errno.ENOENT)
    assert not (tmp_path / "missing").exists()
    short = sparse(tmp_path / "short", 1000)
    drive = opened("size=4k,offset=512,ro", short)
    assert (placed(drive), drive.window.readonly, short.stat().st_size) == ((512, 488), True, 1000)
    assert drive.warnings == (f"{short} has 1000 bytes: served up to there, not to byte 4608",)
    error = refused("size=4k,offset=1000,ro", short)
    assert (error.reason, error.errno) == ("etfs register", errno.EINVAL)


def test_reasons_of_the_host(tmp_path):
    assert str(refused("size=1m", tmp_path)) == "etfs hostpath open: Is a directory"
    assert (
        str(refused("size=1m", tmp_path / "no" / "such")) == "etfs hostpath open: No such file or directory"
    )
    error = refused("size=9223372036854775807,offset=9223372036854775807", tmp_path / "huge")
    assert (error.reason, error.errno) == ("truncate", errno.EFBIG)
    error = refused("size=1m", "/dev/null")
    assert (error.reason, error.errno) == ("etfs register", errno.EINVAL)
    os.mkfifo(tmp_path / "fifo")
    assert refused("size=1m", tmp_path / "fifo").errno == errno.EINVAL


def test_a_locked_file_says_so(tmp_path):
    image = sparse(tmp_path / "image", 4096)
    with image.open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        error = refused("size=host", image)
    assert (error.reason, error.errno) == ("etfs hostpath open", errno.EBUSY)
    assert f"{image} is locked by another process" in error.why


def test_an_error_leaves_nothing_open(tmp_path):
    image = sparse(tmp_path / "image", 4096)
    refused("disklabel=a", image)
    with image.open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)


# disklabel=


@pytest.mark.parametrize("start", [0, 63, 2048])
@pytest.mark.parametrize("slice_start", [None, 63, 2048])
@pytest.mark.parametrize("offset", [0, 64, 128, 512, 1024])
@pytest.mark.parametrize("count", [8, 16, 22])
@pytest.mark.parametrize("order", ORDERS)
def test_partitions_of_labels_in_every_place(tmp_path, opened, order, count, offset, slice_start, start):
    """Both orders, lengths, places, MBR or none: offsets are absolute in all of them."""
    base = (slice_start or 0) * 512
    pieces = [(base + offset, label(order, {"a": (start, 4000), "b": (start + 4000, 100, 1)}, count=count))]
    if slice_start is not None:
        pieces.append((0, mbr((0xA9, slice_start, 8000))))
    image = sparse(tmp_path / "image", 8 << 20, *pieces)
    drive = opened("disklabel=b", image)
    assert placed(drive) == ((start + 4000) * 512, 100 * 512)
    assert ("little" if order == "<" else "big") in drive.label
    assert str(base + offset) in drive.label


@pytest.mark.parametrize("order", ORDERS)
def test_a_partition_beyond_4_gib(tmp_path, opened, order):
    sector = (6 << 30) // 512 + 1
    data = label(order, {"a": (sector, 8)}, sectors=sector + 8)
    image = sparse(tmp_path / "image", (sector + 8) * 512, (512, data), (sector * 512, b"beyond"))
    drive = opened("disklabel=a", image)
    assert placed(drive) == (sector * 512, 4096)
    assert drive.window.pread(6, 0) == b"beyond"


def test_an_openbsd_partition_beyond_2_tib(tmp_path, opened):
    sector = (5 << 32) + 8
    data = openbsd_label("<", {"d": (sector, 64)}, sectors=sector + 64)
    image = sparse(tmp_path / "image", (sector + 64) * 512, (512, data))
    assert placed(opened("disklabel=d", image)) == (sector * 512, 32768)


def test_sectors_are_as_large_as_the_label_says(tmp_path, opened):
    image = sparse(tmp_path / "image", 1 << 20, (512, label("<", {"a": (10, 20)}, secsize=4096, sectors=256)))
    assert placed(opened("disklabel=a", image)) == (40960, 81920)


@pytest.mark.parametrize(("raw", "first"), [(0, 100), (2048, 2148)])
def test_freebsd_partitions_count_from_their_slice(tmp_path, opened, raw, first):
    """Relative labels have c at 0, old absolute ones have c at the slice's start."""
    data = label("<", {"a": (first, 200), "b": (1, 10), "c": (raw, 4000, 0)})
    image = sparse(tmp_path / "image", 8 << 20, (0, mbr((0xA5, 2048, 4000))), (2049 * 512, data))
    assert placed(opened("disklabel=a", image)) == (2148 * 512, 200 * 512)
    if raw:
        error = refused("disklabel=b", image)
        assert (error.reason, error.why) == (
            "partition not available",
            f"{image}: partition b: starts before its slice",
        )


def test_openbsd_partitions_count_from_the_disk(tmp_path, opened):
    data = label("<", {"a": (2148, 200)}, count=16)
    image = sparse(tmp_path / "image", 8 << 20, (0, mbr((0xA6, 2048, 4000))), (2049 * 512, data))
    assert placed(opened("disklabel=a", image)) == (2148 * 512, 200 * 512)


def test_a_file_shorter_than_its_partition_is_extended(tmp_path, opened):
    image = sparse(tmp_path / "image", 1 << 20, (512, label("<", {"a": (0, 4096)}, sectors=4096)))
    drive = opened("disklabel=a", image)
    assert (placed(drive), image.stat().st_size) == ((0, 2 << 20), 2 << 20)
    assert drive.warnings == (f"{image}: partition a: ends at byte 2097152, the image has 1048576 bytes",)


def test_a_read_only_file_shorter_than_its_partition_is_clipped(tmp_path, opened):
    image = sparse(tmp_path / "image", 1 << 20, (512, label("<", {"a": (16, 4096)}, sectors=8192)))
    assert placed(opened("disklabel=a,ro", image)) == (8192, (1 << 20) - 8192)
    assert image.stat().st_size == 1 << 20


def test_odd_partitions_are_served_with_a_warning(tmp_path, opened):
    parts = {"a": (16, 1000, 12), "b": (500, 2000), "c": (0, 4096, 0), "e": (3000, 100)}
    image = sparse(tmp_path / "image", 4 << 20, (512, label("<", parts, sectors=2500)))
    name = f"{image}: partition"
    assert opened("disklabel=a", image).warnings == (
        f"{name} a: its type is ISO9660, not 4.2BSD",
        f"{name} a: overlaps partition b",
    )
    assert opened("disklabel=e", image).warnings == (
        f"{name} e: ends at sector 3100, the label says that the disk has 2500",
    )


@pytest.mark.parametrize(
    ("letter", "why"),
    [
        ("i", "the disklabel at byte 512 has a..h"),
        ("z", "the disklabel at byte 512 has a..h"),
        ("b", "is unused (its size is 0)"),
        ("e", "starts at byte 1048576, the image has 1048576 bytes"),
    ],
)
def test_partitions_that_are_not_available(tmp_path, letter, why):
    image = sparse(tmp_path / "image", 1 << 20, (512, label("<", {"a": (0, 100), "e": (2048, 100)})))
    error = refused(f"disklabel={letter}", image)
    assert str(error) == "partition not available: No such file or directory"
    assert error.why == f"{image}: partition {letter}: {why}"


def test_a_label_without_partitions(tmp_path):
    image = sparse(tmp_path / "image", 1 << 20, (512, label("<", {}, count=0)))
    assert refused("disklabel=a", image).why.endswith("the disklabel at byte 512 has no partitions")


def test_no_label(tmp_path):
    image = sparse(tmp_path / "image", 1 << 20)
    error = refused("disklabel=a", image)
    assert str(error) == "disklabel not found: No such file or directory"
    assert (error.errno, error.host_errno) == (2, 2)
    assert error.why == f"{image}: no disklabel in the first 65536 bytes, nor in an MBR or GPT partition"
    assert refused("disklabel=a", tmp_path / "missing").reason == "etfs hostpath open"
    assert not (tmp_path / "missing").exists()


def test_a_damaged_label_is_said_to_be_there(tmp_path):
    data = bytearray(label("<", {"a": (0, 100)}))
    data[150] ^= 0x10
    image = sparse(tmp_path / "image", 1 << 20, (512, bytes(data)))
    error = refused("disklabel=a", image)
    assert error.reason == "disklabel not found"
    assert (
        error.why == f"{image}: disklabel at byte 512: the checksum of a disklabel with 8 partitions is wrong"
    )


@pytest.mark.parametrize("name", ["disklabel-le", "mbr-disklabel"])
def test_partitions_of_netbsds_images(name, opened):
    for facts in manifest(name)["partitions"]:
        drive = opened(f"disklabel={facts['partition']},ro", netbsd_image(name))
        assert placed(drive) == (facts["offset_sectors"] * 512, facts["size_sectors"] * 512)
        where = facts["superblock"]["superblock_offset"]
        magic = drive.window.pread(4, where + 1372)
        assert hex(int.from_bytes(magic, "little")) == facts["superblock"]["magic"]
        assert drive.warnings == ()


def test_the_swapped_label_of_netbsds_image(tmp_path, opened):
    """The image has lost its label (newfs cleared the boot area): put back what the manifest describes."""
    facts = manifest("disklabel-be")
    parts = {key: (part["offset"], part["size"]) for key, part in facts["label"].items()}
    image = scratch_copy(netbsd_image("disklabel-be"), tmp_path)
    with image.open("r+b") as stream:
        stream.seek(facts["label_byte_offset"])
        stream.write(label(">", parts, sectors=33264))
    for part in facts["partitions"]:
        drive = opened(f"disklabel={part['partition']}", image)
        assert placed(drive) == (part["offset_sectors"] * 512, part["size_sectors"] * 512)
        magic = drive.window.pread(4, part["superblock"]["superblock_offset"] + 1372)
        assert hex(int.from_bytes(magic, "big")) == part["superblock"]["magic"]


def test_two_partitions_share_one_open_file(tmp_path, opened):
    image = sparse(tmp_path / "image", 1 << 20, (512, label("<", {"a": (0, 100), "b": (100, 100)})))
    first, second = opened("disklabel=a", image), opened("disklabel=b,ro", image)
    assert first.window.hostfile is second.window.hostfile
    assert (first.window.readonly, second.window.readonly) == (False, True)
