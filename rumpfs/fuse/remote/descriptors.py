"""The descriptors that one connection has open in the server.

Those of directories are kept for the next call in them, and the one that a file was made with for who opens
it. They are few, and let go when nobody has used them for a moment: what is open cannot be unmounted there.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from rumpfs.abi import errno
from rumpfs.client.errors import RumpError
from rumpfs.fuse.remote.rnode import Rnode, Stale

#: descriptors that are kept
KEPT_MAX: Final = 96
#: seconds without use after which one is let go
IDLE: Final = 1.0
#: what a call says of a directory that is none any more: it was unmounted by force
_DEAD: Final = frozenset({errno.EBADF, errno.ENOTDIR, errno.ENXIO})


class Descriptor:
    """A descriptor, which is not closed while a thread uses it: ``with descriptor as fd``.

    Attributes:
        writable: it is open for writing.
        users: how many use it now.
        used: when it was used last.
        over: it is closed when nobody uses it.
        vital: without it, the connection is good for nothing.
    """

    __slots__ = ("fd", "over", "owner", "used", "users", "vital", "writable")

    def __init__(self, owner: Descriptors, fd: int, writable: bool = False) -> None:
        self.owner = owner
        self.fd = fd
        self.writable = writable
        self.users = 1
        self.used = time.monotonic()
        self.over = False
        self.vital = False

    def __enter__(self) -> int:
        return self.fd

    def __exit__(self, cls: object, error: BaseException | None, traceback: object) -> None:
        dead = isinstance(error, RumpError) and error.netbsd_errno in _DEAD
        self.owner.give(self, dead)
        if dead:
            raise Stale from None


class Descriptors:
    """The descriptors of a connection.

    Args:
        close: closes one.

    Attributes:
        lost: one that is vital is not good for anything.
    """

    #: one for all connections: what is open of a file may be of several
    _lock: Final = threading.Lock()

    def __init__(self, close: Callable[[int], object]) -> None:
        self._close = close
        self.lost = False
        self._kept: OrderedDict[Rnode, Descriptor] = OrderedDict()

    def get(self, file: Rnode, write: bool = False) -> Descriptor | None:
        """Return a descriptor of a file, in use, if there is one (for writing)."""
        with self._lock:
            kept = self._kept.get(file)
            for found in (kept, *file.opened) if kept else file.opened:
                if found.owner is self and not found.over and (found.writable or not write):
                    found.users += 1
                    if found is kept:
                        found.used = time.monotonic()
                        self._kept.move_to_end(file)
                    return found
        return None

    def keep(self, file: Rnode, fd: int, writable: bool = False) -> Descriptor:
        """Take a new descriptor and keep it; return it, in use."""
        descriptor = Descriptor(self, fd, writable)
        with self._lock:
            former = self._kept.pop(file, None)
            self._kept[file] = descriptor
            gone = [former] if former else []
            if len(self._kept) > KEPT_MAX:
                gone.append(self._kept.popitem(last=False)[1])
        self._let_go(gone)
        return descriptor

    def claim(self, file: Rnode) -> Descriptor | None:
        """Return the kept descriptor of a file for its opener alone, if nobody else uses it."""
        with self._lock:
            kept = self._kept.get(file)
            if kept is None or kept.users:
                return None
            kept.users = 1
            return self._kept.pop(file)

    def give(self, descriptor: Descriptor, dead: bool = False) -> None:
        """A thread does not use a descriptor any more.

        Args:
            dead: it is not good for anything.
        """
        with self._lock:
            descriptor.users -= 1
            self.lost = self.lost or (dead and descriptor.vital)
            if dead and not descriptor.over:
                for file in [file for file, kept in self._kept.items() if kept is descriptor]:
                    del self._kept[file]
                    descriptor.over = True
            closes = descriptor.over and descriptor.users == 0
        if closes:
            self._close(descriptor.fd)

    def opened(self, file: Rnode, descriptor: Descriptor) -> None:
        """Somebody has opened a file and holds a descriptor, which others may use meanwhile."""
        with self._lock:
            file.opened += (descriptor,)

    def closed(self, file: Rnode, descriptor: Descriptor) -> None:
        """He has closed it: the descriptor is let go when no thread uses it."""
        with self._lock:
            file.opened = tuple(other for other in file.opened if other is not descriptor)
            descriptor.over = True
        self.give(descriptor)

    def shed(self, idle: float = 0.0) -> bool:
        """Close those that are kept and not in use; whether there are any left, in use or not.

        Args:
            idle: only those without use for so many seconds.
        """
        since = time.monotonic() - idle
        with self._lock:
            gone = [
                (file, kept) for file, kept in self._kept.items() if not kept.users and kept.used <= since
            ]
            for file, _ in gone:
                del self._kept[file]
            left = bool(self._kept)
        self._let_go([kept for _, kept in gone])
        return left

    def _let_go(self, descriptors: list[Descriptor]) -> None:
        for descriptor in descriptors:
            with self._lock:
                descriptor.over = True
                closes = descriptor.users == 0
            if closes:
                self._close(descriptor.fd)
