"""What is in rumpfs.inspect can be sent to other processes."""

from __future__ import annotations

import inspect
import pickle
import pkgutil
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import pytest

import rumpfs.inspect


def _functions() -> Iterator[Any]:
    for module in pkgutil.walk_packages(rumpfs.inspect.__path__, "rumpfs.inspect."):
        if module.name == "rumpfs.inspect.filesystem":
            pytest.importorskip("fsspec")
        for name, each in vars(import_module(module.name)).items():
            if inspect.isfunction(each) and each.__module__ == module.name and not name.startswith("_"):
                yield each


def test_public_functions_are_pickled() -> None:
    found = list(_functions())
    assert "survey" in {each.__name__ for each in found}
    for each in found:
        assert pickle.loads(pickle.dumps(each)) is each
