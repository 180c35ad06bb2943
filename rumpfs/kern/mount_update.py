"""mount(2) on what is mounted already: MNT_UPDATE and MNT_GETARGS (NetBSD: vfs_syscalls.c)."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from rumpfs.abi import errno
from rumpfs.abi.fcntl import FWRITE
from rumpfs.abi.mount import MNT_BASIC_FLAGS, MNT_FORCE, MNT_GETARGS, MNT_RDONLY, MNT_RELOAD
from rumpfs.base.copy import CopyOut, Request
from rumpfs.base.errors import VfsError
from rumpfs.kern.descrip import VnodeFile
from rumpfs.kern.proc import Proc
from rumpfs.kern.sys_revoke import revoke_files
from rumpfs.vfs.mount import Mount, MountArgs
from rumpfs.vfs.vnode import VREG, Vnode, layers


def mount_getargs(vp: Vnode, flags: int, data: int, args: bytes | None) -> Generator[Request, Any, int]:
    """Store the arguments that a mount has now at `data`, and return their length.

    Errors: EINVAL (other flags; no root of a mount), those of `Mount.getargs`, EFAULT.
    """
    if flags != MNT_GETARGS or vp is not vp.v_mount.mnt_root:
        raise VfsError(errno.EINVAL)
    result = vp.v_mount.getargs(args)
    if result:
        yield CopyOut(data, result)
    return len(result)


def mount_update(p: Proc, vp: Vnode, flags: int, args: MountArgs) -> Generator[Request, Any, int]:
    """Change the flags and arguments of a mount; its flags stay as they are when that fails.

    Errors: EINVAL (no root of a mount), EOPNOTSUPP (MNT_RELOAD of what can be written), EBUSY: it is to be
    read-only and a file is open that is written or has no name (MNT_FORCE revokes such files); those of
    `Mount.update`.
    """
    mp = vp.v_mount
    if vp is not mp.mnt_root:
        raise VfsError(errno.EINVAL)
    writable = not mp.mnt_flag & MNT_RDONLY
    if flags & MNT_RELOAD and writable:
        raise VfsError(errno.EOPNOTSUPP)
    downgrade = bool(flags & MNT_RDONLY) and writable
    if downgrade and not flags & MNT_FORCE and any(_needs_writing(fp, mp) for fp in _files(p)):
        raise VfsError(errno.EBUSY)
    taken = yield from mp.update(args)
    if downgrade:
        revoke_files(p.kernel, lambda fp: _needs_writing(fp, mp))
    mp.mnt_flag = mp.mnt_flag & ~MNT_BASIC_FLAGS | taken & MNT_BASIC_FLAGS
    return 0


def _files(p: Proc) -> Generator[VnodeFile, None, None]:
    """Yield the open files of every process."""
    for other in p.kernel.procs.values():
        for fp in other.fd.files:
            if isinstance(fp, VnodeFile):
                yield fp


def _needs_writing(fp: VnodeFile, mp: Mount) -> bool:
    """Whether a file keeps its mount, or the one that is a layer on, from being read-only.

    NetBSD: vfs_mount.c: vflush with WRITECLOSE.
    """
    vp = fp.f_vnode
    if vp.v_type != VREG or all(below.v_mount is not mp for below in layers(vp)):
        return False
    return bool(fp.f_flag & FWRITE or not vp.getattr().nlink)
