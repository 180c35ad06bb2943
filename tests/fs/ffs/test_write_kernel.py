"""FFS for writing through the kernel: mount(2) and its updates, unmount, fsync, and a model in step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis.stateful import rule, run_state_machine_as_test

from rumpfs.abi.fcntl import F_CLOSEM, O_CREAT, O_RDWR
from rumpfs.abi.mount import MNT_FORCE, MNT_LOG, MNT_RDONLY, MNT_UPDATE, UFS_ARGS
from rumpfs.client import Client
from rumpfs.dev.hostfile import HostFile
from rumpfs.dev.window import Window
from tests.fs.ffs.checker import complaints
from tests.fs.ffs.editor import Editor
from tests.images_util import makefs
from tests.kern.incore import Machine, Process
from tests.property.machine import InStep, paths
from tests.property.model import Model
from tests.property.subjects import Remote
from tests.serving import serving


@pytest.fixture
def image(tmp_path: Path) -> Path:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree").chmod(0o755)
    return makefs(tmp_path / "tree", tmp_path / "image", 2, "le", 8192, 1024, "-s", "8m", ",density=2048")


@pytest.fixture
def p(image: Path) -> Process:
    """A process of a kernel with the image as /dk, and a directory /mnt."""
    machine = Machine()
    hostfile = HostFile.open(str(image))
    machine.kernel.etfs_register(b"/dk", Window(hostfile, 0, hostfile.size))
    process = machine.process()
    process.call("mkdir", b"/mnt", 0o755)
    return process


def _update(p: Process, flags: int) -> str:
    args = UFS_ARGS.pack(0)
    return p.error("__mount50", b"ffs\0", b"/mnt\0", MNT_UPDATE | flags, args, len(args))


def _clean(image: Path) -> int:
    with Editor(image) as editor:
        return editor.fs.fs_clean


def test_a_mount_becomes_writable_and_read_only_again(p: Process, image: Path) -> None:
    p.mount_ffs(b"/mnt", b"/dk", MNT_RDONLY)
    assert p.error("mkdir", b"/mnt/d", 0o755) == "EROFS"
    assert _clean(image) == 1
    assert _update(p, 0) == "ok"
    assert _clean(image) == 0
    p.call("mkdir", b"/mnt/d", 0o755)
    fd = p.call("open", b"/mnt/f", O_CREAT | O_RDWR, 0o644)
    assert _update(p, MNT_RDONLY) == "EBUSY"
    p.call("write", fd, b"content")
    p.call("close", fd)
    assert _update(p, MNT_RDONLY) == "ok"
    assert complaints(image) == []
    assert p.error("mkdir", b"/mnt/e", 0o755) == "EROFS"
    assert _update(p, 0) == "ok"
    p.call("rmdir", b"/mnt/d")
    p.call("unmount", b"/mnt", 0)
    assert complaints(image) == []


def test_a_forced_update_takes_files_without_a_name_away(p: Process, image: Path) -> None:
    p.mount_ffs(b"/mnt", b"/dk", 0)
    fd = p.call("open", b"/mnt/f", O_CREAT | O_RDWR, 0o644)
    p.call("write", fd, bytes(100000))
    p.call("unlink", b"/mnt/f")
    assert _update(p, MNT_RDONLY | MNT_FORCE) == "ok"
    assert complaints(image) == []


def test_a_forced_unmount_leaves_a_whole_image(p: Process, image: Path) -> None:
    p.mount_ffs(b"/mnt", b"/dk", 0)
    fds = [p.call("open", b"/mnt/f%d" % n, O_CREAT | O_RDWR, 0o644) for n in range(3)]
    for fd in fds:
        p.call("write", fd, bytes(50000))
    p.call("unlink", b"/mnt/f1")
    assert p.error("unmount", b"/mnt", 0) == "EBUSY"
    p.call("unmount", b"/mnt", MNT_FORCE)
    assert complaints(image) == []


def test_fsync_brings_a_file_to_the_image(p: Process, image: Path) -> None:
    p.mount_ffs(b"/mnt", b"/dk", 0)
    fd = p.call("open", b"/mnt/f", O_CREAT | O_RDWR, 0o644)
    p.call("write", fd, b"x" * 300000)
    p.call("fsync", fd)
    with Editor(image) as editor:
        found = [dinode for _, dinode in editor.inodes() if dinode.di_size == 300000]
    assert len(found) == 1
    p.call("close", fd)
    p.call("unmount", b"/mnt", 0)


@pytest.fixture(params=[0, MNT_LOG], ids=["plain", "log"])
def remote(image: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Callable[[], Remote]]:
    """A function that returns a Remote on an empty directory of an FFS."""
    with (
        serving(tmp_path, "-d", f"key=/dk,hostpath={image},size=host") as served,
        Client(served.url) as root,
        Client(served.url) as client,
    ):
        root.mkdir("/t")
        root.mount("ffs", "/dk", "/t", request.param)
        client.sys.umask(0)
        numbers = count()

        def fresh() -> Remote:
            client.sys.fcntl(0, F_CLOSEM, 0)
            base = f"/t/{next(numbers)}"
            client.mkdir(base, 0o755)
            return Remote(client, base)

        yield fresh
        root.unmount("/t", MNT_FORCE)
    assert complaints(image) == []


@pytest.mark.slow
def test_in_step_with_the_model(remote: Callable[[], Remote]) -> None:
    class Steps(InStep):
        def subjects(self) -> tuple[Any, Any]:
            return Model(), remote()

        @rule(old=paths(), new=paths())
        def rename(self, old: str, new: str) -> None:
            self.both("rename", old, new)

    run_state_machine_as_test(
        Steps, settings=settings(settings.default, max_examples=60, stateful_step_count=50)
    )
