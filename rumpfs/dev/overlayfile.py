"""An image under a copy-on-write overlay, in the place of its host file.

The image is read and never written; what is changed goes to the overlay's file. Reading and writing find
their way in constant time: to a window a transfer may be cut where the image's bytes begin or end, or at the
end of a leaf of the map (about 16 MiB), and it goes on with the rest.
"""

from __future__ import annotations

import logging
import os
from typing import Self

from rumpfs.abi import errno
from rumpfs.base.errors import DiskError, VfsError
from rumpfs.dev.hostfile import HostFile, cut
from rumpfs.dev.overlaybase import check
from rumpfs.dev.overlaystore import OverlayStore
from rumpfs.ondisk.overlay import BLOCK_MASK, BLOCK_SHIFT, COMMITTING, LEAF_BLOCKS

log = logging.getLogger("rumpfs.dev")


class OverlayFile(HostFile):
    """An image as its overlay has it. Made by `over`.

    Attributes:
        store: the overlay's file.
        base: the image.
    """

    __slots__ = ("_data", "_size", "base", "store")

    def __init__(self, store: OverlayStore, base: HostFile) -> None:
        HostFile.__init__(self, base.path, store.fd, os.fstat(base.fd), store.readonly)
        self.store = store
        self.base = base
        self._data = store.header.data
        self._size = store.header.size

    @classmethod
    def over(cls, path: str, base: HostFile, readonly: bool, lock: bool = True) -> Self:
        """Open the overlay of an image, and make it when there is none and it is to be written.

        Args:
            path: host path of the overlay.
            base: the image. The overlay takes over this use of it; the caller keeps it when this fails.
            readonly: write nothing.
            lock: lock the overlay's file.

        Raises:
            VfsError: what the host says; EBUSY: somebody uses the overlay, or was committing it.
            DiskError: it is no overlay, a damaged one, or one of another image.
        """
        try:
            store = OverlayStore.open(path, readonly, base, lock)
        except VfsError as error:
            if error.errno == errno.ENOENT and readonly:
                error.why = f"{path}: there is no such overlay; it is made when it is to be written"
            raise
        try:
            if store.header.state == COMMITTING:
                why = f"{path} was being committed; rumpfs overlay commit {path} finishes that"
                raise VfsError(errno.EBUSY, why)
            check(base, store.header, store.map.has, path)
            if not readonly:
                store.begin(base)
            return cls(store, base)
        except BaseException:
            store.close()
            raise

    @property
    def is_regular(self) -> bool:
        """False: it cannot grow."""
        return False

    @property
    def size(self) -> int:
        """Bytes of the image."""
        return self._size

    def close(self) -> None:
        """Let go of both files."""
        try:
            self.store.close()
        except VfsError as error:
            log.warning("%s; what was written since the last sync may be lost", error)
        finally:
            self.base.close()

    # --- transfers --------------------------------------------------------------------------------

    def pread(self, nbytes: int, offset: int) -> bytes:
        """Return bytes at `offset`, fewer where the next ones come from the other file.

        Raises:
            VfsError: what the host says; EIO: the map is damaged.
        """
        nbytes = min(nbytes, self._size - offset)
        if nbytes <= 0:
            return b""
        try:
            mapped, count = self.store.map.run(offset, nbytes)
            if mapped:
                return os.pread(self.fd, count, self._data + offset)
            return os.pread(self.base.fd, count, offset)
        except (OSError, DiskError) as error:
            raise self._error(error, offset) from error

    def preadv(self, buffers: list[memoryview | bytearray], offset: int) -> int:
        """Fill buffers in turn and return the bytes read, fewer as in `pread`. Errors: as `pread`."""
        total = sum(map(len, buffers))
        nbytes = min(total, self._size - offset)
        if nbytes <= 0:
            return 0
        try:
            mapped, count = self.store.map.run(offset, nbytes)
            if count < total:
                buffers = [*cut([memoryview(buffer) for buffer in buffers], 0, count)]
            if mapped:
                return os.preadv(self.fd, buffers, self._data + offset)
            return os.preadv(self.base.fd, buffers, offset)
        except (OSError, DiskError) as error:
            raise self._error(error, offset) from error

    def pwrite(self, data: bytes | bytearray | memoryview, offset: int) -> int:
        """Write to the overlay; return the bytes written, fewer at the end of a leaf of the map.

        Raises:
            VfsError: what the host says; EIO: the map is damaged.
        """
        try:
            return self._pwrite(memoryview(data), offset)
        except (OSError, DiskError) as error:
            raise self._error(error, offset) from error

    def fsync(self) -> None:
        """Wait until what was written is on the host's disk, and the map that says so, too.

        Raises:
            VfsError: what the host says.
        """
        self.store.settle()

    def extend(self, size: int) -> None:
        """Refuse to grow. Errors: VfsError EFBIG."""
        if size > self._size:
            raise VfsError(errno.EFBIG, f"{self.path}: an overlay has the {self._size} bytes of its image")

    def _pwrite(self, view: memoryview, offset: int) -> int:
        blocks = self.store.map
        first = offset >> BLOCK_SHIFT
        room = (first // LEAF_BLOCKS + 1) * LEAF_BLOCKS << BLOCK_SHIFT
        view = view[: min(room, self._size) - offset]
        nbytes = len(view)
        if not nbytes:
            return 0
        mapped, count = blocks.run(offset, nbytes)
        if mapped and count == nbytes:
            self.store.put((view,), self._data + offset)
            return nbytes
        pieces: list[memoryview | bytes] = [view]
        start, end = offset, offset + nbytes
        last = end - 1 >> BLOCK_SHIFT
        # What is not written of the first and of the last block comes from the image.
        if offset & BLOCK_MASK and not mapped:
            start = first << BLOCK_SHIFT
            pieces.insert(0, self._under(start, offset - start))
        if end & BLOCK_MASK and not blocks.has(last):
            pieces.append(self._under(end, -end & BLOCK_MASK))
        self.store.put(pieces, self._data + start)
        blocks.add(first, last, self._put)
        return nbytes

    def _under(self, offset: int, nbytes: int) -> bytes:
        """Return bytes of the image, and zeros beyond its end. Errors: OSError; EIO: it is shorter now."""
        wanted = max(0, min(nbytes, self._size - offset))
        data = os.pread(self.base.fd, wanted, offset)
        if len(data) < wanted:
            raise VfsError(errno.EIO, f"{self.base.path} ends at or before byte {offset + wanted}")
        return data.ljust(nbytes, b"\0")

    def _put(self, data: bytes, offset: int) -> None:
        self.store.put((data,), offset)

    def _error(self, error: OSError | DiskError, offset: int) -> VfsError:
        if isinstance(error, DiskError):
            return VfsError(error.errno, str(error))
        return VfsError(
            errno.from_oserror(error), f"{self.store.path} at byte {offset} of the image: {error.strerror}"
        )
