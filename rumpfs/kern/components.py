"""The components of the kernel's own devices (NetBSD: sys/rump/dev/librumpdev, sys/rump/dev/lib/libdisk)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rumpfs.base.component import Component, Phase
from rumpfs.kern import rumpblk

if TYPE_CHECKING:
    from rumpfs.kern.kernel import Kernel


def _dev_init(kernel: Kernel) -> None:
    """The device faction has nothing of its own to initialise: the switch belongs to the vfs."""


def _disk_init(kernel: Kernel) -> None:
    if kernel.vfs is not None:
        rumpblk.attach(kernel.vfs.devsw, kernel.etfs)


RUMPDEV = Component("rumpdev", Phase.DEV, (), _dev_init)
RUMPDEV_DISK = Component("rumpdev_disk", Phase.DEV, ("rumpdev",), _disk_init)
