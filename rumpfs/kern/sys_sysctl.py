"""The system call of sysctl(3) (NetBSD: kern_sysctl.c: sys___sysctl, sysctl_dispatch)."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final

from rumpfs.abi import errno
from rumpfs.abi.sysctl import (
    CTL_CREATE,
    CTL_CREATESYM,
    CTL_DESCRIBE,
    CTL_DESTROY,
    CTL_MAXNAME,
    CTL_QUERY,
)
from rumpfs.base.copy import Body, CopyIn, CopyOut
from rumpfs.base.errors import VfsError
from rumpfs.kern.proc import Proc
from rumpfs.kern.syscall import syscall
from rumpfs.kern.sysctl import Node, Steps, SysctlRequest, describe, lookup, query


def _change(req: SysctlRequest, node: Node, root: Node) -> Steps:
    """Refuse to make or to remove nodes: the tree is the kernel's. Errors: EINVAL, EPERM."""
    raise VfsError(errno.EPERM if req.newp else errno.EINVAL)
    yield


#: what can be done with the node before the last number
_META: Final[dict[int, Callable[[SysctlRequest, Node, Node], Steps]]] = {
    CTL_QUERY: query,
    CTL_DESCRIBE: describe,
    CTL_CREATE: _change,
    CTL_CREATESYM: _change,
    CTL_DESTROY: _change,
}


def dispatch(req: SysctlRequest, mib: tuple[int, ...]) -> Steps:
    """Find the node and let it answer.

    Errors: ENOENT, ENOTDIR; EOPNOTSUPP (a negative number that stands for nothing); those of the node.
    """
    tree = req.p.kernel.sysctl
    node, used, error = tree.locate(mib)
    rest = mib[used:]
    if node.func is not None and rest != (CTL_QUERY,):
        yield from node.func(req, node, rest)
    elif not error:
        yield from lookup(req, node)
    elif error == errno.ENOENT and len(rest) == 1 and rest[0] < 0:
        meta = _META.get(rest[0])
        if meta is None:
            raise VfsError(errno.EOPNOTSUPP)
        yield from meta(req, node, tree.root)
    else:
        raise VfsError(error)


@syscall("__sysctl", raw=True)
def sys_sysctl(p: Proc, name: int, namelen: int, oldv: int, oldlenp: int, newv: int, newlen: int) -> Body:
    """Read and write a value of the tree; the size of the old one is stored even when that fails.

    Errors: EFAULT, EINVAL (length of the MIB), those of the node, ENOMEM (no room for all of the value).
    """
    given = int.from_bytes((yield CopyIn(oldlenp, 8)), "little") if oldlenp else 0
    if not 1 <= namelen <= CTL_MAXNAME:
        raise VfsError(errno.EINVAL)
    mib = struct.unpack(f"<{namelen}i", (yield CopyIn(name, 4 * namelen)))
    req = SysctlRequest(p, oldv, given, newv, newlen)
    failure = None
    try:
        yield from dispatch(req, mib)
    except VfsError as error:
        failure = error
    if oldlenp:
        try:
            yield CopyOut(oldlenp, req.oldlen.to_bytes(8, "little"))
        except VfsError as error:
            failure = failure or error
    if failure is not None:
        raise failure
    if oldv and given < req.oldlen:
        raise VfsError(errno.ENOMEM)
    return 0
