"""The size of an image: as small as its files allow, or as it was asked for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from rumpfs.abi import errno
from rumpfs.base.errors import VfsError
from rumpfs.fs.ffs.newfs_layout import Layout, Parameters
from rumpfs.ondisk.ufs.fs import ROOTINO

#: Sizes that are tried before it is given up.
_TRIES: Final = 1000
#: A size at which only the parameters can be wrong.
_AMPLE: Final = 1 << 28


@dataclass(frozen=True, slots=True)
class Amount:
    """A number, or with `percent` so many percent of what is used."""

    number: int = 0
    percent: bool = False

    def of(self, used: int) -> int:
        """Return the number."""
        return -(-used * self.number // 100) if self.percent else self.number


@dataclass(frozen=True, slots=True)
class Need:
    """What an image must have room for.

    Attributes:
        blocks, files: what is used.
        free_blocks, free_files: what else there should be, for users (makefs -b, -f).
        size: bytes that the image is to have; 0 to make it as small as possible.
        minimum, maximum: bytes that it may have; a `maximum` of 0 is none.
    """

    blocks: int
    files: int
    free_blocks: Amount = Amount()
    free_files: Amount = Amount()
    size: int = 0
    minimum: int = 0
    maximum: int = 0

    @property
    def inodes(self) -> int:
        """Inodes, with the two that are never used."""
        return ROOTINO + self.files + self.free_files.of(self.files)


def check_parameters(p: Parameters) -> Layout:
    """Return the sums of a file system of ample size. Raises: VfsError: there are no such file systems."""
    return Layout(_AMPLE, replace(p, inodes=0))


def fit(p: Parameters, need: Need) -> tuple[int, Parameters]:
    """Return bytes and parameters of a file system that has room.

    Raises:
        VfsError: ENOSPC: the files need more than `size` or `maximum`; EINVAL as from `Layout`.
    """
    ample = check_parameters(p)
    p = replace(p, bsize=ample.bsize, fsize=ample.fsize)
    if need.size:
        return need.size, _with_inodes(need.size, p, need)
    least = _smallest(p, need)
    if need.maximum and least > need.maximum:
        raise VfsError(errno.ENOSPC, f"the files need {least} bytes, {need.maximum} are allowed")
    if least < need.minimum:
        return need.minimum, _with_inodes(need.minimum, p, need)
    return least, replace(p, inodes=need.inodes, density=0)


def _with_inodes(size: int, p: Parameters, need: Need) -> Parameters:
    """Return parameters with as many inodes as newfs would make, if the files leave room for so many."""
    usual = p.density or 4 * p.fsize
    for inodes in (max(need.inodes, size // usual), need.inodes):
        wanted = replace(p, inodes=inodes, density=0)
        if _missing(Layout(size, wanted), p, need) <= 0:
            return wanted
    least = _smallest(p, need)
    raise VfsError(errno.ENOSPC, f"the files need {least} bytes, the image is to have {size}")


def _smallest(p: Parameters, need: Need) -> int:
    """Return the bytes of the smallest file system that has room."""
    wanted = replace(p, inodes=need.inodes, density=0)
    isize = 256 if p.version == 2 else 128
    size = need.blocks * p.bsize + -(-need.inodes * isize // p.bsize) * p.bsize
    for _ in range(_TRIES):
        try:
            layout = Layout(size, wanted)
        except VfsError:
            size += p.bsize
            continue
        missing = _missing(layout, p, need)
        if missing <= 0:
            exact = layout.size * layout.fsize
            if exact < size and _missing(Layout(exact, wanted), p, need) <= 0:
                return exact
            return size
        size += missing * p.bsize
    raise VfsError(errno.ENOSPC, f"no file system has room for {need.files} files in {need.blocks} blocks")


def _missing(layout: Layout, p: Parameters, need: Need) -> int:
    """Return how many blocks a file system lacks; not positive when there is room for everything."""
    reserve = -(-layout.dsize * p.minfree // (100 * layout.frag))
    free = need.free_blocks.of(need.blocks)
    inodes = need.inodes - layout.ncg * layout.ipg
    blocks = need.blocks + free + reserve - layout.blocks
    return max(blocks, -(-inodes // layout.inopb))
