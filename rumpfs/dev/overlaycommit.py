"""What is done with an overlay as a whole: it becomes part of its image, or is compared with it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from rumpfs.abi import errno
from rumpfs.base.errors import VfsError
from rumpfs.dev.hostfile import HostFile
from rumpfs.dev.overlaybase import BaseChanged, check, fingerprint
from rumpfs.dev.overlaystore import OverlayStore, remove
from rumpfs.ondisk.overlay import BLOCK_SIZE, COMMITTING

#: Bytes that are copied or compared at a time.
_PIECE: Final = 1 << 20


@contextmanager
def opened(
    path: str, image: str, readonly: bool, lock: bool = True
) -> Iterator[tuple[OverlayStore, HostFile]]:
    """Open an overlay and its image for as long as the block runs.

    Args:
        path: of the overlay.
        image: path of the image; empty for where it was found last.
        readonly: the image is only read.
        lock: lock both.

    Raises:
        VfsError: what the host says; EBUSY: somebody uses one of them.
        DiskError: it is no overlay, or damaged.
    """
    store = OverlayStore.open(path, readonly and not lock, lock=lock)
    try:
        where = image or os.fsdecode(store.header.path)
        try:
            base = HostFile.open(where, readonly=readonly, lock=lock)
        except VfsError as error:
            missing = error.errno == errno.ENOENT
            hint = "; if the image is elsewhere, name it" if missing else ""
            if error.why == where:
                error.why = f"{where}: {errno.strerror(error.errno)}{hint}"
            raise
        try:
            yield store, base
        finally:
            base.close()
    finally:
        store.close()


def commit(path: str, image: str = "", force: bool = False) -> int:
    """Write an overlay's blocks to its image, wait until they are there, and remove the overlay.

    When it is cut short it can be done again. Until then the overlay cannot be mounted, as the image is half
    done.

    Args:
        path: of the overlay.
        image: path of the image; empty for where it was found last.
        force: although the image has changed since.

    Returns:
        the number of bytes.

    Raises:
        VfsError: what the host says; EBUSY: somebody uses the overlay or the image.
        DiskError: it is no overlay, or damaged; the image has changed.
    """
    written = 0
    with opened(path, image, readonly=False) as (store, base):
        header = store.header
        if base.size < header.size:
            raise BaseChanged(path, f"{base.path} has {base.size} bytes, and had {header.size}")
        if not force:
            check(base, header, store.map.has, path, "--force commits it all the same")
        store.begin_commit(base)
        for offset, nbytes in _pieces(store):
            _copy(store, base, offset, nbytes)
            written += nbytes
        base.fsync()
        _remove(path)
    return written


def rebase(path: str, image: str = "", force: bool = False) -> None:
    """Let an overlay be that of an image as it is now: a copy of it, or what has been changed.

    Args:
        path: of the overlay.
        image: path of the image; empty for where it was found last.
        force: even if its content is another.

    Raises:
        VfsError, DiskError: as `commit`; EBUSY also when it was being committed.
    """
    with opened(path, image, readonly=True) as (store, base):
        if store.header.state == COMMITTING:
            raise _half_done(path)
        if base.size != store.header.size:
            raise BaseChanged(path, f"{base.path} has {base.size} bytes, not {store.header.size}")
        if not force and fingerprint(base, base.size) != store.header.fingerprint:
            raise BaseChanged(
                path, f"the content of {base.path} is not what it was made of; --force takes it"
            )
        store.rebase(base)


def drop(path: str, force: bool = False) -> None:
    """Remove an overlay that nobody uses, with all that is in it.

    Args:
        force: although it was being committed, so that its image remains half done.

    Raises:
        VfsError: what the host says; EBUSY: somebody uses it; it was being committed.
        DiskError: it is no overlay, or damaged.
    """
    store = OverlayStore.open(path, readonly=False)
    try:
        if store.header.state == COMMITTING and not force:
            raise _half_done(path)
        _remove(path)
    finally:
        store.close()


def _half_done(path: str) -> VfsError:
    why = f"{path} was being committed, and its image is half done; rumpfs overlay commit {path} finishes it"
    return VfsError(errno.EBUSY, why)


def _remove(path: str) -> None:
    """Remove an overlay's file. Errors: VfsError."""
    try:
        remove(path)
    except OSError as error:
        raise VfsError(errno.from_oserror(error), f"{path}: {error.strerror}") from error


def differences(path: str, image: str = "") -> Iterator[tuple[int, int]]:
    """Yield (offset, bytes) of what is different in an image and its overlay, in whole blocks.

    Raises:
        VfsError, DiskError: as `commit`.
    """
    with opened(path, image, readonly=True, lock=False) as (store, base):
        start = stop = 0
        for offset, nbytes in _different(store, base):
            if offset != stop:
                if stop:
                    yield start, stop - start
                start = offset
            stop = offset + nbytes
        if stop:
            yield start, stop - start


def _different(store: OverlayStore, base: HostFile) -> Iterator[tuple[int, int]]:
    for offset, nbytes in _pieces(store):
        ours, theirs = store.pread(nbytes, offset), base.pread(nbytes, offset)
        if ours == theirs:
            continue
        for first in range(0, nbytes, BLOCK_SIZE):
            block = ours[first : first + BLOCK_SIZE]
            if block != theirs[first : first + BLOCK_SIZE]:
                yield offset + first, len(block)


def _pieces(store: OverlayStore) -> Iterator[tuple[int, int]]:
    """Yield (offset, bytes) of what is in an overlay, no more than `_PIECE` bytes each."""
    for start, nbytes in store.map.runs():
        for offset in range(start, start + nbytes, _PIECE):
            yield offset, min(_PIECE, start + nbytes - offset)


def _copy(store: OverlayStore, base: HostFile, offset: int, nbytes: int) -> None:
    """Copy bytes from an overlay to its image. Errors: VfsError."""
    data = memoryview(store.pread(nbytes, offset))
    done = 0
    while done < nbytes:
        done += base.pwrite(data[done:], offset + done)
