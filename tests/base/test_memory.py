"""Memory is counted against a limit, and caches give way before anybody is refused."""

from __future__ import annotations

import pytest

from rumpfs.abi.errno import ENOSPC
from rumpfs.base.errors import VfsError
from rumpfs.base.memory import Memory


class Cache:
    """Gives back what it holds, at most `step` bytes a time."""

    def __init__(self, memory: Memory, held: int, step: int = 1 << 30) -> None:
        self.memory = memory
        self.held = held
        self.step = step
        self.asked: list[int] = []
        memory.charge(held)
        memory.add_reclaimer(self.reclaim)

    def reclaim(self, nbytes: int) -> int:
        self.asked.append(nbytes)
        freed = min(nbytes, self.held, self.step)
        self.held -= freed
        self.memory.credit(freed)
        return freed


def test_without_a_limit() -> None:
    memory = Memory()
    memory.charge(1 << 60)
    assert (memory.used, memory.available) == (1 << 60, None)
    memory.credit(1 << 60)
    assert memory.used == 0


def test_with_a_limit() -> None:
    memory = Memory(100)
    memory.charge(100)
    assert memory.available == 0
    with pytest.raises(VfsError) as caught:
        memory.charge(1)
    assert caught.value.errno == ENOSPC
    assert memory.used == 100  # what was refused is not counted
    memory.credit(1)
    memory.charge(1)


def test_caches_shrink_by_what_is_missing() -> None:
    memory = Memory(100)
    cache = Cache(memory, 60)
    memory.charge(70)
    assert (cache.asked, cache.held, memory.used) == ([30], 30, 100)


def test_caches_are_asked_until_it_is_enough() -> None:
    memory = Memory(100)
    caches = [Cache(memory, 20, step=5), Cache(memory, 20), Cache(memory, 20)]
    memory.charge(60)
    assert [cache.asked for cache in caches] == [[20], [15], []]
    assert memory.used == 100


def test_nobody_is_served_when_all_caches_are_empty() -> None:
    memory = Memory(100)
    cache = Cache(memory, 10)
    with pytest.raises(VfsError):
        memory.charge(101)
    assert (cache.held, memory.used) == (0, 0)


def test_a_cache_that_is_gone_is_forgotten() -> None:
    memory = Memory(100)
    cache = Cache(memory, 100)
    memory.credit(100)
    del cache
    memory.charge(100)
    with pytest.raises(VfsError):
        memory.charge(1)
