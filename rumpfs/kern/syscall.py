"""From the table of system calls to something that can be called (NetBSD: init_sysent.c).

A body enters itself with `@syscall(name)`. It is given the process and the values of its arguments: for a
PATH and an IN argument the bytes (None for a NULL structure), for an OUT argument nothing: what it returns
is stored there. A body entered with ``raw=True`` gets every slot as it came and does its own copying.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import partial
from types import GeneratorType
from typing import Any, TypeAlias

from rumpfs.abi.syscalls import BY_NAME, IN, NSYSENT, OUT, PADDING, PATH, SYSCALLS, Syscall
from rumpfs.base.copy import Body, CopyIn, CopyInStr, Done, data_length

#: takes the process and the slots
Handler: TypeAlias = Callable[..., Any]

_bodies: dict[str, tuple[Callable[..., Any], bool]] = {}


def syscall(*names: str, raw: bool = False) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Enter the decorated function as the body of the calls `names`."""

    def enter(body: Callable[..., Any]) -> Callable[..., Any]:
        for name in names:
            assert name in BY_NAME
            assert name not in _bodies
            _bodies[name] = body, raw
        return body

    return enter


def body_of(row: Syscall) -> Callable[..., Any] | None:
    """Return the body that was entered for a call, or for what it is like; None when it is not provided."""
    entered = _bodies.get(row.like.name if row.like is not None else row.name)
    return None if entered is None else entered[0]


class Sysent:
    """One call, ready to run.

    Attributes:
        unpack: takes the argument block apart (struct.unpack_from).
        run: takes the process and the slots; returns a result or a generator, or raises VfsError.
        path: the call is `run` after one path was fetched: run(p, path, *other slots).
    """

    __slots__ = ("name", "path", "row", "run", "unpack")

    def __init__(self, row: Syscall, body: Callable[..., Any], raw: bool) -> None:
        self.row = row
        self.name = row.name
        self.unpack = struct.Struct(row.slots).unpack_from
        args = [arg for arg in row.args if arg.kind != PADDING]
        kinds = [arg.kind for arg in args]
        self.path = not raw and kinds[:1] == [PATH] and PATH not in kinds[1:] and IN not in kinds
        fetch = [i for i, kind in enumerate(kinds) if kind in (PATH, IN)]
        store = kinds.index(OUT) if OUT in kinds else -1
        self.run: Handler = body
        codec = row.like.codec if row.like is not None else None
        if raw:
            if codec is not None:
                self.run = partial(body, codec=codec)
            return
        if codec is not None:
            self.run = body = _converting(body, codec, kinds.index(IN) if store < 0 else -1)
        if store >= 0:
            self.run = _storing(body, store, counted=isinstance(args[store].size, str))
        if fetch and not self.path:
            self.run = _fetching(self.run, [(i, args[i].size, kinds[i] == PATH) for i in fetch])


def _storing(body: Callable[..., Any], index: int, counted: bool) -> Handler:
    """Run `body` without argument `index`, and store what it returns there."""
    if index == 1 and not counted:

        def store_second(p: Any, first: Any, addr: int, *rest: Any) -> Done:
            return Done(addr, body(p, first, *rest))

        return store_second

    def store(p: Any, *slots: Any) -> Done:
        data = body(p, *slots[:index], *slots[index + 1 :])
        return Done(slots[index], data, data_length(data) if counted else 0)

    return store


def _converting(body: Handler, codec: Callable[[bytes], bytes], index: int) -> Handler:
    """Run `body` with another structure for argument `index`, or (-1) in place of its result."""
    if index < 0:
        return lambda p, *slots: codec(body(p, *slots))

    def convert(p: Any, *args: Any) -> Any:
        given = args[index]
        return body(p, *args[:index], given and codec(given), *args[index + 1 :])

    return convert


def _fetching(run: Handler, fetch: list[tuple[int, Any, bool]]) -> Handler:
    """Copy in what the arguments of `fetch` point to, then run."""

    def fetching(p: Any, *slots: Any) -> Body:
        args = list(slots)
        for index, size, is_path in fetch:
            addr = args[index]
            if is_path:
                args[index] = yield CopyInStr(addr, size)
            else:
                args[index] = (yield CopyIn(addr, size)) if addr else None
        result = run(p, *args)
        return (yield from result) if isinstance(result, GeneratorType) else result

    return fetching


def sysent(components: set[str]) -> list[Sysent | None]:
    """Return the table by number for a kernel with `components` (``kern``, ``vfs``); None is ENOSYS."""
    table: list[Sysent | None] = [None] * NSYSENT
    for row in SYSCALLS:
        entered = _bodies.get(row.like.name if row.like is not None else row.name)
        if entered is not None and row.component in components:
            table[row.number] = Sysent(row, *entered)
    return table
