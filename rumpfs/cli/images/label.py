"""Disklabels of images: shown, written and changed."""

from __future__ import annotations

import os
import re
import shlex
import string
import subprocess
import sys
import tempfile
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Final

from rumpfs.base.errors import BadMagic, DiskError
from rumpfs.base.sizes import SizeError, parse_size
from rumpfs.cli.images.opening import opened
from rumpfs.cli.tool import USAGE, Failure, Tool, json_text, say
from rumpfs.cli.verbs.label import MACHINES, RAW_D
from rumpfs.dev.label import delete_labels, describe, ffs_partition, place_label, replace_label
from rumpfs.dev.labeltext import (
    LabelTextError,
    fstype_name,
    fstype_number,
    label_text,
    parse_label,
    wrong_with,
)
from rumpfs.dev.window import Window
from rumpfs.ondisk.disklabel import (
    DEV_BSIZE,
    DKTYPE_NAMES,
    FS_BSDFFS,
    FS_UNUSED,
    MAXPARTITIONS,
    Disklabel,
    Partition,
    decode_disklabel,
    encode_disklabel,
    encode_label,
)
from rumpfs.ondisk.labelscan import FoundLabel, find_label, find_labels
from rumpfs.ondisk.layout import BIG, LITTLE, ORDER_NAMES
from rumpfs.ondisk.mbr import MBR_PTYPE_NETBSD, MBR_SIZE, read_mbr

_LETTERS: Final = string.ascii_lowercase
_NEW_COUNT: Final = 8
_EDITOR: Final = "vi"


def run(tool: Tool, args: Namespace) -> None:
    """Do what the command line says."""
    changing = (
        args.how or args.proto or args.set or args.delete or args.disk or args.name or args.count or args.grow
    )
    readonly = not changing or args.show
    with opened(args.image, readonly=readonly) as window:
        if args.how == "delete":
            _delete(tool, args, window)
            return
        found = _found(args, window)
        if changing:
            label = _changed(tool, args, window, found)
            if not args.show:
                _write(window, found, label, args)
            found = replace(found, label=label)
        _show(tool, args, found)


def _delete(tool: Tool, args: Namespace, window: Window) -> None:
    count = len(find_labels(window.pread, window.size, args.image)) if args.show else delete_labels(window)
    if not count:
        raise Failure(f"{args.image}: there is no label")
    if not args.show:
        window.fsync()
    tool.write(f"{args.image}: {count} label{'s' if count > 1 else ''} {'would be ' * args.show}deleted\n")


# --- which label


def _found(args: Namespace, window: Window) -> FoundLabel:
    """Return the label that is there, or for -w and -R one that is to be."""
    offset = _offset(args)
    fresh = args.how == "new"
    try:
        if not fresh:
            return find_label(window.pread, window.size, args.image, offset)
    except BadMagic:
        if not args.proto:
            raise
    return _new(args, window, offset)


def _offset(args: Namespace) -> int | None:
    if args.offset is None:
        return None
    try:
        return parse_size(args.offset, "-O")
    except SizeError as error:
        raise Failure(str(error), USAGE) from error


def _new(args: Namespace, window: Window, offset: int | None) -> FoundLabel:
    """Return a label without partitions, at the place where it is to be."""
    place, order, raw = 512, "le", "d"
    if args.machine is not None:
        places = [key for key, machines in MACHINES.items() if args.machine in machines]
        if not places:
            known = " ".join(sorted(name for machines in MACHINES.values() for name in machines))
            raise Failure(f"-M {args.machine}: the machines are {known}", USAGE)
        place, order = places[0]
    order = args.order or order
    raw = "d" if args.machine in RAW_D or (args.machine is None and order == "le") else "c"
    base, container = _slice(window)
    count = _count(args.count) or _NEW_COUNT
    sectors = window.size // DEV_BSIZE
    partitions = {raw: Partition(sectors, 0)} if _LETTERS.index(raw) < count else {}
    if base and "c" not in partitions and count > 2:
        size = next(
            entry.size for entry in read_mbr(window.pread, window.size) if entry.start * MBR_SIZE == base
        )
        partitions["c"] = Partition(size, base // DEV_BSIZE)
    data = encode_disklabel(partitions, sectors, order=LITTLE if order == "le" else BIG, npartitions=count)
    label = decode_disklabel(data, 0, args.image)
    if offset is None:
        offset = base + place
    return FoundLabel(label, offset, container, base if offset >= base else 0)


def _slice(window: Window) -> tuple[int, str]:
    """Return the first byte of NetBSD's slice of the MBR, and what it is called; 0 when there is none."""
    for entry in read_mbr(window.pread, window.size):
        if entry.ptype == MBR_PTYPE_NETBSD:
            return entry.start * MBR_SIZE, f"MBR slice at sector {entry.start}"
    return 0, "disk"


def _count(count: int | None) -> int:
    if count is not None and not 1 <= count <= MAXPARTITIONS:
        raise Failure(f"-n {count}: a label has 1 to {MAXPARTITIONS} partitions", USAGE)
    return count or 0


# --- changes


def _changed(tool: Tool, args: Namespace, window: Window, found: FoundLabel) -> Disklabel:
    """Return the label as it is to be."""
    label = found.label
    with _lines(args.proto or args.image):
        if args.proto:
            label = parse_label(_prototype(args.proto), label)
        elif args.how == "edit":
            label = _edited(args, label)
    label = _named(args, label)
    if args.grow:
        label = _grown(label, window.size)
    for letter in args.delete:
        label = _with(label, _index(letter), Partition(0, 0))
    sets = args.set or (["a=0"] if args.how == "new" and not found.base else [])
    if args.how == "new" and found.base and not args.set:
        sets = [f"a={found.base // DEV_BSIZE},{label.partitions[2].p_size}"]
    for text in sets:
        label = _set(window, label, text)
    if count := _count(args.count):
        label = _resized(label, count)
    errors, oddities = wrong_with(label)
    for text in oddities:
        say(f"{tool.name}: {args.image}: warning: {text}")
    if errors:
        raise Failure(f"{args.image}: {'; '.join(errors)}")
    return label


@contextmanager
def _lines(where: str) -> Iterator[None]:
    """Say which text a wrong line is in."""
    try:
        yield
    except LabelTextError as error:
        raise Failure(f"{where}: {error}") from error


def _prototype(path: str) -> str:
    if path == "-":
        return sys.stdin.read()
    with open(path, encoding="utf-8", errors="surrogateescape") as file:
        return file.read()


def _edited(args: Namespace, label: Disklabel) -> Disklabel:
    """Let the user edit a label until it can be read, or nothing has changed."""
    editor = shlex.split(os.environ.get("EDITOR") or _EDITOR)
    before = label_text(label, args.image)
    with tempfile.NamedTemporaryFile("w+", suffix=".disklabel", encoding="utf-8") as file:
        file.write(before)
        file.flush()
        while True:
            status = subprocess.run([*editor, file.name]).returncode
            if status:
                raise Failure(f"{editor[0]} ended with {status}: nothing is written")
            with open(file.name, encoding="utf-8", errors="surrogateescape") as edited:
                text = edited.read()
            try:
                return parse_label(text, label)
            except LabelTextError as error:
                if not _again(str(error)):
                    raise


def _again(why: str) -> bool:
    """Ask whether to edit again; no when there is nobody."""
    if not sys.stdin.isatty():
        return False
    say(f"{why}\nre-edit the label? [y]: ")
    return sys.stdin.readline()[:1] not in ("n", "N")


def _named(args: Namespace, label: Disklabel) -> Disklabel:
    """Return a label with the names that are given."""
    for option, text, field in (("--disk", args.disk, "d_typename"), ("--name", args.name, "d_packname")):
        if text is not None:
            data = os.fsencode(text)
            if len(data) > 16:
                raise Failure(f"{option} {text}: up to 16 bytes", USAGE)
            label = replace(label, record=label.record._replace(**{field: data}))
    return label


def _grown(label: Disklabel, size: int) -> Disklabel:
    """Return a label for a disk that has become larger; what was the whole disk, is that again.

    Args:
        size: bytes of the disk.
    """
    old, total = label.d_secperunit, size // label.d_secsize
    if total <= old:
        return label
    rows = tuple(
        row._replace(p_size=total) if (row.p_offset, row.p_size) == (0, old) else row
        for row in label.partitions
    )
    record = label.record._replace(d_secperunit=total & 0xFFFFFFFF)
    return replace(label, record=record, d_secperunit=total, partitions=rows)


def _index(letter: str) -> int:
    if not re.fullmatch("[a-z]", letter) or _LETTERS.index(letter) >= MAXPARTITIONS:
        raise Failure(f"{letter!r} is no partition: they are a..{_LETTERS[MAXPARTITIONS - 1]}", USAGE)
    return _LETTERS.index(letter)


def _with(label: Disklabel, index: int, partition: Partition) -> Disklabel:
    """Return a label with another partition; the table grows for it."""
    rows = list(label.partitions)
    rows += [Partition(0, 0)] * (index + 1 - len(rows))
    rows[index] = partition
    return replace(label, partitions=tuple(rows))


def _resized(label: Disklabel, count: int) -> Disklabel:
    lost = [_LETTERS[index] for index, row in enumerate(label.partitions) if index >= count and row.p_size]
    if lost:
        raise Failure(f"partition {lost[0]} is in use: a table of {count} has no room for it")
    rows = (*label.partitions, *(Partition(0, 0),) * count)[:count]
    return replace(label, partitions=rows)


def _set(window: Window, label: Disklabel, text: str) -> Disklabel:
    """Return a label with a partition changed as --set says."""
    letter, equals, value = text.partition("=")
    words = value.split(",")
    if not equals or len(words) > 6:
        raise Failure(f"--set {text}: want LETTER=OFFSET,SIZE,TYPE,FSIZE,BSIZE,CPG", USAGE)
    words += [""] * (6 - len(words))
    index = _index(letter)
    old = label.partitions[index] if index < len(label.partitions) else Partition(0, 0)
    start = _sectors(text, words[0], label, old.p_offset if old.p_size else _free_from(label, index))
    rest = max(0, label.d_secperunit - start)
    size = _sectors(text, words[1], label, old.p_size or rest)
    if not size:
        raise Failure(f"--set {text}: nothing is left behind sector {start}; --delete removes a partition")
    made = Partition(size, start, FS_BSDFFS) if not old.p_size else old._replace(p_size=size, p_offset=start)
    if not words[2] and made.p_fstype in (FS_UNUSED, FS_BSDFFS) and label.d_secsize == DEV_BSIZE:
        hints = ffs_partition(window, start, size)
        if hints.p_fsize or not old.p_size:
            made = made._replace(p_fstype=hints.p_fstype, p_fsize=hints.p_fsize, p_frag=hints.p_frag)
    try:
        if words[2]:
            made = made._replace(p_fstype=fstype_number(words[2]))
        fsize, bsize, cpg = (
            parse_size(word, f"--set {text}", 0, 0xFFFFFFFF) if word else 0 for word in words[3:]
        )
    except (LabelTextError, SizeError) as error:
        raise Failure(str(error), USAGE) from error
    if fsize:
        made = made._replace(p_fsize=fsize, p_frag=bsize // fsize if bsize else made.p_frag)
    if cpg:
        made = made._replace(p_cpg=cpg)
    return _with(label, index, made)


def _sectors(text: str, word: str, label: Disklabel, now: int) -> int:
    """Return a number of sectors.

    Args:
        text: the option, for messages.
        word: sectors, or bytes with a suffix; with a sign it is a change; empty for what is.
        now: what is.
    """
    if not word:
        return now
    sign = word[0] if word[0] in "+-" else ""
    try:
        number = parse_size(word[len(sign) :], f"--set {text}")
    except SizeError as error:
        raise Failure(str(error), USAGE) from error
    if word[-1].isalpha():
        number, rest = divmod(number, label.d_secsize)
        if rest:
            raise Failure(
                f"--set {text}: {word} is no whole number of sectors of {label.d_secsize} bytes", USAGE
            )
    number = now + number if sign == "+" else now - number if sign == "-" else number
    if number < 0:
        raise Failure(f"--set {text}: less than nothing is left", USAGE)
    return number


def _free_from(label: Disklabel, index: int) -> int:
    """Return where a new partition begins: behind the last one before it that is in use."""
    ends = [row.p_offset + row.p_size for row in label.partitions[:index] if row.p_fstype != FS_UNUSED]
    return max(ends, default=0)


def _write(window: Window, found: FoundLabel, label: Disklabel, args: Namespace) -> None:
    try:
        data = encode_label(label)
    except ValueError as error:
        raise Failure(f"{args.image}: {error}") from error
    there = _label_at(window, found)
    if there is not None:
        replace_label(window, there, data)
    else:
        place_label(window, data, found.offset, found.base)
    window.fsync()


def _label_at(window: Window, place: FoundLabel) -> FoundLabel | None:
    """Return the label that is at a place already."""
    try:
        return replace(find_label(window.pread, window.size, window.name, place.offset), base=place.base)
    except DiskError:
        return None


# --- output


def _show(tool: Tool, args: Namespace, found: FoundLabel) -> None:
    if args.json:
        tool.write(json_text(_document(args.image, found)))
        return
    say_where = f"# {describe(found)}\n"
    tool.write(say_where + label_text(found.label, args.image))


def _document(image: str, found: FoundLabel) -> dict[str, object]:
    """Return the JSON document of a label."""
    label = found.label
    row = label.record
    errors, oddities = wrong_with(label)
    return {
        "image": image,
        "dialect": label.dialect.value,
        "byte_order": ORDER_NAMES[label.order],
        "offset": found.offset,
        "container": found.container,
        "type": DKTYPE_NAMES[row.d_type] if row.d_type < len(DKTYPE_NAMES) else str(row.d_type),
        "disk": row.d_typename.partition(b"\0")[0].decode("utf-8", "backslashreplace"),
        "label": row.d_packname.partition(b"\0")[0].decode("utf-8", "backslashreplace"),
        "sector_size": label.d_secsize,
        "sectors": label.d_secperunit,
        "partitions": [
            {
                "letter": _LETTERS[index],
                "offset": partition.p_offset,
                "size": partition.p_size,
                "type": fstype_name(label, partition.p_fstype),
                "fsize": partition.p_fsize,
                "bsize": partition.p_fsize * partition.p_frag,
                "cpg": partition.p_cpg,
            }
            for index, partition in enumerate(label.partitions[: len(_LETTERS)])
            if partition.p_size
        ],
        "slots": len(label.partitions),
        "warnings": [*errors, *oddities],
    }
