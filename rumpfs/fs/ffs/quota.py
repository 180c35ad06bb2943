"""Quotas, shown and not changed (NetBSD: ufs_quota.c, ufs_quota1.c, ufs_quota2.c, ffs_quota2.c).

NetBSD has quotas only of what can be written; here they are shown of what is mounted read-only. Those of
quota1 are read from quota.user and quota.group in the root, without quotaon(8), and cursors go through them,
too: NetBSD leaves it to its library to read these files.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from rumpfs.abi import errno
from rumpfs.abi.quota import (
    IDTYPE_NAMES,
    QUOTA_RESTRICT_32BIT,
    QUOTA_RESTRICT_NEEDSQUOTACHECK,
    QUOTA_RESTRICT_READONLY,
    QUOTA_RESTRICT_UNIFORMGRACE,
)
from rumpfs.base.errors import Corrupt, DiskError, VfsError
from rumpfs.fs.ffs.readwrite import HOLE, DataInode
from rumpfs.ondisk.ufs.quota1 import DQBLK, MAX_DQ_TIME, decode_dqblk
from rumpfs.ondisk.ufs.quota2 import QUOTA2_ENTRY, Quota2Entry, Quota2Header, decode_entry, decode_header
from rumpfs.vfs.quota import QuotaFile, Quotas, Quotavals
from rumpfs.vfs.vnode import VREG

if TYPE_CHECKING:
    from rumpfs.fs.ffs.ufsmount import FfsMount

#: bytes of a quota1 file that make a bucket: the smallest block
_BUCKET: Final = 4096
_UNUSED: Final = bytes(DQBLK.size)


class Quota1File:
    """The quotas of one type of ids in a file of 4.2BSD.

    Args:
        ip: the file.
    """

    def __init__(self, ip: DataInode) -> None:
        self._ip = ip
        self._order = ip.v_mount.um_fs.order

    def default(self) -> Quotavals:
        """Return the values of id 0, whose times are those of everybody (quota1_handle_cmd_get)."""
        return self.get(0)

    def get(self, ident: int) -> Quotavals:
        """Return the values of an id; one that is not in the file has no limits."""
        return decode_dqblk(self._record(ident), self._order, self._grace)

    def entries(self, first: int) -> Iterator[tuple[int, int, Quotavals]]:
        """Yield (bucket, id, values) of the ids that have a usage or a limit."""
        for offset, data in self._pieces(first * _BUCKET):
            for start in range(0, len(data) - DQBLK.size + 1, DQBLK.size):
                if data[start : start + DQBLK.size] != _UNUSED:
                    values = decode_dqblk(data, self._order, self._grace, start)
                    yield offset // _BUCKET, (offset + start) // DQBLK.size, values

    @functools.cached_property
    def _grace(self) -> tuple[int, int]:
        """How long soft limits may be exceeded: id 0 has it where others have when time is up."""
        blocks, files = decode_dqblk(self._record(0), self._order)
        return blocks.expiretime or MAX_DQ_TIME, files.expiretime or MAX_DQ_TIME

    def _record(self, ident: int) -> bytes:
        data = self._ip.content(ident * DQBLK.size, DQBLK.size)
        return bytes(data) if len(data) == DQBLK.size else _UNUSED

    def _pieces(self, offset: int) -> Iterator[tuple[int, bytes]]:
        """Yield (byte offset, bytes) of the buckets from `offset` on that are no holes."""
        ip = self._ip
        mp = ip.v_mount
        left = mp.um_frags << mp.um_fs.fs_fshift
        while offset < ip.i_size:
            try:
                stop, address = ip.extent(offset, ip.i_size)
                if left <= 0:
                    where = f"{mp.um_fs.where}: inode {ip.i_number}, a quota file"
                    raise Corrupt(where, "di_db", address, f"blocks before byte {offset} are there again")
            except DiskError as error:
                raise mp.damaged(error) from error
            if address != HOLE:
                left -= stop - offset
                for place in range(offset, stop, _BUCKET):
                    yield place, bytes(ip.content(place, min(_BUCKET, stop - place)))
            offset = stop


class Quota2File:
    """The quotas of one type of ids in a hidden inode.

    Args:
        mp: the mount.
        ino: the inode's number.
        idtype: QUOTA_IDTYPE_.
    """

    def __init__(self, mp: FfsMount, ino: int, idtype: int) -> None:
        self._mp = mp
        self._ino = ino
        self._idtype = idtype
        self._where = f"{mp.um_fs.where}: inode {ino}, the {IDTYPE_NAMES[idtype].decode()} quotas"

    def default(self) -> Quotavals:
        """Return what new ids get. Errors: EIO."""
        return self._header.default

    def get(self, ident: int) -> Quotavals:
        """Return the values of an id. Errors: ENOENT, EIO."""
        for entry in self._list(self._header.hash(ident)):
            if entry.ident == ident:
                return entry.values
        raise VfsError(errno.ENOENT)

    def entries(self, first: int) -> Iterator[tuple[int, int, Quotavals]]:
        """Yield (list, id, values). Errors: EIO."""
        for number in range(first, len(self._header.heads)):
            for entry in self._list(number):
                yield number, entry.ident, entry.values

    @functools.cached_property
    def _ip(self) -> DataInode:
        if not self._ino < self._mp.um_fs.maxino:
            raise self._damaged(Corrupt(self._where, "fs_quotafile", self._ino, "there is no such inode"))
        vp = self._mp.vget(self._ino)
        if not isinstance(vp, DataInode) or vp.v_type != VREG:
            raise self._damaged(Corrupt(self._where, "di_mode", vp.i_mode, "is no regular file"))
        return vp

    @functools.cached_property
    def _header(self) -> Quota2Header:
        fs = self._mp.um_fs
        try:
            return decode_header(self._ip.content(0, fs.fs_bsize), fs.order, self._idtype, self._where)
        except DiskError as error:
            raise self._damaged(error) from error

    def _list(self, number: int) -> Iterator[Quota2Entry]:
        """Yield the entries of one list of the hash table (quota2_walk_list). Errors: EIO."""
        ip = self._ip
        header = self._header
        fs = self._mp.um_fs
        where = f"{self._where}: list {number}"
        seen: set[int] = set()
        place = header.heads[number]
        while place:
            try:
                header.check_place(place, fs.fs_bsize, ip.i_size, where)
                if place in seen:
                    raise Corrupt(where, "q2e_next", place, "the list comes back to an entry")
                entry = decode_entry(ip.content(place, QUOTA2_ENTRY.size), fs.order)
                if header.hash(entry.ident) != number:
                    raise Corrupt(f"{where}: byte {place}", "q2e_uid", entry.ident, "is of another list")
            except DiskError as error:
                raise self._damaged(error) from error
            yield entry
            seen.add(place)
            place = entry.next

    def _damaged(self, error: DiskError) -> VfsError:
        """Log damage, and return EIO: unlike at a mount, it is not the arguments that are wrong."""
        self._mp.damaged(error)
        return VfsError(errno.EIO, str(error))


def quotas_of(mp: FfsMount) -> Quotas:
    """Return the quotas of a mount. Errors: EOPNOTSUPP: it has none; EIO."""
    fs = mp.um_fs
    files: dict[int, QuotaFile]
    if fs.has_quota2:
        files = {
            idtype: Quota2File(mp, fs.fs_quotafile[idtype], idtype)
            for idtype in IDTYPE_NAMES
            if fs.fs_quota_flags & 1 << idtype
        }
        return Quotas(b"ufs/ffs quota v2", QUOTA_RESTRICT_READONLY, files)
    files = {}
    for idtype, name in IDTYPE_NAMES.items():
        vp = mp.mnt_root.lookup(b"quota." + name)
        if isinstance(vp, DataInode) and vp.v_type == VREG:
            files[idtype] = Quota1File(vp)
    if not files:
        raise VfsError(errno.EOPNOTSUPP, "the file system has no quotas")
    restrictions = (
        QUOTA_RESTRICT_NEEDSQUOTACHECK
        | QUOTA_RESTRICT_UNIFORMGRACE
        | QUOTA_RESTRICT_32BIT
        | QUOTA_RESTRICT_READONLY
    )
    return Quotas(b"ufs/ffs quota v1", restrictions, files)
