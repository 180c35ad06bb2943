"""What there is to know of an image at a glance: a pure function, for surveys in any pool of processes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any, Final

from rumpfs.abi.errno import strerror
from rumpfs.abi.stat import S_IFMT, S_IFREG, S_ISGID, S_ISUID
from rumpfs.base.address import AddressError, parse_image
from rumpfs.base.errors import DiskError, VfsError
from rumpfs.client.records import TYPE_NAMES
from rumpfs.dev.image import open_image
from rumpfs.dev.window import Window
from rumpfs.inspect.deleted import count_deleted
from rumpfs.inspect.disk import Part, Table, tables
from rumpfs.inspect.raw import Raw
from rumpfs.inspect.summary import Summary, summary
from rumpfs.inspect.volume import Volume
from rumpfs.inspect.walk import attributes, walk

#: paths and messages of a kind that are told one by one; the others are counted
LISTED: Final = 100
_CHUNK: Final = 1 << 20
_NS: Final = 10**9


def survey(url: str, part: str | None = None, digest: bool = False) -> dict[str, Any]:
    """Return what is in an image, as JSON has it; see `rumpfs help json`.

    Whatever is wrong with the image is told in "error" and "errors", not raised.

    Args:
        url: path or url of the image, `IMAGE[:PART][@OFFSET]`.
        part: the partition, when `url` does not say it; None for all of them.
        digest: the SHA-256 of all its bytes as well.
    """
    found: dict[str, Any] = {
        "image": url, "size": None, "sha256": None, "tables": [], "filesystems": [], "error": None
    }  # fmt: skip
    try:
        address = parse_image(url)
        part = address.part or part or ""
        window = open_image(address.path, part, address.offset)
        try:
            found["size"] = window.size
            if digest:
                found["sha256"] = _sha256(window)
            inside = tables(window.pread, window.size, url)
            found["tables"] = [_table(table) for table in inside]
            names = [part] if part else ["", *_names(inside)]
        finally:
            window.close()
        for name in names:
            filesystem = _filesystem(address.path, name, address.offset)
            if filesystem is not None:
                found["filesystems"].append(filesystem)
    except AddressError as error:
        found["error"] = str(error)
    except (DiskError, VfsError) as error:
        found["error"] = _text(error, url)
    return found


def _text(error: DiskError | VfsError, where: str) -> str:
    """Return what is wrong; it begins with the place."""
    if isinstance(error, DiskError):
        return str(error)
    why = error.why
    return why if why.startswith(where) and why != where else f"{where}: {strerror(error.errno)}"


def _shown(name: bytes) -> str:
    return name.decode("utf-8", "backslashreplace")


def _sha256(window: Window) -> str:
    from hashlib import sha256

    state = sha256()
    for offset in range(0, window.size, _CHUNK):
        state.update(window.pread(_CHUNK, offset))
    return state.hexdigest()


def _table(table: Table) -> dict[str, Any]:
    return {"kind": table.kind, "offset": table.offset, "about": table.about,
            "partitions": [_part(part) for part in table.parts]}  # fmt: skip


def _part(part: Part) -> dict[str, Any]:
    inside = [_table(table) for table in part.tables]
    return {"name": part.name, "offset": part.offset, "size": part.size, "type": part.type, "tables": inside}


def _names(found: list[Table] | tuple[Table, ...]) -> Iterator[str]:
    """Yield the partitions in which there are no others."""
    for table in found:
        for part in table.parts:
            if part.tables:
                yield from _names(part.tables)
            else:
                yield part.name


def _filesystem(path: str, part: str, offset: int) -> dict[str, Any] | None:
    """Return what is in a partition; None when that is no FFS."""
    try:
        window = open_image(path, part, offset)
    except DiskError:
        return None  # it begins beyond the end of the image
    try:
        facts = summary(window.pread, window.size, path)
        if facts is None:
            return None
        found = {"part": part, "offset": window.offset, **_summary(facts), "error": None}
    except BaseException:
        window.close()
        raise
    try:
        with Volume(window) as volume:
            found |= _contents(volume)
            names, inodes = count_deleted(Raw(volume.window, replay=False))
            found |= {"deleted_names": names, "deleted_inodes": inodes}
    except (DiskError, VfsError) as error:
        found["error"] = _text(error, path)
    return found


def _summary(facts: Summary) -> dict[str, Any]:
    found = {
        key: _shown(value) if isinstance(value, bytes) else value for key, value in asdict(facts).items()
    }
    found["last_written_ns"] = found.pop("last_written") * _NS
    return found


def _contents(volume: Volume) -> dict[str, Any]:
    """Return counts of the files, how old they are, and what is suspicious."""
    types: dict[str, int] = {"dir": 1}
    setuid: list[str] = []
    errors: list[str] = []
    counts = {"setuid": 0, "errors": 0}

    def take(key: str, into: list[str], text: str) -> None:
        counts[key] += 1
        if len(into) < LISTED:
            into.append(text)

    def damaged(path: bytes, error: DiskError | VfsError) -> None:
        take("errors", errors, f"{_shown(path)}: {error}")

    times: list[int] = []
    nbytes = 0
    for directory in walk(volume, damaged=damaged):
        for each in directory.entries:
            st = attributes(volume.mp, each)
            name = TYPE_NAMES.get((each.mode & S_IFMT) >> 12, "unknown")
            types[name] = types.get(name, 0) + 1
            times = [min([*times[:1], st.st_mtime_ns]), max([*times[1:], st.st_mtime_ns])]
            if each.mode & S_IFMT == S_IFREG:
                nbytes += st.st_size
                if each.mode & (S_ISUID | S_ISGID):
                    take("setuid", setuid, _shown(os.path.join(directory.path, each.name)))
    return {
        "types": types, "bytes": nbytes,
        "oldest_ns": times[0] if times else None, "newest_ns": times[1] if times else None,
        "setuid": setuid, "setuid_count": counts["setuid"],
        "errors": errors, "errors_count": counts["errors"],
    }  # fmt: skip
