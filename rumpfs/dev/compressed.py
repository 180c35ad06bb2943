"""Compressed images: they are unpacked once, into a sparse file that is kept (`hostcache`).

What a file is compressed with is seen from how it begins, whatever it is called.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import IO, Any, Final, NamedTuple

from rumpfs.abi import errno
from rumpfs.base.errors import DiskError, VfsError
from rumpfs.dev import hostcache
from rumpfs.dev.hostfile import HostFile

#: ``progress(name, done, total)`` is told how many bytes of an image are read; `total` at the end
Progress = Callable[[str, int, int], None]

#: bytes that are unpacked at a time, and in which zeros become a hole
_CHUNK: Final = 1 << 20
_GRAIN: Final = 1 << 16
_ZEROS: Final = bytes(_GRAIN)
#: a zstd frame makes 128 KiB of 4 bytes: so many bytes at a time bound what they become to 64 MiB
_ZSTD_FEED: Final = 2 << 10
_ZSTD_WINDOW: Final = 1 << 31
#: bytes that stay free on the host's disk, and that no image has (what ext4 can keep as one file)
_RESERVE: Final = 64 << 20
_SIZE_MAX: Final = 16 << 40
#: an entry can be removed while it is being opened, but not for ever
_TRIES: Final = 10


class Format(NamedTuple):
    """A format of compression.

    Attributes:
        name: as its program is called.
        magic: how files of it begin.
        unpack: returns the bytes of a stream, piece by piece.
        errors: modules and names of what unpacking raises when the stream is damaged.
    """

    name: str
    magic: re.Pattern[bytes]
    unpack: Callable[[IO[bytes]], Iterator[bytes]]
    errors: tuple[str, ...]


def _pieces(stream: Any) -> Iterator[bytes]:
    while piece := stream.read(_CHUNK):
        yield piece


def _gzip(source: IO[bytes]) -> Iterator[bytes]:
    import gzip

    return _pieces(gzip.GzipFile(fileobj=source))


def _bzip2(source: IO[bytes]) -> Iterator[bytes]:
    import bz2

    return _pieces(bz2.BZ2File(source))


def _xz(source: IO[bytes]) -> Iterator[bytes]:
    import lzma

    return _pieces(lzma.LZMAFile(source))


def _zstd(source: IO[bytes]) -> Iterator[bytes]:
    try:
        import zstandard
    except ImportError as error:
        text = (
            "it is compressed with zstd, which needs the Python package zstandard: pip install rumpfs[zstd]"
        )
        raise VfsError(errno.EOPNOTSUPP, text) from error
    fresh = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW).decompressobj
    decoder = None
    while data := source.read(_ZSTD_FEED):
        while data:
            decoder = decoder or fresh()
            yield decoder.decompress(data)
            data = decoder.unused_data if decoder.eof else b""
            if decoder.eof:
                decoder = None
    if decoder is not None:
        raise EOFError("it ends in the middle of a frame")


FORMATS: Final = (
    Format("gzip", re.compile(rb"\x1f\x8b\x08"), _gzip, ("zlib.error", "gzip.BadGzipFile")),
    Format("bzip2", re.compile(rb"BZh[1-9](1AY&SY|\x17rE8P\x90)"), _bzip2, ()),
    Format("xz", re.compile(rb"\xfd7zXZ\0"), _xz, ("lzma.LZMAError",)),
    Format("zstd", re.compile(rb"\x28\xb5\x2f\xfd"), _zstd, ("zstandard.ZstdError",)),
)
_MAGIC_BYTES: Final = 10


def compression(hostfile: HostFile) -> Format | None:
    """Return what a file is compressed with; None for nothing that is known here.

    Raises:
        VfsError: what the host says.
    """
    start = hostfile.pread(_MAGIC_BYTES, 0)
    return next((kind for kind in FORMATS if kind.magic.match(start)), None)


def unpacked(packed: HostFile, kind: Format, progress: Progress | None = None) -> HostFile:
    """Return what a compressed file holds, as a file of the host that is read-only.

    Args:
        packed: the compressed file; it stays the caller's.
        kind: of compression.
        progress: is told how far it is.

    Raises:
        DiskError: the stream is damaged.
        VfsError: ENOSPC: there is no room for it; what the host says.
    """
    path = hostcache.place("unpacked", kind.name, packed.identity)
    for _ in range(_TRIES):
        try:
            found = HostFile.open(path, readonly=True)
        except VfsError as error:
            if error.errno not in (errno.ENOENT, errno.EBUSY):
                raise
            with hostcache.Making(path) as making:
                if not making.made:
                    _Unpacking(packed, kind, making.fd, progress).run()
                    making.finish()
                    hostcache.trim(path)
        else:
            hostcache.used(path)
            found.path = packed.path
            return found
    raise VfsError(errno.EBUSY, f"{path}: other processes keep removing it")


class _Source(io.RawIOBase):
    """A file as a stream, that says how far it was read."""

    def __init__(self, packed: HostFile) -> None:
        super().__init__()
        self._packed = packed
        self.at = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        data = self._packed.pread(len(buffer), self.at)
        buffer[: len(data)] = data
        self.at += len(data)
        return len(data)


class _Unpacking:
    """The unpacking of one file.

    Args:
        packed, kind, progress: as for `unpacked`.
        fd: where it goes.
    """

    def __init__(self, packed: HostFile, kind: Format, fd: int, progress: Progress | None) -> None:
        self._packed = packed
        self._kind = kind
        self._fd = fd
        self._progress = progress or (lambda name, done, total: None)
        self._size = 0
        self._written = 0

    def run(self) -> None:
        """Unpack. Errors: as `unpacked`."""
        name, total = self._packed.path, self._packed.size
        source = _Source(self._packed)
        stream = io.BufferedReader(source, _CHUNK)
        damaged: tuple[type[Exception], ...] = (EOFError, OSError, *map(_named, self._kind.errors))
        pending = bytearray()
        pieces = self._kind.unpack(stream)
        while True:
            try:
                piece = next(pieces, None)
            except damaged as error:
                why = f"{self._kind.name} stream: {str(error) or 'it is damaged'}"
                raise DiskError(f"{name}: at or before byte {source.at}", why) from error
            pending += piece or b""
            if piece is None or len(pending) >= _CHUNK:
                self._progress(name, source.at, total)
                self._put(bytes(pending))
                pending.clear()
            if piece is None:
                break
        self._host(os.ftruncate, self._fd, self._size)
        self._progress(name, total, total)

    def _put(self, data: bytes) -> None:
        """Write what comes next; zeros become holes."""
        start = 0
        for at in range(0, len(data), _GRAIN):
            if data.startswith(_ZEROS[: len(data) - at], at):
                self._write(data[start:at], self._size + start)
                start = min(at + _GRAIN, len(data))
        self._write(data[start:], self._size + start)
        self._size += len(data)
        if self._size > _SIZE_MAX:
            raise self._no_room(f"it is larger than {_SIZE_MAX} bytes when it is unpacked")

    def _write(self, data: bytes, offset: int) -> None:
        if not data:
            return
        view = memoryview(data)
        self._written += len(view)
        room = os.fstatvfs(self._fd)
        if room.f_bavail * room.f_frsize < _RESERVE + len(view):
            raise self._no_room(f"the host's disk has only {room.f_bavail * room.f_frsize} bytes left")
        if self._written > hostcache.limit():
            raise self._no_room(f"it needs more than the {hostcache.limit()} bytes of {hostcache.SIZE}")
        while view:
            done = self._host(os.pwrite, self._fd, view, offset)
            view, offset = view[done:], offset + done

    def _host(self, call: Callable[..., Any], *args: Any) -> Any:
        try:
            return call(*args)
        except OSError as error:
            raise VfsError(
                errno.from_oserror(error), f"{self._packed.path}: cannot unpack it: {error.strerror}"
            ) from error

    def _no_room(self, why: str) -> VfsError:
        where = f"{hostcache.DIRECTORY} names another directory, {hostcache.SIZE} another limit"
        return VfsError(errno.ENOSPC, f"{self._packed.path}: cannot unpack it: {why}; {where}")


def _named(name: str) -> type[Exception]:
    """Return an exception by its name; the module is there when it can be raised."""
    module, _, attribute = name.partition(".")
    try:
        found: type[Exception] = getattr(import_module(module), attribute)
    except ImportError:
        return EOFError
    return found
