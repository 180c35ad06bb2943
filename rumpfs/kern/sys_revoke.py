"""Taking open files away from those who have them (NetBSD: vfs_syscalls.c, vfs_vnode.c: vgone)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from rumpfs.abi import errno
from rumpfs.abi.event import NOTE_REVOKE
from rumpfs.base.errors import VfsError
from rumpfs.kern.descrip import VnodeFile
from rumpfs.kern.proc import Proc
from rumpfs.kern.syscall import syscall
from rumpfs.vfs.deadfs import DeadVnode
from rumpfs.vfs.mount import Mount
from rumpfs.vfs.namei import namei
from rumpfs.vfs.vnode import VBLK, VCHR, VFIFO, Vnode, knote, layers

if TYPE_CHECKING:
    from rumpfs.kern.kernel import Kernel


def revoke_files(kernel: Kernel, doomed: Callable[[VnodeFile], bool]) -> None:
    """Close the open files that are `doomed`; their descriptors stay, and are of dead files from now on."""
    dead: dict[VnodeFile, VnodeFile] = {}
    for p in kernel.procs.values():
        for fd, fp in enumerate(p.fd.files):
            if not isinstance(fp, VnodeFile) or not doomed(fp):
                continue
            vp = fp.f_vnode
            new = dead.get(fp)
            if new is None:
                new = dead[fp] = VnodeFile(DeadVnode(vp.v_type), fp.f_flag)
                knote(vp, NOTE_REVOKE)
            p.fd.replace(fd, new)


def revoke_mount(kernel: Kernel, mp: Mount) -> None:
    """Take a mount from everybody: its files and the directories of processes are dead, opens that wait fail.

    Who has the root of a mount over the root file system is given back what that mount covers.
    """
    assert kernel.vfs is not None
    for fifo in list(mp.mnt_fifos):
        fifo.revoke()
    revoke_files(kernel, lambda fp: fp.f_vnode.v_mount is mp)
    root = mp.mnt_root if mp.mnt_root is kernel.vfs.rootvnode else None

    def instead(vp: Vnode) -> Vnode:
        covered = mp.mnt_vnodecovered
        return covered if vp is root and covered is not None else DeadVnode(vp.v_type)

    for p in kernel.procs.values():
        if p.cwd.v_mount is mp:
            p.chdir(instead(p.cwd))
        if p.rdir.v_mount is mp:
            p.set_root(instead(p.rdir))


@syscall("revoke")
def sys_revoke(p: Proc, path: bytes) -> int:
    """Close a file, or a device under all its names, for everybody.

    Errors: those of namei; EPERM: neither the owner nor the superuser.
    """
    vp = namei(p, path)
    if p.cred.euid not in (0, vp.getattr().uid):
        raise VfsError(errno.EPERM)
    if vp.v_type in (VBLK, VCHR):
        kind, rdev = vp.v_type, vp.rdev()
        revoke_files(p.kernel, lambda fp: fp.f_vnode.v_type == kind and fp.f_vnode.rdev() == rdev)
    else:
        if vp.v_type == VFIFO:
            vp.fifo().revoke()
        *_, lowest = layers(vp)
        revoke_files(p.kernel, lambda fp: lowest in layers(fp.f_vnode))
    return 0
