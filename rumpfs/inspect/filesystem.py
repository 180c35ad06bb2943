"""The files of an image as a file system of fsspec: `ffs://`, so that pandas, Dask and others can read them.

``ffs://etc/passwd::https://host/disk.img`` is /etc/passwd in the image at that url; the part of the disk is
said as in all addresses (``::file://disk.img:a``), or with ``part=``.
"""

from __future__ import annotations

import io
import os
import threading
import weakref
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

import fsspec
from fsspec.spec import AbstractFileSystem
from fsspec.utils import tokenize

from rumpfs.abi.stat import S_IFDIR, S_IFLNK, S_IFMT, S_IFREG
from rumpfs.base.address import parse_image
from rumpfs.client.records import StatResult
from rumpfs.dev.image import open_window
from rumpfs.dev.remote import RemoteFile, open_on
from rumpfs.dev.source import open_source, plain
from rumpfs.inspect.file import ImageFile, reported
from rumpfs.inspect.image import Image, Path
from rumpfs.inspect.volume import Volume
from rumpfs.inspect.walk import Directory, attributes

_TYPES: Final = {S_IFDIR: "directory", S_IFREG: "file", S_IFLNK: "link"}
_NS: Final = 10**9


class _File(ImageFile):
    """A file of an image that other threads may read at the same time."""

    def __init__(self, image: Image, path: Path, lock: Any) -> None:
        name = f"{image.name}:{path}"
        with lock, reported(name):
            super().__init__(path.regular(), name)
        self._lock = lock

    def preadinto(self, view: memoryview, offset: int) -> int:
        with self._lock:
            return super().preadinto(view, offset)


class FfsFileSystem(AbstractFileSystem):  # type: ignore[misc]
    """The file system in an image, read-only.

    What is there has, beside the name, type and size that all file systems of fsspec tell: mode uid gid ino
    nlink, created and mtime (seconds since 1970), islink. A symbolic link to a file is that file; what else
    is neither file nor directory has the type "link" or "other".

    Args:
        fo: the image: a path or url, with what addresses have behind it (`base.address`), or an open file.
        part: the partition, when `fo` does not say it: a, 2 or s2a.
        mode: r.
        target_protocol, target_options: of the file system that `fo` is in, as fsspec's archives have them.
        force: do without a log that is damaged, and take a superblock whose check hash is wrong.

    Raises:
        OSError: there is no such image or partition, or no file system in it.
    """

    root_marker = ""
    protocol = ("ffs", "ufs")
    cachable = False

    def __init__(
        self,
        fo: Any = "",
        part: str | None = None,
        mode: str = "r",
        target_protocol: str | None = None,
        target_options: dict[str, Any] | None = None,
        force: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if mode != "r":
            raise ValueError(f"images are read: mode r, not {mode!r}")
        self.fo = fo
        self._lock = threading.RLock()
        self._image, self._identity = _open(fo, part or "", target_protocol, target_options or {}, force)
        weakref.finalize(self, self._image.close)

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        if isinstance(path, list):
            return [cls._strip_protocol(each) for each in path]
        return super()._strip_protocol(path).strip("/")

    @property
    def fsid(self) -> str:
        """What tells this image from others."""
        return f"ffs-{tokenize(self._identity)}"

    def __dask_tokenize__(self) -> str:
        """Return what changes when the image does."""
        return tokenize(type(self).__name__, self._identity, self._fs_token)  # type: ignore[no-any-return]

    def ukey(self, path: str) -> str:
        """Return what changes when a file does."""
        info = self.info(path)
        return tokenize(self._identity, info["ino"], info["mtime"], info["size"])  # type: ignore[no-any-return]

    # --- metadata ---------------------------------------------------------------------------------

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        """Return what is known of a path. Errors: OSError."""
        path = self._strip_protocol(path)
        with self._lock:
            return self._info(path, self._path(path).lstat())

    def ls(self, path: str, detail: bool = True, **_: Any) -> list[Any]:
        """Return what is in a directory, or a file itself. Errors: OSError."""
        path = self._strip_protocol(path)
        with self._lock:
            if self.info(path)["type"] != "directory":
                found = [self.info(path)]
            else:
                # Only its first directory is asked for: nothing below is read.
                found = list(self._entries(next(self._image.walk(f"/{path}"))))
        found.sort(key=lambda info: info["name"])
        return found if detail else [info["name"] for info in found]

    def find(
        self, path: str, maxdepth: int | None = None, withdirs: bool = False, detail: bool = False, **_: Any
    ) -> Any:
        """Return all that is below a path: names, or with `detail` a dictionary. Errors: OSError."""
        path = self._strip_protocol(path)
        if maxdepth is not None and maxdepth < 1:
            raise ValueError("maxdepth must be at least 1")
        found = {}
        with self._lock:
            if self.isdir(path):
                if withdirs and path:
                    found[path] = self.info(path)
                for directory in self._image.walk(f"/{path}"):
                    below = os.fsdecode(directory.path).strip("/")[len(path) :].strip("/")
                    depth = below.count("/") + 2 if below else 1
                    for info in self._entries(directory):
                        if withdirs or info["type"] != "directory":
                            found[info["name"]] = info
                    if depth == maxdepth:
                        directory.entries.clear()
            elif self.exists(path):
                found[path] = self.info(path)
        names = sorted(found)
        return {name: found[name] for name in names} if detail else names

    def created(self, path: str) -> datetime:
        """Return when a file was made; where the file system does not keep that, when its inode changed."""
        return datetime.fromtimestamp(self.info(path)["created"], UTC)

    def modified(self, path: str) -> datetime:
        """Return when a file was modified."""
        return datetime.fromtimestamp(self.info(path)["mtime"], UTC)

    def _path(self, path: str) -> Path:
        return self._image.path(f"/{path}")

    def _entries(self, directory: Directory) -> Iterator[dict[str, Any]]:
        prefix = os.fsdecode(directory.path).strip("/")
        for found in directory.entries:
            name = os.fsdecode(found.name)
            st = attributes(self._image.volume.mp, found)
            yield self._info(f"{prefix}/{name}" if prefix else name, st)

    def _info(self, path: str, st: StatResult) -> dict[str, Any]:
        """Return what is known of a file with these attributes, which are its own."""
        kind = st.st_mode & S_IFMT
        link: dict[str, Any] = {"islink": kind == S_IFLNK}
        if link["islink"]:
            link["destination"] = self._path(path).readlink()
            try:
                behind = self._path(path).stat()
            except OSError:
                pass  # it leads nowhere
            else:
                if behind.st_mode & S_IFMT == S_IFREG:
                    st, kind = behind, S_IFREG
        return {
            "name": path,
            "type": _TYPES.get(kind, "other"),
            "size": st.st_size if kind == S_IFREG else 0,
            "mode": st.st_mode, "uid": st.st_uid, "gid": st.st_gid, "ino": st.st_ino, "nlink": st.st_nlink,
            "created": (st.st_birthtime_ns or st.st_ctime_ns) / _NS,
            "mtime": st.st_mtime_ns / _NS,
            **link,
        }  # fmt: skip

    # --- content ----------------------------------------------------------------------------------

    def _open(self, path: str, mode: str = "rb", block_size: int | None = None, **_: Any) -> Any:
        if mode != "rb":
            raise OSError(30, f"images are read: mode rb, not {mode!r}", path)
        raw = _File(self._image, self._path(self._strip_protocol(path)), self._lock)
        return io.BufferedReader(raw, block_size or io.DEFAULT_BUFFER_SIZE)

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **_: Any) -> bytes:
        """Return bytes of a file; negative numbers count from its end. Errors: OSError."""
        file = _File(self._image, self._path(self._strip_protocol(path)), self._lock)
        size = file.seek(0, io.SEEK_END)
        first, stop, _step = slice(start, end).indices(size)
        data = memoryview(bytearray(max(0, stop - first)))
        done = 0
        while count := file.preadinto(data[done:], first + done):
            done += count
        return bytes(data[:done])


def _open(
    fo: Any, part: str, protocol: str | None, options: dict[str, Any], force: bool
) -> tuple[Image, str]:
    """Open an image; return it, and what tells it from others."""
    name = os.fspath(fo) if isinstance(fo, str | os.PathLike) else str(getattr(fo, "path", fo))
    offset = 0
    with reported(name):
        if not isinstance(fo, str | os.PathLike):
            hostfile = plain(_stream(fo, name))
        else:
            address = parse_image(name)
            if address.part and part not in ("", address.part):
                raise ValueError(f"{name} names partition {address.part}, not {part}")
            part, offset = address.part or part, address.offset
            if protocol is None:
                hostfile = open_source(address.path)
            else:
                fs = fsspec.filesystem(protocol, **options)
                hostfile = plain(open_on(fs, fs._strip_protocol(address.path), address.path))
        identity = f"{hostfile.identity}\n{part}@{offset}"
        return Image(Volume(open_window(hostfile, part, offset), force=force), name), identity


def _stream(stream: Any, name: str) -> RemoteFile:
    """Return an open file in the place of a host file."""
    lock = threading.Lock()

    def fetch(start: int, end: int) -> bytes:
        with lock:
            stream.seek(start)
            return stream.read(end - start)  # type: ignore[no-any-return]

    return RemoteFile(name, stream.seek(0, io.SEEK_END), fetch, lambda: None)
