"""A kernel in this process as a tree to be mounted. No method waits."""

from __future__ import annotations

import struct
from collections.abc import Callable
from itertools import islice
from typing import Final

from rumpfs.abi import errno
from rumpfs.abi.event import NOTE_EXTEND, NOTE_WRITE
from rumpfs.abi.extattr import EXTATTR_NAMESPACE_USER
from rumpfs.abi.fcntl import AT_REMOVEDIR, FCNTLFLAGS, FWRITE, O_SYNC, O_TRUNC
from rumpfs.abi.limits import NAME_MAX
from rumpfs.abi.mount import MNT_RDONLY
from rumpfs.abi.stat import ALLPERMS, DIRENT, DIRENT_NAME, S_IFMT
from rumpfs.base.copy import Buffer
from rumpfs.base.errors import VfsError
from rumpfs.fuse.tree import ROOT_NUMBER, Entry, Tree, distinct
from rumpfs.kern.descrip import VnodeFile, accmode
from rumpfs.kern.kernel import Kernel
from rumpfs.kern.sys_attr import setattr_
from rumpfs.kern.sys_names import do_link, do_mkdir, do_rename, do_symlink, unlink_found
from rumpfs.vfs.cred import ROOT, VWRITE, Cred
from rumpfs.vfs.mount import Mount, StatVfs, Vfs
from rumpfs.vfs.namei import found_delete, namei
from rumpfs.vfs.vnode import IO_APPEND, IO_SYNC, VDIR, VREG, SetAttr, Vnode, knote, layers, vref, vrele

#: bytes of struct dirent that are read at a time
READDIR_SIZE: Final = 65536
_fileid = struct.Struct("<16xQ").unpack_from

#: told of a file that somebody else has changed, and of names that came or went in it
Changed = Callable[[Vnode, tuple[bytes, ...]], None]


class _Acting:
    """The time in which somebody else's credentials count."""

    __slots__ = ("_done",)

    def __init__(self, done: Callable[[], None]) -> None:
        self._done = done

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        self._done()


class KernelTree(Tree[Vnode, VnodeFile]):
    """The files of a kernel from a directory on, with what is mounted below.

    What is done acts as a process of the kernel, which `rumpfs top` shows as "fuse".

    Args:
        kernel: a booted kernel with the vfs.
        path: of the directory.
        whole: file systems may be mounted below, or come later.

    Attributes:
        callouts: what the kernel wants to do at some time.
        changed: told of what others change (clients of the kernel).
        remounted: told of each directory that another one has taken the place of, by a mount or an unmount.

    Errors:
        VfsError: those of namei; ENOTDIR.
    """

    def __init__(self, kernel: Kernel, path: bytes = b"/", whole: bool = False) -> None:
        assert kernel.vfs is not None
        self._vfs: Vfs = kernel.vfs
        self.callouts = kernel.callouts
        self._p = kernel.spawn(b"fuse")
        self._p.umask = 0
        try:
            self.root = namei(self._p, path)
            if self.root.v_type != VDIR:
                raise VfsError(errno.ENOTDIR)
        except VfsError:
            self._p.exit()
            raise
        self.changed: Changed | None = None
        self.remounted: Callable[[Vnode], None] | None = None
        self._own = False  # what happens now is done by the host
        self._acting = _Acting(self._done)
        self._mounts: dict[Mount, int] = {}
        self._meet(self.root.v_mount)
        self.has_xattrs = whole or _has_extattrs(self.root)
        vref(self.root)
        self._vfs.moved.append(self._moved)

    def release(self) -> None:
        """Use the kernel no longer."""
        self._vfs.moved.remove(self._moved)
        for mp in self._mounts:
            _hear(mp, None)
        self._mounts.clear()
        vrele(self.root)
        self._p.exit()

    # --- who does what ------------------------------------------------------------------------------

    def _as(self, cred: Cred) -> _Acting:
        """Act with the credentials of who has asked the host."""
        self._p.cred = cred
        self._own = True
        return self._acting

    def _done(self) -> None:
        self._own = False
        self._p.cred = ROOT

    def _heard(self, vp: Vnode, names: tuple[bytes, ...]) -> None:
        """A file has changed, and so have those that it is a layer on.

        What the host does it knows, but not what that means for files below, which are others to it.
        """
        if self.changed is None or (self._own and vp.v_lower is None):
            return
        for each in islice(layers(vp), int(self._own), None):
            self.changed(each, names)

    def _meet(self, mp: Mount) -> int:
        """Enter a mount that the host did not know, and return its number."""
        ordinal = self._mounts[mp] = max(self._mounts.values(), default=-1) + 1
        _hear(mp, self._heard)
        return ordinal

    def _moved(self, mp: Mount, covered: Vnode) -> None:
        if mp.mnt_gone:
            self._mounts.pop(mp, None)
        elif mp.mnt_lower is not None:
            _hear(mp, mp.mnt_lower.mnt_heard)
        if self.remounted is not None:
            self.remounted(covered)
            self.remounted(mp.mnt_root)

    # --- files --------------------------------------------------------------------------------------

    def number(self, file: Vnode, status: bytes) -> int:
        """Return the inode number: that of the file, with a prefix on other mounts than the root's."""
        if file is self.root:
            return ROOT_NUMBER
        return self.entry_number(file, *_fileid(status))

    def entry_number(self, directory: Vnode, fileno: int) -> int:
        ordinal = self._mounts.get(directory.v_mount)
        if ordinal is None:
            ordinal = self._meet(directory.v_mount)
        return distinct(ordinal, fileno)

    def hold(self, file: Vnode) -> None:
        """Keep the file, without keeping its mount busy: clients may unmount what the host only knows."""
        file.v_usecount += 1

    def drop(self, file: Vnode) -> None:
        file.v_usecount -= 1
        if file.v_usecount == 0 and not file.v_mount.mnt_gone:
            file.inactive()

    def kept(self, file: Vnode) -> bool:
        """Whether all changes are heard of: not of a layer, when they come from below."""
        return file.v_lower is None

    def stat(self, file: Vnode) -> bytes:
        return file.stat()

    def setattr(self, file: Vnode, va: SetAttr) -> None:
        """Change attributes; a modification before the birth moves that back too (utimensat)."""
        if va.mtime is not None:
            born = file.getattr()
            if va.mtime < (born.birthtime, born.birthtimensec):
                va.birthtime = va.mtime
        with self._as(ROOT):
            setattr_(self._p, file, va)

    def readlink(self, file: Vnode) -> bytes:
        return bytes(file.readlink())

    # --- names --------------------------------------------------------------------------------------

    def lookup(self, directory: Vnode, name: bytes) -> Vnode:
        if len(name) > NAME_MAX:
            raise VfsError(errno.ENAMETOOLONG)
        vp = directory.lookup(name)
        if vp is None:
            raise VfsError(errno.ENOENT)
        while vp.v_mountedhere is not None:
            vp = vp.v_mountedhere.mnt_root
        return vp

    def mknod(self, directory: Vnode, name: bytes, mode: int, rdev: int, cred: Cred) -> Vnode:
        with self._as(cred):
            if directory.lookup(name) is not None:
                raise VfsError(errno.EEXIST)
            if directory.v_mount.mnt_flag & MNT_RDONLY:
                raise VfsError(errno.EROFS)
            directory.access(VWRITE, cred)
            vp = directory.create(name, mode & (ALLPERMS | S_IFMT), cred, rdev)
            knote(directory, NOTE_WRITE, name)
        return vp

    def mkdir(self, directory: Vnode, name: bytes, mode: int, cred: Cred) -> Vnode:
        with self._as(cred):
            do_mkdir(self._p, directory, name, mode)
        return self.lookup(directory, name)

    def symlink(self, directory: Vnode, name: bytes, target: bytes, cred: Cred) -> Vnode:
        with self._as(cred):
            do_symlink(self._p, target, directory, name)
        return self.lookup(directory, name)

    def link(self, file: Vnode, directory: Vnode, name: bytes, cred: Cred) -> None:
        with self._as(cred):
            do_link(self._p, file, directory, name)

    def unlink(self, directory: Vnode, name: bytes, cred: Cred, *, rmdir: bool) -> None:
        with self._as(cred):
            nd = found_delete(self._p, directory, name, self.lookup(directory, name))
            unlink_found(self._p, nd, AT_REMOVEDIR if rmdir else 0)

    def rename(self, directory: Vnode, name: bytes, to_directory: Vnode, to_name: bytes, cred: Cred) -> None:
        """Move a name; onto another name of the same file nothing happens, as the host has it."""
        with self._as(cred):
            do_rename(self._p, directory, name, to_directory, to_name, posix=True)

    def readdir(self, directory: VnodeFile, cookie: int) -> tuple[list[Entry], int]:
        data, following = directory.f_vnode.readdir(cookie, READDIR_SIZE)
        packed = b"".join(data) if isinstance(data, list) else bytes(data)
        entries: list[Entry] = []
        offset = 0
        while offset < len(packed):
            fileno, reclen, namlen, dtype = DIRENT.unpack_from(packed, offset)
            start = offset + DIRENT_NAME
            entries.append((fileno, dtype, packed[start : start + namlen]))
            offset += reclen
        return entries, following

    # --- open files ---------------------------------------------------------------------------------

    def open(self, file: Vnode, flags: int) -> VnodeFile:
        """Open a file; the host has checked permissions, but not NetBSD's file flags.

        Errors: EROFS; EPERM: it is immutable or append-only.
        """
        flag = accmode(flags) | flags & FCNTLFLAGS
        if flag & FWRITE or flags & O_TRUNC:
            file.access(VWRITE, ROOT)
        file.open(flag, ROOT)
        fp = VnodeFile(file, flag)
        if flags & O_TRUNC and file.v_type == VREG:
            try:
                self.setattr(file, SetAttr(size=0))
            except VfsError:
                fp.close()
                raise
        return fp

    def close(self, handle: VnodeFile) -> None:
        handle.close()

    def read(self, handle: VnodeFile, offset: int, length: int) -> Buffer:
        data = handle.f_vnode.read(offset, length)
        return b"".join(data) if isinstance(data, list) else data

    def write(self, handle: VnodeFile, offset: int, data: bytes, append: bool) -> None:
        vp = handle.f_vnode
        ioflag = (IO_APPEND if append else 0) | (IO_SYNC if handle.f_flag & O_SYNC else 0)
        if vp.v_klist is None and vp.v_lower is None:
            vp.write(offset, data, ioflag, ROOT)
            return
        size = vp.size()
        end = vp.write(offset, data, ioflag, ROOT)
        with self._as(ROOT):
            knote(vp, NOTE_WRITE | (NOTE_EXTEND if end > size else 0))

    def fsync(self, handle: VnodeFile) -> None:
        handle.fsync()

    # --- the rest -----------------------------------------------------------------------------------

    def statvfs(self) -> StatVfs:
        return self.root.v_mount.statvfs()

    def getxattr(self, file: Vnode, name: bytes, cred: Cred) -> bytes:
        return bytes(file.getextattr(EXTATTR_NAMESPACE_USER, name, cred))

    def listxattr(self, file: Vnode, cred: Cred) -> list[bytes]:
        return file.listextattr(EXTATTR_NAMESPACE_USER, cred)

    def setxattr(self, file: Vnode, name: bytes, value: bytes, cred: Cred) -> None:
        file.setextattr(EXTATTR_NAMESPACE_USER, name, len(value), cred)(value)

    def removexattr(self, file: Vnode, name: bytes, cred: Cred) -> None:
        file.deleteextattr(EXTATTR_NAMESPACE_USER, name, cred)


def _hear(mp: Mount, heard: Changed | None) -> None:
    """Have a function told of what changes in a mount, also when it comes through layers on it."""
    mp.mnt_heard = heard
    for layer in mp.mnt_layers:
        _hear(layer, heard)


def _has_extattrs(vp: Vnode) -> bool:
    """Whether a file system has extended attributes at all."""
    try:
        vp.listextattr(EXTATTR_NAMESPACE_USER, ROOT)
    except VfsError as error:
        return error.errno != errno.EOPNOTSUPP
    return True
