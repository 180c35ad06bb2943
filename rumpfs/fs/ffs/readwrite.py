"""Reading and writing what a vnode's blocks hold (NetBSD: ufs_readwrite.c)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rumpfs.abi import errno
from rumpfs.base.copy import COPYIN_MAX, Buffer
from rumpfs.base.errors import Corrupt, DiskError, VfsError
from rumpfs.fs.ffs.inode import Inode
from rumpfs.fs.ffs.truncate import extend
from rumpfs.ondisk.ufs.dinode import Dinode
from rumpfs.vfs.cred import Cred

if TYPE_CHECKING:
    from rumpfs.fs.ffs.ufsmount import FfsMount

#: Blocks that a sequential reader's run is looked up ahead of its request.
_AHEAD = 64

#: The address of a hole.
HOLE = -1


class DataInode(Inode):
    """A vnode with content in blocks.

    The run found last is kept, [_start, _stop) in the file, `_delta` bytes further on the device: a read
    that stays in it costs one read of the device and no search.
    """

    __slots__ = ("_delta", "_start", "_stop")

    def __init__(self, mp: FfsMount, vtype: int, ino: int, dinode: Dinode) -> None:
        Inode.__init__(self, mp, vtype, ino, dinode)
        self._start = self._stop = self._delta = 0

    def extent(self, offset: int, end: int) -> tuple[int, int]:
        """Return how far the run that byte `offset` lies in goes, and where that byte is.

        Args:
            offset: below i_size.
            end: byte offset behind what the caller wants, at most i_size.

        Returns:
            (stop, address): [offset, stop) is contiguous from byte `address` of the device on, or a hole
            when `address` is HOLE. `stop` may be beyond `end`, not beyond i_size.

        Raises:
            Corrupt: the map leads out of the file system.
        """
        if self._start <= offset < self._stop:
            return self._stop, offset + self._delta
        mp = self.v_mount
        fs = mp.um_fs
        bshift = fs.fs_bshift
        lbn = offset >> bshift
        want = (end - 1 >> bshift) - lbn + 1
        if offset == self._stop:
            want += _AHEAD
        frag, count = mp.um_bmap.bmap(self, lbn, want)
        start = lbn << bshift
        stop = lbn + count << bshift
        if stop > self.i_size:
            stop = self.i_size
        if not frag:
            return stop, HOLE
        frags = stop - start + fs.fs_fsize - 1 >> fs.fs_fshift
        if frag < 0 or frag + frags > mp.um_frags:
            stop = self._clip(lbn, frag)
        self._start = start
        self._stop = stop
        self._delta = (frag << fs.fs_fshift) - start
        return stop, offset + self._delta

    def _clip(self, lbn: int, frag: int) -> int:
        """Return where the part of a run ends that is inside the file system, as a byte offset in the file.

        Args:
            lbn: first logical block of the run.
            frag: its address.

        Raises:
            Corrupt: not even one block of it is.
        """
        mp = self.v_mount
        fs = mp.um_fs
        blocks = mp.um_frags - frag >> fs.fs_fragshift
        if frag < 0 or blocks < 1:
            where = f"{fs.where}: inode {self.i_number}: block {lbn}"
            why = f"the file system has {fs.fs_size} frags, the device {mp.um_frags} of them"
            raise Corrupt(where, "address", frag, why)
        return lbn + blocks << fs.fs_bshift

    def remap(self, size: int) -> None:
        self.i_size = size
        self._start = self._stop = self._delta = 0

    def content(self, offset: int, length: int) -> Buffer:
        """Return at most `length` bytes at `offset`; fewer only at the end (ffs_read).

        Errors: EINVAL for more than COPYIN_MAX bytes; EIO for a damaged map, and what the device says.
        """
        end = offset + length
        if end > self.i_size:
            end = self.i_size
        length = end - offset
        if length <= 0:
            return b""
        if length > COPYIN_MAX:
            raise VfsError(errno.EINVAL, f"a read is at most {COPYIN_MAX} bytes")
        try:
            stop, address = self.extent(offset, end)
            if stop < end:
                return self._gather(offset, end)
        except DiskError as error:
            raise self.v_mount.damaged(error) from error
        if address == HOLE:
            return bytes(length)
        return self.v_mount.pread(length, address)

    def _gather(self, offset: int, end: int) -> bytearray:
        """Return [offset, end), which is several runs and holes."""
        data = bytearray(end - offset)
        view = memoryview(data)
        preadv = self.v_mount.preadv
        position = offset
        while position < end:
            stop, address = self.extent(position, end)
            if stop > end:
                stop = end
            if address != HOLE:
                preadv([view[position - offset : stop - offset]], address)
            position = stop
        return data

    def store(self, offset: int, data: Buffer, cred: Cred) -> None:
        """Write `data` at `offset`; what is missing is allocated (ffs_write).

        Errors: ENOSPC, nothing was written then; EIO.
        """
        mp = self.v_mount
        end = offset + len(data)
        try:
            if end <= self.i_size:
                stop, address = self.extent(offset, end)
                if address != HOLE and end <= stop:
                    mp.pwrite(data, address)
                    return
            elif self._append(offset, data):
                return
            balloc = None
            if end > self.i_size or self._has_hole(offset, end):
                balloc = extend(self, offset, end, max(end, self.i_size), cred)
            view = memoryview(data)
            position = offset
            while position < end:
                stop, address = self.extent(position, end)
                stop = min(stop, end)
                mp.pwrite(view[position - offset : stop - offset], address)
                position = stop
        except DiskError as error:
            raise mp.damaged(error) from error
        if balloc is not None:
            balloc.commit()

    def _append(self, offset: int, data: Buffer) -> bool:
        """Store what goes on from the end, in what the file has of its last block; whether it fits there."""
        mp, size = self.v_mount, self.i_size
        fs = mp.um_fs
        lbn = size >> fs.fs_bshift
        start, end = lbn << fs.fs_bshift, offset + len(data)
        if not start <= offset <= size or end > start + fs.blksize(size, lbn):
            return False
        frag = self.block(lbn)
        if not frag:
            return False
        mp.pwrite(data, (frag << fs.fs_fshift) + offset - start)
        self.dinode = self.dinode._replace(di_size=end)
        self.remap(end)
        self.changed()
        return True

    def _has_hole(self, offset: int, end: int) -> bool:
        while offset < end:
            offset, address = self.extent(offset, end)
            if address == HOLE:
                return True
        return False

    def zero(self, start: int, stop: int) -> None:
        """Write zeros to [start, stop), but not to holes; the end of the file is no limit. Errors: EIO."""
        mp = self.v_mount
        fs = mp.um_fs
        while start < stop:
            lbn = start >> fs.fs_bshift
            end = min(stop, lbn + 1 << fs.fs_bshift)
            frag = self.block(lbn)
            if frag:
                mp.pwrite(bytes(end - start), (frag << fs.fs_fshift) + start - (lbn << fs.fs_bshift))
            start = end

    def block(self, lbn: int) -> int:
        """Return the frag of a block that is about to be changed; 0 for a hole. Errors: EIO."""
        mp = self.v_mount
        fs = mp.um_fs
        try:
            frag, _ = mp.um_bmap.bmap(self, lbn, 1)
            if frag and not fs.cgdmin(0) <= frag < mp.um_frags:
                where = f"{fs.where}: inode {self.i_number}: block {lbn}"
                raise Corrupt(where, "address", frag, "no file has blocks there")
        except DiskError as error:
            raise mp.damaged(error) from error
        return frag
