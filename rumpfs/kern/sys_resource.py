"""Limits of processes (NetBSD: kern_resource.c)."""

from __future__ import annotations

import struct
from collections.abc import Generator
from typing import Any, Final

from rumpfs.abi import errno
from rumpfs.abi.fcntl import O_APPEND
from rumpfs.abi.limits import (
    OPEN_MAX,
    RLIM_INFINITY,
    RLIM_NLIMITS,
    RLIMIT_NOFILE,
    RLIMIT_NPROC,
    RLIMIT_NTHR,
    RLIMIT_STACK,
    SIGXFSZ,
)
from rumpfs.base.copy import Raise, Request
from rumpfs.base.errors import VfsError
from rumpfs.kern.descrip import MAXFILES, File, VnodeFile
from rumpfs.kern.proc import Proc, Rlimits
from rumpfs.kern.syscall import syscall
from rumpfs.vfs.vnode import VREG

_rlimit = struct.Struct("<QQ")

MAXPROC: Final = 532  # sys/sys/param.h: NPROC with rump's 32 users
MAXLWP: Final = 2048  # sys/sys/lwp.h
_MAXUPRC: Final = 160  # sys/sys/param.h: processes of one user

_LIMITS: Final = {
    RLIMIT_STACK: (4 << 20, 128 << 20),  # sys/arch/amd64/include/vmparam.h
    RLIMIT_NPROC: (_MAXUPRC, MAXPROC),
    RLIMIT_NOFILE: (OPEN_MAX, MAXFILES),
    RLIMIT_NTHR: (_MAXUPRC, MAXLWP),
}
#: what init begins with (kern_proc.c: proc0_init)
LIMIT0: Final[Rlimits] = tuple(
    _LIMITS.get(which, (RLIM_INFINITY, RLIM_INFINITY)) for which in range(RLIM_NLIMITS)
)


def enforce_rlimit_fsize(p: Proc, fp: File, offset: int | None, length: int) -> Generator[Request, Any, None]:
    """Refuse a write that ends beyond the limit (vfs_vnops.c: enforce_rlimit_fsize).

    Args:
        p: the process; its limit is one.
        fp: what is written to; only regular files are limited.
        offset: where, or None for the file's own offset.
        length: bytes that are to be written.

    Errors:
        EFBIG: and SIGXFSZ.
    """
    if not isinstance(fp, VnodeFile) or fp.f_vnode.v_type != VREG:
        return
    if fp.f_flag & O_APPEND:
        offset = fp.size()
    elif offset is None:
        offset = fp.f_offset
    if offset + length > p.fsize:
        yield Raise(SIGXFSZ)
        raise VfsError(errno.EFBIG)


@syscall("getrlimit")
def sys_getrlimit(p: Proc, which: int) -> bytes:
    """Return the soft and the hard limit of a resource. Errors: EINVAL."""
    if not 0 <= which < RLIM_NLIMITS:
        raise VfsError(errno.EINVAL)
    return _rlimit.pack(*p.rlimit[which])


@syscall("setrlimit")
def sys_setrlimit(p: Proc, which: int, rlp: bytes | None) -> int:
    """Set the limits of a resource; those of descriptors, processes and threads have a ceiling.

    The sizes of files and the number of descriptors are enforced; nothing here uses the others.

    Errors:
        EFAULT.
        EINVAL: no such resource; a soft limit above the hard one.
        EPERM: a higher hard limit, for others than root.
    """
    if rlp is None:
        raise VfsError(errno.EFAULT)
    soft, hard = _rlimit.unpack(rlp)
    if not 0 <= which < RLIM_NLIMITS or soft > hard:
        raise VfsError(errno.EINVAL)
    if p.cred.euid and hard > p.rlimit[which][1]:
        raise VfsError(errno.EPERM)
    ceiling = _LIMITS.get(which, (0, hard))[1]
    p.setrlimit(which, min(soft, ceiling), min(hard, ceiling))
    return 0
