"""The component `rumpfs_tmpfs`."""

from __future__ import annotations

from typing import Any

from rumpfs.base.component import Component, Phase
from rumpfs.fs.tmpfs.vfsops import TmpfsOps


def init(kernel: Any) -> None:
    """Enter tmpfs in the kernel's table of file systems."""
    kernel.vfs.attach(TmpfsOps())


COMPONENT = Component("rumpfs_tmpfs", Phase.FS, ("rumpvfs",), init, module="tmpfs")
