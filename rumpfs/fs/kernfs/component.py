"""The component `rumpfs_kernfs` (NetBSD: sys/rump/fs/lib/libkernfs)."""

from __future__ import annotations

from typing import Any

from rumpfs.base.component import Component, Phase
from rumpfs.fs.kernfs.vfsops import KernfsOps


class _Tree:
    """A kernel's sysctl tree, as the kernel itself reads and sets it."""

    def __init__(self, kernel: Any) -> None:
        self._kernel = kernel

    def _node(self, mib: tuple[int, ...]) -> Any:
        return self._kernel.sysctl.locate(mib)[0]

    def get(self, mib: tuple[int, ...]) -> bytes:
        value: bytes = self._node(mib).read(self._kernel.initproc)
        return value

    def set(self, mib: tuple[int, ...], value: bytes) -> None:
        self._node(mib).write(self._kernel.initproc, value)


def _init(kernel: Any) -> None:
    kernel.vfs.attach(KernfsOps(_Tree(kernel)))


COMPONENT = Component("rumpfs_kernfs", Phase.FS, ("rumpvfs",), _init, module="kernfs")
