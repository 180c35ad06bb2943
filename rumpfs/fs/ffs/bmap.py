"""Where the blocks of a file are (NetBSD: ufs_bmap.c)."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rumpfs.base.errors import Corrupt
from rumpfs.dev.buf import BufCache
from rumpfs.fs.ffs.cache import Cache
from rumpfs.fs.ffs.inodetable import Put
from rumpfs.ondisk.ufs.fs import NDADDR, NIADDR

if TYPE_CHECKING:
    from rumpfs.fs.ffs.inode import Inode
    from rumpfs.fs.ffs.ufsmount import FfsMount

#: Bytes of indirect blocks kept.
_POINTER_CACHE = 8 << 20

#: array's letters for the pointers of UFS1 and UFS2: signed, 4 and 8 bytes.
_UFS1_POINTER, _UFS2_POINTER = "i", "q"

_FIELDS = ("di_ib[0]", "di_ib[1]", "di_ib[2]")


class Bmap:
    """The block maps of a file system's inodes; nothing but indirect blocks is kept.

    Args:
        mp: the mount.
    """

    def __init__(self, mp: FfsMount) -> None:
        fs = mp.um_fs
        self._mp = mp
        self._fs = fs
        self._frag = fs.fs_frag
        self._nindir = fs.fs_nindir
        self._typecode = _UFS2_POINTER if fs.ufs2 else _UFS1_POINTER
        self._held: dict[int, array[int]] = {}
        self._tables: Cache[int, array[int]] = Cache(mp.um_memory, _POINTER_CACHE, lambda _: fs.fs_bsize)

    def bmap(self, ip: Inode, lbn: int, want: int) -> tuple[int, int]:
        """Return the frag address of a logical block, and how many blocks go on in the same way.

        Args:
            ip: the inode.
            lbn: logical block number.
            want: look at no more than so many blocks, at least 1.

        Returns:
            (frag, count): `count` blocks lie one behind the other from `frag` on, which is not checked;
            or they all are a hole, and `frag` is 0. `count` may be less than there are.

        Raises:
            Corrupt: the block needs an indirect block that lies outside of the file system, or no level
                reaches it.
        """
        if lbn < NDADDR:
            return self._run(ip.dinode.di_db, lbn, lbn + want)
        index = lbn - NDADDR
        span = 1
        for level in range(NIADDR):
            span *= self._nindir
            if index < span:
                return self._indirect(ip, level, span, index, want)
            index -= span
        raise Corrupt(f"{self._fs.where}: inode {ip.i_number}", "di_size", ip.i_size, f"has no block {lbn}")

    def indirect_blocks(self, ip: Inode) -> int:
        """Return how many indirect blocks an inode has.

        Raises:
            Corrupt: one lies outside of the file system, or there are more than fit in it.
        """
        most = self._mp.um_frags // self._frag
        todo = [(level, frag) for level, frag in enumerate(ip.dinode.di_ib) if frag]
        count = 0
        while todo:
            level, frag = todo.pop()
            count += 1
            if count > most:
                where = f"{self._fs.where}: inode {ip.i_number}"
                raise Corrupt(where, "di_ib", ip.dinode.di_ib, f"leads to more than {most} indirect blocks")
            if level:
                todo += [(level - 1, below) for below in self.table(ip, level, frag) if below]
        return count

    def last_block(self, ip: Inode) -> int:
        """Return the last logical block behind the direct ones that is no hole, or -1.

        What a damaged indirect block leads to does not count.
        """
        first, span = NDADDR, self._nindir
        found = -1
        for level in range(NIADDR):
            if ip.dinode.di_ib[level]:
                index = self._last_below(ip, level, ip.dinode.di_ib[level])
                found = first + index if index >= 0 else found
            first += span
            span *= self._nindir
        return found

    def _last_below(self, ip: Inode, level: int, frag: int) -> int:
        """Return the last block below an indirect block that is no hole, counted from its first; or -1."""
        try:
            table = self.table(ip, level, frag)
        except Corrupt as error:
            self._mp.damaged(error)
            return -1
        stop = -(-len(table.tobytes().rstrip(b"\0")) // table.itemsize)
        if not level:
            return stop - 1
        span: int = self._nindir**level
        for index in range(stop - 1, -1, -1):
            below = self._last_below(ip, level - 1, table[index]) if table[index] else -1
            if below >= 0:
                return index * span + below
        return -1

    def clear(self) -> None:
        """Drop the cached indirect blocks."""
        self._tables.clear()

    # --- changing indirect blocks -----------------------------------------------------------------

    def table(self, ip: Inode, level: int, frag: int) -> array[int]:
        """Return the pointers in the indirect block at `frag`.

        Args:
            level: what they lead to: blocks of the file (0), or other indirect blocks.

        Raises:
            Corrupt: it lies outside of the file system.
        """
        table = self._tables.get(frag)
        return self._load(ip, level, frag) if table is None else table

    def hold(self, frag: int, table: array[int] | None = None) -> array[int]:
        """Keep the pointers of an indirect block until `write`, `release` or `forget`.

        Args:
            frag: its address.
            table: the pointers; None for a new block, which has none.
        """
        if table is None:
            self._tables.remove(frag)
            table = array(self._typecode, bytes(self._fs.fs_bsize))
        self._held[frag] = table
        return table

    def write(self, frag: int, start: int = 0, stop: int | None = None, put: Put = BufCache.bwrite) -> None:
        """Write the pointers [start, stop) of an indirect block that is held. Errors: EIO."""
        table = self._held[frag]
        fs, mp = self._fs, self._mp
        size = table.itemsize
        bp = mp.um_bufs.getblk(frag << fs.fs_fshift, fs.fs_bsize)
        if mp.um_swapped:
            swapped = table[:]
            swapped.byteswap()
            bp.data[:] = swapped.tobytes()
        else:
            bp.data[:] = table.tobytes()
        put(mp.um_bufs, bp, start * size, fs.fs_bsize if stop is None else stop * size)
        self.release(frag)

    def release(self, frag: int) -> None:
        """An indirect block that is held stays as it is on the disk."""
        table = self._held.pop(frag)
        self._tables.remove(frag)
        self._tables.put(frag, table)

    def forget(self, frag: int) -> None:
        """Drop an indirect block, which is none any more."""
        self._held.pop(frag, None)
        self._tables.remove(frag)
        self._mp.um_bufs.binval(frag << self._fs.fs_fshift)

    def _indirect(self, ip: Inode, level: int, span: int, index: int, want: int) -> tuple[int, int]:
        """Return what `bmap` does, for block `index` of the `span` blocks below di_ib[level]."""
        frag = ip.dinode.di_ib[level]
        while frag:
            table = self._tables.get(frag)
            if table is None:
                table = self._load(ip, level, frag)
            span //= self._nindir
            if span == 1:
                return self._run(table, index, index + want)
            slot, index = divmod(index, span)
            frag = table[slot]
        return 0, min(want, span - index)

    def _run(self, table: Sequence[int], index: int, stop: int) -> tuple[int, int]:
        """Return the address in table[index], and how many entries before `stop` continue it."""
        first = table[index]
        following = index + 1
        if following == stop:
            return first, 1
        if stop > len(table):
            stop = len(table)
        if first:
            step = self._frag
            expected = first + step
            while following < stop and table[following] == expected:
                following += 1
                expected += step
        else:
            while following < stop and not table[following]:
                following += 1
        return first, following - index

    def _load(self, ip: Inode, level: int, frag: int) -> array[int]:
        """Read the indirect block at `frag`."""
        held = self._held.get(frag)
        if held is not None:
            return held
        fs = self._fs
        if frag < 0 or frag + fs.fs_frag > self._mp.um_frags:
            raise Corrupt(
                f"{fs.where}: inode {ip.i_number}: indirect block below {_FIELDS[level]}",
                "address",
                frag,
                f"the file system ends at frag {self._mp.um_frags}",
            )
        table = array(self._typecode)
        table.frombytes(self._mp.um_bufs.pread(fs.fs_bsize, frag << fs.fs_fshift))
        if self._mp.um_swapped:
            table.byteswap()
        self._tables.put(frag, table)
        return table
