"""Quotas on disk (sys/ufs/ufs/quota1.h, quota2.h)."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rumpfs.abi.quota import (
    QUOTA_IDTYPE_GROUP,
    QUOTA_IDTYPE_USER,
    QUOTA_NOLIMIT,
    QUOTACTL_ARGS_SIZE,
    QUOTAKEY,
    QUOTASTAT,
    QUOTAVAL,
    Quotaval,
)
from rumpfs.base.errors import BadMagic, Corrupt, DiskError
from rumpfs.ondisk.layout import ORDERS, Order
from rumpfs.ondisk.ufs.quota1 import DQBLK, MAX_DQ_TIME, decode_dqblk
from rumpfs.ondisk.ufs.quota2 import (
    QUOTA2_ENTRY,
    QUOTA2_HEADER,
    QUOTA2_VAL,
    Quota2Entry,
    decode_entry,
    decode_header,
)

RECORDS = [DQBLK, QUOTA2_VAL, QUOTA2_ENTRY, QUOTA2_HEADER]
WEEK = 7 * 24 * 60 * 60


def test_sizes_of_the_structures_of_the_call() -> None:
    """Compiled for amd64: quotactl_args 48, quotastat 44, quotakey 12, quotaval 40."""
    assert (QUOTACTL_ARGS_SIZE, QUOTASTAT.size, QUOTAKEY.size, QUOTAVAL.size) == (48, 44, 12, 40)


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.name)
@pytest.mark.parametrize("order", ORDERS)
def test_construct_reads_the_same(record, order) -> None:
    data = bytes(range(1, record.size + 1))
    parsed = record.construct(order).parse(data)
    assert record.codec(order).unpack(data)._asdict() == {name: parsed[name] for name in record.names}


# --- quota1 -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ORDERS)
def test_limits_of_quota1_are_stored_one_larger(order: Order) -> None:
    """quota1_subr.c: dqblk_to_quotavals; 0 is no limit."""
    data = struct.pack(order + "6Iii", 101, 81, 33, 0, 11, 10, 1_700_000_000, -1)
    assert decode_dqblk(data, order, (60, 70)) == (
        Quotaval(100, 80, 33, 1_700_000_000, 60),
        Quotaval(QUOTA_NOLIMIT, 10, 10, -1, 70),
    )
    assert decode_dqblk(bytes(32) + data, order, offset=32)[0].usage == 33
    assert MAX_DQ_TIME == WEEK


# --- quota2 -----------------------------------------------------------------------------------------------


def header(order: str, idtype: int = QUOTA_IDTYPE_USER, shift: int = 3, size: int = 8, **patch: int) -> bytes:
    """Return a first block as quota2_create_blk0 makes it, with the places 1000, 1001 ... in its table."""
    value = struct.pack(order + "QQQqq", QUOTA_NOLIMIT, QUOTA_NOLIMIT, 0, 0, WEEK)
    defentry = value * 2 + struct.pack(order + "QII", 0, 0, 0)
    magic = patch.get("magic", 0xB746915E)
    head = struct.pack(order + "IBBH", magic, idtype, shift, size) + defentry + struct.pack(order + "Q", 0)
    return (head + struct.pack(f"{order}{size}Q", *range(1000, 1000 + size))).ljust(4096, b"\0")


@pytest.mark.parametrize("order", ORDERS)
def test_a_header(order: Order) -> None:
    found = decode_header(header(order), order, QUOTA_IDTYPE_USER, "file")
    unlimited = Quotaval(QUOTA_NOLIMIT, QUOTA_NOLIMIT, 0, 0, WEEK)
    assert found.default == (unlimited, unlimited)
    assert found.heads == tuple(range(1000, 1008))
    assert found.size == 112 + 8 * 8
    assert [found.hash(ident) for ident in (0, 7, 8, 1003, 0xFFFFFFFE)] == [0, 7, 0, 3, 6]


@pytest.mark.parametrize("order", ORDERS)
def test_an_entry(order: Order) -> None:
    values = struct.pack(order + "QQQqq", 9000, 4000, 74, 5, 6) + struct.pack(
        order + "QQQqq", 3, 1, 2, -7, -8
    )
    data = values + struct.pack(order + "QII", 272, 0x80000000, 0)
    assert decode_entry(data, order) == Quota2Entry(
        (Quotaval(9000, 4000, 74, 5, 6), Quotaval(3, 1, 2, -7, -8)), 272, 0x80000000
    )


@pytest.mark.parametrize(
    ("block", "field"),
    [
        (header("<", shift=2), "q2h_hash_size"),
        (header("<", shift=8), "q2h_hash_size"),
        (header("<", shift=0, size=0), "q2h_hash_size"),
        (header("<", shift=2, size=6), "q2h_hash_size"),
        (header("<", shift=15, size=32768)[:4096], "q2h_hash_size"),
        (header("<", QUOTA_IDTYPE_GROUP), "q2h_type"),
        (header("<")[:175], "q2h_hash_size"),
        (header("<")[:111], "di_size"),
        (b"", "di_size"),
    ],
)
def test_a_header_that_cannot_be(block: bytes, field: str) -> None:
    with pytest.raises(Corrupt) as caught:
        decode_header(block, "<", QUOTA_IDTYPE_USER, "a.img: quotas")
    assert caught.value.field == field
    assert str(caught.value).startswith("a.img: quotas: ")


def test_what_is_no_quota_file() -> None:
    for block in (header("<", magic=0xB746915F), header(">"), bytes(4096)):
        with pytest.raises(BadMagic):
            decode_header(block, "<", QUOTA_IDTYPE_USER, "file")


def test_where_an_entry_may_be() -> None:
    """Behind the header, in one block, at a multiple of 8."""
    found = decode_header(header("<"), "<", QUOTA_IDTYPE_USER, "file")
    for place in (176, 272, 4000, 4096, 8000, 12192):
        found.check_place(place, 4096, 12288, "file")
    for place in (0, 8, 168, 180, 4008, 4088, 12200, 12288, 2**63, 2**64 - 8):
        with pytest.raises(Corrupt):
            found.check_place(place, 4096, 12288, "file")


@given(st.binary(max_size=400), st.sampled_from(ORDERS), st.booleans())
def test_any_bytes_are_a_header_or_damage(data: bytes, order: Order, magic: bool) -> None:
    block = struct.pack(order + "IB", 0xB746915E, 0) + data if magic else data
    try:
        found = decode_header(block, order, QUOTA_IDTYPE_USER, "file")
    except DiskError:
        return
    assert found.size <= len(block)
    assert 0 <= found.hash(0xFFFFFFFF) < len(found.heads)
