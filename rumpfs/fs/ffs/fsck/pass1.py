"""Pass 1: blocks and sizes. Every inode is looked at, and what it claims is entered in the map of frags.

Source: NetBSD sbin/fsck_ffs/pass1.c, pass1b.c, inode.c (`ckinode`, `chkrange`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from rumpfs.fs.ffs.fsck.claim import bad_block, check_blocks, runs
from rumpfs.fs.ffs.fsck.hashes import wrong_hash
from rumpfs.fs.ffs.fsck.tables import BADDIR, BADFILE, DIR, FILE, FREE, Directory
from rumpfs.fs.ffs.fsck.walk import is_fast
from rumpfs.ondisk.ufs.cg import CG, CG_MAGIC
from rumpfs.ondisk.ufs.ckhash import CK_INODE
from rumpfs.ondisk.ufs.dinode import (
    IFBLK,
    IFCHR,
    IFDIR,
    IFIFO,
    IFLNK,
    IFMT,
    IFREG,
    IFSOCK,
    UFS2_DINODE,
    Dinode,
)
from rumpfs.ondisk.ufs.fs import NDADDR, NIADDR, ROOTINO

if TYPE_CHECKING:
    from rumpfs.fs.ffs.fsck.checker import Check

_TYPES: Final = frozenset((IFDIR, IFREG, IFBLK, IFCHR, IFLNK, IFSOCK, IFIFO))
#: UFS_MAXDIRSIZE
_MAXDIRSIZE: Final = (1 << 31) - 1
#: Bytes of inodes that are read at a time.
_READ: Final = 1 << 18


def pass1(ck: Check) -> None:
    """Look at every inode, and where blocks are claimed twice find the first claimant."""
    fs = ck.fs
    ck.phase = "1"
    _reserve(ck)
    empty = _EmptyInode(ck)
    for cg in range(fs.fs_ncg):
        ck.progress("1", cg, fs.fs_ncg)
        inited = ck.inited[cg] = _initialised(ck, cg)
        for ino, data in _tables(ck, cg, inited):
            for index, flat in enumerate(ck.flat(data)):
                if flat[0] & IFMT:
                    if ino + index >= ROOTINO:
                        offset = index * ck.codec.size
                        _check(ck, ino + index, data[offset : offset + ck.codec.size])
                elif empty.holds_something(flat) and ino + index >= ROOTINO:
                    _partially_allocated(ck, ino + index)
    if ck.dups:
        _pass1b(ck)


def _reserve(ck: Check) -> None:
    """Enter what belongs to no inode: superblocks, groups, inode tables, the summary, the boot area."""
    fs = ck.fs
    areas = [(fs.cgbase(0) if cg == 0 else fs.cgsblock(cg), fs.cgdmin(cg)) for cg in range(fs.fs_ncg)]
    areas.append((fs.fs_csaddr, fs.fs_csaddr + -(-fs.fs_cssize // fs.fs_fsize)))
    for first, end in areas:
        ck.map.reserve(first, min(end, fs.fs_size))


def _initialised(ck: Check, cg: int) -> int:
    """Return how many inodes of a group's table mean something.

    In UFS2 the group says so; when there is no group, the rest of the table is what is zero to its end.
    """
    fs = ck.fs
    if not fs.ufs2:
        return fs.fs_ipg
    data = ck.disk.read(CG.size, fs.cgtod(cg) * fs.fs_fsize)
    if len(data) == CG.size:
        row = CG.codec(fs.order).unpack(data)
        if row.cg_magic == CG_MAGIC and 0 <= row.cg_initediblk <= fs.fs_ipg:
            return int(row.cg_initediblk)
    inited = 0
    for ino, table in _tables(ck, cg, fs.fs_ipg):
        used = len(table.rstrip(b"\0"))
        if used:
            index = ino % fs.fs_ipg + used // ck.codec.size + 1
            inited = -(-index // fs.fs_inopb) * fs.fs_inopb
    return min(inited, fs.fs_ipg)


def _tables(ck: Check, cg: int, inited: int) -> Iterator[tuple[int, bytes]]:
    """Yield the inodes of a group in large pieces: the number of the first one, and their bytes."""
    size = ck.codec.size
    offset = ck.fs.cgimin(cg) * ck.fs.fs_fsize
    step = _READ // size
    for index in range(0, inited, step):
        data = ck.disk.read(min(step, inited - index) * size, offset + index * size)
        whole = len(data) // size * size
        yield cg * ck.fs.fs_ipg + index, data[:whole]


class _EmptyInode:
    """Tells whether an inode without a type holds something all the same."""

    def __init__(self, ck: Check) -> None:
        record = ck.codec.record
        self._size = record.place("di_size")
        self._db = record.place("di_db")
        self._ib = record.place("di_ib")

    def holds_something(self, flat: tuple[Any, ...]) -> bool:
        """True when there is a size or a pointer."""
        return bool(flat[self._size] or any(flat[self._db]) or any(flat[self._ib]))


def _partially_allocated(ck: Check, ino: int) -> None:
    if ck.ask("partially-allocated-inode", inode=ino, field="di_mode", got=0):
        ck.clear(ino)


def _check(ck: Check, ino: int, data: bytes) -> None:
    """Look at an inode in use."""
    di = ck.codec.decode(data)
    if not _is_sane(ck, di):
        _unknown(ck, ino, di)
        return
    _check_hash(ck, ino, data)
    ck.files += 1
    inodes = ck.inodes
    inodes.links[ino] = di.di_nlink
    inodes.dtype[ino] = (di.di_mode & IFMT) >> 12
    if di.di_nlink <= 0:
        ck.unlinked.add(ino)
    if di.di_mode & IFMT == IFDIR:
        inodes.state[ino] = DIR if di.di_size else BADDIR
        found = Directory(ino, di.di_size, di.di_db, di.di_ib, ROOTINO if ino == ROOTINO else 0)
        ck.dirs[ino] = found
    else:
        inodes.state[ino] = FILE
    check_blocks(ck, ino, di)
    if ino in ck.limits and ino in ck.dirs:
        ck.dirs[ino].limit = ck.limits[ino]


def _unknown(ck: Check, ino: int, di: Dinode) -> None:
    """An inode that cannot be what it says that it is."""
    if ck.ask("unknown-file-type", inode=ino, field="di_mode", got=di.di_mode):
        ck.clear(ino)
    else:
        ck.inodes.state[ino] = BADFILE
        ck.unclaimed.add(ino)


def _is_sane(ck: Check, di: Dinode) -> bool:
    """True when type, size and the pointers that are used fit together."""
    fs = ck.fs
    kind = di.di_mode & IFMT
    largest = fs.fs_maxfilesize if fs.ufs2 else 0x80000000 * fs.fs_bsize - 1
    if kind not in _TYPES or di.di_size > largest or (kind == IFDIR and di.di_size > _MAXDIRSIZE):
        return False
    direct, levels = _pointers_used(ck, di)
    return not any(di.di_db[direct:]) and not any(di.di_ib[levels:])


def _pointers_used(ck: Check, di: Dinode) -> tuple[int, int]:
    """Return how many direct and indirect pointers an inode of its size may have."""
    fs = ck.fs
    kind = di.di_mode & IFMT
    if kind == IFLNK and (fs.fs_maxsymlinklen < 0 or is_fast(fs, di)):
        words = -(-di.di_size // (8 if fs.ufs2 else 4))
        return min(words, NDADDR), max(0, words - NDADDR)
    count = -(-di.di_size // fs.fs_bsize) + (kind in (IFBLK, IFCHR))
    levels = 0
    left = count - NDADDR
    while left > 0 and levels < NIADDR:
        left //= fs.fs_nindir
        levels += 1
    return min(count, NDADDR), levels


def _check_hash(ck: Check, ino: int, data: bytes) -> None:
    """Check FreeBSD's hash of an inode, which UFS1 has no room for."""
    if not ck.fs.ufs2:
        return
    wrong = wrong_hash(ck.fs, CK_INODE, data, UFS2_DINODE, "di_ckhash")
    if wrong and ck.ask("inode-hash", inode=ino, **wrong):
        ck.put(ino, ck.dinode(ino))


def _pass1b(ck: Check) -> None:
    """Find the first inode that claims a block that others claim too."""
    ck.phase = "1b"
    wanted = set(ck.dups)
    state = ck.inodes.state
    for ino in range(ROOTINO, ck.fs.maxino):
        if state[ino] == FREE or ino in ck.unclaimed:
            continue
        for first, count in runs(ck, ino, ck.dinode(ino)):
            for frag in range(first, first + count):
                if frag in wanted:
                    wanted.discard(frag)
                    bad_block(ck, "duplicate-block", ino, frag)
            if not wanted:
                return
