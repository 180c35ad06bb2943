"""Where the space of a file system is: as a picture, in the terminal, as figures."""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from typing import Final

from rumpfs.abi import errno
from rumpfs.base.errors import VfsError
from rumpfs.cli.images.mapterm import LABEL, Ink, ink, render
from rumpfs.cli.images.mapwords import figures, words
from rumpfs.cli.images.studying import studied
from rumpfs.cli.tool import USAGE, Failure, Tool, json_name, json_text
from rumpfs.cli.verbs.map import FORMATS
from rumpfs.inspect.allocation import Allocation, Area, Contiguity, GroupFigures, allocation, grid_of
from rumpfs.inspect.marks import inodes_of
from rumpfs.inspect.picture.drawing import draw, frame
from rumpfs.inspect.raw import Raw

_WIDTH: Final = 1200
#: Pixels that a picture may have in a direction.
_MOST: Final = 20000
_TERMINAL: Final = (80, 24)


def run(tool: Tool, args: Namespace) -> None:
    """Do what the command line says."""
    kind = _format(args)
    for name in ("width", "height"):
        if not 0 <= getattr(args, name) <= _MOST:
            raise Failure(f"--{name} {getattr(args, name)}: must be 1 to {_MOST}", USAGE)
    if args.output:
        tool.spare(args.output, args.image)
    with studied(args.image) as raw:
        marks = [_inodes(raw, args.image, path) for path in args.files]
        if args.json:
            what = allocation(raw, grid_of(raw, *_TERMINAL), marks)
            tool.write(json_text(_document(args, raw, what)))
        elif kind:
            _write(tool, args.output, _picture(args, raw, marks, kind))
        else:
            tool.write(_terminal(args, raw, marks))


def _format(args: Namespace) -> str:
    """Return the format of the picture; empty for none. Errors: Failure: it cannot be told."""
    if not args.output:
        if args.format:
            raise Failure(f"--format {args.format} is for a picture: -o names its file", USAGE)
        return ""
    kind = args.format or os.path.splitext(args.output)[1][1:].lower()
    if kind not in FORMATS:
        raise Failure(f"{args.output}: --format says what it is: {', '.join(FORMATS)}", USAGE)
    return str(kind)


def _inodes(raw: Raw, image: str, path: str) -> set[int]:
    try:
        return inodes_of(raw, os.fsencode(path))
    except VfsError as error:
        raise Failure(f"{image}:{path}: {errno.strerror(error.errno)}") from error


# --- pictures ---------------------------------------------------------------------------------------------


def _picture(args: Namespace, raw: Raw, marks: list[set[int]], kind: str) -> bytes:
    shape = frame(raw, args.width or _WIDTH, args.height)
    what = allocation(raw, shape.grid, marks)
    said = words(raw, what, shape.grid, args.image, args.files)
    drawing = draw(what, shape, said, not args.bare)
    if kind == "png":
        from rumpfs.inspect.picture.png import png

        return png(drawing.scene)
    if kind == "svg":
        from rumpfs.inspect.picture.svg import svg

        return svg(drawing.scene).encode()
    from rumpfs.inspect.picture.html import html

    return html(raw, what, drawing).encode()


def _write(tool: Tool, path: str, data: bytes) -> None:
    if path == "-":
        tool.write_bytes(data)
        return
    try:
        with open(path, "wb") as file:
            file.write(data)
    except OSError as error:
        raise Failure(f"{path}: {error.strerror or error}") from error


# --- the terminal -----------------------------------------------------------------------------------------


def _terminal(args: Namespace, raw: Raw, marks: list[set[int]]) -> str:
    tty = sys.stdout.isatty()
    columns, lines = os.get_terminal_size(sys.stdout.fileno()) if tty else _TERMINAL
    colours = ink(args.color, tty, os.environ)
    columns, lines = args.width or columns, args.height or max(8, lines - 2)
    each = 1 if colours == Ink.NONE else 2
    grid = grid_of(raw, max(2 * LABEL, columns), max(2, lines * each), LABEL)
    what = allocation(raw, grid, marks)
    said = words(raw, what, grid, args.image, args.files)
    return render(what, said, colours, columns, not args.bare)


# --- for programs -----------------------------------------------------------------------------------------


def _document(args: Namespace, raw: Raw, what: Allocation) -> dict[str, object]:
    fs = raw.fs
    numbers = figures(raw, what)
    return {
        "image": args.image,
        "format": f"FFSv{2 if fs.ufs2 else 1}",
        "block_size": fs.fs_bsize,
        "fragment_size": fs.fs_fsize,
        "frags": what.frags,
        "frags_free": what.free,
        "blocks_free": what.free_blocks,
        "frags_lost": what.lost,
        "frags_doubled": what.doubled,
        "log_frags": what.log,
        "used_percent": round(numbers.used * 100, 2),
        "fragmentation_percent": round(numbers.fragmentation * 100, 2),
        "inodes_used": what.inodes,
        **_contiguity(what.contiguity),
        "areas": _areas(what.areas()),
        "files": [
            {**json_name("path", os.fsencode(path)), **_contiguity(marked)}
            for path, marked in zip(args.files, what.marked, strict=True)
        ],
        "groups": [_group(group) for group in what.groups],
    }


def _contiguity(of: Contiguity) -> dict[str, object]:
    return {
        "with_blocks": of.files,
        "in_pieces": of.in_pieces,
        "extents": of.extents,
        "extent_frags": of.frags,
    }


def _areas(counts: dict[int, int]) -> dict[str, int]:
    return {area.name.lower(): counts[area] for area in Area if counts.get(area)}


def _group(group: GroupFigures) -> dict[str, object]:
    return {
        "group": group.cgx,
        "frag": group.frag,
        "frags": group.frags,
        "damaged": group.damaged,
        "frags_free": group.free,
        "blocks_free": group.free_blocks,
        "frags_lost": group.lost,
        "frags_doubled": group.doubled,
        "inodes": group.inodes,
        "inodes_used": group.inodes_used,
        "inodes_initialised": group.inodes_initialised,
        "directories": group.directories,
        "areas": _areas(group.areas),
    }
