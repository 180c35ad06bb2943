"""The files of an image, in a kernel of this process: what verbs do in a server, they do there, too."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from io import RawIOBase
from operator import attrgetter
from typing import Any, Final

from rumpfs.abi import errno
from rumpfs.abi.mount import MNT_ASYNC, MNT_RDONLY, UFS_ARGS
from rumpfs.base.address import ImageAddress
from rumpfs.base.errors import DiskError, VfsError
from rumpfs.base.registry import solve
from rumpfs.cli.heldlog import held
from rumpfs.cli.images.direct import DirectTransport
from rumpfs.cli.images.opening import reported
from rumpfs.cli.places import Scanned, ServerFiles
from rumpfs.cli.progress import Unpacking
from rumpfs.cli.tool import FAILED, Failure
from rumpfs.client.errors import rump_error
from rumpfs.client.raw import Syscalls
from rumpfs.client.records import StatResult
from rumpfs.dev.image import open_image
from rumpfs.fs.ffs.directory import FfsDir
from rumpfs.fs.ffs.inode import Inode
from rumpfs.fs.ffs.readwrite import DataInode
from rumpfs.inspect.file import ImageFile
from rumpfs.inspect.volume import HOLE, extents
from rumpfs.inspect.walk import Found, Inodes, attributes, directory, entries_of
from rumpfs.kern.kernel import Kernel
from rumpfs.kern.local import Local
from rumpfs.kern.sys_mount import sys_mount
from rumpfs.vfs.namei import namei
from rumpfs.vfs.vnode import VREG

_COMPONENTS: Final = ("rumpvfs", "rumpdev", "rumpdev_disk", "rumpfs_ffs")
#: what the image is called in its kernel
_KEY: Final = b"/dev/image"
_NAME: Final = attrgetter("name")


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
        self._kernel = Kernel(1, None, False, lambda _: None)
        for component in solve(_COMPONENTS, bind_now=True):
            self._kernel.add(component)
        self._kernel.boot()
        try:
            with reported(text, image.path), held():
                window = open_image(image.path, image.part, image.offset, not writable, progress=Unpacking())
                self._kernel.etfs_register(_KEY, window)
                self._mount()
        except Failure:
            self._kernel.reboot(0)
            raise
        self.forgotten: list[int] = []
        self._p = self._kernel.spawn(b"rumpfs")
        root = namei(self._p, b"/")
        assert isinstance(root, FfsDir)
        self._mp = root.v_mount
        self._inodes = Inodes(self._mp)
        self._transport = DirectTransport(self._p)  # type: ignore[assignment]
        self.sys = Syscalls(self._transport)

    def _mount(self) -> None:
        memory = Local()
        args = memory.map(UFS_ARGS.pack(memory.string(_KEY)))
        # What a verb does ends soon: nobody waits for the disk before it does.
        flags = MNT_ASYNC if self.writable else MNT_RDONLY
        memory.run(
            sys_mount(
                self._kernel.initproc, memory.string(b"ffs"), memory.string(b"/"), flags, args, UFS_ARGS.size
            )
        )

    @property
    def where(self) -> str:
        """The image, as it was written."""
        return self._text

    def scan(
        self, path: bytes, failed: Callable[[bytes, OSError], None], above: Any = None
    ) -> Sequence[Scanned]:
        """Return what is in a directory, by name; see there. Fast, while nobody writes."""
        if self.writable:
            return super().scan(path, failed)
        with self._named(path):
            vp = namei(self._p, path) if above is None else directory(self._mp, above)
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
                vp = namei(self._p, path)
            if vp.v_type == VREG and isinstance(vp, DataInode):
                return ImageFile(vp, path)
        return super().reader(path)

    def runs(self, path: bytes, size: int) -> list[tuple[int, int]] | None:
        """Return (offset, bytes) of what of a file is no hole."""
        with self._named(path):
            vp = namei(self._p, path)
            if not isinstance(vp, Inode):
                return None
            return [(offset, length) for offset, address, length in extents(vp) if address != HOLE]

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
        self._transport.close()
        assert self._kernel.vfs is not None
        try:
            self._kernel.vfs.unmount_all()
        except VfsError as error:
            why = error.why or errno.strerror(error.errno)
            raise Failure(f"{self._text}: not everything could be written: {why}", FAILED) from error
        finally:
            self._kernel.reboot(0)
