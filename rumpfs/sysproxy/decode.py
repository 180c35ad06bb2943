"""The arguments of traced calls as values.

Everything that is known of a call comes from the table of calls and from `rumpfs.abi.styles`. Values are
numbers, `Word` (what has a name), `Bytes`, lists, dicts, None for NULL, and `Change` where the kernel was
given something and stored something in its place. What clients and servers send is not trusted: memory that
is too short for what should be there is shown as bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Final, NamedTuple, TypeAlias

from rumpfs.abi.stat import DIRENT, DIRENT_NAME
from rumpfs.abi.styles import (
    BY_RESULT,
    CTL,
    Array,
    Base,
    Bits,
    By,
    Choice,
    Data,
    Dirents,
    Fdset,
    Layout,
    Mib,
    Signed,
    Style,
    Text,
    style_of,
)
from rumpfs.abi.syscalls import IN, OUT, PADDING, PATH, PTR, Arg, Syscall
from rumpfs.sysproxy.ktrace import Called, Memory

#: elements of an array that are shown
_ELEMENTS: Final = 16
_FDSET: Final = 1024  # descriptors in a set that are looked at
_UNSIGNED: Final = ("uid_t", "gid_t", "mode_t")
_INTS: Final = ("int", "pid_t")


class Word(str):
    """Text that stands for a value by itself: O_RDONLY, 0644, 0x7fff."""

    __slots__ = ()


class Bytes(NamedTuple):
    """The beginning of `length` bytes; a `path` is shown whole."""

    data: bytes
    length: int
    path: bool = False


class Change(NamedTuple):
    """What was in the client's memory, and what the kernel stored there."""

    before: Value
    after: Value


class More(NamedTuple):
    """So many elements that are not shown."""

    number: int


Value: TypeAlias = "int | Word | Bytes | Change | More | list[Value] | dict[str, Value] | None"

# --- decoding ---------------------------------------------------------------------------------------


def _signed(value: int, bits: int) -> int:
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


def _word(style: Style | None, value: int) -> Value:
    """Return a number as its style has it."""
    if isinstance(style, Base):
        return Word(("0" if style.format[-1] == "o" else "") + format(value, style.format))
    if isinstance(style, Signed):
        number = _signed(value, style.bits)
        return Word(style.names[number]) if number in style.names else number
    if isinstance(style, Choice):
        return Word(style.names[value]) if value in style.names else value
    if isinstance(style, Bits):
        return Word(_bits(style, value))
    return value


def _bits(style: Bits, value: int) -> str:
    words = []
    low = value & style.mask
    if low in style.values:
        words.append(style.values[low])
        value &= ~style.mask
    for bit, name in sorted(style.names.items()):
        if bit and value & bit == bit:
            words.append(name)
            value &= ~bit
    if value or not words:
        octal = "0" if style.rest[-1] == "o" else ""
        words.append(octal + format(value, style.rest) if value else "0")
    return "|".join(words)


class Decoder:
    """Decodes the arguments of one call."""

    def __init__(self, call: Called) -> None:
        self.call = call
        self.scope: dict[str, int] = {}
        self.words: dict[str, Value] = {}

    def arguments(self) -> dict[str, Value]:
        """Return the arguments by their names; slot by slot when the call is not in the table."""
        row = self.call.row
        slots = self.call.slots
        if row is None or len(slots) < struct.calcsize(row.slots):
            count = len(slots) // 8
            return {
                f"arg{index}": Word(f"{slot:#x}")
                for index, slot in enumerate(struct.unpack_from(f"<{count}Q", slots))
            }
        args = [arg for arg in row.args if arg.kind != PADDING]
        self.scope = dict(zip((arg.name for arg in args), struct.unpack_from(row.slots, slots), strict=True))
        for arg in args:
            self.words[arg.name] = self._argument(row, arg, self.scope[arg.name])
        return self.words

    def _argument(self, row: Syscall, arg: Arg, value: int) -> Value:
        style = style_of(row, arg.name)
        if arg.kind not in (PATH, IN, OUT, PTR):
            return _word(style, value)
        if style is None:
            if arg.kind == PATH:
                style = Text()
            elif arg.kind in (IN, OUT):
                style = Data(arg.size if isinstance(arg.size, str) else "")
        if arg.kind == OUT and value and self.call.error == 0 and self.call.outward.at(value) is None:
            if isinstance(style, Dirents):
                return []
            if isinstance(style, Data):
                return Bytes(b"", 0)
        return self.pointer(style, value, self.scope)

    def result(self) -> Value:
        """Return what a call that did not fail returned; the arguments have been decoded."""
        row = self.call.row
        first, second = self.call.retval
        if row is None:
            return first
        style = self.style(BY_RESULT.get(row.name))
        if style is not None:
            return _word(style, first)
        if row.name == "pipe":
            return [first, second]
        if row.result in _UNSIGNED:
            return first & 0xFFFFFFFF
        return _signed(first, 32 if row.result in _INTS else 64)

    def style(self, style: Style | None) -> Style | None:
        """Return the style that the value of another argument chooses."""
        if not isinstance(style, By):
            return style
        key = self.words.get(style.name)
        chosen = key.data if isinstance(key, Bytes) else self.scope.get(style.name, -1)
        return style.styles.get(chosen, style.other)

    def pointer(self, style: Style | None, addr: int, scope: Mapping[str, int]) -> Value:
        """Return what lies at an address."""
        style = self.style(style)
        if isinstance(style, Base | Signed | Choice | Bits):
            return _word(style, addr)
        if not addr:
            return None
        if style is None:
            return Word(f"{addr:#x}")
        before = self._memory(style, self.call.inward, addr, scope)
        after = self._memory(style, self.call.outward, addr, scope)
        if before is None and after is None:
            return Word(f"{addr:#x}")
        if before is None or after is None or before == after:
            return before if after is None else after
        return Change(before, after)

    def _memory(self, style: Style, memory: Memory, addr: int, scope: Mapping[str, int]) -> Value:
        found = memory.at(addr)
        if found is None:
            return None
        data, length = found
        if isinstance(style, Text):
            end = data.find(0)
            return Bytes(data[:end] if end >= 0 else data, end if end >= 0 else length, path=True)
        if isinstance(style, Data):
            length = min(length, scope.get(style.size, length))
            return Bytes(data[:length], length)
        if isinstance(style, Dirents):
            return _dirents(data)
        if isinstance(style, Fdset):
            return _fdset(data, scope.get(style.counter, 0))
        if isinstance(style, Mib):
            return _mib(style, data, scope.get(style.counter, 0))
        if isinstance(style, Array):
            return self._array(style, data, length, scope)
        if isinstance(style, Layout) and len(data) >= style.code.size:
            return self._structure(style, data)
        return Bytes(data, length)

    def _array(self, style: Array, data: bytes, length: int, scope: Mapping[str, int]) -> Value:
        element = style.element
        code = element.code if isinstance(element, Layout) else element
        count = length // code.size
        if style.counter:
            count = min(count, scope.get(style.counter, count))
        shown = range(0, min(count, _ELEMENTS, len(data) // code.size) * code.size, code.size)
        values: list[Value]
        if isinstance(element, Layout):
            values = [self._structure(element, data[start : start + code.size]) for start in shown]
        else:
            values = [code.unpack_from(data, start)[0] for start in shown]
        return values + ([More(count - len(values))] if count > len(values) else [])

    def _structure(self, style: Layout, data: bytes) -> Value:
        numbers = style.code.unpack_from(data)
        scope = {name: number for (name, _), number in zip(style.fields, numbers, strict=True) if name}
        shown: dict[str, Value] = {}
        for (name, field), number in zip(style.fields, numbers, strict=True):
            if not name:
                continue
            if isinstance(number, bytes):
                text = number.split(b"\0", 1)[0]
                shown[name] = Bytes(text, len(text), path=True)
            elif isinstance(field, Text | Data):
                shown[name] = self.pointer(field, number, scope)
            else:
                shown[name] = _word(field, number)
        return shown


def _dirents(data: bytes) -> Value:
    names: list[Value] = []
    offset = count = 0
    while offset + DIRENT_NAME <= len(data):
        _, reclen, namlen, _ = DIRENT.unpack_from(data, offset)
        if reclen < DIRENT_NAME:
            break
        count += 1
        if count <= _ELEMENTS:
            name = data[offset + DIRENT_NAME : offset + DIRENT_NAME + min(namlen, reclen - DIRENT_NAME)]
            names.append(Bytes(name, len(name), path=True))
        offset += reclen
    return names + ([More(count - len(names))] if count > len(names) else [])


def _fdset(data: bytes, count: int) -> Value:
    bits = int.from_bytes(data[: _FDSET // 8], "little")
    return [number for number in range(min(max(count, 0), _FDSET)) if bits >> number & 1]


def _mib(style: Mib, data: bytes, count: int) -> Value:
    count = min(count, len(data) // 4, _ELEMENTS)
    numbers = struct.unpack_from(f"<{count}i", data)
    levels: list[Mapping[int, str]] = [CTL, style.names.get(numbers[0], {})] if numbers else []
    words: list[Value] = []
    for level, number in enumerate(numbers):
        # Below zero is what is to be done with the node, on any level.
        names = CTL if number < 0 else levels[level] if level < len(levels) else {}
        words.append(Word(names[number]) if number in names else number)
    return words
