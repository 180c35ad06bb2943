from __future__ import annotations

import io
import struct
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rumpfs.base.errors import BadChecksum, BadMagic, Corrupt, DiskError
from rumpfs.ondisk.disklabel import Dialect, Partition, decode_disklabel, dkcksum, encode_disklabel
from rumpfs.ondisk.labelscan import find_label
from rumpfs.ondisk.layout import ORDERS
from tests.images_util import manifest, netbsd_image
from tests.ondisk.labels import NETBSD_FFS_GUID, checksum, gpt, label, mbr, openbsd_label, put

PARTS = {"a": (64, 20000), "b": (20064, 1000, 1), "c": (0, 40000, 0), "h": (30000, 10000)}
DISK = 40000 * 512


def find(disk: bytes, size: int | None = None, offset: int | None = None):
    return find_label(lambda n, at: bytes(disk[at : at + n]), size or len(disk), "disk.img", offset)


def blank(nbytes: int = 1 << 20) -> bytearray:
    return bytearray(nbytes)


def sizes(found):
    return [(p.p_offset, p.p_size, p.p_fstype) for p in found.label.partitions]


# One label.


@pytest.mark.parametrize("count", [1, 8, 16, 22])
@pytest.mark.parametrize("order", ORDERS)
def test_a_label_decodes_in_both_orders(order, count):
    parts = {letter: place for letter, place in PARTS.items() if letter < "abcdefghijklmnopqrstuvwxyz"[count]}
    got = decode_disklabel(label(order, parts, count=count), 0, "x")
    assert (got.order, got.dialect, got.d_secsize, got.d_secperunit) == (order, Dialect.NETBSD, 512, 40000)
    assert len(got.partitions) == count
    assert got.partitions[0] == Partition(20000, 64, 7, 1024, 8, 0)
    assert got.record.d_typename.rstrip(b"\0") == b"image"


@pytest.mark.parametrize("order", ORDERS)
def test_what_we_encode_is_a_label_by_the_tables_of_the_format(order):
    parts = {"a": Partition(20000, 64, 7, 1024, 8), "d": Partition(40000, 0)}
    ours = encode_disklabel(parts, 40000, order=order, npartitions=8)
    want = bytearray(label(order, {"a": (64, 20000), "d": (0, 40000, 0)}, sectors=40000))
    for index in range(1, 8):  # hints of unused partitions, and of the raw one
        want[148 + 16 * index + 8 : 148 + 16 * index + 16] = bytes(8)
    struct.pack_into(order + "H", want, 136, 0)
    assert ours == checksum(order, bytes(want))
    assert dkcksum(ours) == 0


@pytest.mark.parametrize(
    ("parts", "count", "why"),
    [
        ({"a": Partition(1, 1 << 32)}, 8, "does not fit"),
        ({"a": Partition(-1, 0)}, 8, "does not fit"),
        ({"i": Partition(1, 0)}, 8, "partition i is not in a table of 8"),
        ({}, 0, "1 to 22 partitions"),
        ({}, 23, "1 to 22 partitions"),
    ],
)
def test_what_no_label_can_hold_is_refused(parts, count, why):
    with pytest.raises(ValueError, match=why):
        encode_disklabel(parts, 100, npartitions=count)


@pytest.mark.parametrize("order", ORDERS)
def test_an_openbsd_label_has_64_bit_numbers(order):
    big = 5 << 32
    got = decode_disklabel(openbsd_label(order, {"a": (big + 64, big)}, sectors=3 * big), 0, "x")
    assert (got.dialect, got.d_secperunit) == (Dialect.OPENBSD, 3 * big)
    assert got.partitions[0] == Partition(big, big + 64, 7, 4096, 8, 1)
    assert got.record.d_uid == b"uniqueid"


def test_an_openbsd_label_of_version_0_has_the_classic_entries():
    got = decode_disklabel(label("<", PARTS, count=16), 0, "x", Dialect.OPENBSD)
    assert got.partitions[0] == Partition(20000, 64, 7, 1024, 8, 0)


def test_52_partitions_are_openbsds_alone():
    data = openbsd_label(">", {"z": (1, 2)}, sectors=100, count=26)
    assert decode_disklabel(data, 0, "x").partitions[25][:2] == (2, 1)
    with pytest.raises(Corrupt, match="d_npartitions is 23"):
        decode_disklabel(label(">", {}, count=23), 0, "x")


def test_a_sector_size_of_0_means_512_and_odd_ones_are_damage():
    assert decode_disklabel(label("<", PARTS, secsize=0), 0, "x").d_secsize == 512
    assert decode_disklabel(label("<", PARTS, secsize=2048), 0, "x").d_secsize == 2048
    for secsize in (1, 513, 131072):
        with pytest.raises(Corrupt, match="d_secsize"):
            decode_disklabel(label("<", PARTS, secsize=secsize), 0, "x")


def test_errors_are_told_apart():
    good = label("<", PARTS)
    with pytest.raises(BadMagic, match="x: no disklabel"):
        decode_disklabel(bytes(512), 0, "x")
    with pytest.raises(BadMagic, match="deleted disklabel"):
        decode_disklabel(deleted(good), 0, "x")
    with pytest.raises(BadChecksum, match="checksum of a disklabel with 8 partitions"):
        decode_disklabel(good[:40] + b"\x01" + good[41:], 0, "x")
    with pytest.raises(Corrupt, match="d_npartitions"):
        decode_disklabel(label("<", {}, count=16)[:300], 0, "x")
    with pytest.raises(BadMagic):
        decode_disklabel(good[:132], 0, "x")
    with pytest.raises(Corrupt, match="the data end"):
        decode_disklabel(good[:140], 0, "x")


def deleted(data):
    inverted = bytes(byte ^ 0xFF for byte in data[:4])
    return inverted + data[4:132] + inverted + data[136:]


# The search.


@pytest.mark.parametrize("offset", [0, 64, 128, 512, 516, 1024, 4608, 8196, 65536 - 276])
@pytest.mark.parametrize("order", ORDERS)
def test_a_label_is_found_wherever_a_port_puts_it(order, offset):
    disk = blank()
    put(disk, offset, label(order, PARTS))
    found = find(disk)
    assert (found.offset, found.container, found.base) == (offset, "disk", 0)
    assert found.label.order == order
    assert sizes(found)[0] == (64, 20000, 7)


def test_a_label_beyond_64_kib_of_the_disk_is_not_searched():
    disk = blank()
    put(disk, 65536, label("<", PARTS))
    with pytest.raises(BadMagic, match="no disklabel in the first 65536 bytes"):
        find(disk)
    assert find(disk, offset=65536).offset == 65536


def test_a_bad_candidate_is_passed_over():
    disk = blank()
    bad = bytearray(label("<", {"a": (1, 2)}))
    bad[50] ^= 1
    put(disk, 512, bytes(bad))
    put(disk, 4608, label(">", PARTS))
    assert find(disk).offset == 4608
    put(disk, 4608, bytes(512))
    with pytest.raises(BadChecksum, match=r"disk.img: disklabel at byte 512: the checksum"):
        find(disk)


def test_a_deleted_label_is_said():
    disk = blank()
    put(disk, 512, deleted(label(">", PARTS)))
    with pytest.raises(BadMagic, match=r"disk.img: disklabel at byte 512: a deleted disklabel"):
        find(disk)


@pytest.mark.parametrize("start", [63, 2048])
@pytest.mark.parametrize(
    ("kind", "dialect"), [(0xA9, Dialect.NETBSD), (0xA5, Dialect.FREEBSD), (0xA6, Dialect.OPENBSD)]
)
def test_a_label_in_an_mbr_slice(kind, dialect, start):
    disk = blank(4 << 20)
    put(disk, 0, mbr((0x83, 4096, 100), (kind, start, 2000)))
    put(disk, (start + 1) * 512, label("<", PARTS))
    found = find(disk)
    assert found.label.dialect is dialect
    assert (found.offset, found.base) == ((start + 1) * 512, start * 512)
    assert found.container == f"MBR slice at sector {start}"


def test_netbsds_slice_comes_before_the_others_and_before_the_disk():
    disk = blank(4 << 20)
    put(disk, 0, mbr((0xA5, 100, 500), (0xA9, 2048, 500)))
    for sector in (1, 101, 2049):
        put(disk, sector * 512, label("<", {"a": (sector, 1)}))
    assert find(disk).offset == 2049 * 512


def test_a_label_in_a_chain_of_extended_partitions():
    disk = blank(4 << 20)
    put(disk, 0, mbr((0x83, 63, 100), (0x05, 1000, 5000)))
    put(disk, 1000 * 512, mbr((0x83, 63, 400), (0x05, 600, 1000)))
    put(disk, 1600 * 512, mbr((0xA9, 63, 400)))
    put(disk, (1663 + 1) * 512, label(">", PARTS))
    assert find(disk).container == "MBR slice at sector 1663"


@pytest.mark.parametrize("back", [0, 1000, 600])
def test_a_chain_that_does_not_advance_ends(back):
    disk = blank(4 << 20)
    put(disk, 0, mbr((0x0F, 1000, 5000)))
    put(disk, 1000 * 512, mbr((0x05, 600, 1000)))
    put(disk, 1600 * 512, mbr((0x05, back, 1000)))
    with pytest.raises(BadMagic):
        find(disk)


def test_a_slice_beyond_the_image_is_left_out():
    disk = blank()
    put(disk, 0, mbr((0xA9, 1 << 31, 100), (0x05, 0xFFFFFFFF, 0xFFFFFFFF)))
    put(disk, 4608, label("<", PARTS))
    assert find(disk).offset == 4608


def test_a_label_in_a_gpt_partition():
    disk = blank(4 << 20)
    gpt(disk, (bytes(range(16)), 40, 99), (NETBSD_FFS_GUID, 2048, 6000))
    put(disk, 2049 * 512, label("<", PARTS))
    found = find(disk)
    assert (found.offset, found.container) == (2049 * 512, "GPT partition at byte 1048576")


def test_a_gpt_without_a_label_is_said():
    disk = blank(4 << 20)
    gpt(disk, (NETBSD_FFS_GUID, 2048, 6000))
    with pytest.raises(BadMagic, match="a GPT disk of 1 partitions without a disklabel"):
        find(disk)
    disk[1024] ^= 1  # the table's checksum is wrong now: no GPT
    with pytest.raises(BadMagic, match="no disklabel in the first"):
        find(disk)


@pytest.mark.oracle("sgdisk")
def test_a_gpt_of_sgdisk_and_its_backup(tmp_path):
    image = tmp_path / "gpt.img"
    with image.open("wb") as stream:
        stream.truncate(8 << 20)
    kinds = ["-n", "1:2048:+1M", "-t", "1:8300", "-n", "2:6144:+1M", "-t", "2:a902"]  # a902: NetBSD FFS
    subprocess.run(["sgdisk", *kinds, str(image)], check=True, capture_output=True)
    disk = bytearray(image.read_bytes())
    put(disk, 6145 * 512, label("<", PARTS))
    assert find(disk).container == f"GPT partition at byte {6144 * 512}"
    put(disk, 512, bytes(512))  # the primary header is gone, its copy in the last sector is not
    assert find(disk).container == f"GPT partition at byte {6144 * 512}"


@pytest.mark.oracle("sfdisk")
def test_an_mbr_of_sfdisk_with_logical_partitions(tmp_path):
    image = tmp_path / "mbr.img"
    with image.open("wb") as stream:
        stream.truncate(8 << 20)
    script = "label: dos\n2048,2048,83\n4096,,5\n4159,1000,83\n6144,2000,a9\n"
    subprocess.run(["sfdisk", str(image)], input=script, text=True, check=True, capture_output=True)
    disk = bytearray(image.read_bytes())
    put(disk, 6145 * 512, label(">", PARTS))
    assert find(disk).container == "MBR slice at sector 6144"


@pytest.mark.parametrize("name", ["disklabel-le", "mbr-disklabel"])
def test_labels_that_netbsd_wrote(name):
    facts = manifest(name)
    image = netbsd_image(name)
    with image.open("rb") as stream:
        data = stream.read()
    found = find(data)
    assert found.offset == facts["label_byte_offset"]
    assert found.label.order == {"le": "<", "be": ">"}[facts["label_byte_order"]]
    kinds = {"4.2BSD": 7, "swap": 1, "unused": 0}
    for index, partition in enumerate(found.label.partitions):
        want = facts["label"].get("abcdefgh"[index], {"offset": 0, "size": 0, "fstype": "unused"})
        assert (partition.p_offset, partition.p_size) == (want["offset"], want["size"])
        assert partition.p_fstype == kinds[want["fstype"]]
    total = next(line for line in facts["label_text"] if line.startswith("total sectors"))
    assert found.label.d_secperunit == int(total.split()[2])


def test_the_swapped_label_of_netbsd_is_not_in_its_image():
    """newfs of partition a, which starts at 0, left zeros where the manifest's label was."""
    facts = manifest("disklabel-be")
    with netbsd_image("disklabel-be").open("rb") as stream:
        data = stream.read()
    assert not any(data[:8192])
    with pytest.raises(BadMagic):
        find(data)
    # With the label put back as the manifest describes it, both partitions are where it says.
    kinds = {"4.2BSD": 7, "swap": 1, "unused": 0}
    parts = {key: (p["offset"], p["size"], kinds[p["fstype"]]) for key, p in facts["label"].items()}
    disk = bytearray(data)
    put(disk, facts["label_byte_offset"], label(">", parts, sectors=33264))
    found = find(disk)
    assert (found.offset, found.label.order) == (128, ">")
    assert sizes(found)[6] == (14112, 18144, 7)


# Other programs read what we write.


@pytest.mark.oracle("dissect.volume")
@pytest.mark.parametrize("count", [8, 16])
def test_dissect_reads_our_labels(count):
    from dissect.volume.disk import Disk

    parts = {"a": Partition(1000, 64, 7, 1024, 8), "e": Partition(500, 1064, 7), "c": Partition(2048, 0)}
    disk = blank()
    put(disk, 512, encode_disklabel(parts, 2048, npartitions=count))
    seen = {(p.offset, p.size) for p in Disk(io.BytesIO(bytes(disk))).partitions}
    assert {(64 * 512, 1000 * 512), (1064 * 512, 500 * 512)} <= seen


@pytest.mark.oracle("mmls")
@pytest.mark.parametrize("count", [8, 16])
@pytest.mark.parametrize("order", ORDERS)
def test_sleuthkit_reads_our_labels(tmp_path, order, count):
    parts = {"a": Partition(1000, 63, 7), "e": Partition(500, 1063, 1), "c": Partition(2048, 0)}
    disk = blank()
    put(disk, 512, encode_disklabel(parts, 2048, order=order, npartitions=count))
    image = tmp_path / "image"
    image.write_bytes(disk)
    lines = subprocess.run(
        ["mmls", "-t", "bsd", str(image)], check=True, capture_output=True, text=True
    ).stdout
    rows = {tuple(line.split()[1:5]) for line in lines.splitlines() if line[:1].isdigit()}
    assert ("000", "0000000063", "0000001062", "0000001000") in rows
    assert ("004", "0000001063", "0000001562", "0000000500") in rows
    assert ("002", "0000000000", "0000002047", "0000002048") in rows


# Hostile disks.


@given(
    flips=st.lists(st.integers(0, 8 * 404 - 1), min_size=1, max_size=4, unique=True),
    order=st.sampled_from(ORDERS),
)
def test_flipped_bits_in_a_label(flips, order):
    good = label(order, PARTS, count=16)
    data = bytearray(good)
    for bit in flips:
        data[bit // 8] ^= 1 << bit % 8
    disk = blank(65536)
    put(disk, 512, bytes(data))
    try:
        found = find(disk)
    except DiskError as error:
        assert str(error).startswith("disk.img")  # noqa: PT017
    else:
        # The XOR has not noticed: an even number of flips in one column, or beyond d_npartitions.
        assert len({bit % 16 for bit in flips}) < len(flips) or found.label.record.d_npartitions != 16


@given(data=st.binary(max_size=4096), size=st.integers(0, 1 << 40))
def test_random_disks(data, size):
    def read(nbytes, at):
        return data[at : at + nbytes].ljust(min(nbytes, 65536), b"\0")

    with pytest.raises(DiskError):
        find_label(read, size, "disk.img")


@given(sector=st.binary(min_size=64, max_size=64))
def test_random_partition_tables(sector):
    disk = bytes(446) + sector + b"\x55\xaa"
    reads = []

    def read(nbytes, at):
        reads.append(nbytes)
        return disk[:nbytes].ljust(nbytes, b"\0")

    with pytest.raises(DiskError):
        find_label(read, 1 << 50, "disk.img")
    assert len(reads) < 300
    assert sum(reads) < 1 << 20


def test_a_disk_full_of_magics_is_given_up_soon():
    disk = struct.pack("<I", 0x82564557) * 16384
    with pytest.raises(DiskError):
        find(disk)
