"""The component `rumpfs_nullfs` (NetBSD: sys/rump/fs/lib/libnullfs)."""

from __future__ import annotations

from typing import Any

from rumpfs.base.component import Component, Phase
from rumpfs.fs.nullfs.vfsops import NullOps


def _init(kernel: Any) -> None:
    kernel.vfs.attach(NullOps())


COMPONENT = Component("rumpfs_nullfs", Phase.FS, ("rumpvfs",), _init, module="null")
