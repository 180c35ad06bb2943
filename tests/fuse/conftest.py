from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rumpfs.client import Client
from tests.fs.ffs.checker import complaints
from tests.fuse.mounts import command, mounted, why_not
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


#: FFS of both versions and byte orders: what newfs is told
FORMATS = {f"ffs{version}-{order}": (version, order) for version in "12" for order in ("le", "be")}


@contextmanager
def tmpfs_volume(kind: str, directory: Path, options: str = "rw") -> Iterator[Path]:
    """Mount a tmpfs: of a kernel in the process that mounts, or by its "url" that of a server."""
    if kind == "kernel":
        with mounted("rump_tmpfs", "-o", options, "tmpfs", mountpoint=directory / "mnt") as mnt:
            yield mnt
        return
    with serving(directory) as server:
        with Client(server.url, "test") as client:
            client.mkdir("/t")
            client.mount("tmpfs", None, "/t")
        with mounted("rumpfs mount", f"{server.url}:/t", mountpoint=directory / "mnt") as mnt:
            yield mnt


@contextmanager
def ffs_volume(kind: str, directory: Path, options: str = "rw") -> Iterator[Path]:
    """Make an FFS and mount it for writing; at the end both checkers have to find nothing."""
    version, order = FORMATS[kind]
    image = directory / "disk.img"
    done = command("rumpfs", "newfs", "-O", version, "-B", order, "-s", "64m", str(image))
    assert done.returncode == 0, done.stderr
    owner = f",uid={os.geteuid()},gid={os.getegid()}" if os.geteuid() else ""
    with mounted("rump_ffs", "-o", f"rw,{options}{owner}", str(image), mountpoint=directory / "mnt") as mnt:
        yield mnt
    done = command("rumpfs", "fsck", "-fn", str(image))
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert complaints(image) == []


@pytest.fixture(scope="session", params=["kernel", "url"])
def tmpfs_mount(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One tmpfs for all tests; `tmpfs` gives each test a directory of it."""
    with tmpfs_volume(request.param, tmp_path_factory.mktemp("tmpfs")) as mnt:
        yield mnt


@pytest.fixture
def tmpfs(tmpfs_mount: Path, request: pytest.FixtureRequest) -> Path:
    return own_directory(tmpfs_mount, request)


_VOLUMES = ["kernel", "url", "ffs1-be", "ffs2-le"]
_MORE = [pytest.param(kind, marks=pytest.mark.slow) for kind in FORMATS if kind not in _VOLUMES]


@pytest.fixture(scope="session", params=[*_VOLUMES, *_MORE])
def volume_mount(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A file system that can be written, one of each kind; `volume` gives each test a directory of it."""
    make = ffs_volume if request.param in FORMATS else tmpfs_volume
    with make(request.param, tmp_path_factory.mktemp("volume")) as mnt:
        yield mnt


@pytest.fixture
def volume(volume_mount: Path, request: pytest.FixtureRequest) -> Path:
    return own_directory(volume_mount, request)


def own_directory(mnt: Path, request: pytest.FixtureRequest) -> Path:
    directory = mnt / f"{abs(hash(request.node.nodeid)):x}"
    directory.mkdir()
    return directory
