from __future__ import annotations

import pytest

from rumpfs.base.memory import Memory
from rumpfs.fs.rootfs.vfsops import RootfsMount, RootfsOps, mount_root
from rumpfs.fs.rootfs.vnops import RootfsDir
from rumpfs.vfs.mount import Vfs


@pytest.fixture
def vfs() -> Vfs:
    vfs = Vfs(Memory())
    vfs.attach(RootfsOps())
    return vfs


@pytest.fixture
def mp(vfs: Vfs) -> RootfsMount:
    return mount_root(vfs)


@pytest.fixture
def root(mp: RootfsMount) -> RootfsDir:
    return mp.mnt_root
