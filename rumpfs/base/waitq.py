"""Wait queues: where sleeping system calls stand (NetBSD: kern_condvar.c)."""

from __future__ import annotations

from collections.abc import Callable


class WaitQueue:
    """Callers that wait for one event, in order of arrival.

    The kernel has no event loop: a front end enters the function that makes its caller runnable again,
    and `wakeup` calls it. A function is called at most once for each time it was entered.
    """

    __slots__ = ("_waiters",)

    def __init__(self) -> None:
        self._waiters: dict[Callable[[], None], None] = {}

    def __len__(self) -> int:
        return len(self._waiters)

    def enter(self, wake: Callable[[], None]) -> None:
        """Put `wake` at the end of the queue."""
        self._waiters[wake] = None

    def leave(self, wake: Callable[[], None]) -> None:
        """Take `wake` out, if it is still there."""
        self._waiters.pop(wake, None)

    def wakeup(self) -> None:
        """Wake all that wait."""
        if self._waiters:
            waiters, self._waiters = self._waiters, {}
            for wake in waiters:
                wake()
