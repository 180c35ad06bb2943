"""The vnodes of etfs keys: host files in the root file system (NetBSD: rumpfs.c; rump_etfs(3))."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from rumpfs.abi import errno
from rumpfs.abi.fcntl import FWRITE
from rumpfs.abi.stat import S_IFBLK, S_IFCHR, S_IFREG, makedev
from rumpfs.base.copy import Buffer, Data
from rumpfs.base.errors import VfsError
from rumpfs.dev.etfs import RUMPBLK_MAJOR, EtfsEntry
from rumpfs.fs.rootfs.vnops import SIZE_MAX, RootfsNode
from rumpfs.vfs.cred import Cred
from rumpfs.vfs.vnode import IO_APPEND, NODEV, Vattr

if TYPE_CHECKING:
    from rumpfs.fs.rootfs.vfsops import RootfsMount

log = logging.getLogger(__name__)

_IFMT = {"blk": S_IFBLK, "chr": S_IFCHR, "reg": S_IFREG}
_PERMISSIONS = 0o755

#: what one read returns at most, however much is asked for: it is fetched from the host at once
_MAXREAD = 64 << 20


class EtfsNode(RootfsNode):
    """The node of a key; of a device it is all, the driver does the rest.

    Args:
        mp: the root file system.
        entry: what is registered under the key.
    """

    __slots__ = ("entry",)

    def __init__(self, mp: RootfsMount, entry: EtfsEntry) -> None:
        rdev = NODEV if entry.minor is None else makedev(RUMPBLK_MAJOR, entry.minor)
        moment = divmod(entry.registered, 1_000_000_000)
        mode = _IFMT[entry.type] | _PERMISSIONS
        super().__init__(mp, mode, 0, 0, moment, entry.window.size, rdev)
        self.entry = entry

    def open(self, flags: int, cred: Cred) -> None:
        """The key is opened. Errors: EROFS: for writing what cannot be written on the host."""
        if flags & FWRITE and self.entry.window.readonly:
            raise VfsError(errno.EROFS)


class EtfsReg(EtfsNode):
    """A key that is a regular file: transfers go straight to the host file.

    A key without a size ends where the host file ends now, and grows with it. One with a size ends there.
    Its length cannot be set: an O_TRUNC must not cost somebody a file on the host.
    """

    __slots__ = ("_dirty",)

    def __init__(self, mp: RootfsMount, entry: EtfsEntry) -> None:
        super().__init__(mp, entry)
        self._dirty = False

    def open(self, flags: int, cred: Cred) -> None:
        super().open(flags, cred)
        self.entry.users += 1

    def close(self, flags: int) -> None:
        self.entry.users -= 1

    def getattr(self) -> Vattr:
        return self.rn_va._replace(size=self.size())

    def size(self) -> int:
        window = self.entry.window
        return window.size or max(0, window.hostfile.size - window.offset)

    def read(self, offset: int, length: int) -> Data:
        """Return at most `length` bytes; fewer at the end, or beyond 64 MiB. Errors: what the host says."""
        window = self.entry.window
        length = min(length, self.size() - offset, _MAXREAD)
        return window.hostfile.pread(length, window.offset + offset) if length > 0 else b""

    def write(self, offset: int, data: Buffer, ioflag: int, cred: Cred) -> int:
        """Store `data` and return the offset behind it.

        Errors: EFBIG: beyond the key's size, or what a file may have; nothing was written then. What the
        host says.
        """
        window = self.entry.window
        if ioflag & IO_APPEND:
            offset = self.size()
        end = offset + len(data)
        if end > (window.size or SIZE_MAX - window.offset):
            raise VfsError(errno.EFBIG)
        view = memoryview(data)
        done = 0
        while done < len(view):
            done += window.hostfile.pwrite(view[done:], window.offset + offset + done)
        self._dirty = True
        return end

    def fsync(self) -> None:
        self.entry.window.fsync()
        self._dirty = False

    def inactive(self) -> None:
        """The last use is gone: what was written is on the host's disk from now on."""
        if self._dirty:
            try:
                self.fsync()
            except VfsError:
                log.exception("etfs key %r: what was written may be lost", self.entry.key)
