"""docs/troubleshooting.md explains messages that there are, with commands that there are."""

from __future__ import annotations

import ast
import os
import re
from argparse import ArgumentParser
from collections.abc import Iterator

import pytest

from rumpfs.cli.rumpfs import VERBS, verb_parser
from tests.conftest import PROJECT

TEXT = (PROJECT / "docs" / "troubleshooting.md").read_text()
MESSAGES = re.findall(r"^### `(.*)`$", TEXT, re.MULTILINE)
#: those of the host
ERRNOS = {os.strerror(number) for number in range(1, 134)}


def _templates() -> Iterator[str]:
    """Yield all strings of the sources, with … for what is put into them."""
    for path in (PROJECT / "rumpfs").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.JoinedStr):
                yield "".join(
                    str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values
                )
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield re.sub("%[srd]", "…", node.value)


@pytest.fixture(scope="module")
def templates() -> str:
    return re.sub("…+", "…", "\0".join(_templates()))


@pytest.mark.parametrize("message", MESSAGES)
def test_the_message_is_one(templates: str, message: str) -> None:
    assert message in ERRNOS or message in templates


def _commands() -> Iterator[tuple[str, str]]:
    for code in re.findall(r"`([^`]+)`", TEXT):
        words = code.split()
        if words[0] == "rumpfs" and len(words) > 1:
            yield words[1], code


@pytest.mark.parametrize(("verb", "command"), sorted(set(_commands())))
def test_the_command_is_one(verb: str, command: str) -> None:
    assert verb in VERBS
    parser: ArgumentParser = verb_parser(verb)
    known = {name for action in parser._actions for name in action.option_strings}
    for word in command.partition(" -- ")[0].split()[2:]:
        if word.startswith("-") and word not in known:
            assert {f"-{letter}" for letter in word[1:]} <= known


def test_there_are_enough_of_them() -> None:
    assert len(MESSAGES) == len(set(MESSAGES)) > 30
