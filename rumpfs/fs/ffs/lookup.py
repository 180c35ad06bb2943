"""Directories: their entries, found by name and listed (NetBSD: ufs_lookup.c, ufs_dirhash.c)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rumpfs.abi import errno
from rumpfs.base.errors import Corrupt, DiskError, VfsError
from rumpfs.fs.ffs.readwrite import HOLE, DataInode
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
            data = mp.pread(end - offset, address)
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

    __slots__ = ("_entries", "_listing", "_size", "damaged", "names", "nbytes")

    def __init__(self, dp: DataInode) -> None:
        damage = DirDamage(dp.v_mount)
        entries = read_entries(dp, 0, dp.i_size, damage)
        self._size = dp.i_size
        self._entries: list[Entry] | None = entries
        self._listing: Listing | None = None
        self.names = {entry[3]: entry[1] for entry in reversed(entries)}
        self.damaged = damage.count > 0
        self.nbytes = _DIRHASH + _ENTRY * len(entries)

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
            packed = self._listing = listing(self._entries or [], self._size)
            self._entries = None
        data, following = packed.read(offset, count)
        if not data:
            check_end(packed, offset, self._size)
            if self.damaged:
                raise VfsError(errno.EIO, "the directory is damaged; these were not all of its entries")
        return data, following


def check_end(packed: Listing, offset: int, end: int) -> None:
    """Check that nothing was read because nothing is left. Errors: EINVAL, the buffer was too small."""
    if packed.data and offset < end:
        raise VfsError(errno.EINVAL, "the buffer is too small for a directory entry")
