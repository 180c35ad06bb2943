"""File handles: what getfh(2) gives and fhopen(2) takes (sys/sys/fstypes.h)."""

from __future__ import annotations

import struct
from typing import Final

#: fh_fsid, with which struct fhandle begins; a struct fid of the file system's own follows
FSID: Final = struct.Struct("<II")
#: fid_len, with which struct fid begins: its length in bytes, this field included
FID_LEN: Final = struct.Struct("<H")

#: a smaller handle is padded with zeros
FHANDLE_SIZE_MIN: Final = 28
FHANDLE_SIZE_MAX: Final = 1024


def fhandle_size(fid_len: int) -> int:
    """Return the length of the handle of a struct fid (FHANDLE_SIZE)."""
    return max(FHANDLE_SIZE_MIN, FSID.size + fid_len)
