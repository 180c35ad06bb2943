"""Which system calls are provided, as a page: ``python -m rumpfs.kern.support > docs/syscalls.md``."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator
from typing import Any

from rumpfs.abi.syscalls import SYSCALLS, Syscall
from rumpfs.kern.bodies import body_of

_HEAD = """\
# System calls

Made from the table in `rumpfs/abi/syscalls.py` and the bodies in `rumpfs/kern`; calls of NetBSD's optional
modules are not in it, nor those of the network but for local sockets. Whatever is not provided answers
ENOSYS. `vfs` calls need the component `rumpvfs`, `net` calls `rumpnet`, and sockets then `rumpnet_local`. A
call of an earlier NetBSD is its present version with other structures; a rump kernel has most of them only
with the module `compat` loaded.

| number | name | component | provided | |
|---:|---|---|---|---|
"""


def page() -> Iterator[str]:
    """Yield the lines of the page."""
    yield _HEAD
    provided = 0
    for row in SYSCALLS:
        body = body_of(row)
        provided += body is not None
        cells = (row.number, row.name, row.component, "no" if body is None else "yes", _note(row, body))
        yield "| " + " | ".join(map(str, cells)) + " |\n"
    yield f"\n{provided} of {len(SYSCALLS)} are provided.\n"


def _note(row: Syscall, body: Callable[..., Any] | None) -> str:
    """Return what a call is like, or the first sentence of its body's docstring."""
    if row.like is not None:
        return f"{row.like.name} with {row.like.structure}."
    return "" if body is None else (inspect.getdoc(body) or "").split("\n")[0].split(" Errors:")[0]


def main() -> None:
    """Print the page."""
    sys.stdout.writelines(page())


if __name__ == "__main__":
    main()
