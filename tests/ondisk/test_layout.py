from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rumpfs.ondisk.disklabel import DISKLABEL, DISKLABEL_OPENBSD, PARTITION, PARTITION_OPENBSD
from rumpfs.ondisk.gpt import GPT_ENT, GPT_HDR
from rumpfs.ondisk.layout import I32, ORDERS, RAW, U8, U16, U64, Record
from rumpfs.ondisk.mbr import MBR_PARTITION, MBR_SECTOR
from rumpfs.ondisk.ufs.appleufs import APPLEUFSLABEL
from rumpfs.ondisk.ufs.cg import CG
from rumpfs.ondisk.ufs.dinode import UFS1_DINODE, UFS2_DINODE
from rumpfs.ondisk.ufs.fs import CSUM, FS

RECORDS = (
    APPLEUFSLABEL,
    CG,
    CSUM,
    DISKLABEL,
    DISKLABEL_OPENBSD,
    FS,
    GPT_ENT,
    GPT_HDR,
    MBR_PARTITION,
    MBR_SECTOR,
    PARTITION,
    PARTITION_OPENBSD,
    UFS1_DINODE,
    UFS2_DINODE,
)


def as_construct_says(record, order, data):
    parsed = record.construct(order).parse(data)
    return {name: tuple(value) if isinstance(value, list) else value
            for name, value in parsed.items() if name != "_io"}  # fmt: skip


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.name)
@given(data=st.data())
def test_the_codec_agrees_with_construct(record, order, data):
    raw = data.draw(st.binary(min_size=record.size, max_size=record.size))
    row = record.codec(order).unpack(raw)
    assert row._asdict() == as_construct_says(record, order, raw)
    assert record.codec(order).pack(row) == raw
    assert record.construct(order).build(row._asdict()) == raw


@pytest.mark.parametrize("order", ORDERS)
def test_many_records_decode_like_one_at_a_time(order):
    data = bytes(range(256)) * 4
    for record in (UFS1_DINODE, UFS2_DINODE, PARTITION):
        codec = record.codec(order)
        rows = [codec.unpack(data, offset) for offset in range(0, len(data), record.size)]
        assert list(codec.iter_unpack(data)) == rows


def test_values_of_a_small_record():
    record = Record("small", 20, ((0, "a", I32), (4, "b", U16[3]), (10, "c", RAW[2]), (12, "d", U64)))
    data = b"\xff\xff\xff\xfe" + b"\x00\x01\x00\x02\x00\x03" + b"xy" + b"\x00" * 7 + b"\x09"
    assert tuple(record.codec(">").unpack(data)) == (-2, (1, 2, 3), b"xy", 9)
    assert tuple(record.codec("<").unpack(data)) == (-0x01000001, (256, 512, 768), b"xy", 9 << 56)
    assert record.offset("c") == 10


def test_a_picker_takes_fields_elements_and_arrays_in_any_order():
    record = Record("small", 8, ((0, "a", U8), (1, "b", U8[3]), (4, "c", I32)))
    flat = record.codec(">").unpack_flat(b"\x01\x02\x03\x04\x00\x00\x00\x05")
    assert record.picker(["c", "b[2]", "b", "a"])(flat) == (5, 4, (2, 3, 4), 1)


@pytest.mark.parametrize(
    ("size", "fields"),
    [
        (8, ((0, "a", I32), (5, "b", RAW[3]))),  # a gap
        (8, ((0, "a", I32), (3, "b", RAW[5]))),  # an overlap
        (12, ((0, "a", I32), (4, "b", RAW[4]))),  # bytes at the end
    ],
)
def test_a_declaration_that_does_not_cover_its_bytes_is_refused(size, fields):
    with pytest.raises(ValueError, match="declared"):
        Record("bad", size, fields)


def test_packing_a_row_of_another_length_is_refused():
    with pytest.raises(ValueError):
        CSUM.codec("<").pack((1, 2, 3))


def test_decoding_does_not_import_construct():
    code = (
        "import sys, rumpfs.ondisk.ufs.dinode as d; d.DinodeCodec('<', True).decode(bytes(256));"
        "import rumpfs.dev.etfs, rumpfs.ondisk.ufs.cg;"
        "assert 'construct' not in sys.modules and 'argparse' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
