"""WAPBL logs: those that a NetBSD kernel left behind, and written ones that it would rarely leave."""

from __future__ import annotations

import random
from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rumpfs.base.errors import BadMagic, Corrupt, DiskError
from rumpfs.ondisk.layout import ORDERS
from rumpfs.ondisk.ufs.superblock import find_superblock
from rumpfs.ondisk.ufs.wapbl import (
    WC_BLOCK,
    WC_BLOCKLIST,
    WC_HEADER,
    WC_INODE,
    WC_INODELIST,
    Extent,
    LogPosition,
    Replay,
    Wapbl,
    find_log,
)
from tests.images_util import manifest, netbsd_image, netbsd_images
from tests.ondisk.logs import BLOCKS, HEADER, Log

DIRTY = [name for name in netbsd_images() if name.startswith("wapbl") and "dirty" in name]
CLEAN = [name for name in netbsd_images() if name.startswith("wapbl") and "clean" in name]

#: Where the written logs lie on their device, and how many bytes that has.
START, DEVICE = 1 << 20, 2 << 20


def reader(data: bytes) -> Any:
    return lambda nbytes, offset: bytes(data[offset : offset + nbytes])


def device(log: Log, before: bytes = b"") -> bytearray:
    """Return a device with a log on it."""
    data = bytearray(before.ljust(DEVICE, b"\0"))
    data[START : START + len(log.data)] = log.data
    return data


def opened(log: Log) -> Wapbl:
    return Wapbl(reader(device(log)), DEVICE, LogPosition(START, len(log.data), log.block), "disk.img")


def replayed(log: Log, before: bytes = b"") -> tuple[bytearray, Replay]:
    """Replay a log on a device; return what that holds then."""
    data = device(log, before)
    replay = Wapbl(reader(data), DEVICE, LogPosition(START, len(log.data), log.block), "disk.img").replay()
    result = data.copy()
    for start, length, source in replay.extents:
        result[start : start + length] = data[source : source + length]
    return result, replay


@pytest.mark.parametrize("record", [WC_HEADER, WC_BLOCKLIST, WC_BLOCK, WC_INODELIST, WC_INODE])
@pytest.mark.parametrize("order", ORDERS)
def test_the_codecs_agree_with_construct(record: Any, order: Any) -> None:
    data = random.Random(record.name).randbytes(record.size)
    row = record.codec(order).unpack(data)
    parsed = record.construct(order).parse(data)
    assert {name: getattr(row, name) for name in record.names} == {
        name: tuple(parsed[name]) if isinstance(parsed[name], list) else parsed[name] for name in record.names
    }
    assert record.codec(order).pack(row) == data


@pytest.mark.parametrize("name", DIRTY)
def test_the_logs_of_a_kernel(name: str) -> None:
    facts = manifest(name)["wapbl"]
    data = netbsd_image(name).read_bytes()
    fs = find_superblock(reader(data), len(data), name)
    position = find_log(fs, len(data))
    assert position == (facts["addr"] * 512, facts["count"] * 512, facts["blksize"])
    wapbl = Wapbl(reader(data), len(data), position, name)
    header = dict(facts["header"])
    assert (wapbl.slot, wapbl.order) == (header.pop("slot"), "<")
    assert {field: getattr(wapbl.header, f"wc_{field}") for field in header} == header
    assert wapbl.live == facts["bytes"]
    assert Counter(record.name for record in wapbl.records()) == facts["records"]
    assert (wapbl.header.wc_head < wapbl.header.wc_tail) == facts["wraps"]


@pytest.mark.parametrize("name", CLEAN)
def test_a_log_after_an_unmount_is_not_in_use(name: str) -> None:
    data = netbsd_image(name).read_bytes()
    assert not find_superblock(reader(data), len(data), name).has_wapbl


@pytest.mark.parametrize("order", ORDERS)
def test_what_a_replay_puts_where(order: str) -> None:
    log = Log(order)
    log.blocks((8, b"a" * 1024), (100, b"b" * 512))
    log.blocks((9, b"c" * 512))
    log.inodes((7, 0o100644), clear=True)
    log.header(1)
    result, replay = replayed(log)
    assert result[:START].strip(b"\0") == result[4096 : 101 * 512].strip(b"\0")
    assert result[4096:5120] == b"a" * 512 + b"c" * 512
    assert result[51200:51712] == b"b" * 512
    assert replay.inodes == {7: 0o100644}
    assert [extent.start for extent in replay.extents] == [4096, 4608, 51200]


def test_neighbours_become_one_extent() -> None:
    log = Log()
    log.blocks((8, b"a" * 1024), (10, b"b" * 2048))
    log.inodes(clear=True)
    log.header(0)
    assert opened(log).replay().extents == [Extent(4096, 3072, START + 1024 + 512)]


def test_revocations_take_back_what_came_before_them_only() -> None:
    log = Log()
    log.blocks((8, b"a" * 2048), (40, b"b" * 512))
    log.revocations((9, 1024), (40, 512), (1000, 65536))
    log.blocks((40, b"c" * 512))
    log.inodes(clear=True)
    log.header(0)
    result, _ = replayed(log, b"-" * (64 * 512))
    assert result[4096:6144] == b"a" * 512 + b"-" * 1024 + b"a" * 512
    assert result[40 * 512 : 41 * 512] == b"c" * 512


def test_a_clear_list_forgets_the_others() -> None:
    log = Log()
    log.inodes((3, 1), (4, 2), clear=True)
    log.inodes((5, 3))
    log.header(0)
    assert opened(log).replay().inodes == {3: 1, 4: 2, 5: 3}
    log.inodes((6, 4), clear=True)
    log.inodes((7, 5))
    log.header(1)
    assert opened(log).replay().inodes == {6: 4, 7: 5}


@pytest.mark.parametrize("block", [512, 1024, 4096])
@pytest.mark.parametrize("back", range(1, 12))
def test_a_log_wraps_anywhere(block: int, back: int) -> None:
    """The tail lies `back` blocks before the end: the end is in or between records, or in data."""
    log = Log(block=block, size=block * 64, tail=block * (64 - back))
    content = random.Random(back).randbytes(block * 4)
    log.blocks((block // 512 * 3, content[: 3 * block]), (0, content[3 * block :]))
    log.inodes((9, 9), clear=True)
    log.blocks((block // 512 * 20, content))
    log.header(0)
    result, replay = replayed(log)
    assert result[: 7 * block] == content[3 * block :] + bytes(2 * block) + content[: 3 * block] + bytes(
        block
    )
    assert result[20 * block : 24 * block] == content
    assert replay.inodes == {9: 9}


@pytest.mark.parametrize(
    ("first", "second", "newest"),
    [(4, 3, 0), (4, 5, 1), (0, 1, 1), (0xFFFFFFFE, 0xFFFFFFFF, 1), (0, 0xFFFFFFFF, 0), (0, 57, 1)],
)
def test_the_newest_header_counts(first: int, second: int, newest: int) -> None:
    log = Log()
    log.header(first, 0)
    log.inodes((11, 0), clear=True)
    log.header(second, 1)
    wapbl = opened(log)
    assert (wapbl.slot, wapbl.header.wc_generation) == (newest, (first, second)[newest])
    assert wapbl.live == (512 if newest else 512 * 126)


@pytest.mark.parametrize("slot", [0, 1])
def test_a_torn_header_leaves_the_other(slot: int) -> None:
    log = Log()
    log.inodes((11, 0), clear=True)
    log.header(7, 1 - slot)
    log.header(8, slot, type=0xDEADBEEF)
    assert opened(log).replay().inodes == {11: 0}
    log.header(8, slot, head=12345)
    assert opened(log).replay().inodes == {11: 0}


def test_an_empty_log_and_a_full_one() -> None:
    log = Log(size=512 * 6)
    log.header(0, head=0, tail=0)
    assert opened(log).live == 0
    assert opened(log).replay() == Replay([], {})
    log.blocks((4, b"x" * 1024))
    log.inodes(clear=True)
    assert log.head == log.tail
    log.header(1)
    assert opened(log).live == 4 * 512
    assert replayed(log)[0][2048:3072] == b"x" * 1024


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("version", 2), ("len", 1024), ("log_dev_bshift", 10), ("fs_dev_bshift", 8), ("fs_dev_bshift", 17),
        ("circ_off", 512), ("circ_off", 1536), ("circ_size", 0), ("circ_size", 65536), ("circ_size", 700),
        ("head", 512), ("head", 1100), ("head", 65536), ("tail", -512), ("tail", 1 << 40), ("tail", 0),
        ("head", 0),
    ],
)  # fmt: skip
def test_a_header_that_cannot_be_is_not_believed(field: str, value: int) -> None:
    log = Log()
    log.inodes((11, 0), clear=True)
    log.header(0, **{field: value})
    with pytest.raises(Corrupt, match=rf"disk.img: WAPBL log at byte {START}: header 0: wc_\w+ is"):
        opened(log)


def test_no_header_at_all() -> None:
    with pytest.raises(BadMagic, match=r"WAPBL log at byte 1048576: header 0: wc_type is 0x0"):
        opened(Log())


def test_a_record_of_another_kind() -> None:
    log = Log()
    log.inodes(clear=True)
    log.put(HEADER.to_bytes(4, "little").ljust(512, b"\0"))
    log.header(0)
    with pytest.raises(BadMagic, match=r"record at byte 1536 of it: wc_type is 0x5741424c"):
        opened(log).replay()


@pytest.mark.parametrize(
    ("daddr", "dlen", "field"),
    [
        (-1, 512, "wc_daddr"), (DEVICE // 512, 512, "wc_daddr"), (DEVICE // 512 - 1, 1024, "wc_daddr"),
        (1 << 62, 512, "wc_daddr"), (8, 0, "wc_dlen"), (8, -512, "wc_dlen"), (8, 700, "wc_dlen"),
        (8, 66048, "wc_dlen"), (8, 1 << 30, "wc_dlen"),
    ],
)  # fmt: skip
def test_blocks_that_cannot_be(daddr: int, dlen: int, field: str) -> None:
    log = Log()
    log.revocations((daddr, dlen))
    log.header(0)
    with pytest.raises(Corrupt, match=f"record at byte 1024 of it: {field} is"):
        opened(log).replay()


@pytest.mark.parametrize("length", [0, -512, 512, 1536, 1 << 30])
def test_lengths_that_do_not_fit_what_is_listed(length: int) -> None:
    log = Log()
    log.blocks((8, b"x" * 512))
    log.header(0)
    log.data[1028:1032] = length.to_bytes(4, "little", signed=True)
    with pytest.raises(Corrupt, match="wc_len is"):
        opened(log).replay()


@pytest.mark.parametrize("count", [-1, 32, 1 << 30])
def test_more_entries_than_there_is_room_for(count: int) -> None:
    log = Log()
    log.blocks((8, b"x" * 512))
    log.header(0)
    log.data[1032:1036] = count.to_bytes(4, "little", signed=True)
    with pytest.raises(Corrupt, match="wc_blkcount is"):
        opened(log).replay()


def test_a_record_that_goes_beyond_the_head() -> None:
    log = Log()
    log.blocks((8, b"x" * 4096))
    log.header(0, head=log.head - 512)
    with pytest.raises(Corrupt, match="wc_len is 4608"):
        opened(log).replay()


@given(
    flips=st.lists(st.tuples(st.integers(0, 4095), st.integers(0, 7)), min_size=1, max_size=8),
    order=st.sampled_from("<>"),
)
def test_flipped_bits_never_lead_out_of_the_device(flips: list[tuple[int, int]], order: str) -> None:
    log = Log(order, size=8192)
    log.blocks((8, b"a" * 1024), (100, b"b" * 512))
    log.revocations((8, 512))
    log.inodes((3, 1), clear=True)
    log.header(0)
    log.header(1)
    for place, bit in flips:
        log.data[place] ^= 1 << bit
    try:
        replay = opened(log).replay()
    except DiskError:
        return
    end = 0
    for start, length, source in replay.extents:
        assert end <= start < start + length <= DEVICE
        assert START + 1024 <= source < source + length <= START + 8192
        end = start + length


def superblock(order: str, *locs: int) -> Any:
    return SimpleNamespace(where="disk.img", offset=8192, order=order, fs_journallocs=locs)


def test_the_place_of_a_log_in_either_byte_order() -> None:
    locs = (100, 64, 512, 3)
    swapped = tuple(int.from_bytes(number.to_bytes(8, "little"), "big") for number in locs)
    for order in ORDERS:
        for given_locs in (locs, swapped):
            assert find_log(superblock(order, *given_locs), 1 << 20) == (51200, 32768, 512)


@pytest.mark.parametrize(
    "locs",
    [(100, 64, 0, 3), (100, 64, 511, 3), (100, 64, 131072, 3), (100, 2, 512, 3), (1985, 64, 512, 3),
     (1 << 63, 64, 512, 3), (100, 1 << 63, 512, 3), (0, 0, 0, 0)],
)  # fmt: skip
def test_a_place_that_cannot_be(locs: tuple[int, ...]) -> None:
    with pytest.raises(Corrupt, match=r"disk.img: .* fs_journallocs is"):
        find_log(superblock("<", *locs), 1 << 20)


def test_more_live_bytes_than_any_log_has_are_not_read() -> None:
    log = Log(size=4096)
    log.header(0, circ_size=(1 << 40) - 1024, head=1 << 39, tail=1024)
    data = device(log)
    wapbl = Wapbl(reader(data), 1 << 41, LogPosition(START, 1 << 40, 512), "disk.img")
    with pytest.raises(Corrupt, match="bytes of records are too many"):
        wapbl.replay()


def test_the_kinds_of_records_are_named() -> None:
    log = Log()
    log.blocks((8, b"x" * 512))
    log.revocations((8, 512))
    log.inodes(clear=True)
    log.header(0)
    records = list(opened(log).records())
    assert [(record.name, record.offset) for record in records] == [
        ("blocks", 1024), ("revocations", 2048), ("inodes", 2560),
    ]  # fmt: skip
    assert records[0].row.wc_type == BLOCKS
    assert records[0].entries == [(8, 0, 512)]
