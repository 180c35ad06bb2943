"""Mounting (NetBSD: tests/fs/tmpfs/t_mount.sh)."""

from __future__ import annotations

import pytest

from rumpfs.abi.mount import MNT_RDONLY
from rumpfs.abi.stat import S_IFDIR
from tests.conformance.volume import Volume

PROGRAM = "fs/tmpfs/t_mount"

NOT_APPLICABLE = {"mntpt": "it is about a message of mount_tmpfs(8)"}


def test_plain(volume: Volume) -> None:
    volume.mount_read_only({})
    volume.unmount()


@pytest.mark.needs("nlink")
def test_links(volume: Volume) -> None:
    volume.mount_read_only({})
    assert volume.stat(volume.mp).nlink == 2


def test_options(volume: Volume) -> None:
    volume.mount(MNT_RDONLY)
    assert volume.statvfs(volume.mp)[0] & MNT_RDONLY


@pytest.mark.needs("tmpfs_args")
def test_attrs(volume: Volume) -> None:
    volume.mount(uid=1000, gid=100, mode=0o755)
    root = volume.stat(volume.mp)
    assert (root.uid, root.gid, root.mode) == (1000, 100, S_IFDIR | 0o755)


@pytest.mark.needs("tmpfs_args")
def test_negative(volume: Volume) -> None:
    volume.mount(size=2**64 - 10)
    volume.make(b"a", bytes(100_000))


@pytest.mark.needs("tmpfs_args")
def test_large(volume: Volume) -> None:
    """What NetBSD refuses beyond 2^63 - 1, its mount_tmpfs(8) refuses."""
    volume.mount(size=2**63 - 1)
    volume.make(b"a", bytes(100_000))
