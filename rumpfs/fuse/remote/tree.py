"""A running server, ours or NetBSD's, as a tree to be mounted, through its system calls.

Everything acts as one process of the server, its superuser; the host has checked that a caller may do what
he asks for, and what he makes is given to him. The host's requests come in several threads.

A directory is used by descriptor, so names are looked up, made and removed in that very directory, whatever
it is called by now. A file that is open is used by its descriptor, too; any other is found by a name that it
had, and then compared: when another file has the name the answer is ESTALE, and the host looks it up anew.
"""

from __future__ import annotations

import struct
import threading
from typing import Final

from rumpfs.abi import errno
from rumpfs.abi.extattr import EXTATTR_NAMESPACE_USER
from rumpfs.abi.fcntl import (
    AT_REMOVEDIR,
    AT_SYMLINK_NOFOLLOW,
    F_SETFL,
    O_ACCMODE,
    O_APPEND,
    O_CREAT,
    O_EXCL,
    O_NOFOLLOW,
    O_RDONLY,
    O_RDWR,
    O_TRUNC,
)
from rumpfs.abi.limits import PATH_MAX
from rumpfs.abi.mount import MNT_WAIT
from rumpfs.abi.stat import (
    ALLPERMS,
    S_IFDIR,
    S_IFMT,
    S_IFREG,
    S_ISGID,
    STAT,
    UTIME_OMIT,
)
from rumpfs.base.clock import Timespec
from rumpfs.base.copy import Buffer
from rumpfs.base.errors import VfsError
from rumpfs.client.errors import RumpError
from rumpfs.client.records import dirents, extattr_names, statvfs_result
from rumpfs.fuse.remote.connection import Connection, remote
from rumpfs.fuse.remote.descriptors import Descriptor
from rumpfs.fuse.remote.rnode import Rnode, Rnodes, Stale
from rumpfs.fuse.remote.session import DIRECTORY, Session
from rumpfs.fuse.tree import ROOT_NUMBER, Entry, Numbers, Tree
from rumpfs.vfs.cred import Cred
from rumpfs.vfs.mount import StatVfs
from rumpfs.vfs.vnode import SetAttr

#: bytes of a directory asked for at once: NetBSD gives no more
_GETDENTS: Final = 65536
#: longest value of an extended attribute that the host takes (XATTR_SIZE_MAX)
_XATTR_MAX: Final = 65536
_UNCHANGED: Final = 0xFFFFFFFF  # chown(2): -1
_SEEK_SET: Final = 0
_SEEK_CUR: Final = 1
_times = struct.Struct("<qqqq").pack


class Handle:
    """An open file or directory.

    Attributes:
        flags: it was opened with.
        position: where a directory is read on.
    """

    __slots__ = ("descriptor", "file", "flags", "lock", "position", "session")

    def __init__(self, session: Session, file: Rnode, descriptor: Descriptor, flags: int) -> None:
        self.session = session
        self.file = file
        self.descriptor = descriptor
        self.flags = flags
        self.position = 0
        self.lock = threading.Lock()


class RemoteTree(Connection, Tree[Rnode, Handle]):
    """The files of a server from a directory on, with what is mounted there below.

    When the server goes, requests fail with EIO; one comes to it when it is there again. What was open for
    reading is then opened anew, if it is the same file. What was open for writing stays lost, because nobody
    knows what of it is.

    Args:
        url: of the server.
        path: of the directory.

    Errors:
        OSError: the server cannot be reached, or has no such directory.
    """

    waits = True

    def __init__(self, url: str, path: bytes = b"/") -> None:
        super().__init__(url, path)
        self._rnodes = Rnodes()
        self._numbers = Numbers()
        self._here = threading.local()  # what a thread has just seen

    # --- files ------------------------------------------------------------------------------------

    def number(self, file: Rnode, status: bytes) -> int:
        """Return the inode number, with a prefix on other devices than the root's."""
        if file is self.root:
            return ROOT_NUMBER
        return self.entry_number(file, file.key[1])

    def entry_number(self, directory: Rnode, fileno: int) -> int:
        device, number, _ = directory.key
        # In NetBSD's root file system each file is on a device of its own, which has the file's number.
        return self._numbers.number(None if device == number else device, fileno)

    def begin(self) -> None:
        self._here.found = None

    def hold(self, file: Rnode) -> None:
        """Nothing is done: a file without a name lasts only while it is open."""

    def drop(self, file: Rnode) -> None:
        """Nothing is done."""

    def _found(self, file: Rnode, status: bytes) -> Rnode:
        """Return the file; its status is what this thread will ask for next."""
        self._here.found = file, file.seen(status)
        return file

    def stat(self, file: Rnode) -> bytes:
        here = self._here.__dict__
        found: tuple[Rnode, bytes] | None = here.get("found")
        if found is None or found[0] is not file:
            return self._stat(file)
        here["found"] = None
        return found[1]

    @remote(again=True)
    def _stat(self, s: Session, file: Rnode) -> bytes:
        return s.stat(file)

    @remote(again=True)
    def setattr(self, s: Session, file: Rnode, va: SetAttr) -> None:
        times = None
        if va.atime is not None or va.mtime is not None:
            times = _times(*_time(va.atime), *_time(va.mtime))
        uid, gid = _id(va.uid), _id(va.gid)
        owned = va.uid is not None or va.gid is not None
        if file.type not in (S_IFREG, S_IFDIR):  # others cannot be opened without any effect
            directory, name, _ = s.place(file)
            with s.directory(directory) as at:
                if owned:
                    s.sys.fchownat(at, name, uid, gid, AT_SYMLINK_NOFOLLOW)
                if va.mode is not None:
                    s.sys.fchmodat(at, name, va.mode, AT_SYMLINK_NOFOLLOW)
                if times is not None:
                    s.sys.utimensat(at, name, times, AT_SYMLINK_NOFOLLOW)
            return
        with s.descriptor(file, va.size is not None) as fd:
            if owned:
                s.sys.posix_fchown(fd, uid, gid)
            if va.mode is not None:
                s.sys.fchmod(fd, va.mode)
            if va.size is not None:
                s.sys.ftruncate(fd, va.size)
            if times is not None:
                s.sys.futimens(fd, times)
            self._found(file, s.sys.fstat(fd))

    @remote(again=True)
    def readlink(self, s: Session, file: Rnode) -> bytes:
        """Return the text of a symbolic link, which was still this one when it was read."""
        for where in file.names[::-1]:
            with s.directory(where[0]) as at:
                try:
                    text = bytes(s.sys.readlinkat(at, where[1], PATH_MAX))
                    if file.was(s.statat(at, where[1]), where):
                        return text
                except RumpError as error:
                    if error.netbsd_errno not in (errno.ENOENT, errno.EINVAL):
                        raise
            file.unnamed(where)
        raise Stale

    # --- names ------------------------------------------------------------------------------------

    @remote(again=True)
    def lookup(self, s: Session, directory: Rnode, name: bytes) -> Rnode:
        return self._lookup(s, directory, name)

    def _lookup(self, s: Session, directory: Rnode, name: bytes) -> Rnode:
        with s.directory(directory) as at:
            status = s.statat(at, name)
        return self._found(self._rnodes.meet(directory, name, status), status)

    @remote(again=False)
    def mknod(self, s: Session, directory: Rnode, name: bytes, mode: int, rdev: int, cred: Cred) -> Rnode:
        """Make a file. Errors: EOPNOTSUPP: the server has no such thing."""
        if mode & S_IFMT == S_IFREG:
            return self._create(s, directory, name, mode & ALLPERMS, cred)
        with s.directory(directory) as at:
            s.make(at, name, mode, rdev)
            self._give(s, at, name, cred)
        return self._lookup(s, directory, name)

    def _create(self, s: Session, directory: Rnode, name: bytes, mode: int, cred: Cred) -> Rnode:
        """Make a file; its descriptor is kept for who opens it."""
        with s.directory(directory) as at:
            fd = s.openat(at, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, mode)
        return self._made(s, directory, name, fd, mode, cred)

    def _made(self, s: Session, directory: Rnode, name: bytes, fd: int, mode: int, cred: Cred) -> Rnode:
        """Give what was made to its owner, with the permissions that it was to have."""
        try:
            if cred.euid:
                s.sys.posix_fchown(fd, cred.euid, _UNCHANGED)
            status = s.sys.fstat(fd)
            _, made, _, _, _, gid, *_ = STAT.unpack(status)
            if mode & S_ISGID and cred.euid and not cred.ingroup(gid):
                mode &= ~S_ISGID
            if made & ALLPERMS != mode:  # open(2) and mkdir(2) leave out some bits
                s.sys.fchmod(fd, mode)
                status = s.sys.fstat(fd)
        except BaseException:
            s.close(fd)
            raise
        file = self._rnodes.meet(directory, name, status)
        s.descriptors.give(s.descriptors.keep(file, fd, file.type == S_IFREG))
        return self._found(file, status)

    def _give(self, s: Session, at: int, name: bytes, cred: Cred) -> None:
        """Give what has just been made to who has asked for it; its group is its directory's (open(2))."""
        if cred.euid:
            s.sys.fchownat(at, name, cred.euid, _UNCHANGED, AT_SYMLINK_NOFOLLOW)

    @remote(again=False)
    def mkdir(self, s: Session, directory: Rnode, name: bytes, mode: int, cred: Cred) -> Rnode:
        with s.directory(directory) as at:
            s.sys.mkdirat(at, name, mode & 0o777)
            fd = s.openat(at, name, DIRECTORY)
        return self._made(s, directory, name, fd, mode, cred)

    @remote(again=False)
    def symlink(self, s: Session, directory: Rnode, name: bytes, target: bytes, cred: Cred) -> Rnode:
        with s.directory(directory) as at:
            s.sys.symlinkat(target, at, name)
            self._give(s, at, name, cred)
        return self._lookup(s, directory, name)

    @remote(again=False)
    def link(self, s: Session, file: Rnode, directory: Rnode, name: bytes, cred: Cred) -> None:
        """Give a file a further name, which is taken back when the known one was another file's by now."""
        for where in file.names[::-1]:
            with s.directory(where[0]) as source, s.directory(directory) as at:
                try:
                    s.sys.linkat(source, where[1], at, name, 0)
                except RumpError as error:
                    if error.netbsd_errno != errno.ENOENT:
                        raise
                else:
                    status = s.statat(at, name)
                    if file.was(status, where):
                        file.named((directory, name))
                        self._found(file, status)
                        return
                    s.sys.unlinkat(at, name, 0)
            file.unnamed(where)
        raise Stale

    @remote(again=False)
    def unlink(self, s: Session, directory: Rnode, name: bytes, cred: Cred, *, rmdir: bool) -> None:
        with s.directory(directory) as at:
            s.sys.unlinkat(at, name, AT_REMOVEDIR if rmdir else 0)

    @remote(again=False)
    def rename(
        self, s: Session, directory: Rnode, name: bytes, to_directory: Rnode, to_name: bytes, cred: Cred
    ) -> None:
        with self.moving:
            file = self._lookup(s, directory, name)
            with s.directory(directory) as at, s.directory(to_directory) as to:
                s.sys.renameat(at, name, to, to_name)
            file.named((to_directory, to_name))
            file.unnamed((directory, name))
            self.moves += 1
        self._here.found = None

    @remote(again=True)
    def readdir(self, s: Session, directory: Handle, cookie: int) -> tuple[list[Entry], int]:
        with directory.lock:
            fd = self._fd(s, directory)
            if directory.position != cookie:
                s.sys.lseek(fd, cookie, _SEEK_SET)
            data = s.sys.getdents(fd, _GETDENTS)
            directory.position = s.sys.lseek(fd, 0, _SEEK_CUR) if data else cookie
            return [(entry.ino, entry.type, entry.name) for entry in dirents(data)], directory.position

    # --- open files -------------------------------------------------------------------------------

    @remote(again=True)
    def open(self, s: Session, file: Rnode, flags: int) -> Handle:
        descriptor = s.descriptors.claim(file) if file.type == S_IFREG else None
        if descriptor is not None and flags & ~(O_ACCMODE | O_TRUNC):
            s.descriptors.give(s.descriptors.keep(file, descriptor.fd, True))
            descriptor = None
        if descriptor is None:
            writable = flags & O_ACCMODE != O_RDONLY
            descriptor = Descriptor(s.descriptors, s.open(file, flags & ~O_TRUNC), writable)
        handle = Handle(s, file, descriptor, flags)
        s.descriptors.opened(file, descriptor)
        if flags & O_TRUNC and file.type == S_IFREG:
            try:
                s.sys.ftruncate(descriptor.fd, 0)
            except BaseException:
                self._close(handle)
                raise
        return handle

    def close(self, handle: Handle) -> None:
        self._close(handle)

    @staticmethod
    def _close(handle: Handle) -> None:
        handle.session.descriptors.closed(handle.file, handle.descriptor)

    def _fd(self, s: Session, handle: Handle) -> int:
        """Return the descriptor of an open file, a new one in a new connection.

        Errors:
            VfsError: EIO: it was open for writing.
            Stale: it is gone, or has no name.
        """
        if handle.session is s:
            return handle.descriptor.fd
        if handle.flags & O_ACCMODE != O_RDONLY:
            raise VfsError(errno.EIO)
        descriptor = Descriptor(s.descriptors, s.open(handle.file, handle.flags & ~O_TRUNC))
        self._close(handle)
        s.descriptors.opened(handle.file, descriptor)
        handle.session, handle.descriptor, handle.position = s, descriptor, 0
        return descriptor.fd

    @remote(again=True)
    def read(self, s: Session, handle: Handle, offset: int, length: int) -> Buffer:
        if handle.session is not s:
            with handle.lock:
                self._fd(s, handle)
        return bytes(s.sys.pread(handle.descriptor.fd, length, offset))

    @remote(again=False)
    def write(self, s: Session, handle: Handle, offset: int, data: bytes, append: bool) -> None:
        """Store data; a descriptor that appends is changed for what has its place (pages of a mapping)."""
        fd = self._fd(s, handle)
        if not handle.flags & O_APPEND:
            _write(s, fd, offset, data)
            return
        with handle.lock:
            if append:
                _write(s, fd, offset, data)
                return
            s.sys.fcntl(fd, F_SETFL, handle.flags & ~(O_ACCMODE | O_APPEND))
            try:
                _write(s, fd, offset, data)
            finally:
                s.sys.fcntl(fd, F_SETFL, handle.flags & ~O_ACCMODE)

    @remote(again=False)
    def fsync(self, s: Session, handle: Handle) -> None:
        with handle.lock:
            fd = self._fd(s, handle)
        s.sys.fsync(fd)

    # --- the rest ---------------------------------------------------------------------------------

    @remote(again=True)
    def statvfs(self, s: Session) -> StatVfs:
        vfs = statvfs_result(s.sys.fstatvfs1(s.root_fd, MNT_WAIT))
        return StatVfs(*(getattr(vfs, f"f_{name}") for name in StatVfs._fields))

    @remote(again=True)
    def getxattr(self, s: Session, file: Rnode, name: bytes, cred: Cred) -> bytes:
        with self._for_xattrs(s, file) as fd:
            value = bytearray(_XATTR_MAX)
            return bytes(value[: s.sys.extattr_get_fd(fd, EXTATTR_NAMESPACE_USER, name, value, len(value))])

    @remote(again=True)
    def listxattr(self, s: Session, file: Rnode, cred: Cred) -> list[bytes]:
        with self._for_xattrs(s, file) as fd:
            names = bytearray(_XATTR_MAX)
            length = s.sys.extattr_list_fd(fd, EXTATTR_NAMESPACE_USER, names, len(names))
            return extattr_names(bytes(names[:length]))

    @remote(again=True)
    def setxattr(self, s: Session, file: Rnode, name: bytes, value: bytes, cred: Cred) -> None:
        with self._for_xattrs(s, file) as fd:
            s.sys.extattr_set_fd(fd, EXTATTR_NAMESPACE_USER, name, bytes(value), len(value))

    @remote(again=False)
    def removexattr(self, s: Session, file: Rnode, name: bytes, cred: Cred) -> None:
        with self._for_xattrs(s, file) as fd:
            s.sys.extattr_delete_fd(fd, EXTATTR_NAMESPACE_USER, name)

    @staticmethod
    def _for_xattrs(s: Session, file: Rnode) -> Descriptor:
        if file.type not in (S_IFREG, S_IFDIR):
            raise VfsError(errno.EOPNOTSUPP)
        return s.descriptor(file)


def _write(s: Session, fd: int, offset: int, data: bytes) -> None:
    """Store all of the data. Errors: RumpError: ENOSPC and the like; a part of it may be stored."""
    done = 0
    while done < len(data):
        stored = s.sys.pwrite(fd, memoryview(data)[done:] if done else data, offset + done)
        if stored == 0:
            raise VfsError(errno.EIO)
        done += stored


def _id(number: int | None) -> int:
    return _UNCHANGED if number is None else number


def _time(time: Timespec | None) -> tuple[int, int]:
    return (0, UTIME_OMIT) if time is None else time
