"""Who may change which attribute (NetBSD: miscfs/genfs/genfs_vnops.c, genfs_can_*).

These are the rules for everybody but the superuser, who may change anything.
"""

from __future__ import annotations

from typing import Final

from rumpfs.abi import errno
from rumpfs.abi.extattr import EXTATTR_NAMESPACE_SYSTEM, EXTATTR_NAMESPACES
from rumpfs.abi.stat import (
    S_ISGID,
    S_ISTXT,
    SF_APPEND,
    SF_IMMUTABLE,
    UF_APPEND,
    UF_IMMUTABLE,
)
from rumpfs.base.errors import VfsError
from rumpfs.vfs.cred import VWRITE, Cred
from rumpfs.vfs.vnode import VBLK, VCHR, VDIR, Vnode

IMMUTABLE: Final = UF_IMMUTABLE | SF_IMMUTABLE
APPEND: Final = UF_APPEND | SF_APPEND


def can_chmod(vtype: int, cred: Cred, uid: int, gid: int, mode: int) -> None:
    """Check a change of permission bits to `mode`.

    Errors:
        EPERM: not the owner; or the set-group-id bit for a group that the caller is not in.
        EFTYPE: the sticky bit on something that is no directory.
    """
    if cred.euid == 0:
        return
    if cred.euid != uid:
        raise VfsError(errno.EPERM)
    if vtype != VDIR and mode & S_ISTXT:
        raise VfsError(errno.EFTYPE)
    if mode & S_ISGID and not cred.ingroup(gid):
        raise VfsError(errno.EPERM)


def can_chown(cred: Cred, uid: int, gid: int, new_uid: int, new_gid: int) -> None:
    """Check a change of owner and group.

    Errors:
        EPERM: unless the owner keeps the file and gives it to one of the groups that he is in.
    """
    if cred.euid == 0:
        return
    if cred.euid != uid or new_uid != uid or (new_gid != gid and not cred.ingroup(new_gid)):
        raise VfsError(errno.EPERM)


def can_chtimes(vp: Vnode, cred: Cred, uid: int, touch: bool) -> None:
    """Check a change of times; with `touch` to the present.

    Errors:
        EPERM: not the owner.
        EACCES: `touch`, and neither the owner nor permitted to write.
    """
    if cred.euid in (0, uid):
        return
    if not touch:
        raise VfsError(errno.EPERM)
    vp.access(VWRITE, cred)


def can_chflags(vtype: int, cred: Cred, uid: int, system: bool) -> None:
    """Check a change of flags; `system` says that it changes one of the superuser's.

    Errors:
        EPERM: not the owner, a flag of the superuser's, or a device.
    """
    if cred.euid == 0:
        return
    if cred.euid != uid or system or vtype in (VBLK, VCHR):
        raise VfsError(errno.EPERM)


def can_extattr(vp: Vnode, attrnamespace: int, want: int, cred: Cred) -> None:
    """Check that an extended attribute may be read (VREAD) or changed (VWRITE).

    Errors:
        EINVAL: there is no such namespace.
        EPERM: the namespace is the superuser's.
        those of `Vnode.access`: in the other one the permissions of the file count.
    """
    if attrnamespace not in EXTATTR_NAMESPACES.values():
        raise VfsError(errno.EINVAL)
    if cred.euid == 0:
        return
    if attrnamespace == EXTATTR_NAMESPACE_SYSTEM:
        raise VfsError(errno.EPERM)
    vp.access(want, cred)
