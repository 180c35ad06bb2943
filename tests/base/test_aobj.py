"""Anonymous memory objects by themselves: what one takes, and what happens when there is no memory."""

from __future__ import annotations

import pytest

from rumpfs.abi import errno
from rumpfs.base.aobj import Aobj, round_page
from rumpfs.base.errors import VfsError
from rumpfs.base.memory import Memory


def test_round_page():
    assert [round_page(n) for n in (0, 1, 4095, 4096, 4097)] == [0, 4096, 4096, 4096, 8192]


def test_memory_is_taken_in_pages_where_something_was_written():
    memory = Memory()
    aobj = Aobj(memory)
    aobj.write(10 * 65536, b"x")
    assert memory.used == aobj.resident == 4096
    aobj.write(10 * 65536 + 5000, b"x")
    assert memory.used == aobj.resident == 8192
    aobj.write(0, b"x")
    assert memory.used == aobj.resident == 12288
    aobj.truncate(10 * 65536 + 1)
    assert memory.used == aobj.resident == 8192
    aobj.truncate(0)
    assert memory.used == aobj.resident == 0


@pytest.mark.parametrize("length", [100, 4097, 65537, 300_000])
def test_a_write_without_memory_changes_nothing(length):
    memory = Memory(4096)
    aobj = Aobj(memory)
    aobj.write(0, b"abc")
    with pytest.raises(VfsError) as caught:
        aobj.write(4090, b"x" * length)
    assert caught.value.errno == errno.ENOSPC
    assert (aobj.size, aobj.resident, memory.used) == (3, 4096, 4096)
    aobj.truncate(5000)
    assert b"".join(aobj.read(0, 5000)) == b"abc" + bytes(4997)


def test_a_chunk_grows_and_shrinks_while_it_is_looked_at():
    aobj = Aobj(Memory())
    aobj.truncate(200_000)
    aobj.write(0, b"a" * 8192)
    views = aobj.read(0, 70_000)
    aobj.write(8192, b"b" * 4096)
    assert bytes(views[0]) == b"a" * 8192
    assert aobj.read(8190, 4) == b"aabb"
    views = aobj.read(0, 70_000)
    aobj.truncate(4096)
    assert len(views[0]) == 12288
    assert aobj.resident == 4096
    assert aobj.read(0, 10_000) == b"a" * 4096


def test_reading_nothing():
    aobj = Aobj(Memory())
    aobj.write(0, b"")
    assert aobj.resident == 0
    assert aobj.read(0, 10) == b""
    aobj.write(0, b"x")
    assert aobj.read(0, 0) == aobj.read(1, 1) == aobj.read(2**62, 5) == b""
