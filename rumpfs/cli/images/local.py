"""The files of an image: what verbs do in a server, they do there, too.

What only reads needs no kernel. The rest goes through system calls of a kernel of this process, which is
started when something asks for it, and at once for writing.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from io import RawIOBase
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final

from rumpfs.abi import errno
from rumpfs.abi.extattr import EXTATTR_NAMESPACES
from rumpfs.abi.limits import PATH_MAX
from rumpfs.abi.mount import MNT_ASYNC, MNT_FORCE
from rumpfs.base.address import ImageAddress
from rumpfs.base.errors import DiskError, VfsError
from rumpfs.cli.heldlog import held
from rumpfs.cli.images.opening import reported
from rumpfs.cli.places import Scanned, ServerFiles
from rumpfs.cli.progress import Unpacking
from rumpfs.cli.tool import FAILED, Failure
from rumpfs.client.errors import rump_error
from rumpfs.client.raw import Syscalls
from rumpfs.client.records import DirEntry, StatResult, dirents, stat_result
from rumpfs.dev.image import open_image
from rumpfs.dev.window import Window
from rumpfs.fs.ffs.directory import FfsDir
from rumpfs.fs.ffs.inode import Inode
from rumpfs.fs.ffs.readwrite import DataInode
from rumpfs.fs.ffs.ufsmount import FfsMount
from rumpfs.fs.ffs.vfsops import mount_window
from rumpfs.inspect.file import ImageFile
from rumpfs.inspect.volume import DISK, HOLE, Volume, extents
from rumpfs.inspect.walk import Found, Inodes, attributes, directory, entries_of
from rumpfs.vfs.cred import ROOT
from rumpfs.vfs.namei import Acting, namei
from rumpfs.vfs.vnode import VLNK, VREG, Vnode

if TYPE_CHECKING:
    from rumpfs.cli.images.direct import DirectTransport
    from rumpfs.cli.images.kernel import ImageKernel

_NAME: Final = itemgetter(Found._fields.index("name"))
#: bytes of directory read at once
_GETDENTS: Final = 65536


class ImageFiles(ServerFiles):
    """The files of the file system in an image.

    Args:
        image: which image, and what part of it.
        text: its address, for messages.
        writable: mount it for writing.

    Errors:
        Failure: it cannot be opened, or holds no file system that can be mounted so.
    """

    def __init__(self, image: ImageAddress, text: str, writable: bool) -> None:
        self._text = text
        self._closed = False
        self.writable = writable
        self.forgotten: list[int] = []
        self._entered: DirectTransport | None = None
        with reported(text, image.path), held():
            window = open_image(image.path, image.part, image.offset, not writable, progress=Unpacking())
            self._mp = self._mount_writable(window) if writable else Volume(window).mp
        self._inodes = Inodes(self._mp)
        assert self._mp.mnt_root is not None
        self._root = Acting(ROOT, self._mp.mnt_root, self._mp.mnt_root)

    def _mount_writable(self, window: Window) -> FfsMount:
        """Mount for writing, in the kernel that does so."""
        try:
            # What a verb does ends soon: nobody waits for the disk before it does.
            mp = mount_window(self._kernel.vfs, window, DISK, MNT_ASYNC)
        except BaseException:
            window.close()
            raise
        self._entered = self._kernel.enter(mp)
        return mp

    # --- system calls -----------------------------------------------------------------------------

    @cached_property
    def _kernel(self) -> ImageKernel:
        from rumpfs.cli.images.kernel import ImageKernel

        return ImageKernel()

    @cached_property
    def _transport(self) -> DirectTransport:  # type: ignore[override]
        if self._entered is None:
            self._entered = self._kernel.enter(self._mp)
        return self._entered

    @cached_property
    def sys(self) -> Syscalls:  # type: ignore[override]
        """The system calls."""
        return Syscalls(self._transport)  # type: ignore[arg-type]

    # --- reading ----------------------------------------------------------------------------------

    @property
    def where(self) -> str:
        """The image, as it was written."""
        return self._text

    def stat(self, path: Any, *, follow_symlinks: bool = True) -> StatResult:
        """Return the attributes of a path."""
        with self._named(path):
            return stat_result(self._lookup(path, follow_symlinks).stat())

    def lstat(self, path: Any) -> StatResult:
        """Return the attributes of a path; of a symbolic link, its own."""
        return self.stat(path, follow_symlinks=False)

    def readlink(self, path: Any) -> Any:
        """Return what a symbolic link says."""
        with self._named(path):
            vp = self._lookup(path, follow=False)
            if vp.v_type != VLNK:
                raise VfsError(errno.EINVAL)
            return vp.readlink()

    def scandir(self, path: Any = b".") -> list[DirEntry]:
        """Return the entries of a directory without . and .., in its own order; names are bytes."""
        found: list[DirEntry] = []
        with self._named(path):
            vp, offset = self._lookup(path), 0
            while True:
                data, offset = vp.readdir(offset, _GETDENTS)
                if not data:
                    break
                found += dirents(b"".join(data) if isinstance(data, list) else bytes(data))
        return [entry for entry in found if entry.name not in (b".", b"..")]

    def listxattr(self, path: Any, *, follow_symlinks: bool = True) -> list[str]:
        """Return the names of the extended attributes, user.NAME and system.NAME."""
        with self._named(path):
            vp = self._lookup(path, follow_symlinks)
            return [
                f"{prefix}.{os.fsdecode(name)}"
                for prefix, attrnamespace in EXTATTR_NAMESPACES.items()
                for name in vp.listextattr(attrnamespace, ROOT)
            ]

    def scan(
        self, path: bytes, failed: Callable[[bytes, OSError], None], above: Any = None
    ) -> Sequence[Scanned]:
        """Return what is in a directory, by name; see there. Fast, while nobody writes."""
        if self.writable:
            return super().scan(path, failed)
        with self._named(path):
            vp = namei(self._root, path) if above is None else directory(self._mp, above)
        if not isinstance(vp, FfsDir):
            return super().scan(path, failed)

        def damaged(where: bytes, error: DiskError | VfsError) -> None:
            text = error.why if isinstance(error, VfsError) else str(error)
            failed(where[1:], rump_error(error.errno, path.rstrip(b"/") + where, text=text or None))

        found = entries_of(vp, b"", self._inodes, damaged)
        found.sort(key=_NAME)
        return found

    def attributes(self, found: Any) -> StatResult:
        """Return the attributes of what `scan` has found."""
        if isinstance(found, Found):
            return attributes(self._mp, found)
        return super().attributes(found)

    def reader(self, path: bytes) -> RawIOBase:
        """Open a file for reading; a regular one without system calls, while nobody writes."""
        if not self.writable:
            with self._named(path):
                vp = namei(self._root, path)
            if vp.v_type == VREG and isinstance(vp, DataInode):
                return ImageFile(vp, path)
        return super().reader(path)

    def runs(self, path: bytes, size: int) -> list[tuple[int, int]] | None:
        """Return (offset, bytes) of what of a file is no hole."""
        with self._named(path):
            vp = namei(self._root, path)
            if not isinstance(vp, Inode):
                return None
            found: list[tuple[int, int]] = []
            for offset, address, length in extents(vp):
                if address == HOLE:
                    continue
                start = found.pop()[0] if found and sum(found[-1]) == offset else offset
                found.append((start, offset + length - start))
            return found

    def _lookup(self, path: bytes, follow: bool = True) -> Vnode:
        """Return what a path is, as a system call does. Errors: those of `namei`; ENAMETOOLONG."""
        if len(path) >= PATH_MAX:
            raise VfsError(errno.ENAMETOOLONG)
        return namei(self._root, path, follow)

    @contextmanager
    def _named(self, path: bytes) -> Iterator[None]:
        """Turn errors of the block into those of a client, which name the path."""
        try:
            yield
        except VfsError as error:
            raise rump_error(error.errno, path) from error
        except DiskError as error:
            raise rump_error(error.errno, path, text=str(error)) from error

    def close(self) -> None:
        """Write what is to be written, and close the image.

        Errors:
            Failure: not everything could be written.
        """
        if self._closed:
            return
        self._closed = True
        try:
            if self._entered is None:
                self._mp.unmount(MNT_FORCE)
            else:
                self._entered.close()
                self._kernel.halt()
        except VfsError as error:
            why = error.why or errno.strerror(error.errno)
            raise Failure(f"{self._text}: not everything could be written: {why}", FAILED) from error
