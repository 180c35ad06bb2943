"""The cases that exist: what the test modules of this directory say of themselves.

A module ``test_<program>.py`` names NetBSD's program in `PROGRAM`, below its directory tests; each function
``test_<case>`` is a case of it. Cases that cannot be here stand with their reason in `NOT_APPLICABLE`.
"""

from __future__ import annotations

import inspect
import pkgutil
from collections.abc import Callable, Iterator
from importlib import import_module
from types import ModuleType
from typing import Any, NamedTuple

import pytest

from tests import conformance
from tests.conformance.filesystems import COLUMNS, KINDS

PASS = "pass"
NOT_APPLICABLE = "n.a."

#: programs of which no case can be here
PROGRAMS_NOT_APPLICABLE = {
    "fs/tmpfs/t_exec": "a rump kernel runs no programs",
    "fs/tmpfs/t_sockets": "there are no sockets",
    "fs/tmpfs/t_vnd": "there is no vnd device",
    "fs/vfs/t_union": "there is no union file system",
    "lib/librumphijack/t_tcpip": "there is no network component",
    "rump/rumpvfs/t_p2kifs": "it is about a library that C programs link the kernel with",
}


class Case(NamedTuple):
    """One case.

    Attributes:
        program, name: NetBSD's.
        body: the test function.
    """

    program: str
    name: str
    body: Callable[..., Any]

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of its results: one per file system, or one when it is about none."""
        return COLUMNS if {"fs", "volume"} & set(inspect.signature(self.body).parameters) else ("kernel",)

    @property
    def needs(self) -> set[str]:
        """What it needs of a file system."""
        return needs_of(self.body)

    def expected(self, column: str) -> str:
        """Return what the result has to be."""
        lacking = [kind for kind in KINDS if kind.column == column and kind.why_not(self.needs)]
        return NOT_APPLICABLE if lacking else PASS


def needs_of(body: Callable[..., Any]) -> set[str]:
    """Return what a case needs of a file system."""
    marks = [*_marks(body.__globals__), *_marks(vars(body))]
    needs = {need for mark in marks if mark.name == "needs" for need in mark.args}
    return needs | {"write"} if "fs" in inspect.signature(body).parameters else needs


def _marks(namespace: dict[str, Any]) -> list[pytest.Mark]:
    """Return the marks of a module or function."""
    marks = namespace.get("pytestmark", [])
    return [getattr(mark, "mark", mark) for mark in (marks if isinstance(marks, list) else [marks])]


def modules() -> Iterator[ModuleType]:
    """Yield the modules that hold cases."""
    for found in pkgutil.iter_modules(conformance.__path__, f"{conformance.__name__}."):
        if found.name.rpartition(".")[2].startswith("test_"):
            yield import_module(found.name)


def cases() -> dict[str, list[Case]]:
    """Return the cases of each program, in the order of their sources."""
    found: dict[str, list[Case]] = {}
    for module in modules():
        found[module.PROGRAM] = [
            Case(module.PROGRAM, name.removeprefix("test_"), body)
            for name, body in vars(module).items()
            if name.startswith("test_") and inspect.isfunction(body)
        ]
    return dict(sorted(found.items()))
