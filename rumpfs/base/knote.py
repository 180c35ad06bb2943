"""Event queues: what is watched, and what has happened to it (NetBSD: kern_event.c).

A `Knote` is one thing that a `Kqueue` watches. Its `Filter` knows the thing: it answers whether there is an
event, and sees to it that the knote hears of the next one, from the thing's `Klist` or `WaitQueue`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Final, TypeAlias

from rumpfs.abi import errno
from rumpfs.abi.event import (
    EV_ADD,
    EV_CLEAR,
    EV_DELETE,
    EV_DISABLE,
    EV_DISPATCH,
    EV_ENABLE,
    EV_ONESHOT,
    KEVENT,
    KEVENT100_SIZE,
)
from rumpfs.base.errors import VfsError
from rumpfs.base.waitq import WaitQueue


class Filter(ABC):
    """What a knote watches, and how (struct filterops). Filters subclass it."""

    __slots__ = ()

    def attach(self, kn: Knote) -> None:  # noqa: B027 - many filters need not do this
        """The knote begins to watch."""

    def detach(self, kn: Knote) -> None:  # noqa: B027 - many filters need not do this
        """The knote watches no longer."""

    def arm(self, kn: Knote) -> None:  # noqa: B027 - many filters need not do this
        """See to it that the next event activates the knote, which has none now."""

    @abstractmethod
    def event(self, kn: Knote, hint: int) -> bool:
        """Whether there is an event; the knote's data, fflags and flags are brought up to date.

        Args:
            hint: the NOTE_ that just happened; 0: look for yourself.
        """


class Knote:
    """One thing that is watched.

    Args:
        kq: the queue that watches.
        ident: the descriptor of the thing.
        filt: the number of the filter.
        flags: EV_ flags, as they are reported.
        filterops: the filter itself.

    Attributes:
        udata: the watcher's own word, as it is reported.
        fflags: NOTE_ flags that are reported.
        data: what the filter reports.
        sfflags: NOTE_ flags that the watcher wants to hear of.
        ext: what NetBSD 10's struct kevent has for the watcher beside that, as it is reported.
        active: there is an event that was not reported.
    """

    __slots__ = (
        "active", "data", "disabled", "ext", "fflags", "filt", "filter", "flags", "ident", "kq", "sfflags",
        "udata",
    )  # fmt: skip

    def __init__(self, kq: Kqueue, ident: int, filt: int, flags: int, filterops: Filter) -> None:
        self.kq = kq
        self.ident = ident
        self.filt = filt
        self.flags = flags
        self.filter = filterops
        self.udata = 0
        self.ext = bytes(KEVENT100_SIZE - KEVENT.size)
        self.fflags = 0
        self.sfflags = 0
        self.data = 0
        self.active = False
        self.disabled = False

    def pack(self) -> bytes:
        """Return NetBSD 10's struct kevent, which begins with that of earlier ones."""
        return KEVENT.pack(self.ident, self.filt, self.flags, self.fflags, self.data, self.udata) + self.ext

    def look(self) -> None:
        """Become active if there is an event, else wait for the next (the thing's wait queue was woken)."""
        if self.filter.event(self, 0):
            self.activate()
        else:
            self.filter.arm(self)

    def activate(self) -> None:
        """There is an event: queue it (knote_activate)."""
        self.active = True
        if not self.disabled:
            self.kq.enqueue(self)

    def deactivate(self) -> None:
        """The event is over or was reported."""
        self.active = False
        self.filter.arm(self)


class Klist:
    """The knotes that watch one object, in order of arrival."""

    __slots__ = ("_knotes",)

    def __init__(self) -> None:
        self._knotes: dict[Knote, None] = {}

    def __len__(self) -> int:
        return len(self._knotes)

    def insert(self, kn: Knote) -> None:
        """Put a knote at the end."""
        self._knotes[kn] = None

    def remove(self, kn: Knote) -> None:
        """Take a knote out."""
        del self._knotes[kn]

    def note(self, hint: int) -> None:
        """Tell all what has happened to the object: NOTE_ flags (knote)."""
        for kn in self._knotes:
            if kn.filter.event(kn, hint):
                kn.activate()


#: queues whose sleepers are being woken: that of one event queue may wake a knote of another
_waking: Final[deque[WaitQueue]] = deque()


def _wakeup(queue: WaitQueue) -> None:
    """Wake who sleeps on an event queue, one queue after the other however long a chain they are."""
    _waking.append(queue)
    if len(_waking) > 1:
        return
    try:
        while _waking:
            _waking[0].wakeup()
            _waking.popleft()
    finally:
        _waking.clear()


#: the knotes that watch each descriptor of a table
FdKnotes: TypeAlias = dict[int, list[Knote]]


def knote_fdclose(knotes: FdKnotes, fd: int) -> None:
    """A descriptor is being closed: nothing watches it any longer."""
    for kn in list(knotes.get(fd, ())):
        kn.kq.detach(kn)


class Kqueue:
    """A set of knotes, and the queue of those that are active.

    Args:
        fdknotes: where the table of descriptors that this belongs to keeps its knotes.

    Attributes:
        changed: woken when a knote was queued.
    """

    __slots__ = ("_fdknotes", "_head", "_knotes", "changed")

    def __init__(self, fdknotes: FdKnotes) -> None:
        self.changed = WaitQueue()
        self._fdknotes = fdknotes
        self._knotes: dict[tuple[int, int], Knote] = {}  # by descriptor and filter
        self._head: OrderedDict[Knote, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._head)

    def enqueue(self, kn: Knote) -> None:
        """Queue an active knote, unless it is queued."""
        if kn not in self._head:
            self._head[kn] = None
            _wakeup(self.changed)

    def register(
        self,
        ident: int,
        filt: int,
        action: int,
        fflags: int,
        udata: int,
        kqfilter: Callable[[int], Filter],
        ext: bytes = b"",
    ) -> None:
        """Carry out one change (kqueue_register).

        Args:
            ident: an open descriptor.
            filt: the number of a filter.
            action: EV_ flags.
            fflags: NOTE_ flags to hear of.
            udata: is reported.
            kqfilter: makes the filter of that number for what the descriptor stands for.
            ext: is reported; nothing when the watcher does not know of it.

        Errors:
            ENOENT: without EV_ADD there has to be such a knote; those of `kqfilter`.
        """
        kn = self._knotes.get((ident, filt))
        if action & EV_ADD:
            if kn is None:
                kn = Knote(self, ident, filt, action, kqfilter(filt))
                kn.filter.attach(kn)
                self._knotes[ident, filt] = kn
                self._fdknotes.setdefault(ident, []).append(kn)
            kn.sfflags = fflags
            kn.udata = udata
            kn.ext = ext or kn.ext
            kn.look()
        elif kn is None:
            raise VfsError(errno.ENOENT)
        elif action & EV_DELETE:
            self.detach(kn)
            return
        if action & EV_DISABLE:
            kn.disabled = True
        if action & EV_ENABLE:
            kn.disabled = False
            if kn.active:
                self.enqueue(kn)

    def detach(self, kn: Knote) -> None:
        """Forget a knote (knote_detach)."""
        kn.filter.detach(kn)
        del self._knotes[kn.ident, kn.filt]
        self._head.pop(kn, None)
        others = self._fdknotes[kn.ident]
        others.remove(kn)
        if not others:
            del self._fdknotes[kn.ident]

    def close(self) -> None:
        """Forget all knotes."""
        for kn in list(self._knotes.values()):
            self.detach(kn)

    def scan(self, count: int) -> list[bytes]:
        """Take up to `count` active knotes in the order in which they came; return a struct kevent of each.

        One without EV_CLEAR, EV_DISPATCH and EV_ONESHOT is queued again and comes with the next scan, unless
        its event is over by then (kqueue_scan).
        """
        head = self._head
        events: list[bytes] = []
        for _ in range(len(head)):
            if len(events) == count:
                break
            kn, _ = head.popitem(last=False)
            if kn.disabled:
                continue
            if not kn.flags & EV_ONESHOT and not kn.filter.event(kn, 0):
                kn.deactivate()
                continue
            events.append(kn.pack())
            self._reported(kn)
        return events

    def _reported(self, kn: Knote) -> None:
        if kn.flags & EV_ONESHOT:
            self.detach(kn)
        elif kn.flags & EV_CLEAR:
            kn.data = kn.fflags = 0
            kn.deactivate()
        elif kn.flags & EV_DISPATCH:
            kn.disabled = True
            kn.deactivate()
        else:
            self._head[kn] = None
