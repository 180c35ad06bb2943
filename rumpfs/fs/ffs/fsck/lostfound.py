"""Giving a name to what has lost its own: lost+found, and entries made by a repair.

Source: NetBSD sbin/fsck_ffs/dir.c (`linkup`, `makeentry`, `changeino`, `expanddir`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rumpfs.fs.ffs.fsck.alloc import allocate_directory, allocate_frags, free_inode
from rumpfs.fs.ffs.fsck.claim import charge
from rumpfs.fs.ffs.fsck.entries import Block, Header, blocks, entries
from rumpfs.fs.ffs.fsck.tables import FOUND, Directory
from rumpfs.ondisk.ufs.dinode import IFDIR, IFMT
from rumpfs.ondisk.ufs.dirchunk import dirsiz
from rumpfs.ondisk.ufs.fs import NDADDR, ROOTINO
from rumpfs.ondisk.ufs.wapbl import DEV_BSIZE

if TYPE_CHECKING:
    from rumpfs.fs.ffs.fsck.checker import Check
    from rumpfs.fs.ffs.fsck.finding import Finding

NAME: Final = b"lost+found"
_MODE: Final = 0o1700


def _blocks(ck: Check, ino: int) -> list[Block]:
    """Return the blocks of a directory as they are now."""
    return list(blocks(ck, ck.dirs[ino], lambda: False))


def _store(ck: Check, ino: int, block: Block) -> None:
    ck.disk.write(block.data, block.offset)
    ck.names.forget(ino)


def find_entry(ck: Check, dvp: int, name: bytes) -> int:
    """Return the inode number that a directory has for a name; 0 when it has none."""
    form = ck.dirs_format
    for block in _blocks(ck, dvp):
        for entry in entries(form, block.data):
            if entry.ino and form.name(block.data, entry) == name:
                return entry.ino
    return 0


def change_entry(ck: Check, dvp: int, name: bytes, ino: int) -> bool:
    """Let a name be another inode's, 0 for nobody's; False when the directory does not have it."""
    form = ck.dirs_format
    for block in _blocks(ck, dvp):
        for entry in entries(form, block.data):
            if entry.ino and form.name(block.data, entry) == name:
                form.pack(block.data, entry._replace(ino=ino, dtype=ck.inodes.dtype[ino]))
                _store(ck, dvp, block)
                return True
    return False


def make_entry(ck: Check, dvp: int, ino: int, name: bytes) -> bool:
    """Enter a name in a directory, which grows when it has to; False when there is no room."""
    wanted = dirsiz(len(name))
    for _ in range(2):
        for block in _blocks(ck, dvp):
            for entry in entries(ck.dirs_format, block.data):
                need = dirsiz(entry.namlen) if entry.ino else 0
                if entry.reclen - need >= wanted:
                    _insert(ck, block, entry, need, ino, name)
                    _store(ck, dvp, block)
                    return True
        if not _expand(ck, dvp):
            return False
    return False


def _insert(ck: Check, block: Block, entry: Header, need: int, ino: int, name: bytes) -> None:
    """Put a new entry behind what another one needs."""
    form = ck.dirs_format
    dtype = 0 if form.old else ck.inodes.dtype[ino]
    if need:
        form.pack(block.data, entry._replace(reclen=need))
    form.pack(block.data, Header(entry.pos + need, ino, entry.reclen - need, dtype, len(name)), name)


def _expand(ck: Check, dvp: int) -> bool:
    """Give a directory a full block more, or make its last one full; False when that cannot be done."""
    fs = ck.fs
    d = ck.dirs[dvp]
    lbn, tail = divmod(d.size, fs.fs_bsize)
    frag = allocate_frags(ck, fs.fs_frag) if lbn < NDADDR and (not tail or d.db[lbn]) else 0
    if not frag:
        return False
    content = bytes(ck.disk.read(tail, d.db[lbn] * fs.fs_fsize)) if tail else b""
    form = ck.dirs_format
    content += bytes(form.empty()) * ((fs.fs_bsize - len(content)) // form.chunk)
    ck.disk.write(content, frag * fs.fs_fsize)
    freed = -(-tail // fs.fs_fsize)
    for each in range(d.db[lbn], d.db[lbn] + freed):
        ck.map.release(each)
    ck.blocks -= freed
    size = (lbn + 1) * fs.fs_bsize
    db = (*d.db[:lbn], frag, *d.db[lbn + 1 :])
    di = ck.dinode(dvp)
    more = (fs.fs_frag - freed) * fs.fs_fsize // DEV_BSIZE
    ck.put(dvp, di._replace(di_size=size, di_db=db, di_blocks=di.di_blocks + more))
    charge(ck, dvp, di, more, 0)
    d.size, d.db = size, db
    return True


def reconnect(ck: Check, finding: Finding, ino: int, parent: int, name: bytes = b"") -> bool:
    """Give an inode a name in lost+found, if that is wanted.

    Args:
        ck: the check.
        finding: that it has none.
        ino: its number.
        parent: for a directory, what its ``..`` says; 0 when it says nothing.
        name: the name; ``#`` and the number when omitted.

    Returns:
        False when it has none now either.
    """
    links = ck.inodes.links
    if not ck.question(finding, "RECONNECT"):
        return False
    d = ck.dirs.get(ino)
    if d is not None and d.counted:
        links[d.counted] += 1
        d.counted = 0
    if not _find_lost_found(ck):
        return False
    digits = len(str(ck.fs.maxino))
    if not make_entry(ck, ck.lost_found, ino, name or b"#%0*d" % (digits, ino)):
        ck.report("no-space-in-lost+found", inode=ck.lost_found)
        ck.unresolved = True
        return False
    links[ino] -= 1
    if ino in ck.dirs:
        _adopt(ck, ino, parent)
    return True


def _adopt(ck: Check, ino: int, parent: int) -> None:
    """Let lost+found be the parent of a directory."""
    new = ck.lost_found
    if not change_entry(ck, ino, b"..", new) and parent != -1:
        make_entry(ck, ino, new, b"..")
    di = ck.dinode(new)
    ck.put(new, di._replace(di_nlink=di.di_nlink + 1))
    reparent(ck, ck.dirs[ino], new)


def reparent(ck: Check, d: Directory, parent: int) -> None:
    """Enter a directory below another one, and what is below it as found."""
    d.parent = d.dotdot = d.counted = parent
    ck.children.setdefault(parent, []).append(d.ino)
    ck.propagate(d.ino)


def _find_lost_found(ck: Check) -> bool:
    """Find or make lost+found; False when there is none."""
    if not ck.lost_found:
        ck.lost_found = find_entry(ck, ROOTINO, NAME)
        if not ck.lost_found and ck.ask("no-lost+found"):
            ck.lost_found = _create(ck)
        if not ck.lost_found:
            return _cannot_create(ck)
    if ck.dinode(ck.lost_found).di_mode & IFMT != IFDIR:
        former = ck.lost_found
        if not ck.ask("lost+found-not-directory", inode=former):
            return False
        ck.lost_found = allocate_directory(ck, ROOTINO, 0, _MODE)
        if not ck.lost_found or not change_entry(ck, ROOTINO, NAME, ck.lost_found):
            return _cannot_create(ck)
        ck.inodes.links[former] += 1
        reparent(ck, ck.dirs[ck.lost_found], ROOTINO)
    return ck.inodes.state[ck.lost_found] == FOUND or _cannot_create(ck)


def _create(ck: Check) -> int:
    """Make lost+found in the root directory; return its inode number, 0 when there is no room."""
    ino = allocate_directory(ck, ROOTINO, 0, _MODE)
    if not ino:
        return 0
    if not make_entry(ck, ROOTINO, ino, NAME):
        root = ck.dinode(ROOTINO)
        ck.put(ROOTINO, root._replace(di_nlink=root.di_nlink - 1))
        free_inode(ck, ino)
        return 0
    reparent(ck, ck.dirs[ino], ROOTINO)
    return ino


def _cannot_create(ck: Check) -> bool:
    ck.report("cannot-create-lost+found")
    ck.unresolved = True
    return False
