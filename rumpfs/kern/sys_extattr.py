"""Extended attributes (NetBSD: vfs_xattr.c; extattr(2)).

`extattr_set_vp` and the functions like it are for both families of calls, this one and that of `sys_xattr`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Generator
from typing import Any, Final, TypeAlias

from rumpfs.abi import errno
from rumpfs.abi.extattr import EXTATTR_MAXNAMELEN, XATTR_CREATE, XATTR_REPLACE
from rumpfs.abi.limits import PATH_MAX
from rumpfs.base.copy import COPYIN_MAX, Body, Buffer, CopyIn, CopyInStr, Done, Request
from rumpfs.base.errors import VfsError
from rumpfs.kern.proc import Proc
from rumpfs.kern.syscall import syscall
from rumpfs.vfs.namei import namei
from rumpfs.vfs.vnode import Vnode, vref, vrele

INT_MAX: Final = 2**31 - 1

#: finds the file that a call is about, which may need a path
Find: TypeAlias = Generator[Request, Any, Vnode]


def _by_path(p: Proc, path: int) -> Find:
    return namei(p, (yield CopyInStr(path, PATH_MAX)))


def _by_link(p: Proc, path: int) -> Find:
    return namei(p, (yield CopyInStr(path, PATH_MAX)), False)


def _by_fd(p: Proc, fd: int) -> Find:
    return p.vnode(fd)
    yield


def on_a_file(path: str, link: str, fd: str) -> Callable[[Callable[..., Body]], Callable[..., Body]]:
    """Enter the decorated body as the three calls that say in different ways which file they are about.

    The body is given the process, a `Find`, and the other arguments.

    Args:
        path: the call with a path.
        link: the one that does not follow a symbolic link at its end.
        fd: the one with a descriptor.
    """

    def enter(operation: Callable[..., Body]) -> Callable[..., Body]:
        for name, find in ((path, _by_path), (link, _by_link), (fd, _by_fd)):
            syscall(name, raw=True)(_found_by(find, operation))
        return operation

    return enter


def _found_by(find: Callable[[Proc, int], Find], operation: Callable[..., Body]) -> Callable[..., Body]:
    @functools.wraps(operation)
    def body(p: Proc, where: int, *args: int) -> Body:
        return operation(p, find(p, where), *args)

    return body


def extattr_set_vp(
    p: Proc, vp: Vnode, attrnamespace: int, name: bytes, data: int, nbytes: int, flags: int = 0
) -> Body:
    """Set an attribute to the `nbytes` bytes at `data`, and return their number.

    Args:
        flags: XATTR_CREATE, XATTR_REPLACE.

    Errors: with flags those of VOP_GETEXTATTR, ENODATA or EEXIST; EINVAL (nbytes), those of VOP_SETEXTATTR,
    EFBIG, EFAULT.
    """
    if flags:
        _check_flags(p, vp, attrnamespace, name, flags)
    if nbytes > INT_MAX:
        raise VfsError(errno.EINVAL)
    store = vp.setextattr(attrnamespace, name, nbytes, p.cred)
    if nbytes > COPYIN_MAX:
        raise VfsError(errno.EFBIG)
    vref(vp)
    try:
        store((yield CopyIn(data, nbytes)) if nbytes else b"")
    finally:
        vrele(vp)
    return nbytes


def _check_flags(p: Proc, vp: Vnode, attrnamespace: int, name: bytes, flags: int) -> None:
    try:
        vp.getextattr(attrnamespace, name, p.cred)
    except VfsError as error:
        if error.errno != errno.ENODATA or flags & XATTR_REPLACE:
            raise
    else:
        if flags & XATTR_CREATE:
            raise VfsError(errno.EEXIST)


def extattr_get_vp(p: Proc, vp: Vnode, attrnamespace: int, name: bytes, data: int, nbytes: int) -> int | Done:
    """Store an attribute's value at `data`, cut to `nbytes`; return its length, without `data` the whole one.

    Errors: EINVAL (nbytes), those of VOP_GETEXTATTR, EFAULT.
    """
    if not data:
        return len(vp.getextattr(attrnamespace, name, p.cred))
    if nbytes > INT_MAX:
        raise VfsError(errno.EINVAL)
    return stored(data, vp.getextattr(attrnamespace, name, p.cred)[:nbytes])


def stored(addr: int, data: Buffer) -> int | Done:
    """Return the result of a call that stores `data` and returns its length."""
    return Done(addr, data, len(data)) if data else 0


@on_a_file("extattr_set_file", "extattr_set_link", "extattr_set_fd")
def sys_extattr_set(p: Proc, find: Find, attrnamespace: int, attrname: int, data: int, nbytes: int) -> Body:
    """Set an extended attribute. Errors: EFAULT, ENAMETOOLONG, those of namei, those of `extattr_set_vp`."""
    name = yield CopyInStr(attrname, EXTATTR_MAXNAMELEN)
    return (yield from extattr_set_vp(p, (yield from find), attrnamespace, name, data, nbytes))


@on_a_file("extattr_get_file", "extattr_get_link", "extattr_get_fd")
def sys_extattr_get(p: Proc, find: Find, attrnamespace: int, attrname: int, data: int, nbytes: int) -> Body:
    """Read an extended attribute. Errors: EFAULT, ENAMETOOLONG, those of namei, those of `extattr_get_vp`."""
    name = yield CopyInStr(attrname, EXTATTR_MAXNAMELEN)
    return extattr_get_vp(p, (yield from find), attrnamespace, name, data, nbytes)


@on_a_file("extattr_delete_file", "extattr_delete_link", "extattr_delete_fd")
def sys_extattr_delete(p: Proc, find: Find, attrnamespace: int, attrname: int) -> Body:
    """Delete an extended attribute. Errors: EFAULT, ENAMETOOLONG, those of namei and VOP_DELETEEXTATTR."""
    name = yield CopyInStr(attrname, EXTATTR_MAXNAMELEN)
    (yield from find).deleteextattr(attrnamespace, name, p.cred)
    return 0


@on_a_file("extattr_list_file", "extattr_list_link", "extattr_list_fd")
def sys_extattr_list(p: Proc, find: Find, attrnamespace: int, data: int, nbytes: int) -> Body:
    """Store the names of the extended attributes in a namespace, each behind a byte with its length.

    They are cut to `nbytes`; without `data`, the length of all of them is returned.
    Errors: EFAULT, those of namei, EINVAL (nbytes), those of VOP_LISTEXTATTR.
    """
    vp = yield from find
    if data and nbytes > INT_MAX:
        raise VfsError(errno.EINVAL)
    names = vp.listextattr(attrnamespace, p.cred)
    packed = b"".join(bytes([len(name)]) + name for name in names)
    return stored(data, packed[:nbytes]) if data else len(packed)


@syscall("extattrctl", raw=True)
def sys_extattrctl(p: Proc, path: int, cmd: int, filename: int, attrnamespace: int, attrname: int) -> Body:
    """Start or stop extended attributes of the file system that holds a path.

    Errors: EFAULT, ENAMETOOLONG, those of namei for both paths; those of VFS_EXTATTRCTL.
    """
    name = (yield CopyInStr(attrname, EXTATTR_MAXNAMELEN)) if attrname else None
    vp = namei(p, (yield CopyInStr(path, PATH_MAX)))
    file_vp = None
    if filename:
        vref(vp)
        try:
            file_vp = namei(p, (yield CopyInStr(filename, PATH_MAX)))
        finally:
            vrele(vp)
    vp.v_mount.extattrctl(cmd, file_vp, attrnamespace, name, p.cred)
    return 0
