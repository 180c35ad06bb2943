"""Pass 4: reference counts. di_nlink is compared with the names that were found.

Source: NetBSD sbin/fsck_ffs/pass4.c, dir.c (`adjust`), inode.c (`clri`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rumpfs.fs.ffs.fsck.claim import release
from rumpfs.fs.ffs.fsck.lostfound import reconnect
from rumpfs.fs.ffs.fsck.tables import BADDIR, BADFILE, DIR, FILE, FOUND, FREE
from rumpfs.ondisk.ufs.fs import ROOTINO

if TYPE_CHECKING:
    from rumpfs.fs.ffs.fsck.checker import Check
    from rumpfs.fs.ffs.fsck.finding import Finding


def pass4(ck: Check) -> None:
    """Compare link counts, and clear what has no name and may have none."""
    ck.phase = "4"
    fs = ck.fs
    state, links = ck.inodes.state, ck.inodes.links
    for cg in range(fs.fs_ncg):
        ck.progress("4", cg, fs.fs_ncg)
        for ino in range(max(cg * fs.fs_ipg, ROOTINO), (cg + 1) * fs.fs_ipg):
            kind = state[ino]
            if kind == FREE:
                continue
            if kind in (FILE, FOUND):
                if links[ino]:
                    if not ck.is_hidden(ino, ck.dinode(ino)):
                        _adjust(ck, ino, links[ino])
                elif ino in ck.unlinked:
                    _clear(ck, ino, "unreferenced")
            elif kind == DIR:
                _clear(ck, ino, "unreferenced")
            elif kind == BADDIR and not ck.dinode(ino).di_size:
                _clear(ck, ino, "zero-length")
            elif kind in (BADDIR, BADFILE):
                _clear(ck, ino, "bad-or-duplicate")


def _adjust(ck: Check, ino: int, missing: int) -> None:
    """Set right an inode that has `missing` references less than di_nlink says."""
    di = ck.dinode(ino)
    if di.di_nlink == missing:
        is_dir = ino in ck.dirs
        kind = "unreferenced-directory" if is_dir else "unreferenced-file"
        finding = ck.finding(kind, **ck.who(ino), got=di.di_size)
        unresolved = ck.unresolved
        if not reconnect(ck, finding, ino, 0):
            ck.unresolved = unresolved
            _clear(ck, ino, "", finding)
            return
        missing -= 1
        di = ck.dinode(ino)
    if missing:
        where = {"field": "di_nlink", "got": di.di_nlink, "expected": di.di_nlink - missing}
        about = ck.who(ino)
        if ino == ck.lost_found:
            about["what"] = "lost+found"
        if ck.ask("link-count", **about, **where):
            ck.put(ino, di._replace(di_nlink=di.di_nlink - missing))
            ck.inodes.links[ino] = 0


def _clear(ck: Check, ino: int, kind: str, finding: Finding | None = None) -> None:
    """Clear an inode, if that is wanted."""
    finding = finding or ck.finding(kind, **ck.who(ino))
    if not ck.question(finding, "CLEAR"):
        return
    release(ck, ino, ck.dinode(ino))
    if ino in ck.dirs:
        if ck.dirs[ino].size:  # the names in it were counted
            ck.rerun = True
        _forget_dotdot(ck, ino)


def _forget_dotdot(ck: Check, ino: int) -> None:
    """Take back the reference of a directory that is gone to its parent, which may have been looked at."""
    parent = ck.dirs.pop(ino).counted
    if parent and ck.inodes.state[parent] == FOUND:
        ck.inodes.links[parent] += 1
        if parent < ino:
            _adjust(ck, parent, ck.inodes.links[parent])
