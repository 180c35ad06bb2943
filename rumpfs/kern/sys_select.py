"""Waiting for one of several files (NetBSD: sys_select.c).

Nothing is kept between two looks at the files: who waits stands in the wait queues of all of them, and looks
again when one was woken. Signal masks are fetched and mean nothing, since a client takes its signals itself.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable
from struct import Struct
from typing import Any, Final

from rumpfs.abi import errno
from rumpfs.abi.poll import (
    POLLERR,
    POLLFD,
    POLLHUP,
    POLLNVAL,
    POLLRDBAND,
    POLLRDNORM,
    POLLWRNORM,
)
from rumpfs.abi.time import TIMESPEC, TIMEVAL
from rumpfs.base.clock import Timespec
from rumpfs.base.copy import Body, CopyIn, CopyOut, Request, Sleep
from rumpfs.base.errors import VfsError
from rumpfs.base.waitq import WaitQueue
from rumpfs.kern.proc import Proc
from rumpfs.kern.syscall import syscall

SIGSET_SIZE: Final = 16
INFTIM: Final = -1  # sys/sys/poll.h
#: entries without a descriptor that poll takes beside those of the whole table
SPARSE: Final = 1000

#: what select asks of the files in each of its sets: for reading, writing, exceptional conditions
_SELECT_EVENTS: Final = (POLLRDNORM | POLLHUP | POLLERR, POLLWRNORM | POLLHUP | POLLERR, POLLRDBAND)

#: an answer, and the queues to wait in while it is none
Look = tuple[int, set[WaitQueue]]


def deadline_of(timeout: Timespec | None) -> float | None:
    """Return the monotonic time (seconds) at which a timeout is over; None: never.

    Errors: EINVAL: it is negative, or its nanoseconds are none (inittimeleft).
    """
    if timeout is None:
        return None
    seconds, nanoseconds = timeout
    if seconds < 0 or not 0 <= nanoseconds < 1_000_000_000:
        raise VfsError(errno.EINVAL)
    return time.monotonic() + seconds + nanoseconds / 1e9


def fetch_timeout(addr: int, codec: Struct = TIMESPEC) -> Generator[Request, Any, Timespec | None]:
    """Fetch a struct timespec; None for a NULL pointer. Errors: EFAULT."""
    if not addr:
        return None
    seconds, nanoseconds = codec.unpack((yield CopyIn(addr, codec.size)))
    return seconds, nanoseconds


def selwait(queues: Iterable[WaitQueue], deadline: float | None) -> Generator[Request, Any, bool]:
    """Sleep until one of the queues is woken; False: the deadline has come. Errors: EINTR."""
    if deadline is not None and deadline <= time.monotonic():
        return False
    woken = WaitQueue()
    wake = woken.wakeup
    try:
        for queue in queues:
            queue.enter(wake)
        return bool((yield Sleep(woken, deadline)))
    finally:
        for queue in queues:
            queue.leave(wake)


# --- poll -----------------------------------------------------------------------------------------------


def _poll(p: Proc, addr: int, nfds: int, timeout: Timespec | None) -> Generator[Request, Any, int]:
    """Wait for events; store them, and return how many entries have some (pollcommon).

    Errors:
        EINVAL: more entries than descriptors, by far; a bad timeout.
        EFAULT.
        EINTR.
    """
    if nfds > SPARSE + p.fd.nfiles:
        raise VfsError(errno.EINVAL)
    fds = list(POLLFD.iter_unpack((yield CopyIn(addr, POLLFD.size * nfds)))) if nfds else []
    deadline = deadline_of(timeout)
    while True:
        queues: set[WaitQueue] = set()
        found = [_poll_one(p, fd, events, queues) for fd, events, _ in fds]
        ready = nfds - found.count(0)
        if ready or not (yield from selwait(queues, deadline)):
            break
    if nfds:
        entries = zip(fds, found, strict=True)
        yield CopyOut(addr, b"".join([POLLFD.pack(fd, ev, revents) for (fd, ev, _), revents in entries]))
    return ready


def _poll_one(p: Proc, fd: int, events: int, queues: set[WaitQueue]) -> int:
    """Return the events of one entry; without any, add the queues to wait in for them."""
    if fd < 0:
        return 0
    try:
        fp = p.fget(fd)
    except VfsError:
        return POLLNVAL
    revents = fp.poll(events | POLLERR | POLLHUP)
    if not revents:
        queues.update(fp.selqueues())
    return revents


@syscall("poll", raw=True)
def sys_poll(p: Proc, fds: int, nfds: int, timeout: int) -> Body:
    """Wait for events, for `timeout` milliseconds or (-1) for ever. Errors: those of `_poll`."""
    if timeout == INFTIM:
        return _poll(p, fds, nfds, None)
    if timeout < 0:
        return _poll(p, fds, nfds, (-1, 0))
    return _poll(p, fds, nfds, (timeout // 1000, timeout % 1000 * 1_000_000))


@syscall("__pollts50", raw=True)
def sys_pollts(p: Proc, fds: int, nfds: int, ts: int, mask: int, codec: Struct = TIMESPEC) -> Body:
    """Wait for events, for the time `ts` or (NULL) for ever. Errors: EFAULT, those of `_poll`."""
    timeout = yield from fetch_timeout(ts, codec)
    if mask:
        yield CopyIn(mask, SIGSET_SIZE)
    return (yield from _poll(p, fds, nfds, timeout))


# --- select ---------------------------------------------------------------------------------------------


def _select(
    p: Proc, nd: int, addrs: tuple[int, int, int], timeout: Timespec | None
) -> Generator[Request, Any, int]:
    """Wait for files that are ready; store which are, and return how many (selcommon).

    Descriptors beyond the table are left out, those of its last word that are beyond `nd` come back cleared.

    Errors:
        EINVAL: `nd` is negative; a bad timeout.
        EFAULT.
        EBADF: a descriptor that is not open.
        EINTR.
    """
    if nd < 0:
        raise VfsError(errno.EINVAL)
    nd = min(nd, p.fd.nfiles)
    size = (nd + 31) // 32 * 4
    wanted: list[int] = []
    for addr in addrs:
        bits = (yield CopyIn(addr, size)) if addr and size else b""
        wanted.append(int.from_bytes(bits, "little") & (1 << nd) - 1)
    deadline = deadline_of(timeout)
    while True:
        queues: set[WaitQueue] = set()
        found = [
            _select_set(p, fds, events, queues) for fds, events in zip(wanted, _SELECT_EVENTS, strict=True)
        ]
        ready = sum(fds.bit_count() for fds in found)
        if ready or not (yield from selwait(queues, deadline)):
            break
    for addr, fds in zip(addrs, found, strict=True):
        if addr and size:
            yield CopyOut(addr, fds.to_bytes(size, "little"))
    return ready


def _select_set(p: Proc, fds: int, events: int, queues: set[WaitQueue]) -> int:
    """Return those of a set that are ready, as bits, and add the queues to wait in for the others.

    Errors: EBADF.
    """
    ready = 0
    while fds:
        bit = fds & -fds
        fds ^= bit
        fp = p.fget(bit.bit_length() - 1)
        if fp.poll(events):
            ready |= bit
        else:
            queues.update(fp.selqueues())
    return ready


@syscall("__select50", raw=True)
def sys_select(p: Proc, nd: int, in_: int, ou: int, ex: int, tv: int, codec: Struct = TIMEVAL) -> Body:
    """Wait for files, for the time `tv` or (NULL) for ever. Errors: EFAULT, those of `_select`."""
    timeout = None
    if tv:
        seconds, microseconds = codec.unpack((yield CopyIn(tv, codec.size)))
        timeout = seconds, microseconds * 1000
    return (yield from _select(p, nd, (in_, ou, ex), timeout))


@syscall("__pselect50", raw=True)
def sys_pselect(
    p: Proc, nd: int, in_: int, ou: int, ex: int, ts: int, mask: int, codec: Struct = TIMESPEC
) -> Body:
    """Wait for files, for the time `ts` or (NULL) for ever. Errors: EFAULT, those of `_select`."""
    timeout = yield from fetch_timeout(ts, codec)
    if mask:
        yield CopyIn(mask, SIGSET_SIZE)
    return (yield from _select(p, nd, (in_, ou, ex), timeout))
