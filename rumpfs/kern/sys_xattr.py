"""Extended attributes as Linux has them (NetBSD: vfs_xattr.c).

The prefix of a name says only which namespace is meant, and stays part of the name: "user.x" here is the
attribute "user.x" of extattr(2), and a name without a prefix is one in the namespace user.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Final

from rumpfs.abi import errno
from rumpfs.abi.extattr import EXTATTR_MAXNAMELEN, EXTATTR_NAMESPACE_SYSTEM, EXTATTR_NAMESPACE_USER
from rumpfs.base.copy import Body, CopyInStr
from rumpfs.base.errors import VfsError
from rumpfs.kern.proc import Proc
from rumpfs.kern.sys_extattr import INT_MAX, Find, extattr_get_vp, extattr_set_vp, on_a_file, stored
from rumpfs.vfs.vnode import Vnode

#: what the names in the namespace system begin with
_SYSTEM: Final = (b"system.", b"security.", b"trusted.")


def _namespace(name: bytes) -> int:
    return EXTATTR_NAMESPACE_SYSTEM if name.startswith(_SYSTEM) else EXTATTR_NAMESPACE_USER


def _enotsup(operation: Callable[..., Body]) -> Callable[..., Body]:
    """Let a body fail with ENOTSUP where extattr(2) fails with EOPNOTSUPP."""

    @functools.wraps(operation)
    def body(*args: Any) -> Body:
        try:
            return (yield from operation(*args))
        except VfsError as error:
            if error.errno != errno.EOPNOTSUPP:
                raise
            raise VfsError(errno.ENOTSUP, error.why) from error

    return body


@on_a_file("setxattr", "lsetxattr", "fsetxattr")
@_enotsup
def sys_setxattr(p: Proc, find: Find, name: int, value: int, size: int, flags: int) -> Body:
    """Set an extended attribute; the flags say whether it has to exist, or must not.

    Errors: those of extattr_set_file; EEXIST (XATTR_CREATE), ENODATA (XATTR_REPLACE); ENOTSUP.
    """
    attrname = yield CopyInStr(name, EXTATTR_MAXNAMELEN)
    vp = yield from find
    yield from extattr_set_vp(p, vp, _namespace(attrname), attrname, value, size, flags)
    return 0


@on_a_file("getxattr", "lgetxattr", "fgetxattr")
@_enotsup
def sys_getxattr(p: Proc, find: Find, name: int, value: int, size: int) -> Body:
    """Read an extended attribute. Errors: those of extattr_get_file; ENOTSUP."""
    attrname = yield CopyInStr(name, EXTATTR_MAXNAMELEN)
    return extattr_get_vp(p, (yield from find), _namespace(attrname), attrname, value, size)


@on_a_file("listxattr", "llistxattr", "flistxattr")
@_enotsup
def sys_listxattr(p: Proc, find: Find, list_: int, size: int) -> Body:
    """Store the names of the extended attributes that the caller may see, each with a NUL.

    They are cut to `size`; without `list`, the length of all of them is returned.
    Errors: those of extattr_list_file; ENOTSUP.
    """
    vp = yield from find
    if list_ and size > INT_MAX:
        raise VfsError(errno.EINVAL)
    names = vp.listextattr(EXTATTR_NAMESPACE_USER, p.cred) + _system_names(p, vp)
    packed = b"".join(name + b"\0" for name in names)
    return stored(list_, packed[:size]) if list_ else len(packed)


def _system_names(p: Proc, vp: Vnode) -> list[bytes]:
    try:
        return vp.listextattr(EXTATTR_NAMESPACE_SYSTEM, p.cred)
    except VfsError as error:
        if error.errno != errno.EPERM:
            raise
        return []


@on_a_file("removexattr", "lremovexattr", "fremovexattr")
@_enotsup
def sys_removexattr(p: Proc, find: Find, name: int) -> Body:
    """Delete an extended attribute. Errors: those of extattr_delete_file; ENOTSUP."""
    attrname = yield CopyInStr(name, EXTATTR_MAXNAMELEN)
    (yield from find).deleteextattr(_namespace(attrname), attrname, p.cred)
    return 0
