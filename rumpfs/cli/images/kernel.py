"""A kernel of this process around the file system of an image, for what goes through system calls."""

from __future__ import annotations

from typing import Final

from rumpfs.base.registry import solve
from rumpfs.cli.images.direct import DirectTransport
from rumpfs.kern.kernel import Kernel
from rumpfs.vfs.mount import Mount, Vfs

_COMPONENTS: Final = ("rumpvfs", "rumpdev", "rumpdev_disk", "rumpfs_ffs")
#: what the image is called there
_FROM: Final = b"/dev/image"


class ImageKernel:
    """A kernel that has nothing mounted yet.

    Attributes:
        vfs: its mounts.
    """

    vfs: Vfs

    def __init__(self) -> None:
        self._kernel = Kernel(1, None, False, lambda _: None)
        for component in solve(_COMPONENTS, bind_now=True):
            self._kernel.add(component)
        self._kernel.boot()
        assert self._kernel.vfs is not None
        self.vfs = self._kernel.vfs

    def enter(self, mp: Mount) -> DirectTransport:
        """Make a mounted file system the root; return the way to a process that works there."""
        mp.mnt_onto, mp.mnt_from = b"/", _FROM
        self.vfs.enter(mp, self.vfs.rootvnode)
        p = self._kernel.spawn(b"rumpfs")
        p.set_root(mp.mnt_root)
        p.chdir(mp.mnt_root)
        return DirectTransport(p)

    def halt(self) -> None:
        """Unmount everything.

        Errors:
            VfsError: not everything could be written.
        """
        try:
            self.vfs.unmount_all()
        finally:
            self._kernel.reboot(0)
