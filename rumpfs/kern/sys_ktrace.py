"""ktrace, fktrace and utrace (NetBSD: kern_ktrace.c, kern_ktrace_vfs.c)."""

from __future__ import annotations

from collections.abc import Iterable

from rumpfs.abi import errno
from rumpfs.abi.fcntl import FREAD, FWRITE, O_RDWR
from rumpfs.abi.ktrace import (
    KTR_HEADER,
    KTR_USER,
    KTR_USER_MAXIDLEN,
    KTR_USER_MAXLEN,
    KTRFAC_PERSISTENT,
    KTRFAC_VER_MASK,
    KTRFAC_VER_SHIFT,
    KTRFLAG_DESCEND,
    KTROP_CLEAR,
    KTROP_CLEARFILE,
    KTROP_MASK,
    KTROP_SET,
)
from rumpfs.abi.limits import PATH_MAX
from rumpfs.base.copy import Body, CopyIn, CopyInStr
from rumpfs.base.errors import VfsError
from rumpfs.kern.descrip import File, VnodeFile
from rumpfs.kern.ktrace import Ktrace, record, trace, untrace, user_record, wants_user
from rumpfs.kern.pgrp import inferior
from rumpfs.kern.proc import Proc
from rumpfs.kern.sys_open import check_open
from rumpfs.kern.syscall import syscall
from rumpfs.vfs.namei import namei
from rumpfs.vfs.vnode import VREG


def _same(a: File, b: File) -> bool:
    """Whether two open files are the same to a trace (ktrsamefile)."""
    return a is b or (isinstance(a, VnodeFile) and isinstance(b, VnodeFile) and a.f_vnode is b.f_vnode)


def _lookup(p: Proc, fp: File) -> Ktrace | None:
    """Return the trace that goes to a file, if any (ktd_lookup)."""
    for other in p.kernel.procs.values():
        if other.ktrace is not None and _same(other.ktrace.ktd.fp, fp):
            return other.ktrace.ktd
    return None


def _may(p: Proc, target: Proc) -> bool:
    """Whether `p` may trace `target`: root, or the same user as long as that has not changed its ids."""
    cred, other = p.cred, target.cred
    return not cred.euid or (cred.euid == other.ruid == other.svuid and not target.sugid)


def _targets(p: Proc, ops: int, pid: int) -> Iterable[Proc]:
    """Return the processes that are meant: one, or (negative) a group; with their children. Errors: ESRCH."""
    kernel = p.kernel
    pgrp = kernel.pgrps.get(-pid) if pid < 0 else None
    found = set(pgrp.members) if pgrp is not None else {kernel.procs[pid]} if pid in kernel.procs else set()
    if not found:
        raise VfsError(errno.ESRCH)
    if ops & KTRFLAG_DESCEND:
        found |= {q for q in kernel.procs.values() if any(inferior(q, top) for top in found)}
    return found


def _ktrace(p: Proc, ops: int, facs: int, pid: int, fp: File | None) -> int:
    """Begin or end traces (ktrace_common).

    Errors:
        EINVAL: no facility.
        ESRCH: no such process or group.
        EPERM: the processes may not be traced by this one, or there is no such version of records.
    """
    operation = ops & KTROP_MASK
    ktd = _lookup(p, fp) if fp is not None else None
    if operation == KTROP_CLEARFILE:
        traced = [] if ktd is None else list(ktd.procs)
        for q in traced:
            if _may(p, q):
                untrace(q)
        if any(not _may(p, q) for q in traced):
            raise VfsError(errno.EPERM)
        return 0
    facs &= 0xFFFFFFFF & ~KTRFAC_PERSISTENT
    if not facs:
        raise VfsError(errno.EINVAL)
    version = (ops & KTRFAC_VER_MASK) >> KTRFAC_VER_SHIFT
    targets = [q for q in _targets(p, ops, pid) if _may(p, q)] if version in KTR_HEADER else []
    if not targets:
        raise VfsError(errno.EPERM)
    if operation != KTROP_SET:
        for q in targets:
            untrace(q, facs)
        return 0
    assert fp is not None
    ktd = ktd or Ktrace(fp, p.cred)
    for q in targets:
        trace(q, ktd, facs, version)
    return 0


@syscall("ktrace", raw=True)
def sys_ktrace(p: Proc, fname: int, ops: int, facs: int, pid: int) -> Body:
    """Write records of processes to a regular file, or end that: KTR_SYSCALL, _SYSRET, _NAMEI, _EMUL, _USER.

    Errors: EFAULT, those of namei and open; EACCES: no regular file; those of `_ktrace`.
    """
    if ops & KTROP_MASK == KTROP_CLEAR:
        return _ktrace(p, ops, facs, pid, None)
    vp = namei(p, (yield CopyInStr(fname, PATH_MAX)))
    check_open(p, vp, O_RDWR, FREAD | FWRITE)
    if vp.v_type != VREG:
        raise VfsError(errno.EACCES)
    vp.open(FREAD | FWRITE, p.cred)
    fp = VnodeFile(vp, FREAD | FWRITE)
    fp.f_count += 1
    try:
        return _ktrace(p, ops, facs, pid, fp)
    finally:
        fp.f_count -= 1
        if not fp.f_count:
            fp.close()


@syscall("fktrace")
def sys_fktrace(p: Proc, fd: int, ops: int, facs: int, pid: int) -> int:
    """Write records of processes to an open file or pipe, or end that. Errors: EBADF; those of `_ktrace`."""
    return _ktrace(p, ops, facs, pid, p.fget(fd, FWRITE))


@syscall("utrace", raw=True)
def sys_utrace(p: Proc, label: int, addr: int, length: int) -> Body:
    """Put a record of one's own into the trace, when there is one. Errors: ENOSPC (too long), EFAULT."""
    if not wants_user(p):
        return 0
    if length > KTR_USER_MAXLEN:
        raise VfsError(errno.ENOSPC)
    try:
        name = yield CopyInStr(label, KTR_USER_MAXIDLEN)
    except VfsError as error:
        if error.errno not in (errno.EFAULT, errno.ENAMETOOLONG):
            raise
        name = b""
    try:
        data = (yield CopyIn(addr, length)) if length else b""
    except VfsError:
        record(p, KTR_USER, user_record(name, bytes(length)))
        raise
    record(p, KTR_USER, user_record(name, data))
    return 0
