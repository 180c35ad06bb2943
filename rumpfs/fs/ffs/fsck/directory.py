"""The entries of one directory, one after the other (NetBSD sbin/fsck_ffs/pass2.c, `pass2check`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from rumpfs.fs.ffs.fsck.entries import Block, Header, blocks, entries
from rumpfs.fs.ffs.fsck.lostfound import change_entry
from rumpfs.fs.ffs.fsck.tables import BADDIR, BADFILE, DIR, DIRECTORIES, FILE, FREE, Directory
from rumpfs.ondisk.ufs.dinode import IFDIR, IFMT
from rumpfs.ondisk.ufs.dirchunk import dirsiz
from rumpfs.ondisk.ufs.direct import DT_DIR, DT_UNKNOWN, DT_WHT, WINO

if TYPE_CHECKING:
    from rumpfs.fs.ffs.fsck.checker import Check

#: Bytes of the entries ``.`` and ``..``.
_DOT: Final = 12


def check_directory(ck: Check, d: Directory) -> None:
    """Look at the entries of a directory."""
    scan = _Scan(ck, d)
    for block in blocks(ck, d, scan.salvage, scan.hole):
        scan.block(block)
    scan.end()


class _Scan:
    """Looks at the entries of a directory."""

    def __init__(self, ck: Check, d: Directory) -> None:
        self._ck = ck
        self._d = d
        self._form = ck.dirs_format
        #: entries in use so far; the first two are . and ..
        self._count = 0
        self._salvage: bool | None = None
        self._hole: int | None = None
        self._block = Block(bytearray(), 0, 0)

    # --- what is wrong with the directory as a whole

    def _where(self, parent: int | None = None) -> dict[str, Any]:
        """Return what a finding says of the directory, whose path goes by its own ``..`` or by `parent`."""
        ino = self._d.ino
        return {**self._ck.who(ino), "path": self._ck.names.path(ino if parent is None else parent, ino)}

    def salvage(self) -> bool:
        """Return whether to keep what is done about entries that break the format."""
        if self._salvage is None:
            self._salvage = self._ck.ask("directory-corrupted", **self._where())
        return self._salvage

    def hole(self, lbn: int) -> None:
        """Note a block that is missing."""
        if self._hole is None:
            self._hole = lbn

    def end(self) -> None:
        """Note that blocks were missing."""
        if self._hole is None:
            return
        ck, d = self._ck, self._d
        size = self._hole * ck.fs.fs_bsize
        where = {"field": "di_size", "got": d.size, "expected": size}
        if ck.ask("directory-empty-blocks", inode=d.ino, path=ck.names.path(d.ino, d.ino), **where):
            ck.put(d.ino, ck.dinode(d.ino)._replace(di_size=size))
            ck.rerun = True

    # --- entries

    def block(self, block: Block) -> None:
        """Look at the entries of a block."""
        ck = self._ck
        self._block = block
        state, links, dtypes = ck.inodes.state, ck.inodes.links, ck.inodes.dtype
        old = self._form.old
        data = block.data
        for entry in entries(self._form, data):
            if self._count < 2:
                self._early(entry)
                continue
            ino = entry.ino
            if not ino:
                continue
            if ino > WINO and state[ino] == FILE and (old or dtypes[ino] == entry.dtype):
                if entry.namlen > 2 or data[entry.pos + 8] != 0x2E:
                    links[ino] -= 1
                    self._count += 1
                    continue
            self._entry(entry)

    def _early(self, entry: Header) -> None:
        """Look at an entry that should be ``.`` or ``..``."""
        if self._count == 0:
            entry = self._dot(entry)
            self._refer(entry)
            need = dirsiz(entry.namlen) if entry.ino else 0
            if entry.reclen >= need + _DOT:
                rest = Header(entry.pos + need, 0, entry.reclen - need, 0, 0)
                self._dotdot(rest, entry._replace(reclen=need))
        else:
            self._dotdot(entry)

    def _name(self, entry: Header) -> bytes:
        return self._form.name(self._block.data, entry) if entry.ino else b""

    def _change(self, entry: Header, name: bytes | None = None) -> None:
        """Keep a change of an entry."""
        self._form.pack(self._block.data, entry, name)
        self._block.dirty = True
        self._ck.names.forget(self._d.ino)

    def _dot(self, entry: Header) -> Header:
        """Check the first entry; return it as it is then."""
        ck, d = self._ck, self._d
        name = self._name(entry)
        if name == b".":
            if entry.ino != d.ino:
                wanted = ck.ask("bad-dot", **self._where(), got=entry.ino, expected=d.ino)
                entry = entry._replace(ino=d.ino)
                if wanted:
                    self._change(entry)
            return self._typed(entry, "bad-dot-type")
        if entry.ino and name != b"..":
            ck.report("missing-dot-occupied", **self._where(), got=name)
            ck.unresolved = True
            return entry
        if entry.reclen < _DOT:
            ck.report("missing-dot-no-room", **self._where())
            ck.unresolved = True
            return entry
        wanted = ck.ask("missing-dot", **self._where(), expected=d.ino)
        dtype = DT_UNKNOWN if self._form.old else DT_DIR
        entry = entry._replace(ino=d.ino, dtype=dtype, namlen=1)
        if wanted:
            self._change(entry, b".")
        return entry

    def _typed(self, entry: Header, kind: str) -> Header:
        """Check that an entry says that it is a directory; return it as it is then."""
        if self._form.old or entry.dtype == DT_DIR:
            return entry
        wanted = self._ck.ask(kind, **self._where(), field="d_type", got=entry.dtype, expected=DT_DIR)
        entry = entry._replace(dtype=DT_DIR)
        if wanted:
            self._change(entry)
        return entry

    def _dotdot(self, entry: Header, before: Header | None = None) -> None:
        """Check the second entry.

        Args:
            entry: it.
            before: the first one, as it is when it gives up the room for this one.
        """
        ck, d = self._ck, self._d
        name = self._name(entry)
        if name == b"..":
            d.dotdot = entry.ino
            d.counted = self._refer(self._typed(entry, "bad-dotdot-type"))
            return
        self._count += 1
        if entry.ino and name != b".":
            ck.report("missing-dotdot-occupied", **self._where(d.parent), got=name)
            ck.unresolved = True
            d.dotdot = -1
        elif entry.reclen < _DOT:
            ck.report("missing-dotdot-no-room", **self._where(d.parent))
            ck.unresolved = True
            d.dotdot = -1
        elif d.parent:
            d.dotdot = d.parent
            wanted = ck.ask("missing-dotdot", **self._where(d.parent), expected=d.parent)
            dtype = DT_UNKNOWN if self._form.old else DT_DIR
            entry = entry._replace(ino=d.parent, dtype=dtype, namlen=2)
            if wanted:
                if before is not None:
                    self._change(before)
                self._change(entry, b"..")
        if entry.ino:
            ck.inodes.links[entry.ino] -= 1
            d.counted = entry.ino

    def _refer(self, entry: Header) -> int:
        """Count what ``.`` or ``..`` refers to; return it, or 0 when it cannot be counted."""
        if not entry.ino:
            return 0
        self._count += 1
        if self._ck.inodes.state[entry.ino] not in (FILE, *DIRECTORIES):
            return 0
        self._ck.inodes.links[entry.ino] -= 1
        return entry.ino

    def _entry(self, entry: Header) -> None:
        """Check an entry in use that is neither the first nor the second."""
        ck = self._ck
        name = self._name(entry)
        if name in (b".", b".."):
            kind = "extra-dot" if name == b"." else "extra-dotdot"
            if ck.ask(kind, **self._where(), got=entry.ino):
                self._change(entry._replace(ino=0))
            return
        self._count += 1
        if not self._form.old and (entry.ino == WINO) != (entry.dtype == DT_WHT):
            path = ck.names.path(self._d.ino, self._d.ino).rstrip(b"/") + b"/" + name
            if ck.ask("bad-whiteout", inode=entry.ino, path=path, got=entry.dtype):
                self._change(entry._replace(ino=WINO, dtype=DT_WHT))
            return
        if entry.ino == WINO:
            if self._form.old:
                self._unallocated(entry, name)
            return
        self._reference(entry, name)

    def _target(self, entry: Header, name: bytes) -> dict[str, Any]:
        """Return what a finding says of the inode that an entry names."""
        base = self._ck.names.path(self._d.ino, self._d.ino)
        return {**self._ck.who(entry.ino), "path": base.rstrip(b"/") + b"/" + name}

    def _unallocated(self, entry: Header, name: bytes) -> None:
        if self._ck.ask("unallocated", **self._target(entry, name)):
            self._change(entry._replace(ino=0))

    def _reference(self, entry: Header, name: bytes) -> None:
        """Check what an entry refers to."""
        ck = self._ck
        ino = entry.ino
        state = ck.inodes.state
        if state[ino] == FREE:
            self._unallocated(entry, name)
            return
        if state[ino] in (BADFILE, BADDIR):
            kind = "bad-file" if state[ino] == BADFILE else "zero-length-directory"
            if ck.ask(kind, **self._target(entry, name)):
                self._change(entry._replace(ino=0))
                return
            di = ck.dinode(ino)
            is_dir = di.di_mode & IFMT == IFDIR and ino in ck.dirs
            state[ino] = DIR if is_dir else FILE
            ck.inodes.links[ino] = di.di_nlink
        if state[ino] in DIRECTORIES and self._is_second_link(entry, name):
            return
        if not self._form.old and entry.dtype != ck.inodes.dtype[ino]:
            expected = ck.inodes.dtype[ino]
            where = {**self._target(entry, name), "field": "d_type", "got": entry.dtype, "expected": expected}
            if ck.ask("bad-type", **where):
                self._change(entry._replace(dtype=expected))
        ck.inodes.links[ino] -= 1

    def _is_second_link(self, entry: Header, name: bytes) -> bool:
        """Enter the parent of a directory; True when it has one and this entry is removed.

        A crash in the middle of a rename leaves a directory with two names. fsck_ffs -p lets that be; ours
        takes the one away that is not where ``..`` leads.
        """
        ck = self._ck
        child = ck.dirs[entry.ino]
        if child.parent:
            where = {"inode": entry.ino, "got": ck.names.path(entry.ino, entry.ino)}
            here = ck.preening and self._d.ino == ck.names.dotdot(entry.ino) != child.parent
            path = ck.names.path(child.parent, entry.ino) if here else self._target(entry, name)["path"]
            wanted = ck.ask("directory-hard-link", **where, path=path)
            if wanted and not here:
                self._change(entry._replace(ino=0))
                return True
            if wanted and change_entry(ck, child.parent, path.rpartition(b"/")[2], 0):
                ck.inodes.links[entry.ino] += 1
        child.parent = self._d.ino
        return False
