"""Archives of trees, in the pax format (POSIX pax(1); GNU tar's sparse format 1.0; libarchive's keywords)."""

from __future__ import annotations

import io
import os
import sys
import tarfile
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any, Final

from rumpfs.abi.stat import FILE_FLAGS, S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFMT, S_IFREG
from rumpfs.cli.places import Place, ServerFiles
from rumpfs.cli.tool import Failure, OutputLost, Tool, say
from rumpfs.cli.walk import Visit, visit, walk
from rumpfs.client.records import StatResult

_TYPES: Final = {
    S_IFREG: tarfile.REGTYPE, S_IFDIR: tarfile.DIRTYPE, S_IFLNK: tarfile.SYMTYPE, S_IFIFO: tarfile.FIFOTYPE,
    S_IFCHR: tarfile.CHRTYPE, S_IFBLK: tarfile.BLKTYPE,
}  # fmt: skip
_BLOCK: Final = tarfile.BLOCKSIZE
_NS: Final = 10**9
#: what is written at a time; tarfile copies all of it for each piece that is added
_BUFFER: Final = 64 << 10


def run(tool: Tool, args: Namespace) -> None:
    """Write an archive as the command line says."""
    tops = [visit(tool, tool.remote(text, b"/"), follow=True) for text in args.address]
    if args.file is not None:
        tool.spare(args.file)
    with _output(args.file) as stream:
        try:
            with _archive(stream, args.compress) as archive:
                archive.copybufsize = _BUFFER  # type: ignore[attr-defined]
                writer = _Writer(tool, archive, args.verbose)
                for top in tops:
                    if top is not None:
                        writer.tree(top)
        except BrokenPipeError as error:
            raise OutputLost(error) from error
        except OSError as error:
            raise Failure(f"{args.file or 'standard output'}: {error.strerror or error}") from error


def _archive(stream: IO[bytes], compress: str) -> tarfile.TarFile:
    """Open an archive on a stream that cannot be moved in; `compress` is gz, bz2, xz or nothing."""
    mode: Any = f"w|{compress}"
    pax = tarfile.PAX_FORMAT
    return tarfile.open(
        fileobj=stream, mode=mode, format=pax, encoding="utf-8", errors="surrogateescape", bufsize=_BUFFER
    )


@contextmanager
def _output(path: str | None) -> Iterator[IO[bytes]]:
    """Open where an archive goes; a regular file that is not finished is removed."""
    if path is None:
        yield sys.stdout.buffer
        return
    try:
        stream = open(path, "wb")  # noqa: SIM115
    except OSError as error:
        raise Failure(f"{path}: {error.strerror}") from error
    try:
        with stream:
            yield stream
    except BaseException:
        if os.path.isfile(path):
            os.unlink(path)
        raise


class _Writer:
    """Adds trees to an archive.

    Args:
        tool: reports what cannot be read; the rest is archived.
        archive: the archive.
        verbose: name each file.
    """

    def __init__(self, tool: Tool, archive: tarfile.TarFile, verbose: bool) -> None:
        self.tool = tool
        self.archive = archive
        self.verbose = verbose
        self._names: dict[tuple[Any, int, int], str] = {}  # of what has several

    def tree(self, top: Visit) -> None:
        """Add a file, or a directory with all that is below it."""
        prefix = top.place.path.rstrip(b"/")
        base = top.place.name or b"."
        for found in walk(self.tool, top):
            below = found.place.path[len(prefix) :].strip(b"/")
            name = os.fsdecode(base + b"/" + below if below else base)
            try:
                self._file(found.place, found.st, name)
            except _Unread as failure:
                self.tool.failed(str(found.place), failure.error)

    def _file(self, place: Place[ServerFiles], st: StatResult, name: str) -> None:
        kind = st.st_mode & S_IFMT
        if kind not in _TYPES:
            say(f"{self.tool.name}: {place}: a socket cannot be archived")
            return
        if self.verbose:
            say(name)
        info = self._info(place, st, name)
        if kind != S_IFDIR and st.st_nlink > 1:
            first = self._names.setdefault((place.files, st.st_dev, st.st_ino), name)
            if first != name:
                info.type, info.linkname, info.size = tarfile.LNKTYPE, first, 0
        if info.type != tarfile.REGTYPE:
            self.archive.addfile(info)
            return
        with reading():
            stream = place.files.reader(place.path)
            runs = place.files.runs(place.path, st.st_size)
        with stream:
            if runs is None or sum(length for _, length in runs) >= st.st_size:
                content = _Content(stream, [(0, st.st_size)], b"")
            else:
                content = _Content(stream, *_sparse(info, runs))
            self.archive.addfile(info, content)  # type: ignore[arg-type]
        if content.error is not None:
            self.tool.failed(str(place), content.error)

    def _info(self, place: Place[ServerFiles], st: StatResult, name: str) -> tarfile.TarInfo:
        """Return the header of a file."""
        kind = st.st_mode & S_IFMT
        info = tarfile.TarInfo(name)
        info.type = _TYPES[kind]
        info.mode = st.st_mode & 0o7777
        info.uid, info.gid = st.st_uid, st.st_gid
        info.mtime = st.st_mtime_ns // _NS
        info.size = st.st_size if kind == S_IFREG else 0
        with reading():
            if kind == S_IFLNK:
                info.linkname = os.fsdecode(place.files.readlink(place.path))
            elif kind in (S_IFBLK, S_IFCHR):
                info.devmajor, info.devminor = place.files.device(st)
            info.pax_headers = dict(_extras(place, st))
        return info


def _sparse(info: tarfile.TarInfo, runs: list[tuple[int, int]]) -> tuple[list[tuple[int, int]], bytes]:
    """Make the header that of a file with holes; return the runs that follow, and the map before them."""
    size = info.size
    runs = [(start, min(length, size - start)) for start, length in runs]
    if not runs or sum(runs[-1]) < size:
        runs = [*runs, (size, 0)]
    numbers = [len(runs), *(part for run in runs for part in run)]
    text = "".join(f"{number}\n" for number in numbers).encode()
    table = text.ljust(-(-len(text) // _BLOCK) * _BLOCK, b"\0")
    directory, _, base = info.name.rpartition("/")
    info.pax_headers = {
        **info.pax_headers,
        "GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": info.name,
        "GNU.sparse.realsize": str(size),
    }  # fmt: skip
    info.name = f"{directory or '.'}/GNUSparseFile.0/{base}"
    info.size = len(table) + sum(length for _, length in runs)
    return [run for run in runs if run[1]], table


def _extras(place: Place[ServerFiles], st: StatResult) -> Iterator[tuple[str, str]]:
    """Yield what only the pax format keeps of a file: keywords and values."""
    times = {"mtime": st.st_mtime_ns, "atime": st.st_atime_ns, "LIBARCHIVE.creationtime": st.st_birthtime_ns}
    for key, ns in times.items():
        if ns % _NS or (key != "mtime" and ns):
            yield key, f"{ns // _NS}.{ns % _NS:09}".rstrip("0").rstrip(".")
    flags = [word for word, bit in FILE_FLAGS.items() if st.st_flags & bit]
    if flags:
        yield "SCHILY.fflags", ",".join(flags)
    if st.st_mode & S_IFMT not in (S_IFREG, S_IFDIR):
        return
    try:
        names = place.files.listxattr(place.path, follow_symlinks=False)
    except OSError:
        return  # there are none
    for name in names:
        value = place.files.getxattr(place.path, name, follow_symlinks=False)
        yield f"SCHILY.xattr.{name}", value.decode("utf-8", "surrogateescape")


class _Unread(Exception):
    """A file cannot be read; the archive is still whole."""

    def __init__(self, error: OSError) -> None:
        super().__init__(str(error))
        self.error = error


@contextmanager
def reading() -> Iterator[None]:
    """Tell errors of what is archived from those of the archive."""
    try:
        yield
    except OSError as error:
        raise _Unread(error) from error


class _Content:
    """What tarfile reads of a file: first some bytes, then runs of it; what cannot be read is zeros.

    tarfile has written how long the file is before it reads any of it.

    Args:
        stream: the file.
        runs: (offset, bytes).
        head: what comes before them.

    Attributes:
        error: why the rest of the file is zeros.
    """

    def __init__(self, stream: io.RawIOBase, runs: list[tuple[int, int]], head: bytes) -> None:
        self._stream = stream
        self._runs = list(reversed(runs))
        self._head = head
        self._at = 0
        self.error: OSError | None = None

    def read(self, size: int) -> bytes:
        """Return the next `size` bytes."""
        pieces = [self._head[:size]]
        self._head = self._head[size:]
        left = size - len(pieces[0])
        while left and self._runs:
            start, length = self._runs.pop()
            piece = self._piece(start, min(left, length))
            if len(piece) < length:
                self._runs.append((start + len(piece), length - len(piece)))
            pieces.append(piece)
            left -= len(piece)
        return b"".join(pieces)

    def _piece(self, start: int, length: int) -> bytes:
        """Return some of `length` bytes at an offset."""
        if self.error is None:
            try:
                if start != self._at:
                    self._stream.seek(start)
                piece = self._stream.read(length) or b""
            except OSError as error:
                self.error = error
            else:
                self._at = start + len(piece)
                if piece:
                    return piece
                self.error = OSError(0, f"the file ends at byte {start}: the rest is zeros in the archive")
        return bytes(length)
