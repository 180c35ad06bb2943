from __future__ import annotations

import itertools
import time

import pytest

from rumpfs.fs.tmpfs.directory import TmpfsDir
from tests.fs.tmpfs import harness


@pytest.fixture
def root() -> TmpfsDir:
    """The root directory of a new tmpfs, mode 01777, owned by root."""
    return harness.root_of(harness.mount())


@pytest.fixture
def ticking(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that is a second later whenever it is looked at."""
    seconds = itertools.count(1_800_000_000)
    monkeypatch.setattr(time, "time_ns", lambda: next(seconds) * 1_000_000_000)
