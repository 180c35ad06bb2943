"""Process groups and sessions (NetBSD: kern_proc.c: proc_enterpgrp, proc_leavepgrp).

Clients begin in the group and the session of the kernel, whose numbers are 0 (rump's lwproc.c).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rumpfs.abi import errno
from rumpfs.base.errors import VfsError

if TYPE_CHECKING:
    from rumpfs.kern.proc import Proc

MAXLOGNAME = 16  # sys/sys/param.h


class Session:
    """A session: `login` is the name that setlogin(2) left, NULs to its size."""

    __slots__ = ("leader", "login", "sid")

    def __init__(self, sid: int, leader: Proc | None, login: bytes) -> None:
        self.sid = sid
        self.leader = leader
        self.login = login


class Pgrp:
    """A process group."""

    __slots__ = ("members", "pg_id", "session")

    def __init__(self, pg_id: int, session: Session) -> None:
        self.pg_id = pg_id
        self.session = session
        self.members: set[Proc] = set()


class PgrpTable:
    """The process groups of a kernel, by number; the kernel's own is always there."""

    def __init__(self) -> None:
        self.pgrp0 = Pgrp(0, Session(0, None, bytes(MAXLOGNAME)))
        self._pgrps = {0: self.pgrp0}

    def get(self, pg_id: int) -> Pgrp | None:
        """Return a group; None when there is none of that number."""
        return self._pgrps.get(pg_id)

    def join(self, p: Proc, pgrp: Pgrp) -> None:
        """Make `p` a member of `pgrp`; it must be in no group."""
        self._pgrps[pgrp.pg_id] = pgrp
        pgrp.members.add(p)
        p.pgrp = pgrp

    def leave(self, p: Proc) -> None:
        """Take `p` out of its group, which goes with its last member."""
        pgrp = p.pgrp
        pgrp.members.discard(p)
        if not pgrp.members and pgrp is not self.pgrp0:
            del self._pgrps[pgrp.pg_id]
        if pgrp.session.leader is p:
            pgrp.session.leader = None

    def move(self, p: Proc, pgrp: Pgrp) -> None:
        """Take `p` from its group to `pgrp`."""
        self.leave(p)
        self.join(p, pgrp)


def setsid(p: Proc) -> None:
    """Make `p` the leader of a new session and of its only group.

    Errors:
        EPERM: it leads a group already, or a group has its number.
    """
    pgrps = p.kernel.pgrps
    if pgrps.get(p.pid) is not None or p.pgrp.session.leader is p:
        raise VfsError(errno.EPERM)
    pgrps.move(p, Pgrp(p.pid, Session(p.pid, p, p.pgrp.session.login)))


def setpgid(curp: Proc, pid: int, pgid: int) -> None:
    """Move the process `pid` to the group `pgid`, which may be a new one of its own number.

    Errors:
        ESRCH: `pid` is neither `curp` nor below it.
        EPERM: another session; a session leader; no such group, and not the number of the process.
    """
    kernel = curp.kernel
    p = kernel.procs.get(pid)
    if p is None or (p is not curp and not inferior(p, curp)):
        raise VfsError(errno.ESRCH)
    pgrp = kernel.pgrps.get(pgid)
    session = curp.pgrp.session
    if p.pgrp.session is not session or (pgrp is not None and pgrp.session is not session):
        raise VfsError(errno.EPERM)
    if pgrp is p.pgrp:
        return
    if session.leader is p or (pgrp is None and pgid != pid):
        raise VfsError(errno.EPERM)
    kernel.pgrps.move(p, pgrp or Pgrp(pgid, session))


def inferior(p: Proc, ancestor: Proc) -> bool:
    """Whether `p` descends from `ancestor` (kern_proc.c: p_inferior)."""
    procs = p.kernel.procs
    parent = procs.get(p.ppid)
    for _ in range(len(procs)):
        if parent is None or parent is ancestor:
            break
        parent = procs.get(parent.ppid)
    return parent is ancestor
