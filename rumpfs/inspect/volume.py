"""The file system in an image, opened for reading: its inodes, its names and what its files hold."""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType
from typing import Final, Self

from rumpfs.abi import errno
from rumpfs.abi.limits import MAXSYMLINKS, PATH_MAX
from rumpfs.abi.mount import MNT_FORCE, MNT_RDONLY
from rumpfs.abi.stat import makedev
from rumpfs.base.errors import VfsError
from rumpfs.base.memory import Memory
from rumpfs.dev.window import Window
from rumpfs.fs.ffs.directory import FfsDir
from rumpfs.fs.ffs.inode import Inode
from rumpfs.fs.ffs.lookup import DirDamage, read_entries
from rumpfs.fs.ffs.readwrite import HOLE, DataInode
from rumpfs.fs.ffs.vfsops import mount_window
from rumpfs.fs.ffs.vnops import FfsLnk
from rumpfs.ondisk.ufs.fs import ROOTINO
from rumpfs.vfs.mount import Vfs
from rumpfs.vfs.vnode import VLNK

__all__ = ["DISK", "HOLE", "Volume", "entries", "extents", "read_into"]

#: st_dev of the files: the first disk of a rump kernel
DISK: Final = makedev(197, 0)


class Volume:
    """A file system, opened for reading.

    A log that was not replayed is replayed in memory; the image stays as it is.

    Args:
        window: where it is; closed with the volume, also when this fails.
        force: do without a log that is damaged, and take a superblock whose check hash is wrong.

    Attributes:
        fs: its superblock.
        window: its device, as it is with the log replayed.
        mp: the mount, with everything else.

    Raises:
        VfsError: EINVAL: there is no superblock, or a damaged one; EFTYPE: the log is damaged; EIO: the root
            directory is; what the host says.
    """

    def __init__(self, window: Window, *, force: bool = False) -> None:
        try:
            self.mp = mount_window(Vfs(Memory()), window, DISK, MNT_RDONLY | (MNT_FORCE if force else 0))
        except BaseException:
            window.close()
            raise
        self.fs = self.mp.um_fs
        self.window = self.mp.um_window

    def close(self) -> None:
        """Close the image."""
        self.mp.unmount(MNT_FORCE)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- files ------------------------------------------------------------------------------------

    @property
    def root(self) -> FfsDir:
        """The root directory."""
        vp = self.inode(ROOTINO)
        assert isinstance(vp, FfsDir)
        return vp

    def inode(self, ino: int) -> Inode:
        """Return the vnode of an inode in use.

        Raises:
            VfsError: ENOENT: there is no such inode; EIO: it is free, or damaged.
        """
        if not ROOTINO <= ino < self.fs.maxino:
            raise VfsError(errno.ENOENT, f"{self.fs.where}: there is no inode {ino}")
        return self.mp.vget(ino)

    def lookup(self, path: bytes, follow: bool = True) -> Inode:
        """Return what a path leads to; symbolic links lead within the volume.

        Args:
            path: from the root, with or without a slash at its start.
            follow: also when the last component is a symbolic link.

        Raises:
            VfsError: ENOENT, ENOTDIR, ENAMETOOLONG, ELOOP; EIO.
        """
        if len(path) > PATH_MAX:
            raise VfsError(errno.ENAMETOOLONG, path[:64].decode("utf-8", "replace"))
        vp: Inode = self.root
        above: list[Inode] = []
        pending = _components(path)
        links = 0
        while pending:
            name = pending.pop()
            if not isinstance(vp, FfsDir):
                raise VfsError(errno.ENOTDIR)
            if name == b"..":
                vp = above.pop() if above else vp
                continue
            below = vp.lookup(name)
            if below is None:
                raise VfsError(errno.ENOENT)
            if isinstance(below, FfsLnk) and (follow or pending):
                links += 1
                if links > MAXSYMLINKS:
                    raise VfsError(errno.ELOOP)
                target = below.readlink()
                pending += _components(target)
                if target.startswith(b"/"):
                    vp, above = self.root, []
                continue
            above.append(vp)
            vp = below
        return vp


def _components(path: bytes) -> list[bytes]:
    """Return the components of a path, the last one first."""
    return [name for name in reversed(path.split(b"/")) if name not in (b"", b".")]


def entries(dp: FfsDir) -> list[tuple[bytes, int, int]]:
    """Return (name, inode, DT_ type) of what is in a directory, without ``.`` and ``..``.

    What is damaged is logged and left out.
    """
    found = read_entries(dp, 0, dp.i_size, DirDamage(dp.v_mount))
    return [(name, ino, dtype) for _, ino, dtype, name in found if name not in (b".", b"..")]


def extents(vp: Inode) -> Iterator[tuple[int, int, int]]:
    """Yield (offset, address, bytes) of the runs that hold a file, in order.

    The address is a byte of the volume, HOLE for a hole. What has no blocks has no runs.

    Raises:
        Corrupt: the map leads out of the file system.
    """
    fs = vp.v_mount.um_fs
    if not isinstance(vp, DataInode) or (
        vp.v_type == VLNK and fs.is_fast_symlink(vp.i_size, vp.dinode.di_blocks)
    ):
        return
    offset = 0
    while offset < vp.i_size:
        stop, address = vp.extent(offset, vp.i_size)
        yield offset, address, stop - offset
        offset = stop


def read_into(vp: DataInode, view: memoryview, offset: int) -> int:
    """Fill a buffer of bytes from an offset of a file on; return how many, fewer only at its end.

    Raises:
        Corrupt: the map leads out of the file system.
        VfsError: what the host says.
    """
    end = min(offset + len(view), vp.i_size)
    position = offset
    while position < end:
        stop, address = vp.extent(position, end)
        stop = min(stop, end)
        piece = view[position - offset : stop - offset]
        if address == HOLE:
            piece[:] = bytes(len(piece))
        else:
            vp.v_mount.preadv([piece], address)
        position = stop
    return max(0, end - offset)
