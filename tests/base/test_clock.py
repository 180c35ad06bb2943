"""The kernel's clocks against the host's."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from rumpfs.base import clock


@pytest.fixture(autouse=True)
def clock_as_it_was() -> Iterator[None]:
    before = clock._offset
    yield
    clock._offset = before


def nanoseconds(moment: tuple[int, int]) -> int:
    assert 0 <= moment[1] < 1_000_000_000
    return moment[0] * 1_000_000_000 + moment[1]


def test_now_is_the_hosts_time() -> None:
    before = time.time_ns()
    moment = nanoseconds(clock.now())
    assert before <= moment - clock._offset <= time.time_ns()


def test_setting_and_moving_the_clock() -> None:
    clock.settime(1_000_000_000, 5)
    assert 0 <= nanoseconds(clock.now()) - 1_000_000_000_000_000_005 < 60_000_000_000
    clock.adjtime(-500_000_000_000_000_000)
    assert 0 <= nanoseconds(clock.now()) - 500_000_000_000_000_005 < 60_000_000_000


def test_the_boot_moves_with_the_clock_and_the_uptime_does_not() -> None:
    boot, up = nanoseconds(clock.boottime()), nanoseconds(clock.uptime())
    clock.adjtime(3_600_000_000_000)
    assert nanoseconds(clock.boottime()) - boot == 3_600_000_000_000
    assert 0 <= nanoseconds(clock.uptime()) - up < 60_000_000_000
