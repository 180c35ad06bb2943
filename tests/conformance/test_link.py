"""Who may link to a file of somebody else (NetBSD: tests/fs/vfs/t_link.c, secmodel_extensions(9))."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conformance.sysctlbyname import sysctlbyname
from tests.conformance.volume import Volume

PROGRAM = "fs/vfs/t_link"

POLICY = b"security.models.extensions.hardlink_check_uid"
ON, OFF = (value.to_bytes(4, "little") for value in (1, 0))


@pytest.fixture
def policy(fs: Volume) -> Iterator[None]:
    """Only who owns a file may link to it."""
    sysctlbyname(fs, POLICY, ON)
    yield
    sysctlbyname(fs.system.process(), POLICY, OFF)


def hardlink(fs: Volume, owner: int, other: int) -> str:
    """Let one user make a file and another one link to it; return the link's errno, or ``ok``."""
    fs.call("chmod", b".", 0o777)
    fs.user(owner).make(b"foo", mode=0o666)
    return str((fs.user(other) if other else fs.process()).error("link", b"foo", b"bar"))


@pytest.mark.needs("links")
def test_hardlink_sameuser(fs: Volume) -> None:
    assert hardlink(fs, 1, 1) == "ok"


@pytest.mark.needs("links")
@pytest.mark.usefixtures("policy")
def test_hardlink_sameuser_sysctl(fs: Volume) -> None:
    assert hardlink(fs, 1, 1) == "ok"


@pytest.mark.needs("links")
def test_hardlink_otheruser(fs: Volume) -> None:
    assert hardlink(fs, 1, 2) == "ok"


@pytest.mark.needs("links")
@pytest.mark.usefixtures("policy")
def test_hardlink_otheruser_sysctl(fs: Volume) -> None:
    assert hardlink(fs, 1, 2) == "EPERM"


@pytest.mark.needs("links")
def test_hardlink_rootuser(fs: Volume) -> None:
    assert hardlink(fs, 1, 0) == "ok"


@pytest.mark.needs("links")
@pytest.mark.usefixtures("policy")
def test_hardlink_rootuser_sysctl(fs: Volume) -> None:
    assert hardlink(fs, 1, 0) == "ok"
