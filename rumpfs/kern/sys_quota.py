"""Quotas (NetBSD: vfs_syscalls.c, do_sys_quotactl; quotactl(2)).

No file system here changes any, so what would change them is EROFS.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from rumpfs.abi import errno, quota
from rumpfs.abi.limits import PATH_MAX
from rumpfs.abi.quota import IDTYPE_NAMES, OBJTYPE_NAMES
from rumpfs.base.copy import Body, CopyIn, CopyInStr, CopyOut
from rumpfs.base.errors import VfsError
from rumpfs.kern.proc import Proc
from rumpfs.kern.syscall import syscall
from rumpfs.vfs.namei import namei
from rumpfs.vfs.quota import Cursor, Quotas
from rumpfs.vfs.vnode import vref, vrele


@syscall("__quotactl", raw=True)
def sys_quotactl(p: Proc, path: int, args: int) -> Body:
    """Look at the quotas of the file system that holds a path, of which each command is a call of its own.

    Errors: EFAULT, those of namei, EINVAL (command), EOPNOTSUPP (no quotas), those of the command, EIO.
    """
    data = yield CopyIn(args, quota.QUOTACTL_ARGS_SIZE)
    vp = namei(p, (yield CopyInStr(path, PATH_MAX)))
    (op,) = quota.QC_OP.unpack_from(data)
    if op not in _COMMANDS:
        raise VfsError(errno.EINVAL)
    vref(vp)
    try:
        yield from _COMMANDS[op](p, vp.v_mount.quotas(), data[quota.QC_OP.size :])
    finally:
        vrele(vp)
    return 0


def _superuser(p: Proc) -> None:
    if p.cred.euid:
        raise VfsError(errno.EPERM)


def _stat(p: Proc, quotas: Quotas, args: bytes) -> Body:
    """Store what the implementation is like. Errors: EFAULT."""
    (info,) = quota.QC_POINTER.unpack_from(args)
    counts = len(IDTYPE_NAMES), len(OBJTYPE_NAMES)
    yield CopyOut(info, quota.QUOTASTAT.pack(quotas.implname, *counts, quotas.restrictions))


def _idtypestat(p: Proc, quotas: Quotas, args: bytes) -> Body:
    """Store what a type of ids is called. Errors: EINVAL, EFAULT."""
    idtype, info = quota.QC_TYPE_POINTER.unpack_from(args)
    if idtype not in IDTYPE_NAMES:
        raise VfsError(errno.EINVAL)
    yield CopyOut(info, quota.QUOTAIDTYPESTAT.pack(IDTYPE_NAMES[idtype]))


def _objtypestat(p: Proc, quotas: Quotas, args: bytes) -> Body:
    """Store what is limited, and whether that is space. Errors: EINVAL, EFAULT."""
    objtype, info = quota.QC_TYPE_POINTER.unpack_from(args)
    if objtype not in OBJTYPE_NAMES:
        raise VfsError(errno.EINVAL)
    isbytes = objtype == quota.QUOTA_OBJTYPE_BLOCKS
    yield CopyOut(info, quota.QUOTAOBJTYPESTAT.pack(OBJTYPE_NAMES[objtype], isbytes))


def _get(p: Proc, quotas: Quotas, args: bytes) -> Body:
    """Store the value of a key.

    Errors: EFAULT; EPERM: it is not the caller's own; EINVAL (types); ENODEV: there are no quotas for such
    ids; ENOENT, EIO.
    """
    key, val = quota.QC_POINTERS.unpack_from(args)
    idtype, ident, objtype = quota.QUOTAKEY.unpack((yield CopyIn(key, quota.QUOTAKEY.size)))
    if ident != p.cred.euid:
        _superuser(p)
    if objtype not in OBJTYPE_NAMES or idtype not in IDTYPE_NAMES:
        raise VfsError(errno.EINVAL)
    file = quotas.files.get(idtype)
    if file is None:
        raise VfsError(errno.ENODEV)
    values = file.default() if ident == quota.QUOTA_DEFAULTID else file.get(ident)
    yield CopyOut(val, quota.QUOTAVAL.pack(*values[objtype]))


def _fetch(addr: int) -> Body:
    return Cursor.unpack((yield CopyIn(addr, quota.QUOTAKCURSOR_SIZE)))


def _cursoropen(p: Proc, quotas: Quotas, args: bytes) -> Body:
    """Store a cursor that is at the beginning. Errors: EPERM, EFAULT."""
    _superuser(p)
    (cursor,) = quota.QC_POINTER.unpack_from(args)
    yield CopyOut(cursor, Cursor().pack())


def _cursorclose(p: Proc, quotas: Quotas, args: bytes) -> Body:
    """Give a cursor up. Errors: EPERM, EFAULT, EINVAL (it is none)."""
    _superuser(p)
    yield from _fetch(*quota.QC_POINTER.unpack_from(args))


def _cursorskipidtype(p: Proc, quotas: Quotas, args: bytes) -> Body:
    """Let a cursor leave a type of ids out. Errors: EFAULT, EINVAL."""
    addr, idtype = quota.QC_POINTER_TYPE.unpack_from(args)
    cursor = yield from _fetch(addr)
    if idtype not in IDTYPE_NAMES:
        raise VfsError(errno.EINVAL)
    cursor.done.add(idtype)
    yield CopyOut(addr, cursor.pack())


def _cursorget(p: Proc, quotas: Quotas, args: bytes) -> Body:
    """Store the next keys and values, and how many they are: 0 at the end.

    Errors: EPERM, EFAULT, EINVAL (it is no cursor), EIO.
    """
    _superuser(p)
    addr, keys, vals, maxnum, ret = quota.QC_CURSORGET.unpack_from(args)
    cursor = yield from _fetch(addr)
    found = cursor.get(quotas, min(maxnum, quota.CURSORGET_MAX))
    if found:
        yield CopyOut(keys, b"".join(quota.QUOTAKEY.pack(*key) for *key, _ in found))
        yield CopyOut(vals, b"".join(quota.QUOTAVAL.pack(*value) for *_, value in found))
    yield CopyOut(ret, len(found).to_bytes(4, "little"))
    yield CopyOut(addr, cursor.pack())


def _cursoratend(p: Proc, quotas: Quotas, args: bytes) -> Body:
    """Store whether a cursor is at the end. Errors: EFAULT, EINVAL."""
    addr, ret = quota.QC_POINTERS.unpack_from(args)
    cursor = yield from _fetch(addr)
    yield CopyOut(ret, int(cursor.atend).to_bytes(4, "little"))


def _cursorrewind(p: Proc, quotas: Quotas, args: bytes) -> Body:
    """Put a cursor at the beginning; nothing is skipped any more. Errors: EFAULT, EINVAL."""
    (addr,) = quota.QC_POINTER.unpack_from(args)
    yield from _fetch(addr)
    yield CopyOut(addr, Cursor().pack())


def _change(p: Proc, quotas: Quotas, args: bytes) -> Body:
    """Refuse to change quotas. Errors: EPERM, EROFS."""
    _superuser(p)
    raise VfsError(errno.EROFS)
    yield


_COMMANDS: Final[dict[int, Callable[[Proc, Quotas, bytes], Body]]] = {
    quota.QUOTACTL_STAT: _stat,
    quota.QUOTACTL_IDTYPESTAT: _idtypestat,
    quota.QUOTACTL_OBJTYPESTAT: _objtypestat,
    quota.QUOTACTL_GET: _get,
    quota.QUOTACTL_PUT: _change,
    quota.QUOTACTL_DEL: _change,
    quota.QUOTACTL_CURSOROPEN: _cursoropen,
    quota.QUOTACTL_CURSORCLOSE: _cursorclose,
    quota.QUOTACTL_CURSORSKIPIDTYPE: _cursorskipidtype,
    quota.QUOTACTL_CURSORGET: _cursorget,
    quota.QUOTACTL_CURSORATEND: _cursoratend,
    quota.QUOTACTL_CURSORREWIND: _cursorrewind,
    quota.QUOTACTL_QUOTAON: _change,
    quota.QUOTACTL_QUOTAOFF: _change,
}
