"""Opening the image that an address means."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from rumpfs.abi import errno
from rumpfs.base.address import AddressError, parse_image
from rumpfs.base.errors import DiskError, VfsError
from rumpfs.cli.progress import Unpacking
from rumpfs.cli.tool import FAILED, USAGE, Failure
from rumpfs.dev.image import open_image
from rumpfs.dev.window import Window


@contextmanager
def opened(
    text: str, readonly: bool, wrong: int = USAGE, failed: int = FAILED, overlay: str = ""
) -> Iterator[Window]:
    """Open an image for as long as the block runs, and say what is wrong when it cannot be used.

    Args:
        text: its address.
        readonly: do not ask for write permission.
        wrong, failed: exit statuses when it is no address, and when anything else is wrong.
        overlay: host path of a copy-on-write overlay of it; empty for none.

    Errors:
        Failure: as the text of the error says, also for errors in the block.
    """
    try:
        image = parse_image(text)
    except AddressError as error:
        raise Failure(str(error), wrong) from error
    with reported(text, image.path, failed):
        window = open_image(image.path, image.part, image.offset, readonly, overlay, progress=Unpacking())
        try:
            yield window
        finally:
            window.close()


@contextmanager
def reported(text: str, path: str, status: int = FAILED) -> Iterator[None]:
    """Say what is wrong with an image when the block fails.

    Args:
        text: its address.
        path: its path on the host.
        status: exit status.

    Errors:
        Failure.
    """
    try:
        yield
    except VfsError as error:
        why = error.why if error.why not in ("", path) else errno.strerror(error.errno)
        if error.errno == errno.ENOENT:
            why += _near(path)
        raise Failure(why if why.startswith(path) else f"{text}: {why}", status) from error
    except DiskError as error:
        raise Failure(str(error), status) from error
    except OSError as error:
        raise Failure(f"{error.filename or text}: {error.strerror or error}", status) from error


def _near(path: str) -> str:
    """Return what may be meant by a path at which there is nothing; empty when that is not known."""
    for mark in ":@":
        head, separator, rest = path.rpartition(mark)
        if separator and os.path.isfile(head):
            return f": {head} is there, but {mark}{rest} is no partition (:a, :2, :s2a) and no offset (@1m)"
    return ""
