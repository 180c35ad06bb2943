"""A file system as it lies on its device, damaged or not: for studies that read its structures in bulk.

Nothing is mounted, so that one whose root directory is lost can be studied, too; and what no inode leads to
any more.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from rumpfs.base.errors import DiskError, VfsError
from rumpfs.dev.window import Window
from rumpfs.fs.ffs.fsck.disk import Disk
from rumpfs.fs.ffs.fsck.tables import bad_range
from rumpfs.fs.ffs.fsck.walk import Run, Walk, has_blocks
from rumpfs.fs.ffs.wapbl.replay import replay_start
from rumpfs.ondisk.ufs.cg import Cg
from rumpfs.ondisk.ufs.dinode import IFMT, SF_SNAPSHOT, Dinode, dinode_codec
from rumpfs.ondisk.ufs.fs import NDADDR
from rumpfs.ondisk.ufs.superblock import Superblock, find_superblock

#: Bytes of inodes that are read at a time.
_READ: Final = 1 << 18
#: How often a frag may be claimed before a file system is given up, and what is let pass in any case.
_CLAIMS: Final = 4
_MOST: Final = 65536
#: Addresses in snapshots that are none (BLK_NOCOPY, BLK_SNAP).
_SNAPSHOT_MARKS: Final = (1, 2)


class Piece(NamedTuple):
    """A run of frags that an inode leads to.

    Attributes:
        lbn: number of the first block, as `fsck.walk.Run` has it.
        frag, frags: address and length.
        attributes: they hold extended attributes.
    """

    lbn: int
    frag: int
    frags: int
    attributes: bool = False

    @property
    def end(self) -> int:
        """The frag behind it."""
        return self.frag + self.frags


def level_of(fs: Superblock, lbn: int) -> int:
    """Return the level of an indirect block by its (negative) number: 0 for one that leads to blocks."""
    return (-lbn - NDADDR) % fs.fs_nindir


class Raw:
    """The structures of a file system.

    Args:
        window: its device; the caller closes it.
        sblock: the sector of 512 bytes at which a copy of the superblock lies; 0 for the primary.
        replay: see a log that was not replayed as if it were; one that is damaged is left alone.

    Attributes:
        fs: the superblock.
        window: the device as it is seen, with the log replayed.
        below: the device as it is.
        disk: reads the device; what is beyond its end is missing, and no error.
        size: bytes of the device.
        frags: those that both the superblock and the device have.
        groups: likewise.
        codec: of the inodes.

    Raises:
        DiskError: there is no superblock, or a damaged one.
        VfsError: what the host says.
    """

    def __init__(self, window: Window, sblock: int = 0, replay: bool = True) -> None:
        fs = find_superblock(window.pread, window.size, window.name, sblock)
        self.below = window
        if replay and fs.has_wapbl:
            replayed = replay_start(window, fs, force=True, readonly=True)
            if replayed is not None:
                window = replayed.in_memory(window)
                fs = find_superblock(window.pread, window.size, window.name, sblock)
        self.fs = fs
        self.window = window
        self.disk = Disk(window)
        self.size = window.size
        self.frags = min(fs.fs_size, window.size >> fs.fs_fshift)
        self.groups = min(fs.fs_ncg, -(-self.frags // fs.fs_fpg))
        self.codec = dinode_codec(fs)
        self._groups: dict[int, Cg | None] = {}

    def read_frags(self, frag: int, count: int) -> bytes:
        """Return the bytes of frags; fewer when the device ends before."""
        return self.disk.read(count << self.fs.fs_fshift, frag << self.fs.fs_fshift)

    def group(self, cgx: int) -> Cg | None:
        """Return a cylinder group; None when it is damaged."""
        if cgx not in self._groups:
            fs = self.fs
            try:
                found = Cg.decode(self.read_frags(fs.cgtod(cgx), -(-fs.fs_cgsize // fs.fs_fsize)), fs, cgx)
            except DiskError:
                found = None
            self._groups[cgx] = found
        return self._groups[cgx]

    def is_free(self, frag: int) -> bool:
        """True when its group has a frag as free; a damaged group has none."""
        cg = self.group(frag // self.fs.fs_fpg)
        return cg is not None and cg.frag_free(frag % self.fs.fs_fpg)

    def initialised(self, cgx: int) -> int:
        """Return how many inodes of a group were ever initialised; all when it is damaged."""
        cg = self.group(cgx)
        return self.fs.fs_ipg if cg is None else cg.initediblk

    def tables(self) -> Iterator[tuple[int, bytes]]:
        """Yield the inodes of all groups in large pieces: the number of the first one, and their bytes."""
        fs = self.fs
        size = self.codec.size
        step = _READ // size
        for cgx in range(self.groups):
            offset = fs.cgimin(cgx) << fs.fs_fshift
            inited = self.initialised(cgx)
            for index in range(0, inited, step):
                data = self.disk.read(min(step, inited - index) * size, offset + index * size)
                yield cgx * fs.fs_ipg + index, data[: len(data) // size * size]

    def inodes(self) -> Iterator[tuple[int, Dinode]]:
        """Yield the inodes that are in use."""
        many = self.codec.decode_many
        for first, data in self.tables():
            for ino, di in enumerate(many(data), first):
                if di.di_mode & IFMT:
                    yield ino, di

    def inode(self, ino: int) -> Dinode | None:
        """Return an inode, whatever it holds; None when there is none, or not on the device."""
        data = self.inode_bytes(ino)
        return self.codec.decode(data) if data else None

    def inode_bytes(self, ino: int) -> bytes:
        """Return the bytes of an inode; none when there is none, or not on the device."""
        if not 0 <= ino < self.fs.maxino:
            return b""
        data = self.disk.read(self.codec.size, self.fs.ino_to_byte(ino))
        return data if len(data) == self.codec.size else b""


class Budget:
    """What following pointers may cost: what is sound needs less, however large it is.

    Args:
        raw: the file system.

    Attributes:
        frags: that may still be found; every one of them by several claimants.
        bad: pointers out of the file system that may still be met.
    """

    def __init__(self, raw: Raw) -> None:
        self.frags = _CLAIMS * raw.frags + _MOST
        self.bad = _MOST

    @property
    def spent(self) -> bool:
        """True when it is not worth while to go on."""
        return self.frags <= 0 or self.bad <= 0


class Pieces:
    """Follows the pointers of inodes: each indirect block once, so that the work is bounded by the device.

    Args:
        raw: the file system.
        budget: shared by those who do this often; one of its own when it is not given.
    """

    def __init__(self, raw: Raw, budget: Budget | None = None) -> None:
        self._fs = raw.fs
        self._walk = _Once(raw.disk, raw.fs)
        self._budget = budget or Budget(raw)

    def of(self, di: Dinode) -> Iterator[Piece]:
        """Yield what an inode leads to, as far as it lies in the file system; indirect blocks first."""
        fs = self._fs
        budget = self._budget
        snapshot = di.di_flags & SF_SNAPSHOT
        if has_blocks(fs, di):
            for lbn, frag, count in self._walk.runs(di.di_size, di.di_db, di.di_ib):
                if budget.spent:
                    return
                if snapshot and frag in _SNAPSHOT_MARKS:
                    continue
                if not bad_range(fs, frag, count):
                    budget.frags -= count
                    yield Piece(lbn, frag, count)
                elif count > fs.fs_frag:
                    budget.frags -= count
                    yield from self._blocks(lbn, frag, count)
                else:
                    budget.bad -= 1
        if fs.ufs2:
            for lbn, frag, count in self._walk.attributes(di):
                if not bad_range(fs, frag, count):
                    yield Piece(lbn, frag, count, True)

    def _blocks(self, lbn: int, frag: int, count: int) -> Iterator[Piece]:
        """Yield the blocks of a run that crosses from one group to the next, as far as they can be data."""
        step = self._fs.fs_frag
        for index, start in enumerate(range(frag, frag + count, step)):
            if not bad_range(self._fs, start, step):
                yield Piece(lbn + index, start, step)


class _Once(Walk):
    """Reads each indirect block once: one that comes again is damage, and leads nowhere."""

    def __init__(self, disk: Disk, fs: Superblock) -> None:
        Walk.__init__(self, disk, fs)
        self._seen: set[int] = set()

    def pointers(self, frag: int) -> tuple[int, ...]:
        """Return what an indirect block holds; nothing when it was read before."""
        if frag in self._seen:
            return ()
        self._seen.add(frag)
        try:
            return Walk.pointers(self, frag)
        except VfsError:
            return ()


def content(raw: Raw, di: Dinode, limit: int | None = None) -> Iterator[tuple[int, int, bytes]]:
    """Yield (byte offset, frag, bytes) of what an inode's blocks hold, in order; holes are left out.

    Args:
        limit: bytes from which on nothing is read.
    """
    fs = raw.fs
    end = di.di_size if limit is None else min(limit, di.di_size)
    for lbn, frag, count, attributes in Pieces(raw).of(di):
        offset = lbn * fs.fs_bsize
        if lbn < 0 or attributes or offset >= end:
            continue
        for done in range(0, count, _READ >> fs.fs_fshift):
            start = offset + (done << fs.fs_fshift)
            nbytes = min(min(count - done, _READ >> fs.fs_fshift) << fs.fs_fshift, end - start)
            if nbytes > 0:
                yield start, frag + done, raw.disk.read(nbytes, (frag + done) << fs.fs_fshift)


__all__ = ["Piece", "Pieces", "Raw", "Run", "content", "level_of"]
