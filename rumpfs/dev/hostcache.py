"""Files that are kept on the host between runs: images that were unpacked, pieces of images elsewhere.

They are in RUMPFS_CACHE, or else below XDG_CACHE_HOME. What was not used for longest is removed when all of
it is more than RUMPFS_CACHE_SIZE. A file is locked, shared, while it is in use; it is not removed then.
"""

from __future__ import annotations

import fcntl
import os
from typing import Final

from rumpfs.abi import errno
from rumpfs.base.errors import VfsError
from rumpfs.base.sizes import SizeError, parse_size

#: environment variables: the directory, and the bytes that its files may have on the host's disk
DIRECTORY: Final = "RUMPFS_CACHE"
SIZE: Final = "RUMPFS_CACHE_SIZE"
_DEFAULT: Final = 20 << 30
_SUFFIX: Final = ".cache"
_PART: Final = ".part"


def directory() -> str:
    """Return the directory, which is made when it is missing.

    Raises:
        VfsError: what the host says.
    """
    home = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    path = os.environ.get(DIRECTORY) or os.path.join(home, "rumpfs")
    try:
        os.makedirs(path, 0o700, exist_ok=True)
    except OSError as error:
        raise VfsError(
            errno.from_oserror(error), f"{path}: {error.strerror}; {DIRECTORY} names another directory"
        ) from error
    return path


def limit() -> int:
    """Return how many bytes there may be.

    Raises:
        VfsError: EINVAL: the environment says nonsense.
    """
    text = os.environ.get(SIZE)
    try:
        return parse_size(text, SIZE) if text else _DEFAULT
    except SizeError as error:
        raise VfsError(errno.EINVAL, str(error)) from error


def place(*facts: object) -> str:
    """Return the path of the file that is kept for something; it need not be there.

    Args:
        facts: what makes it what it is.
    """
    from hashlib import sha256

    key = sha256("\0".join(map(str, facts)).encode("utf-8", "surrogateescape")).hexdigest()
    return os.path.join(directory(), key[:40] + _SUFFIX)


def used(path: str) -> None:
    """Take note that a file is used now."""
    try:
        os.utime(path)
    except OSError:
        pass  # another process has removed it, or it is not ours: it still is what it is


def allocated(facts: os.stat_result) -> int:
    """Return the bytes that a file takes on the host's disk."""
    return facts.st_blocks * 512


def trim(keep: str = "") -> None:
    """Remove what was not used for longest, until the rest is within the limit.

    Args:
        keep: a path that stays.

    Raises:
        VfsError: what the host says; EINVAL as `limit`.
    """
    bound = limit()
    found = []
    with os.scandir(directory()) as entries:
        for entry in entries:
            if entry.name.endswith((_SUFFIX, _PART)) and entry.is_file(follow_symlinks=False):
                facts = entry.stat(follow_symlinks=False)
                found.append((facts.st_mtime_ns, entry.path, allocated(facts)))
    total = sum(size for _, _, size in found)
    for _, path, size in sorted(found):
        if total <= bound:
            return
        if path != keep and _remove(path):
            total -= size


def _remove(path: str) -> bool:
    """Remove a file unless somebody uses it; return whether it is gone."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.unlink(path)
    except OSError:
        return False
    finally:
        os.close(fd)
    return True


class Making:
    """A file that is being made, by one process at a time; others wait. A context manager.

    Args:
        path: what it will be called.

    Attributes:
        fd: it, empty; for reading and writing.
        made: another process has made it meanwhile.

    Raises:
        VfsError: what the host says.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._part = path + _PART
        self.made = False

    def __enter__(self) -> Making:
        try:
            while True:
                self.fd = os.open(self._part, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
                fcntl.flock(self.fd, fcntl.LOCK_EX)
                if _is(self.fd, self._part):
                    break
                os.close(self.fd)  # whoever held the lock has finished it or given it up
            self.made = os.path.exists(self.path)
            os.ftruncate(self.fd, 0)
        except OSError as error:
            raise VfsError(errno.from_oserror(error), f"{self._part}: {error.strerror}") from error
        return self

    def finish(self) -> None:
        """Give the file its name. Raises: VfsError: what the host says."""
        try:
            os.fsync(self.fd)
            os.rename(self._part, self.path)
        except OSError as error:
            raise VfsError(errno.from_oserror(error), f"{self.path}: {error.strerror}") from error

    def __exit__(self, *_: object) -> None:
        try:
            if _is(self.fd, self._part):
                os.unlink(self._part)
        finally:
            os.close(self.fd)


def _is(fd: int, path: str) -> bool:
    """Whether a path is the open file."""
    try:
        there = os.stat(path)
    except OSError:
        return False
    here = os.fstat(fd)
    return (there.st_dev, there.st_ino) == (here.st_dev, here.st_ino)
