"""How values of on-disk fields are put in words; what `meanings` names."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from rumpfs.abi.stat import major, minor
from rumpfs.ondisk.ufs.dinode import IFMT

#: ``show(value)`` puts a value in words
Show = Callable[[Any], str]

#: types of files by the upper bits of di_mode, which are d_type, too
TYPES: Final = {
    0: "free", 1: "fifo", 2: "character device", 4: "directory", 6: "block device", 8: "regular file",
    10: "symbolic link", 12: "socket", 14: "whiteout",
}  # fmt: skip


def one_line(name: bytes) -> str:
    """Return a name as text of one line: what is not UTF-8, or cannot be printed, by its number."""
    text = name.decode("utf-8", "backslashreplace")
    return text if text.isprintable() else "".join(map(_printable, text))


def _printable(letter: str) -> str:
    return letter if letter.isprintable() else f"\\x{ord(letter):02x}"


def plain(value: Any) -> str:
    """Show a number, text, or several numbers without the zeros at their end."""
    if isinstance(value, bytes):
        text = value.rstrip(b"\0")
        return text.decode("utf-8", "backslashreplace") if _is_text(text) else text.hex(" ", -4)
    if isinstance(value, tuple):
        count = max((index for index, number in enumerate(value, 1) if number), default=0)
        shown = " ".join(map(str, value[:count]))
        more = len(value) - count
        return f"{shown}, {more} more of 0" if shown and more else shown or f"0, {more} times"
    return str(value)


def _is_text(text: bytes) -> bool:
    return all(32 <= byte < 127 for byte in text)


def seconds(value: int) -> str:
    """Show a time in seconds since 1970."""
    try:
        return f"{value} ({time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime(value))} UTC)"
    except (OverflowError, OSError, ValueError):
        return f"{value} (no time)"


def hexadecimal(value: int | tuple[int, ...]) -> str:
    """Show numbers in hexadecimal digits."""
    return " ".join(map(hexadecimal, value)) if isinstance(value, tuple) else f"{value & (1 << 64) - 1:#x}"


def mask(value: int) -> str:
    """Show 32 bits."""
    return f"{value & 0xFFFFFFFF:#010x}"


def mode(value: int) -> str:
    """Show di_mode."""
    kind = TYPES.get((value & IFMT) >> 12, "no type that is known")
    return f"{value:06o} ({kind}{f', {value & 0o7777:04o}' if value else ''})"


def dtype(value: int) -> str:
    """Show d_type."""
    return f"{value} ({'unknown' if not value else TYPES.get(value, 'no type that is known')})"


def device(value: int) -> str:
    """Show a dev_t."""
    return f"{major(value & 0xFFFFFFFF)}, {minor(value & 0xFFFFFFFF)}"


def one_of(names: Mapping[int, str] | Sequence[str]) -> Show:
    """Return what shows a number that stands for a word."""
    table = names if isinstance(names, Mapping) else dict(enumerate(names))
    return lambda value: f"{value} ({table.get(value, 'unknown')})"


def bits(names: Mapping[int, str]) -> Show:
    """Return what shows a set of bits."""

    def show(value: int) -> str:
        known = [name for bit, name in names.items() if value & bit]
        rest = value & ~sum(names)
        if rest:
            known.append(f"unknown {rest:#x}")
        return f"{value:#x} ({', '.join(known)})" if known else f"{value:#x}"

    return show


def unit(word: str) -> Show:
    """Return what shows a number with its unit."""
    return lambda value: f"{plain(value)} {word}"
