"""What is shown of a file, of a block and of the space: as text for the terminal."""

from __future__ import annotations

from typing import Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from rumpfs.cli.images.mapterm import LABEL, Ink, render
from rumpfs.cli.images.mapwords import count_text, size_text, words
from rumpfs.inspect.allocation import allocation, grid_of
from rumpfs.inspect.browse import children, head
from rumpfs.inspect.explain import Explanation
from rumpfs.inspect.raw import Raw
from rumpfs.inspect.shown import one_line
from rumpfs.inspect.structures import Structure
from rumpfs.ondisk.ufs.dinode import IFDIR, IFLNK, IFMT, IFREG

#: Bytes of a file that are shown.
_PREVIEW: Final = 1 << 16
_ROW: Final = 16
#: Names, structures and extents that are shown.
_MOST: Final = 1000
_TEXT: Final = bytes(byte if 32 <= byte < 127 else 46 for byte in range(256))
#: Colours of the fields in a block, in turn.
_FIELDS: Final = ("cyan", "yellow", "green", "magenta", "bright_blue", "bright_red")
_STYLES: Final = {IFDIR: "bold bright_blue", IFLNK: "cyan", IFREG: ""}


def label(name: bytes, kind: int) -> Text:
    """Return how a name stands in the tree."""
    return Text(one_line(name) + ("/" if kind == IFDIR else ""), style=_STYLES.get(kind, "yellow"))


def preview(raw: Raw, ino: int) -> RenderableType:
    """Return what is in a file or a directory."""
    di = raw.inode(ino)
    kind = 0 if di is None else di.di_mode & IFMT
    if di is None or not kind:
        return Text("the inode is free", style="italic")
    if kind == IFDIR:
        found = children(raw, ino)
        lines = [
            Text(f"{child.ino:>10}  ").append_text(label(child.name, child.kind)) for child in found[:_MOST]
        ]
        if len(found) > _MOST:
            lines.append(Text(f"and {len(found) - _MOST} more", style="italic"))
        return Group(Text(count_text(len(found), "entry").replace("entrys", "entries"), style="bold"), *lines)
    data = head(raw, ino, _PREVIEW)
    if kind == IFLNK:
        return Text("leads to ").append(one_line(data), style="cyan")
    if kind != IFREG:
        return Text("a device, FIFO or socket has no content", style="italic")
    more = [Text(f"the first {size_text(_PREVIEW)} of {size_text(di.di_size)}", style="italic")]
    body = Text(_as_text(data)) if _is_text(data) else hexdump(data, 0)
    return Group(*(more if di.di_size > _PREVIEW else []), body)


def _is_text(data: bytes) -> bool:
    """True when bytes are UTF-8, but for a letter that is cut off at their end, without zeros."""
    try:
        data[:-4].decode()
    except UnicodeDecodeError:
        return False
    return b"\0" not in data


def _as_text(data: bytes) -> str:
    text = data.decode("utf-8", "replace").replace("\r\n", "\n").expandtabs()
    return "".join(letter if letter.isprintable() or letter == "\n" else "." for letter in text)


def details(found: Explanation) -> RenderableType:
    """Return what there is to say of an inode, field by field."""
    parts: list[RenderableType] = [Text(found.what, style="bold"), *map(Text, found.owners)]
    for structure in found.structures[:1]:
        parts += [Text(), _fields(structure)]
    if found.extents:
        parts += [Text(), Text(f"{count_text(len(found.extents), 'extent')}:", style="bold")]
        rows = Table("offset", "length", "block", "byte of the device", box=None, pad_edge=False)
        for extent in found.extents[:_MOST]:
            rows.add_row(*map(str, (extent.offset, extent.length, extent.frag, extent.address)))
        parts.append(rows)
    if found.indirect:
        parts += [Text(), Text(f"{count_text(len(found.indirect), 'indirect block')}:", style="bold")]
        parts += [
            Text(f"block {each.frag}, level {each.level + 1}: {each.used} of {each.pointers} pointers used")
            for each in found.indirect[:_MOST]
        ]
    for structure in found.structures[1:_MOST]:
        parts += [Text(), _fields(structure)]
    return Group(*parts)


def _fields(structure: Structure) -> Table:
    rows = Table(
        "field", "value", "meaning", box=None, pad_edge=False, title=structure.name, title_justify="left"
    )
    for field in structure.fields:
        rows.add_row(Text(field.name, style="cyan"), Text(field.text), Text(field.meaning, style="dim"))
    return rows


# --- blocks -----------------------------------------------------------------------------------------------


def hexdump(data: bytes, start: int, styles: dict[int, str] | None = None) -> Text:
    """Return a dump as hexdump -C has it.

    Args:
        start: offset of the first byte.
        styles: of bytes, by their offset.
    """
    styles = styles or {}
    text = Text(no_wrap=True)
    for place in range(0, len(data), _ROW):
        row = data[place : place + _ROW]
        text.append(f"{start + place:08x} ", style="dim")
        for index, byte in enumerate(row):
            gap = "  " if index == _ROW // 2 else " "
            text.append(f"{gap}{byte:02x}", style=styles.get(start + place + index))
        text.append(" " * (3 * (_ROW - len(row)) + (len(row) <= _ROW // 2) + 2))
        text.append(f"|{row.translate(_TEXT).decode('ascii')}|\n", style="dim")
    return text


def block(raw: Raw, found: Explanation) -> tuple[Text, Text, Table]:
    """Return what a block is, its bytes, and the fields of the structures in it, in the same colours."""
    group = f", group {found.cgx}" if found.cgx >= 0 else ""
    state = "" if found.allocated is None else ", in use" if found.allocated else ", free"
    title = Text(f"block {found.frag}{group}{state}: ", style="bold").append(
        "; ".join(found.owners) or found.what
    )
    fields = sorted(
        (field for structure in found.structures for field in structure.fields),
        key=lambda field: field.offset,
    )
    styles: dict[int, str] = {}
    end = found.address + found.length
    rows = Table("byte", "field", "value", "meaning", box=None, pad_edge=False)
    for number, field in enumerate(fields):
        if field.offset >= end or field.offset + field.size <= found.address:
            continue
        style = _FIELDS[number % len(_FIELDS)]
        for offset in range(max(field.offset, found.address), min(field.offset + field.size, end)):
            styles[offset] = style
        name = Text(field.name, style=style)
        rows.add_row(f"{field.offset:08x}", name, Text(field.text), Text(field.meaning, style="dim"))
    return title, hexdump(raw.disk.read(found.length, found.address), found.address, styles), rows


def space(raw: Raw, title: str, marked: dict[str, set[int]], columns: int, lines: int) -> Text:
    """Return the map.

    Args:
        marked: inodes that are marked, by what they are called.
        columns, lines: that there are for it.
    """
    grid = grid_of(raw, max(2 * LABEL, columns), max(8, 2 * lines), LABEL)
    what = allocation(raw, grid, list(marked.values()))
    said = words(raw, what, grid, title, list(marked))
    return Text.from_ansi(render(what, said, Ink.TRUE, columns, True), no_wrap=True)
