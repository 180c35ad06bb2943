"""Devices: the switch from device numbers to drivers (NetBSD: miscfs/specfs, kern/subr_devsw.c)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final, TypeAlias

from rumpfs.abi import errno
from rumpfs.abi.event import EVFILT_READ, EVFILT_WRITE
from rumpfs.abi.poll import POLLIN, POLLOUT, POLLRDNORM
from rumpfs.abi.stat import major, minor
from rumpfs.base.copy import Buffer, Data
from rumpfs.base.errors import VfsError
from rumpfs.vfs.vnode import VBLK, Vnode

if TYPE_CHECKING:
    from rumpfs.dev.window import Window


_ALWAYS: Final = POLLIN | POLLOUT | POLLRDNORM


class Device:
    """An opened device. Drivers subclass it."""

    #: bytes, for what has a size
    size = 0
    #: written data is thrown away unseen
    discards = False
    #: filters that kqueue has of it, and what each reports as data at any time (seltrue_kqfilter)
    filters: Mapping[int, int] = {EVFILT_READ: 0, EVFILT_WRITE: 0}
    closed = False

    def read(self, offset: int, length: int) -> Data:
        """Return at most `length` bytes at `offset`."""
        raise VfsError(errno.ENODEV)

    def write(self, offset: int, data: Buffer) -> int:
        """Store `data` at `offset`; return the number of bytes taken."""
        raise VfsError(errno.ENODEV)

    def ioctl(self, command: int, data: bytes) -> bytes:
        """Carry out a command and return its output structure. Errors: ENOTTY."""
        raise VfsError(errno.ENOTTY)

    def fsync(self) -> None:
        """Bring what was written to stable storage."""

    def poll(self, events: int) -> int:
        """Return which of the POLL* `events` are the case: nothing waits here (seltrue)."""
        return events & _ALWAYS

    def close(self) -> None:
        """The last descriptor is gone."""
        self.closed = True


class Disk(Device):
    """A device with a window on a host file behind it: what a file system is mounted from."""

    window: Window


#: open(minor, vtype, flags) -> Device; flags are FREAD and FWRITE
Driver: TypeAlias = Callable[[int, int, int], Device]


class Devsw:
    """Drivers by type (VBLK, VCHR) and major number."""

    def __init__(self) -> None:
        self._drivers: dict[tuple[int, int], Driver] = {}
        # Device number -> the block device that was opened last.
        self._blocks: dict[int, Device] = {}

    def attach(self, vtype: int, number: int, driver: Driver) -> None:
        """Enter the driver of a major number (devsw_attach)."""
        self._drivers[vtype, number] = driver

    def open(self, vp: Vnode, flags: int) -> Device:
        """Open the device that a VBLK or VCHR vnode stands for (spec_open).

        A block device is open once at a time, for a descriptor or for a mount, whatever node names it.

        Errors: ENXIO: no driver; EBUSY: an open block device; ENXIO: no such unit; EROFS.
        """
        rdev = vp.rdev()
        driver = self._drivers.get((vp.v_type, major(rdev)))
        if driver is None:
            raise VfsError(errno.ENXIO)
        if vp.v_type != VBLK:
            return driver(minor(rdev), vp.v_type, flags)
        present = self._blocks.get(rdev)
        if present is not None and not present.closed:
            raise VfsError(errno.EBUSY, "the block device is open")
        device = self._blocks[rdev] = driver(minor(rdev), vp.v_type, flags)
        return device

    def open_disk(self, vp: Vnode, flags: int) -> Disk:
        """Open a block device for a file system. Errors: ENOTBLK, and those of `open`."""
        if vp.v_type != VBLK:
            raise VfsError(errno.ENOTBLK)
        device = self.open(vp, flags)
        if not isinstance(device, Disk):
            device.close()
            raise VfsError(errno.ENXIO)
        return device
