"""Files elsewhere, for reading: what fsspec opens (https, s3, ...), in the place of a host file.

What was fetched is kept (`hostcache`), in lines of 512 KiB with a checksum each, for as long as the file says
to be the same: by its ETag, or what else its server tells. A file that changes while it is used gives EIO.
"""

from __future__ import annotations

import fcntl
import os
import stat
import struct
import tempfile
import zlib
from collections.abc import Callable
from typing import Any, Final, NoReturn

from rumpfs.abi import errno
from rumpfs.base.errors import VfsError
from rumpfs.dev import hostcache
from rumpfs.dev.hostfile import HostFile, cut

#: bytes of a line, and how many lines one request fetches at most
LINE: Final = 512 << 10
_AHEAD: Final = 8
#: what the cache knows of a line: whether it is there, and its CRC-32
_ENTRY: Final = struct.Struct("<II")
_PRESENT: Final = 0x52554D50
#: under which names file systems tell what changes with the content, the best first
_TOKENS: Final = (
    "ETag", "etag", "Content-MD5", "Digest", "md5Hash", "checksum", "Last-Modified", "LastModified",
    "last_modified", "mtime", "modified", "updated", "created",
)  # fmt: skip
#: a size that is not to be believed (as for unpacked images)
_SIZE_MAX: Final = 16 << 40


class RemoteFile(HostFile):
    """A file elsewhere.

    Args:
        name: for messages.
        size: bytes.
        fetch: ``fetch(start, end)`` returns bytes of it, or raises any exception.
        token: returns what changes when the file does; None when nothing does.

    Raises:
        VfsError: what the host says of the cache.
    """

    __slots__ = ("_cache", "_fetch", "_known", "_last", "_lines", "_map", "_size", "_token", "_token_of")

    def __init__(
        self, name: str, size: int, fetch: Callable[[int, int], bytes], token: Callable[[], str | None]
    ) -> None:
        facts = os.stat_result((stat.S_IFREG | 0o444, 0, 0, 1, 0, 0, size, 0, 0, 0))
        HostFile.__init__(self, name, -1, facts, readonly=True)
        self._size = size
        self._fetch = fetch
        self._token_of = token
        self._token = token()
        self._lines = -(-size // LINE)
        self._map = self._lines * LINE
        self._known: set[int] = set()  # lines of the cache whose checksum is right
        self._last = -1  # the line behind those that were fetched last
        self._cache = self._open_cache()

    def _open_cache(self) -> int:
        """Open the file that keeps what is fetched, locked, shared, and as long as it has to be."""
        size = self._map + self._lines * _ENTRY.size
        try:
            if self._token is None:
                with tempfile.TemporaryFile(dir=hostcache.directory()) as file:
                    fd = os.dup(file.fileno())
            else:
                path = hostcache.place("remote", LINE, self.identity)
                fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
                fcntl.flock(fd, fcntl.LOCK_SH)
                hostcache.trim(path)
                hostcache.used(path)
            os.ftruncate(fd, size)
        except OSError as error:
            raise VfsError(
                errno.from_oserror(error), f"{self.path}: cannot keep what is read: {error.strerror}"
            ) from error
        return fd

    @property
    def identity(self) -> str:
        """What tells it from other files, and from itself when it has changed."""
        return f"{self.path}\n{self._size}\n{self._token}"

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return self._size

    @property
    def is_regular(self) -> bool:
        """False: it cannot grow."""
        return False

    def close(self) -> None:
        """Stop using it."""
        os.close(self._cache)

    def pread(self, nbytes: int, offset: int) -> bytes:
        """Return up to `nbytes` bytes at `offset`, fewer at the end, or of what is fetched at once.

        Raises:
            VfsError: EIO: it cannot be fetched, or has changed.
        """
        end = min(offset + nbytes, self._size)
        if end <= offset:
            return b""
        stop = self._have(offset // LINE, -(-end // LINE))
        return os.pread(self._cache, min(end, stop * LINE) - offset, offset)

    def preadv(self, buffers: list[memoryview | bytearray], offset: int) -> int:
        """Fill buffers in turn and return the bytes read, fewer as in `pread`. Errors: as `pread`."""
        data = self.pread(sum(map(len, buffers)), offset)
        at = 0
        for view in cut([memoryview(buffer) for buffer in buffers], 0, len(data)):
            view[:] = data[at : at + len(view)]
            at += len(view)
        return at

    def pwrite(self, data: bytes | bytearray | memoryview, offset: int) -> int:
        """Refuse to write. Errors: VfsError EROFS."""
        raise VfsError(errno.EROFS, self.path)

    def fsync(self) -> None:
        """Do nothing: nothing is written."""

    def extend(self, size: int) -> None:
        """Refuse to grow. Errors: VfsError EROFS."""
        if size > self._size:
            raise VfsError(errno.EROFS, self.path)

    # --- lines ------------------------------------------------------------------------------------

    def _have(self, first: int, stop: int) -> int:
        """Let lines from `first` on be in the cache; return the one behind them, at most `stop`."""
        line = first
        while line < stop and (line in self._known or self._kept(line)):
            line += 1
        if line == first:
            # Who reads one line after the other gets more of them at a time.
            ahead = min(_AHEAD, self._lines - first) if self._last == first else 1
            line = min(max(min(stop - first, _AHEAD), ahead) + first, self._lines)
            self._load(first, line)
            self._last = line
            line = min(line, stop)
        return line

    def _kept(self, line: int) -> bool:
        """Whether a line is in the cache, as it was fetched."""
        present, crc = _ENTRY.unpack(os.pread(self._cache, _ENTRY.size, self._map + line * _ENTRY.size))
        if present != _PRESENT:
            return False
        start = line * LINE
        if zlib.crc32(os.pread(self._cache, min(LINE, self._size - start), start)) != crc:
            return False
        self._known.add(line)
        return True

    def _load(self, first: int, stop: int) -> None:
        """Fetch lines."""
        start, end = first * LINE, min(stop * LINE, self._size)
        try:
            data = self._fetch(start, end)
            token = self._token_of()
        except Exception as error:  # noqa: BLE001 - libraries of any kind are behind it
            self._unread(start, error)
        if token != self._token:
            raise VfsError(errno.EIO, f"{self.path} has changed since it was opened: open it again")
        if len(data) != end - start:
            why = f"{len(data)} bytes came instead of {end - start}: its server may not know byte ranges"
            raise VfsError(errno.EIO, f"{self.path} at byte {start}: {why}")
        try:
            os.pwrite(self._cache, data, start)
            for line in range(first, stop):
                piece = data[(line - first) * LINE : (line - first + 1) * LINE]
                entry = _ENTRY.pack(_PRESENT, zlib.crc32(piece))
                os.pwrite(self._cache, entry, self._map + line * _ENTRY.size)
                self._known.add(line)
        except OSError as error:
            raise VfsError(
                errno.from_oserror(error), f"{self.path}: cannot keep what is read: {error.strerror}"
            ) from error

    def _unread(self, offset: int, error: Exception) -> NoReturn:
        raise VfsError(errno.EIO, f"{self.path} at byte {offset}: {_text(error)}") from error


def open_url(url: str) -> HostFile:
    """Open a file elsewhere.

    Args:
        url: as fsspec has them, chained ones as well.

    Raises:
        VfsError: ENOENT, EACCES, EISDIR; EOPNOTSUPP: fsspec, or what it needs for such a url, is missing;
            EINVAL: no such urls are known, or its size is not; EIO.
    """
    try:
        from fsspec.core import url_to_fs
    except ImportError as error:
        text = f"{url}: urls need the Python package fsspec: pip install rumpfs[remote]"
        raise VfsError(errno.EOPNOTSUPP, text) from error
    try:
        fs, path = url_to_fs(url)
    except ImportError as error:
        raise VfsError(errno.EOPNOTSUPP, f"{url}: {_lacking(url) or error}") from error
    except ValueError as error:
        why = f"{url}: {error} (rump servers are at unix://socket or tcp://address:port)"
        raise VfsError(errno.EINVAL, why) from error
    return open_on(fs, path, url)


def _lacking(url: str) -> str:
    """Return which package a url needs that is not installed, and the remedy; empty when it is not known."""
    from importlib.util import find_spec

    from fsspec.registry import known_implementations

    for part in url.split("::"):
        protocol = part.partition("://")[0]
        package = known_implementations.get(protocol, {}).get("class", "").partition(".")[0]
        if protocol in ("http", "https") and find_spec("aiohttp") is None:
            return f"{protocol}:// urls need the Python package aiohttp: pip install rumpfs[remote]"
        if package and find_spec(package) is None:
            return f"{protocol}:// urls need the Python package {package}: pip install {package}"
    return ""


def open_on(fs: Any, path: str, name: str) -> HostFile:
    """Open a file of an fsspec file system.

    Args:
        fs: the file system.
        path: of the file there.
        name: for messages.

    Raises:
        VfsError: as `open_url`.
    """
    local = _local(fs, path)
    if local is not None:
        return HostFile.open(local, readonly=True)

    def facts() -> dict[str, Any]:
        fs.invalidate_cache(path)
        return fs.info(path)  # type: ignore[no-any-return]

    def token() -> str | None:
        now = facts()
        key = next((key for key in _TOKENS if now.get(key)), None)
        return None if key is None else f"{key}={now[key]} {now.get('size')}"

    try:
        found = facts()
        if found.get("type") == "directory":
            raise VfsError(errno.EISDIR, f"{name}: Is a directory")
        size = found.get("size")
        if not isinstance(size, int) or not 0 <= size <= _SIZE_MAX:
            raise VfsError(errno.EINVAL, f"{name}: its server does not say how large it is")
        return RemoteFile(name, size, lambda start, end: fs.cat_file(path, start=start, end=end), token)
    except FileNotFoundError as error:
        # fsspec says this of servers that cannot be reached as well, and has the reason behind it.
        why = f": {_text(error.__cause__)}" if error.__cause__ is not None else ": there is no such file"
        raise VfsError(errno.ENOENT, name + why) from error
    except PermissionError as error:
        raise VfsError(errno.EACCES, name) from error
    except VfsError:
        raise
    except Exception as error:
        raise VfsError(errno.EIO, f"{name}: {_text(error)}") from error


def _local(fs: Any, path: str) -> str | None:
    """Return the path of the host that a file has; None when it is elsewhere."""
    protocol = fs.protocol
    names = (protocol,) if isinstance(protocol, str) else protocol
    return path if "file" in names else None


def _text(error: BaseException) -> str:
    """Return what is wrong, in a line."""
    return " ".join(str(error).split()) or type(error).__name__
