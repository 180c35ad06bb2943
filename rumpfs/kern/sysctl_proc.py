"""kern.proc2: processes as ps(1) sees them (NetBSD: kern_proc.c: sysctl_doeproc, fill_kproc2)."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final

from rumpfs.abi import errno
from rumpfs.abi.limits import NGROUPS_MAX
from rumpfs.abi.sysctl import (
    EPROC_SLEADER,
    KERN_PROC_ALL,
    KERN_PROC_GID,
    KERN_PROC_PGRP,
    KERN_PROC_PID,
    KERN_PROC_RGID,
    KERN_PROC_RUID,
    KERN_PROC_SESSION,
    KERN_PROC_TTY,
    KERN_PROC_TTY_NODEV,
    KERN_PROC_UID,
    KINFO_PROC2,
    KINFO_PROC2_SIZE,
    L_INMEM,
    LSONPROC,
    LSRUN,
    NO_PGID,
    NODEV,
    NZERO,
    P_SUGID,
    SACTIVE,
)
from rumpfs.base.copy import CopyOut
from rumpfs.base.errors import VfsError
from rumpfs.kern.proc import Proc
from rumpfs.kern.sysctl import Node, Steps, SysctlRequest

#: processes that may come between asking for the size and asking for the processes
_SLOP: Final = 5
_ENAME: Final = b"netbsd-rump"  # rump's emul.c
_U32: Final = 0xFFFFFFFF
_ADDRESS_MAX: Final = 1 << 64

_pack_into = {name: (struct.Struct("<" + code).pack_into, at) for name, (at, code) in KINFO_PROC2.items()}

#: whether a process is one of those asked for, by the kind of the question
_MATCH: Final[dict[int, Callable[[Proc, int], bool]]] = {
    KERN_PROC_ALL: lambda p, arg: True,
    KERN_PROC_PID: lambda p, arg: p.pid == arg,
    KERN_PROC_PGRP: lambda p, arg: p.pgrp.pg_id == arg,
    KERN_PROC_SESSION: lambda p, arg: p.pgrp.session.sid == arg,
    KERN_PROC_TTY: lambda p, arg: arg == KERN_PROC_TTY_NODEV,
    KERN_PROC_UID: lambda p, arg: p.cred.euid == arg & _U32,
    KERN_PROC_RUID: lambda p, arg: p.cred.ruid == arg & _U32,
    KERN_PROC_GID: lambda p, arg: p.cred.egid == arg & _U32,
    KERN_PROC_RGID: lambda p, arg: p.cred.rgid == arg & _U32,
}


def fill_kproc2(p: Proc, running: bool) -> bytes:
    """Return struct kinfo_proc2 of a process; `running`: it is the one that asks."""
    cred, session = p.cred, p.pgrp.session
    groups = cred.groups[:NGROUPS_MAX]
    fields: dict[str, int | bytes] = {
        "p_eflag": EPROC_SLEADER if session.leader is p else 0,
        "p_flag": L_INMEM | (P_SUGID if p.sugid else 0),
        "p_pid": p.pid,
        "p_ppid": p.ppid,
        "p_sid": session.sid,
        "p__pgid": p.pgrp.pg_id,
        "p_tpgid": NO_PGID,
        "p_uid": cred.euid,
        "p_ruid": cred.ruid,
        "p_gid": cred.egid,
        "p_rgid": cred.rgid,
        "p_ngroups": len(groups),
        "p_tdev": NODEV,
        "p_stat": LSONPROC if running else LSRUN,
        "p_nice": NZERO,
        "p_comm": p.comm,
        "p_login": session.login,
        "p_uvalid": 1,
        "p_ustart_sec": p.start[0] & _U32,
        "p_ustart_usec": p.start[1] // 1000,
        "p_nlwps": p.nlwps,
        "p_nrlwps": p.nlwps,
        "p_realstat": SACTIVE,
        "p_svuid": cred.svuid,
        "p_svgid": cred.svgid,
        "p_ename": _ENAME,
    }
    data = bytearray(KINFO_PROC2_SIZE)
    for name, value in fields.items():
        pack_into, offset = _pack_into[name]
        pack_into(data, offset, value)
    pack_into, offset = _pack_into["p_groups"]
    pack_into(data, offset, *groups, *[0] * (NGROUPS_MAX - len(groups)))
    return bytes(data)


def sysctl_doeproc(req: SysctlRequest, node: Node, rest: tuple[int, ...]) -> Steps:
    """List processes, the newest first: which, of what, the size of an element, and how many at most.

    Errors:
        EINVAL: not these four numbers; no such question.
        EFAULT.
        ENOMEM: more processes than there is room for; the number of bytes stored is the length then.
    """
    if len(rest) != 4 or rest[0] not in _MATCH:
        raise VfsError(errno.EINVAL)
    match, arg = _MATCH[rest[0]], rest[1]
    size, count = rest[2] & _U32, rest[3] & _U32
    procs = [p for p in req.p.kernel.procs.values() if match(p, arg)][::-1]
    if not req.oldp:
        req.oldlen = size * len(procs) + _SLOP * KINFO_PROC2_SIZE
        return
    room = min(req.oldlen // size if size else len(procs), count, len(procs))
    if req.oldp + room * size > _ADDRESS_MAX:
        raise VfsError(errno.EFAULT)
    for index, p in enumerate(procs[:room]):
        yield CopyOut(req.oldp + index * size, fill_kproc2(p, p is req.p)[:size])
    req.oldlen = room * size
    if room < len(procs) and size:
        raise VfsError(errno.ENOMEM)
