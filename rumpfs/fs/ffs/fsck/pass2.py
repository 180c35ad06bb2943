"""Pass 2: pathnames. Every entry is looked at, and what can be reached from the root is marked.

Source: NetBSD sbin/fsck_ffs/pass2.c, dir.c (`propagate`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rumpfs.fs.ffs.fsck.alloc import allocate_directory, free_inode
from rumpfs.fs.ffs.fsck.directory import check_directory
from rumpfs.fs.ffs.fsck.lostfound import change_entry, make_entry
from rumpfs.fs.ffs.fsck.tables import BADDIR, DIR, FOUND, FREE
from rumpfs.ondisk.ufs.dinode import IFDIR, IFMT
from rumpfs.ondisk.ufs.fs import ROOTINO

if TYPE_CHECKING:
    from rumpfs.fs.ffs.fsck.checker import Check
    from rumpfs.fs.ffs.fsck.tables import Directory

#: Bytes of a directory's ``.`` and ``..`` (struct dirtemplate).
_MINDIRSIZE: Final = 24
_ROOT_MODE: Final = 0o755


class NoRoot(Exception):
    """There is no root directory, and none may be made: nothing more can be checked."""


def pass2(ck: Check) -> None:
    """Check the directories.

    Raises:
        NoRoot: without one.
    """
    ck.phase = "2"
    _check_root(ck)
    ck.order = sorted(ck.dirs.values(), key=lambda d: d.db[0])
    for index, d in enumerate(ck.order):
        ck.progress("2", index, len(ck.order))
        if d.size:
            _check_size(ck, d)
            check_directory(ck, d)
    for d in ck.order:
        if d.parent and d.size and d.dotdot not in (d.parent, -1):
            _fix_dotdot(ck, d)
    _mark_reachable(ck)


def _check_root(ck: Check) -> None:
    state = ck.inodes.state[ROOTINO]
    if state == DIR:
        return
    kind = {FREE: "root-unallocated", BADDIR: "root-bad"}.get(state, "root-not-directory")
    if ck.ask(kind, inode=ROOTINO):
        if state != FREE:
            free_inode(ck, ROOTINO)
        if not allocate_directory(ck, ROOTINO, ROOTINO, _ROOT_MODE):
            raise NoRoot
        return
    if state == BADDIR:
        return
    if state != FREE and ck.question(ck.findings[-1], "FIX"):
        di = ck.dinode(ROOTINO)
        ck.put(ROOTINO, di._replace(di_mode=di.di_mode & ~IFMT | IFDIR))
        ck.rerun = True
    raise NoRoot


def _check_size(ck: Check, d: Directory) -> None:
    """A directory has whole chunks, and at least room for ``.`` and ``..``."""
    chunk = ck.dirs_format.chunk
    if d.size < _MINDIRSIZE:
        size = chunk
        where = {"path": ck.names.path(d.ino, d.ino), "field": "di_size", "got": d.size, "expected": size}
        wanted = ck.ask("directory-too-short", **ck.who(d.ino), **where)
    elif d.size % chunk:
        size = -(-d.size // chunk) * chunk
        where = {"path": ck.names.path(d.ino, d.ino), "field": "di_size", "got": d.size, "expected": chunk}
        wanted = ck.ask("directory-length", inode=d.ino, **where)
    else:
        return
    d.size = size
    if wanted:
        ck.put(d.ino, ck.dinode(d.ino)._replace(di_size=size))


def _fix_dotdot(ck: Check, d: Directory) -> None:
    """Let ``..`` be the directory that has the entry."""
    links = ck.inodes.links
    kind = "bad-dotdot" if d.dotdot else "missing-dotdot"
    where = {"path": ck.names.path(d.parent, d.ino), "got": d.dotdot, "expected": d.parent}
    if not d.dotdot:
        d.dotdot = d.parent
        if ck.ask(kind, **ck.who(d.ino), **where):
            make_entry(ck, d.ino, d.parent, b"..")
            links[d.parent] -= 1
            d.counted = d.parent
        return
    if ck.ask(kind, **ck.who(d.ino), **where):
        links[d.dotdot] += 1
        links[d.parent] -= 1
        d.dotdot = d.counted = d.parent
        change_entry(ck, d.ino, b"..", d.parent)


def _mark_reachable(ck: Check) -> None:
    """Tell the directories that can be reached from the root."""
    state = ck.inodes.state
    for d in ck.order:
        if state[d.ino] == FOUND:
            state[d.ino] = DIR
        if d.parent and d.ino != ROOTINO:
            ck.children.setdefault(d.parent, []).append(d.ino)
    ck.propagate(ROOTINO)
