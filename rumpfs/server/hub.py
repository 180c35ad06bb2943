"""What the sessions of one server share: the kernel, the receive buffer, the run queue and the timers."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

import trio

from rumpfs.kern.kernel import Kernel

log = logging.getLogger(__name__)

#: one buffer for all: a session has taken everything out of it before another receives
RECV_SIZE: Final = 256 << 10


class Hub:
    """The middle of a server.

    Args:
        kernel: what the clients call.
        halt: called when the kernel was halted, before the answer goes out.

    Attributes:
        awake: number of sessions that do not wait.
        ready: calls whose event came, as functions that resume them.
        nursery: where sessions and timers run; set while the server does.
    """

    def __init__(self, kernel: Kernel, halt: Callable[[], None]) -> None:
        self.kernel = kernel
        self.halt = halt
        self.buffer = bytearray(RECV_SIZE)
        self.view = memoryview(self.buffer)
        self.awake = 0
        self.ready: deque[Callable[[], None]] = deque()
        self.nursery: trio.Nursery | None = None
        self._alarm: tuple[float, trio.CancelScope] | None = None  # when the kernel's callouts are run next
        kernel.callouts.changed = self._rearm

    def run_ready(self) -> None:
        """Resume the calls whose event came, and those that they wake in their turn."""
        ready = self.ready
        while ready:
            ready.popleft()()

    def spawn(self, task: Callable[[], Awaitable[None]]) -> None:
        """Run a task beside the sessions; nothing happens when the server is ending.

        An exception that it lets through is logged: it is no reason for the others to end.
        """
        if self.nursery is not None:
            self.nursery.start_soon(_guarded, task)

    def at(self, deadline: float, expire: Callable[[], None]) -> trio.CancelScope:
        """Call `expire` at a monotonic time (seconds), unless what is returned is cancelled before."""
        scope = trio.CancelScope()

        async def timer() -> None:
            with scope:
                await trio.sleep(max(0.0, deadline - time.monotonic()))
                expire()
                self.run_ready()

        self.spawn(timer)
        return scope

    def _rearm(self) -> None:
        """See to it that the kernel's next callout is run in time."""
        deadline = self.kernel.callouts.deadline
        if self._alarm is not None:
            if self._alarm[0] == deadline:
                return
            self._alarm[1].cancel()
            self._alarm = None
        if deadline is not None:
            self._alarm = deadline, self.at(deadline, self._expire)

    def _expire(self) -> None:
        self._alarm = None
        self.kernel.callouts.run(time.monotonic())


async def _guarded(task: Callable[[], Awaitable[None]]) -> None:
    try:
        await task()
    except Exception:
        log.exception("a task of the server failed unexpectedly")
