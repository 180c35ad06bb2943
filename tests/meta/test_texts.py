"""Rules for every text file of the project that no linter knows."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import PROJECT

#: Made by tools, or not ours.
SKIPPED = re.compile(r"^(\.venv|\.git|build|dist|\..*_cache|\.hypothesis|.*\.egg-info)$|__pycache__")


def _texts(directory: Path = PROJECT) -> Iterator[tuple[str, str]]:
    for path in sorted(directory.iterdir()):
        if SKIPPED.search(path.name) or path.is_symlink():
            continue
        if path.is_dir():
            yield from _texts(path)
        elif path.is_file():
            content = path.read_bytes()
            if b"\0" not in content:
                yield str(path.relative_to(PROJECT)), content.decode()


TEXTS = dict(_texts())


def test_the_project_is_found() -> None:
    assert {"README.md", ".ci/run", "Makefile", "rumpfs/__init__.py", "tests/conftest.py"} <= set(TEXTS)


def test_nothing_names_a_place_on_this_machine() -> None:
    # Where the project lies here, and who works here: true on no other machine.
    places = [str(path) + "/" for path in (PROJECT, PROJECT.parent, Path.home()) if len(path.parts) > 1]
    shown = [f"{name}: {place}" for name, text in TEXTS.items() for place in places if place in text]
    assert shown == []


@pytest.mark.parametrize("module", ["time", "trio"])
def test_no_test_sleeps(module: str) -> None:
    def sleeps(tree: ast.AST) -> bool:
        return any(
            isinstance(node, ast.Attribute)
            and node.attr == "sleep"
            and isinstance(node.value, ast.Name)
            and node.value.id == module
            for node in ast.walk(tree)
        )

    assert sleeps(ast.parse(f"{module}.sleep(1)"))
    found = [
        name
        for name, text in TEXTS.items()
        if re.match(r"tests/(?!bench/).*\.py$", name) and sleeps(ast.parse(text))
    ]
    assert found == []


def test_every_line_ends_where_it_should() -> None:
    ragged = [
        f"{name}:{number}"
        for name, text in TEXTS.items()
        for number, line in enumerate(text.split("\n"), 1)
        if line != line.rstrip() or "\r" in line
    ]
    unfinished = [name for name, text in TEXTS.items() if text and not text.endswith("\n")]
    assert ragged + unfinished == []
