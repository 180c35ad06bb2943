from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rumpfs.client import Client
from tests.fuse.mounts import mounted, why_not
from tests.serving import serving


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


@pytest.fixture(scope="session", params=["kernel", "url"])
def tmpfs_mount(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One tmpfs for all tests, of a kernel in the process that mounts, or of a server that is mounted.

    `tmpfs` gives each test a directory of it.
    """
    directory = tmp_path_factory.mktemp("tmpfs")
    if request.param == "kernel":
        with mounted("rump_tmpfs", "tmpfs", mountpoint=directory / "mnt") as mnt:
            yield mnt
        return
    with serving(directory) as server:
        with Client(server.url, "test") as client:
            client.mkdir("/t")
            client.mount("tmpfs", None, "/t")
        with mounted("rumpfs mount", f"{server.url}:/t", mountpoint=directory / "mnt") as mnt:
            yield mnt


@pytest.fixture
def tmpfs(tmpfs_mount: Path, request: pytest.FixtureRequest) -> Path:
    directory = tmpfs_mount / f"{abs(hash(request.node.nodeid)):x}"
    directory.mkdir()
    return directory
