"""An open overlay file: its lock, its header, its map, and what is written in which order.

`rumpfs.ondisk.overlay` has the format and says why the order is enough.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final, Self

from rumpfs.abi import errno
from rumpfs.base.errors import Corrupt, VfsError
from rumpfs.dev.hostfile import HostFile, lock_file
from rumpfs.dev.overlaybase import fingerprint, modified
from rumpfs.dev.overlaymap import BlockMap
from rumpfs.ondisk.overlay import (
    CLEAN,
    COMMITTING,
    MAPS,
    OPEN,
    PATH_MAX,
    Header,
    decode_header,
    encode_header,
)

#: random for each run of the host (random(4))
_BOOT_ID: Final = "/proc/sys/kernel/random/boot_id"
_UNKNOWN: Final = bytes(16)


def boot_id() -> bytes:
    """Return what tells this run of the host from others; zeros when the host does not say."""
    try:
        with open(_BOOT_ID, encoding="ascii") as file:
            return bytes.fromhex(file.read().strip().replace("-", ""))
    except (OSError, ValueError):
        return _UNKNOWN


class OverlayStore:
    """An open overlay file. Made by `open`.

    Attributes:
        path: of the file.
        fd: host file descriptor.
        readonly: it is open for reading only.
        header: what its header says.
        map: which blocks are in it.
        sound: it was closed, or at least the host has not lost its power since it was written.
    """

    def __init__(self, path: str, fd: int, readonly: bool, header: Header) -> None:
        self.path = path
        self.fd = fd
        self.readonly = readonly
        self.header = header
        self.sound = header.state == CLEAN or (header.boot == boot_id() != _UNKNOWN)
        try:
            self.map = BlockMap(fd, path, header, self.sound)
        except OSError as error:
            raise self._error(error) from error
        self._unsettled = False
        self._broken = False
        self._begun = False

    @classmethod
    def open(cls, path: str, readonly: bool, base: HostFile | None = None, lock: bool = True) -> Self:
        """Open an overlay file.

        Args:
            path: host path.
            readonly: do not ask for write permission.
            base: its image; when there is no such file it is made for that, unless `readonly`.
            lock: lock it: exclusive for writing, shared for reading.

        Raises:
            VfsError: what the host says; EBUSY: somebody uses it.
            DiskError: it is no overlay, or damaged.
        """
        create = os.O_CREAT if base is not None and not readonly else 0
        flags = os.O_CLOEXEC | (os.O_RDONLY if readonly else os.O_RDWR | create)
        try:
            fd = os.open(path, flags, 0o644)
        except OSError as error:
            raise VfsError(errno.from_oserror(error), f"{path}: {error.strerror}") from error
        try:
            if base is not None and os.path.samestat(os.fstat(fd), os.fstat(base.fd)):
                raise VfsError(errno.EINVAL, f"{path} is the image; its overlay is another file")
            if lock:
                lock_file(fd, path, readonly)
            if not os.fstat(fd).st_nlink:
                raise VfsError(errno.EBUSY, f"{path} was removed by another process; try again")
            if base is not None and create:
                _make(fd, path, base)
            return cls(path, fd, readonly, decode_header(os.pread(fd, MAPS, 0), path))
        except OSError as error:
            os.close(fd)
            raise VfsError(errno.from_oserror(error), f"{path}: {error.strerror}") from error
        except BaseException:
            os.close(fd)
            raise

    def pread(self, nbytes: int, offset: int) -> bytes:
        """Return bytes at `offset` of the image, which are in the overlay.

        Raises:
            VfsError: what the host says; EIO: the file is too short.
        """
        try:
            data = os.pread(self.fd, nbytes, self.header.data + offset)
        except OSError as error:
            raise self._error(error, offset) from error
        if len(data) < nbytes:
            raise VfsError(errno.EIO, f"{self.path} ends too early")
        return data

    # --- writing ----------------------------------------------------------------------------------

    def begin(self, base: HostFile) -> None:
        """Say on the disk that the overlay is in use, before anything else is written to it.

        Args:
            base: its image, as it is found now.

        Raises:
            VfsError: what the host says.
            DiskError: it is damaged.
        """
        self._recover()
        self._write_header(state=OPEN, boot=boot_id(), path=_absolute(base.path))
        self._begun = True

    def _recover(self) -> None:
        """Make the running map what counts. Errors: as `begin`."""
        size = os.fstat(self.fd).st_size
        if size < self.header.file_size:
            raise Corrupt(self.path, "size", size, f"the overlay has {self.header.file_size} bytes")
        try:
            self.map.recover(self._put_map)
        except OSError as error:
            raise self._error(error) from error
        self._unsettled = True  # another process may have written it

    def rebase(self, base: HostFile) -> None:
        """Take an image as it is now for the overlay's. Errors: what the host says."""
        self._write_header(
            path=_absolute(base.path),
            mtime_ns=modified(base),
            fingerprint=fingerprint(base, self.header.size),
        )

    def begin_commit(self, base: HostFile) -> None:
        """Say on the disk that the image is being written. Errors: as `begin`."""
        if self.header.state != COMMITTING:
            self._recover()
            self.settle()
            samples = fingerprint(base, self.header.size, self.map.has)
            self._write_header(state=COMMITTING, fingerprint=samples)

    def put(self, pieces: Sequence[memoryview | bytes], offset: int) -> None:
        """Write all of some pieces, one behind the other, from byte `offset` of the file on.

        Raises:
            VfsError: what the host says; EIO when it has lost something before.
        """
        if self._broken:
            raise VfsError(errno.EIO, f"{self.path}: what was written to it is lost")
        self._unsettled = True
        try:
            self._write(pieces, offset)
        except OSError as error:
            raise self._error(error, offset) from error

    def settle(self) -> None:
        """Wait until all is on the host's disk, and enter it in the saved map.

        Raises:
            VfsError: what the host says. What the host had not written is lost then, so that nothing more is
                written, and the running map is not believed any more.
        """
        if self._broken:
            raise VfsError(errno.EIO, f"{self.path}: what was written to it is lost")
        try:
            if self._unsettled:
                self._sync()
                self._unsettled = False
            if self.map.dirty:
                self.map.save(self._put_map)
                self._sync()
                self._unsettled = False
        except VfsError:
            self._distrust()
            raise
        except OSError as error:
            self._distrust()
            raise self._error(error) from error

    def close(self) -> None:
        """Save everything, say that it is closed, and let go of the file. Errors: what the host says."""
        try:
            if self._begun and not self._broken:
                self.settle()
                self._write_header(state=CLEAN)
        finally:
            os.close(self.fd)

    def _put_map(self, data: bytes, offset: int) -> None:
        self.put((data,), offset)

    def _write_header(self, **changes: Any) -> None:
        """Write a header with other values, and wait until it is on the disk. Errors: VfsError."""
        header = self.header._replace(generation=self.header.generation + 1, **changes)
        slot, data = encode_header(header)
        self.put((data,), slot)
        try:
            self._sync()
        except OSError as error:
            raise self._error(error) from error
        self.header = header

    def _distrust(self) -> None:
        """The host has lost some of what was written: only what is in the saved map counts from now on."""
        self._broken = True
        header = self.header._replace(generation=self.header.generation + 1, boot=_UNKNOWN)
        slot, data = encode_header(header)
        with suppress(OSError):  # the error that matters is being raised
            self._write((data,), slot)

    # --- the host ---------------------------------------------------------------------------------

    def _write(self, pieces: Sequence[memoryview | bytes], offset: int) -> None:
        """Write all of some pieces. Errors: OSError."""
        done = os.pwritev(self.fd, pieces, offset)
        if done == sum(map(len, pieces)):
            return
        rest = memoryview(b"".join(pieces))
        while done < len(rest):
            done += os.pwrite(self.fd, rest[done:], offset + done)

    def _sync(self) -> None:
        """Wait until what was written is on the disk. Errors: OSError."""
        os.fdatasync(self.fd)

    def _error(self, error: OSError, offset: int = 0) -> VfsError:
        text = f"{self.path} at byte {offset}: {error.strerror}"
        return VfsError(errno.from_oserror(error), text)


def _blank(fd: int, size: int) -> bool:
    """Return whether a file is empty, or nothing but a hole of `size` bytes: it is about to be an overlay."""
    if os.fstat(fd).st_size not in (0, size):
        return False
    try:
        os.lseek(fd, 0, os.SEEK_DATA)
    except OSError:  # ENXIO
        return True
    return False


def _make(fd: int, path: str, base: HostFile) -> None:
    """Make an empty overlay of an image of what is no file yet. Errors: VfsError, OSError."""
    size = base.size
    where = _absolute(base.path)
    if not size or len(where) > PATH_MAX:
        why = "has no size" if not size else "has too long a path"
        raise VfsError(errno.EINVAL, f"{base.path}: there cannot be an overlay of it: it {why}")
    header = Header(CLEAN, 1, os.urandom(16), size, modified(base), b"", _UNKNOWN, where)
    if not _blank(fd, header.file_size):
        return
    header = header._replace(fingerprint=fingerprint(base, size))
    try:
        os.ftruncate(fd, header.file_size)
    except OSError as error:
        why = f"{path}: it cannot be made {header.file_size} bytes long: {error.strerror}"
        raise VfsError(errno.from_oserror(error), why) from error
    slot, data = encode_header(header)
    os.pwrite(fd, data, slot)
    os.fsync(fd)
    _sync_directory(path)


def _sync_directory(path: str) -> None:
    """Wait until a file's name is on the host's disk. Errors: OSError."""
    try:
        fd = os.open(os.path.dirname(path) or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except PermissionError:  # it can be written and not read, so nobody can wait for it
        return
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def remove(path: str) -> None:
    """Remove an overlay's file for good. Errors: OSError."""
    os.unlink(path)
    _sync_directory(path)


def _absolute(path: str) -> bytes:
    return os.fsencode(os.path.realpath(path))
