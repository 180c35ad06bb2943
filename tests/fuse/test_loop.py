"""The loop that serves a mount does meanwhile what the kernel wants to do at some time."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import pytest

pytest.importorskip("pyfuse3")

import trio
import trio.testing

from rumpfs.base.callout import Callout, CalloutTable
from rumpfs.fuse import loop


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """What stands for the device: it can be read when something is written."""
    fds = os.pipe()
    yield fds
    for fd in fds:
        os.close(fd)


def _write(fd: int) -> None:
    os.write(fd, b"request")


def test_callouts_are_run_while_there_is_no_request(pipe: tuple[int, int]) -> None:
    """Two of them, of which the second is entered by the first one, and is what makes the request."""
    device, request = pipe
    callouts = CalloutTable()
    last = Callout(lambda: _write(request))
    callouts.reset(Callout(lambda: callouts.reset(last, time.monotonic())), time.monotonic() + 0.01)

    async def main() -> None:
        alone = loop._Alone(callouts)
        try:
            with trio.fail_after(10):
                await alone.wait_readable(device)
        finally:
            alone.close()

    trio.run(main)
    assert os.read(device, 100) == b"request"
    assert callouts.deadline is None


def test_pyfuse3s_own_loop_runs_them_too(pipe: tuple[int, int]) -> None:
    device, request = pipe
    callouts = CalloutTable()

    async def main() -> None:
        with trio.fail_after(10):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(loop._tick, callouts)
                await trio.testing.wait_all_tasks_blocked()
                callouts.reset(Callout(lambda: _write(request)), time.monotonic())
                await trio.lowlevel.wait_readable(device)
                nursery.cancel_scope.cancel()

    trio.run(main)
    assert os.read(device, 100) == b"request"
