"""Host files behind the rump kernel's devices.

However many drives and partitions map a host file, it is opened once: file locks belong to an open file,
and one server must not lock itself out. The lock (flock(2), exclusive when writable, shared when not) keeps
two servers from caching the same disk.
"""

from __future__ import annotations

import fcntl
import os
import stat

from rumpfs.abi import errno
from rumpfs.base.errors import VfsError
from rumpfs.dev.holder import holder

_OPEN_FLAGS = os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY

#: (st_dev, st_ino) -> the open file.
_open_files: dict[tuple[int, int], HostFile] = {}


class HostFile:
    """An open host file: regular, block device or character device. Made by `open`.

    Attributes:
        path: as it was given to the first `open`, for messages.
        fd: host file descriptor; the same one until the last `close`.
        mode: st_mode.
        readonly: True while it is open for reading only.
    """

    __slots__ = ("_key", "_references", "fd", "mode", "path", "readonly")

    def __init__(self, path: str, fd: int, facts: os.stat_result, readonly: bool) -> None:
        self.path = path
        self.fd = fd
        self.mode = facts.st_mode
        self.readonly = readonly
        self._key = (facts.st_dev, facts.st_ino)
        self._references = 1

    @classmethod
    def open(cls, path: str, readonly: bool = False, create: bool = False, lock: bool = True) -> HostFile:
        """Open and lock a host file, or share it when it is open already.

        A file that is open for reading only becomes writable for all when it is opened for writing.

        Args:
            path: host path.
            readonly: do not ask for write permission.
            create: make a missing file, mode 0644 less the umask; not with `readonly`.
            lock: lock it; False is for hosts that cannot, and for those who know what they do.

        Raises:
            VfsError: what the host says; EBUSY when another process has locked the file; EINVAL when it
                is neither regular nor a device.
        """
        flags = _OPEN_FLAGS | (os.O_RDONLY if readonly else os.O_RDWR)
        if create and not readonly:
            flags |= os.O_CREAT
        try:
            fd = os.open(path, flags, 0o644)
        except OSError as error:
            raise VfsError(errno.from_oserror(error), path) from error
        try:
            facts = os.fstat(fd)
            kind = stat.S_IFMT(facts.st_mode)
            if kind not in (stat.S_IFREG, stat.S_IFBLK, stat.S_IFCHR):
                raise VfsError(errno.EINVAL, f"{path} is neither a regular file nor a device")
            shared = _open_files.get((facts.st_dev, facts.st_ino))
            if shared is not None:
                shared._share(fd, readonly, lock)
                os.close(fd)
                return shared
            if lock:
                lock_file(fd, path, readonly)
        except BaseException:
            os.close(fd)
            raise
        opened = _open_files[facts.st_dev, facts.st_ino] = cls(path, fd, facts, readonly)
        return opened

    def _share(self, fd: int, readonly: bool, lock: bool) -> None:
        """Count one more user; put a writable open file under our descriptor when it has to be one."""
        if self.readonly and not readonly:
            if lock:
                self._lock_again(fd)
            os.dup2(fd, self.fd, inheritable=False)
            self.readonly = False
        self._references += 1

    def _lock_again(self, fd: int) -> None:
        """Lock a writable open file in place of ours, which is for reading. Errors: as `lock_file`."""
        fcntl.flock(self.fd, fcntl.LOCK_UN)
        try:
            lock_file(fd, self.path, readonly=False)
        except VfsError:
            lock_file(self.fd, self.path, readonly=True)
            raise

    def close(self) -> None:
        """Drop one use; the last one closes the file, which also unlocks it."""
        self._references -= 1
        if self._references == 0:
            del _open_files[self._key]
            os.close(self.fd)

    @property
    def is_regular(self) -> bool:
        """True for a regular file, which can grow."""
        return stat.S_ISREG(self.mode)

    @property
    def identity(self) -> str:
        """What tells it from other files, and from itself when it has changed.

        Raises:
            VfsError: what the host says.
        """
        try:
            facts = os.fstat(self.fd)
        except OSError as error:
            raise VfsError(errno.from_oserror(error), self.path) from error
        where = os.path.realpath(self.path)
        return f"{where}\n{facts.st_dev} {facts.st_ino} {facts.st_size} {facts.st_mtime_ns}"

    @property
    def size(self) -> int:
        """Bytes in the file or device now; 0 for a character device without an end.

        Raises:
            VfsError: what the host says.
        """
        try:
            if self.is_regular:
                return os.fstat(self.fd).st_size
            return os.lseek(self.fd, 0, os.SEEK_END)
        except OSError as error:
            if stat.S_ISCHR(self.mode):
                return 0
            raise VfsError(errno.from_oserror(error), self.path) from error

    def pread(self, nbytes: int, offset: int) -> bytes:
        """Return up to `nbytes` bytes at byte `offset`; fewer at the end of the file.

        Raises:
            VfsError: what the host says.
        """
        try:
            return os.pread(self.fd, nbytes, offset)
        except OSError as error:
            raise self._failed(error, offset) from error

    def preadv(self, buffers: list[memoryview | bytearray], offset: int) -> int:
        """Fill the buffers in turn from byte `offset` on and return the number of bytes read.

        Raises:
            VfsError: what the host says.
        """
        try:
            return os.preadv(self.fd, buffers, offset)
        except OSError as error:
            raise self._failed(error, offset) from error

    def pwrite(self, data: bytes | bytearray | memoryview, offset: int) -> int:
        """Write at byte `offset` and return the number of bytes written, which may be fewer.

        Raises:
            VfsError: what the host says.
        """
        try:
            return os.pwrite(self.fd, data, offset)
        except OSError as error:
            raise self._failed(error, offset) from error

    def fsync(self) -> None:
        """Wait until what was written is on the host's disk.

        Raises:
            VfsError: what the host says.
        """
        try:
            os.fdatasync(self.fd)
        except OSError as error:
            raise self._failed(error, 0) from error

    def extend(self, size: int) -> None:
        """Make a regular file `size` bytes long when it is shorter, with a hole at its end.

        Raises:
            VfsError: what the host says.
        """
        if self.size < size:
            try:
                os.ftruncate(self.fd, size)
            except (OSError, OverflowError) as error:
                number = errno.from_oserror(error) if isinstance(error, OSError) else errno.EFBIG
                raise VfsError(number, f"{self.path}: cannot make it {size} bytes long") from error

    def _failed(self, error: OSError, offset: int) -> VfsError:
        return VfsError(errno.from_oserror(error), f"{self.path} at byte {offset}: {error.strerror}")


def lock_file(fd: int, path: str, readonly: bool) -> None:
    """Lock an open file without waiting.

    Raises:
        VfsError: EBUSY when another process holds a lock; what the host says otherwise.
    """
    try:
        fcntl.flock(fd, (fcntl.LOCK_SH if readonly else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError as error:
        use = (
            "read-only use needs it not to be written"
            if readonly
            else "stop that process, or use it read-only"
        )
        who = holder(fd)
        by = f"another process, {who}" if who else "another process"
        raise VfsError(errno.EBUSY, f"{path} is locked by {by}; {use}") from error
    except OSError as error:
        raise VfsError(errno.from_oserror(error), f"{path}: cannot lock it: {error.strerror}") from error


def cut(views: list[memoryview], skip: int, limit: int) -> list[memoryview]:
    """Return views without their first `skip` bytes, and with no more than `limit` in all."""
    kept = []
    for view in views:
        if skip >= len(view):
            skip -= len(view)
            continue
        piece = view[skip : skip + limit]
        skip = 0
        limit -= len(piece)
        if len(piece):
            kept.append(piece)
    return kept
