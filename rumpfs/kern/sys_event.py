"""Event queues: kqueue and kevent (NetBSD: kern_event.c)."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Final

from rumpfs.abi import errno
from rumpfs.abi.event import (
    EV_ERROR,
    EV_RECEIPT,
    EV_SYSFLAGS,
    EVFILT_READ,
    EVFILT_VNODE,
    EVFILT_WRITE,
    KEVENT,
    Abi,
)
from rumpfs.abi.fcntl import FREAD, FWRITE, O_CLOEXEC, O_NONBLOCK, O_NOSIGPIPE
from rumpfs.abi.poll import POLLIN, POLLRDNORM
from rumpfs.abi.stat import S_IFIFO, STAT
from rumpfs.abi.time import TIMESPEC
from rumpfs.base.copy import Body, Buffer, CopyIn, CopyOut, Data, Request
from rumpfs.base.errors import VfsError
from rumpfs.base.knote import FdKnotes, Filter, Kqueue
from rumpfs.base.waitq import WaitQueue
from rumpfs.kern.descrip import File
from rumpfs.kern.filterops import QueueFilter
from rumpfs.kern.proc import Proc
from rumpfs.kern.sys_select import deadline_of, fetch_timeout, selwait
from rumpfs.kern.syscall import syscall
from rumpfs.vfs.cred import Cred

#: struct kevents that are copied as one
KQ_NEVENTS: Final = 8

_FILTERS: Final = (EVFILT_READ, EVFILT_WRITE, EVFILT_VNODE)
_ABI: Final = Abi(KEVENT.size, TIMESPEC)
_INT_MAX: Final = 2**31 - 1
_ADDRESS: Final = 2**64 - 1  # addresses wrap


class KqueueFile(File):
    """An event queue; it belongs to one process and is watched and polled like other files.

    Args:
        knotes: those of the table of descriptors that it belongs to.
    """

    __slots__ = ("kq",)

    inherited = False

    def __init__(self, knotes: FdKnotes, flag: int) -> None:
        super().__init__(flag)
        self.kq = Kqueue(knotes)

    def read(self, length: int) -> Data:
        """An event queue is not read. Errors: ENXIO."""
        raise VfsError(errno.ENXIO)

    def check_write(self) -> None:
        """An event queue is not written. Errors: ENXIO."""
        raise VfsError(errno.ENXIO)

    def write(self, data: Buffer, cred: Cred) -> int:
        raise VfsError(errno.ENXIO)

    def stat(self) -> bytes:
        """Return struct stat: the size is the number of events that wait (kqueue_stat)."""
        return STAT.pack(
            0, S_IFIFO, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, len(self.kq), 0, KEVENT.size, 0, 0
        )

    def poll(self, events: int) -> int:
        return events & (POLLIN | POLLRDNORM) if len(self.kq) else 0

    def selqueues(self) -> tuple[WaitQueue, ...]:
        return (self.kq.changed,)

    def kqfilter(self, filt: int) -> Filter:
        """Return what watches it: that there are events, and how many. Errors: EINVAL."""
        if filt != EVFILT_READ:
            raise VfsError(errno.EINVAL)
        return QueueFilter(self.kq.changed, self._state)

    def _state(self) -> tuple[int, bool, bool]:
        count = len(self.kq)
        return count, count > 0, False

    def restart(self) -> None:
        """Wake who waits for events."""
        self.kq.changed.wakeup()

    def close(self) -> None:
        self.kq.close()


def _kqueue1(p: Proc, flags: int) -> int:
    fp = KqueueFile(p.fd.knotes, FREAD | FWRITE | flags & (O_NONBLOCK | O_NOSIGPIPE))
    return p.fd.alloc(fp, cloexec=bool(flags & O_CLOEXEC))


@syscall("kqueue")
def sys_kqueue(p: Proc) -> int:
    """Make an event queue and return its descriptor. Errors: EMFILE."""
    return _kqueue1(p, 0)


@syscall("kqueue1")
def sys_kqueue1(p: Proc, flags: int) -> int:
    """Make an event queue; O_CLOEXEC, O_NONBLOCK and O_NOSIGPIPE count. Errors: EMFILE."""
    return _kqueue1(p, flags)


@syscall("__kevent50", raw=True)
def sys_kevent(
    p: Proc,
    fd: int,
    changelist: int,
    nchanges: int,
    eventlist: int,
    nevents: int,
    timeout: int,
    codec: Abi = _ABI,
) -> Body:
    """Change what is watched, then wait for events and return how many were stored (kevent1).

    A change that fails is stored as an event with EV_ERROR, as long as there is room; then nothing is waited
    for.

    Errors:
        EBADF: no event queue.
        EFAULT.
        EINVAL, EBADF, ENOENT, EOPNOTSUPP: a change failed, and there is no room for events (`_register`).
        EINVAL: a bad timeout.
        EINTR.
    """
    fp = p.fget(fd)
    if not isinstance(fp, KqueueFile):
        raise VfsError(errno.EBADF)
    body = _kevent(p, fp, changelist, nchanges, eventlist, nevents, timeout, codec)
    return fp.held(p.fd.using(fd, fp, body))


def _kevent(
    p: Proc,
    fp: KqueueFile,
    changelist: int,
    nchanges: int,
    eventlist: int,
    nevents: int,
    timeout: int,
    abi: Abi,
) -> Generator[Request, Any, int]:
    size = abi.size
    limit = yield from fetch_timeout(timeout, abi.timespec)
    failed = 0
    for index in range(0, nchanges, KQ_NEVENTS):
        count = min(KQ_NEVENTS, nchanges - index)
        changes = yield CopyIn(_element(changelist, index, size), size * count)
        for start in range(0, len(changes), size):
            change = KEVENT.unpack_from(changes, start)
            ext = changes[start + KEVENT.size : start + size]
            number = _register(p, fp.kq, change, ext)
            if number < 0:
                continue
            if failed == nevents:
                if number:
                    raise VfsError(number)
                return 0
            yield CopyOut(_element(eventlist, failed, size), _receipt(change, number) + ext)
            failed += 1
    if failed:
        return failed
    return (yield from _scan(fp, eventlist, nevents, deadline_of(limit) if nevents else None, size))


def _element(addr: int, index: int, size: int) -> int:
    """Return the address of an element of an array of struct kevent of `size` bytes."""
    return addr + size * index & _ADDRESS


def _register(p: Proc, kq: Kqueue, change: tuple[int, ...], ext: bytes) -> int:
    """Carry out a change; return the errno that is to be reported, or -1 when nothing is.

    Args:
        change: a struct kevent.
        ext: what NetBSD 10 has behind it.

    Errors that are reported:
        EINVAL: no such filter, or not for this file.
        EBADF: not open.
        ENOENT: it is not watched so.
        EOPNOTSUPP: the file cannot be watched.
    """
    ident, filt, flags, fflags, _, udata = change
    flags &= ~EV_SYSFLAGS
    try:
        if filt not in _FILTERS:
            raise VfsError(errno.EINVAL)
        if ident > _INT_MAX:
            raise VfsError(errno.EBADF)
        kq.register(ident, filt, flags, fflags, udata, p.fget(ident).kqfilter, ext)
    except VfsError as error:
        return error.errno
    return 0 if flags & EV_RECEIPT else -1


def _receipt(change: tuple[int, ...], number: int) -> bytes:
    ident, filt, _, fflags, _, udata = change
    return KEVENT.pack(ident, filt, EV_ERROR, fflags, number, udata)


def _scan(
    fp: KqueueFile, eventlist: int, nevents: int, deadline: float | None, size: int
) -> Generator[Request, Any, int]:
    """Store up to `nevents` events, waiting for the first, and return how many (kqueue_scan)."""
    if not nevents:
        return 0
    kq = fp.kq
    while not (events := kq.scan(nevents)):
        if not (yield from selwait((kq.changed,), deadline)):
            return 0
    for index in range(0, len(events), KQ_NEVENTS):
        packed = b"".join([event[:size] for event in events[index : index + KQ_NEVENTS]])
        yield CopyOut(_element(eventlist, index, size), packed)
    return len(events)
