"""Making a file system, as newfs(8) does it (NetBSD sbin/newfs/mkfs.c)."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from rumpfs.abi import errno
from rumpfs.base.errors import VfsError
from rumpfs.fs.ffs.newfs_layout import Layout, Parameters
from rumpfs.ondisk.ufs.appleufs import APPLEUFS_LABEL_OFFSET, APPLEUFS_LABEL_SIZE, is_appleufs_label
from rumpfs.ondisk.ufs.cg import CG, CG_MAGIC, MAXFRAG
from rumpfs.ondisk.ufs.dinode import IFDIR, Dinode, dinode_codec
from rumpfs.ondisk.ufs.dirchunk import first_chunk
from rumpfs.ondisk.ufs.fs import (
    CSUM,
    FS,
    FS_UFS1_MAGIC,
    FS_UFS2_MAGIC,
    FS_UFS2EA_MAGIC,
    ROOTINO,
    SBLOCKSEARCH,
    SBLOCKSIZE,
)
from rumpfs.ondisk.ufs.superblock import Csum, Superblock
from rumpfs.ondisk.ufs.wapbl import DEV_BSIZE

if TYPE_CHECKING:
    from rumpfs.dev.window import Window

#: ``random(nbytes)`` returns bytes that nobody can guess, or the same ones each time for images that are to
#: be made again.
Random = Callable[[int], bytes]

_ROOT_MODE: Final = 0o755
#: Bytes of inodes that are written at a time.
_WRITE: Final = 1 << 20
_MAGIC: Final = FS.offset("fs_magic")
#: What a superblock of FFS, LFS or ext2 is known by: byte offset, magic, width.
_MAGICS: Final = (
    (_MAGIC, FS_UFS1_MAGIC, 4),
    (_MAGIC, FS_UFS2_MAGIC, 4),
    (_MAGIC, FS_UFS2EA_MAGIC, 4),
    (0, 0x70162, 4),
    (56, 0xEF53, 2),
)
_EXT2_SBOFF: Final = 1024


class Newfs:
    """A file system that is to be made.

    Args:
        size: bytes of the file system.
        p: what is wanted.
        random: for generation numbers of inodes.
        uid, gid: owner of the root directory.

    Attributes:
        fs: its superblock, before the root directory is made.

    Raises:
        VfsError: EINVAL, with the reason why there is no such file system.
    """

    def __init__(self, size: int, p: Parameters, random: Random, uid: int = 0, gid: int = 0) -> None:
        self._p = p
        self._random = random
        self._owner = (uid, gid)
        self._device_size = size
        layout = Layout(size, p)
        row = layout.superblock()
        self._copy = FS.codec(p.order).pack(row)
        self.fs = Superblock.decode(self._copy, p.order, layout.sblockloc, "the new file system")
        self._summary: list[Csum] = []

    @property
    def copies(self) -> list[int]:
        """The sectors of 512 bytes at which the copies of the superblock are, as fsck -b takes them."""
        fs = self.fs
        return [fs.cgsblock(cgx) * fs.fs_fsize // DEV_BSIZE for cgx in range(fs.fs_ncg)]

    def write(self, window: Window) -> None:
        """Write the file system.

        Raises:
            VfsError: ENOSPC when the window is too small; what the host says.
        """
        fs = self.fs
        if fs.bytes_needed > window.size:
            why = f"{window.name} has {window.size} bytes, the file system needs {fs.bytes_needed}"
            raise VfsError(errno.ENOSPC, why)
        self._zap(window)
        for cgx in range(fs.fs_ncg):
            self._write_group(window, cgx)
        self._write_root(window)
        self._write_superblock(window)
        window.fsync()

    # --- what was there before

    def _zap(self, window: Window) -> None:
        """Remove what looks like a superblock where ours is not: somebody would find it first."""
        places = {_EXT2_SBOFF, *SBLOCKSEARCH}
        for base in SBLOCKSEARCH:
            size = SBLOCKSIZE
            while size <= 0x10000:
                places.add(-(-(base + SBLOCKSIZE) // size) * size)
                size <<= 1
        for place in sorted(places - {0}):
            if place + SBLOCKSIZE < self._device_size:
                self._zap_at(window, place)
        if window.size >= APPLEUFS_LABEL_OFFSET + APPLEUFS_LABEL_SIZE:
            if is_appleufs_label(window.pread(APPLEUFS_LABEL_SIZE, APPLEUFS_LABEL_OFFSET)):
                window.pwrite(bytes(APPLEUFS_LABEL_SIZE), APPLEUFS_LABEL_OFFSET)

    def _zap_at(self, window: Window, place: int) -> None:
        data = window.pread(FS.size, place)
        for offset, magic, width in _MAGICS:
            field = data[offset : offset + width]
            if magic in (int.from_bytes(field, "little"), int.from_bytes(field, "big")):
                window.pwrite(bytes(width), place + offset)

    # --- groups

    def _write_group(self, window: Window, cgx: int) -> None:
        """Write a group: a copy of the superblock, the maps, and inodes."""
        fs = self.fs
        head = self._copy.ljust((fs.fs_cblkno - fs.fs_sblkno) * fs.fs_fsize, b"\0")
        window.pwrite(head + self._group(cgx).ljust(fs.fs_bsize, b"\0"), fs.cgsblock(cgx) * fs.fs_fsize)
        count = min(fs.fs_ipg, 2 * fs.fs_inopb) if fs.ufs2 else fs.fs_ipg
        step = _WRITE // fs.dinode_size
        start = fs.cgimin(cgx) * fs.fs_fsize
        for first in range(0, count, step):
            window.pwrite(self._inodes(min(step, count - first)), start + first * fs.dinode_size)

    def _inodes(self, count: int) -> bytes:
        """Return free inodes, which differ in their generation numbers only."""
        fs = self.fs
        record = dinode_codec(fs).record
        table = bytearray(count * record.size)
        at = record.offset("di_gen")
        random = self._random(4 * count)
        for index in range(4):
            table[at + index :: record.size] = random[index::4]
        top = at if fs.order == ">" else at + 3
        table[top :: record.size] = bytes(value & 0x7F for value in table[top :: record.size])
        return bytes(table)

    def _group(self, cgx: int) -> bytes:
        """Return the bytes of a group without files; its counters are added to the summary."""
        fs = self.fs
        frag = fs.fs_frag
        frags = fs.cgfrags(cgx)
        before = fs.fs_sblkno // frag if cgx else 0
        first = fs.fs_dblkno + (0 if cgx else fs.fs_cssize // fs.fs_fsize)
        head = min(-first % frag, frags - first)
        block = -(-first // frag)
        whole = max(0, frags // frag - block)
        tail = max(0, frags - (block + whole) * frag)
        frsum = [0] * MAXFRAG
        for length in (head, tail):
            if length:
                frsum[length] += 1
        used = ROOTINO if cgx == 0 else 0
        cs = Csum(0, before + whole, fs.fs_ipg - used, head + tail)
        self._summary.append(cs)
        free = (1 << before * frag) - 1 | ((1 << frags) - 1) >> first << first
        clusters = (1 << before) - 1 | ((1 << whole) - 1) << block
        row = self._header(cgx, frags, cs, frsum)
        data = bytearray(fs.fs_cgsize)
        data[: CG.size] = CG.codec(fs.order).pack(row)
        self._maps(data, row, (1 << used) - 1, free, clusters, (before, whole))
        if not fs.ufs2:
            struct.pack_into(f"{fs.order}ih", data, row.cg_old_btotoff, cs.cs_nbfree, _i16(cs.cs_nbfree))
        return bytes(data)

    def _header(self, cgx: int, frags: int, cs: Csum, frsum: list[int]) -> Any:
        fs = self.fs
        values: dict[str, Any] = dict.fromkeys(CG.names, 0)
        values |= {"cg_sparecon32": (0, 0), "cg_sparecon64": (0, 0, 0), "cg_frsum": tuple(frsum)}
        values |= {"cg_magic": CG_MAGIC, "cg_cgx": cgx, "cg_ndblk": frags, "cg_cs": tuple(cs)}
        if fs.fs_contigsumsize > 0:
            values["cg_nclusterblks"] = frags // fs.fs_frag
        if fs.ufs2:
            values["cg_time"] = self._p.seconds
            values["cg_niblk"] = fs.fs_ipg
            values["cg_initediblk"] = min(fs.fs_ipg, 2 * fs.fs_inopb)
            iused = CG.size
        else:
            values["cg_old_ncyl"] = fs.fs_old_cpg
            values["cg_old_time"] = fs.record.fs_old_time
            values["cg_old_niblk"] = _i16(fs.fs_ipg)
            values["cg_old_btotoff"] = CG.size
            values["cg_old_boff"] = CG.size + 4 * fs.fs_old_cpg
            iused = CG.size + 6 * fs.fs_old_cpg
        free = iused + (fs.fs_ipg + 7 >> 3)
        end = free + (fs.fs_fpg + 7 >> 3)
        if fs.fs_contigsumsize > 0:
            values["cg_clustersumoff"] = end - 1 & ~3
            values["cg_clusteroff"] = values["cg_clustersumoff"] + 4 * (fs.fs_contigsumsize + 1)
            end = values["cg_clusteroff"] + (fs.fs_fpg // fs.fs_frag + 7 >> 3)
        return CG.row(**values | {"cg_iusedoff": iused, "cg_freeoff": free, "cg_nextfreeoff": end})

    def _maps(
        self, data: bytearray, row: Any, inodes: int, free: int, clusters: int, runs: tuple[int, int]
    ) -> None:
        """Enter the maps of inodes, frags and blocks, and the runs of free blocks."""
        fs = self.fs
        _place(data, row.cg_iusedoff, inodes, fs.fs_ipg)
        _place(data, row.cg_freeoff, free, fs.fs_fpg)
        if fs.fs_contigsumsize > 0:
            _place(data, row.cg_clusteroff, clusters, fs.fs_fpg // fs.fs_frag)
            sums = [0] * fs.fs_contigsumsize
            for run in runs:
                if run:
                    sums[min(run, fs.fs_contigsumsize) - 1] += 1
            struct.pack_into(f"{fs.order}{len(sums)}i", data, row.cg_clustersumoff + 4, *sums)

    # --- the root directory

    def _write_root(self, window: Window) -> None:
        """Make the root directory, in the first free block of the first group."""
        fs = self.fs
        offset = fs.cgtod(0) * fs.fs_fsize
        data = bytearray(window.pread(fs.fs_cgsize, offset))
        row = CG.codec(fs.order).unpack(data)
        frags = fs.fs_dblkno + fs.fs_cssize // fs.fs_fsize
        block = -(-frags // fs.fs_frag)
        frag = block * fs.fs_frag
        if not row.cg_cs[1]:
            raise VfsError(errno.EINVAL, "the first cylinder group has no room for the root directory")
        ndir, nbfree, nifree, nffree = row.cg_cs
        rest = fs.fs_frag - 1
        cs = Csum(ndir + 1, nbfree - 1, nifree - 1, nffree + rest)
        frsum = list(row.cg_frsum)
        if rest:
            frsum[rest] += 1
        data[: CG.size] = CG.codec(fs.order).pack(row._replace(cg_cs=tuple(cs), cg_frsum=tuple(frsum)))
        data[row.cg_iusedoff] |= 1 << ROOTINO
        data[row.cg_freeoff + (frag >> 3)] &= ~(1 << (frag & 7))
        if fs.fs_contigsumsize > 0:
            self._shrink_cluster(data, row, block)
        if not fs.ufs2:
            struct.pack_into(f"{fs.order}ih", data, row.cg_old_btotoff, cs.cs_nbfree, _i16(cs.cs_nbfree))
        window.pwrite(data, offset)
        window.pwrite(
            first_chunk(fs.order, fs.dirblksiz, ROOTINO, ROOTINO).ljust(fs.fs_fsize, b"\0"),
            frag * fs.fs_fsize,
        )
        self._write_root_inode(window, frag)
        self._account(cs)

    def _shrink_cluster(self, data: bytearray, row: Any, block: int) -> None:
        """Take the first block out of the run that begins with it."""
        fs = self.fs
        run = row.cg_nclusterblks - block
        data[row.cg_clusteroff + (block >> 3)] &= ~(1 << (block & 7))
        for length, change in ((run, -1), (run - 1, 1)):
            if length:
                at = row.cg_clustersumoff + 4 * min(length, fs.fs_contigsumsize)
                (count,) = struct.unpack_from(f"{fs.order}i", data, at)
                struct.pack_into(f"{fs.order}i", data, at, count + change)

    def _write_root_inode(self, window: Window, frag: int) -> None:
        fs = self.fs
        codec = dinode_codec(fs)
        offset = fs.ino_to_byte(ROOTINO)
        old = window.pread(codec.size, offset)
        now = self._p.seconds
        zero: Dinode = codec.decode(old)
        uid, gid = self._owner
        root = zero._replace(
            di_mode=IFDIR | _ROOT_MODE, di_nlink=2, di_uid=uid, di_gid=gid, di_size=fs.dirblksiz,
            di_blocks=fs.fs_fsize // DEV_BSIZE, di_db=(frag, *(0,) * 11),
            di_atime=now, di_mtime=now, di_ctime=now, di_birthtime=now if fs.ufs2 else 0,
        )  # fmt: skip
        window.pwrite(codec.encode(root, old), offset)

    def _account(self, cs: Csum) -> None:
        """Enter the counters of the first group in the totals."""
        before = self._summary[0]
        self._summary[0] = cs
        fs = self.fs
        changes = [new - old for new, old in zip(cs, before, strict=True)]
        fs.fs_cstotal = Csum(*map(sum, zip(fs.fs_cstotal, changes, strict=True)))
        if not fs.ufs2:
            fs.record = fs.record._replace(fs_old_cstotal=tuple(fs.fs_cstotal))

    def _write_superblock(self, window: Window) -> None:
        """Write the summary and the superblock, last."""
        fs = self.fs
        flat = [number for cs in self._summary for number in cs]
        summary = struct.pack(f"{fs.order}{len(flat)}i", *flat).ljust(fs.fs_cssize, b"\0")
        assert len(flat) == fs.fs_ncg * CSUM.size // 4
        window.pwrite(summary, fs.fs_csaddr * fs.fs_fsize)
        room = fs.cgsblock(0) * fs.fs_fsize - fs.fs_sblockloc
        window.pwrite(fs.encode().ljust(room, b"\0")[:room], fs.fs_sblockloc)


def _place(data: bytearray, offset: int, bits: int, count: int) -> None:
    """Store a map of `count` bits."""
    nbytes = count + 7 >> 3
    data[offset : offset + nbytes] = bits.to_bytes(nbytes, "little")


def _i16(value: int) -> int:
    """Return the low 16 bits as a signed number."""
    return (value & 0xFFFF ^ 0x8000) - 0x8000
