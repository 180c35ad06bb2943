"""A connection that signal handlers may use in the middle of a call (NetBSD: librumpclient/rumpclient.c).

librumpclient blocks signals except where it waits. Python runs a handler between any two steps of the main
thread, and cannot put it off; so here the main thread has its calls made by deputies, threads that no handler
interrupts, and waits for each in a single step. That costs two switches of threads per call.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

from rumpfs.client.memory import Waiter
from rumpfs.client.transport import Transport


class _Deputy:
    """A thread that makes calls for another, one after the other.

    Args:
        transact: makes a call.
    """

    def __init__(self, transact: Callable[[Waiter, bytes], int]) -> None:
        self._calls: SimpleQueue[tuple[Waiter, bytes] | None] = SimpleQueue()
        self._results: SimpleQueue[int | BaseException] = SimpleQueue()
        threading.Thread(target=self._run, args=(transact,), daemon=True).start()

    def _run(self, transact: Callable[[Waiter, bytes], int]) -> None:
        while (call := self._calls.get()) is not None:
            try:
                self._results.put(transact(*call))
            except BaseException as error:  # noqa: BLE001 - it is raised where the call was begun
                self._results.put(error)

    def transact(self, waiter: Waiter, frame: bytes) -> int | BaseException:
        """Have a call made; return its result, or the exception that it ended with."""
        self._calls.put((waiter, frame))
        return self._results.get()

    def dismiss(self) -> None:
        """Let the thread end, after the call that it makes."""
        self._calls.put(None)


class ReentrantTransport(Transport):
    """A transport whose calls signal handlers may interrupt, to make others on the same connection.

    What the kernel raises (`on_signal`) is told in a deputy's thread.
    """

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._idle: list[_Deputy] = []

    def transact(self, waiter: Waiter, frame: bytes) -> int:
        transact = super().transact
        if threading.current_thread() is not threading.main_thread():
            return transact(waiter, frame)  # where no handler runs
        try:
            deputy = self._idle.pop()
        except IndexError:
            deputy = _Deputy(transact)
        try:
            result = deputy.transact(waiter, frame)
        except BaseException as reason:
            self._fail(reason)
            deputy.dismiss()
            raise
        if self._lost is None:
            self._idle.append(deputy)
        else:
            deputy.dismiss()
        if isinstance(result, BaseException):
            raise result
        return result

    def close(self) -> None:
        super().close()
        while self._idle:
            self._idle.pop().dismiss()
