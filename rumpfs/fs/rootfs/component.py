"""The component rumpvfs: the vfs, with its root file system (NetBSD: sys/rump/librump/rumpvfs)."""

from __future__ import annotations

from typing import Any

from rumpfs.base.component import Component, Phase
from rumpfs.fs.rootfs.vfsops import RootfsOps, mount_root
from rumpfs.vfs.mount import Vfs


def _init(kernel: Any) -> None:
    kernel.vfs = vfs = Vfs(kernel.memory, kernel.callouts)
    vfs.attach(RootfsOps())
    vfs.keys = mount_root(vfs)


COMPONENT = Component("rumpvfs", Phase.VFS, (), _init)
