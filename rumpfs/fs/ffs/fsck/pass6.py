"""Pass 6: quotas that are kept in the file system are compared with what was counted.

Source: NetBSD sbin/fsck_ffs/quota2.c (`quota2_check_usage`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from rumpfs.base.errors import DiskError
from rumpfs.fs.ffs.fsck.tables import FILE
from rumpfs.ondisk.ufs.quota2 import (
    QUOTA2_ENTRY,
    QUOTA2_HEADER,
    QUOTA2_VAL,
    Quota2Header,
    decode_entry,
    decode_header,
)

if TYPE_CHECKING:
    from rumpfs.fs.ffs.fsck.checker import Check

_NAMES: Final = ("USER", "GROUP")
_PLACE: Final = 8


def pass6(ck: Check) -> None:
    """Compare the usage in the quota files."""
    fs = ck.fs
    if not fs.has_quota2:
        return
    ck.phase = "6"
    for idtype, ino in enumerate(fs.fs_quotafile):
        if not fs.fs_quota_flags & 1 << idtype:
            continue
        where = {"inode": ino, "what": _NAMES[idtype]}
        if not 0 < ino < fs.maxino or ck.inodes.state[ino] != FILE:
            ck.report("quota-inode", **where, got="no file")
            ck.unresolved = True
            continue
        try:
            _QuotaFile(ck, idtype, ino).check()
        except DiskError as error:
            ck.report("quota-inode", **where, got=error.why)
            ck.unresolved = True


class _QuotaFile:
    """A quota file."""

    def __init__(self, ck: Check, idtype: int, ino: int) -> None:
        self._ck = ck
        self._idtype = idtype
        di = ck.dinode(ino)
        self._length = di.di_size
        self._blocks: dict[int, int] = {}
        step = ck.fs.fs_frag
        for lbn, frag, count in ck.walk.runs(di.di_size, di.di_db, di.di_ib):
            if lbn >= 0:
                for index, start in enumerate(range(frag, frag + count, step)):
                    self._blocks[lbn + index] = start * ck.fs.fs_fsize
        self._where = f"{_NAMES[idtype].lower()} quota inode {ino}"
        self._header: Quota2Header = self._read_header()

    def _read_header(self) -> Quota2Header:
        block = self._ck.disk.read(self._ck.fs.fs_bsize, self._blocks.get(0, self._ck.disk.size))
        return decode_header(block, self._ck.fs.order, self._idtype, self._where)

    def _offset(self, place: int) -> int:
        """Return the byte of the device at which a place in the file is. Raises: Corrupt."""
        bsize = self._ck.fs.fs_bsize
        self._header.check_place(place, bsize, self._length, self._where)
        return self._blocks.get(place // bsize, self._ck.disk.size) + place % bsize

    def _entries(self) -> Iterator[int]:
        """Yield the places of the entries in the lists. Raises: Corrupt."""
        seen: set[int] = set()
        for place in self._header.heads:
            while place and place not in seen:
                seen.add(place)
                following = decode_entry(self._read(place), self._ck.fs.order).next
                yield place
                place = following

    def _read(self, place: int) -> bytes:
        return self._ck.disk.read(QUOTA2_ENTRY.size, self._offset(place)).ljust(QUOTA2_ENTRY.size, b"\0")

    def check(self) -> None:
        """Compare every entry, and enter the ids that have none. Raises: DiskError."""
        left = {ident: used for ident, used in self._ck.usage[self._idtype].items() if any(used)}
        for place in self._entries():
            data = self._read(place)
            entry = decode_entry(data, self._ck.fs.order)
            used = left.pop(entry.ident, [0, 0])
            row = QUOTA2_ENTRY.codec(self._ck.fs.order).unpack(data)
            got = self._current(row)
            if got != used and self._ask(entry.ident, got, used):
                self._ck.disk.write(self._with_usage(row, used), self._offset(place))
        for ident, used in left.items():
            if self._ask(ident, [0, 0], used):
                self._enter(ident, used)

    def _ask(self, ident: int, got: list[int], used: list[int]) -> bool:
        where: dict[str, Any] = {"field": str(ident), "what": _NAMES[self._idtype]}
        shown = [f"{blocks}/{files}" for blocks, files in (got, used)]
        return self._ck.ask("quota-usage", **where, got=shown[0], expected=shown[1])

    def _current(self, row: Any) -> list[int]:
        codec = QUOTA2_VAL.codec(self._ck.fs.order)
        return [codec.unpack(row.q2e_val, index * QUOTA2_VAL.size).q2v_cur for index in range(2)]

    def _with_usage(self, row: Any, used: list[int]) -> bytes:
        codec = QUOTA2_VAL.codec(self._ck.fs.order)
        values = [
            codec.pack(codec.unpack(row.q2e_val, index * QUOTA2_VAL.size)._replace(q2v_cur=used[index]))
            for index in range(2)
        ]
        return QUOTA2_ENTRY.codec(self._ck.fs.order).pack(row._replace(q2e_val=b"".join(values)))

    def _enter(self, ident: int, used: list[int]) -> None:
        """Take a free entry for an id, and put it into its list. Raises: Corrupt."""
        ck = self._ck
        order = ck.fs.order
        heads = self._blocks[0]
        header = QUOTA2_HEADER.codec(order).unpack(ck.disk.read(QUOTA2_HEADER.size, heads))
        place = header.q2h_free
        slot = heads + QUOTA2_HEADER.size + _PLACE * self._header.hash(ident)
        offset = self._offset(place)
        free = decode_entry(self._read(place), order).next
        default = QUOTA2_ENTRY.codec(order).unpack(header.q2h_defentry)
        first = int.from_bytes(ck.disk.read(_PLACE, slot), "little" if order == "<" else "big")
        ck.disk.write(self._with_usage(default._replace(q2e_uid=ident, q2e_next=first), used), offset)
        ck.disk.write(place.to_bytes(_PLACE, "little" if order == "<" else "big"), slot)
        ck.disk.write(QUOTA2_HEADER.codec(order).pack(header._replace(q2h_free=free)), heads)
