"""A check of one file system: what its passes share, and the order in which they run (fsck_ffs main.c)."""

from __future__ import annotations

import struct
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

from rumpfs.fs.ffs.fsck.disk import Disk
from rumpfs.fs.ffs.fsck.entries import Format
from rumpfs.fs.ffs.fsck.finding import Answer, Finding, facts, preen
from rumpfs.fs.ffs.fsck.names import Names
from rumpfs.fs.ffs.fsck.tables import FOUND, BlockMap, Directory, InodeTable
from rumpfs.fs.ffs.fsck.walk import Walk
from rumpfs.ondisk.ufs.ckhash import CK_INODE, set_hash
from rumpfs.ondisk.ufs.dinode import IFDIR, IFMT, SF_LOG, UFS2_DINODE, Dinode, dinode_codec
from rumpfs.ondisk.ufs.fs import CSUM
from rumpfs.ondisk.ufs.superblock import Csum, Superblock

#: Findings that are kept; a wreck has millions, and the first ones tell the story.
MAXFINDINGS: Final = 100_000

#: fs_journal_location: the log is a file. Which, is in the byte order of the machine that made it.
_IN_FILESYSTEM: Final = 2

#: ``told(finding, question, answer)`` hears of each finding, and of each question with its answer.
Told = Callable[[Finding, str, bool], None]
#: ``progress(phase, done, total)``
Progress = Callable[[str, int, int], None]


class Check:
    """A check.

    Args:
        disk: the device, as a replayed log has it.
        fs: the superblock.
        answer: decides what is repaired.
        told: hears of what is found.
        progress: hears how far a pass has come.

    Attributes:
        walk: reads pointers; `codec` reads inodes, and `flat` does so without naming their fields.
        map: frags in use.
        inited: by group, how many inodes of its table were looked at.
        inodes: what is known of each inode.
        dirs: by inode number.
        order: the directories in the order in which they are read.
        children: directory -> the directories in it.
        dirs_format: how entries are packed.
        names: finds paths.
        dups: frag -> how many more inodes than one use it.
        limits: inode -> frags that are looked at, for those of which pass 1 gave up.
        unlinked: inodes with di_nlink 0 or less.
        unclaimed: inodes of no known type that were left alone; their pointers mean nothing.
        usage: blocks of 512 bytes and inodes in use, by owner and by group.
        summary: the counters of each group, as the summary area has them.
        sb_dirty: True when the superblock is to be written.
        stale_copies: groups whose copies of it are to be written.
        files, blocks: inodes and frags in use.
        lost_found: inode number of lost+found; 0 when not known.
        findings: what was found; `left_out` more were.
        unresolved: True once something was not repaired.
        rerun: True when another check must follow.
    """

    def __init__(self, disk: Disk, fs: Superblock, answer: Answer, told: Told, progress: Progress) -> None:
        self.disk = disk
        self.fs = fs
        self.walk = Walk(disk, fs)
        self.codec = dinode_codec(fs)
        self.flat = self.codec.record.codec(fs.order).iter_unpack_flat
        self.progress = progress
        self._answer = answer
        self._told = told
        self.phase = "0"
        self.map = BlockMap(fs.fs_size)
        self.inited: dict[int, int] = {}
        self.inodes = InodeTable(fs.maxino)
        self.dirs: dict[int, Directory] = {}
        self.order: list[Directory] = []
        self.children: dict[int, list[int]] = {}
        self.dirs_format = Format(fs.order, fs.old_dirents, fs.dirblksiz, fs.maxino)
        self.names = Names(self)
        self.dups: Counter[int] = Counter()
        self.limits: dict[int, int] = {}
        self.unlinked: set[int] = set()
        self.unclaimed: set[int] = set()
        self.usage: tuple[dict[int, list[int]], dict[int, list[int]]] = ({}, {})
        self.summary: list[Csum] = []
        self.sb_dirty = False
        self.stale_copies: list[int] = []
        self.files = 0
        self.blocks = 0
        self.lost_found = 0
        self.findings: list[Finding] = []
        self.left_out = 0
        self.unresolved = False
        self.rerun = False

    # --- findings

    @property
    def preening(self) -> bool:
        """True when only that is repaired which a crash leaves behind (fsck -p)."""
        return self._answer is preen

    def report(self, kind: str, **where: Any) -> Finding:
        """Note something about which there is nothing to decide."""
        finding = Finding(kind, self.phase, **where)
        self._keep(finding)
        self._told(finding, "", False)
        return finding

    def ask(self, kind: str, **where: Any) -> bool:
        """Note something, and return whether to repair it."""
        finding = Finding(kind, self.phase, **where)
        self._keep(finding)
        return self.question(finding, finding.type.question)

    def question(self, finding: Finding, question: str) -> bool:
        """Return whether to do something about a finding that is known."""
        yes = self._answer(finding, question)
        finding.answers.append((question, yes))
        self._told(finding, question, yes)
        if not yes:
            self.unresolved = True
        return yes

    def finding(self, kind: str, **where: Any) -> Finding:
        """Note something; `question` follows."""
        finding = Finding(kind, self.phase, **where)
        self._keep(finding)
        return finding

    def _keep(self, finding: Finding) -> None:
        if len(self.findings) < MAXFINDINGS:
            self.findings.append(finding)
        else:
            self.left_out += 1

    def who(self, ino: int) -> dict[str, Any]:
        """Return what a finding says of an inode."""
        di = self.dinode(ino)
        what = "DIR" if di.di_mode & IFMT == IFDIR else "FILE"
        return {"inode": ino, "who": facts(ino, di), "what": what}

    def propagate(self, ino: int) -> None:
        """Mark a directory and what is below it as found."""
        state = self.inodes.state
        todo = [ino]
        while todo:
            each = todo.pop()
            state[each] = FOUND
            todo += [child for child in self.children.get(each, ()) if state[child] != FOUND]

    # --- inodes

    def dinode(self, ino: int) -> Dinode:
        """Return an inode."""
        data = self.disk.read(self.codec.size, self.fs.ino_to_byte(ino))
        return self.codec.decode(data.ljust(self.codec.size, b"\0"))

    def put(self, ino: int, di: Dinode) -> None:
        """Change an inode."""
        offset = self.fs.ino_to_byte(ino)
        old = self.disk.read(self.codec.size, offset).ljust(self.codec.size, b"\0")
        data = bytearray(self.codec.encode(di, old))
        if self.fs.ufs2:
            set_hash(self.fs, CK_INODE, data, UFS2_DINODE, "di_ckhash")
        self.disk.write(data, offset)

    def clear(self, ino: int) -> None:
        """Zero an inode."""
        self.disk.write(bytes(self.codec.size), self.fs.ino_to_byte(ino))

    def is_hidden(self, ino: int, di: Dinode) -> bool:
        """True for the log and the quotas, which are files without a name that nobody is charged for."""
        fs = self.fs
        if fs.has_quota2 and ino in fs.fs_quotafile:
            return True
        log = fs.fs_journallocs[3]
        return bool(
            di.di_flags & SF_LOG
            and fs.fs_journal_version == 1
            and fs.fs_journal_location == _IN_FILESYSTEM
            and ino in (log, int.from_bytes(log.to_bytes(8, "little"), "big"))
        )

    # --- the superblock

    def read_summary(self) -> None:
        """Read the counters of the groups."""
        fs = self.fs
        nbytes = fs.fs_ncg * CSUM.size
        data = self.disk.read(nbytes, fs.fs_csaddr * fs.fs_fsize).ljust(nbytes, b"\0")
        self.summary = [Csum(*row) for row in CSUM.codec(fs.order).iter_unpack_flat(data)]

    def write_summary(self) -> None:
        """Write the counters of the groups."""
        fs = self.fs
        flat = [number for row in self.summary for number in row]
        self.disk.write(struct.pack(f"{fs.order}{len(flat)}i", *flat), fs.fs_csaddr * fs.fs_fsize)

    def now(self) -> int:
        """Return the time for what is written."""
        return int(time.time())
