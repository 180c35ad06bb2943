"""Extended attributes (NetBSD: ufs_extattr.c for UFS1, ffs_extattr.c for UFS2).

An attribute that is not there is ENODATA: UFS1's recorded answer, and the one that setxattr's flags go by.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rumpfs.fs.ffs.extattr.area import InodeExtattrs
from rumpfs.fs.ffs.extattr.backing import FileExtattrs
from rumpfs.fs.ffs.extattr.extattrs import Extattrs

if TYPE_CHECKING:
    from rumpfs.fs.ffs.ufsmount import FfsMount


def extattrs_of(mp: FfsMount) -> Extattrs:
    """Return the extended attributes of a mount."""
    return InodeExtattrs(mp) if mp.um_fs.ufs2 else FileExtattrs(mp)


__all__ = ["Extattrs", "extattrs_of"]
