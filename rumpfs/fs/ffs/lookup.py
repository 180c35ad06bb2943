"""Directories: their entries, found by name and listed (NetBSD: ufs_lookup.c, ufs_dirhash.c)."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from rumpfs.abi import errno
from rumpfs.base.errors import Corrupt, DiskError, VfsError
from rumpfs.fs.ffs.readwrite import HOLE, DataInode
from rumpfs.ondisk.ufs.dirchunk import dirsiz, slack
from rumpfs.ondisk.ufs.direct import Entry, parse_dir
from rumpfs.vfs.dirent import Listing

if TYPE_CHECKING:
    from rumpfs.fs.ffs.ufsmount import FfsMount

#: Largest directory (UFS: di_size of a directory fits in an int).
MAXDIRSIZE = (1 << 31) - 1

#: Bytes read at a time; a multiple of every block size.
PIECE = 1 << 20

#: Damaged places after which the rest of a directory is given up.
_MAXDAMAGE = 64

#: Words of free space that are told apart; no entry needs more.
_SLACK_MAX = 255

# Accounted bytes of a Dirhash: itself, and for each entry its tuple, name, number and slots.
_DIRHASH, _ENTRY = 600, 320


class GiveUp(Exception):
    """A directory is damaged in too many places."""


class DirDamage:
    """Takes down what is wrong with a directory while it is read.

    Attributes:
        count: the number of damaged places.
    """

    __slots__ = ("_mp", "count")

    def __init__(self, mp: FfsMount) -> None:
        self._mp = mp
        self.count = 0

    def __call__(self, error: DiskError | VfsError) -> None:
        """Log one damaged place."""
        self._mp.damaged(error)
        self.count += 1
        if self.hopeless:
            raise GiveUp

    @property
    def hopeless(self) -> bool:
        """True when there is more of it than is worth looking at."""
        return self.count > _MAXDAMAGE


def read_entries(dp: DataInode, start: int, stop: int, damage: DirDamage) -> list[Entry]:
    """Return the entries in use in [start, stop) of a directory, without what is damaged.

    Args:
        dp: the directory.
        start: byte offset, a multiple of the block size.
        stop: byte offset, at most i_size.
        damage: is told what is damaged.
    """
    fs = dp.v_mount.um_fs
    where = f"{fs.where}: directory inode {dp.i_number}"
    entries: list[Entry] = []
    try:
        for offset, data in read_pieces(dp, start, stop, damage):
            entries += parse_dir(
                data, fs.order, fs.old_dirents, fs.dirblksiz, fs.maxino, where, offset, damage
            )
    except GiveUp:
        return entries
    return entries


def read_pieces(dp: DataInode, start: int, stop: int, damage: DirDamage) -> Iterator[tuple[int, bytes]]:
    """Yield (byte offset, bytes) of what can be read of [start, stop), in pieces of at most PIECE bytes.

    A block that appears twice in one directory is damage; so the bytes read are bounded by the device's size.
    """
    mp = dp.v_mount
    bsize = mp.um_fs.fs_bsize
    where = f"{mp.um_fs.where}: directory inode {dp.i_number}"
    seen: set[int] = set()
    offset = start
    while offset < stop:
        end = min((offset | bsize - 1) + 1, stop)
        try:
            end, address = dp.extent(offset, stop)
            if address == HOLE:
                raise Corrupt(where, "di_db", 0, f"a directory has no holes, and this one has at {offset}")
            end = min(end, stop, offset + PIECE)
            known = len(seen)
            blocks = range(address, address + end - offset, bsize)
            seen.update(blocks)
            if len(seen) != known + len(blocks):
                raise Corrupt(where, "di_db", address, f"a block before byte {offset} is here again")
            data = mp.um_bufs.pread(end - offset, address)
        except (DiskError, VfsError) as error:
            damage(error)
        else:
            yield offset, data
        offset = end


def listing(entries: list[Entry], end: int) -> Listing:
    """Return entries as struct dirents. The cookie behind an entry is where the next one starts.

    Args:
        entries: in the order of their offsets.
        end: the cookie behind the last one.
    """
    cookies = [entry[0] - 1 for entry in entries[1:]]
    cookies.append(end - 1)
    return Listing(
        (cookie, ino, dtype, name) for cookie, (_, ino, dtype, name) in zip(cookies, entries, strict=False)
    )


class Dirhash:
    """A directory read whole.

    Args:
        dp: the directory.

    Attributes:
        names: name -> inode number; of two equal names the first.
        damaged: entries may be missing.
        nbytes: accounted bytes.
    """

    __slots__ = ("_dp", "_entries", "_listed", "_listing", "_slack", "_where", "damaged", "names", "nbytes")

    def __init__(self, dp: DataInode) -> None:
        damage = DirDamage(dp.v_mount)
        entries = read_entries(dp, 0, dp.i_size, damage)
        self._dp = dp
        self._entries: list[Entry] | None = entries
        self._listing: Listing | None = None
        self._listed = 0  # bytes that were listed part by part since the last change
        self._where: dict[bytes, int] = {}  # name -> the chunk that it is in, once something is changed
        self._slack = bytearray()  # by chunk: the words of the largest entry that it has room for
        self.names = {entry[3]: entry[1] for entry in reversed(entries)}
        self.damaged = damage.count > 0
        self.account()

    def find(self, name: bytes) -> int:
        """Return the inode number of a name, or 0. Errors: EIO when a damaged part may hold it."""
        ino = self.names.get(name, 0)
        if not ino and self.damaged:
            raise VfsError(errno.EIO, "the directory is damaged")
        return ino

    def read(self, offset: int, count: int) -> tuple[bytes, int]:
        """Return struct dirents of at most `count` bytes from `offset` on, and the next offset.

        Errors: EINVAL when `count` is too small for the next entry; EIO at the end of a damaged directory.
        """
        packed = self._listing
        if packed is None:
            if self._entries is None:
                if self._listed < self._dp.i_size:
                    return self._read_part(offset, count)
                self._entries = read_entries(self._dp, 0, self._dp.i_size, DirDamage(self._dp.v_mount))
            packed = self._listing = listing(self._entries, self._dp.i_size)
            self._entries = None
        data, following = packed.read(offset, count)
        if not data:
            check_end(packed, offset, self._dp.i_size)
            if self.damaged:
                raise VfsError(errno.EIO, "the directory is damaged; these were not all of its entries")
        return data, following

    def _read_part(self, offset: int, count: int) -> tuple[bytes, int]:
        """Do what `read` does for a directory that keeps changing: list no more of it than is asked for."""
        dp = self._dp
        size, bsize = dp.i_size, dp.v_mount.um_fs.fs_bsize
        if offset >= size:
            return b"", offset
        start = stop = offset & -bsize
        entries: list[Entry] = []
        while stop < size and (len(entries) < 2 or entries[-1][0] <= offset + count):
            following = min(stop + bsize, size)
            found = read_entries(dp, stop, following, DirDamage(dp.v_mount))
            entries += [entry for entry in found if entry[0] >= offset]
            stop = following
        self._listed += stop - start
        # The last one only says where the one before it ends.
        end = size if stop == size else entries.pop()[0]
        packed = listing(entries, end)
        data, following = packed.read(offset, count)
        if not data:
            check_end(packed, offset, end)
        return data, following

    # --- for who changes it -----------------------------------------------------------------------

    def chunk_of(self, name: bytes) -> int:
        """Return the number of the chunk that a name is in. Errors: EIO, ENOENT."""
        self._index()
        chunk = self._where.get(name)
        if chunk is None:
            raise VfsError(errno.ENOENT)
        return chunk

    def room(self, need: int) -> int:
        """Return the first chunk with room for an entry of `need` bytes, -1 for none. Errors: EIO."""
        self._index()
        found = _room_for(need >> 2).search(self._slack)
        return -1 if found is None else found.start()

    @property
    def is_empty(self) -> bool:
        """True when there are no names but ``.`` and ``..``."""
        return not self.names.keys() - {b".", b".."} and not self.damaged

    def entered(self, chunk: int, name: bytes, ino: int) -> None:
        """Take note that a name has come, or has become another inode's.

        Args:
            chunk: the number of the chunk that it is in; the one behind the last for a new one.
        """
        if chunk == len(self._slack):
            self._slack.append(min(self._dp.v_mount.um_fs.dirblksiz >> 2, _SLACK_MAX))
        if name not in self.names:
            self._slack[chunk] -= dirsiz(len(name)) >> 2
        self._where[name] = chunk
        self.names[name] = ino
        self._changed()

    def left(self, chunk: int, name: bytes) -> None:
        """Take note that a name is gone."""
        self._slack[chunk] = min(self._slack[chunk] + (dirsiz(len(name)) >> 2), _SLACK_MAX)
        del self._where[name], self.names[name]
        self._changed()

    def shortened(self) -> int:
        """Forget the chunks at the end that have no names; return how many chunks are left."""
        empty = min(self._dp.v_mount.um_fs.dirblksiz >> 2, _SLACK_MAX)
        if self._slack[-1] == empty:
            del self._slack[len(self._slack.rstrip(bytes((empty,)))) :]
        return len(self._slack)

    @property
    def outgrown(self) -> bool:
        """True when there are many more names than are accounted for."""
        return self.nbytes * 2 < _ENTRY * len(self.names)

    def account(self) -> None:
        """Count the bytes of the names that there are now."""
        self.nbytes = _DIRHASH + _ENTRY * len(self.names)

    def _changed(self) -> None:
        self._entries = self._listing = None
        self._listed = 0

    def _index(self) -> None:
        """Find out in which chunk the names are, and how much room there is. Errors: EIO: it is damaged."""
        if self.damaged:
            raise VfsError(errno.EIO, "the directory is damaged, and stays as it is; run fsck_ffs")
        if self._slack:
            return
        dp = self._dp
        fs = dp.v_mount.um_fs
        size = fs.dirblksiz
        where = f"{fs.where}: directory inode {dp.i_number}"
        damage = DirDamage(dp.v_mount)
        try:
            for offset, data in read_pieces(dp, 0, dp.i_size, damage):
                for entry in parse_dir(data, fs.order, False, size, fs.maxino, where, offset):
                    self._where.setdefault(entry[3], entry[0] // size)
                for start in range(0, len(data), size):
                    free = slack(bytearray(data[start : start + size]), fs.order, where)
                    self._slack.append(min(free >> 2, _SLACK_MAX))
        except (DiskError, GiveUp) as error:
            self._slack.clear()
            raise VfsError(errno.EIO, str(error)) from error
        if damage.count:
            self._slack.clear()
            raise VfsError(errno.EIO, "a part of the directory cannot be read")


@functools.cache
def _room_for(words: int) -> re.Pattern[bytes]:
    """Return what finds a byte that is not below `words`."""
    return re.compile(b"[%b-\xff]" % re.escape(bytes((words,))))


class Removed:
    """What a directory holds that has been removed while it is in use: not even itself."""

    nbytes = 0
    is_empty = True
    outgrown = False

    def find(self, name: bytes) -> int:
        """Return 0: there is no name."""
        return 0

    def read(self, offset: int, count: int) -> tuple[bytes, int]:
        """Return no entries."""
        return b"", offset

    def chunk_of(self, name: bytes) -> int:
        """Errors: ENOENT."""
        raise VfsError(errno.ENOENT)

    def room(self, need: int) -> int:
        """Errors: ENOENT: nothing can be made there."""
        raise VfsError(errno.ENOENT)

    def entered(self, chunk: int, name: bytes, ino: int) -> None:
        """Nothing can change."""

    def left(self, chunk: int, name: bytes) -> None:
        """Nothing can change."""

    def shortened(self) -> int:
        """Return 0: there are no chunks."""
        return 0

    def account(self) -> None:
        """There is nothing to count."""


def check_end(packed: Listing, offset: int, end: int) -> None:
    """Check that nothing was read because nothing is left. Errors: EINVAL, the buffer was too small."""
    if packed.data and offset < end:
        raise VfsError(errno.EINVAL, "the buffer is too small for a directory entry")
