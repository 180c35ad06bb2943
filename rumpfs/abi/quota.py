"""Structures and numbers of quotactl(2) (sys/sys/quota.h, sys/sys/quotactl.h); amd64."""

from __future__ import annotations

from struct import Struct
from typing import Final, NamedTuple

QUOTA_IDTYPE_USER: Final = 0
QUOTA_IDTYPE_GROUP: Final = 1
QUOTA_OBJTYPE_BLOCKS: Final = 0
QUOTA_OBJTYPE_FILES: Final = 1

#: bytes of a block (DEV_BSIZE)
QUOTA_BLOCK: Final = 512

#: what QUOTACTL_IDTYPESTAT and QUOTACTL_OBJTYPESTAT call them
IDTYPE_NAMES: Final = {QUOTA_IDTYPE_USER: b"user", QUOTA_IDTYPE_GROUP: b"group"}
OBJTYPE_NAMES: Final = {QUOTA_OBJTYPE_BLOCKS: b"block", QUOTA_OBJTYPE_FILES: b"file"}

#: the id whose values new ids get
QUOTA_DEFAULTID: Final = 0xFFFFFFFF
QUOTA_NOLIMIT: Final = 0xFFFFFFFFFFFFFFFF

# qs_restrictions
QUOTA_RESTRICT_NEEDSQUOTACHECK: Final = 0x1
QUOTA_RESTRICT_UNIFORMGRACE: Final = 0x2
QUOTA_RESTRICT_32BIT: Final = 0x4
QUOTA_RESTRICT_READONLY: Final = 0x8

# qc_op
QUOTACTL_STAT: Final = 0
QUOTACTL_IDTYPESTAT: Final = 1
QUOTACTL_OBJTYPESTAT: Final = 2
QUOTACTL_GET: Final = 3
QUOTACTL_PUT: Final = 4
QUOTACTL_DEL: Final = 5
QUOTACTL_CURSOROPEN: Final = 6
QUOTACTL_CURSORCLOSE: Final = 7
QUOTACTL_CURSORSKIPIDTYPE: Final = 8
QUOTACTL_CURSORGET: Final = 9
QUOTACTL_CURSORATEND: Final = 10
QUOTACTL_CURSORREWIND: Final = 11
QUOTACTL_QUOTAON: Final = 12
QUOTACTL_QUOTAOFF: Final = 13

#: struct quotactl_args has 48 bytes: qc_op, and at byte 8 a union, of which these are the members that differ
QUOTACTL_ARGS_SIZE: Final = 48
QC_OP: Final = Struct("<I4x")
#: one pointer: stat, del, cursoropen, cursorclose, cursorrewind
QC_POINTER: Final = Struct("<Q")
#: two pointers: get, put, cursoratend
QC_POINTERS: Final = Struct("<QQ")
#: a type and a pointer: idtypestat, objtypestat, quotaon
QC_TYPE_POINTER: Final = Struct("<i4xQ")
#: a pointer and a type: cursorskipidtype
QC_POINTER_TYPE: Final = Struct("<Qi")
#: cursor, keys, values, how many of them there may be, where their number goes: cursorget
QC_CURSORGET: Final = Struct("<QQQI4xQ")

#: struct quotastat: implname, numidtypes, numobjtypes, restrictions
QUOTASTAT: Final = Struct("<32siiI")
QUOTAIDTYPESTAT: Final = Struct("<32s")
#: struct quotaobjtypestat: name, isbytes
QUOTAOBJTYPESTAT: Final = Struct("<32si")
#: struct quotakey: idtype, id, objtype
QUOTAKEY: Final = Struct("<iIi")
#: struct quotaval: the fields of Quotaval
QUOTAVAL: Final = Struct("<QQQqq")
#: struct quotakcursor, which the caller keeps for the kernel
QUOTAKCURSOR_SIZE: Final = 64
#: what one QUOTACTL_CURSORGET returns at most (vfs_syscalls.c)
CURSORGET_MAX: Final = 128


class Quotaval(NamedTuple):
    """struct quotaval: limits and usage in blocks of 512 bytes or in files; QUOTA_NOLIMIT is no limit.

    Times are seconds: `expiretime` since 1970, when the soft limit becomes a hard one, 0 while it is not
    exceeded; `grace` is how long it may be exceeded.
    """

    hardlimit: int
    softlimit: int
    usage: int
    expiretime: int
    grace: int
