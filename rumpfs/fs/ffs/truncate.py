"""Changing the length of files, and freeing their blocks (NetBSD: ffs_inode.c: ffs_truncate).

What is shortened is written in this order: the inode, without the blocks that go; the indirect blocks that
stay, without them; and only then they are free for others.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from typing import TYPE_CHECKING

from rumpfs.abi import errno
from rumpfs.base.errors import DiskError, VfsError
from rumpfs.fs.ffs.balloc import Balloc
from rumpfs.ondisk.ufs.dinode import IFDIR, IFLNK, IFMT, IFREG, Dinode
from rumpfs.ondisk.ufs.fs import NDADDR, NIADDR

if TYPE_CHECKING:
    from rumpfs.fs.ffs.inode import Inode
    from rumpfs.fs.ffs.readwrite import DataInode
    from rumpfs.vfs.cred import Cred

#: di_blocks counts units of this many bytes (DEV_BSIZE).
_UNIT_SHIFT = 9

#: (frag, frags) that follow each other
_Run = tuple[int, int]


def truncate(ip: DataInode, length: int, cred: Cred) -> None:
    """Set the length of a file; what is new reads as zeros, and its last block is allocated.

    Errors: EFBIG, ENOSPC, EIO; the file stays as it is then.
    """
    fs = ip.v_mount.um_fs
    if length > fs.fs_maxfilesize:
        raise VfsError(errno.EFBIG)
    if length < ip.i_size:
        if ip.v_mount.um_log is not None:
            shorten_in_steps(ip, length)
        if length & fs.fs_bsize - 1:
            last = length >> fs.fs_bshift
            ip.zero(length, (last << fs.fs_bshift) + fs.blksize(length, last))
        _Shrink(ip).run(length)
    elif length > ip.i_size:
        extend(ip, length, length, length, cred).commit()


def shorten(dp: DataInode, length: int) -> None:
    """Cut a directory off behind its last name; what is left in its last block means nothing. Errors: EIO."""
    _Shrink(dp).run(length)


def shorten_in_steps(ip: Inode, length: int) -> None:
    """Bring a file near a length, in steps of which each fits in a transaction (ffs_indirtrunc with a log).

    Each takes what one indirect block leads to. What is left is for a last step. Errors: EIO.
    """
    mp = ip.v_mount
    fs = mp.um_fs
    if not holds_blocks(ip):
        return
    kept = length + fs.fs_bsize - 1 >> fs.fs_bshift
    while (last := mp.um_bmap.last_block(ip)) >= NDADDR:
        stop = last - (last - NDADDR) % fs.fs_nindir
        if stop <= max(kept, NDADDR) or stop << fs.fs_bshift >= ip.i_size:
            return
        _Shrink(ip).run(stop << fs.fs_bshift)
        mp.begin()


def extend(ip: DataInode, offset: int, end: int, newsize: int, cred: Cred) -> Balloc:
    """Allocate the bytes [offset, end) of a file for its new length, and zero what will not be written there.

    The caller writes them, and commits then; with `offset` = `end` there is nothing to write.

    Errors: ENOSPC, EIO.
    """
    old = ip.i_size
    fs = ip.v_mount.um_fs
    balloc = Balloc(ip, cred)
    balloc.grow(min(offset, end - 1), end)
    balloc.enter(newsize)
    if offset > old:
        last = old >> fs.fs_bshift
        ip.zero(old, min(offset, (last << fs.fs_bshift) + fs.blksize(old, last)))
    for start, stop in balloc.fresh:
        if start < offset:
            ip.zero(start, min(stop, offset))
        if stop > end:
            ip.zero(max(start, end), stop)
    return balloc


class _Shrink:
    """Frees blocks of a file."""

    def __init__(self, ip: Inode) -> None:
        mp = ip.v_mount
        self._ip = ip
        self._mp = mp
        self._fs = mp.um_fs
        self._bmap = mp.um_bmap
        self._size = ip.dinode.di_size
        self._meta = ip.i_mode & IFMT != IFREG
        self._db = list(ip.dinode.di_db)
        self._ib = list(ip.dinode.di_ib)
        self._runs: list[_Run] = []
        self._cut: list[tuple[int, int]] = []  # (frag of an indirect block, pointers that stay)
        self._gone: list[int] = []  # frags of indirect blocks

    def run(self, length: int) -> None:
        """Set the length; what follows it in its last block is zero. Errors: EIO."""
        ip, fs = self._ip, self._fs
        blocks = length + fs.fs_bsize - 1 >> fs.fs_bshift
        self._collect(length, blocks)
        freed = sum(count for _, count in self._runs) << fs.fs_fshift - _UNIT_SHIFT
        a, b, c = self._ib
        ip.dinode = ip.dinode._replace(
            di_size=length, di_blocks=max(0, ip.dinode.di_blocks - freed), di_db=tuple(self._db),
            di_ib=(a, b, c),
        )  # fmt: skip
        ip.remap(length)
        ip.update()
        for frag, kept in self._cut:
            table = self._bmap.hold(frag, self._bmap.table(ip, 0, frag))
            table[kept:] = array(table.typecode, [0]) * (len(table) - kept)
            self._bmap.write(frag, kept)
        self.free()

    def delete(self, dinode: Dinode) -> None:
        """Free everything; the inode becomes `dinode`, which has no blocks. Errors: EIO."""
        ip, fs = self._ip, self._fs
        old = ip.dinode
        if holds_blocks(ip):
            self._collect(0, 0)
        ext = old.di_extsize if fs.ufs2 else 0
        for lbn, frag in enumerate(old.di_extb):
            nbytes = fs.blksize(ext, lbn)
            if frag and nbytes > 0:
                self._runs.append((frag, nbytes >> fs.fs_fshift))
        ip.dinode = dinode
        ip.remap(0)
        ip.update()
        self.free()

    def free(self) -> None:
        """Give back what was collected."""
        mp, fs = self._mp, self._fs
        assert mp.um_alloc is not None
        for frag in self._gone:
            self._bmap.forget(frag)
            mp.revoke(frag, fs.fs_frag)
        for frag, count in self._runs:
            if self._meta:
                for place in range(frag, frag + count):
                    mp.um_bufs.binval(place << fs.fs_fshift)
                mp.revoke(frag, count)
            mp.um_alloc.free(frag, count)

    def _collect(self, length: int, blocks: int) -> None:
        """Take the blocks from `blocks` on out of the pointers, and what the last one has too much."""
        fs, db = self._fs, self._db
        for lbn in range(blocks, NDADDR):
            nbytes = fs.blksize(self._size, lbn)
            if db[lbn] and nbytes:
                self._add(db[lbn], nbytes >> fs.fs_fshift)
            db[lbn] = 0
        if 0 < blocks <= NDADDR and db[blocks - 1]:
            old = fs.blksize(self._size, blocks - 1) >> fs.fs_fshift
            new = fs.blksize(length, blocks - 1) >> fs.fs_fshift
            if new < old:
                self._add(db[blocks - 1] + new, old - new)
        kept = max(0, blocks - NDADDR)
        span = 1
        for level in range(NIADDR):
            span *= fs.fs_nindir
            if self._ib[level]:
                self._guarded(level, self._ib[level], min(kept, span))
                if not kept:
                    self._ib[level] = 0
            kept = max(0, kept - span)

    def _guarded(self, level: int, frag: int, kept: int) -> None:
        """Collect below an indirect block of the inode; what is damaged stays allocated, for fsck_ffs."""
        try:
            self._below(level, frag, kept)
        except DiskError as error:
            self._mp.damaged(error)

    def _below(self, level: int, frag: int, kept: int) -> None:
        """Collect what an indirect block leads to from the block `kept` of its own on; itself with 0."""
        fs = self._fs
        table = self._bmap.table(self._ip, level, frag)
        span = fs.fs_nindir**level
        first, partly = divmod(kept, span)
        if partly and table[first]:
            self._guarded(level - 1, table[first], partly)
        start = first + bool(partly)
        if start == len(table):
            return
        if level:
            for below in table[start:]:
                if below:
                    self._guarded(level - 1, below, 0)
        else:
            for run in _runs(table, start, fs.fs_frag):
                self._add(*run)
        if not kept:
            self._gone.append(frag)
            self._add(frag, fs.fs_frag)
        elif any(table[start:]):
            self._cut.append((frag, start))

    def _add(self, frag: int, count: int) -> None:
        """Collect frags, joined to the run before them when they follow it."""
        if self._runs and sum(self._runs[-1]) == frag:
            frag, before = self._runs.pop()
            count += before
        self._runs.append((frag, count))


def _runs(table: array[int], start: int, step: int) -> Iterator[_Run]:
    """Yield the runs of blocks of `step` frags that a table points to."""
    frag = stop = 0
    for address in table[start:]:
        if address == stop and frag:
            stop += step
            continue
        if frag:
            yield frag, stop - frag
        frag, stop = address, address + step
    if frag:
        yield frag, stop - frag


def release(ip: Inode, dinode: Dinode) -> None:
    """Free the blocks of a file that has no name and no user; its inode becomes `dinode`. Errors: EIO."""
    _Shrink(ip).delete(dinode)


def holds_blocks(ip: Inode) -> bool:
    """True when the pointers of an inode are addresses: not in a short symbolic link."""
    dinode = ip.dinode
    kind = dinode.di_mode & IFMT
    if kind != IFLNK:
        return kind in (IFREG, IFDIR)
    return not ip.v_mount.um_fs.is_fast_symlink(dinode.di_size, dinode.di_blocks)
