"""The deadlines of sleeping calls end with the calls."""

from __future__ import annotations

import struct

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from rumpfs.kern.kernel import Kernel
from rumpfs.server.calls import Calls
from rumpfs.server.hub import Hub
from rumpfs.sysproxy import wire
from rumpfs.sysproxy.connection import ServerConnection
from rumpfs.sysproxy.events import Answer, Call

SYS_NANOSLEEP = 430


def sleeper(hub: Hub, seconds: int, nanoseconds: int = 0) -> Calls:
    """A client's calls with one that sleeps."""
    conn = ServerConnection()
    conn.out.clear()  # the banner
    calls = Calls(hub, conn, hub.kernel.spawn(b"sleeper"), conn.out.clear)
    calls.call(Call(2, SYS_NANOSLEEP, struct.pack("<QQ", 0x1000, 0)))
    ((_, reqno, _, kind, _, length, addr),) = [wire.COPY_FRAME.unpack(piece) for piece in conn.out]
    assert (kind, length, addr) == (wire.COPYIN, 16, 0x1000)
    calls.answered(Answer(reqno, wire.COPYIN, struct.pack("<qq", seconds, nanoseconds)))
    return calls


@pytest.fixture
def hub() -> Hub:
    kernel = Kernel(1, None, False, lambda data: None)
    kernel.boot()
    return Hub(kernel, lambda: None)


@pytest.mark.parametrize("end", ["hang_up", "abort"])
async def test_a_client_that_goes_leaves_no_deadline_behind(hub: Hub, end: str) -> None:
    async with trio.open_nursery() as nursery:
        hub.nursery = nursery
        sleepers = [sleeper(hub, 1 << 40) for _ in range(5)]
        await wait_all_tasks_blocked()
        assert len(nursery.child_tasks) == 5
        for calls in sleepers:
            assert calls.p.nlwps == 2
            getattr(calls, end)()
            assert calls.p.nlwps == 1
        await wait_all_tasks_blocked()
        assert not nursery.child_tasks


async def test_a_deadline_that_comes_ends_the_call(hub: Hub) -> None:
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            hub.nursery = nursery
            calls = sleeper(hub, 0, 1_000_000)
    assert len(calls) == 0
