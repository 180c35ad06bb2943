"""What is to be called at a time (NetBSD: kern_timeout.c).

The kernel has no event loop and no thread: a front end asks `CalloutTable.deadline` when it is wanted next,
calls `run` then, and enters itself as `changed` to hear of another answer.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heapify, heappop, heappush
from itertools import count
from typing import Final

#: entries that were stopped may stay in the heap until there are this many, and more than half of all
_SLACK: Final = 64


class Callout:
    """One function and the time for it, entered with `CalloutTable.reset`."""

    __slots__ = ("function", "pending")

    def __init__(self, function: Callable[[], None]) -> None:
        self.function = function
        self.pending: int | None = None  # the number of its entry


class CalloutTable:
    """The callouts of a kernel.

    Attributes:
        changed: called when `deadline` may have another value.
    """

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Callout]] = []
        self._numbers = count()
        self._stopped = 0
        self.changed: Callable[[], None] = _nobody

    @property
    def deadline(self) -> float | None:
        """The monotonic time (seconds) at which `run` has something to do; None: none is known."""
        heap = self._heap
        while heap and heap[0][2].pending != heap[0][1]:
            heappop(heap)
            self._stopped -= 1
        return heap[0][0] if heap else None

    def reset(self, callout: Callout, deadline: float) -> None:
        """Call it at that monotonic time (seconds), and no longer at another (callout_reset)."""
        self._forget(callout)
        callout.pending = next(self._numbers)
        heappush(self._heap, (deadline, callout.pending, callout))
        if self._heap[0][2] is callout:
            self.changed()

    def stop(self, callout: Callout) -> None:
        """Do not call it (callout_stop)."""
        self._forget(callout)
        if not self._heap:
            self.changed()

    def _forget(self, callout: Callout) -> None:
        if callout.pending is None:
            return
        callout.pending = None
        self._stopped += 1
        if self._stopped > max(_SLACK, len(self._heap) // 2):
            self._heap = [entry for entry in self._heap if entry[2].pending == entry[1]]
            heapify(self._heap)
            self._stopped = 0

    def run(self, now: float) -> None:
        """Call what is due at the monotonic time `now` (seconds), each once."""
        due = []
        while (deadline := self.deadline) is not None and deadline <= now:
            callout = heappop(self._heap)[2]
            callout.pending = None
            due.append(callout)
        for callout in due:
            if callout.pending is None:
                callout.function()
        self.changed()


def _nobody() -> None:
    """There is no front end yet."""
