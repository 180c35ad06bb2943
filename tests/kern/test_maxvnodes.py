"""kern.maxvnodes (NetBSD: init_sysctl.c, vfs_vnode.c; tests/fs/tmpfs/t_vnode_leak)."""

from __future__ import annotations

import gc
import os
import struct
from pathlib import Path

import pytest

from rumpfs.abi.fcntl import O_RDONLY
from rumpfs.fs.ffs.inode import Inode
from tests.images_util import makefs
from tests.kern.incore import USER, Machine, Process
from tests.kern.sysctl_util import integer, sysctl

MAXVNODES = (1, 5)
DIRS, FILES = 30, 20


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("vnodes")
    for number in range(DIRS):
        os.makedirs(directory / "tree" / f"d{number}")
        for file in range(FILES):
            (directory / "tree" / f"d{number}" / f"f{file}").touch()
    return makefs(directory / "tree", directory / "image", 2, "<", 8192, 1024)


@pytest.fixture
def ffs(machine: Machine, p: Process, image: Path) -> Process:
    machine.drive(b"/dev/dk", image)
    p.call("mkdir", b"/m", 0o755)
    p.mount_ffs(b"/m", b"/dev/dk")
    return p


def set_maxvnodes(p: Process, number: int) -> str:
    return sysctl(p, *MAXVNODES, new=struct.pack("<i", number)).error


def vnodes() -> int:
    """Return how many vnodes of FFS there are in this process."""
    gc.collect()
    return sum(isinstance(thing, Inode) for thing in gc.get_objects())


def walk(p: Process) -> int:
    """Look at every file; return how many there were."""
    count = 0
    for directory in sorted(p.names(b"/m")):
        for name in sorted(p.names(b"/m/" + directory)):
            p.stat(b"/m/" + directory + b"/" + name)
            count += 1
    return count


def test_it_can_be_set(p: Process, machine: Machine) -> None:
    assert set_maxvnodes(p, 2000) == "ok"
    assert integer(p, *MAXVNODES) == 2000
    for number in (0, -1, -(2**31)):
        assert set_maxvnodes(p, number) == "EINVAL"
    assert set_maxvnodes(machine.process(USER), 5000) == "EPERM"
    assert integer(p, *MAXVNODES) == 2000
    assert set_maxvnodes(p, 2**31 - 1) == "ok"
    assert integer(p, *MAXVNODES) == 2**31 - 1


def test_memory_bounds_it() -> None:
    # 75 per cent of the memory, at 2048 bytes (VNODE_COST)
    p = Machine(memlimit=16 << 20).process()
    assert integer(p, *MAXVNODES) == (16 << 20) * 3 // 4 // 2048
    assert set_maxvnodes(p, 1 << 20) == "ok"
    assert integer(p, *MAXVNODES) == (16 << 20) * 3 // 4 // 2048


def test_vnode_leak(p: Process) -> None:
    assert set_maxvnodes(p, 2000) == "ok"
    p.call("mkdir", b"/m", 0o755)
    p.mount_tmpfs(b"/m")
    for number in range(4000):
        p.call("mkdir", b"/m/%d" % number, 0o755)
    assert p.stat(b"/m").nlink == 4002
    assert len(p.names(b"/m")) == 4000


@pytest.mark.slow
@pytest.mark.oracle("makefs")
def test_a_walk_keeps_no_more(ffs: Process, machine: Machine) -> None:
    assert machine.kernel.vfs is not None
    vcache = machine.kernel.vfs.vcache
    before = vnodes()
    assert walk(ffs) == DIRS * FILES
    kept = len(vcache)
    assert kept > DIRS * FILES
    for limit in (100, 7, 1):
        assert set_maxvnodes(ffs, limit) == "ok"
        assert len(vcache) <= limit
        assert vnodes() - before <= limit + 1
        assert walk(ffs) == DIRS * FILES
        assert len(vcache) <= limit
        assert vnodes() - before <= limit + 1


@pytest.mark.oracle("makefs")
def test_all_mounts_share_it(ffs: Process, machine: Machine, image: Path, tmp_path: Path) -> None:
    assert machine.kernel.vfs is not None
    (tmp_path / "copy").write_bytes(image.read_bytes())
    machine.drive(b"/dev/dk2", tmp_path / "copy")
    ffs.call("mkdir", b"/m2", 0o755)
    ffs.mount_ffs(b"/m2", b"/dev/dk2")
    assert set_maxvnodes(ffs, 50) == "ok"
    for number in range(DIRS):
        for mount in (b"/m", b"/m2"):
            ffs.stat(mount + b"/d%d/f1" % number)
            assert len(machine.kernel.vfs.vcache) <= 50
    ffs.call("unmount", b"/m2", 0)
    assert walk(ffs) == DIRS * FILES


@pytest.mark.oracle("makefs")
def test_vnodes_in_use_stay(ffs: Process) -> None:
    before = [ffs.stat(b"/m/d%d/f1" % number) for number in range(DIRS)]
    fds = [ffs.call("open", b"/m/d%d/f1" % number, O_RDONLY, 0) for number in range(DIRS)]
    ffs.call("chdir", b"/m/d3")
    assert set_maxvnodes(ffs, 1) == "ok"
    walk(ffs)
    assert [ffs.fstat(fd) for fd in fds] == before
    assert ffs.stat(b"f1") == before[3]
    assert ffs.getcwd() == b"/m/d3"
    for number, fd in enumerate(fds):
        assert ffs.p.vnode(fd) is ffs.p.kernel.vfs.rootvnode.lookup(b"m").v_mountedhere.mnt_root.lookup(
            b"d%d" % number
        ).lookup(b"f1")
