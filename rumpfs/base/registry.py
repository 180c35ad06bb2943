"""Finding components: by name, in a Python module, in a file (what rump_server's ``-l`` does).

The C program opens shared libraries; here a library is a Python object of class `Component`. Installed
packages offer theirs in the entry-point group ``rumpfs.components``. Their metadata is read straight from the
directories of `sys.path`: importlib.metadata does the same and costs the start of a server 50 ms.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import sys
from collections.abc import Iterable, Sequence
from functools import cache
from types import ModuleType

from rumpfs.base.component import GROUP, Component

#: What a module is asked for when the name does not say.
ATTRIBUTE = "COMPONENT"

#: Components that others enter themselves into when they are initialised: without the vfs faction there is
#: no table of file systems or drivers. Like a symbol of data in C, this cannot wait until first use.
HARD = frozenset({"rumpvfs"})

#: The forms of a library's file name that stand for a component's name: librumpvfs.so, librumpvfs.so.0.0.
_LIBRARY = re.compile(r"(?:lib)?([A-Za-z0-9_]+?)(?:\.so(?:\.[0-9]+)*)?", re.ASCII)
_DOTTED = re.compile(r"([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)(?::([A-Za-z_]\w*))?", re.ASCII)

_ELF = b"\x7fELF"


class LoadError(Exception):
    """A component cannot be loaded.

    Args:
        name: as it was asked for.
        reason: why, and what helps.
    """

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name}: {reason}")
        self.name = name
        self.reason = reason


def installed() -> list[str]:
    """Return the names of all installed components, sorted."""
    return sorted(_entry_points(tuple(sys.path)))


def find(name: str) -> Component:
    """Return the component that `name` stands for.

    Args:
        name: a component's name (``rumpfs_ffs``), the file name of its library in C (``librumpfs_ffs.so``),
            a dotted Python name (``package.module`` with a COMPONENT, or ``package.module:NAME``), or the
            path of a ``.py`` file with a COMPONENT: anything with a slash is a path.

    Raises:
        LoadError: no such component, or it cannot be imported.
    """
    if "/" in name or name.endswith(".py"):
        return _from_file(name)
    library = _LIBRARY.fullmatch(name)
    points = _entry_points(tuple(sys.path))
    # A component whose own name starts with "lib" is found by that name first.
    target = points.get(name) or (points.get(library[1]) if library else None)
    if target is None:
        dotted = _DOTTED.fullmatch(name)
        if dotted is None or not (dotted[2] or "." in name) or name.endswith(".so"):
            raise LoadError(name, f"no such component; installed are {', '.join(installed()) or 'none'}")
        target = name
    module_name, _, attribute = target.partition(":")
    try:
        module = importlib.import_module(module_name)
    except Exception as error:
        raise LoadError(name, f"cannot import {module_name}: {_describe(error)}") from error
    return _component(name, module, attribute or ATTRIBUTE)


def solve(names: Iterable[str], bind_now: bool = False) -> list[Component]:
    """Find components and put them in an order in which each follows the ones that it requires.

    The order of the names need not respect requirements: passes are made over what is left until one loads
    nothing more. A component that is named twice, or in two forms, counts once.

    Args:
        names: as `find` takes them.
        bind_now: every required component has to be there (``LD_BIND_NOW``). Otherwise a missing one is
            an error at its first use, except those of `HARD`.

    Raises:
        LoadError: the last one; of those that cannot be found, if there are such: others follow from them.
    """
    found: dict[str, tuple[str, Component]] = {}
    errors: list[LoadError] = []
    for name in dict.fromkeys(names):
        try:
            component = find(name)
        except LoadError as error:
            errors.append(error)
        else:
            found.setdefault(component.name, (name, component))
    if errors:
        raise errors[-1]
    for name, component in found.values():
        missing = [r for r in component.requires if r not in found and (bind_now or r in HARD)]
        if missing:
            advice = " ".join(f"-l{required}" for required in missing)
            reason = f"{component.name} requires components that are not loaded: {', '.join(missing)}"
            errors.append(LoadError(name, f"{reason} (add {advice})"))
    if errors:
        raise errors[-1]
    return _order(found)


def _order(found: dict[str, tuple[str, Component]]) -> list[Component]:
    """Return components so that each follows the ones that it requires. Errors: LoadError for a circle."""
    loaded: dict[str, Component] = {}
    while len(loaded) < len(found):
        before = len(loaded)
        waiting: dict[str, list[str]] = {}
        for own_name, (_, component) in found.items():
            if own_name not in loaded:
                waits = [r for r in component.requires if r in found and r not in loaded and r != own_name]
                if waits:
                    waiting[own_name] = waits
                else:
                    loaded[own_name] = component
        if len(loaded) == before:
            last, waits = waiting.popitem()
            raise LoadError(
                found[last][0], f"{last} requires {waits[0]}, which directly or indirectly requires it"
            )
    return list(loaded.values())


def unresolved(components: Sequence[Component]) -> dict[str, tuple[str, ...]]:
    """Return the required components that are not there, with those that require each."""
    names = {component.name for component in components}
    return {
        required: tuple(c.name for c in components if required in c.requires)
        for required in dict.fromkeys(r for c in components for r in c.requires)
        if required not in names
    }


@cache
def _entry_points(path: tuple[str, ...]) -> dict[str, str]:
    """Return name -> ``module:attribute`` of the group; the first directory of the import path wins."""
    points: dict[str, str] = {}
    for directory in path:
        try:
            names = os.listdir(directory or os.curdir)
        except OSError:
            continue  # a zip file, or nothing at all
        for name in sorted(names):
            if name.endswith((".dist-info", ".egg-info")):
                for key, value in _group(os.path.join(directory, name, "entry_points.txt")):
                    points.setdefault(key, value)
    return points


def _group(path: str) -> Iterable[tuple[str, str]]:
    """Yield the entries of our group in one entry_points.txt (packaging.python.org: entry points)."""
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            text = stream.read()
    except OSError:
        return
    if f"[{GROUP}]" not in text:
        return
    section = ""
    for line in map(str.strip, text.splitlines()):
        if line.startswith("["):
            section = line.strip("[]").strip()
        elif section == GROUP and not line.startswith(("#", ";")):
            name, equals, value = line.partition("=")
            if equals:
                yield name.strip(), value.partition("[")[0].strip()


def _from_file(path: str) -> Component:
    try:
        with open(path, "rb") as stream:
            magic = stream.read(len(_ELF))
    except OSError as error:
        raise LoadError(path, f"cannot open it: {error.strerror}; {_expected()}") from error
    if magic == _ELF:
        raise LoadError(path, f"it is an ELF file, and this kernel is written in Python; {_expected()}")
    if not path.endswith(".py"):
        raise LoadError(path, f"it is no Python file; {_expected()}")
    module_name = "rumpfs_component_" + re.sub(r"\W", "_", os.path.basename(path)[:-3])
    spec = importlib.util.spec_from_file_location(module_name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[module_name]
        raise LoadError(path, f"cannot run it: {_describe(error)}") from error
    return _component(path, module, ATTRIBUTE)


def _component(name: str, module: ModuleType, attribute: str) -> Component:
    component = getattr(module, attribute, None)
    if not isinstance(component, Component):
        wanted = f"{Component.__module__}.{Component.__name__}"
        raise LoadError(name, f"{attribute} of {module.__name__} is {component!r}, and no {wanted}")
    return component


def _expected() -> str:
    return (
        "what is expected is the name of a component, a dotted Python name, or the path of a .py file with a "
        f"{ATTRIBUTE}. Installed components: {', '.join(installed()) or 'none'}"
    )


def _describe(error: Exception) -> str:
    """Return an error's type and text, and the line of the file that it came from."""
    where = ""
    traceback = error.__traceback__
    while traceback is not None:
        where = f" ({traceback.tb_frame.f_code.co_filename}, line {traceback.tb_lineno})"
        traceback = traceback.tb_next
    return f"{type(error).__name__}: {error}{where}"
