"""Opening files, directories of a process, positions (NetBSD: vfs_syscalls.c, vfs_vnops.c: vn_open)."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from rumpfs.abi import errno
from rumpfs.abi.event import NOTE_WRITE
from rumpfs.abi.fcntl import (
    FCNTLFLAGS,
    FREAD,
    FWRITE,
    LOCK_EX,
    LOCK_NB,
    LOCK_SH,
    O_ACCMODE,
    O_CLOEXEC,
    O_CREAT,
    O_DIRECTORY,
    O_EXCL,
    O_EXLOCK,
    O_NOFOLLOW,
    O_NONBLOCK,
    O_SHLOCK,
    O_TRUNC,
)
from rumpfs.abi.mount import MNT_NODEV, MNT_RDONLY
from rumpfs.abi.stat import ALLPERMS, S_IFREG, S_ISTXT
from rumpfs.base.copy import Body, Data, Request
from rumpfs.base.errors import VfsError
from rumpfs.kern.descrip import DeviceFile, VnodeFile, accmode
from rumpfs.kern.fifo import FifoFile
from rumpfs.kern.proc import Proc
from rumpfs.kern.sys_attr import setattr_
from rumpfs.kern.sys_lock import lock_file
from rumpfs.kern.syscall import syscall
from rumpfs.vfs.ancestors import below
from rumpfs.vfs.cred import VEXEC, VREAD, VWRITE
from rumpfs.vfs.namei import namei, namei_create, namei_parent
from rumpfs.vfs.vnode import VBLK, VCHR, VDIR, VFIFO, VLNK, VREG, VSOCK, SetAttr, Vnode, knote, vref, vrele

GETDENTS_MAX = 65536  # MAXBSIZE: what one getdents returns at most


@syscall("open")
def sys_open(p: Proc, path: bytes, flags: int, mode: int) -> int | Body:
    """Open a file. Errors: those of openat."""
    return do_open(p, None, path, flags, mode)


@syscall("openat")
def sys_openat(p: Proc, fd: int, path: bytes, flags: int, mode: int) -> int | Body:
    """Open a file below a directory.

    Errors: EINVAL (access mode 3; O_CREAT with O_DIRECTORY), EMFILE, those of namei, EEXIST (O_EXCL),
    EFTYPE (O_NOFOLLOW and a link), EOPNOTSUPP (socket), ENOTDIR (O_DIRECTORY), EACCES, EISDIR, EROFS,
    ENXIO, and those of `open_vnode`.
    """
    return do_open(p, p.directory(fd) if path[:1] != b"/" else None, path, flags, mode)


def do_open(p: Proc, at: Vnode | None, path: bytes, flags: int, mode: int) -> int | Body:
    """Open `path` relative to `at` and return the descriptor (vfs_syscalls.c: do_open)."""
    if flags & O_ACCMODE == O_ACCMODE:
        raise VfsError(errno.EINVAL)
    p.fd.slot()
    if flags & (O_CREAT | O_DIRECTORY) == O_CREAT | O_DIRECTORY:
        raise VfsError(errno.EINVAL)
    flag = accmode(flags) | flags & FCNTLFLAGS
    if flags & O_CREAT:
        vp, name, created = _open_create(p, at, path, flags, mode)
    else:
        (vp, name), created = namei_parent(p, path, not flags & O_NOFOLLOW, at), False
    if not created:
        check_open(p, vp, flags, flag)
        if flags & O_TRUNC and vp.v_type == VREG:
            setattr_(p, vp, SetAttr(size=0))
    return open_vnode(p, vp, flags, flag, name)


def open_vnode(
    p: Proc, vp: Vnode, flags: int, flag: int, name: tuple[Vnode, bytes] | None = None
) -> int | Body:
    """Open a vnode, which may be, and return the descriptor (vfs_vnops.c: vn_open, open_setfp).

    Args:
        flags: as open(2) has them.
        flag: what the file keeps of them.
        name: the directory and the name in it that it was found by, if it was.

    Errors: those of VOP_OPEN; ENXIO, and those of the driver; EAGAIN (O_SHLOCK, O_EXLOCK); EINTR.
    """
    vp.open(flag, p.cred)
    if vp.v_type == VFIFO or flags & (O_SHLOCK | O_EXLOCK):
        return _open_waiting(p, vp, flags, flag, name)
    fp = _file(p, vp, flag)
    fp.f_name = name
    return p.fd.alloc(fp, cloexec=bool(flags & O_CLOEXEC))


def _open_waiting(
    p: Proc, vp: Vnode, flags: int, flag: int, name: tuple[Vnode, bytes] | None
) -> Generator[Request, Any, int]:
    """Open what may have to wait: the other side of a FIFO, or who has locked the file."""
    vref(vp)
    try:
        fp = (yield from _open_fifo(vp, flag)) if vp.v_type == VFIFO else _file(p, vp, flag)
    finally:
        vrele(vp)
    fp.f_name = name
    try:
        if flags & (O_SHLOCK | O_EXLOCK):
            how = (LOCK_EX if flags & O_EXLOCK else LOCK_SH) | (LOCK_NB if flag & O_NONBLOCK else 0)
            waiting = lock_file(p, fp, how)
            if waiting is not None:
                yield from waiting
                if vp.v_mount.mnt_gone:
                    raise VfsError(errno.ENXIO)
        return p.fd.alloc(fp, cloexec=bool(flags & O_CLOEXEC))
    except BaseException:
        fp.close()
        raise


def _open_fifo(vp: Vnode, flag: int) -> Generator[Request, Any, FifoFile]:
    fifo = vp.fifo()
    waiting = fifo.fifo_open(flag)
    if waiting is not None:
        waited_for = vp.v_mount.mnt_fifos
        waited_for.append(fifo)
        try:
            yield from waiting
        finally:
            waited_for.remove(fifo)
    return FifoFile(vp, flag, fifo)


def _file(p: Proc, vp: Vnode, flag: int) -> VnodeFile:
    """Return the open file of a vnode; a device is opened for it. Errors: ENXIO, and those of the driver."""
    if vp.v_type not in (VBLK, VCHR):
        return VnodeFile(vp, flag)
    if vp.v_mount.mnt_flag & MNT_NODEV or p.kernel.vfs is None:
        raise VfsError(errno.ENXIO)
    return DeviceFile(vp, flag, p.kernel.vfs.devsw.open(vp, flag & (FREAD | FWRITE)))


def _open_create(
    p: Proc, at: Vnode | None, path: bytes, flags: int, mode: int
) -> tuple[Vnode, tuple[Vnode, bytes], bool]:
    """Return the vnode of a path, where it is, and whether it had to be made.

    Errors: those of `namei_create`; EEXIST.
    """
    dvp, name, vp = namei_create(p, path, at, follow=not flags & (O_EXCL | O_NOFOLLOW))
    if vp is None:
        vp = dvp.create(name, mode & ~p.umask & ALLPERMS & ~S_ISTXT | S_IFREG, p.cred)
        knote(dvp, NOTE_WRITE, name)
        return vp, (dvp, name), True
    if flags & O_EXCL:
        raise VfsError(errno.EEXIST)
    return vp, (dvp, name), False


def check_open(p: Proc, vp: Vnode, flags: int, flag: int) -> None:
    """Check that an existing object may be opened so (vfs_vnops.c: vn_open, vn_openchk).

    Args:
        flags: as open(2) has them.
        flag: FREAD, FWRITE.
    """
    vtype = vp.v_type
    if vtype == VSOCK:
        raise VfsError(errno.EOPNOTSUPP)
    if vtype == VLNK:
        raise VfsError(errno.EFTYPE)
    if flags & O_DIRECTORY and vtype != VDIR:
        raise VfsError(errno.ENOTDIR)
    want = VREAD if flag & FREAD else 0
    if flag & FWRITE or flags & O_TRUNC:
        want |= VWRITE
        if vtype == VDIR:
            raise VfsError(errno.EISDIR)
        if vtype == VREG and vp.v_mount.mnt_flag & MNT_RDONLY:
            raise VfsError(errno.EROFS)
    vp.access(want, p.cred)


@syscall("lseek")
def sys_lseek(p: Proc, fd: int, offset: int, whence: int) -> int:
    """Move the file's offset and return it. Errors: EBADF, ESPIPE, EINVAL."""
    return p.vnode_file(fd, errno.ESPIPE).seek(offset, whence)


@syscall("__getdents30")
def sys_getdents(p: Proc, fd: int, count: int) -> Data:
    """Read directory entries. Errors: EBADF, EINVAL (no directory), EIO."""
    fp = p.vnode_file(fd)
    if not fp.f_flag & FREAD:
        raise VfsError(errno.EBADF)
    return fp.readdir(min(count, GETDENTS_MAX))


@syscall("fsync")
def sys_fsync(p: Proc, fd: int) -> int:
    """Bring a file to stable storage. Errors: EBADF, EINVAL (no vnode), EIO."""
    p.vnode_file(fd).fsync()
    return 0


@syscall("fdatasync")
def sys_fdatasync(p: Proc, fd: int) -> int:
    """Bring the content of a file to stable storage. Errors: EBADF (or not open for writing), EINVAL, EIO."""
    fp = p.vnode_file(fd)
    if not fp.f_flag & FWRITE:
        raise VfsError(errno.EBADF)
    fp.fsync()
    return 0


@syscall("chdir")
def sys_chdir(p: Proc, path: bytes) -> int:
    """Change the working directory. Errors: those of namei; ENOTDIR, EACCES."""
    vp = namei(p, path)
    check_search(p, vp)
    p.chdir(vp)
    return 0


@syscall("fchdir")
def sys_fchdir(p: Proc, fd: int) -> int:
    """Change the working directory to an open one, or to what is mounted there.

    Errors: EBADF, EINVAL, ENOTDIR, EACCES; EPERM: it lies outside the root that the process sees.
    """
    vp = p.vnode(fd)
    check_search(p, vp)
    while vp.v_mountedhere is not None:
        vp = vp.v_mountedhere.mnt_root
    if not below(vp, p.rdir):
        raise VfsError(errno.EPERM)
    p.chdir(vp)
    return 0


def check_search(p: Proc, vp: Vnode) -> None:
    """Check that `vp` is a directory that the process may search. Errors: ENOTDIR, EACCES."""
    if vp.v_type != VDIR:
        raise VfsError(errno.ENOTDIR)
    vp.access(VEXEC, p.cred)


@syscall("chroot")
def sys_chroot(p: Proc, path: bytes) -> int:
    """Change the root directory. Errors: EPERM, those of namei, ENOTDIR, EACCES."""
    if p.cred.euid:
        raise VfsError(errno.EPERM)
    vp = namei(p, path)
    check_search(p, vp)
    p.chroot(vp)
    return 0


@syscall("fchroot")
def sys_fchroot(p: Proc, fd: int) -> int:
    """Change the root directory to an open one. Errors: EPERM, EBADF, EINVAL (no vnode), ENOTDIR, EACCES."""
    if p.cred.euid:
        raise VfsError(errno.EPERM)
    vp = p.vnode(fd)
    check_search(p, vp)
    p.chroot(vp)
    return 0


@syscall("umask")
def sys_umask(p: Proc, newmask: int) -> int:
    """Set the file creation mask and return the former one."""
    old = p.umask
    p.umask = newmask & ALLPERMS
    return old
