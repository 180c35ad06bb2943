"""System calls as Python functions, made from abi's table (NetBSD: rump_syscalls.c, made by makesyscalls.sh).

A stub takes the arguments of its row, without those that need not be said:

=============== =============================================================================
FD INT … OFF    an int; where C has a signed and an unsigned form, both are accepted
PATH            str or bytes, or None for NULL; a NUL is added
IN              bytes or any other buffer, or None for NULL; the size argument is filled in
OUT             how many bytes at most: the result is bytes; or a writable buffer: the result is what
                the call returns, usually how many bytes are in it
OUT of a struct nothing: the result is the struct as bytes
PTR             an int (0 is NULL), an address from `mapped`, or bytes, str or a buffer of which the
                call gets an address: a writable buffer may be changed by the call
PAD             nothing
=============== =============================================================================

Otherwise the result is retval[0] as an int of the call's type; pipe returns both descriptors.
A failure is a RumpError with the paths of the call.
"""

from __future__ import annotations

import builtins
import keyword
import struct
import sys
from collections.abc import Callable
from types import CodeType
from typing import Any, Final

from rumpfs.abi import syscalls
from rumpfs.abi.syscalls import Arg, Syscall
from rumpfs.base.copy import Buffer
from rumpfs.client.errors import rump_error
from rumpfs.client.memory import REGION, Waiter
from rumpfs.sysproxy import wire

_ENCODING: Final = sys.getfilesystemencoding()

#: From this size on, data is received straight to where it belongs. Below, it costs less to receive all of
#: an answer at once and to copy the data; a unix socket holds about so much.
BULK: Final = 192 << 10

_UNSIGNED_RESULTS: Final = ("uid_t", "gid_t", "mode_t")
#: calls that return an errno in place of setting it
_RETURN_ERRNO: Final = ("__posix_fadvise50", "posix_fallocate", "clock_nanosleep")


def public_name(row: Syscall) -> str:
    """Return the name that a C program uses: without leading underscores and version numbers.

    What NetBSD 10 has anew under a name that exists keeps its own.
    """
    name = row.name
    if name.startswith("__") and row.number < syscalls.NETBSD10:
        name = name.lstrip("_").rstrip("0123456789")
        # __fhstatvfs140 is version 40 of fhstatvfs1
        return name + "1" if name.endswith("statvfs") else name
    return name


#: row by either name
ROWS: Final[dict[str, Syscall]] = {public_name(row): row for row in syscalls.SYSCALLS} | syscalls.BY_NAME


def cstring(path: str | bytes | None) -> bytes | None:
    """Return a path with its NUL."""
    if path is None:
        return None
    if type(path) is not bytes:
        if not isinstance(path, str):
            raise TypeError(f"a path is str or bytes, not {type(path).__name__}")
        path = path.encode(_ENCODING, "surrogateescape")
    if b"\0" in path:
        raise ValueError(f"a path cannot contain a NUL: {path!r}")
    return path + b"\0"


def source(data: Any) -> Buffer | None:
    """Return a buffer to be read as bytes."""
    if data is None or type(data) is bytes:
        return data
    return memoryview(data).cast("B")


def destination(buffer: Any) -> memoryview:
    """Return a buffer to be written as bytes."""
    view = memoryview(buffer).cast("B")
    if view.readonly:
        raise TypeError(f"a writable buffer or a size is needed, not {type(buffer).__name__}")
    return view


def pointed(value: Any) -> Buffer | None:
    """Return the memory behind a pointer argument; None when it is an address already."""
    if isinstance(value, int):
        return None
    if isinstance(value, str):
        return value.encode(_ENCODING, "surrogateescape")
    return source(value)


def wrapped(row: Syscall, slots: tuple[int, ...]) -> tuple[int, ...]:
    """Return slots that fit: numbers of the other signedness are turned, others refused.

    Errors:
        OverflowError: a number does not fit its argument.
    """
    fixed = []
    args = [arg for arg in row.args if arg.kind != syscalls.PADDING]
    for arg, value in zip(args, slots, strict=True):
        code = syscalls.SLOT[arg.kind]
        bits = 32 if code[0] in "iI" else 64
        if not isinstance(value, int):
            raise TypeError(f"{public_name(row)}: {arg.name} is an int, not {type(value).__name__}")
        if not -(1 << bits - 1) <= value < 1 << bits:
            raise OverflowError(f"{public_name(row)}: {arg.name} has {bits} bits; {value} does not fit")
        value &= (1 << bits) - 1
        fixed.append(value - (1 << bits) if code[0] in "iq" and value >> bits - 1 else value)
    return tuple(fixed)


#: names that a stub cannot use for an argument; it gets an underscore
_RESERVED: Final = frozenset([
    *keyword.kwlist, *dir(builtins), "base", "error", "failed", "frame", "give", "number", "pack", "reqno",
    "result", "row", "second", "stored", "take", "transact", "waiter",
])  # fmt: skip
_POINTERS: Final = (syscalls.PATH, syscalls.IN, syscalls.OUT, syscalls.PTR)


class _Writer:
    """Writes the source of one stub; m0 is what stands behind its first pointer, a0 the address of that."""

    def __init__(self, row: Syscall) -> None:
        self.row = row
        self.params: list[str] = []
        self.before: list[str] = []  # what is done before anything can fail halfway
        self.addresses: list[str] = []
        self.values: list[str] = []  # what goes into each slot
        self.paths: list[str] = []
        self.out: Arg | None = None
        self.pointers = 0
        # The argument that holds the size of another one is filled in.
        self.sizes = {arg.size for arg in row.args if isinstance(arg.size, str)}
        for arg in row.args:
            name = f"{arg.name}_" if arg.name in _RESERVED else arg.name
            if arg.kind in _POINTERS:
                self._pointer(arg, name)
            elif arg.kind != syscalls.PADDING:
                self.values.append(name)
                if arg.name not in self.sizes:
                    self.params.append(name)

    def _pointer(self, arg: Arg, name: str) -> None:
        number = self.pointers
        self.pointers += 1
        memory = f"m{number}"
        null = "0"
        if arg.kind == syscalls.PATH:
            self.before.append(f"{memory} = cstring({name})")
            self.paths.append(name)
        elif arg.kind == syscalls.IN:
            self._in(arg, name, memory)
        elif arg.kind == syscalls.OUT:
            self._out(arg, name, memory)
        else:
            self.before.append(f"{memory} = pointed({name})")
            null = f"{name} or 0"  # an address already
        if arg.kind != syscalls.OUT or isinstance(arg.size, str):
            self.params.append(name)
        address = f"base + {number * REGION}" if number else "base"
        self.addresses.append(f"a{number} = {address} if {memory} is not None else {null}")
        self.values.append(f"a{number}")

    def _in(self, arg: Arg, name: str, memory: str) -> None:
        self.before.append(f"{memory} = source({name})")
        if isinstance(arg.size, str):
            self.before.append(f"{arg.size} = len({memory}) if {memory} is not None else 0")
        else:
            self.before.append(f"if {memory} is not None and len({memory}) != {arg.size}:")
            self.before.append(f"    raise ValueError('{arg.name} has {arg.size} bytes')")

    def _out(self, arg: Arg, name: str, memory: str) -> None:
        assert self.out is None, "a call has one result buffer"
        self.out = arg
        if isinstance(arg.size, int):
            self.before.append(f"{memory} = {arg.size}")
            return
        self.before += [
            f"if {name} is None or isinstance({name}, int):",
            f"    {memory} = {name}",
            f"    {arg.size} = {name} or 0",
            f"    if {arg.size} < 0:",
            "        raise ValueError('a size cannot be negative')",
            "else:",
            f"    {memory} = destination({name})",
            f"    {arg.size} = len({memory})",
        ]

    def _call(self) -> list[str]:
        """Return the lines from the request to its answer."""
        head = f"{wire.HDRLEN + 8 * len(self.row.args)}, reqno, {wire.REQ}, {wire.SYSCALL}, {self.row.number}"
        lines = ["waiter = take()"]
        if self.pointers:
            memory = "".join(f"m{number}, " for number in range(self.pointers))
            lines += [f"waiter.memory = ({memory})", "base = waiter.base", *self.addresses]
        if self.out is not None and isinstance(self.out.size, str):
            lines.append(f"waiter.bulk = {self.out.size} >= {BULK}")
        lines.append("reqno = waiter.reqno = number()")
        if self.values:
            values = ", ".join(self.values)
            lines += [
                "try:",
                f"    frame = pack({head}, {values})",
                "except error:",
                "    try:",
                f"        frame = pack({head}, *wrapped(row, ({values},)))",
                "    except BaseException:",
                "        give(waiter)",
                "        raise",
            ]
        else:
            lines.append(f"frame = pack({head})")
        lines.append("result = transact(waiter, frame)")
        if not self.row.noerr:
            failed = ", ".join(["failed", *self.paths])
            lines += ["if waiter.error:", "    failed = waiter.error", "    give(waiter)"]
            lines.append(f"    raise rump_error({failed})")
        return lines

    def _result(self) -> list[str]:
        """Return the lines that make the stub's result."""
        row = self.row
        stored = ["stored = waiter.stored()", "give(waiter)", "return stored"]
        if self.out is not None:
            if isinstance(self.out.size, int):
                return stored
            memory = [arg.kind for arg in row.args if arg.kind in _POINTERS].index(syscalls.OUT)
            return [
                f"if type(m{memory}) is int:",
                *(f"    {line}" for line in stored),
                "give(waiter)",
                "return result",
            ]
        if row.name == "pipe":
            return ["second = waiter.rv1", "give(waiter)", "return result, second"]
        lines = ["give(waiter)"]
        if row.name in _RETURN_ERRNO:
            lines += ["if result:", "    raise rump_error(result)"]
        if row.result != "void":
            unsigned = " & 0xFFFFFFFF" if row.result in _UNSIGNED_RESULTS else ""
            lines.append(f"return result{unsigned}")
        return lines

    def text(self) -> str:
        """Return the source of a function that binds a connection's functions and returns the stub."""
        name = public_name(self.row)
        body = "\n        ".join([*self.before, *self._call(), *self._result()])
        return (
            "def bind(take, give, number, transact, pack, row):\n"
            f"    def {name}({', '.join(self.params)}):\n        {body}\n"
            f"    return {name}\n"
        )


_GLOBALS: Final[dict[str, Any]] = {
    "cstring": cstring,
    "destination": destination,
    "error": struct.error,
    "pointed": pointed,
    "rump_error": rump_error,
    "source": source,
    "wrapped": wrapped,
}
_code: Final[dict[str, tuple[CodeType, Callable[..., bytes]]]] = {}


def bind(
    name: str,
    take: Callable[[], Waiter],
    give: Callable[[Waiter], None],
    number: Callable[[], int],
    transact: Callable[[Waiter, bytes], int],
) -> Callable[..., Any]:
    """Return the stub of a system call for one connection.

    Args:
        name: NetBSD's name, or the one that C programs use (``stat`` for ``__stat50``).
        take, give: hand out and take back a waiter.
        number: returns the number of the next request.
        transact: sends the frame of a call and returns retval[0] when it is answered.

    Errors:
        AttributeError: the table has no such call.
    """
    row = ROWS.get(name)
    if row is None:
        raise AttributeError(f"NetBSD has no system call {name!r} that a rump kernel could answer")
    known = _code.get(row.name)
    if known is None:
        code = compile(_Writer(row).text(), f"<system call {row.name}>", "exec")
        known = _code[row.name] = code, struct.Struct(wire.HEADER.format + row.slots[1:]).pack
    code, pack = known
    namespace: dict[str, Any] = {}
    exec(code, _GLOBALS, namespace)
    stub: Callable[..., Any] = namespace["bind"](take, give, number, transact, pack, row)
    arguments = ", ".join(f"{arg.kind} {arg.name}" for arg in row.args)
    stub.__doc__ = f"{row.result} {row.name}({arguments}): NetBSD's system call {row.number}."
    return stub
