"""Advisory locks on byte ranges of files (NetBSD: vfs_lockf.c).

A lock belongs to an owner: for fcntl(2) that is a process, for flock(2) an open file. Two locks that overlap
conflict when their owners differ and one of them is exclusive, whichever call made them. A vnode has a
`Lockf` while somebody holds or wants a lock on it, and nothing otherwise; `Advlocks` knows what goes beyond
one vnode: how many locks each user has, and who waits for whom.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Generator, Iterator
from operator import attrgetter
from typing import Any, Final, NamedTuple

from rumpfs.abi import errno
from rumpfs.abi.fcntl import F_RDLCK, F_UNLCK, F_WRLCK
from rumpfs.base.copy import Request, Sleep
from rumpfs.base.errors import VfsError
from rumpfs.base.waitq import WaitQueue
from rumpfs.vfs.vnode import Vnode

#: lf_end of a lock that reaches to the end of the file, wherever that will be
EOF: Final = 2**63 - 1
#: l_pid of a lock that an open file owns
NOPID: Final = -1
#: locks that a user may hold (vfs_lockf.c: maxlocksperuid); he may come to twice as many by unlocking middles
MAXLOCKSPERUID: Final = 1024
#: the same for the superuser, whom NetBSD does not limit: he may be a client out of control
MAXLOCKSROOT: Final = 8192


class Owner(NamedTuple):
    """Whose a lock is.

    Args:
        id: the process or the open file; compared by identity.
        pid: what F_GETLK tells of it.
        posix: a process: it can be in a deadlock.
    """

    id: object
    pid: int = NOPID
    posix: bool = False


class Lock(NamedTuple):
    """A lock, or what is to be one, or to be none.

    Args:
        lf_type: F_RDLCK, F_WRLCK; F_UNLCK.
        lf_start, lf_end: first and last byte.
        lf_uid: whose it is in the count of locks.
    """

    lf_type: int
    lf_start: int
    lf_end: int
    lf_uid: int = 0


_start = attrgetter("lf_start")
_end = attrgetter("lf_end")


def byte_range(start: int, length: int) -> tuple[int, int]:
    """Return the first and the last byte of a struct flock's range (lf_advlock).

    Args:
        start: l_start from the beginning of the file.
        length: l_len; 0: to the end of the file; negative: what lies before `start`.

    Errors:
        EINVAL: it begins before the file does, or ends behind the last possible byte.
    """
    end = EOF if not length else start + length - 1
    if length < 0:
        start, end = start + length, start - 1
    if start < 0 or end > EOF:
        raise VfsError(errno.EINVAL)
    return start, end


class Wait:
    """A request that cannot be granted yet; `cancelled` when its file was closed meanwhile."""

    __slots__ = ("cancelled", "lock", "lockf", "owner")

    def __init__(self, lockf: Lockf, owner: Owner, lock: Lock) -> None:
        self.lockf = lockf
        self.owner = owner
        self.lock = lock
        self.cancelled = False


class Advlocks:
    """The locks of one kernel.

    Attributes:
        counts: uid -> locks (struct uidinfo: ui_lockcnt).
        waits: process -> its requests that wait.
    """

    def __init__(self) -> None:
        self.counts: dict[int, int] = {}
        self.waits: dict[object, list[Wait]] = {}

    def getlock(self, vp: Vnode, owner: Owner, lock: Lock) -> tuple[Lock, int] | None:
        """Return the first lock that stands in the way of `lock`, and its l_pid; None: nothing does."""
        lockf = vp.v_lockf
        found = None if lockf is None else min(lockf.blocks(owner, lock), key=_place, default=None)
        return None if found is None else (found[1], found[0].pid)

    def advlock(
        self, vp: Vnode, owner: Owner, lock: Lock, wait: bool = False
    ) -> Generator[Request, Any, None] | None:
        """Lock or unlock a range (VOP_ADVLOCK); what the owner had locked there is replaced.

        Returns:
            None when it is done, or something to run that waits until it is.

        Errors:
            EAGAIN: it conflicts with a lock, and `wait` is False.
            EDEADLK: waiting would never end, as one who waits for this owner is waited for.
            ENOLCK: the user has too many locks.
            EBADF: the file was closed while the request waited; EINTR.
        """
        lockf = vp.v_lockf
        if lockf is None:
            if lock.lf_type == F_UNLCK:
                return None
            lockf = vp.v_lockf = Lockf(vp, self)
        try:
            if lock.lf_type == F_UNLCK or next(lockf.blocks(owner, lock), None) is None:
                self._check_limit(lock)
                lockf.set(owner, lock)
                return None
            if not wait:
                raise VfsError(errno.EAGAIN)
        finally:
            lockf.drop_empty()
        return self._wait(vp, owner, lock)

    def _check_limit(self, lock: Lock) -> None:
        most = MAXLOCKSPERUID if lock.lf_uid else MAXLOCKSROOT
        if lock.lf_type == F_UNLCK:
            most = EOF if lock.lf_end == EOF or not lock.lf_start else 2 * most  # the former never splits one
        if self.counts.get(lock.lf_uid, 0) >= most:
            raise VfsError(errno.ENOLCK)

    def _wait(self, vp: Vnode, owner: Owner, lock: Lock) -> Generator[Request, Any, None]:
        """Wait until nothing stands in the way of `lock`, and set it (lf_setlock)."""
        while True:
            lockf = vp.v_lockf
            if lockf is None:
                lockf = vp.v_lockf = Lockf(vp, self)
            if next(lockf.blocks(owner, lock), None) is None:
                break
            if owner.posix:
                self._check_deadlock(owner, lockf, lock)
            elif lock.lf_type == F_WRLCK:
                lockf.set(owner, Lock(F_UNLCK, lock.lf_start, lock.lf_end))
            yield from self._sleep(Wait(lockf, owner, lock))
        try:
            self._check_limit(lock)
            lockf.set(owner, lock)
        finally:
            lockf.drop_empty()

    def _sleep(self, wait: Wait) -> Generator[Request, Any, None]:
        lockf, owner = wait.lockf, wait.owner.id
        lockf.waits.append(wait)
        self.waits.setdefault(owner, []).append(wait)
        try:
            yield Sleep(lockf.queue)
            if wait.cancelled:
                raise VfsError(errno.EBADF)
        finally:
            lockf.waits.remove(wait)
            self.waits[owner].remove(wait)
            if not self.waits[owner]:
                del self.waits[owner]
            lockf.drop_empty()

    def _check_deadlock(self, owner: Owner, lockf: Lockf, lock: Lock) -> None:
        """Follow those who are in the way, and whom they wait for. Errors: EDEADLK: that leads to `owner`."""
        todo = [holder for holder, _ in lockf.blocks(owner, lock)]
        seen: set[int] = set()
        while todo:
            holder = todo.pop()
            if id(holder.id) in seen:
                continue
            seen.add(id(holder.id))
            for wait in self.waits.get(holder.id, ()):
                for other, _ in wait.lockf.blocks(holder, wait.lock):
                    if other.id is owner.id:
                        raise VfsError(errno.EDEADLK)
                    todo.append(other)


class Lockf:
    """The locks on one vnode.

    Args:
        vp: the vnode.
        table: the kernel's locks.

    Attributes:
        queue: where requests wait.
        waits: those that do.
    """

    __slots__ = ("_held", "_table", "_vp", "queue", "waits")

    def __init__(self, vp: Vnode, table: Advlocks) -> None:
        self._vp = vp
        self._table = table
        # of each owner the locks, which do not overlap, in their order
        self._held: dict[object, tuple[Owner, list[Lock]]] = {}
        self.queue = WaitQueue()
        self.waits: list[Wait] = []

    def drop_empty(self) -> None:
        """Leave the vnode if nobody holds or wants a lock on it."""
        if not self._held and not self.waits and self._vp.v_lockf is self:
            self._vp.v_lockf = None

    def blocks(self, owner: Owner, lock: Lock) -> Iterator[tuple[Owner, Lock]]:
        """Yield the first lock of every other owner that stands in the way of `lock` (lf_getblock)."""
        shared = lock.lf_type != F_WRLCK
        for other, locks in self._held.values():
            if other.id is owner.id:
                continue
            first, last = _overlap(locks, lock)
            for index in range(first, last):
                if not shared or locks[index].lf_type == F_WRLCK:
                    yield other, locks[index]
                    break

    def set(self, owner: Owner, lock: Lock) -> None:
        """Make `lock` what the owner has of its range, and wake who may go on (lf_setlock, lf_clearlock).

        What the owner has next to it of the same type becomes one lock with it.
        """
        kind, start, end, _ = lock
        locks = self._held.get(owner.id, (owner, []))[1]
        reach = lock if kind == F_UNLCK else lock._replace(lf_start=start - 1, lf_end=end + 1)
        place = slice(*_overlap(locks, reach))
        old = locks[place]
        new: list[Lock] = []
        if old and old[0].lf_start < start:
            if old[0].lf_type == kind:
                start = old[0].lf_start
            else:
                new.append(old[0]._replace(lf_end=min(old[0].lf_end, start - 1)))
        after = None
        if old and old[-1].lf_end > end:
            if old[-1].lf_type == kind:
                end = old[-1].lf_end
            else:
                after = old[-1]._replace(lf_start=max(old[-1].lf_start, end + 1))
        if kind != F_UNLCK:
            new.append(lock._replace(lf_start=start, lf_end=end))
        if after is not None:
            new.append(after)
        if new == old:
            return
        locks[place] = new
        if locks:
            self._held[owner.id] = owner, locks
        else:
            self._held.pop(owner.id, None)
        self._count(old, -1)
        self._count(new, 1)
        if lock.lf_type == F_UNLCK or (lock.lf_type == F_RDLCK and old):
            self.queue.wakeup()

    def release(self, owner: object) -> None:
        """The owner has closed the file: its locks go, and its requests fail."""
        _, locks = self._held.pop(owner, (None, []))
        self._count(locks, -1)
        for wait in self.waits:
            if wait.owner.id is owner:
                wait.cancelled = True
        self.queue.wakeup()
        self.drop_empty()

    def _count(self, locks: list[Lock], sign: int) -> None:
        counts = self._table.counts
        for lock in locks:
            number = counts.get(lock.lf_uid, 0) + sign
            if number:
                counts[lock.lf_uid] = number
            else:
                counts.pop(lock.lf_uid, None)


def _place(found: tuple[Owner, Lock]) -> int:
    return found[1].lf_start


def _overlap(locks: list[Lock], lock: Lock) -> tuple[int, int]:
    """Return the indices between which locks overlap `lock`, or where it belongs among them."""
    first = bisect_left(locks, lock.lf_start, key=_end)
    return first, bisect_right(locks, lock.lf_end, first, key=_start)
