"""The component rumpfs_ffs (NetBSD: sys/rump/fs/lib/libffs)."""

from __future__ import annotations

from typing import Any

from rumpfs.base.component import Component, Phase
from rumpfs.fs.ffs.vfsops import FfsOps


def _init(kernel: Any) -> None:
    kernel.vfs.attach(FfsOps())


COMPONENT = Component("rumpfs_ffs", Phase.FS, ("rumpvfs", "rumpdev_disk"), _init, module="ffs")
