"""From options to a kernel, in this process."""

from __future__ import annotations

from pathlib import Path

import pytest

from rumpfs.abi import errno
from rumpfs.base.component import Component, Phase
from rumpfs.base.errors import VfsError
from rumpfs.base.registry import solve
from rumpfs.cli.boot import StartError, boot
from rumpfs.cli.options import Options
from rumpfs.dev.drivespec import parse_drivespec


def test_options_reach_the_kernel() -> None:
    kernel = boot(Options(ncpu=3, total_ram=16 << 20), solve(["rumpvfs"]))
    assert (kernel.ncpu, kernel.memory.limit, kernel.verbose) == (3, 16 << 20, False)


def test_a_component_that_refuses_to_start_is_named_as_init() -> None:
    def init(kernel: object) -> None:
        raise VfsError(errno.EIO, "no hardware")

    with pytest.raises(StartError) as caught:
        boot(Options(), [Component("bad", Phase.DEV, (), init)])
    assert str(caught.value) == "rump init failed: Input/output error\n  no hardware"
    assert caught.value.status == errno.EIO


def test_verbose_says_which_components_are_missing(capfd: pytest.CaptureFixture[str]) -> None:
    boot(Options(verbose=True), solve(["rumpvfs", "rumpfs_ffs"]))
    assert capfd.readouterr().out.splitlines() == [
        "component rumpvfs initialised",
        "component rumpfs_ffs initialised",
        "component rumpdev_disk is not loaded, and rumpfs_ffs may need it",
    ]


def test_a_directory_of_the_name_of_a_module_is_no_module(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tmpfs").mkdir()
    monkeypatch.chdir(tmp_path)
    kernel = boot(Options(modules=["tmpfs"]), solve(["rumpvfs"]))
    assert "tmpfs" in kernel.modules
    with pytest.raises(StartError, match=r"^module etfs register failed: Invalid argument\n  \./tmpfs is"):
        boot(Options(modules=["./tmpfs"]), solve(["rumpvfs"]))


def test_a_refused_drive_leaves_its_file_unlocked(tmp_path: Path) -> None:
    image = tmp_path / "image"
    spec = parse_drivespec(f"key=nokey,hostpath={image},size=4k")
    with pytest.raises(StartError, match=r"^etfs register: Invalid argument"):
        boot(Options(drives=[spec]), solve(["rumpvfs"]))
    with image.open("rb") as stream:
        import fcntl

        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
