"""The quotas of a file system in a rump kernel (NetBSD: libquota)."""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct
from typing import Final, NamedTuple

from rumpfs.abi import quota
from rumpfs.abi.errno import EIO
from rumpfs.abi.quota import Quotaval
from rumpfs.client.errors import rump_error
from rumpfs.client.raw import RawClient

_COUNT: Final = Struct("<I")


class Quota(NamedTuple):
    """What one id may have of one thing, and has of it.

    `idtype` is ``user`` or ``group``, `objtype` ``block`` (of 512 bytes) or ``file``; `ident` is None for
    what new ids get.
    """

    idtype: str
    ident: int | None
    objtype: str
    value: Quotaval


def quotas(client: RawClient, path: str | bytes) -> Iterator[Quota]:
    """Yield the quotas of the file system that holds a path.

    Errors:
        RumpError: EOPNOTSUPP: it has none; EPERM: only the superuser may see them; EIO.
    """
    room = quota.CURSORGET_MAX
    cursor = bytearray(quota.QUOTAKCURSOR_SIZE)
    keys = bytearray(room * quota.QUOTAKEY.size)
    vals = bytearray(room * quota.QUOTAVAL.size)
    ret = bytearray(_COUNT.size)
    with client.mapped(cursor, keys, vals, ret) as (at, to_keys, to_vals, to_ret):
        _quotactl(client, path, quota.QUOTACTL_CURSOROPEN, quota.QC_POINTER.pack(at))
        get = quota.QC_CURSORGET.pack(at, to_keys, to_vals, room, to_ret)
        while True:
            _quotactl(client, path, quota.QUOTACTL_CURSORGET, get)
            (count,) = _COUNT.unpack(ret)
            if not count:
                return
            if count > room:
                raise rump_error(EIO, path, text=f"the server sent {count} quotas where {room} fit")
            found = zip(quota.QUOTAKEY.iter_unpack(keys), quota.QUOTAVAL.iter_unpack(vals), strict=True)
            for (idtype, ident, objtype), value in list(found)[:count]:
                yield _quota(idtype, ident, objtype, Quotaval(*value))


def _quotactl(client: RawClient, path: str | bytes, op: int, args: bytes) -> None:
    data = quota.QC_OP.pack(op) + args
    client.sys.quotactl(path, data.ljust(quota.QUOTACTL_ARGS_SIZE, b"\0"))


def _quota(idtype: int, ident: int, objtype: int, value: Quotaval) -> Quota:
    ids = quota.IDTYPE_NAMES.get(idtype, b"%d" % idtype).decode()
    things = quota.OBJTYPE_NAMES.get(objtype, b"%d" % objtype).decode()
    return Quota(ids, None if ident == quota.QUOTA_DEFAULTID else ident, things, value)
