"""Explaining a place in an image: what is shown of it."""

from __future__ import annotations

import os
from argparse import Namespace
from collections.abc import Callable, Iterator
from typing import Final

from rumpfs.cli.images.studying import number, split, structure_json, studied
from rumpfs.cli.tool import USAGE, Failure, Tool, json_text
from rumpfs.inspect import explain
from rumpfs.inspect.explain import Explanation, Extent, Indirect
from rumpfs.inspect.raw import Raw
from rumpfs.inspect.structures import Field

_NUMBERED: Final[dict[str, Callable[[Raw, int], Explanation]]] = {
    "inode": explain.inode,
    "block": explain.frag,
    "byte": explain.byte,
    "group": explain.group,
}
#: structures with no more fields than this are shown in a line each
_SHORT: Final = 8
#: longer ones of which all fields are shown; the others are named
_LONG: Final = 2
_LEVELS: Final = ("single", "double", "triple")


def run(tool: Tool, args: Namespace) -> None:
    """Explain what the command line names."""
    image, path = split(args.image)
    what = list(args.what)
    if path is not None and what:
        raise Failure("either a path or what is to be explained, not both", USAGE)
    ask = _question(what, path, args.sblock)
    with studied(image, args.sblock, not args.raw) as raw:
        found = ask(raw)
    if args.json:
        tool.write(json_text(_document(image, found)))
    else:
        tool.write("".join(f"{line}\n" for line in _text(found, args.verbose)))


def _question(what: list[str], path: bytes | None, sblock: int) -> Callable[[Raw], Explanation]:
    """Return what finds out what is to be explained."""
    if path is None and len(what) == 1 and what[0].startswith("/"):
        path = os.fsencode(what[0])
    if path is not None:
        name = path
        return lambda raw: explain.path(raw, name)
    if what in ([], ["superblock"]):
        return lambda raw: explain.superblock(raw, sblock)
    if len(what) == 2 and what[0] in _NUMBERED:
        study, value = _NUMBERED[what[0]], number(what[1], what[0])
        return lambda raw: study(raw, value)
    known = "inode N, block N, byte N, group N, superblock or /path"
    raise Failure(f"{' '.join(what)}: say what is to be explained: {known}", USAGE)


# --- for people -------------------------------------------------------------------------------------------


def _text(found: Explanation, verbose: bool) -> Iterator[str]:
    """Yield the lines of an explanation."""
    group = f", group {found.cgx}" if found.cgx >= 0 else ""
    yield f"{found.target}: {found.what}"
    yield f"  {found.length} bytes at byte {found.address}, in block {found.frag}{group}"
    if found.allocated is not None:
        yield f"  {'in use' if found.allocated else 'free'}, as its group has it"
    for owner in found.owners:
        if owner != found.what:
            yield f"  {owner}"
    if len(found.owners) > 1 and found.owners[0] == found.what:
        yield "  it belongs to several: rumpfs fsck can repair that"
    yield from _extents_text(found.extents)
    yield from _indirect_text(found.indirect)
    long = 0
    for each in found.structures:
        if len(each.fields) <= _SHORT:
            yield f"  {each.offset:>10}  {each.name}: {', '.join(map(_short, each.fields))}"
        elif verbose or long < _LONG:
            long += 1
            yield ""
            yield f"{each.name} (struct {each.type}), {each.size} bytes at byte {each.offset}"
            yield from (_field(field, found.focus) for field in each.fields)
        else:
            some = ", ".join(map(_short, each.fields[:3]))
            yield f"  {each.offset:>10}  {each.name}: {some} ...; -v shows all"


def _short(field: Field) -> str:
    return f"{field.name} {field.text}"


def _field(field: Field, focus: int) -> str:
    mark = ">" if field.offset <= focus < field.offset + field.size else " "
    return f"{mark} {field.offset:>10}  {field.name:18} {field.text}  -- {field.meaning}"


def _extents_text(extents: tuple[Extent, ...]) -> Iterator[str]:
    if extents:
        yield "  its blocks:"
    for offset, address, frag, length in extents:
        yield f"    bytes {offset} to {offset + length - 1}: block {frag} (byte {address})"


def _indirect_text(indirect: tuple[Indirect, ...]) -> Iterator[str]:
    for frag, level, lbn, used, pointers in indirect:
        what = f"{_LEVELS[level]} indirect block {frag}"
        yield f"    {what}: {used} of {pointers} pointers, from block {lbn} of the file on"


# --- for programs -----------------------------------------------------------------------------------------


def _document(image: str, found: Explanation) -> dict[str, object]:
    return {
        "image": image,
        "target": found.target,
        "what": found.what,
        "address": found.address,
        "length": found.length,
        "block": found.frag,
        "group": found.cgx if found.cgx >= 0 else None,
        "allocated": found.allocated,
        "owners": list(found.owners),
        "extents": [extent._asdict() for extent in found.extents],
        "indirect": [block._asdict() for block in found.indirect],
        "structures": [structure_json(each) for each in found.structures],
    }
