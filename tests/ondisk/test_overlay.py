from __future__ import annotations

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rumpfs.base.errors import BadMagic, Corrupt, DiskError
from rumpfs.ondisk.layout import LITTLE
from rumpfs.ondisk.overlay import (
    COMMITTING,
    HEADER,
    LEAF_BLOCKS,
    LEAF_SIZE,
    MAPS,
    OPEN,
    SLOT_SIZE,
    Header,
    decode_header,
    decode_leaf,
    encode_header,
    encode_leaf,
)

IDENT = bytes(range(16))
SIZE = 17 * 10**12
FIRST = Header(OPEN, 7, IDENT, SIZE, -5, b"f" * 32, b"b" * 16, b"/srv/disk.img")
SECOND = FIRST._replace(generation=8, state=COMMITTING)


def slots(*headers: Header) -> bytes:
    data = bytearray(MAPS)
    for header in headers:
        offset, slot = encode_header(header)
        data[offset : offset + SLOT_SIZE] = slot
    return bytes(data)


def test_the_newer_of_two_headers_counts() -> None:
    assert decode_header(slots(FIRST), "x") == FIRST
    assert decode_header(slots(FIRST, SECOND), "x") == SECOND
    assert decode_header(slots(SECOND), "x") == SECOND


def test_a_torn_header_leaves_the_one_before() -> None:
    whole = slots(FIRST, SECOND)
    before = slots(FIRST)
    start, slot = encode_header(SECOND)
    for cut in (1, 15, 16, 17, 100, 171, 172, SLOT_SIZE - 1):
        torn = before[:start] + slot[:cut] + before[start + cut :]
        assert torn == whole or decode_header(torn, "x") == FIRST


@given(position=st.integers(0, SLOT_SIZE - 1), bit=st.integers(0, 7))
def test_a_changed_bit_is_noticed(position: int, bit: int) -> None:
    data = bytearray(slots(SECOND))
    data[position] ^= 1 << bit
    with pytest.raises(DiskError, match="x"):
        decode_header(bytes(data), "x")


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"block_shift": 9}, "block_shift"),
        ({"state": 3}, "state"),
        ({"size": 0}, "size"),
        ({"pathlen": 9999}, "pathlen"),
    ],
)
def test_what_a_later_version_may_say_is_refused(changes: dict[str, int], field: str) -> None:
    offset, slot = encode_header(FIRST)
    row = HEADER.codec(LITTLE).unpack(slot)._replace(**changes)
    body = HEADER.codec(LITTLE).pack(row) + slot[HEADER.size : -4]
    data = bytes(offset) + body + zlib.crc32(body).to_bytes(4, "little")
    with pytest.raises(Corrupt, match=field):
        decode_header(data, "x")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "is no overlay"),
        (b"#!/bin/sh\n" * 999, "is no overlay"),
        (b"rumpfs overlay 1" + bytes(99), "older"),
    ],
)
def test_what_is_no_overlay(data: bytes, said: str) -> None:
    with pytest.raises(BadMagic, match=said):
        decode_header(data, "x")


def test_the_maps_of_17_terabytes() -> None:
    """Two maps of a bit for each 4096 bytes; the blocks are behind them, and the file is as long as that."""
    assert FIRST.leaves * LEAF_BLOCKS * 4096 >= SIZE > (FIRST.leaves - 1) * LEAF_BLOCKS * 4096
    assert FIRST.map_size % 4096 == 0
    assert FIRST.data % 65536 == 0
    assert FIRST.data >= MAPS + 2 * FIRST.leaves * LEAF_SIZE
    assert FIRST.file_size - FIRST.data == -(-SIZE // 4096) * 4096
    assert FIRST.data < SIZE // 10000


@given(bits=st.integers(0, (1 << LEAF_BLOCKS) - 1), index=st.integers(0, 1 << 40))
def test_a_leaf_is_what_it_was(bits: int, index: int) -> None:
    data = encode_leaf(bits, IDENT, index)
    assert len(data) == LEAF_SIZE
    assert decode_leaf(data, IDENT, index) == bits


def test_a_leaf_of_another_place_or_overlay_is_damage() -> None:
    data = encode_leaf(5, IDENT, 3)
    assert decode_leaf(data, IDENT, 4) is None
    assert decode_leaf(data, IDENT[::-1], 3) is None
    assert decode_leaf(data[:-1], IDENT, 3) is None
    assert decode_leaf(bytes(LEAF_SIZE), IDENT, 3) == 0
