"""Extended attributes on disk, of UFS2 (sys/ufs/ufs/extattr.h, FreeBSD's extattr(9)) and of UFS1."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rumpfs.base.errors import BadMagic, Corrupt
from rumpfs.ondisk.layout import BIG, LITTLE, ORDERS, Order
from rumpfs.ondisk.ufs.extattr import (
    EXTATTR,
    UFS_EXTATTR_FILEHEADER,
    UFS_EXTATTR_HEADER,
    Slots,
    build_extattr,
    decode_fileheader,
    parse_extattrs,
)

USER, SYSTEM = 1, 2

#: user.test=testvalue as FreeBSD wrote it: 24 bytes of header and name make 16, the value and 7 zeros 16 more
TEST = {
    LITTLE: bytes.fromhex("20000000 01 07 04 74657374 0000000000 7465737476616c7565 00000000000000"),
    BIG: bytes.fromhex("00000020 01 07 04 74657374 0000000000 7465737476616c7565 00000000000000"),
}

names = st.binary(min_size=1, max_size=255).map(lambda name: name.replace(b"\0", b"x"))
attributes = st.dictionaries(st.tuples(st.sampled_from([USER, SYSTEM]), names), st.binary(max_size=100))


@pytest.mark.parametrize(
    "record", [EXTATTR, UFS_EXTATTR_FILEHEADER, UFS_EXTATTR_HEADER], ids=lambda r: r.name
)
@pytest.mark.parametrize("order", ORDERS)
def test_construct_reads_the_same(record, order) -> None:
    data = bytes(range(1, record.size + 1))
    parsed = record.construct(order).parse(data)
    assert record.codec(order).unpack(data)._asdict() == {name: parsed[name] for name in record.names}


@pytest.mark.parametrize("order", ORDERS)
def test_a_record_of_a_freebsd_image(order: Order) -> None:
    assert parse_extattrs(TEST[order], order, "area") == ({(USER, b"test"): b"testvalue"}, None)
    assert build_extattr(USER, b"test", b"testvalue", order) == TEST[order]


@given(attributes, st.sampled_from(ORDERS), st.integers(0, 40))
def test_what_is_built_is_found_in_its_order(wanted, order: Order, zeros: int) -> None:
    area = b"".join(build_extattr(*key, value, order) for key, value in wanted.items())
    found, damage = parse_extattrs(area + bytes(zeros), order, "area")
    assert (list(found.items()), damage) == (list(wanted.items()), None)
    assert len(area) % 8 == 0


def test_a_value_may_be_empty_and_a_name_may_be_in_both_namespaces() -> None:
    area = build_extattr(USER, b"n", b"", LITTLE) + build_extattr(SYSTEM, b"n", b"12345678", LITTLE)
    assert parse_extattrs(area, LITTLE, "area")[0] == {(USER, b"n"): b"", (SYSTEM, b"n"): b"12345678"}


@pytest.mark.parametrize(
    ("at", "patch", "field"),
    [
        (0, struct.pack("<I", 0), "ea_length"),
        (0, struct.pack("<I", 7), "ea_length"),
        (0, struct.pack("<I", 33), "ea_length"),
        (0, struct.pack("<I", 40), "ea_length"),
        (0, struct.pack("<I", 0xFFFFFFF8), "ea_length"),
        (5, b"\x11", "ea_length"),
        (5, b"\xff", "ea_length"),
        (6, b"\xff", "ea_length"),
        (6, b"\x00", "ea_name"),
        (8, b"\x00", "ea_name"),
    ],
)
def test_damage_ends_the_attributes_and_says_where(at: int, patch: bytes, field: str) -> None:
    first = build_extattr(SYSTEM, b"first", b"value", LITTLE)
    bad = bytearray(TEST[LITTLE])
    bad[at : at + len(patch)] = patch
    found, damage = parse_extattrs(first + bytes(bad), LITTLE, "a.img: inode 5")
    assert found == {(SYSTEM, b"first"): b"value"}
    assert isinstance(damage, Corrupt)
    assert damage.field == field
    assert str(damage).startswith(f"a.img: inode 5: extended attribute at byte {len(first)}: ")


@pytest.mark.parametrize("cut", range(1, 32))
def test_an_area_that_is_cut(cut: int) -> None:
    found, damage = parse_extattrs(TEST[LITTLE][:cut], LITTLE, "area")
    assert not found
    assert isinstance(damage, Corrupt)


@given(st.binary(max_size=300), st.sampled_from(ORDERS))
def test_any_bytes_are_attributes_or_damage(area: bytes, order: Order) -> None:
    found, damage = parse_extattrs(area, order, "area")
    for (_, name), value in found.items():
        assert name in area
        assert value in area
    assert damage is None or isinstance(damage, Corrupt)


# --- UFS1 ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ORDERS)
def test_the_magic_of_a_backing_file_shows_its_byte_order(order: Order) -> None:
    slots = decode_fileheader(struct.pack(order + "III", 0x00B5D5EC, 3, 388) + b"slots", "file")
    assert slots == Slots(order, 388)
    # the slot of inode 2 comes behind those of 0 and 1, each with a header of three words
    assert slots.offset(2) == 12 + 2 * (12 + 388)
    header = struct.pack(order + "III", 1, 10, 0xFEDCBA98)
    assert slots.value(header, 0xFEDCBA98, "slot") == 10
    assert slots.value(header, 0xFEDCBA98 - (1 << 32), "slot") == 10  # di_gen is signed
    assert slots.value(header, 7, "slot") is None
    assert slots.value(struct.pack(order + "III", 0, 10, 7), 7, "slot") is None
    assert slots.value(header[:5], 0xFEDCBA98, "slot") is None
    assert slots.value(b"", 0, "slot") is None
    assert slots.value(struct.pack(order + "III", 1, 388, 0), 0, "slot") == 388
    with pytest.raises(Corrupt, match="slot: ueh_len is 389: "):
        slots.value(struct.pack(order + "III", 1, 389, 0), 0, "slot")


def test_what_is_no_backing_file() -> None:
    with pytest.raises(BadMagic):
        decode_fileheader(b"just a text, long enough", "file")
    with pytest.raises(Corrupt, match="file: uef_version is 2: "):
        decode_fileheader(struct.pack("<III", 0x00B5D5EC, 2, 8), "file")
    for length in range(12):
        with pytest.raises(Corrupt, match=f"file: di_size is {length}: "):
            decode_fileheader(struct.pack("<III", 0x00B5D5EC, 3, 8)[:length], "file")
