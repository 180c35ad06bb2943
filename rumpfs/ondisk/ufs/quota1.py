"""The quota files of 4.2BSD, quota.user and quota.group: an array of ``struct dqblk`` indexed by id.

Source: NetBSD sys/ufs/ufs/quota1.h, quota1_subr.c.
"""

from __future__ import annotations

from rumpfs.abi.quota import QUOTA_NOLIMIT, Quotaval
from rumpfs.ondisk.layout import I32, U32, Buffer, Order, Record

DQBLK = Record(
    "dqblk",
    32,
    (
        (0, "dqb_bhardlimit", U32),
        (4, "dqb_bsoftlimit", U32),
        (8, "dqb_curblocks", U32),
        (12, "dqb_ihardlimit", U32),
        (16, "dqb_isoftlimit", U32),
        (20, "dqb_curinodes", U32),
        (24, "dqb_btime", I32),
        (28, "dqb_itime", I32),
    ),
)

#: Seconds that a soft limit may be exceeded when the record of id 0 does not say (MAX_DQ_TIME, MAX_IQ_TIME).
MAX_DQ_TIME = 7 * 24 * 60 * 60


def decode_dqblk(
    data: Buffer, order: Order, grace: tuple[int, int] = (0, 0), offset: int = 0
) -> tuple[Quotaval, Quotaval]:
    """Return the values for blocks and for files in a record (dqblk_to_quotavals).

    A limit is stored one larger than it is, and 0 for none.

    Args:
        data: bytes with the record.
        order: byte order of the file system.
        grace: the seconds that soft limits may be exceeded, for blocks and for files.
        offset: byte offset of the record in `data`.
    """
    bhard, bsoft, blocks, ihard, isoft, inodes, btime, itime = DQBLK.codec(order).unpack_flat(data, offset)
    return (
        Quotaval(_limit(bhard), _limit(bsoft), blocks, btime, grace[0]),
        Quotaval(_limit(ihard), _limit(isoft), inodes, itime, grace[1]),
    )


def _limit(stored: int) -> int:
    return stored - 1 if stored else QUOTA_NOLIMIT
