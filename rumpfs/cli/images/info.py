"""What is in an image: its partition tables and its file systems."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator
from typing import Final

from rumpfs.base.address import parse_image
from rumpfs.base.errors import BadMagic, DiskError
from rumpfs.cli.images.opening import opened
from rumpfs.cli.listing import full_time, human
from rumpfs.cli.tool import Failure, Tool, json_name, json_text
from rumpfs.dev.window import Window
from rumpfs.inspect.disk import Part, Table, tables
from rumpfs.inspect.shown import one_line
from rumpfs.inspect.summary import Read, Summary, summary
from rumpfs.ondisk.ufs.superblock import find_superblock

_INDENT: Final = "  "


def run(tool: Tool, args: Namespace) -> None:
    """Say what is in each image of the command line."""
    documents = []
    for text in args.image:
        try:
            with opened(text, readonly=True) as window:
                found = tables(window.pread, window.size, text)
                whole = summary(window.pread, window.size, text)
                if args.json:
                    documents.append(_document(text, window, found, whole))
                else:
                    tool.write("".join(f"{line}\n" for line in _text(text, window, found, whole)))
                if not found and whole is None:
                    tool.error(_nothing(text, window))
        except Failure as failure:
            tool.error(failure.text)
    if args.json:
        tool.write(json_text({"images": documents}))


def _nothing(text: str, window: Window) -> str:
    """Return why nothing is to be said of an image."""
    try:
        find_superblock(window.pread, window.size, text)
    except BadMagic:
        pass
    except DiskError as error:
        return f"{error}; rumpfs carve {text} looks for copies of the superblock"
    return f"{text}: no partition table and no FFS is in it"


def _part(window: Window, part: Part) -> Read:
    """Return what reads a partition, as far as the image goes."""

    def read(nbytes: int, offset: int) -> bytes:
        start = min(part.offset + max(0, offset), window.size)
        return window.pread(min(nbytes, window.size - start), start)

    return read


def _inside(window: Window, part: Part, where: str) -> Summary | None:
    return summary(_part(window, part), min(part.size, window.size - part.offset), where)


def _address(text: str, part: Part) -> str:
    """Return the address of a partition of an image."""
    image = parse_image(text)
    at = f"@{image.offset}" if image.offset else ""
    return f"{image.path}:{part.name}{at}"


# --- for people -------------------------------------------------------------------------------------------


def _text(text: str, window: Window, found: list[Table], whole: Summary | None) -> Iterator[str]:
    """Yield the lines on an image."""
    yield f"{text}: {human(window.size)} ({window.size} bytes)"
    if whole is not None:
        yield from _summary_text(whole, _INDENT)
    for table in found:
        yield from _table_text(text, window, table, _INDENT)


def _table_text(text: str, window: Window, table: Table, indent: str) -> Iterator[str]:
    about = f", {table.about}" if table.about else ""
    yield f"{indent}{table.kind} at byte {table.offset}{about}"
    indent += _INDENT
    for part in table.parts:
        end = part.offset + part.size
        beyond = f", {end - window.size} bytes of it beyond the image" if end > window.size else ""
        where = f"{human(part.size)} at byte {part.offset}{beyond}"
        yield f"{indent}{_address(text, part)}  {part.type}, {where}"
        for inner in part.tables:
            yield from _table_text(text, window, inner, indent + _INDENT)
        fs = None if part.tables or part.offset >= window.size else _inside(window, part, text)
        if fs is not None:
            yield from _summary_text(fs, indent + _INDENT)


def _summary_text(fs: Summary, indent: str) -> Iterator[str]:
    total = fs.used + fs.free
    percent = f"{fs.used * 100 // total}%" if total else "-"
    yield f"{indent}{fs.format}, {fs.byte_order}, {fs.state}"
    blocks = f"blocks {human(fs.block_size)}, fragments {human(fs.fragment_size)}, groups {fs.groups}"
    yield f"{indent}{human(fs.size)}: {blocks}, superblock at byte {fs.superblock}"
    used = f"{human(fs.used)} ({percent}) used, {human(fs.free)} free"
    yield f"{indent}{used}; {fs.files} files, {fs.files_free} more possible"
    if fs.label:
        yield f"{indent}label {one_line(fs.label)}"
    mounted = f" on {one_line(fs.last_mounted_on)}" if fs.last_mounted_on else ""
    yield f"{indent}last written {full_time(fs.last_written * 10**9)}{mounted}"
    if fs.log is not None:
        yield f"{indent}log: {fs.log}"
    for warning in fs.warnings:
        yield f"{indent}warning: {warning}"


# --- for programs -----------------------------------------------------------------------------------------


def _document(text: str, window: Window, found: list[Table], whole: Summary | None) -> dict[str, object]:
    return {
        "image": text,
        "size": window.size,
        "filesystem": whole and _summary(whole),
        "tables": [_table(text, table) for table in found],
        "partitions": [entry for table in found for entry in _partitions(text, window, table)],
    }


def _table(text: str, table: Table) -> dict[str, object]:
    """Return a table as JSON has it; its partitions are in the list of all of them."""
    inner = [_table(text, below) for part in table.parts for below in part.tables]
    return {
        "kind": table.kind,
        "offset": table.offset,
        "about": table.about,
        "partitions": [part.name for part in table.parts],
        "tables": inner,
    }


def _partitions(text: str, window: Window, table: Table) -> Iterator[dict[str, object]]:
    for part in table.parts:
        fs = None if part.tables or part.offset >= window.size else _inside(window, part, text)
        yield {
            "name": part.name,
            "address": _address(text, part),
            "table": table.kind,
            "offset": part.offset,
            "size": part.size,
            "type": part.type,
            "filesystem": fs and _summary(fs),
        }
        for inner in part.tables:
            yield from _partitions(text, window, inner)


def _summary(fs: Summary) -> dict[str, object]:
    return {
        "format": fs.format,
        "byte_order": fs.byte_order,
        "superblock": fs.superblock,
        "size": fs.size,
        "block_size": fs.block_size,
        "fragment_size": fs.fragment_size,
        "groups": fs.groups,
        "used": fs.used,
        "free": fs.free,
        "files": fs.files,
        "files_free": fs.files_free,
        "state": fs.state,
        "log": fs.log,
        **json_name("label", fs.label),
        **json_name("last_mounted_on", fs.last_mounted_on),
        "last_written_ns": fs.last_written * 10**9,
        "warnings": list(fs.warnings),
    }
