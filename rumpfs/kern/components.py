"""The components of the kernel's own devices and sockets (NetBSD: sys/rump/dev, sys/rump/net)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rumpfs.base.component import Component, Phase
from rumpfs.kern import rumpblk
from rumpfs.kern.uipc_usrreq import SocketTable

if TYPE_CHECKING:
    from rumpfs.kern.kernel import Kernel


def _dev_init(kernel: Kernel) -> None:
    """The device faction has nothing of its own to initialise: the switch belongs to the vfs."""


def _disk_init(kernel: Kernel) -> None:
    if kernel.vfs is not None:
        rumpblk.attach(kernel.vfs.devsw, kernel.etfs)


RUMPDEV = Component("rumpdev", Phase.DEV, (), _dev_init)
RUMPDEV_DISK = Component("rumpdev_disk", Phase.DEV, ("rumpdev",), _disk_init)


def _net_init(kernel: Kernel) -> None:
    """The network faction has nothing to initialise: with it the calls of sockets are provided."""


def _local_init(kernel: Kernel) -> None:
    kernel.sockets = SocketTable()


RUMPNET = Component("rumpnet", Phase.DEV, (), _net_init)
RUMPNET_LOCAL = Component("rumpnet_local", Phase.DEV, ("rumpvfs", "rumpnet"), _local_init)
