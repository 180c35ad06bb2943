"""Pass 5: cylinder groups. Maps and counters are compared with what the inodes use.

Source: NetBSD sbin/fsck_ffs/pass5.c.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rumpfs.fs.ffs.fsck.hashes import wrong_hash
from rumpfs.fs.ffs.fsck.rebuild import Group, rebuild
from rumpfs.fs.ffs.fsck.sblock import copy_differs
from rumpfs.ondisk.ufs.cg import CG, CG_MAGIC
from rumpfs.ondisk.ufs.ckhash import CK_CYLGRP, set_hash
from rumpfs.ondisk.ufs.superblock import Csum

if TYPE_CHECKING:
    from rumpfs.fs.ffs.fsck.checker import Check


def pass5(ck: Check) -> None:
    """Compare each group with what it should be, and the totals with their sum."""
    ck.phase = "5"
    fs = ck.fs
    if fs.fs_old_postblformat == -1:
        return
    groups = _Groups(ck)
    total = Csum(0, 0, 0, 0)
    for cgx in range(fs.fs_ncg):
        ck.progress("5", cgx, fs.fs_ncg)
        cs = groups.check(cgx)
        total = Csum(*map(sum, zip(total, cs, strict=True)))
    if total != fs.fs_cstotal:
        if groups.ask("free-counts", field="fs_cstotal", got=tuple(fs.fs_cstotal), expected=tuple(total)):
            fs.fs_cstotal = total
            ck.sb_dirty = True


class _Groups:
    """Checks groups; what was answered for one holds for all of them."""

    def __init__(self, ck: Check) -> None:
        self._ck = ck
        self._answers: dict[str, bool] = {}

    def ask(self, kind: str, **where: Any) -> bool:
        """Return whether to repair something; only the first finding of a kind is asked about."""
        ck = self._ck
        if kind in self._answers:
            finding = ck.finding(kind, **where)
            finding.silent = True
            finding.answers.append((finding.type.question, self._answers[kind]))
        else:
            self._answers[kind] = ck.ask(kind, **where)
        return self._answers[kind]

    def check(self, cgx: int) -> Csum:
        """Check a group; return its counters as they should be."""
        ck = self._ck
        fs = ck.fs
        self._copy(cgx)
        offset = fs.cgtod(cgx) * fs.fs_fsize
        data = ck.disk.read(fs.fs_cgsize, offset).ljust(fs.fs_cgsize, b"\0")
        found = CG.codec(fs.order).unpack(data)
        group = rebuild(ck, cgx, found)
        if group.cs != ck.summary[cgx]:
            where = {"field": "fs_cs", "got": tuple(ck.summary[cgx]), "expected": tuple(group.cs)}
            if self.ask("free-counts", group=cgx, **where):
                ck.summary[cgx] = group.cs
                ck.sb_dirty = True
        if found.cg_magic != CG_MAGIC:
            if not ck.ask("group-magic", group=cgx, field="cg_magic", got=found.cg_magic, expected=CG_MAGIC):
                return group.cs
            changed = bytearray(group.data)
        else:
            changed = self._compare(cgx, data, found, group)
        set_hash(fs, CK_CYLGRP, changed, CG, "cg_ckhash")
        if changed != data:
            ck.disk.write(changed, offset)
        return group.cs

    def _copy(self, cgx: int) -> None:
        """Check a group's copy of the superblock."""
        ck = self._ck
        field = copy_differs(ck, cgx)
        if field and self.ask("alternate-superblock", group=cgx, block=ck.fs.cgsblock(cgx), field=field):
            ck.stale_copies.append(cgx)

    def _compare(self, cgx: int, data: bytes, found: Any, group: Group) -> bytearray:
        """Compare a group with what it should be; return it with what is to be repaired repaired."""
        changed = bytearray(data)
        self._hash(cgx, data)
        wrong = [name for name in CG.names if getattr(found, name) != getattr(group.row, name)]
        tables = slice(*group.tables)
        if wrong or data[tables] != group.data[tables]:
            field = wrong[0] if wrong else "cg_b"
            got, expected = getattr(found, field, None), getattr(group.row, field, None)
            where = {"field": field, "got": got, "expected": expected}
            if self.ask("summary-information", group=cgx, **where):
                changed[: CG.size] = group.data[: CG.size]
                changed[tables] = group.data[tables]
        maps = slice(*group.maps)
        if data[maps] != group.data[maps]:
            first = next(at for at in range(*group.maps) if data[at : at + 1] != group.data[at : at + 1])
            field = "cg_inosused" if first < group.row.cg_freeoff else "cg_blksfree"
            if self.ask("bit-maps", group=cgx, field=field):
                changed[maps] = group.data[maps]
        return changed

    def _hash(self, cgx: int, data: bytes) -> None:
        """Check FreeBSD's hash of a group."""
        wrong = wrong_hash(self._ck.fs, CK_CYLGRP, data, CG, "cg_ckhash")
        if wrong:
            self.ask("group-hash", group=cgx, **wrong)
