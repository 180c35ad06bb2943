"""A host file that takes lines as they come, and must not be able to harm whoever writes them."""

from __future__ import annotations

import logging
import os

log = logging.getLogger(__name__)


class LineFile:
    """Takes lines, each with one write(2); the first that cannot be written is the last.

    Args:
        fd: descriptor, which becomes the file's own.
        name: what the warning calls it.
    """

    def __init__(self, fd: int, name: str) -> None:
        self._fd = fd
        self._name = name

    @classmethod
    def create(cls, path: str) -> LineFile:
        """Return a file made anew, for its owner only; ``-`` is standard error.

        Errors: OSError.
        """
        if path == "-":
            return cls(os.dup(2), "standard error")
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC | os.O_NOCTTY
        return cls(os.open(path, flags, 0o600), path)

    @property
    def lost(self) -> bool:
        """Whether nothing can be written any more."""
        return self._fd < 0

    def line(self, text: str) -> None:
        """Write a line; what cannot be written is said once, and nothing is written after it."""
        if self._fd < 0:
            return
        data = os.fsencode(text) + b"\n"
        try:
            while data:
                data = data[os.write(self._fd, data) :]
        except OSError as error:
            log.warning("%s: %s: nothing more is written there", self._name, error.strerror)
            self.close()

    def close(self) -> None:
        """Close the file."""
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1
