"""Disklabels as text: what disklabel(8) shows, and reads again (disklabel(5)).

Sources: NetBSD sbin/disklabel/printlabel.c (columns), main.c (`getasciilabel`, `checklabel`).
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

from rumpfs.ondisk.disklabel import (
    D_FLAGS,
    DKTYPE_NAMES,
    FS_APPLEUFS,
    FS_BSDFFS,
    FS_UNUSED,
    FSTYPE_NAMES,
    MAXPARTITIONS,
    NETBSD_FSTYPES,
    Dialect,
    Disklabel,
    Partition,
)

_FS_BSDLFS: Final = 9
_FS_ISO9660: Final = 12
_FS_ADOS: Final = 14
_FS_EX2FS: Final = 17
#: types that have fsize and bsize, and those that have cpg (or sgs), too
_SIZED: Final = (FS_UNUSED, FS_BSDFFS, _FS_BSDLFS, _FS_ADOS, _FS_EX2FS, FS_APPLEUFS)
_GROUPED: Final = (FS_BSDFFS, _FS_BSDLFS, _FS_ADOS, FS_APPLEUFS)
#: lines with a number: text -> field, largest value
_NUMBERS: Final = {
    "bytes/sector": ("d_secsize", 0xFFFFFFFF),
    "sectors/track": ("d_nsectors", 0xFFFFFFFF),
    "tracks/cylinder": ("d_ntracks", 0xFFFFFFFF),
    "sectors/cylinder": ("d_secpercyl", 0xFFFFFFFF),
    "cylinders": ("d_ncylinders", 0xFFFFFFFF),
    "total sectors": ("d_secperunit", 0xFFFFFFFF),
    "rpm": ("d_rpm", 0xFFFF),
    "interleave": ("d_interleave", 0xFFFF),
    "trackskew": ("d_trackskew", 0xFFFF),
    "cylinderskew": ("d_cylskew", 0xFFFF),
    "headswitch": ("d_headswitch", 0xFFFFFFFF),
    "track-to-track seek": ("d_trkseek", 0xFFFFFFFF),
}
_ALIASES: Final = {"sectors/unit": "total sectors"}
_COMMENTS: Final = {"headswitch": "\t\t# microseconds", "track-to-track seek": "\t# microseconds"}
_TEXTS: Final = {"disk": "d_typename", "label": "d_packname"}
_TEXT_MAX: Final = 16
_DRIVEDATA: Final = 5


class LabelTextError(ValueError):
    """A line of a label is wrong; the text says which one."""


# --- names


def fstype_name(label: Disklabel, fstype: int) -> str:
    """Return the name of a p_fstype, or its number; beyond what all BSDs share it is NetBSD's."""
    if label.dialect is Dialect.NETBSD and fstype < len(NETBSD_FSTYPES):
        return NETBSD_FSTYPES[fstype]
    return FSTYPE_NAMES.get(fstype, str(fstype))


def fstype_number(text: str) -> int:
    """Return the number of a type by its name or number. Raises: LabelTextError: there is none."""
    if text.isascii() and text.isdigit() and int(text) < 256:
        return int(text)
    known = {name.lower(): number for number, name in [*FSTYPE_NAMES.items(), *enumerate(NETBSD_FSTYPES)]}
    number = known.get(text.lower())
    if number is None:
        raise LabelTextError(f"{text!r} is no type of a partition: a number, or {', '.join(NETBSD_FSTYPES)}")
    return number


# --- out


def label_text(label: Disklabel, name: str) -> str:
    """Return a label as disklabel(8) shows it.

    Args:
        name: of the disk, for the first line.
    """
    row = label.record
    kind = DKTYPE_NAMES[row.d_type] if row.d_type < len(DKTYPE_NAMES) else str(row.d_type)
    lines = [f"# {name}:", f"type: {kind}"]
    lines += [f"{key}: {_text(getattr(row, field))}" for key, field in _TEXTS.items()]
    lines.append(" ".join(["flags:", *(word for word, bit in D_FLAGS.items() if row.d_flags & bit)]))
    for key, (field, _) in _NUMBERS.items():
        value = label.d_secperunit if field == "d_secperunit" else getattr(row, field, 0)
        lines.append(f"{key}: {value}{_COMMENTS.get(key, '')}")
    drivedata = list(getattr(row, "d_drivedata", (0,)))
    while len(drivedata) > 1 and not drivedata[-1]:
        drivedata.pop()
    lines += ["drivedata: " + "".join(f"{value} " for value in drivedata), ""]
    lines.append(f"{len(label.partitions)} partitions:")
    lines.append("#        size    offset     fstype [fsize bsize cpg/sgs]")
    lines += [
        _partition_line(label, letter, partition)
        for letter, partition in zip(string.ascii_letters, label.partitions, strict=False)
        if partition.p_size
    ]
    return "\n".join(lines) + "\n"


def _text(raw: bytes) -> str:
    return raw.partition(b"\0")[0].decode("utf-8", "backslashreplace")


def _partition_line(label: Disklabel, letter: str, partition: Partition) -> str:
    size, offset, fstype = partition.p_size, partition.p_offset, partition.p_fstype
    line = f" {letter}: {size:9} {offset:9} {fstype_name(label, fstype)[:10]:>10}"
    sizes = f"  {partition.p_fsize:5} {partition.p_fsize * partition.p_frag:5}"
    if fstype in _GROUPED:
        line += f"{sizes} {partition.p_cpg:5} "
    elif fstype in _SIZED:
        line += f"{sizes}       "
    elif fstype == _FS_ISO9660:
        line += f"  {partition.p_fsize:6}            "
    else:
        line += " " * 20
    return line + _cylinders(label, offset, offset + size)


def _cylinders(label: Disklabel, start: int, end: int) -> str:
    """Return where a partition is in cylinders; ``*``: not at the edge of one, ``+``: beyond the end."""
    per = label.record.d_secpercyl
    if not per:
        return ""
    total = label.d_secperunit
    marks = [
        "+" if sector > total else "*" if sector % per else edge for sector, edge in ((start, " "), (end, ""))
    ]
    return f" # (Cyl. {start // per:6}{marks[0]}- {(end + per - 1) // per - 1:6}{marks[1]})"


# --- in


def parse_label(text: str, base: Disklabel) -> Disklabel:
    """Return the label that a text describes.

    Args:
        text: as `label_text` makes it; lines may be missing.
        base: for what the text does not say, its place and byte order. Partitions are those of the text only.

    Raises:
        LabelTextError: a line is wrong.
    """
    fields: dict[str, Any] = {}
    partitions: dict[int, Partition] = {}
    count = 0
    for number, line in enumerate(text.splitlines(), 1):
        key, colon, value = line.partition("#")[0].partition(":")
        key, value = key.strip(), value.strip()
        if not key:
            continue
        if not colon:
            raise LabelTextError(f"line {number}: {key!r} has no colon")
        try:
            if re.fullmatch("[a-z]", key):
                partitions[string.ascii_lowercase.index(key)] = _parse_partition(value)
            elif match := re.fullmatch(r"(\d{1,3}) partitions", key):
                count = int(match[1])
                if not 1 <= count <= MAXPARTITIONS:
                    raise LabelTextError(f"a label has 1 to {MAXPARTITIONS} partitions, not {count}")
            else:
                fields |= _field(base, key, value)
        except LabelTextError as error:
            raise LabelTextError(f"line {number}: {error}") from error
    total = fields.pop("d_secperunit", base.d_secperunit)
    count = max([count, *(index + 1 for index in partitions)]) or len(base.partitions)
    if count > MAXPARTITIONS:
        raise LabelTextError(f"partition {string.ascii_lowercase[count - 1]}: there are {MAXPARTITIONS}")
    known = set(type(base.record)._fields)
    row = base.record._replace(**{name: value for name, value in fields.items() if name in known})
    row = row._replace(d_secperunit=total & 0xFFFFFFFF)
    rows = tuple(partitions.get(index, Partition(0, 0)) for index in range(count))
    return replace(base, record=row, d_secsize=row.d_secsize, d_secperunit=total, partitions=rows)


def _field(base: Disklabel, key: str, value: str) -> dict[str, Any]:
    """Return the fields that a line sets."""
    key = _ALIASES.get(key, key)
    if key in _NUMBERS:
        name, largest = _NUMBERS[key]
        if name == "d_secperunit" and base.dialect is Dialect.OPENBSD:
            largest = (1 << 48) - 1
        return {name: _number(value, largest)}
    if key in _TEXTS:
        data = value.encode("utf-8", "surrogateescape")
        if len(data) > _TEXT_MAX:
            raise LabelTextError(f"{key}: up to {_TEXT_MAX} bytes")
        return {_TEXTS[key]: data}
    if key == "type":
        names = [name.lower() for name in DKTYPE_NAMES]
        known = value.lower() in names
        return {"d_type": names.index(value.lower()) if known else _number(value or "0", 0xFFFF)}
    if key == "flags":
        unknown = [word for word in value.split() if word not in D_FLAGS]
        if unknown:
            raise LabelTextError(f"{unknown[0]!r} is no flag; there are {', '.join(D_FLAGS)}")
        return {"d_flags": sum(D_FLAGS[word] for word in set(value.split()))}
    if key == "drivedata":
        words = [_number(word, 0xFFFFFFFF) for word in value.split()][:_DRIVEDATA]
        return {"d_drivedata": (*words, *(0,) * (_DRIVEDATA - len(words)))}
    raise LabelTextError(f"there is no field {key!r}")


def _number(text: str, largest: int) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > 20 or int(text) > largest:
        raise LabelTextError(f"{text!r} is no number up to {largest}")
    return int(text)


def _parse_partition(text: str) -> Partition:
    """Return a partition: size, offset, type, and what that type has."""
    match = re.match(r"(\d+)\s+(\d+)\s+", text)
    if match is None:
        raise LabelTextError(f"{text!r}: want size, offset and type")
    size, offset = (_number(word, (1 << 48) - 1) for word in match.groups())
    rest = text[match.end() :]
    names = sorted({*NETBSD_FSTYPES, *FSTYPE_NAMES.values()}, key=len, reverse=True)
    # disklabel(8) shows ten characters of a name
    shown = [name for name in names if re.match(re.escape(name) + r"(\s|$)", rest)]
    shown += [name for name in names if re.match(re.escape(name[:10]) + r"(\s|$)", rest)]
    word = shown[0] if shown else rest.split()[0] if rest else ""
    length = len(word) if rest.startswith(word) else 10
    fstype = fstype_number(word)
    numbers = [_number(each, 0xFFFFFFFF) for each in rest[length:].split()]
    fsize = numbers[0] if numbers else 0
    frag = numbers[1] // fsize if len(numbers) > 1 and fsize and fstype in _SIZED else 0
    if frag > 0xFF:
        raise LabelTextError(f"blocks of {numbers[1]} bytes do not have frags of {fsize}")
    cpg = numbers[2] if len(numbers) > 2 and fstype in _GROUPED else 0
    return Partition(size, offset, fstype, fsize, frag, cpg)


# --- checks


def wrong_with(label: Disklabel) -> tuple[list[str], list[str]]:
    """Return what is wrong with a label, and what is odd about it, as disklabel(8) checks it."""
    row = label.record
    errors = [
        f"{text} is 0"
        for text, value in (
            ("bytes/sector", row.d_secsize), ("sectors/track", row.d_nsectors),
            ("tracks/cylinder", row.d_ntracks), ("cylinders", row.d_ncylinders), ("bbsize", row.d_bbsize),
            ("sbsize", row.d_sbsize),
        )
        if not value
    ]  # fmt: skip
    secsize = row.d_secsize
    if secsize and (secsize & secsize - 1 or not 512 <= secsize <= 65536):
        errors.append(f"bytes/sector is {secsize}, not a power of two in 512..65536")
    errors += _outside(label)
    return errors, [*_empty(label), *_overlaps(label)]


def _outside(label: Disklabel) -> Iterator[str]:
    total = label.d_secperunit
    for letter, partition in zip(string.ascii_letters, label.partitions, strict=False):
        end = partition.p_offset + partition.p_size
        if total and partition.p_size and end > total:
            yield f"partition {letter} ends at sector {end}, the disk has {total}"


def _empty(label: Disklabel) -> Iterator[str]:
    for letter, partition in zip(string.ascii_letters, label.partitions, strict=False):
        if partition.p_offset and not partition.p_size:
            yield f"partition {letter} has an offset and no size"


def _overlaps(label: Disklabel) -> Iterator[str]:
    used = [
        (letter, partition.p_offset, partition.p_offset + partition.p_size)
        for letter, partition in zip(string.ascii_letters, label.partitions, strict=False)
        if partition.p_fstype != FS_UNUSED and partition.p_size
    ]
    for index, (letter, start, end) in enumerate(used):
        for other, first, stop in used[index + 1 :]:
            if start < stop and first < end:
                yield f"partitions {letter} and {other} overlap"
