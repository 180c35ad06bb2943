"""Where things are allocated: the choice of groups, and the counters of all of them (NetBSD: ffs_alloc.c).

Nothing here writes to the disk at once, but for the one case that demands it (`Alloc._initialise`): maps and
counters are what fsck_ffs counts anew.
"""

from __future__ import annotations

import random
from array import array
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from rumpfs.abi import errno
from rumpfs.abi.stat import S_IFDIR, S_IFMT
from rumpfs.base.clock import now
from rumpfs.base.errors import Corrupt, DiskError, VfsError
from rumpfs.fs.ffs.cache import Cache
from rumpfs.fs.ffs.cylgroup import CylGroup
from rumpfs.ondisk.ufs.cg import Cg
from rumpfs.ondisk.ufs.dinode import dinode_codec
from rumpfs.ondisk.ufs.fs import CSUM, ROOTINO
from rumpfs.ondisk.ufs.superblock import Csum

if TYPE_CHECKING:
    from rumpfs.fs.ffs.ufsmount import FfsMount
    from rumpfs.vfs.cred import Cred

# Indices of struct csum's counters.
NDIR, NBFREE, NIFREE, NFFREE = range(4)

#: fs_optim: what the reallocation of fragments saves (ufs/ffs/fs.h)
FS_OPTTIME, FS_OPTSPACE = 0, 1

#: Bytes of groups kept that need not be written, and groups that wait to be written at most.
_GROUPS_CACHE: Final = 16 << 20
_DIRTY_MAX: Final = 64

#: Directories without files in between that a group takes (fs_contigdirs is an array of bytes).
_CONTIGDIRS_MAX: Final = 255

_GEN_MAX: Final = 1 << 30


class Alloc:
    """The groups of a file system that is mounted for writing.

    Args:
        mp: the mount.

    Attributes:
        freed: frags that were given back and that `settle` makes free; always 0 without a log.

    Errors: EIO: the summary of the groups cannot be read.
    """

    def __init__(self, mp: FfsMount) -> None:
        fs = mp.um_fs
        self._mp = mp
        self._fs = fs
        self._groups: Cache[int, CylGroup] = Cache(mp.um_memory, _GROUPS_CACHE, lambda group: group.nbytes)
        self._dirty: dict[int, CylGroup] = {}
        summary = mp.pread(fs.fs_ncg * CSUM.size, fs.fs_csaddr << fs.fs_fshift)
        rows = CSUM.codec(fs.order).iter_unpack_flat(summary)
        self._cs = array("i", [counter for row in rows for counter in row])
        self._total = list(fs.fs_cstotal)
        self._contigdirs = bytearray(fs.fs_ncg)
        self._freed: list[tuple[int, int]] = []
        self._freed_groups: set[int] = set()
        self._left: list[tuple[int, int]] = []  # frags [first, stop) given back
        self._left_at = 0  # the last barrier before that
        self.freed = 0

    # --- groups ---------------------------------------------------------------------------------

    @staticmethod
    def new_generation() -> int:
        """Return a generation number for an inode that never had one."""
        return random.randint(1, _GEN_MAX)

    def _group(self, cg: int) -> CylGroup:
        """Return a group that is about to be changed. Errors: EIO."""
        group = self._dirty.get(cg)
        if group is not None:
            return group
        group = self._groups.get(cg)
        if group is None:
            group = self._load(cg)
            self._groups.put(cg, group)
        if len(self._dirty) >= _DIRTY_MAX:
            self.flush()
        self._dirty[cg] = group
        return group

    def _load(self, cg: int) -> CylGroup:
        fs = self._fs
        data = bytes(self._mp.um_bufs.bread(fs.cgtod(cg) << fs.fs_fshift, fs.fs_cgsize).data)
        try:
            decoded = Cg.decode(data, fs, cg)
        except DiskError as error:
            raise self._mp.damaged(VfsError(errno.EIO, str(error))) from error
        for which, counter in enumerate(decoded.cg_cs):
            self._count(cg, which, counter - self._cs[4 * cg + which])
        return CylGroup(fs, decoded, data, f"{fs.where}: cylinder group {cg}")

    def _count(self, cg: int, which: int, change: int) -> None:
        """Change a counter of a group, and that of the file system."""
        self._cs[4 * cg + which] += change
        self._total[which] += change

    def flush(self) -> None:
        """Hand the changed groups and the summary to the buffer cache; put the counters in the superblock."""
        fs, bufs = self._fs, self._mp.um_bufs
        for cg in sorted(self._dirty):
            self._write(cg, self._dirty.pop(cg))
        swapped = array("i", self._cs)
        if self._mp.um_swapped:
            swapped.byteswap()
        bufs.rewrite(fs.fs_csaddr << fs.fs_fshift, swapped.tobytes(), fs.fs_cssize)
        fs.fs_cstotal = Csum(*self._total)

    @property
    def changing(self) -> int:
        """Groups that wait to be written, at most."""
        return len(self._dirty) + len(self._freed_groups)

    def _write(self, cg: int, group: CylGroup) -> None:
        """Write a group some time."""
        fs = self._fs
        a, b, c, d = self._cs[4 * cg : 4 * cg + 4]
        data = group.encode((a, b, c, d), now()[0])
        self._mp.um_bufs.rewrite(fs.cgtod(cg) << fs.fs_fshift, data)

    def totals(self) -> Csum:
        """Return the counters of the file system."""
        return Csum(*self._total)

    def _hashalloc(self, cg: int) -> Iterator[int]:
        """Yield the groups in the order in which they are tried, from a first one on (ffs_hashalloc)."""
        ncg = self._fs.fs_ncg
        yield cg
        place, step = cg, 1
        while step < ncg:
            place = (place + step) % ncg
            yield place
            step *= 2
        for step in range(2, ncg):
            yield (cg + step) % ncg

    # --- blocks and frags -----------------------------------------------------------------------

    def _freespace(self) -> int:
        """Return the free frags that are not the superuser's reserve; may be negative (freespace)."""
        fs, total = self._fs, self._total
        return (total[NBFREE] << fs.fs_fragshift) + total[NFFREE] - fs.reserved_frags

    def blocks(self, cg: int, pref: int, want: int, cred: Cred) -> tuple[int, int]:
        """Allocate blocks that follow each other (ffs_alloc).

        Args:
            cg: the group of the inode.
            pref: the frag where they should start; 0 for wherever it suits in the group.
            want: how many are wanted.

        Returns:
            (frag, blocks): at least one block.

        Errors: ENOSPC, EIO.
        """
        fs = self._fs
        if cred.euid:
            free = self._freespace()
            if free <= 0:
                raise VfsError(errno.ENOSPC)
            want = min(want, max(1, free >> fs.fs_fragshift))
        if not self._total[NBFREE]:
            raise VfsError(errno.ENOSPC)
        first = pref // fs.fs_fpg if pref else cg
        for number in self._hashalloc(first):
            if not self._cs[4 * number + NBFREE]:
                continue
            place = pref % fs.fs_fpg if pref and number == first else -1
            frag, count = self._group(number).alloc_blocks(place, want)
            if count:
                self._count(number, NBFREE, -count)
                return self._vacated(frag + fs.cgbase(number), count << fs.fs_fragshift), count
        raise VfsError(errno.ENOSPC)

    def frags(self, cg: int, pref: int, count: int, cred: Cred) -> int:
        """Allocate frags of one block, less than a block has, and return the first (ffs_alloc).

        Args:
            cg, pref: as for `blocks`.

        Errors: ENOSPC, EIO.
        """
        fs = self._fs
        if cred.euid and self._freespace() <= 0:
            raise VfsError(errno.ENOSPC)
        first = pref // fs.fs_fpg if pref else cg
        for number in self._hashalloc(first):
            if self._cs[4 * number + NFFREE] < count and not self._cs[4 * number + NBFREE]:
                continue
            place = pref % fs.fs_fpg if pref and number == first else -1
            group = self._group(number)
            frag = group.alloc_frags(place, count) if self._cs[4 * number + NFFREE] >= count else -1
            if frag >= 0:
                self._count(number, NFFREE, -count)
                return self._vacated(frag + fs.cgbase(number), count)
            frag, found = group.alloc_blocks(place, 1)
            if found:
                group.free_frags(frag + count, fs.fs_frag - count)
                self._count(number, NBFREE, -1)
                self._count(number, NFFREE, fs.fs_frag - count)
                return self._vacated(frag + fs.cgbase(number), count)
        raise VfsError(errno.ENOSPC)

    def extend(self, frag: int, old: int, new: int, cred: Cred) -> bool:
        """Let `old` frags at `frag` become `new` where they are, if what follows is free (ffs_fragextend).

        Errors: ENOSPC: only the superuser's reserve is left; EIO.
        """
        if cred.euid and self._freespace() <= 0:
            raise VfsError(errno.ENOSPC)
        cg, index = divmod(frag, self._fs.fs_fpg)
        if self._cs[4 * cg + NFFREE] < new - old or not self._group(cg).extend(index, old, new):
            return False
        self._count(cg, NFFREE, old - new)
        self._vacated(frag + old, new - old)
        return True

    def replace(self, cg: int, pref: int, count: int, cred: Cred) -> int:
        """Allocate a new place for frags that have to move, and return it (ffs_realloccg).

        To save time a whole block is taken and what is too much of it given back, so that the file can go
        on growing there; to save space, when free frags abound, just what is needed.

        Errors: ENOSPC, EIO.
        """
        fs = self._fs
        if count == fs.fs_frag:
            return self.blocks(cg, pref, 1, cred)[0]
        nffree = self._total[NFFREE]
        if fs.fs_optim == FS_OPTTIME and nffree >= fs.fs_dsize * (fs.fs_minfree - 2) // 100:
            fs.fs_optim = FS_OPTSPACE
        elif fs.fs_optim == FS_OPTSPACE and fs.fs_minfree >= 5 and nffree <= fs.reserved_frags // 2:
            fs.fs_optim = FS_OPTTIME
        if fs.fs_optim == FS_OPTTIME and self._total[NBFREE]:
            frag = self.blocks(cg, pref, 1, cred)[0]
            self.untake(frag + count, fs.fs_frag - count)
            return frag
        return self.frags(cg, pref, count, cred)

    def free(self, frag: int, count: int) -> None:
        """Give frags back that follow each other (ffs_blkfree); those that are none of a file's are left.

        With a log nobody else gets them before the commit: until then they belong to whom they belonged to.

        Errors: EIO: a group cannot be read.
        """
        if self._mp.um_log is None:
            self.untake(frag, count)
            self._leave(frag, count)
            return
        fpg = self._fs.fs_fpg
        self._freed.append((frag, count))
        self._freed_groups.update(range(frag // fpg, (frag + count - 1) // fpg + 1))
        self.freed += count

    def _leave(self, frag: int, count: int) -> None:
        """Note frags that were given back since the last barrier."""
        barriers = self._mp.um_bufs.barriers
        if self._left_at != barriers:
            self._left_at = barriers
            self._left.clear()
        self._left.append((frag, frag + count))

    def _vacated(self, frag: int, count: int) -> int:
        """Return frags that somebody gets, and that no inode on the host's disk has any more. Errors: EIO."""
        bufs = self._mp.um_bufs
        if self._left and self._left_at == bufs.barriers and bufs.ordered:
            if any(first < frag + count and frag < stop for first, stop in self._left):
                bufs.barrier()
        return frag

    def settle(self) -> None:
        """Make free what was given back. Errors: EIO."""
        freed, self._freed = self._freed, []
        self._freed_groups.clear()
        self.freed = 0
        for frag, count in freed:
            self.untake(frag, count)

    def untake(self, frag: int, count: int) -> None:
        """Make frags free at once which no inode on the disk has. Errors: EIO: a group cannot be read."""
        fs = self._fs
        while count > 0:
            cg, index = divmod(frag, fs.fs_fpg)
            bit = index & fs.fs_frag - 1
            step = min(count, fs.fs_fpg - index)
            step = min(step, fs.fs_frag - bit) if bit or step < fs.fs_frag else step & -fs.fs_frag
            try:
                self._check(frag, step)
                self._free(cg, index, step)
            except DiskError as error:
                self._mp.damaged(error)
            frag += step
            count -= step

    def _free(self, cg: int, index: int, count: int) -> None:
        fs = self._fs
        group = self._group(cg)
        if count >= fs.fs_frag:
            group.free_blocks(index, count >> fs.fs_fragshift)
            self._count(cg, NBFREE, count >> fs.fs_fragshift)
        elif group.free_frags(index, count):
            self._count(cg, NBFREE, 1)
            self._count(cg, NFFREE, count - fs.fs_frag)
        else:
            self._count(cg, NFFREE, count)

    def _check(self, frag: int, count: int) -> None:
        """Check that frags are where files have them. Raises: Corrupt."""
        fs = self._fs
        cg = frag // fs.fs_fpg
        if not 0 <= frag <= frag + count <= fs.fs_size:
            raise Corrupt(fs.where, "address", frag, f"is to be freed; there are {fs.fs_size} frags")
        first = fs.cgbase(0) if cg == 0 else fs.cgsblock(cg)
        if frag < fs.cgdmin(cg) and frag + count > first:
            raise Corrupt(fs.where, "address", frag, f"is to be freed, and is metadata of group {cg}")

    def blkpref(self, cg: int, lbn: int, before: int) -> int:
        """Return where a block should go, 0 for anywhere in the group of the inode (ffs_blkpref).

        That is behind the block before it, and after fs_maxbpg blocks another group that is not too full.

        Args:
            cg: the group of the inode.
            lbn: logical block number.
            before: the frag of the block before it, 0 for none.
        """
        fs = self._fs
        if before and lbn % fs.fs_maxbpg:
            pref = before + fs.fs_frag
            return pref if pref < fs.fs_size else 0
        if lbn < fs.fs_maxbpg:
            return 0
        start = before // fs.fs_fpg + 1 if before else cg + lbn // fs.fs_maxbpg
        average = self._total[NBFREE] // fs.fs_ncg
        for step in range(fs.fs_ncg):
            number = (start + step) % fs.fs_ncg
            if self._cs[4 * number + NBFREE] >= average:
                return fs.cgbase(number) + fs.fs_frag
        return 0

    def longest_run(self, cg: int, most: int) -> tuple[int, int]:
        """Return (frag, blocks) of the first run of `most` free blocks in a group, or of its longest.

        Errors: EIO.
        """
        group = self._dirty.get(cg) or self._groups.get(cg) or self._load(cg)
        block, count = group.longest_run(most)
        return self._fs.cgbase(cg) + (block << self._fs.fs_fragshift), count

    # --- inodes ---------------------------------------------------------------------------------

    def inode(self, parent: int, mode: int) -> int:
        """Allocate an inode and return its number (ffs_valloc).

        Args:
            parent: inode number of the directory.
            mode: its type.

        Errors: ENOSPC, EIO.
        """
        fs = self._fs
        directory = mode & S_IFMT == S_IFDIR
        first, pref = (self._dirpref(parent), 0) if directory else divmod(parent, fs.fs_ipg)
        for number in self._hashalloc(first):
            if not self._cs[4 * number + NIFREE]:
                continue
            group = self._group(number)
            index = group.alloc_inode(pref if number == first else -1)
            if index < 0:
                continue
            self._count(number, NIFREE, -1)
            if directory:
                self._count(number, NDIR, 1)
            kept = self._contigdirs[number] + (1 if directory else -1)
            self._contigdirs[number] = max(0, min(kept, _CONTIGDIRS_MAX))
            if fs.ufs2 and index >= group.initediblk:
                self._initialise(group, index)
            return number * fs.fs_ipg + index
        raise VfsError(errno.ENOSPC, "there are no free inodes")

    def _initialise(self, group: CylGroup, index: int) -> None:
        """Initialise the table of a UFS2 group as far as an inode, which nobody has written to yet.

        The new inodes are on the disk before the group that says so, and that is before one of them is used.
        """
        fs, bufs = self._fs, self._mp.um_bufs
        codec = dinode_codec(fs)
        free = codec.decode(bytes(codec.size))
        while group.initediblk <= index:
            ino = group.cgx * fs.fs_ipg + group.initediblk
            bp = bufs.getblk(fs.ino_to_fsba(ino) << fs.fs_fshift, fs.fs_bsize)
            inodes = (codec.encode(free._replace(di_gen=self.new_generation())) for _ in range(fs.fs_inopb))
            bp.data[:] = b"".join(inodes)
            bufs.bwrite(bp)
            group.initediblk = min(group.initediblk + fs.fs_inopb, fs.fs_ipg)
        self._write(group.cgx, group)
        bufs.bwrite(bufs.bread(fs.cgtod(group.cgx) << fs.fs_fshift, fs.fs_cgsize))
        self._mp.initialised(group.cgx)

    def free_inode(self, ino: int, mode: int) -> None:
        """Give an inode back (ffs_vfree).

        Args:
            mode: the mode that it had.

        Errors: EIO: the group cannot be read.
        """
        cg, index = divmod(ino, self._fs.fs_ipg)
        try:
            self._group(cg).free_inode(index)
        except DiskError as error:
            self._mp.damaged(error)
            return
        self._count(cg, NIFREE, 1)
        if mode & S_IFMT == S_IFDIR:
            self._count(cg, NDIR, -1)

    def _dirpref(self, parent: int) -> int:
        """Return the group where a directory should go (ffs_dirpref).

        Those in the root are spread; others stay near their parents, as long as there is room for the files
        that a directory usually has.
        """
        fs, ncg = self._fs, self._fs.fs_ncg
        ndir, nbfree, nifree, _ = (counter // ncg for counter in self._total)
        counters = [self._cs[4 * cg : 4 * cg + 4] for cg in range(ncg)]
        if parent == ROOTINO:
            start = random.randrange(ncg)
            order = [(start + step) % ncg for step in range(ncg)]
            roomy = [cg for cg in order if counters[cg][NIFREE] >= nifree and counters[cg][NBFREE] >= nbfree]
            return min(roomy, key=lambda cg: counters[cg][NDIR], default=start)
        maxndir = min(ndir + fs.fs_ipg // 16, fs.fs_ipg)
        minifree, minbfree = max(1, nifree * 3 // 4), max(1, nbfree * 3 // 4)
        cgsize = fs.fs_fsize * fs.fs_fpg
        dirsize = fs.fs_avgfilesize * fs.fs_avgfpdir
        if ndir:
            dirsize = max(dirsize, (cgsize - nbfree * fs.fs_bsize) // ndir)
        most = nbfree * fs.fs_bsize // dirsize if cgsize < _CONTIGDIRS_MAX * dirsize else _CONTIGDIRS_MAX
        most = max(1, min(most, fs.fs_ipg // fs.fs_avgfpdir))
        first = parent // fs.fs_ipg
        order = [(first + step) % ncg for step in range(ncg)]
        for cg in order:
            cs = counters[cg]
            if (
                cs[NDIR] < maxndir
                and cs[NIFREE] >= minifree
                and cs[NBFREE] >= minbfree
                and self._contigdirs[cg] < most
            ):
                return cg
        return next((cg for cg in order if counters[cg][NIFREE] >= nifree), first)
