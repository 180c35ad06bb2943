"""Pass 3: connectivity. Directories that nothing leads to get a name in lost+found.

Source: NetBSD sbin/fsck_ffs/pass3.c.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rumpfs.fs.ffs.fsck.entries import blocks, entries
from rumpfs.fs.ffs.fsck.lostfound import change_entry, reconnect
from rumpfs.fs.ffs.fsck.tables import BADDIR, DIR, Directory
from rumpfs.ondisk.ufs.fs import ROOTINO

if TYPE_CHECKING:
    from rumpfs.fs.ffs.fsck.checker import Check


def pass3(ck: Check) -> None:
    """Reconnect the directories that cannot be reached."""
    ck.phase = "3"
    state = ck.inodes.state
    asked: set[int] = set()
    tops: dict[int, tuple[int, bool]] = {}
    total = len(ck.order)
    for index, d in enumerate(reversed(ck.order[:])):
        ck.progress("3", index, total)
        if d.ino == ROOTINO or state[d.ino] == BADDIR or (d.parent and state[d.ino] != DIR):
            continue
        top, loop = _top(ck, d, tops)
        if top in asked:
            continue
        asked.add(top)
        if loop:
            _cut_loop(ck, ck.dirs[top])
            continue
        orphan = ck.dirs[top]
        di = ck.dinode(top)
        finding = ck.finding("unreferenced-directory", **ck.who(top), got=di.di_size)
        reconnect(ck, finding, top, orphan.dotdot)


def _top(ck: Check, d: Directory, tops: dict[int, tuple[int, bool]]) -> tuple[int, bool]:
    """Return the directory that a lost one is below, and whether the way there is a circle.

    Args:
        ck: the check.
        d: the lost directory.
        tops: what was found out before.
    """
    state = ck.inodes.state
    way: dict[int, None] = {}
    ino = d.ino
    while ino not in way and ino not in tops:
        way[ino] = None
        parent = ck.dirs[ino].parent
        if not parent or state[parent] != DIR:
            break
        ino = parent
    else:
        known = tops.get(ino, (ino, True))
        for each in way:
            tops[each] = known
        return known
    for each in way:
        tops[each] = (ino, False)
    return ino, False


def _cut_loop(ck: Check, d: Directory) -> None:
    """Take a directory out of a circle and into lost+found, under its own name."""
    finding = ck.finding("directory-loop", inode=d.ino)
    name = b""
    form = ck.dirs_format
    for block in blocks(ck, ck.dirs[d.parent], lambda: False):
        for entry in entries(form, block.data):
            if entry.ino == d.ino and not name:
                found = form.name(block.data, entry)
                name = found if found not in (b".", b"..") else b""
    former = d.parent
    if reconnect(ck, finding, d.ino, former, name) and name and change_entry(ck, former, name, 0):
        ck.inodes.links[d.ino] += 1
