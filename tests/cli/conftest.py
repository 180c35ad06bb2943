"""A server for the tests of `rumpfs`, and an empty tmpfs in it for each of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rumpfs.client import Client
from tests.cli.verbs import Shell
from tests.images_util import netbsd_image
from tests.serving import serving

MNT_FORCE = 0x80000


@pytest.fixture(scope="session")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server with every component."""
    with serving(tmp_path_factory.mktemp("verbs")) as served:
        yield served.url


@pytest.fixture(scope="session")
def image_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server with an image that NetBSD made at /dev/dk, mounted on /m."""
    drive = f"key=/dev/dk,hostpath={netbsd_image('clean-v2be-16k-2k')},size=host,ro"
    with serving(tmp_path_factory.mktemp("image"), "-d", drive) as served:
        with Client(served.url) as client:
            client.mkdir("/m")
            client.mount("ffs", "/dev/dk", "/m", 1)
        yield served.url


@pytest.fixture
def kernel(url: str) -> Iterator[Client]:
    """A client of the server, which has an empty tmpfs on /t."""
    with Client(url) as client:
        client.mkdir("/t")
        client.mount("tmpfs", None, "/t")
        yield client
        for vfs in reversed(client.getvfsstat()):
            if vfs.f_mntonname != b"/":
                client.unmount(vfs.f_mntonname, MNT_FORCE)
        client.rmdir("/t")


@pytest.fixture
def shell(kernel: Client, tmp_path: Path) -> Shell:
    """An empty directory of the host, and RUMP_SERVER set."""
    return Shell(kernel.url, tmp_path)
