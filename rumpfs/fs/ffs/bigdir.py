"""Directories that are too large to be kept in memory: searched on disk, listed part by part."""

from __future__ import annotations

from rumpfs.abi import errno
from rumpfs.base.errors import DiskError, VfsError
from rumpfs.fs.ffs.lookup import PIECE, DirDamage, GiveUp, check_end, listing, read_entries, read_pieces
from rumpfs.fs.ffs.readwrite import DataInode
from rumpfs.ondisk.ufs.dirchunk import slack
from rumpfs.ondisk.ufs.direct import Entry, parse_dir
from rumpfs.vfs.dirent import Listing


class Bigdir:
    """Does for a large directory what `lookup.Dirhash` does for others.

    The name cache remembers what was found. The part listed last is kept.

    Args:
        dp: the directory.
    """

    __slots__ = ("_damaged", "_dp", "_listing", "_part", "nbytes")

    #: what is kept of it does not grow
    outgrown = False

    def __init__(self, dp: DataInode) -> None:
        self._dp = dp
        self._part = -1
        self._listing = Listing(())
        self._damaged = False
        self.account()

    def find(self, name: bytes) -> int:
        """Return the inode number of a name, or 0. Errors: EIO when a damaged part may hold it."""
        entry = self._find(name)
        return 0 if entry is None else entry[1]

    def _find(self, name: bytes) -> Entry | None:
        """Return the entry of a name. Errors: EIO when a damaged part may hold it."""
        dp = self._dp
        damage = DirDamage(dp.v_mount)
        try:
            for offset, data in read_pieces(dp, 0, dp.i_size, damage):
                entry = self._search(offset, data, name, damage)
                if entry is not None:
                    return entry
        except GiveUp:
            pass
        if damage.count:
            raise VfsError(errno.EIO, "the directory is damaged")
        return None

    # --- for who changes it -----------------------------------------------------------------------

    def chunk_of(self, name: bytes) -> int:
        """Return the number of the chunk that a name is in. Errors: EIO, ENOENT."""
        entry = self._find(name)
        if entry is None:
            raise VfsError(errno.ENOENT)
        return entry[0] // self._dp.v_mount.um_fs.dirblksiz

    def room(self, need: int) -> int:
        """Return the last chunk if it has room for an entry of `need` bytes, else -1. Errors: EIO."""
        dp = self._dp
        fs = dp.v_mount.um_fs
        last = dp.i_size // fs.dirblksiz - 1
        start = last * fs.dirblksiz
        where = f"{fs.where}: directory inode {dp.i_number}"
        try:
            _, data = next(read_pieces(dp, start, start + fs.dirblksiz, DirDamage(dp.v_mount)), (0, b""))
            free = slack(bytearray(data), fs.order, where)
        except DiskError as error:
            raise dp.v_mount.damaged(error) from error
        return last if free >= need else -1

    @property
    def is_empty(self) -> bool:
        """True when there are no names but ``.`` and ``..``."""
        dp = self._dp
        damage = DirDamage(dp.v_mount)
        for part in range(0, dp.i_size, PIECE):
            entries = read_entries(dp, part, min(part + PIECE, dp.i_size), damage)
            if damage.count or any(entry[3] not in (b".", b"..") for entry in entries):
                return False
        return True

    def entered(self, chunk: int, name: bytes, ino: int) -> None:
        """Take note that a name has come, or has become another inode's."""
        self.left(chunk, name)

    def left(self, chunk: int, name: bytes) -> None:
        """Take note that a name is gone."""
        self._part = -1
        self._dp.v_mount.um_namecache.purge(self._dp, name)

    def shortened(self) -> int:
        """Return how many chunks there are; what is empty at the end is not looked for."""
        return self._dp.i_size // self._dp.v_mount.um_fs.dirblksiz

    def account(self) -> None:
        """Count the bytes of the part that is kept."""
        self.nbytes = 4 * PIECE

    # --- searching and listing --------------------------------------------------------------------

    def _search(self, offset: int, data: bytes, name: bytes, damage: DirDamage) -> Entry | None:
        """Return the entry of a name in the piece `data` at byte `offset`."""
        dp = self._dp
        fs = dp.v_mount.um_fs
        where = f"{fs.where}: directory inode {dp.i_number}"
        needle = name + b"\0"
        position = data.find(needle)
        while position >= 0:
            start = position - position % fs.dirblksiz
            end = start + fs.dirblksiz
            chunk = data[start:end]
            entries = parse_dir(
                chunk, fs.order, fs.old_dirents, fs.dirblksiz, fs.maxino, where, offset + start, damage
            )
            for entry in entries:
                if entry[3] == name:
                    return entry
            position = data.find(needle, end)
        return None

    def read(self, offset: int, count: int) -> tuple[bytes, int]:
        """Return struct dirents of at most `count` bytes from `offset` on, and the next offset.

        Errors: EINVAL when `count` is too small for the next entry; EIO at the end of a damaged directory.
        """
        size = self._dp.i_size
        damage = DirDamage(self._dp.v_mount)
        while offset < size and not damage.hopeless:
            packed, end = self._list(offset, damage)
            data, following = packed.read(offset, count)
            if data:
                return data, following
            check_end(packed, offset, end)
            offset = end
        if self._damaged:
            raise VfsError(errno.EIO, "the directory is damaged; these were not all of its entries")
        return b"", offset

    def _list(self, offset: int, damage: DirDamage) -> tuple[Listing, int]:
        """Return the part of the directory that `offset` lies in, and where it ends."""
        part = offset // PIECE
        end = min((part + 1) * PIECE, self._dp.i_size)
        if part != self._part:
            before = damage.count
            self._listing = listing(read_entries(self._dp, part * PIECE, end, damage), end)
            self._part = part
            self._damaged |= damage.count > before
        return self._listing, end
