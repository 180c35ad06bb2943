"""The loop that takes FUSE's requests from the device.

pyfuse3 waits in trio before each request, under a lock of its own: 30 us, when a request itself costs 5. Here
it finds, in place of trio, something that has a look at the device first and lets trio wait only when there
is nothing; one request is carried out after the other, since none of them waits, so there is nothing to lock.
From the second request on that stands in place of its own wait, too, whose locks and counts cost as much.
This is how pyfuse3's own support of asyncio works, but no documented interface: where pyfuse3 has changed,
its loop runs as it comes.
"""

from __future__ import annotations

import errno
import logging
import math
import os
import select
import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection
from typing import Any, Final, Protocol

import pyfuse3
import trio

from rumpfs.base.callout import CalloutTable

log = logging.getLogger(__name__)

#: requests between checkpoints, so that a busy mount starves nobody
TURNS: Final = 64
#: how often the host's processes are given the processor before the loop waits in trio
SPINS: Final = 10
#: the versions of pyfuse3 whose loop was read
KNOWN: Final = ("3.4.", "3.5.")
#: where it has the module trio, and its own wait for a request
_TRIO: Final = "trio"
_WAIT: Final = "_wait_fuse_readable"


class Company(Protocol):
    """Who else runs in this event loop (the server's hub)."""

    awake: int

    @property
    def ready(self) -> Collection[Callable[[], None]]:
        """Calls that a request has made runnable."""

    def run_ready(self) -> None:
        """Run them."""


class _NoLock:
    async def __aenter__(self) -> None:
        pass

    async def __aexit__(self, *_: object) -> None:
        pass


class _Lowlevel(ABC):
    """What pyfuse3 uses of trio.lowlevel."""

    current_trio_token = staticmethod(trio.lowlevel.current_trio_token)
    current_task = staticmethod(trio.lowlevel.current_task)
    notify_closing = staticmethod(trio.lowlevel.notify_closing)

    def __init__(self) -> None:
        self._fd = -1
        self._own = getattr(pyfuse3, _WAIT)

    async def wait_readable(self, fd: int) -> None:
        """Return when there is a request on the device."""
        if self._fd != fd:
            self._fd = fd
            # A request may be withdrawn before it is read: without this, its reader would block everybody.
            os.set_blocking(fd, False)
            self._attach(fd)
            setattr(pyfuse3, _WAIT, self._readable)
        await self._wait()

    async def _readable(self) -> bool:
        """Return True when there is a request on the device, False when there will be none."""
        try:
            await self._wait()
        except trio.ClosedResourceError:
            return False
        return True

    @abstractmethod
    def _attach(self, fd: int) -> None:
        """The device is known."""

    @abstractmethod
    async def _wait(self) -> None:
        """Return when there is a request on it."""

    def close(self) -> None:
        """It is not used any more."""
        setattr(pyfuse3, _WAIT, self._own)


class _Alone(_Lowlevel):
    """The mount has the event loop to itself, and waits outside of trio.

    That costs a tenth, also where the host gives this process and its clients shares of their own, so that
    yielding to them is no use. Python reports signals on a pipe meanwhile; the first one ends that, and trio
    has the wait again.

    Args:
        callouts: what a kernel wants to do at some time.
    """

    def __init__(self, callouts: CalloutTable) -> None:
        super().__init__()
        self._callouts = callouts
        self._deadline = callouts.deadline
        callouts.changed = self._rearm
        self._bell, self._ringer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._former = signal.set_wakeup_fd(self._ringer, warn_on_full_buffer=False)
        self._rung = False

    def _attach(self, fd: int) -> None:
        self._poll = _poller(fd, self._bell)

    async def _wait(self) -> None:
        if not self._rung:
            ready = self._poll() if self._deadline is None else self._look(self._poll)
            if len(ready) == 1 and ready[0][0] == self._fd:
                return
            self._rung = True
            signal.set_wakeup_fd(self._former, warn_on_full_buffer=False)
        await trio.lowlevel.wait_readable(self._fd)

    def _rearm(self) -> None:
        self._deadline = self._callouts.deadline

    def _look(self, poll: Callable[..., Any]) -> Any:
        """Wait for a request, and do meanwhile what the kernel wants to do."""
        while (deadline := self._deadline) is not None:
            left = deadline - time.monotonic()
            if left <= 0:
                self._callouts.run(time.monotonic())
                continue
            ready = poll(1000 * left + 1)
            if ready:
                return ready
        return poll()

    def close(self) -> None:
        super().close()
        self._callouts.changed = _nobody
        if not self._rung:
            signal.set_wakeup_fd(self._former, warn_on_full_buffer=False)
        os.close(self._bell)
        os.close(self._ringer)


def _nobody() -> None:
    """Nobody waits for the kernel's callouts."""


class _Shared(_Lowlevel):
    """The mount shares the event loop with others.

    Args:
        company: who they are.
    """

    def __init__(self, company: Company) -> None:
        super().__init__()
        company.awake += 1
        self._company = company
        self._turns = 0

    def _attach(self, fd: int) -> None:
        self._look = _poller(fd)

    async def _wait(self) -> None:
        company = self._company
        if company.ready:
            company.run_ready()
        look = self._look
        if look(0):
            self._turns += 1
            if self._turns >= TURNS:
                self._turns = 0
                await trio.lowlevel.checkpoint()
            return
        self._turns = 0
        if company.awake <= 1:
            for _ in range(SPINS):
                os.sched_yield()
                if look(0):
                    return
        company.awake -= 1
        try:
            await trio.lowlevel.wait_readable(self._fd)
        finally:
            company.awake += 1

    def close(self) -> None:
        super().close()
        self._company.awake -= 1


def _poller(*fds: int) -> Callable[..., Any]:
    poller = select.poll()
    for fd in fds:
        poller.register(fd, select.POLLIN)
    return poller.poll


class _Trio:
    """What pyfuse3 uses of trio."""

    Lock = _NoLock
    ClosedResourceError = trio.ClosedResourceError
    open_nursery = staticmethod(trio.open_nursery)
    from_thread = trio.from_thread
    to_thread = trio.to_thread

    def __init__(self, lowlevel: _Lowlevel) -> None:
        self.lowlevel = lowlevel


def fast() -> bool:
    """Whether pyfuse3 is one whose loop can be served faster."""
    known = str(pyfuse3.__version__).startswith(KNOWN) and hasattr(pyfuse3, _WAIT)
    return known and getattr(pyfuse3, _TRIO, None) is trio


async def serve(waits: bool, company: Company | None = None, callouts: CalloutTable | None = None) -> None:
    """Carry out requests until the mount is gone, or `pyfuse3.terminate` is called.

    Args:
        waits: handlers may wait, so several are to run at a time.
        company: who else runs in this event loop; None: nobody but receivers of signals.
        callouts: what a kernel wants to do at some time, unless the company sees to it.
    """
    callouts = callouts or CalloutTable()
    if waits or not fast():
        await _as_it_comes(callouts if company is None else CalloutTable())
        return
    lowlevel = _Alone(callouts) if company is None else _Shared(company)
    setattr(pyfuse3, _TRIO, _Trio(lowlevel))
    try:
        while await _interrupted():
            pass
    finally:
        setattr(pyfuse3, _TRIO, trio)
        lowlevel.close()


async def _as_it_comes(callouts: CalloutTable) -> None:
    """Carry out requests by pyfuse3's own loop, and do what the kernel wants to do."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_tick, callouts)
        await pyfuse3.main()
        nursery.cancel_scope.cancel()


async def _tick(callouts: CalloutTable) -> None:
    """Run callouts when they are due."""
    changed = trio.Event()

    def change() -> None:
        changed.set()

    callouts.changed = change
    while True:
        deadline = callouts.deadline
        left = math.inf if deadline is None else deadline - time.monotonic()
        with trio.move_on_after(max(0.0, left)) as scope:
            await changed.wait()
        changed = trio.Event()
        if scope.cancelled_caught:
            callouts.run(time.monotonic())


async def _interrupted() -> bool:
    """Carry out requests; whether that ended only because a request was withdrawn."""
    try:
        await pyfuse3.main(min_tasks=1, max_tasks=1)
    except* OSError as group:
        if any(error.errno != errno.EAGAIN for error in _leaves(group)):
            raise
    else:
        return False
    return True


def _leaves(group: BaseExceptionGroup[OSError]) -> list[OSError]:
    found: list[OSError] = []
    for error in group.exceptions:
        found += _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found
