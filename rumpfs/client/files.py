"""An open file of a rump kernel as a raw binary stream."""

from __future__ import annotations

import io
import warnings
from typing import TYPE_CHECKING, Any, Final

from rumpfs.abi import fcntl
from rumpfs.base.copy import Buffer
from rumpfs.client.errors import ConnectionLost
from rumpfs.client.records import StatResult, stat_result

if TYPE_CHECKING:
    from rumpfs.client.raw import RawClient, Syscalls

#: what one read or write of a stream moves at most; more is a short count, as a raw stream may have
TRANSFER_MAX: Final = 4 << 20

#: open(2) flags of a mode
_MODES: Final = {
    "r": fcntl.O_RDONLY,
    "w": fcntl.O_WRONLY | fcntl.O_CREAT | fcntl.O_TRUNC,
    "a": fcntl.O_WRONLY | fcntl.O_CREAT | fcntl.O_APPEND,
    "x": fcntl.O_WRONLY | fcntl.O_CREAT | fcntl.O_EXCL,
}


def open_flags(mode: str) -> int:
    """Return the NetBSD flags for a mode of Python's open(): one of r w a x, perhaps + and b.

    Errors:
        ValueError: it is another mode; text is for io.TextIOWrapper.
    """
    letters = mode.replace("b", "", 1).replace("+", "", 1)
    flags = _MODES.get(letters)
    if flags is None:
        raise ValueError(f"a mode is one of r, w, a or x, perhaps with + and b, not {mode!r}")
    if "+" in mode:
        flags = flags & ~fcntl.O_ACCMODE | fcntl.O_RDWR
    return flags


class RemoteFile(io.RawIOBase):
    """A descriptor of a rump kernel. Reads and writes are system calls: see io.BufferedReader for small ones.

    Args:
        client: whose descriptor it is.
        fd: its number; closed with the stream.
        name: what it was opened as.
        flags: the flags of open(2), which say what it may be used for.
    """

    def __init__(self, client: RawClient, fd: int, name: str | bytes | int, flags: int) -> None:
        super().__init__()
        self._sys = client.sys
        self._forgotten = client.forgotten
        self.fd = fd
        self.name = name
        access = flags & fcntl.O_ACCMODE
        self._readable = access in (fcntl.O_RDONLY, fcntl.O_RDWR)
        self._writable = access in (fcntl.O_WRONLY, fcntl.O_RDWR)
        self.mode = ("ab" if flags & fcntl.O_APPEND else "rb", "wb", "rb+")[access]

    def __repr__(self) -> str:
        state = "closed" if self.closed else f"fd={self.fd}"
        return f"<RemoteFile {self.name!r} {state}>"

    def __del__(self) -> None:
        # This may run in the middle of a call, where another one cannot begin: the next open() closes it.
        if not self.closed:
            self._forgotten.append(self.fd)
            warnings.warn(f"unclosed file {self!r}", ResourceWarning, source=self, stacklevel=2)

    def _check(self) -> None:
        if self.closed:
            raise ValueError("I/O operation on a closed file")

    def readable(self) -> bool:
        """Whether it was opened for reading."""
        return self._readable

    def writable(self) -> bool:
        """Whether it was opened for writing."""
        return self._writable

    def seekable(self) -> bool:
        """Whether the offset can be moved: it cannot in pipes and FIFOs."""
        self._check()
        try:
            self._sys.lseek(self.fd, 0, fcntl.SEEK_CUR)
        except OSError:
            return False
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        """Read at most `size` bytes, or everything to the end."""
        self._check()
        if size is None or size < 0:
            return self.readall()
        return self._sys.read(self.fd, min(size, TRANSFER_MAX))  # type: ignore[no-any-return]

    def readall(self) -> bytes:
        """Read everything to the end."""
        self._check()
        parts = []
        while part := self._sys.read(self.fd, TRANSFER_MAX):
            parts.append(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def readinto(self, buffer: Any, /) -> int:
        """Read into a writable buffer; return how many bytes."""
        self._check()
        view = memoryview(buffer).cast("B")
        return self._sys.read(self.fd, view[:TRANSFER_MAX])  # type: ignore[no-any-return]

    def pread(self, size: int | Any, offset: int) -> bytes | int:
        """Read at an offset: at most `size` bytes, or into a writable buffer (returns how many)."""
        self._check()
        return self._sys.pread(self.fd, size, offset)  # type: ignore[no-any-return]

    def write(self, data: Any, /) -> int:
        """Write; return how many bytes were taken, which may be fewer."""
        self._check()
        view = memoryview(data).cast("B")
        return self._sys.write(self.fd, view[:TRANSFER_MAX])  # type: ignore[no-any-return]

    def pwrite(self, data: Buffer, offset: int) -> int:
        """Write at an offset; return how many bytes were taken."""
        self._check()
        return self._sys.pwrite(self.fd, data, offset)  # type: ignore[no-any-return]

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Move the offset and return it; `whence` is 0, 1 or 2 for the start, the offset, the end."""
        self._check()
        return self._sys.lseek(self.fd, offset, whence)  # type: ignore[no-any-return]

    def tell(self) -> int:
        """Return the offset."""
        return self.seek(0, fcntl.SEEK_CUR)

    def truncate(self, size: int | None = None, /) -> int:
        """Give the file `size` bytes, or as many as the offset says, and return the number."""
        self._check()
        length = self.tell() if size is None else size
        self._sys.ftruncate(self.fd, length)
        return length

    def stat(self) -> StatResult:
        """Return the attributes of the file (fstat)."""
        self._check()
        return stat_result(self._sys.fstat(self.fd))

    def sync(self) -> None:
        """Let the kernel write the file to its disk (fsync)."""
        self._check()
        self._sys.fsync(self.fd)

    def close(self) -> None:
        """Close the descriptor. With a connection that is gone, it is closed already."""
        if self.closed:
            return
        try:
            super().close()
        finally:
            close_fd(self._sys, self.fd)


def close_fd(syscalls: Syscalls, fd: int) -> None:
    """Close a descriptor, unless that has happened because the connection is gone."""
    try:
        syscalls.close(fd)
    except ConnectionLost:
        pass
