"""Making files longer and filling their holes (NetBSD: ffs_balloc.c).

`Balloc` allocates what a range of a file needs, in memory alone: the pointers are changed where readers find
them, and the disk knows nothing yet. Then the content is written, and `commit` writes the pointers: those in
indirect blocks first, lowest level first, the inode last. So nothing on the disk points to what is not
written. Old places of fragments that moved are given back when the inode that no longer names them is on the
disk. `undo` takes everything back when there is not enough room.
"""

from __future__ import annotations

from array import array
from itertools import takewhile
from typing import TYPE_CHECKING, NamedTuple

from rumpfs.abi import errno
from rumpfs.base.errors import DiskError, VfsError
from rumpfs.dev.buf import BufCache
from rumpfs.ondisk.ufs.fs import NDADDR, NIADDR

if TYPE_CHECKING:
    from rumpfs.fs.ffs.readwrite import DataInode
    from rumpfs.ondisk.ufs.dinode import Dinode
    from rumpfs.vfs.cred import Cred

#: di_blocks counts units of this many bytes (DEV_BSIZE).
_UNIT_SHIFT = 9


class _Table(NamedTuple):
    """An indirect block that is changed.

    Attributes:
        level: what it points to: blocks of the file (0), or other indirect blocks.
        new: whether it has just been allocated.
        filled: (index, count) of the pointers that were holes.
    """

    pointers: array[int]
    level: int
    new: bool
    filled: list[tuple[int, int]]


class Balloc:
    """What one write allocates.

    Args:
        ip: the file.
        cred: who pays: the superuser may use the reserve.

    Attributes:
        fresh: (start, stop) byte ranges of the file that have got new space, which holds anything.
    """

    def __init__(self, ip: DataInode, cred: Cred) -> None:
        mp = ip.v_mount
        assert mp.um_alloc is not None
        self._ip = ip
        self._cred = cred
        self._fs = mp.um_fs
        self._alloc = mp.um_alloc
        self._bmap = mp.um_bmap
        self._cg = ip.i_number // mp.um_fs.fs_ipg
        self._size = ip.i_size
        self._db = list(ip.dinode.di_db)
        self._ib = list(ip.dinode.di_ib)
        self._grown: dict[int, int] = {}  # direct block -> its bytes now
        self._taken: list[tuple[int, int]] = []  # (frag, frags) allocated
        self._moved: list[tuple[int, int]] = []  # (frag, frags) to be given back
        self._copies: list[tuple[int, int, int]] = []  # (from, to, frags)
        self._tables: dict[int, _Table] = {}
        self._before: Dinode | None = None  # the inode, when it has got what was allocated
        self._last = 0  # the frag of the block allocated last
        self.fresh: list[tuple[int, int]] = []

    def grow(self, offset: int, end: int) -> None:
        """Allocate what the bytes [offset, end) need; a fragment that is no longer the end becomes a block.

        Errors: ENOSPC, EIO; everything has been taken back then.
        """
        fs = self._fs
        newsize = max(self._size, end)
        stop = (end - 1 >> fs.fs_bshift) + 1
        last = self._size >> fs.fs_bshift
        lbn = offset >> fs.fs_bshift
        try:
            if last < NDADDR and last < stop - 1 and self._db[last] and self._size & fs.fs_bsize - 1:
                self._direct(last, fs.fs_bsize, 1)
            while lbn < min(stop, NDADDR):
                nbytes = fs.blksize(newsize, lbn)
                whole = min(stop, NDADDR, newsize >> fs.fs_bshift) - lbn
                lbn += self._direct(lbn, nbytes, max(1, whole))
            if lbn < stop:
                self._indirect(lbn, stop)
            self._copy()
        except DiskError as error:
            self.undo()
            raise self._ip.v_mount.damaged(error) from error
        except VfsError:
            self.undo()
            raise

    # --- direct blocks --------------------------------------------------------------------------

    def _direct(self, lbn: int, nbytes: int, want: int) -> int:
        """Give a direct block `nbytes` bytes; with it up to `want` - 1 whole blocks behind it.

        Returns the number of blocks looked after.
        """
        fs = self._fs
        frag = self._db[lbn]
        if frag:
            old = self._grown.get(lbn) or fs.blksize(self._size, lbn)
            if old < nbytes:
                self._realloc(lbn, frag, old, nbytes)
            self._last = self._db[lbn]
            return 1
        pref = self._alloc.blkpref(self._cg, lbn, self._db[lbn - 1] if lbn else 0)
        count = 1
        if nbytes == fs.fs_bsize:
            want = len(list(takewhile(lambda there: not there, self._db[lbn : lbn + want])))
            frag, count = self._alloc.blocks(self._cg, pref, want, self._cred)
            self._take(frag, count << fs.fs_fragshift)
            self._db[lbn : lbn + count] = range(frag, frag + (count << fs.fs_fragshift), fs.fs_frag)
        else:
            frag = self._alloc.frags(self._cg, pref, nbytes >> fs.fs_fshift, self._cred)
            self._take(frag, nbytes >> fs.fs_fshift)
            self._db[lbn] = frag
        for block in range(lbn, lbn + count):
            self._grown[block] = nbytes
        self._last = self._db[lbn + count - 1]
        start = lbn << fs.fs_bshift
        self.fresh.append((start, start + count * nbytes))
        return count

    def _realloc(self, lbn: int, frag: int, old: int, new: int) -> None:
        """Make a fragment longer, at another place if need be (ffs_realloccg)."""
        fs = self._fs
        old_frags, new_frags = old >> fs.fs_fshift, new >> fs.fs_fshift
        if self._alloc.extend(frag, old_frags, new_frags, self._cred):
            self._take(frag + old_frags, new_frags - old_frags)
        else:
            pref = self._alloc.blkpref(self._cg, lbn, self._db[lbn - 1] if lbn else 0)
            place = self._alloc.replace(self._cg, pref, new_frags, self._cred)
            self._take(place, new_frags)
            self._copies.append((frag, place, old_frags))
            self._moved.append((frag, old_frags))
            self._db[lbn] = place
        self._grown[lbn] = new
        start = lbn << fs.fs_bshift
        self.fresh.append((start + old, start + new))

    def _take(self, frag: int, count: int) -> None:
        self._taken.append((frag, count))

    # --- indirect blocks ------------------------------------------------------------------------

    def _indirect(self, lbn: int, stop: int) -> None:
        """Fill the holes among the blocks [lbn, stop), which are beyond the direct ones."""
        fs = self._fs
        while lbn < stop:
            table, index = self._leaf(lbn)
            end = min(fs.fs_nindir, index + stop - lbn)
            pointers = table.pointers
            lbn += end - index
            while index < end:
                if pointers[index]:
                    self._last = pointers[index]
                    index += 1
                    continue
                want = 1
                while index + want < end and not pointers[index + want]:
                    want += 1
                index += self._fill(table, index, want, lbn - end + index)

    def _fill(self, table: _Table, index: int, want: int, lbn: int) -> int:
        """Allocate up to `want` blocks for the holes from `index` on; return how many there are."""
        fs = self._fs
        before = table.pointers[index - 1] if index else self._last
        pref = self._alloc.blkpref(self._cg, lbn, before)
        want = min(want, fs.fs_maxbpg - lbn % fs.fs_maxbpg)
        frag, count = self._alloc.blocks(self._cg, pref, want, self._cred)
        self._take(frag, count << fs.fs_fragshift)
        addresses = range(frag, frag + (count << fs.fs_fragshift), fs.fs_frag)
        table.pointers[index : index + count] = array(table.pointers.typecode, addresses)
        table.filled.append((index, count))
        self._last = addresses[-1]
        start = lbn << fs.fs_bshift
        self.fresh.append((start, start + (count << fs.fs_bshift)))
        return count

    def _leaf(self, lbn: int) -> tuple[_Table, int]:
        """Return the indirect block that points to a block, and the place there; made if it is missing.

        Errors: EFBIG: no level reaches the block.
        """
        fs = self._fs
        index = lbn - NDADDR
        level = 0
        span = fs.fs_nindir
        while index >= span:
            index -= span
            span *= fs.fs_nindir
            level += 1
        if level == NIADDR:
            raise VfsError(errno.EFBIG)
        if not self._ib[level]:
            self._ib[level] = self._new_table(level, lbn)
        table = self._table(level, self._ib[level])
        while level:
            span //= fs.fs_nindir
            slot, index = divmod(index, span)
            level -= 1
            if not table.pointers[slot]:
                table.pointers[slot] = self._new_table(level, lbn)
                table.filled.append((slot, 1))
            table = self._table(level, table.pointers[slot])
        return table, index

    def _table(self, level: int, frag: int) -> _Table:
        """Return the indirect block at `frag`, to be changed."""
        table = self._tables.get(frag)
        if table is None:
            pointers = self._bmap.hold(frag, self._bmap.table(self._ip, level, frag))
            table = self._tables[frag] = _Table(pointers, level, False, [])
        return table

    def _new_table(self, level: int, lbn: int) -> int:
        """Allocate an indirect block for the block `lbn`; return its frag."""
        before = self._last or self._db[NDADDR - 1]
        pref = self._alloc.blkpref(self._cg, lbn, before)
        frag, _ = self._alloc.blocks(self._cg, pref, 1, self._cred)
        self._take(frag, self._fs.fs_frag)
        self._tables[frag] = _Table(self._bmap.hold(frag), level, True, [])
        self._last = frag
        return frag

    # --- the end --------------------------------------------------------------------------------

    def _copy(self) -> None:
        """Copy the fragments that move to their new places. Errors: EIO."""
        mp, shift = self._ip.v_mount, self._fs.fs_fshift
        for source, target, count in self._copies:
            mp.pwrite(mp.um_bufs.pread(count << shift, source << shift), target << shift)

    def enter(self, newsize: int) -> None:
        """Let the inode in memory have what was allocated, and its new length."""
        ip, fs = self._ip, self._fs
        taken = sum(count for _, count in self._taken) - sum(count for _, count in self._moved)
        dinode = self._before = ip.dinode
        a, b, c = self._ib
        ip.dinode = dinode._replace(
            di_size=newsize,
            di_blocks=dinode.di_blocks + (taken << fs.fs_fshift - _UNIT_SHIFT),
            di_db=tuple(self._db),
            di_ib=(a, b, c),
        )
        ip.remap(newsize)

    def commit(self) -> None:
        """Write the pointers; the content is on the disk.

        Those behind what was the end lead nowhere before the inode has its new length.
        """
        mp, fs = self._ip.v_mount, self._fs
        grows = all(start >= self._size for start, _ in self.fresh)
        put = BufCache.bdwrite_first if grows else BufCache.bwrite
        for frag, table in sorted(self._tables.items(), key=lambda item: item[1].level):
            if table.new:
                self._bmap.write(frag, put=put)
            elif table.filled:
                first = min(index for index, _ in table.filled)
                last = max(index + count for index, count in table.filled)
                self._bmap.write(frag, first, last, put)
            else:
                self._bmap.release(frag)
        if not self._moved:
            self._ip.changed()
            return
        self._ip.update()
        for frag, count in self._moved:
            mp.um_bufs.binval(frag << fs.fs_fshift)
            self._alloc.free(frag, count)

    def undo(self) -> None:
        """Give back everything that is not committed, as if nothing had happened."""
        if self._before is not None:
            self._ip.dinode = self._before
            self._ip.remap(self._before.di_size)
        for frag, table in self._tables.items():
            if table.new:
                self._bmap.forget(frag)
                continue
            for index, count in table.filled:
                table.pointers[index : index + count] = array(table.pointers.typecode, [0]) * count
            self._bmap.release(frag)
        for frag, count in self._taken:
            self._alloc.untake(frag, count)
