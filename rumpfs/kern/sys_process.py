"""Processes and their identity (NetBSD: kern_prot.c, kern_resource.c, kern_time.c)."""

from __future__ import annotations

import struct

from rumpfs.abi import errno
from rumpfs.abi.limits import RLIM_INFINITY, RLIMIT_NOFILE
from rumpfs.base.clock import now
from rumpfs.base.errors import VfsError
from rumpfs.kern.descrip import MAXFILES
from rumpfs.kern.proc import Proc
from rumpfs.kern.syscall import syscall

_timespec = struct.Struct("<qq").pack
_timeval = struct.Struct("<qi4x").pack
_rlimit = struct.Struct("<QQ").pack
RLIM_NLIMITS = 12  # sys/sys/resource.h


@syscall("getpid")
def sys_getpid(p: Proc) -> tuple[int, int]:
    """Return the process number, and the parent's in retval[1]."""
    return p.pid, p.ppid


@syscall("getppid")
def sys_getppid(p: Proc) -> int:
    """Return the parent's process number."""
    return p.ppid


@syscall("getuid")
def sys_getuid(p: Proc) -> tuple[int, int]:
    """Return the real user id, and the effective one in retval[1]."""
    return p.cred.ruid, p.cred.euid


@syscall("geteuid")
def sys_geteuid(p: Proc) -> int:
    """Return the effective user id."""
    return p.cred.euid


@syscall("getgid")
def sys_getgid(p: Proc) -> tuple[int, int]:
    """Return the real group id, and the effective one in retval[1]."""
    return p.cred.rgid, p.cred.egid


@syscall("getegid")
def sys_getegid(p: Proc) -> int:
    """Return the effective group id."""
    return p.cred.egid


@syscall("issetugid")
def sys_issetugid(p: Proc) -> int:
    """Return 0: no image of a client is set-id."""
    return 0


@syscall("getrlimit")
def sys_getrlimit(p: Proc, which: int) -> bytes:
    """Return a limit. Errors: EINVAL."""
    if not 0 <= which < RLIM_NLIMITS:
        raise VfsError(errno.EINVAL)
    if which == RLIMIT_NOFILE:
        return _rlimit(p.fd.limit, MAXFILES)
    return _rlimit(RLIM_INFINITY, RLIM_INFINITY)


@syscall("__clock_gettime50")
def sys_clock_gettime(p: Proc, clock_id: int) -> bytes:
    """Return the time of day; clock 0 only (kern_time.c: CLOCK_REALTIME). Errors: EINVAL."""
    if clock_id != 0:
        raise VfsError(errno.EINVAL)
    return _timespec(*now())


@syscall("__gettimeofday50")
def sys_gettimeofday(p: Proc, tzp: int) -> bytes:
    """Return the time of day in seconds and microseconds; there is no time zone."""
    seconds, nanoseconds = now()
    return _timeval(seconds, nanoseconds // 1000)
