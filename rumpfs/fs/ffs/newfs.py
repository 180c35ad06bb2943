"""Making a file system, as newfs(8) does it (NetBSD sbin/newfs/mkfs.c)."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from rumpfs.abi import errno
from rumpfs.base.errors import VfsError
from rumpfs.fs.ffs.newfs_group import (
    GroupUse,
    blank_inodes,
    first_block,
    free_frags,
    group_bytes,
    initial_inodes,
)
from rumpfs.fs.ffs.newfs_layout import Layout, Parameters
from rumpfs.ondisk.ufs.appleufs import APPLEUFS_LABEL_OFFSET, APPLEUFS_LABEL_SIZE, is_appleufs_label
from rumpfs.ondisk.ufs.dinode import IFDIR, dinode_codec
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
    UFS_WAPBL_JOURNALLOC_END_PARTITION,
)
from rumpfs.ondisk.ufs.superblock import Csum, Superblock
from rumpfs.ondisk.ufs.wapbl import DEV_BSIZE, enter_log

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

    def place_log(self, size: int) -> None:
        """Let a log have what is behind the file system, up to byte `size` of the device.

        A mount that asks for a log uses that (ffs_wapbl.c: wapbl_log_position), and makes its headers then.
        """
        fs = self.fs
        end = fs.fs_size * fs.fs_fsize // DEV_BSIZE
        enter_log(fs, UFS_WAPBL_JOURNALLOC_END_PARTITION, (end, size // DEV_BSIZE - end, DEV_BSIZE, 0))

    def write(self, window: Window, sync: bool = True) -> None:
        """Write the file system.

        Args:
            window: where to.
            sync: wait until it is on the host's disk.

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
        self._total()
        self._write_files(window)
        self._write_superblock(window)
        if sync:
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
        use = self._use(cgx)
        data, cs = group_bytes(fs, cgx, use, self._p.seconds)
        self._summary.append(cs)
        window.pwrite(head + data.ljust(fs.fs_bsize, b"\0"), fs.cgsblock(cgx) * fs.fs_fsize)
        step = _WRITE // fs.dinode_size
        start = fs.cgimin(cgx) * fs.fs_fsize
        for first in range(0, use.initediblk, step):
            table = blank_inodes(fs, min(step, use.initediblk - first), self._random)
            self._fill(table, cgx * fs.fs_ipg + first)
            window.pwrite(table, start + first * fs.dinode_size)

    def _use(self, cgx: int) -> GroupUse:
        """Return what is used of a group: in the first one the root directory, and its first frag."""
        fs = self.fs
        free = free_frags(fs, cgx)
        if cgx:
            return GroupUse(0, 0, free, initial_inodes(fs, 0))
        block = first_block(fs) << fs.fs_fragshift
        if not free >> block & 1:
            raise VfsError(errno.EINVAL, "the first cylinder group has no room for the root directory")
        return GroupUse(ROOTINO + 1, 1, free & ~(1 << block), initial_inodes(fs, 0))

    def _fill(self, table: bytearray, first: int) -> None:
        """Enter the inodes that are used, with their numbers from `first` on, in a part of the table."""
        if first:
            return
        fs = self.fs
        codec = dinode_codec(fs)
        place = slice(ROOTINO * codec.size, (ROOTINO + 1) * codec.size)
        uid, gid = self._owner
        now = self._p.seconds
        root = codec.decode(table, place.start)._replace(
            di_mode=IFDIR | _ROOT_MODE, di_nlink=2, di_uid=uid, di_gid=gid, di_size=fs.dirblksiz,
            di_blocks=fs.fs_fsize // DEV_BSIZE, di_db=(first_block(fs) << fs.fs_fragshift, *(0,) * 11),
            di_atime=now, di_mtime=now, di_ctime=now, di_birthtime=now if fs.ufs2 else 0,
        )  # fmt: skip
        table[place] = codec.encode(root, table[place])

    # --- the root directory and the superblock

    def _write_files(self, window: Window) -> None:
        """Write the root directory."""
        fs = self.fs
        chunk = first_chunk(fs.order, fs.dirblksiz, ROOTINO, ROOTINO)
        window.pwrite(chunk.ljust(fs.fs_fsize, b"\0"), first_block(fs) * fs.fs_bsize)

    def _total(self) -> None:
        """Enter the totals in the superblock."""
        fs = self.fs
        fs.fs_cstotal = Csum(*map(sum, zip(*self._summary, strict=True)))
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
