"""Changing the chunks of directories; the readers of `direct` and struct say what is in them."""

from __future__ import annotations

import struct

import pytest

from rumpfs.base.errors import Corrupt
from rumpfs.ondisk.layout import ORDERS, Order
from rumpfs.ondisk.ufs.dirchunk import dirsiz, empty_chunk, enter, first_chunk, remove, rewrite, slack
from rumpfs.ondisk.ufs.direct import DT_REG, parse_dir


def _names(chunk: bytearray, order: Order) -> dict[bytes, int]:
    return {name: ino for _, ino, _, name in parse_dir(bytes(chunk), order)}


@pytest.mark.parametrize("order", ORDERS)
def test_the_chunk_of_a_new_directory(order: Order) -> None:
    """. takes 12 bytes, .. all others (dir.h: mastertemplate)."""
    chunk = first_chunk(order, 512, 7, 2)
    assert chunk[:24] == struct.pack(f"{order}IHBB4sIHBB4s", 7, 12, 4, 1, b".", 2, 500, 4, 2, b"..")
    assert slack(bytearray(chunk), order, "chunk") == 512 - 24


@pytest.mark.parametrize("order", ORDERS)
def test_names_come_and_go_until_there_is_no_room(order: Order) -> None:
    chunk = bytearray(empty_chunk(order))
    names = [b"n" * length for length in range(1, 30)]
    entered = {}
    for number, name in enumerate(names, 10):
        if slack(chunk, order, "chunk") >= dirsiz(len(name)):
            enter(chunk, order, name, number, DT_REG, "chunk")
            entered[name] = number
    assert _names(chunk, order) == entered
    for name in list(entered)[::2]:
        remove(chunk, order, name, "chunk")
        del entered[name]
    assert _names(chunk, order) == entered
    room = slack(chunk, order, "chunk")
    long = b"l" * (room - 12)
    enter(chunk, order, long, 99, DT_REG, "chunk")
    assert _names(chunk, order) == entered | {long: 99}
    rewrite(chunk, order, long, 98, DT_REG, "chunk")
    assert _names(chunk, order)[long] == 98
    for name in [*entered, long]:
        remove(chunk, order, name, "chunk")
    assert _names(chunk, order) == {}
    assert slack(chunk, order, "chunk") == 512


def test_sizes_of_entries() -> None:
    """UFS_DIRSIZ: eight bytes, and the name with its NUL in whole words."""
    assert [dirsiz(length) for length in (1, 3, 4, 255)] == [12, 12, 16, 264]


@pytest.mark.parametrize("reclen", [0, 6, 8, 516])
def test_a_damaged_chunk_stays_as_it_is(reclen: int) -> None:
    chunk = bytearray(first_chunk("<", 512, 7, 2))
    struct.pack_into("<H", chunk, 16, reclen)
    before = bytes(chunk)
    for change in (
        lambda: enter(chunk, "<", b"name", 9, DT_REG, "chunk"),
        lambda: remove(chunk, "<", b"name", "chunk"),
        lambda: rewrite(chunk, "<", b"name", 9, DT_REG, "chunk"),
        lambda: slack(chunk, "<", "chunk"),
    ):
        with pytest.raises(Corrupt):
            change()
    assert chunk == before


def test_a_name_that_is_not_there() -> None:
    chunk = bytearray(first_chunk("<", 512, 7, 2))
    with pytest.raises(Corrupt, match="not in the chunk"):
        remove(chunk, "<", b"name", "chunk")
