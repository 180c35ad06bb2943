"""Processes, their groups and sessions (NetBSD: kern_prot.c)."""

from __future__ import annotations

from rumpfs.abi import errno
from rumpfs.base.copy import Body, CopyInStr, CopyOut
from rumpfs.base.errors import VfsError
from rumpfs.kern import pgrp
from rumpfs.kern.pgrp import MAXLOGNAME
from rumpfs.kern.proc import Proc
from rumpfs.kern.syscall import syscall


@syscall("getpid")
def sys_getpid(p: Proc) -> tuple[int, int]:
    """Return the process number, and the parent's in retval[1]."""
    return p.pid, p.ppid


@syscall("getppid")
def sys_getppid(p: Proc) -> int:
    """Return the parent's process number."""
    return p.ppid


def _find(p: Proc, pid: int) -> Proc:
    """Return a process by number, `p` for 0. Errors: ESRCH."""
    found = p.kernel.procs.get(pid) if pid else p
    if found is None:
        raise VfsError(errno.ESRCH)
    return found


@syscall("getpgrp")
def sys_getpgrp(p: Proc) -> int:
    """Return the process group."""
    return p.pgrp.pg_id


@syscall("getpgid")
def sys_getpgid(p: Proc, pid: int) -> int:
    """Return the group of a process. Errors: ESRCH."""
    return _find(p, pid).pgrp.pg_id


@syscall("getsid")
def sys_getsid(p: Proc, pid: int) -> int:
    """Return the session of a process. Errors: ESRCH."""
    return _find(p, pid).pgrp.session.sid


@syscall("setpgid")
def sys_setpgid(p: Proc, pid: int, pgid: int) -> int:
    """Put a process into a group. Errors: EINVAL (a negative group), ESRCH, EPERM."""
    if pgid < 0:
        raise VfsError(errno.EINVAL)
    pid = pid or p.pid
    pgrp.setpgid(p, pid, pgid or pid)
    return 0


@syscall("setsid")
def sys_setsid(p: Proc) -> int:
    """Begin a session and return its number. Errors: EPERM."""
    pgrp.setsid(p)
    return p.pid


@syscall("__getlogin", raw=True)
def sys_getlogin(p: Proc, namebuf: int, namelen: int) -> Body:
    """Store the session's login name, at most 16 bytes with NULs at the end. Errors: EFAULT."""
    yield CopyOut(namebuf, p.pgrp.session.login[:namelen])
    return 0


@syscall("__setlogin", raw=True)
def sys_setlogin(p: Proc, namebuf: int) -> Body:
    """Set the session's login name. Errors: EPERM, EFAULT, EINVAL (longer than 16 bytes)."""
    if p.cred.euid:
        raise VfsError(errno.EPERM)
    try:
        name: bytes = yield CopyInStr(namebuf, MAXLOGNAME + 1)
    except VfsError as error:
        raise VfsError(errno.EINVAL if error.errno == errno.ENAMETOOLONG else error.errno) from None
    p.pgrp.session.login = name.ljust(MAXLOGNAME, b"\0")
    return 0
