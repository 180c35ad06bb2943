from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.conftest import PROJECT
from tests.mount_helpers.place import Place, hidden, install, why_not


@pytest.fixture(scope="session")
def installed() -> Iterator[Path]:
    """Where the helpers were installed, for tests that leave them as they are."""
    with _open_directory() as path:
        done = install("put", path)
        assert done.returncode == 0, done.stderr
        yield path


@pytest.fixture
def place(installed: Path) -> Iterator[Place]:
    if (reason := why_not()) is not None:
        pytest.skip(reason)
    with _open_directory() as path:
        yield Place(path, installed)


@contextmanager
def _open_directory() -> Iterator[Path]:
    """Yield a new directory that every user can search; pytest's own are closed."""
    path = Path(tempfile.mkdtemp(prefix="rumpfs-mount-"))
    path.chmod(0o755)
    try:
        yield path
    finally:
        shutil.rmtree(path)


@pytest.fixture
def users() -> None:
    """Others than root can run what is in the sources."""
    if where := hidden(PROJECT / ".venv"):
        pytest.skip(f"users who are not root cannot search {where}")
