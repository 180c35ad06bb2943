"""How large everything in a new file system is, from what newfs(8) is told.

The sums are those of NetBSD sbin/newfs/newfs.c (defaults) and mkfs.c (`mkfs`), so that the same options give
the same file system.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from rumpfs.abi import errno
from rumpfs.base.errors import VfsError
from rumpfs.ondisk.layout import LITTLE, Order
from rumpfs.ondisk.ufs.fs import (
    CSUM,
    FS,
    FS_44INODEFMT,
    FS_FLAGS_UPDATED,
    FS_ISCLEAN,
    FS_SIZE,
    FS_UFS1_MAGIC,
    FS_UFS2_MAGIC,
    MAXSYMLINKLEN_UFS1,
    MAXSYMLINKLEN_UFS2,
    NDADDR,
    NIADDR,
    ROOTINO,
    SBLOCK_UFS1,
    SBLOCK_UFS2,
    SBLOCKSIZE,
)
from rumpfs.ondisk.ufs.sbcheck import MAXBSIZE, MAXFRAG, MINBSIZE

FS_OPTTIME: Final = 0
FS_OPTSPACE: Final = 1
#: percent; below this newfs optimizes for space (MINFREE)
MINFREE: Final = 5
_AVFILESIZ: Final = 16384
_AFPDIR: Final = 64
#: groups that newfs wants to have (MINCYLGRPS)
_MINCYLGRPS: Final = 4
#: sizeof(struct cg)
_CG_SIZE: Final = 176
#: frags for which there is an inode (NFPI)
_NFPI: Final = 4
#: longest cluster that is counted (FS_MAXCONTIG)
_FS_MAXCONTIG: Final = 16
#: bytes of the largest transfer (MAXPHYS)
_MAXPHYS: Final = 65536
#: sectors of 512 bytes below which frags have so many bytes; what is larger has frags of 4096
_FRAGSIZES: Final = ((20 << 11, 512), (1000 << 11, 1024), (128 << 21, 2048))
_FRAGS_PER_BLOCK: Final = 8
_FS_DYNAMICPOSTBLFMT: Final = 1


@dataclass(frozen=True, slots=True)
class Parameters:
    """What newfs(8) is told; 0 means its default.

    Attributes:
        version: 1 or 2 (-O).
        order: byte order (-B).
        bsize, fsize: bytes of a block and of a frag (-b, -f).
        density: bytes for which there is an inode (-i).
        inodes: inodes; instead of a density (-n).
        minfree: percent that only root may use (-m).
        optim: FS_OPTTIME or FS_OPTSPACE (-o).
        maxcontig: blocks that are laid out together (-a).
        maxbpg: blocks of a file in one group (-e).
        maxbpcg: blocks of a group, at most.
        avgfilesize, avgfpdir: what is expected (-g, -h).
        secsize: bytes of a sector (-S).
        volname: label, up to 31 bytes.
        seconds: the time of it all.
        ident: fs_id.
    """

    version: int = 1
    order: Order = LITTLE
    bsize: int = 0
    fsize: int = 0
    density: int = 0
    inodes: int = 0
    minfree: int = MINFREE
    optim: int = FS_OPTTIME
    maxcontig: int = 0
    maxbpg: int = 0
    maxbpcg: int = 0
    avgfilesize: int = _AVFILESIZ
    avgfpdir: int = _AFPDIR
    secsize: int = 512
    volname: bytes = b""
    seconds: int = 0
    ident: tuple[int, int] = (0, 0)


def _howmany(value: int, unit: int) -> int:
    return -(-value // unit)


def _roundup(value: int, unit: int) -> int:
    return _howmany(value, unit) * unit


def _log2(value: int) -> int:
    return value.bit_length() - 1


def _refuse(why: str) -> VfsError:
    return VfsError(errno.EINVAL, why)


def _check_sizes(bsize: int, fsize: int, secsize: int) -> None:
    """Raise VfsError when a file system cannot have these sizes."""
    checks: tuple[tuple[bool, str], ...] = (
        (_powerof2(secsize) and secsize >= 512, f"sector size must be a power of 2 from 512, not {secsize}"),
        (_powerof2(fsize), f"fragment size must be a power of 2, not {fsize}"),
        (_powerof2(bsize), f"block size must be a power of 2, not {bsize}"),
        (fsize >= secsize, f"fragment size {fsize} is too small, minimum is {secsize}"),
        (bsize >= MINBSIZE, f"block size {bsize} is too small, minimum is {MINBSIZE}"),
        (bsize <= MAXBSIZE, f"block size {bsize} is too large, maximum is {MAXBSIZE}"),
        (bsize >= fsize, f"block size ({bsize}) cannot be smaller than fragment size ({fsize})"),
        (
            bsize <= MAXFRAG * fsize,
            f"fragment size {fsize} is too small, minimum with block size {bsize} is {bsize // MAXFRAG}",
        ),
    )
    for passes, why in checks:
        if not passes:
            raise _refuse(why)


def _powerof2(value: int) -> bool:
    return value > 0 and not value & value - 1


class Layout:
    """The sums.

    Args:
        size: bytes of the file system.
        p: what is wanted.

    Raises:
        VfsError: EINVAL, with the reason why there is no such file system.
    """

    def __init__(self, size: int, p: Parameters) -> None:
        self._p = p
        self.ufs2 = p.version == 2
        self._sizes(size)
        self._contig()
        self._places()
        if self.size < self.iblkno + 3 * self.frag:
            least = self.iblkno + 3 * self.frag
            raise _refuse(f"file system size {self.size} < minimum size of {least} fragments of {self.fsize}")
        self._groups(self._inode_blocks())
        self._summary()

    def _sizes(self, size: int) -> None:
        """Blocks, frags and what follows from them."""
        p = self._p
        sectors = size // p.secsize
        fsize = p.fsize or p.bsize // _FRAGS_PER_BLOCK
        if not fsize:
            fsize = next((nbytes for below, nbytes in _FRAGSIZES if sectors < below), 4096)
            fsize = max(fsize, p.secsize)
        bsize = p.bsize or fsize * _FRAGS_PER_BLOCK
        _check_sizes(bsize, fsize, p.secsize)
        self.bsize, self.fsize = bsize, fsize
        self.frag = bsize // fsize
        self.size = size // fsize
        if not self.ufs2 and self.size >= 1 << 31:
            raise _refuse(f"too many fragments ({self.size}) for a FFSv1 file system")
        self.dinode_size = 256 if self.ufs2 else 128
        self.inopb = bsize // self.dinode_size
        self.nindir = bsize // (8 if self.ufs2 else 4)
        self.cpg = 0 if self.ufs2 else 1

    def _contig(self) -> None:
        self.maxcontig = self._p.maxcontig or max(1, _MAXPHYS // self.bsize)
        self.contigsumsize = min(self.maxcontig, _FS_MAXCONTIG) if self.maxcontig > 1 else 0

    def _places(self) -> None:
        """Where the parts of a group are."""
        self.sblockloc = SBLOCK_UFS2 if self.ufs2 else SBLOCK_UFS1
        self.sblkno = _roundup(_howmany(self.sblockloc + SBLOCKSIZE, self.fsize), self.frag)
        self.cblkno = self.sblkno + _roundup(_howmany(SBLOCKSIZE, self.fsize), self.frag)
        self.iblkno = self.cblkno + self.frag

    def _inode_blocks(self) -> int:
        """Return how many blocks of inodes are wanted."""
        p = self._p
        if p.inodes:
            blocks = _howmany(p.inodes, self.inopb)
        else:
            density = p.density or _NFPI * self.fsize
            frags = max(density * self.inopb // self.fsize, 1)
            blocks = (self.size - self.iblkno) // (self.frag + frags)
        blocks = min(blocks or 1, (self.size - self.iblkno) // self.frag - 2)
        if blocks * self.inopb >= 1 << 31:
            blocks = ((1 << 31) - 8) // self.inopb
        return blocks

    def _cgsize(self, ipg: int, fpg: int) -> int:
        """Return the bytes of a group (CGSIZE)."""
        nbytes = _CG_SIZE + 4 + 6 * self.cpg + _howmany(ipg, 8) + _howmany(fpg, 8)
        if self.contigsumsize > 0:
            nbytes += 4 * self.contigsumsize + _howmany(fpg // self.frag, 8)
        return nbytes

    def _groups(self, inodeblks: int) -> None:
        """As few groups as possible, but some; all of the same size."""
        zero = self._cgsize(0, 0)
        ncg = _howmany(self._cgsize(inodeblks * self.inopb, self.size) - zero, self.bsize - zero)
        if ncg < _MINCYLGRPS:
            more = self.size // 2 // (self.iblkno + inodeblks * self.frag)
            ncg = min(max(ncg, more), _MINCYLGRPS, inodeblks)
        if self._p.maxbpcg:
            ncg = max(ncg, _howmany(self.size, self._p.maxbpcg * self.frag))
        fpg = _roundup(_roundup(_howmany(self.size, ncg), self.frag), 8)
        ipg = _howmany(inodeblks, ncg) * self.inopb
        excess = self._cgsize(ipg, fpg) - self.bsize
        if excess > 0:
            fpg -= excess * 8
            if fpg <= 0:
                raise _refuse("so many inodes do not fit into cylinder groups")
            ncg = _howmany(self.size, fpg)
            ipg = _howmany(inodeblks, ncg) * self.inopb
        if self._cgsize(ipg, fpg) > self.bsize:
            raise _refuse(f"a cylinder group of {self._cgsize(ipg, fpg)} bytes exceeds a block")
        self.fpg, self.ipg = fpg, ipg
        self.dblkno = self.iblkno + ipg // self.inopb * self.frag
        rest = self.size - fpg * (ncg - 1)
        if rest < self.dblkno:
            ncg -= 1
            self.size -= rest
        if ncg < 1:
            raise _refuse("there is no room for a cylinder group")
        self.ncg = ncg
        self.cgsize = _roundup(self._cgsize(ipg, fpg), self.fsize)

    def _summary(self) -> None:
        """The counters of all groups, and the totals before anything is made."""
        self.csaddr = self.dblkno
        self.cssize = _roundup(self.ncg * CSUM.size, self.fsize)
        csfrags = _howmany(self.cssize, self.fsize)
        if self.dblkno + csfrags >= min(self.fpg, self.size):
            raise _refuse("too many cylinder groups to fit their summary into the first one")
        dsize = self.size - self.sblkno - self.ncg * (self.dblkno - self.sblkno)
        rest = csfrags % self.frag
        nbfree = dsize // self.frag - _howmany(csfrags, self.frag)
        nffree = self.size % self.frag + (self.frag - rest if rest else 0)
        self.cstotal = (0, nbfree, self.ncg * self.ipg - ROOTINO, nffree)
        self.dsize = dsize - csfrags

    @property
    def blocks(self) -> int:
        """The whole blocks for files, of all groups."""
        metadata = (self.dblkno - self.sblkno) // self.frag
        first = self.sblkno // self.frag + _howmany(self.cssize, self.fsize * self.frag)
        return self.size // self.frag - self.ncg * metadata - first

    # --- the superblock

    def superblock(self) -> Any:
        """Return the record of the superblock, as the copies in the groups have it."""
        zero: dict[str, Any] = {
            name: (0,) * (kind.count or 0) if kind.is_array else bytes(kind.nbytes) if kind.code == "s" else 0
            for _, name, kind in FS.fields
        }
        values = zero | self._geometry() | self._policy()
        if not self.ufs2:
            values |= self._old_fields()
        return FS.row(**values)

    def _geometry(self) -> dict[str, Any]:
        blocks = NDADDR + sum(self.nindir**level for level in range(1, NIADDR + 1))
        return {
            "fs_sblkno": self.sblkno,
            "fs_cblkno": self.cblkno,
            "fs_iblkno": self.iblkno,
            "fs_dblkno": self.dblkno,
            "fs_ncg": self.ncg,
            "fs_bsize": self.bsize,
            "fs_fsize": self.fsize,
            "fs_frag": self.frag,
            "fs_bmask": -self.bsize,
            "fs_fmask": -self.fsize,
            "fs_bshift": _log2(self.bsize),
            "fs_fshift": _log2(self.fsize),
            "fs_fragshift": _log2(self.frag),
            "fs_fsbtodb": _log2(self.fsize // self._p.secsize),
            "fs_sbsize": min(_roundup(FS_SIZE, self.fsize), SBLOCKSIZE),
            "fs_nindir": self.nindir,
            "fs_inopb": self.inopb,
            "fs_cssize": self.cssize,
            "fs_cgsize": self.cgsize,
            "fs_ipg": self.ipg,
            "fs_fpg": self.fpg,
            "fs_sblockloc": self.sblockloc,
            "fs_size": self.size,
            "fs_dsize": self.dsize,
            "fs_csaddr": self.csaddr,
            "fs_cstotal": self.cstotal,
            "fs_maxbsize": self.bsize,
            "fs_maxfilesize": self.bsize * blocks - 1,
            "fs_qbmask": self.bsize - 1,
            "fs_qfmask": self.fsize - 1,
            "fs_contigsumsize": self.contigsumsize,
            "fs_magic": FS_UFS2_MAGIC if self.ufs2 else FS_UFS1_MAGIC,
        }

    def _policy(self) -> dict[str, Any]:
        p = self._p
        optim = FS_OPTSPACE if p.minfree < MINFREE else p.optim
        return {
            "fs_minfree": p.minfree,
            "fs_maxcontig": self.maxcontig,
            "fs_maxbpg": p.maxbpg or self.nindir,
            "fs_optim": optim,
            "fs_id": p.ident,
            "fs_clean": FS_ISCLEAN,
            "fs_old_flags": FS_FLAGS_UPDATED,
            "fs_old_inodefmt": FS_44INODEFMT,
            "fs_volname": p.volname,
            "fs_time": p.seconds,
            "fs_avgfilesize": p.avgfilesize,
            "fs_avgfpdir": p.avgfpdir,
            "fs_maxsymlinklen": MAXSYMLINKLEN_UFS2 if self.ufs2 else MAXSYMLINKLEN_UFS1,
        }

    def _old_fields(self) -> dict[str, Any]:
        """What UFS1 keeps for readers of the old layout."""
        nspf = self.fsize // self._p.secsize
        spc = self.fpg * nspf
        return {
            "fs_old_cgmask": -1,
            "fs_old_time": (self._p.seconds & 0xFFFFFFFF ^ 1 << 31) - (1 << 31),
            "fs_old_size": self.size,
            "fs_old_dsize": self.dsize,
            "fs_old_rps": 60,
            "fs_old_nspf": nspf,
            "fs_old_npsect": spc,
            "fs_old_interleave": 1,
            "fs_old_csaddr": self.csaddr,
            "fs_old_nsect": spc,
            "fs_old_spc": spc,
            "fs_old_ncyl": self.ncg,
            "fs_old_cpg": self.cpg,
            "fs_old_cstotal": self.cstotal,
            "fs_old_postblformat": _FS_DYNAMICPOSTBLFMT,
            "fs_old_nrpos": 1,
        }
