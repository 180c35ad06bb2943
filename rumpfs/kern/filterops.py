"""What kqueue can watch of files (NetBSD: genfs_vnops.c, sys_pipe.c, kern_event.c)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from rumpfs.abi import errno
from rumpfs.abi.event import EV_EOF, EV_ONESHOT, EVFILT_READ, EVFILT_WRITE, NOTE_REVOKE
from rumpfs.abi.fcntl import FREAD, FWRITE
from rumpfs.abi.limits import PIPE_BUF
from rumpfs.abi.poll import POLLHUP, POLLIN, POLLOUT, POLLRDNORM
from rumpfs.base.errors import DiskError, VfsError
from rumpfs.base.knote import Filter, Klist, Knote
from rumpfs.base.pipebuf import Pipebuf
from rumpfs.base.waitq import WaitQueue

if TYPE_CHECKING:
    from rumpfs.kern.descrip import VnodeFile


class AlwaysFilter(Filter):
    """There is always an event (seltrue_filtops).

    Args:
        data: what is reported of its size; 0: unknown.
    """

    __slots__ = ("_data",)

    def __init__(self, data: int = 0) -> None:
        self._data = data

    def event(self, kn: Knote, hint: int) -> bool:
        kn.data = self._data
        return True


class NeverFilter(Filter):
    """There is never an event: the wrong end of a pipe."""

    __slots__ = ()

    def event(self, kn: Knote, hint: int) -> bool:
        return False


class QueueFilter(Filter):
    """Something whose wait queue is woken when its state changes.

    Args:
        queue: the wait queue.
        state: returns what is reported as data, whether that is an event, and whether the other side is gone
            (EV_EOF, which is an event, too).
    """

    __slots__ = ("_queue", "_state")

    def __init__(self, queue: WaitQueue, state: Callable[[], tuple[int, bool, bool]]) -> None:
        self._queue = queue
        self._state = state

    def arm(self, kn: Knote) -> None:
        self._queue.enter(kn.look)

    def detach(self, kn: Knote) -> None:
        self._queue.leave(kn.look)

    def event(self, kn: Knote, hint: int) -> bool:
        kn.data, ready, eof = self._state()
        if eof:
            kn.flags |= EV_EOF
        return ready or eof


class VnodeFilter(Filter):
    """A vnode, every change of which the kernel notes.

    Args:
        fp: the watched file; it is open as long as it is watched.
    """

    __slots__ = ("_fp",)

    def __init__(self, fp: VnodeFile) -> None:
        self._fp = fp

    def attach(self, kn: Knote) -> None:
        vp = self._fp.f_vnode
        if vp.v_klist is None:
            vp.v_klist = Klist()
        vp.v_klist.insert(kn)

    def detach(self, kn: Knote) -> None:
        vp = self._fp.f_vnode
        assert vp.v_klist is not None
        vp.v_klist.remove(kn)
        if not vp.v_klist:
            vp.v_klist = None


class VnodeReadFilter(VnodeFilter):
    """The file's offset is not at the end; data is how far it is off (filt_genfsread).

    A file whose length cannot be told is gone.
    """

    __slots__ = ()

    def event(self, kn: Knote, hint: int) -> bool:
        try:
            kn.data = self._fp.size() - self._fp.f_offset
        except (VfsError, DiskError):
            hint = NOTE_REVOKE
        if hint == NOTE_REVOKE:
            kn.flags |= EV_EOF | EV_ONESHOT
            return True
        return kn.data != 0


class VnodeWriteFilter(VnodeFilter):
    """A file can always be written (filt_genfswrite)."""

    __slots__ = ()

    def event(self, kn: Knote, hint: int) -> bool:
        if hint == NOTE_REVOKE:
            kn.flags |= EV_EOF | EV_ONESHOT
        return True


class VnodeNoteFilter(VnodeFilter):
    """Something has happened to the vnode that the watcher wants to hear of (filt_genfsvnode)."""

    __slots__ = ()

    def event(self, kn: Knote, hint: int) -> bool:
        kn.fflags |= hint & kn.sfflags
        if hint == NOTE_REVOKE:
            kn.flags |= EV_EOF
            return True
        return kn.fflags != 0


# --- pipes and FIFOs ------------------------------------------------------------------------------------


def pipe_poll(pipe: Pipebuf, flag: int, events: int) -> int:
    """Return which of `events` are the case at an end (pipe_poll).

    Without the other side everything is, and POLLHUP: nobody would wait. Else it can be read when there is
    something, and written when PIPE_BUF bytes fit in.

    Args:
        flag: FREAD, FWRITE or both: what the end is open for.
    """
    if (flag & FREAD and not pipe.writers) or (flag & FWRITE and not pipe.readers):
        return POLLHUP | events & (POLLIN | POLLRDNORM | POLLOUT)
    revents = 0
    if flag & FREAD and pipe.buffer:
        revents = events & (POLLIN | POLLRDNORM)
    if flag & FWRITE and pipe.size - len(pipe.buffer) >= PIPE_BUF:
        revents |= events & POLLOUT
    return revents


def pipe_queues(pipe: Pipebuf, flag: int) -> tuple[WaitQueue, ...]:
    """Return the queues that are woken when `pipe_poll` may have another answer for that end."""
    if flag & (FREAD | FWRITE) == FREAD | FWRITE:
        return pipe.readable, pipe.writable
    return (pipe.readable if flag & FREAD else pipe.writable,)


def pipe_kqfilter(pipe: Pipebuf, flag: int, filt: int) -> Filter:
    """Return what watches an end; at the wrong end there is never an event. Errors: EINVAL."""

    def read_state() -> tuple[int, bool, bool]:
        used = len(pipe.buffer)
        return used, used > 0, not pipe.writers

    def write_state() -> tuple[int, bool, bool]:
        if not pipe.readers:
            return 0, True, True
        room = pipe.size - len(pipe.buffer)
        return room, room >= PIPE_BUF, False

    if filt == EVFILT_READ:
        return QueueFilter(pipe.readable, read_state) if flag & FREAD else NeverFilter()
    if filt == EVFILT_WRITE:
        return QueueFilter(pipe.writable, write_state) if flag & FWRITE else NeverFilter()
    raise VfsError(errno.EINVAL)
