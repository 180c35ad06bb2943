"""A tree from a tar archive, of any kind that tarfile reads, from a file or from a pipe."""

from __future__ import annotations

import lzma
import os
import re
import sys
import tarfile
import zlib
from io import FileIO
from typing import IO, Final, Protocol

from rumpfs.abi.stat import S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFREG, makedev
from rumpfs.cli.sources.errors import SourceError
from rumpfs.cli.sources.spec import file_flags
from rumpfs.fs.ffs.makefs.content import Part, PartContent
from rumpfs.fs.ffs.makefs.node import Node, directory

_KINDS: Final = {
    tarfile.DIRTYPE: S_IFDIR, tarfile.SYMTYPE: S_IFLNK, tarfile.CHRTYPE: S_IFCHR, tarfile.BLKTYPE: S_IFBLK,
    tarfile.FIFOTYPE: S_IFIFO,
}  # fmt: skip
_SECOND: Final = 1_000_000_000
_COPY: Final = 1 << 20
#: in which what begins with zeros and is no empty archive shows what it is: a superblock is there
_BEGINNING: Final = 1 << 19
_DECIMAL: Final = re.compile(r"(-?)(\d{1,15})(?:\.(\d*))?", re.ASCII)
#: what reading a damaged archive raises
DAMAGE: Final = (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError)


class _Readable(Protocol):
    def read(self, nbytes: int, /) -> bytes: ...


class Archive:
    """A tar archive while its files are read.

    Args:
        path: host path; ``-`` for standard input.
        spool: a file for the contents of what cannot be read twice: a compressed archive, or a pipe.
        now: time of directories that it does not name, in nanoseconds.

    Attributes:
        root: the tree.

    Raises:
        SourceError: it is damaged, or leads out of the tree.
        OSError: what the host says.
    """

    def __init__(self, path: str, spool: IO[bytes], now: int) -> None:
        self._name = path
        self._now = now
        self.root = directory(mtime=now)
        self._file: FileIO | None = None
        self._spool = spool
        try:
            self._read(path)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the archive, from which contents may have been read up to now."""
        if self._file is not None:
            self._file.close()

    def _read(self, path: str) -> None:
        """Read all members."""
        try:
            with self._open(path) as tar:
                for member in tar:
                    self._enter(tar, member)
                if not tar.getmembers() and self._file and any(os.pread(self._file.fileno(), _BEGINNING, 0)):
                    raise SourceError(f"{path}: it is no archive; rumpfs tar makes one of an image")
        except DAMAGE as error:
            raise SourceError(f"{path}: {str(error) or 'the archive ends early'}") from error

    def _open(self, path: str) -> tarfile.TarFile:
        """Return the archive; `_file` is set when its bytes can be read in place."""
        if path == "-":
            return tarfile.open(
                fileobj=sys.stdin.buffer, mode="r|*", errors="surrogateescape", encoding="utf-8"
            )
        if os.path.isfile(path):
            try:
                self._file = FileIO(path)
                return tarfile.open(fileobj=self._file, mode="r:", errors="surrogateescape", encoding="utf-8")
            except tarfile.ReadError:
                self.close()
                self._file = None
        try:
            return tarfile.open(path, mode="r|*", errors="surrogateescape", encoding="utf-8")
        except tarfile.ReadError as error:
            raise SourceError(f"{path}: neither an archive nor a manifest: {error}") from error

    # --- members

    def _enter(self, tar: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        """Put a member in the tree; a later one replaces an earlier one of its name."""
        path = self._path(member.name)
        if member.islnk():
            self._place(path, self._lookup(self._path(member.linkname), member))
            return
        kind = S_IFREG if member.isreg() else _KINDS.get(member.type)
        if kind is None:
            raise SourceError(f"{self._name}: {member.name} has the type {member.type!r}, which no FFS has")
        node = self._node(member, kind)
        if kind == S_IFREG:
            node.content = self._content(tar, member)
        elif kind == S_IFLNK:
            node.target = _bytes(member.linkname)
        elif kind in (S_IFCHR, S_IFBLK):
            node.rdev = makedev(member.devmajor, member.devminor)
        if kind == S_IFDIR:
            old = self._find(path)
            node.children = old.children if old is not None and old.children is not None else {}
        if path:
            self._place(path, node)
        elif kind == S_IFDIR:
            self.root = node

    def _node(self, member: tarfile.TarInfo, kind: int) -> Node:
        """Return a node with the attributes of a member."""
        pax = member.pax_headers
        mtime = _nanoseconds(pax.get("mtime"), int(member.mtime) * _SECOND)
        try:
            flags = file_flags(pax.get("SCHILY.fflags", "").encode("utf-8", "surrogateescape"))
        except ValueError as error:
            raise SourceError(f"{self._name}: {member.name}: {error}") from error
        return Node(
            kind | member.mode & 0o7777, member.uid, member.gid, mtime,
            _nanoseconds(pax.get("atime"), mtime), _nanoseconds(pax.get("ctime"), mtime),
            _nanoseconds(pax.get("LIBARCHIVE.creationtime"), mtime), flags,
        )  # fmt: skip

    def _content(self, tar: tarfile.TarFile, member: tarfile.TarInfo) -> PartContent:
        """Return where the bytes of a file are; those of a stream are kept in the spool first."""
        name = _bytes(member.name)
        sparse: list[tuple[int, int]] | None = getattr(member, "sparse", None)
        regions = [(start, length) for start, length in sparse or [(0, member.size)] if length]
        parts = []
        if self._file is not None:
            place = member.offset_data
            for start, length in regions:
                parts.append(Part(start, length, place))
                place += length
            if place > os.fstat(self._file.fileno()).st_size:
                raise SourceError(f"{self._name}: the archive ends in {member.name}")
            return PartContent(name, self._file.fileno(), member.size, parts)
        source = tar.fileobj
        assert source is not None
        source.seek(member.offset_data)
        place = self._spool.seek(0, os.SEEK_END)
        for start, length in regions:
            parts.append(Part(start, length, place))
            self._copy(source, length, member.name)
            place += length
        self._spool.flush()
        return PartContent(name, self._spool.fileno(), member.size, parts)

    def _copy(self, source: _Readable, length: int, name: str) -> None:
        while length:
            data = source.read(min(length, _COPY))
            if not data:
                raise SourceError(f"{self._name}: the archive ends in {name}")
            self._spool.write(data)
            length -= len(data)

    # --- the tree

    def _path(self, name: str) -> tuple[bytes, ...]:
        """Return the components of the name of a member."""
        parts = tuple(part for part in _bytes(name).split(b"/") if part not in (b"", b"."))
        if b".." in parts:
            raise SourceError(f"{self._name}: {name} leads out of the tree")
        return parts

    def _find(self, path: tuple[bytes, ...]) -> Node | None:
        node: Node | None = self.root
        for name in path:
            node = (node.children or {}).get(name) if node is not None else None
        return node

    def _lookup(self, path: tuple[bytes, ...], member: tarfile.TarInfo) -> Node:
        node = self._find(path)
        if node is None or node.children is not None:
            why = f"is a link to {member.linkname}, which is no file before it"
            raise SourceError(f"{self._name}: {member.name} {why}")
        return node

    def _place(self, path: tuple[bytes, ...], node: Node) -> None:
        """Put a node at a path, and make the directories that lead to it."""
        where = self.root
        for name in path[:-1]:
            assert where.children is not None
            below = where.children.get(name)
            if below is None:
                below = where.children[name] = directory(mtime=self._now)
            elif below.children is None:
                text = os.fsdecode(b"/".join(path))
                raise SourceError(f"{self._name}: {text}: {os.fsdecode(name)} is no directory")
            where = below
        assert where.children is not None
        if path:
            where.children[path[-1]] = node


def _bytes(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")


def _nanoseconds(text: str | None, default: int) -> int:
    """Return a time of a pax header, seconds with decimals."""
    match = _DECIMAL.fullmatch(text) if text is not None else None
    if match is None:
        return default
    sign, seconds, decimals = match.groups("")
    ns = int(seconds) * _SECOND + int(decimals[:9].ljust(9, "0"))
    return -ns if sign else ns
