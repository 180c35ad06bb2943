"""A connection to the server, and the ways to a file in it."""

from __future__ import annotations

import struct
import threading
from contextlib import suppress
from typing import Any, Final

from rumpfs.abi import errno
from rumpfs.abi.fcntl import (
    AT_SYMLINK_NOFOLLOW,
    O_DIRECTORY,
    O_NOFOLLOW,
    O_NONBLOCK,
    O_RDONLY,
    O_WRONLY,
)
from rumpfs.abi.limits import RLIMIT_NOFILE
from rumpfs.abi.socket import PF_LOCAL, SOCK_STREAM, sockaddr_un
from rumpfs.abi.stat import ALLPERMS, S_IFDIR, S_IFIFO, S_IFMT, S_IFSOCK
from rumpfs.client.errors import RumpError, rump_error
from rumpfs.client.raw import RawClient
from rumpfs.fuse.remote.descriptors import Descriptor, Descriptors
from rumpfs.fuse.remote.rnode import Rnode, Stale, Where

#: seconds that a server may take to answer a connection
CONNECT_TIMEOUT: Final = 5.0
#: bytes of a path in one call; the kernel takes 1023 (PATH_MAX)
_PATH: Final = 1000
#: what opening a directory takes
DIRECTORY: Final = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NONBLOCK
#: no FIFO is waited for, no link followed, should the name mean another file by now
_SAFE: Final = O_NOFOLLOW | O_NONBLOCK
#: a name does not mean a file (any more): nothing, something else, or what cannot be opened like a file
_ELSEWHERE: Final = frozenset({
    errno.ENOENT, errno.ENOTDIR, errno.EFTYPE, errno.ELOOP, errno.ESTALE, errno.EISDIR, errno.EOPNOTSUPP,
    errno.ENXIO,
})  # fmt: skip
_FULL: Final = (errno.EMFILE, errno.ENFILE)
_rlimit: Final = struct.Struct("<QQ")


class Session:
    """One connection; with it end all of its descriptors.

    Args:
        url: of the server.
        path: of the directory that is mounted.

    Errors:
        OSError: the server cannot be reached, or has no such directory.
    """

    def __init__(self, url: str, path: bytes) -> None:
        self.client = RawClient(url, "mount.rumpfs", timeout=CONNECT_TIMEOUT, on_signal=_ignore)
        self.sys: Any = self.client.sys
        try:
            self.sys.umask(0)
            _, most = _rlimit.unpack(self.sys.getrlimit(RLIMIT_NOFILE))
            self.sys.setrlimit(RLIMIT_NOFILE, _rlimit.pack(most, most))
            self.root_fd: int = self.sys.open(path, O_RDONLY | O_DIRECTORY, 0)
            self.root_status: bytes = self.sys.fstat(self.root_fd)
        except BaseException:
            self.client.close()
            raise
        self.descriptors = Descriptors(self.close)
        self._cwd = threading.Lock()  # held while the process is somewhere else than in /

    def enter(self, root: Rnode) -> None:
        """Let `root` be the directory that is mounted, which stays open."""
        root.become(self.root_status)
        descriptor = Descriptor(self.descriptors, self.root_fd)
        descriptor.vital = True
        root.opened = (descriptor,)

    @property
    def lost(self) -> bool:
        """Whether the connection has ended, or the directory is unmounted by force."""
        return self.client.lost or self.descriptors.lost

    def close(self, fd: int) -> None:
        """Close a descriptor."""
        with suppress(RumpError):  # then it is closed all the same: the connection has ended
            self.sys.close(fd)

    # --- files ------------------------------------------------------------------------------------

    def openat(self, fd: int, name: bytes, flags: int, mode: int = 0) -> int:
        """Open a name in a directory; when the table is full, in place of descriptors that are only kept."""
        try:
            return int(self.sys.openat(fd, name, flags, mode))
        except RumpError as error:
            if error.netbsd_errno not in _FULL:
                raise
        self.descriptors.shed()
        return int(self.sys.openat(fd, name, flags, mode))

    def statat(self, fd: int, name: bytes) -> bytes:
        """Return struct stat of a name in a directory."""
        return bytes(self.sys.fstatat(fd, name, AT_SYMLINK_NOFOLLOW))

    def make(self, fd: int, name: bytes, mode: int, rdev: int) -> None:
        """Make a device, FIFO or socket in a directory. Errors: RumpError: EOPNOTSUPP: no sockets."""
        kind, perm = mode & S_IFMT, mode & ALLPERMS
        if kind == S_IFIFO:
            self.sys.mkfifoat(fd, name, perm)
        elif kind == S_IFSOCK:
            self._bind(fd, name)
            self.sys.fchmodat(fd, name, perm, AT_SYMLINK_NOFOLLOW)
        else:
            self.sys.mknodat(fd, name, mode, rdev)

    def _bind(self, fd: int, name: bytes) -> None:
        """Make a socket, for which there is no call with a directory: the process goes there and back."""
        try:
            sock = self.sys.socket(PF_LOCAL, SOCK_STREAM, 0)
        except RumpError as error:
            raise rump_error(errno.EOPNOTSUPP) from error
        with self._cwd:
            try:
                self.sys.fchdir(fd)
                self.sys.bind(sock, sockaddr_un(name))
            finally:
                self.sys.chdir(b"/")
                self.close(sock)

    def directory(self, file: Rnode) -> Descriptor:
        """Return a descriptor of a directory, in use. Errors: Stale."""
        found = self.descriptors.get(file)
        return found if found is not None else self.descriptors.keep(file, self._walk(file))

    def _walk(self, file: Rnode) -> int:
        """Open a directory by the names that led to it, from the next one above that is open."""
        names: list[bytes] = []
        above = file
        while True:
            if not above.names:
                raise Stale
            above, name = where = above.names[-1]
            names.append(name)
            base = self.descriptors.get(above)
            if base is not None:
                break
        with base as fd:
            return self._verified(file, self._descend(fd, names[::-1]), where if len(names) == 1 else None)

    def _descend(self, fd: int, names: list[bytes]) -> int:
        """Open a directory below another one, in as few calls as a path of limited length allows."""
        pieces: list[list[bytes]] = [[]]
        for name in names:
            if sum(map(len, pieces[-1])) + len(pieces[-1]) + len(name) > _PATH:
                pieces.append([])
            pieces[-1].append(name)
        below = fd
        for piece in pieces:
            above = below
            try:
                below = self.openat(above, b"/".join(piece), DIRECTORY)
            except RumpError as error:
                if error.netbsd_errno in _ELSEWHERE:
                    raise Stale from None
                raise
            finally:
                if above != fd:
                    self.close(above)
        return below

    def _verified(self, file: Rnode, fd: int, where: Where | None) -> int:
        """Return a descriptor that was opened by name, if it is the file's. Errors: Stale."""
        try:
            status = self.sys.fstat(fd)
            if not file.was(status, where):
                raise Stale
        except BaseException:
            self.close(fd)
            raise
        file.seen(status)
        return fd

    def open(self, file: Rnode, flags: int) -> int:
        """Open a file or directory. Errors: Stale, and those of open."""
        if file.type == S_IFDIR:
            with self.directory(file) as fd:
                return self.openat(fd, b".", flags | O_DIRECTORY)
        for where in file.names[::-1]:
            with self.directory(where[0]) as directory:
                try:
                    return self._verified(file, self.openat(directory, where[1], flags | _SAFE), where)
                except RumpError as error:
                    if error.netbsd_errno not in _ELSEWHERE:
                        raise
                except Stale:
                    pass  # another file has the name
            file.unnamed(where)
        raise Stale

    def descriptor(self, file: Rnode, write: bool = False) -> Descriptor:
        """Return a descriptor of a file or directory, in use. Errors: Stale, and those of open."""
        if file.type == S_IFDIR:
            return self.directory(file)
        found = self.descriptors.get(file, write)
        if found is None:
            found = Descriptor(self.descriptors, self.open(file, O_WRONLY if write else O_RDONLY), write)
            found.over = True  # when this use is
        return found

    def stat(self, file: Rnode) -> bytes:
        """Return struct stat of a file. Errors: Stale."""
        found = self.descriptors.get(file)
        if found is not None:
            with found as fd:
                return file.seen(self.sys.fstat(fd))
        _, _, status = self.place(file)
        return status

    def place(self, file: Rnode) -> tuple[Rnode, bytes, bytes]:
        """Return a directory and a name that mean a file now, and its struct stat. Errors: Stale."""
        for where in file.names[::-1]:
            with self.directory(where[0]) as fd:
                try:
                    status = self.statat(fd, where[1])
                except RumpError as error:
                    if error.netbsd_errno != errno.ENOENT:
                        raise
                else:
                    if file.was(status, where):
                        return *where, file.seen(status)
            file.unnamed(where)
        raise Stale


def _ignore(signo: int) -> None:
    """What the kernel raises is told by the errno of the call as well."""
