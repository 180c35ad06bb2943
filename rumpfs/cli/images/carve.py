"""Looking for file systems in a damaged disk: what is said of them."""

from __future__ import annotations

import string
from argparse import Namespace
from collections.abc import Iterator
from typing import Final

from rumpfs.base.address import parse_image
from rumpfs.cli.images.opening import opened
from rumpfs.cli.listing import full_time, human
from rumpfs.cli.progress import AUTO, Progress
from rumpfs.cli.tool import FAILED, Tool, json_name, json_text
from rumpfs.inspect.carve import Carved, Found, FoundLabel, carve
from rumpfs.inspect.shown import plain
from rumpfs.ondisk.layout import ORDER_NAMES

_INDENT: Final = "  "
#: copies of a superblock that are listed without -v
_FEW: Final = 4


def run(tool: Tool, args: Namespace) -> None:
    """Look for file systems as the command line says."""
    progress = Progress(AUTO)
    with opened(args.image, readonly=True) as window:
        progress.begin(args.image, window.size)
        try:
            found = carve(window.pread, window.size, args.image, progress.update)
        finally:
            progress.end()
        size = window.size
    if args.json:
        tool.write(json_text(_document(args.image, found, size)))
    else:
        tool.write("".join(f"{line}\n" for line in _text(args.image, found, size, args.verbose)))
    if not found.filesystems and not found.labels:
        if args.json:
            tool.status = FAILED
        else:
            tool.error(f"{args.image}: no superblock and no disklabel is in it")


def _address(text: str, start: int) -> str:
    """Return the address of what begins at a byte of an image that `text` is the address of."""
    image = parse_image(text)
    part = f":{image.part}" if image.part else ""
    offset = image.offset + start
    if image.part and start:
        return f"{text} (byte {start} of it)"
    return f"{image.path}{part}@{offset}" if offset else f"{image.path}{part}"


def _commands(text: str, found: Found) -> list[str]:
    """Return what to type to use a file system; nothing when its beginning is missing."""
    if found.start < 0:
        return []
    address = _address(text, found.start)
    if found.primary:
        return [f"rumpfs ls {address}:/", f"rumpfs fsck {address}"]
    if found.sblock is None:
        return []
    return [f"rumpfs fsck -b {found.sblock} {address}", f"rumpfs dumpfs -b {found.sblock} {address}"]


def _missing(found: Found, size: int) -> int:
    """Return how many bytes at the end of a file system are not in the image."""
    return max(0, found.start + found.size - size)


# --- for people -------------------------------------------------------------------------------------------


def _text(text: str, found: Carved, size: int, verbose: bool) -> Iterator[str]:
    for each in found.filesystems:
        yield from _file_system_text(text, each, size, verbose)
    for label in found.labels:
        yield from _label_text(label)
    if found.rejected:
        yield f"{found.rejected} more places have the magic number of a superblock, and hold none"


def _file_system_text(text: str, found: Found, size: int, verbose: bool) -> Iterator[str]:
    fs = found.fs
    place = f"byte {found.start}" if found.start >= 0 else f"{-found.start} bytes before the image"
    sure = "" if found.sure else ", as a single superblock has it"
    yield f"{place}: FFSv{2 if fs.ufs2 else 1}, {ORDER_NAMES[fs.order]}, {human(found.size)}{sure}"
    yield (
        f"{_INDENT}blocks {human(fs.fs_bsize)}, fragments {human(fs.fs_fsize)}, groups {fs.fs_ncg}, "
        f"last written {full_time(fs.fs_time * 10**9)}"
    )
    for name, value in (("label", fs.fs_volname), ("last mounted on", fs.fs_fsmnt)):
        if value:
            yield f"{_INDENT}{name} {plain(value)}"
    yield f"{_INDENT}primary superblock: {'sound' if found.primary else 'gone'}"
    copies = [copy for copy in found.copies if copy.group >= 0]
    shown = copies if verbose else copies[:_FEW]
    listed = ", ".join(f"{copy.offset} (group {copy.group})" for copy in shown)
    more = f" and {len(copies) - len(shown)} more" if len(copies) > len(shown) else ""
    yield f"{_INDENT}{len(copies)} copies{f' at bytes {listed}' if copies else ''}{more}"
    if found.start < 0:
        yield f"{_INDENT}its first {-found.start} bytes are missing"
    if _missing(found, size):
        yield f"{_INDENT}its last {_missing(found, size)} bytes are missing"
    for command in _commands(text, found):
        yield f"{_INDENT}{_INDENT}{command}"


def _label_text(found: FoundLabel) -> Iterator[str]:
    label = found.label
    if label is None:
        yield f"byte {found.offset}: disklabel, not used: {found.problem}"
        return
    yield f"byte {found.offset}: disklabel of {label.dialect.value}, {ORDER_NAMES[label.order]}"
    for letter, part in zip(string.ascii_lowercase, label.partitions, strict=False):
        if part.p_size:
            yield f"{_INDENT}{letter}: {part.p_size} sectors from sector {part.p_offset} on"


# --- for programs -----------------------------------------------------------------------------------------


def _document(text: str, found: Carved, size: int) -> dict[str, object]:
    return {
        "image": text,
        "size": size,
        "filesystems": [_file_system(text, each, size) for each in found.filesystems],
        "labels": [_label(label) for label in found.labels],
        "rejected": found.rejected,
    }


def _file_system(text: str, found: Found, size: int) -> dict[str, object]:
    fs = found.fs
    return {
        "start": found.start,
        "size": found.size,
        "missing": _missing(found, size),
        "sure": found.sure,
        "address": _address(text, found.start) if found.start >= 0 else None,
        "format": "UFS2" if fs.ufs2 else "UFS1",
        "byte_order": ORDER_NAMES[fs.order],
        "block_size": fs.fs_bsize,
        "fragment_size": fs.fs_fsize,
        "groups": fs.fs_ncg,
        "id": list(fs.fs_id),
        **json_name("label", fs.fs_volname),
        **json_name("last_mounted_on", fs.fs_fsmnt),
        "last_written_ns": fs.fs_time * 10**9,
        "primary": found.primary,
        "sblock": found.sblock,
        "superblocks": [
            {"offset": copy.offset, "group": copy.group if copy.group >= 0 else None} for copy in found.copies
        ],
        "commands": _commands(text, found),
    }


def _label(found: FoundLabel) -> dict[str, object]:
    label = found.label
    partitions = [
        {"name": letter, "offset": part.p_offset * label.d_secsize, "size": part.p_size * label.d_secsize}
        for letter, part in zip(string.ascii_lowercase, label.partitions, strict=False)
        if part.p_size
    ] if label is not None else []  # fmt: skip
    return {
        "offset": found.offset,
        "dialect": label.dialect.value if label else None,
        "byte_order": ORDER_NAMES[label.order] if label else None,
        "problem": found.problem or None,
        "partitions": partitions,
    }
