"""Where things are in an FFS: the address arithmetic of a superblock's fields.

Addresses called *frag* count fragments of fs_fsize bytes from the start of the file system; group numbers
and inode numbers are not checked here. Source: the macros of NetBSD sys/ufs/ffs/fs.h.
"""

from __future__ import annotations

from rumpfs.ondisk.ufs.fs import NDADDR


class Geometry:
    """The formulas; `Superblock` has the fields."""

    __slots__ = ()

    ufs2: bool
    fs_sblkno: int
    fs_cblkno: int
    fs_iblkno: int
    fs_dblkno: int
    fs_old_cgoffset: int
    fs_old_cgmask: int
    fs_ncg: int
    fs_bsize: int
    fs_fsize: int
    fs_frag: int
    fs_bshift: int
    fs_inopb: int
    fs_ipg: int
    fs_fpg: int
    fs_size: int

    # Cylinder groups: frag addresses.

    def cgbase(self, cg: int) -> int:
        """First frag of a group; bitmaps count from here."""
        return self.fs_fpg * cg

    def cgstart(self, cg: int) -> int:
        """Frag from which a group's metadata is placed (skewed in old UFS1 file systems)."""
        base = self.fs_fpg * cg
        return base if self.ufs2 else base + self.fs_old_cgoffset * (cg & ~self.fs_old_cgmask)

    def cgsblock(self, cg: int) -> int:
        """Frag of a group's copy of the superblock."""
        return self.cgstart(cg) + self.fs_sblkno

    def cgtod(self, cg: int) -> int:
        """Frag of the cylinder group block."""
        return self.cgstart(cg) + self.fs_cblkno

    def cgimin(self, cg: int) -> int:
        """First frag of a group's inode table."""
        return self.cgstart(cg) + self.fs_iblkno

    def cgdmin(self, cg: int) -> int:
        """First data frag after a group's inode table."""
        return self.cgstart(cg) + self.fs_dblkno

    def cgfrags(self, cg: int) -> int:
        """Number of frags in a group; the last one may be short."""
        return min(self.fs_fpg, self.fs_size - self.fs_fpg * cg)

    # Inodes.

    @property
    def dinode_size(self) -> int:
        """Bytes of an inode on disk."""
        return 256 if self.ufs2 else 128

    @property
    def maxino(self) -> int:
        """Number of inodes; valid inode numbers are below it."""
        return self.fs_ncg * self.fs_ipg

    def ino_to_cg(self, ino: int) -> int:
        """Group of an inode."""
        return ino // self.fs_ipg

    def ino_to_fsba(self, ino: int) -> int:
        """Frag of the block that holds an inode."""
        cg, index = divmod(ino, self.fs_ipg)
        return self.cgimin(cg) + index // self.fs_inopb * self.fs_frag

    def ino_to_byte(self, ino: int) -> int:
        """Byte offset of an inode in the file system."""
        cg, index = divmod(ino, self.fs_ipg)
        return self.cgimin(cg) * self.fs_fsize + index * self.dinode_size

    # Blocks.

    def dtog(self, frag: int) -> int:
        """Group of a frag."""
        return frag // self.fs_fpg

    def dtogd(self, frag: int) -> int:
        """Index of a frag in its group's bitmaps."""
        return frag % self.fs_fpg

    def lblkno(self, offset: int) -> int:
        """Logical block of a byte offset in a file."""
        return offset >> self.fs_bshift

    def blkoff(self, offset: int) -> int:
        """Byte offset in its logical block."""
        return offset & (self.fs_bsize - 1)

    def fragroundup(self, nbytes: int) -> int:
        """Bytes rounded up to whole frags."""
        return (nbytes + self.fs_fsize - 1) & -self.fs_fsize

    def blkroundup(self, nbytes: int) -> int:
        """Bytes rounded up to whole blocks."""
        return (nbytes + self.fs_bsize - 1) & -self.fs_bsize

    def blksize(self, size: int, lbn: int) -> int:
        """Bytes allocated to a logical block of a file of `size` bytes; 0 past its end."""
        start = lbn << self.fs_bshift
        if size <= start:
            return 0
        if lbn >= NDADDR or size >= start + self.fs_bsize:
            return self.fs_bsize
        return self.fragroundup(size - start)

    def frag_in_range(self, frag: int, count: int = 1) -> bool:
        """True when `count` frags from `frag` on lie inside the file system."""
        return frag > 0 and frag + count <= self.fs_size

    @property
    def bytes_needed(self) -> int:
        """Bytes of the device that the file system covers."""
        return self.fs_size * self.fs_fsize
