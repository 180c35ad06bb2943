"""Images for programs: `open_image`, and paths in the manner of pathlib."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from types import TracebackType
from typing import IO, Any, NamedTuple, Self

from rumpfs.abi import errno
from rumpfs.abi.extattr import EXTATTR_NAMESPACES
from rumpfs.abi.stat import S_IFDIR, S_IFLNK, S_IFMT, S_IFREG
from rumpfs.base.address import AddressError, parse_image
from rumpfs.base.errors import DiskError, VfsError
from rumpfs.client.records import StatResult, stat_result
from rumpfs.dev import image as images
from rumpfs.fs.ffs.directory import FfsDir
from rumpfs.fs.ffs.inode import Inode
from rumpfs.fs.ffs.readwrite import DataInode
from rumpfs.fs.ffs.vnops import FfsLnk
from rumpfs.inspect.file import ImageFile, reported
from rumpfs.inspect.volume import HOLE, Volume, entries, extents, read_into
from rumpfs.inspect.walk import Directory, Found, regular, walk
from rumpfs.vfs.cred import ROOT
from rumpfs.vfs.mount import StatVfs
from rumpfs.vfs.vnode import VREG

#: what a path may be given as
PathLike = str | bytes | os.PathLike[str]


class Extent(NamedTuple):
    """A run of bytes of a file; `address` is the byte of the volume at which it lies, None for a hole."""

    offset: int
    address: int | None
    length: int


def open_image(path: str | os.PathLike[str], part: str | None = None, *, force: bool = False) -> Image:
    """Open the file system in an image for reading.

    Args:
        path: `IMAGE[:PART][@OFFSET]` (`base.address`).
        part: the partition, when it is not said in `path`: a, 2 or s2a.
        force: do without a log that is damaged, and take a superblock whose check hash is wrong.

    Raises:
        ValueError: it is no address, or names two partitions.
        OSError: there is no such file or partition, or no file system in it.
    """
    text = os.fspath(path)
    try:
        address = parse_image(text)
    except AddressError as error:
        raise ValueError(str(error)) from error
    if part is not None and address.part not in ("", part):
        raise ValueError(f"{text} names partition {address.part}, not {part}")
    with reported(text):
        window = images.open_image(address.path, address.part or part or "", address.offset)
        return Image(Volume(window, force=force), text)


class Image:
    """A file system in an image.

    Args:
        volume: the file system; closed with the image.
        name: what messages call it.

    Attributes:
        volume: for who wants to know more than there is here.
    """

    def __init__(self, volume: Volume, name: str) -> None:
        self.volume = volume
        self.name = name

    def __repr__(self) -> str:
        return f"<Image {self.name!r}>"

    def close(self) -> None:
        """Close the image."""
        self.volume.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def root(self) -> Path:
        """The root directory."""
        return Path(self, "/")

    def path(self, path: PathLike) -> Path:
        """Return a path, whether there is something or not."""
        return Path(self, path)

    __truediv__ = path

    def walk(
        self, top: PathLike = "/", damaged: Callable[[bytes, DiskError | VfsError], None] | None = None
    ) -> Iterator[Directory]:
        """Yield a directory and all below with the metadata of what is in them, fast (`inspect.walk`).

        Args:
            damaged: is told what cannot be read, and of which path.

        Raises:
            OSError: `top` is no directory, or cannot be read.
        """
        with reported(f"{self.name}:{os.fsdecode(_text(top))}"):
            yield from walk(self.volume, os.fsencode(_text(top)), damaged)

    def read_bytes(self, found: Found) -> bytes:
        """Return all that a regular file holds which `walk` has found, without looking for its name again.

        Raises:
            OSError: EISDIR, EINVAL: it is none; it cannot be read.
        """
        with reported(found.name):
            vp = regular(self.volume.mp, found)
            data = bytearray(vp.i_size)
            read_into(vp, memoryview(data), 0)
        return bytes(data)

    def statvfs(self) -> StatVfs:
        """Return how much space there is."""
        return self.volume.mp.statvfs()


def _text(path: PathLike) -> str:
    return os.fsdecode(path)


class Path:
    """A path in an image. Nothing is read before something is asked.

    Args:
        image: the image.
        path: from its root; bytes that are not UTF-8 are as in `os.fsdecode`.
    """

    __slots__ = ("_pure", "image")

    def __init__(self, image: Image, path: PathLike) -> None:
        self.image = image
        self._pure = PurePosixPath("/", _text(path))

    # --- the path itself --------------------------------------------------------------------------

    def __str__(self) -> str:
        return str(self._pure)

    def __repr__(self) -> str:
        return f"<Path {self.image.name}:{self._pure}>"

    def __bytes__(self) -> bytes:
        return os.fsencode(str(self._pure))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Path) and other.image is self.image and other._pure == self._pure

    def __hash__(self) -> int:
        return hash((id(self.image), self._pure))

    def __lt__(self, other: Path) -> bool:
        return self._pure < other._pure

    def __truediv__(self, name: PathLike) -> Path:
        return Path(self.image, self._pure / _text(name))

    def joinpath(self, *names: PathLike) -> Path:
        """Return the path of something below."""
        return Path(self.image, self._pure.joinpath(*map(_text, names)))

    @property
    def name(self) -> str:
        """The last component; empty for the root."""
        return self._pure.name

    @property
    def suffix(self) -> str:
        """The ending of the name, with its dot."""
        return self._pure.suffix

    @property
    def stem(self) -> str:
        """The name without its ending."""
        return self._pure.stem

    @property
    def parts(self) -> tuple[str, ...]:
        """The components, the root's slash first."""
        return self._pure.parts

    @property
    def parent(self) -> Path:
        """The directory that it is in; of the root, itself."""
        return Path(self.image, self._pure.parent)

    # --- what is there ----------------------------------------------------------------------------

    def _vnode(self, follow_symlinks: bool = True) -> Inode:
        return self.image.volume.lookup(bytes(self), follow_symlinks)

    def _reported(self) -> Any:
        return reported(f"{self.image.name}:{self}")

    def stat(self, *, follow_symlinks: bool = True) -> StatResult:
        """Return the attributes, with the names of os.stat_result and more of NetBSD's."""
        with self._reported():
            return stat_result(self._vnode(follow_symlinks).stat())

    def lstat(self) -> StatResult:
        """Return the attributes; of a symbolic link, its own."""
        return self.stat(follow_symlinks=False)

    def _kind(self, follow_symlinks: bool = True) -> int:
        try:
            return self.stat(follow_symlinks=follow_symlinks).st_mode & S_IFMT
        except (FileNotFoundError, NotADirectoryError):
            return 0

    def exists(self, *, follow_symlinks: bool = True) -> bool:
        """Whether something is there."""
        return bool(self._kind(follow_symlinks))

    def is_dir(self) -> bool:
        """Whether it is a directory, or leads to one."""
        return self._kind() == S_IFDIR

    def is_file(self) -> bool:
        """Whether it is a regular file, or leads to one."""
        return self._kind() == S_IFREG

    def is_symlink(self) -> bool:
        """Whether it is a symbolic link."""
        return self._kind(follow_symlinks=False) == S_IFLNK

    def readlink(self) -> str:
        """Return the text of a symbolic link."""
        with self._reported():
            vp = self._vnode(follow_symlinks=False)
            if not isinstance(vp, FfsLnk):
                raise VfsError(errno.EINVAL, "no symbolic link")
            return os.fsdecode(vp.readlink())

    def xattrs(self) -> dict[str, bytes]:
        """Return the extended attributes, user.NAME and system.NAME; none where the file system has none."""
        found = {}
        with self._reported():
            vp = self._vnode()
            for prefix, attrnamespace in EXTATTR_NAMESPACES.items():
                try:
                    names = vp.listextattr(attrnamespace, ROOT)
                except VfsError as error:
                    if error.errno == errno.EOPNOTSUPP:
                        continue
                    raise
                for name in names:
                    found[f"{prefix}.{os.fsdecode(name)}"] = bytes(vp.getextattr(attrnamespace, name, ROOT))
        return found

    def extents(self) -> list[Extent]:
        """Return where the bytes of a file lie in the volume, in order."""
        with self._reported():
            runs = list(extents(self._vnode()))
        return [Extent(offset, None if address == HOLE else address, size) for offset, address, size in runs]

    # --- directories ------------------------------------------------------------------------------

    def iterdir(self) -> Iterator[Path]:
        """Yield what is in a directory, in the order of the disk."""
        with self._reported():
            vp = self._vnode()
            if not isinstance(vp, FfsDir):
                raise VfsError(errno.ENOTDIR)
            names = [name for name, _, _ in entries(vp)]
        for name in names:
            yield self / os.fsdecode(name)

    def walk(self) -> Iterator[tuple[Path, list[str], list[str]]]:
        """Yield (directory, names of directories, names of other files) from the top on (Path.walk)."""
        for directory in self.image.walk(str(self)):
            below = [(os.fsdecode(each.name), each.mode & S_IFMT) for each in directory.entries]
            yield (
                Path(self.image, directory.path),
                [name for name, kind in below if kind == S_IFDIR],
                [name for name, kind in below if kind != S_IFDIR],
            )

    def glob(self, pattern: str) -> Iterator[Path]:
        """Yield what matches below a directory: `*`, `?` and `[]` in a component, `**` for any of them."""
        parts = PurePosixPath(pattern).parts
        if not parts or pattern.startswith("/"):
            raise ValueError(f"{pattern!r} is no relative pattern")
        yield from _glob(self, parts)

    def rglob(self, pattern: str) -> Iterator[Path]:
        """Yield what matches at any depth below a directory."""
        return self.glob(f"**/{pattern}")

    # --- content ----------------------------------------------------------------------------------

    def open(
        self,
        mode: str = "r",
        buffering: int = -1,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
    ) -> IO[Any]:
        """Open a regular file for reading, as the built-in open() does."""
        if mode not in ("r", "rt", "rb", "br", "tr"):
            raise ValueError(f"an image is opened for reading: mode r or rb, not {mode!r}")
        with self._reported():
            raw = ImageFile(self.regular(), str(self))
        if "b" in mode:
            return raw if buffering == 0 else io.BufferedReader(raw)  # type: ignore[return-value]
        return io.TextIOWrapper(io.BufferedReader(raw), encoding, errors, newline)

    def regular(self) -> DataInode:
        """Return the inode of a regular file. Raises: VfsError, DiskError; `inspect.file.reported`."""
        vp = self._vnode()
        if isinstance(vp, FfsDir):
            raise VfsError(errno.EISDIR)
        if vp.v_type != VREG or not isinstance(vp, DataInode):
            raise VfsError(errno.EINVAL, "no regular file")
        return vp

    def read_bytes(self) -> bytes:
        """Return all that a file holds."""
        with self.open("rb", buffering=0) as file:
            return file.read()  # type: ignore[no-any-return]

    def read_text(self, encoding: str | None = None, errors: str | None = None) -> str:
        """Return all that a file holds, as text."""
        with self.open("r", encoding=encoding, errors=errors) as file:
            return file.read()  # type: ignore[no-any-return]


def _glob(top: Path, parts: tuple[str, ...]) -> Iterator[Path]:
    first, rest = parts[0], parts[1:]
    if first == "**":
        yield from _glob(top, rest) if rest else (top,)
        for each in top.iterdir():
            if each._kind(follow_symlinks=False) == S_IFDIR:
                yield from _glob(each, parts)
        return
    for each in top.iterdir():
        if fnmatchcase(each.name, first):
            if not rest:
                yield each
            elif each.is_dir():
                yield from _glob(each, rest)
