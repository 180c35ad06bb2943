"""Mounting a tree on the host, serving it, and the end of that."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Collection
from typing import Any

import pyfuse3

from rumpfs.base.errors import VfsError
from rumpfs.fuse.crew import Crew
from rumpfs.fuse.handlers import Handlers
from rumpfs.fuse.invalidate import Invalidator
from rumpfs.fuse.kernel_tree import KernelTree
from rumpfs.fuse.loop import Company, fast, serve
from rumpfs.fuse.nodes import Shown
from rumpfs.fuse.operations import Operations
from rumpfs.fuse.tree import Tree
from rumpfs.vfs.vnode import Vnode

log = logging.getLogger(__name__)


class MountError(Exception):
    """The host does not mount; the text says why as far as it is known."""


class Face:
    """A tree, mounted on a directory of the host. There is at most one in a process.

    Args:
        tree: what is mounted.
        mountpoint: a directory of the host.
        shown: how files are shown.
    """

    def __init__(self, tree: Tree[Any, Any], mountpoint: str, shown: Shown) -> None:
        self.mountpoint = os.path.abspath(mountpoint)
        self.tree = tree
        self.operations: Operations[Any, Any] = Operations(tree, shown)
        self._invalidator = Invalidator()
        self._crew = Crew(tree.interrupt) if tree.waits and fast() else None
        self._mounted = False
        self._started: Callable[[], None] = _nothing
        if isinstance(tree, KernelTree):
            tree.changed = self._changed
            tree.remounted = self._remounted

    def mount(self, options: Collection[str]) -> None:
        """Mount.

        Args:
            options: libfuse's, as ``fsname=disk.img``; ``default_permissions`` is always there.

        Errors:
            MountError.
        """
        handlers = Handlers(self.operations, lambda: self._started(), crew=self._crew is not None)
        try:
            pyfuse3.init(handlers, self.mountpoint, {"default_permissions", *options})
        except RuntimeError as error:
            raise MountError(f"cannot mount on {self.mountpoint}") from error
        self._mounted = True

    async def run(self, started: Callable[[], None] | None = None, company: Company | None = None) -> None:
        """Serve until the mount is gone.

        Args:
            started: called when the mount can be used.
            company: who else runs in this event loop.
        """
        self._started = started or _nothing
        if self._crew is not None:
            await self._crew.serve()
        else:
            callouts = self.tree.callouts if isinstance(self.tree, KernelTree) else None
            await serve(self.tree.waits, company, callouts)

    def stop(self) -> None:
        """Let `run` end; the mount is taken away by `close`."""
        pyfuse3.terminate()

    def close(self) -> None:
        """Unmount, if nobody has done that, and let go of everything."""
        if self._mounted:
            self._mounted = False
            pyfuse3.close(unmount=True)
        self._invalidator.close()
        try:
            self.operations.close()
        except VfsError as error:
            log.warning("%s: closing what was open failed: %s", self.mountpoint, error)
        self.tree.release()

    # --- what others change -------------------------------------------------------------------------

    def _changed(self, vp: Vnode, names: tuple[bytes, ...]) -> None:
        node = self.operations.nodes.get(vp)
        if node is None:
            return
        stale = [(node.ino, name) for name in names]
        if node.told:
            node.told = False
            stale.append((node.ino, b""))
        if stale:
            self._invalidator.tell(stale)

    def _remounted(self, vp: Vnode) -> None:
        """Something was mounted on the directory `vp`, or unmounted: the host is to look it up again."""
        node = self.operations.nodes.get(vp)
        if node is not None and node.where is not None:
            self._invalidator.tell([node.where])


def _nothing() -> None:
    """Nobody wants to know."""
