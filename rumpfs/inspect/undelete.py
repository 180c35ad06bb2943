"""Deleted files: the names and inodes that are left of them, and what of their content is.

When a file is removed, its name stays in the directory until another one needs the place, and names the inode
still. The inode is cleared (ffs_inode.c truncates it first), so that nothing on the disk says where the
content was; older copies of the inode do, when there is a log. What those lead to is the old content as long
as no other file has got the blocks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, NamedTuple

from rumpfs.base.errors import VfsError
from rumpfs.inspect.names import Names, chunks_of, directories, entries_in
from rumpfs.inspect.raw import Budget, Pieces, Raw
from rumpfs.inspect.shown import one_line
from rumpfs.inspect.slack import Chunks, Place
from rumpfs.inspect.versions import REMAINS, Past, Version
from rumpfs.ondisk.ufs.dinode import IFDIR, IFLNK, IFMT, IFREG, SF_LOG, SF_SNAPSHOT, Dinode
from rumpfs.ondisk.ufs.direct import DT_UNKNOWN
from rumpfs.ondisk.ufs.fs import ROOTINO

#: Bytes that are read at a time.
_READ: Final = 1 << 20
#: Seconds by which times may lie after the last write of the file system.
_CLOCK: Final = 86400
#: Components of a path that are looked for.
_DEPTH: Final = 64
_DOTS: Final = (b".", b"..")


class Confidence(IntEnum):
    """How much of a deleted file can be restored, and how sure that is."""

    #: nothing but the name, the inode's number, and the time of removal
    NAME = 0
    #: some of its blocks belong to other files now, or it is not sure whose inode it was
    LOW = 1
    #: all of its blocks are free; a detail is doubtful
    MEDIUM = 2
    HIGH = 3


@dataclass(frozen=True, slots=True)
class Deleted:
    """A deleted file.

    Attributes:
        ino: its inode; 0 when the name has lost it.
        name: its name; empty when none is left.
        directory: the inode of its directory; 0 when that is not known.
        path: where it was, as far as that is known; a directory without a name is ``#`` and its number.
        mode: type and permissions; 0 when they are not known.
        dtype: its type, as the name has it (DT_).
        size: bytes; -1 when that is not known.
        mtime_ns, deleted_ns: times in nanoseconds since 1970; None when they are not known.
        blocks, free: frags that its content had, and those that no other file has now.
        confidence: what can be restored.
        reasons: why, each in a sentence.
        source: where the copy of its inode was found; empty without one.
        version: that copy.
    """

    ino: int
    name: bytes
    directory: int
    path: bytes
    mode: int
    dtype: int
    size: int
    mtime_ns: int | None
    deleted_ns: int | None
    blocks: int
    free: int
    confidence: Confidence
    reasons: tuple[str, ...]
    source: str
    version: Version | None


class _Name(NamedTuple):
    """A name that was removed."""

    directory: int
    name: bytes
    ino: int
    dtype: int
    where: str


class Search:
    """Looks for deleted files.

    Args:
        raw: the file system.
        scan: read all free frags for what is left of deleted directories.
    """

    def __init__(self, raw: Raw, scan: bool = True) -> None:
        self._raw = raw
        self._chunks = Chunks(raw.fs)
        self._names = Names(raw)
        self._past = Past(raw)
        self._removed: dict[tuple[int, bytes, int], _Name] = {}
        self._dirs: dict[int, tuple[int, bytes]] = {}  # deleted directory -> (its directory, name)
        self._places: dict[int, int] = {}  # frag -> the directory that has it
        self._budget = Budget(raw)
        self._hidden = {number for number in raw.fs.fs_quotafile if raw.fs.has_quota2}
        self._slack()
        self._old_directories()
        if scan:
            self._free_directories()

    def deleted(self) -> list[Deleted]:
        """Return the deleted files, by path and number."""
        self._merge()
        for each in self._removed.values():
            known = self._dirs.get(each.ino)
            there = each.ino in self._names and self._is_directory(each.ino)
            if each.ino and not there and (known is None or not known[1]):
                self._dirs[each.ino] = each.directory, each.name
        found = [self._of_name(each) for each in self._removed.values()]
        named = {(each.version.ino, each.version.dinode.di_gen) for each in found if each.version is not None}
        found += [
            self._study(_Name(0, b"", version.ino, DT_UNKNOWN, ""), version)
            for version in self._nameless()
            if (version.ino, version.dinode.di_gen) not in named
        ]
        return sorted(found, key=lambda each: (each.path, each.ino))

    # --- names ------------------------------------------------------------------------------------

    def _slack(self) -> None:
        """Take down the names that are left between those of directories."""
        for directory, di in directories(self._raw):
            here: set[tuple[int, bytes]] = set()
            left: list[Place] = []
            for _, frag, data in chunks_of(self._raw, di):
                frags = -(-len(data) >> self._raw.fs.fs_fshift)
                self._places.update(dict.fromkeys(range(frag, frag + frags), directory))
                here.update((ino, name) for _, ino, _, name in entries_in(self._raw, data))
                for start in range(0, len(data), self._chunks.size):
                    left += self._chunks.deleted(data[start : start + self._chunks.size])
            self._take(
                directory, ((p.name, p.ino, p.dtype) for p in left), here, "the name is in its directory"
            )

    def _take(
        self,
        directory: int,
        found: Iterable[tuple[bytes, int, int]],
        here: set[tuple[int, bytes]],
        where: str,
    ) -> None:
        """Take down removed names of a directory, of which `here` are those that it has still."""
        names = {name for _, name in here}
        for name, ino, dtype in found:
            if name in _DOTS or (ino, name) in here or (not ino and name in names):
                continue
            there = self._names.get(ino)
            if there is not None and there[1] == name:
                continue  # it was moved
            self._removed.setdefault((directory, name, ino), _Name(directory, name, ino, dtype, where))

    def _old_directories(self) -> None:
        """Take down the names in older copies of directories."""
        for directory, address, data, source in self._past.directories:
            directory = directory or self._places.get(address >> self._raw.fs.fs_fshift, 0)
            here = self._names.entries(directory)
            self._take(directory, self._all(data), here, f"the name is in {source}")

    def _merge(self) -> None:
        """Forget names of which it is not known where they were, when it is known of the same ones."""
        known = {(each.name, each.ino) for each in self._removed.values() if each.directory}
        for key, each in list(self._removed.items()):
            if not each.directory and (each.name, each.ino) in known:
                del self._removed[key]

    def _all(self, data: bytes) -> Iterator[tuple[bytes, int, int]]:
        """Yield the names in chunks, removed or not."""
        for start in range(0, len(data), self._chunks.size):
            for place in self._chunks.places(data[start : start + self._chunks.size]):
                if place.name:
                    yield place.name, place.ino, place.dtype

    def _free_directories(self) -> None:
        """Take down the names in what free frags hold of deleted directories."""
        for data in _free_runs(self._raw):
            step = self._raw.fs.fs_fsize
            for start in range(0, len(data), step):
                chunk = data[start : start + self._chunks.size]
                whose = self._chunks.owner(chunk)
                if whose is None:
                    continue
                directory, parent = whose
                if self._is_directory(directory) and directory in self._names:
                    continue
                self._dirs.setdefault(directory, (parent, b""))
                self._take(directory, self._all(self._run(data, start)), set(), "the name is in a free block")

    def _run(self, data: bytes, start: int) -> bytes:
        """Return the chunks of a directory that begins at a byte of the data, at most a block of them."""
        end = start
        for end in range(start, min(start + self._raw.fs.fs_bsize, len(data)), self._chunks.size):
            chunk = data[end : end + self._chunks.size]
            if not self._chunks.looks_right(chunk) or (end > start and self._chunks.owner(chunk) is not None):
                return data[start:end]
        return data[start : end + self._chunks.size]

    def _path(self, directory: int, name: bytes, ino: int) -> bytes:
        """Return where a file was."""
        parts = [name or b"#%d" % ino]
        seen: set[int] = set()
        while directory:
            path = self._names.path(directory)
            if path is not None and self._is_directory(directory):
                return path.rstrip(b"/") + b"/" + b"/".join(reversed(parts))
            if directory in seen or len(parts) > _DEPTH:
                break
            seen.add(directory)
            there = self._names.get(directory) if self._is_directory(directory) else None
            above, called = self._dirs.get(directory) or there or (0, b"")
            parts.append(called or b"#%d" % directory)
            directory = above
        return b"?/" + b"/".join(reversed(parts))

    def _is_directory(self, ino: int) -> bool:
        """True when an inode is a directory now."""
        now = self._raw.inode(ino)
        return now is not None and now.di_mode & IFMT == IFDIR

    # --- inodes -----------------------------------------------------------------------------------

    def _nameless(self) -> Iterator[Version]:
        """Yield the inodes that no name leads to: those in use, and copies of those that are free."""
        raw = self._raw
        for ino, di in raw.inodes():
            hidden = ino <= ROOTINO or ino in self._hidden or di.di_flags & (SF_LOG | SF_SNAPSHOT)
            if ino not in self._names and not hidden:
                yield Version(ino, 0, "the disk", di, raw.inode_bytes(ino), None)
        for ino in self._past.versions:
            for version in self._files_of(ino):
                if not version.dinode.di_flags & SF_LOG and ino > ROOTINO:
                    yield version

    def _files_of(self, ino: int) -> list[Version]:
        """Return the best copy of each file that an inode was once, the newest one first."""
        files: dict[int, list[Version]] = {}
        for version in self._past.versions.get(ino, ()):
            files.setdefault(version.dinode.di_gen, []).append(version)
        best = [_best(versions) for versions in files.values()]
        return sorted(best, key=lambda version: version.age, reverse=True)

    def _of_name(self, each: _Name) -> Deleted:
        """Return the file that a removed name belonged to."""
        now = self._raw.inode(each.ino) if each.ino else None
        fits = [version for version in self._files_of(each.ino) if _fits(version.dinode, each.dtype)]
        if now is not None and now.di_mode & IFMT and each.ino not in self._names and _fits(now, each.dtype):
            fits.insert(0, Version(each.ino, 0, "the disk", now, self._raw.inode_bytes(each.ino), None))
        return self._study(each, fits[0] if fits else None, len(fits))

    def _study(self, each: _Name, version: Version | None, files: int = 1) -> Deleted:
        """Return what is left of a file."""
        raw = self._raw
        reasons = [each.where] if each.where else ["no name is left"]
        now = raw.inode(each.ino) if each.ino else None
        freed = now is not None and not now.di_mode & IFMT
        deleted_ns = now.di_ctime * 10**9 + now.di_ctimensec if now is not None and freed else None
        blocks = free = 0
        confidence = Confidence.NAME
        if version is None:
            reasons.append(self._without(each, now))
        else:
            blocks, free = self._blocks(version)
            confidence = self._judge(version, now, blocks, free, files, reasons)
        di = version.dinode if version is not None else None
        return Deleted(
            ino=each.ino, name=each.name, directory=each.directory,
            path=self._path(each.directory, each.name, each.ino),
            mode=di.di_mode if di else 0, dtype=each.dtype, size=di.di_size if di else -1,
            mtime_ns=di.di_mtime * 10**9 + di.di_mtimensec if di else None, deleted_ns=deleted_ns or None,
            blocks=blocks, free=free, confidence=confidence, reasons=tuple(reasons),
            source=version.source if version else "", version=version,
        )  # fmt: skip

    def _without(self, each: _Name, now: Dinode | None) -> str:
        """Return why there is no content."""
        if not each.ino:
            return "the name has lost its inode"
        if now is None or not now.di_mode & IFMT:
            return "its inode was cleared, and no older copy of it is left"
        path = self._names.path(each.ino)
        if path is None:
            return "its inode is in use"
        return f"its inode is now {one_line(path)}: another file's, or the same one's under this name"

    def _blocks(self, version: Version) -> tuple[int, int]:
        """Return how many frags a file had, and how many no other file has."""
        raw = self._raw
        mine = version.source == "the disk"
        blocks = free = 0
        for piece in Pieces(raw, self._budget).of(version.dinode):
            blocks += piece.frags
            free += piece.frags if mine else sum(map(raw.is_free, range(piece.frag, piece.end)))
        return blocks, free

    def _judge(
        self, version: Version, now: Dinode | None, blocks: int, free: int, files: int, reasons: list[str]
    ) -> Confidence:
        """Return what can be restored of a file, and add the reasons."""
        di = version.dinode
        found = Confidence.HIGH
        if version.source == "the disk":
            reasons.append("its inode is in use, and no name leads to it")
            return found
        reasons.append(f"a copy of its inode is in {version.source}")
        if version.source == REMAINS:
            reasons.append("whose inode the copy is follows from its generation, or from its neighbours")
            found = Confidence.MEDIUM
        if now is not None and now.di_gen != di.di_gen:
            reasons.append("its inode has been another file's since then")
            found = Confidence.MEDIUM
        if files > 1:
            reasons.append("it may have been another file of this inode's")
            found = Confidence.LOW
        if di.di_mtime < 0 or di.di_mtime > self._raw.fs.fs_time + _CLOCK:
            reasons.append("its time is not one that it can have had")
            found = min(found, Confidence.MEDIUM)
        wanted = di.di_blocks * 512 >> self._raw.fs.fs_fshift
        if free < blocks:
            reasons.append(f"{blocks - free} of its {blocks} frags belong to other files now")
            found = Confidence.LOW
        elif blocks < wanted:
            reasons.append(f"its indirect blocks lead to {blocks} of the {wanted} frags that it had")
            found = Confidence.LOW
        elif blocks:
            reasons.append(f"all of its {blocks} frags are free")
        return found


def _best(versions: list[Version]) -> Version:
    """Return the last copy of a file before it was deleted: deleting takes its names, and then its length."""
    named = [version for version in versions if version.dinode.di_nlink > 0]
    if named:
        return max(named, key=lambda version: version.age)
    return max(versions, key=lambda version: (version.dinode.di_size, version.age))


def _fits(di: Dinode, dtype: int) -> bool:
    """True when an inode is of the type that a name says."""
    return dtype in (DT_UNKNOWN, (di.di_mode & IFMT) >> 12)


def _free_runs(raw: Raw) -> Iterator[bytes]:
    """Yield the content of the free frags, in runs that do not cross from one group to the next."""
    fs = raw.fs
    for cgx in range(raw.groups):
        cg = raw.group(cgx)
        if cg is None:
            continue
        base = fs.cgbase(cgx)
        bits = int.from_bytes(cg.blksfree, "little") & (1 << min(cg.ndblk, raw.frags - base)) - 1
        place = 0
        while bits:
            skip = (bits & -bits).bit_length() - 1
            bits >>= skip
            place += skip
            length = (~bits & bits + 1).bit_length() - 1
            yield from _read_run(raw, base + place, length)
            bits >>= length
            place += length


def _read_run(raw: Raw, frag: int, count: int) -> Iterator[bytes]:
    step = _READ >> raw.fs.fs_fshift
    for done in range(0, count, step):
        try:
            yield raw.read_frags(frag + done, min(step, count - done))
        except VfsError:
            continue


# --- restoring --------------------------------------------------------------------------------------------


class Part(NamedTuple):
    """A part of the content of a deleted file; `data` is None where another file has the blocks."""

    offset: int
    length: int
    data: bytes | None


def content(raw: Raw, deleted: Deleted) -> Iterator[Part]:
    """Yield what is left of the content of a regular file; what is not yielded is a hole.

    Args:
        deleted: a file with a version.
    """
    assert deleted.version is not None
    di = deleted.version.dinode
    mine = deleted.version.source == "the disk"
    fs = raw.fs
    for piece in Pieces(raw).of(di):
        if piece.lbn < 0 or piece.attributes:
            continue
        for frag in range(piece.frag, piece.end, fs.fs_frag):
            offset = (piece.lbn * fs.fs_bsize) + (frag - piece.frag << fs.fs_fshift)
            count = min(fs.fs_frag, piece.end - frag)
            length = min(count << fs.fs_fshift, di.di_size - offset)
            if length <= 0:
                continue
            free = mine or all(map(raw.is_free, range(frag, frag + count)))
            data = raw.disk.read(length, frag << fs.fs_fshift) if free else None
            yield Part(offset, length, data)


def target(raw: Raw, deleted: Deleted) -> bytes:
    """Return where a symbolic link led, as far as that is left."""
    assert deleted.version is not None
    di = deleted.version.dinode
    if raw.fs.is_fast_symlink(di.di_size, di.di_blocks):
        return raw.codec.fast_symlink(deleted.version.data, 0, di.di_size)
    return b"".join(part.data or b"" for part in content(raw, deleted))[: di.di_size]


def can_restore(deleted: Deleted) -> bool:
    """True when there is something to restore of a regular file, a link or a directory."""
    left = deleted.free or not deleted.blocks
    return bool(left and deleted.version is not None and deleted.mode & IFMT in (IFREG, IFLNK, IFDIR))
