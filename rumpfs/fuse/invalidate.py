"""Telling the host what clients of the kernel have changed, so that it drops what it has in its caches.

The calls for that may block until the host has carried out a request of its own, which this process has to
answer; so a thread makes them.
"""

from __future__ import annotations

import logging
import threading
from typing import Final

import pyfuse3

log = logging.getLogger(__name__)

#: seconds that a change waits for the host to have heard of it; it takes some 30 us, and more only while the
#: host is in the middle of something with the same file
PATIENCE: Final = 0.005

#: an inode number; with a name, that name in the directory of this number
Stale = tuple[int, bytes]


class Invalidator:
    """A thread that tells the host. What waits to be told is told once."""

    def __init__(self) -> None:
        self._stale: dict[Stale, None] = {}
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._busy = False
        self._stuck = False  # it took too long, and nothing has been told since
        self._over = False

    def tell(self, stale: list[Stale]) -> None:
        """Have the host told, and wait a moment for that."""
        with self._changed:
            if self._over:
                return
            self._stale.update(dict.fromkeys(stale))
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="fuse-invalidate", daemon=True)
                self._thread.start()
            self._changed.notify_all()
            if not self._stuck:
                self._stuck = not self._changed.wait_for(self._idle, PATIENCE)

    def _idle(self) -> bool:
        return not self._stale and not self._busy

    def close(self) -> None:
        """Tell nothing more. To be called when the mount is gone, so that no call blocks any longer."""
        with self._changed:
            self._over = True
            self._stale.clear()
            self._changed.notify_all()
            thread = self._thread
        if thread is not None:
            thread.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._busy = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._stale or self._over)
                if self._over:
                    return
                stale = next(iter(self._stale))
                del self._stale[stale]
                self._busy = True
            self._invalidate(*stale)
            self._stuck = False

    def _invalidate(self, ino: int, name: bytes) -> None:
        try:
            if name:
                pyfuse3.invalidate_entry(ino, name)
            else:
                pyfuse3.invalidate_inode(ino)
        except FileNotFoundError:
            pass  # the host has not heard of it, or has forgotten it
        except OSError as error:
            log.debug("inode %d, name %r: the host was not told: %s", ino, name, error)
