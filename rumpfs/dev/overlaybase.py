"""The image under an overlay: how it is recognised, and what is done when it has changed."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final

from rumpfs.abi import errno
from rumpfs.base.errors import DiskError, VfsError
from rumpfs.dev.hostfile import HostFile
from rumpfs.ondisk.overlay import BLOCK_SHIFT, BLOCK_SIZE, COMMITTING, Header

#: Blocks that a fingerprint is made of: at the beginning, where labels and superblocks are; at the end,
#: where the copy of a GPT is; and evenly spread in between.
_HEAD: Final = 64
_TAIL: Final = 16
_SPREAD: Final = 64

#: ``mapped(block)`` tells whether the overlay has a block.
Mapped = Callable[[int], bool]


class BaseChanged(DiskError):
    """The image is not what the overlay was made of."""

    errno = errno.ESTALE


def modified(base: HostFile) -> int:
    """Return when an image was modified, in nanoseconds; 0 of a device. Errors: what the host says."""
    if not base.is_regular:
        return 0
    try:
        return os.fstat(base.fd).st_mtime_ns
    except OSError as error:
        raise VfsError(errno.from_oserror(error), base.path) from error


def fingerprint(base: HostFile, size: int, mapped: Mapped = lambda block: False) -> bytes:
    """Return the SHA-256 of samples of an image.

    Args:
        size: of the image, in bytes.
        mapped: tells which blocks are left out.

    Raises:
        VfsError: what the host says.
    """
    from hashlib import sha256  # loads OpenSSL, which few need

    count = -(-size // BLOCK_SIZE)
    blocks = {*range(min(count, _HEAD)), *range(max(0, count - _TAIL), count)}
    blocks.update(number * count // _SPREAD for number in range(_SPREAD))
    digest = sha256(size.to_bytes(8, "little"))
    for block in sorted(blocks):
        if not mapped(block):
            digest.update(block.to_bytes(8, "little"))
            digest.update(base.pread(min(BLOCK_SIZE, size - (block << BLOCK_SHIFT)), block << BLOCK_SHIFT))
    return digest.digest()


def difference(base: HostFile, header: Header, mapped: Mapped) -> str:
    """Return how an image differs from what an overlay was made of; empty when it does not.

    Args:
        mapped: tells which blocks the overlay has; those differ while it is being committed.

    Raises:
        VfsError: what the host says.
    """
    if base.size != header.size:
        return f"it has {base.size} bytes, and had {header.size}"
    committing = header.state == COMMITTING
    samples = fingerprint(base, header.size, mapped) if committing else fingerprint(base, header.size)
    if samples != header.fingerprint:
        return "its content is another"
    if not committing and modified(base) != header.mtime_ns:
        return "it has been modified, or copied, at another time"
    return ""


def check(base: HostFile, header: Header, mapped: Mapped, overlay: str, remedy: str = "") -> None:
    """Check that an image is what an overlay was made of.

    Args:
        remedy: what helps; when it is empty, to take the image as it is.

    Raises:
        BaseChanged: it is not.
        VfsError: what the host says.
    """
    if why := difference(base, header, mapped):
        remedy = remedy or f"rumpfs overlay rebase --force {overlay} {base.path} takes it as it is"
        where = f"{overlay}: the image {base.path} has changed since the overlay was made"
        raise BaseChanged(where, f"{why}; {remedy}, rumpfs overlay drop {overlay} removes the overlay")
