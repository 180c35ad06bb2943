"""How attributes of files are shown: the columns of ls -l, and the JSON of ls and stat."""

from __future__ import annotations

import functools
import time
from typing import Final

from rumpfs.abi.stat import (
    S_IFBLK,
    S_IFCHR,
    S_IFMT,
    S_ISGID,
    S_ISTXT,
    S_ISUID,
    major,
    minor,
)
from rumpfs.cli.tool import json_name
from rumpfs.client.records import TYPE_NAMES, StatResult

_LETTERS: Final = {
    "fifo": "p", "char": "c", "dir": "d", "block": "b", "file": "-", "symlink": "l", "socket": "s",
    "whiteout": "w",
}  # fmt: skip
_DEVICES: Final = (S_IFBLK, S_IFCHR)
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
#: ls shows the time of day of what is younger than this, in seconds, and the year of what is older
_RECENT: Final = 365 * 86400 // 2


def type_name(mode: int) -> str:
    """Return what kind of file a mode belongs to."""
    return TYPE_NAMES.get((mode & S_IFMT) >> 12, "unknown")


def is_device(mode: int) -> bool:
    """Whether a mode belongs to a device."""
    return mode & S_IFMT in _DEVICES


@functools.lru_cache(maxsize=1024)
def mode_string(mode: int) -> str:
    """Return a mode as ls -l writes it (strmode(3))."""
    text = [_LETTERS.get(type_name(mode), "?")]
    for shift, special, letter in ((6, S_ISUID, "s"), (3, S_ISGID, "s"), (0, S_ISTXT, "t")):
        bits = mode >> shift & 7
        text.append("r" if bits & 4 else "-")
        text.append("w" if bits & 2 else "-")
        if mode & special:
            text.append(letter if bits & 1 else letter.upper())
        else:
            text.append("x" if bits & 1 else "-")
    return "".join(text)


def when(ns: int, now: float) -> str:
    """Return a time as ls -l writes it, in the local time zone."""
    seconds = ns // 1_000_000_000
    return _when(seconds, -60 < now - seconds < _RECENT)


@functools.lru_cache(maxsize=4096)
def _when(seconds: int, recent: bool) -> str:
    try:
        at = time.localtime(seconds)
    except (OverflowError, OSError, ValueError):
        return f"{seconds:>12}"  # no calendar has it
    day = f"{_MONTHS[at.tm_mon - 1]} {at.tm_mday:2}"
    return f"{day} {at.tm_hour:02}:{at.tm_min:02}" if recent else f"{day} {at.tm_year:5}"


def full_time(ns: int) -> str:
    """Return a time with its nanoseconds and the offset of the local time zone."""
    seconds, rest = divmod(ns, 1_000_000_000)
    try:
        at = time.localtime(seconds)
    except (OverflowError, OSError, ValueError):
        return f"{seconds}.{rest:09} seconds since 1970"
    return f"{time.strftime('%Y-%m-%d %H:%M:%S', at)}.{rest:09} {time.strftime('%z', at)}"


def human(size: int) -> str:
    """Return a number of bytes in at most five characters, as df -h does."""
    value = float(size)
    for unit in "BKMGTPE":
        if value < 999.5 or unit == "E":
            break
        value /= 1024
    return f"{value:.1f}{unit}" if unit != "B" and value < 9.95 else f"{value:.0f}{unit}"


def size_text(st: StatResult) -> str:
    """Return the size of a file; of a device, its numbers."""
    return f"{major(st.st_rdev)}, {minor(st.st_rdev)}" if is_device(st.st_mode) else str(st.st_size)


def node(name: bytes, path: bytes, st: StatResult, target: bytes | None) -> dict[str, object]:
    """Return a file as JSON has it: the same members always, and `target` for a symbolic link."""
    record: dict[str, object] = {
        **json_name("name", name),
        **json_name("path", path),
        "type": type_name(st.st_mode),
        "mode": st.st_mode & 0o7777,
        "ino": st.st_ino,
        "dev": st.st_dev,
        "nlink": st.st_nlink,
        "uid": st.st_uid,
        "gid": st.st_gid,
        "size": st.st_size,
        "blocks": st.st_blocks,
        "blksize": st.st_blksize,
        "rdev": [major(st.st_rdev), minor(st.st_rdev)] if is_device(st.st_mode) else None,
        "atime_ns": st.st_atime_ns,
        "mtime_ns": st.st_mtime_ns,
        "ctime_ns": st.st_ctime_ns,
        "birthtime_ns": st.st_birthtime_ns,
        "flags": st.st_flags,
        "gen": st.st_gen,
    }
    if target is not None:
        record.update(json_name("target", target))
    return record
