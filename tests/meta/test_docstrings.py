"""Every public module, class and function of the package says what it is."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterator

import rumpfs


def _modules() -> Iterator[str]:
    yield "rumpfs"
    for module in pkgutil.walk_packages(rumpfs.__path__, "rumpfs."):
        if not any(part.startswith("_") for part in module.name.split(".")):
            yield module.name


def _members(owner: object, module: str) -> Iterator[tuple[str, object]]:
    """Yield the public functions and classes that `owner` (a module or class) defines itself."""
    protocol = getattr(owner, "_is_protocol", False)
    for name, value in vars(owner).items():
        if protocol and isinstance(value, property):
            continue  # an attribute that something else has and describes
        unwrapped = value.__func__ if isinstance(value, staticmethod | classmethod) else value
        unwrapped = unwrapped.fget if isinstance(unwrapped, property) else unwrapped
        if name.startswith("_") or getattr(unwrapped, "__module__", None) != module:
            continue
        if inspect.isfunction(unwrapped) or inspect.isclass(unwrapped):
            yield name, unwrapped


def _undocumented(name: str) -> Iterator[str]:
    module = importlib.import_module(name)
    if not (module.__doc__ or "").strip():
        yield name
    for member, value in _members(module, name):
        if not value.__doc__:
            yield f"{name}.{member}"
        if inspect.isclass(value):
            for method, _ in _members(value, name):
                # getdoc also finds the docstring of the method that this one overrides.
                if not inspect.getdoc(getattr(value, method)):
                    yield f"{name}.{member}.{method}"


def test_every_public_name_has_a_docstring() -> None:
    missing = [name for module in _modules() for name in _undocumented(module)]
    assert not missing, "no docstring: " + ", ".join(sorted(missing))
