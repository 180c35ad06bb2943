from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fuse.mounts import mounted, why_not


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    reason = why_not()
    if reason is not None:
        here = Path(__file__).parent
        for item in items:
            if here in item.path.parents:
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture
def mountpoint(tmp_path: Path) -> Path:
    path = tmp_path / "mnt"
    path.mkdir()
    return path


@pytest.fixture(scope="session")
def tmpfs_mount(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One tmpfs for all tests; `tmpfs` gives each a directory of it."""
    with mounted("rump_tmpfs", "tmpfs", mountpoint=tmp_path_factory.mktemp("tmpfs") / "mnt") as mnt:
        yield mnt


@pytest.fixture
def tmpfs(tmpfs_mount: Path, request: pytest.FixtureRequest) -> Path:
    directory = tmpfs_mount / f"{abs(hash(request.node.nodeid)):x}"
    directory.mkdir()
    return directory
