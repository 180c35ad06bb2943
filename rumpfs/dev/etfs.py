"""The registry of etfs keys: paths in the rump kernel that are host files.

Looking a key up during namei and the vnodes of keys are not here. Sources: rump_etfs(3), NetBSD
sys/rump/librump/rumpvfs/rumpfs.c and sys/rump/dev/lib/libdisk/rumpblk.c.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from rumpfs.abi import errno
from rumpfs.base.errors import VfsError
from rumpfs.dev.drive import OpenedDrive
from rumpfs.dev.drivespec import DriveType
from rumpfs.dev.window import Window

#: Block and character devices at one time (RUMPBLK_SIZE).
MAX_DEVICES = 16
#: Device major of rumpblk, block and character.
RUMPBLK_MAJOR = 197


def shown(key: bytes) -> str:
    """Return how a message names a key."""
    return f"etfs key {os.fsdecode(key)}"


@dataclass(slots=True)
class EtfsEntry:
    """A registered key.

    Attributes:
        key: without its leading slashes.
        type: what the key is.
        window: its bytes; a size of 0 is the whole host file, for ``reg`` only.
        minor: device minor of a ``blk`` or ``chr`` key; None for ``reg``.
        registered: time of registration, nanoseconds since the epoch: all times of the node.
        users: vnodes that refer to it now; a key in use cannot be removed.
    """

    key: bytes
    type: DriveType
    window: Window
    minor: int | None
    registered: int
    users: int = 0


class EtfsTable:
    """The keys of one kernel.

    Args:
        now: returns the time in nanoseconds since the epoch.

    Attributes:
        added, removed: told of each key after it has come, and after it is gone.
    """

    def __init__(self, now: Callable[[], int] = time.time_ns) -> None:
        self._now = now
        self.added: list[Callable[[EtfsEntry], None]] = []
        self.removed: list[Callable[[EtfsEntry], None]] = []
        self._entries: dict[bytes, EtfsEntry] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[EtfsEntry]:
        return iter(self._entries.values())

    def register(self, key: bytes, window: Window, kind: DriveType = "blk") -> EtfsEntry:
        """Register a key for a window, which the registry closes when the key is removed.

        Raises:
            VfsError: EINVAL when the key does not start with a slash, or a device has no bytes; EEXIST when
                the key is registered; EBUSY when there are MAX_DEVICES devices.
        """
        if not key.startswith(b"/"):
            raise VfsError(errno.EINVAL, f"{shown(key)} does not start with a slash")
        name = key.lstrip(b"/")
        if name in self._entries:
            raise VfsError(errno.EEXIST, shown(key))
        minor = None
        if kind != "reg":
            if not window.size:
                raise VfsError(errno.EINVAL, f"{shown(key)}: {window.name} is empty")
            minor = self._free_minor()
        entry = EtfsEntry(name, kind, window, minor, self._now())
        self._entries[name] = entry
        for tell in self.added:
            tell(entry)
        return entry

    def register_drive(self, drive: OpenedDrive) -> EtfsEntry:
        """Register an opened drive under its key.

        Raises:
            VfsError: as `register`; the drive stays the caller's then.
        """
        return self.register(drive.spec.key, drive.window, drive.spec.type)

    def _free_minor(self) -> int:
        used = {entry.minor for entry in self._entries.values()}
        for minor in range(MAX_DEVICES):
            if minor not in used:
                return minor
        raise VfsError(errno.EBUSY, f"there are {MAX_DEVICES} etfs devices already")

    def lookup(self, path: bytes) -> EtfsEntry | None:
        """Return the entry whose key is the whole path, byte for byte after the leading slashes."""
        return self._entries.get(path.lstrip(b"/"))

    def device(self, minor: int) -> EtfsEntry | None:
        """Return the block or character device with a minor number."""
        return next((entry for entry in self._entries.values() if entry.minor == minor), None)

    def remove(self, key: bytes) -> None:
        """Forget a key and close its window.

        Raises:
            VfsError: ENOENT when there is no such key; EBUSY when it is in use.
        """
        entry = self.lookup(key)
        if entry is None:
            raise VfsError(errno.ENOENT, shown(key))
        if entry.users:
            raise VfsError(errno.EBUSY, f"{shown(key)} is in use")
        del self._entries[entry.key]
        entry.window.close()
        for tell in self.removed:
            tell(entry)

    def close_all(self) -> None:
        """Forget all keys and close their windows, used or not: the kernel is going down."""
        for entry in self._entries.values():
            entry.window.close()
        self._entries.clear()
