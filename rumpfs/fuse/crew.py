"""Threads that carry out requests which may wait.

One thread, the leader, takes requests from the device and carries them out itself, one after the other, as
long as that is quick. Another one stands by: when a request keeps the leader waiting, it takes over, and the
former leader stands by when it is done. So a request costs no switch of threads, and none waits for another
that waits. pyfuse3's own loop runs in each thread; what it finds in place of trio waits for the device in
its thread (see `loop`).
"""

from __future__ import annotations

import errno
import logging
import os
import select
import threading
import time
from collections.abc import Callable, Coroutine, Generator
from threading import get_ident
from types import SimpleNamespace, coroutine
from typing import Any, Final

import pyfuse3
import trio

log = logging.getLogger(__name__)

#: seconds that a request may keep the leader before another thread leads
PATIENCE: Final = 0.002
#: threads at most: so many requests can wait at a time
THREADS_MAX: Final = 64
#: threads that rest, beside the one that stands by
RESTING_MAX: Final = 4
#: looks without anything to be seen, after which the one that stands by sleeps until there is a request
_QUIET: Final = 16
#: how often the host's processes are given the processor before the leader waits
_SPINS: Final = 10
#: seconds that requests are given to end by themselves when the mount ends
_GRACE: Final = 1.0
#: that no reader leaves, and none is added
_READERS: Final = 1 << 30
_TRIO: Final = "trio"
_LOOP: Final = "_session_loop"


@coroutine
def begin() -> Generator[None, None, None]:
    """Tell the crew that a request begins, which may wait; each handler awaits that first.

    What has been awaited is kept by pyfuse3's loop itself, and no more by a variable that all threads have.
    """
    yield


class _NoLock:
    async def __aenter__(self) -> None:
        pass

    async def __aexit__(self, *_: object) -> None:
        pass


class Crew:
    """The threads of a mount.

    Args:
        interrupt: lets requests fail that wait.
    """

    def __init__(self, interrupt: Callable[[], None]) -> None:
        self._interrupt = interrupt
        self._change = threading.Condition(threading.Lock())
        self._leader = 0
        self._begun = 0  # the number of the request that the leader carries out, 0 when it takes one
        self._serial = 0  # the number given last
        self._standing_by = False
        self._asleep = False  # the one that stands by
        self._resting = 0
        self._threads: set[threading.Thread] = set()
        self._over = False
        self._failure: Exception | None = None
        self._ended: Callable[[], None] = _nothing
        self._woken, self._wake = os.pipe()
        self._poll: Callable[..., list[Any]] | None = None

    async def serve(self) -> None:
        """Carry out requests until the mount is gone, or `pyfuse3.terminate` is called.

        Errors:
            Exception: what a thread ended with.
        """
        token = trio.lowlevel.current_trio_token()
        ended = trio.Event()
        self._ended = lambda: token.run_sync_soon(ended.set)
        setattr(pyfuse3, _TRIO, self._instead())
        try:
            for _ in range(2):
                with self._change:
                    self._add()
            await ended.wait()
        finally:
            self._stop()
            await trio.to_thread.run_sync(self._join)
            setattr(pyfuse3, _TRIO, trio)
            for fd in (self._woken, self._wake):
                os.close(fd)
        if self._failure is not None:
            raise self._failure

    def _instead(self) -> SimpleNamespace:
        """Return what pyfuse3's loop finds in place of trio."""
        lowlevel = SimpleNamespace(
            current_task=threading.current_thread,
            notify_closing=lambda fd: self._stop(),
            wait_readable=self._wait_readable,
        )
        return SimpleNamespace(Lock=_NoLock, ClosedResourceError=trio.ClosedResourceError, lowlevel=lowlevel)

    # --- threads ------------------------------------------------------------------------------------

    def _add(self) -> None:
        """Start a thread; the caller holds `_change`."""
        thread = threading.Thread(target=self._run, name="fuse", daemon=True)
        self._threads.add(thread)
        thread.start()

    def _run(self) -> None:
        loop = getattr(pyfuse3, _LOOP)
        try:
            while self._withdrawn(loop(None, _READERS, 0)):
                pass
        except _Dismissed:
            pass
        except Exception as error:  # noqa: BLE001 - `serve` raises it
            self._failure = error
            self._stop()
        else:
            self._stop()
        finally:
            with self._change:
                self._threads.discard(threading.current_thread())

    def _withdrawn(self, loop: Coroutine[None, None, None]) -> bool:
        """Run pyfuse3's loop in this thread; whether it ended only because a request was withdrawn."""
        try:
            while True:
                loop.send(None)
                self._begin()
        except StopIteration:
            return False
        except OSError as error:
            if error.errno != errno.EAGAIN:
                raise
            return True

    def _stop(self) -> None:
        """No more requests are taken."""
        with self._change:
            if self._over:
                return
            self._over = True
            self._change.notify_all()
            os.write(self._wake, b"x")
        self._ended()

    def _join(self) -> None:
        """Wait until all requests have been carried out."""
        deadline = time.monotonic() + _GRACE
        for thread in list(self._threads):
            thread.join(max(0.0, deadline - time.monotonic()))
        self._interrupt()
        for thread in list(self._threads):
            thread.join()

    # --- turns --------------------------------------------------------------------------------------

    def _begin(self) -> None:
        """The leader has taken a request and carries it out now."""
        self._serial += 1
        self._begun = self._serial
        if self._asleep:
            with self._change:
                self._asleep = False
                self._change.notify_all()

    async def _wait_readable(self, fd: int) -> None:
        """Return when the thread leads and there is a request on the device.

        Errors:
            ClosedResourceError: there will be none.
        """
        with self._change:
            leads = self._lead()
        if not leads:
            self._stand_by()
        poll = self._poll
        if poll is None:
            # A request may be withdrawn before it is read: without this, its reader would block.
            os.set_blocking(fd, False)
            poller = select.poll()
            poller.register(fd, select.POLLIN)
            poller.register(self._woken, select.POLLIN)
            poll = self._poll = poller.poll
        if not poll(0):
            for _ in range(_SPINS):
                os.sched_yield()
                if poll(0):
                    break
            else:
                poll()
        if self._over:
            raise trio.ClosedResourceError

    def _lead(self) -> bool:
        """Whether the thread leads, and is done with what it has carried out; there is always a leader."""
        me = get_ident()
        if not self._leader:
            self._leader = me
        if self._leader != me:
            return False
        self._begun = 0
        return True

    def _stand_by(self) -> None:
        """Return when the thread leads. Errors: ClosedResourceError; _Dismissed: it is not needed."""
        with self._change:
            if self._standing_by:
                if self._resting >= RESTING_MAX:
                    raise _Dismissed
                self._resting += 1
                self._change.wait_for(lambda: self._over or not self._standing_by)
                self._resting -= 1
            if self._over:
                raise trio.ClosedResourceError
            self._standing_by = True
        seen = quiet = 0
        while not self._take_over(seen):
            quiet = quiet + 1 if self._serial == seen else 0
            seen = self._serial
            if quiet > _QUIET:
                self._sleep()
                quiet = 0
            time.sleep(PATIENCE)

    def _sleep(self) -> None:
        """Wait until there is a request."""
        with self._change:
            self._asleep = not self._begun
            self._change.wait_for(lambda: self._over or not self._asleep)

    def _take_over(self, seen: int) -> bool:
        """Lead, if the leader still carries out the request that it carried out at the last look.

        Errors:
            ClosedResourceError.
        """
        with self._change:
            if self._over:
                raise trio.ClosedResourceError
            if not (seen and self._begun == seen and len(self._threads) < THREADS_MAX):
                return False
            self._leader = get_ident()
            self._begun = 0
            self._standing_by = False
            if self._resting:
                self._change.notify_all()
            else:
                self._add()
            return True


class _Dismissed(Exception):
    """A thread is not needed any more."""


def _nothing() -> None:
    """Nobody wants to know."""
