"""rumpfs-mount and rumpfs-umount: their words, and their statuses. tests/mount_helpers mounts with them."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest

from rumpfs.cli.mount_helper import _status
from rumpfs.server.daemonize import EXIT_DIED
from tests.cli.verbs import BIN


def run(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([BIN / words[0], *words[1:]], capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["rumpfs-mount", "disk.img"], "the following arguments are required: MOUNTPOINT"),
        (["rumpfs-mount", "disk.img", "/mnt", "-x"], "unrecognized arguments: -x"),
        (["rumpfs-mount", "disk.img", "/mnt", "-o"], "expected one argument"),
        (["rumpfs-mount", "disk.img", "/mnt", "-o", "rw,ofset=1"], "did you mean offset?"),
        (["rumpfs-mount", "disk.img", "/mnt", "-s", "-o", "offset=x,else"], "'x' is not a number of bytes"),
        (["rumpfs-mount", "disk.img", "/mnt", "-t", "rumpfs.ext4"], "there is no ext4"),
        (["rumpfs-umount"], "the following arguments are required: MOUNTPOINT"),
    ],
)
def test_a_wrong_command_line_is_1(words: list[str], text: str) -> None:
    done = run(*words)
    assert done.returncode == 1
    assert text in done.stderr


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (
            ["rumpfs-mount", "disk.img", "/mnt", "-o", "rw,remount"],
            "/mnt: a mount of rumpfs cannot be changed",
        ),
        (
            ["rumpfs-umount", "/proc", "-n", "-t", "fuse.rumpfs"],
            "/proc: that is a proc, not a mount of rumpfs",
        ),
        (["rumpfs-umount", "/nowhere", "-l"], "/nowhere: nothing is mounted there"),
    ],
)
def test_what_cannot_be_done_is_32(words: list[str], text: str) -> None:
    done = run(*words)
    assert done.returncode == 32
    assert text in done.stderr


def test_a_namespace_that_is_none_is_2(tmp_path: Path) -> None:
    for program in ("rumpfs-mount", "rumpfs-umount"):
        operands = ["x", "/mnt"] if program == "rumpfs-mount" else ["/mnt"]
        done = run(program, *operands, "-N", tmp_path / "none")
        assert (done.returncode, done.stderr) == (
            2,
            f"{program}: {tmp_path}/none: No such file or directory\n",
        )


@pytest.mark.parametrize(
    ("waited", "status"),
    [
        (0, 0),
        (1 << 8, 32),
        (2 << 8, 1),
        (EXIT_DIED << 8, 4),
        (signal.SIGINT, 8),
        (signal.SIGTERM, 8),
        (signal.SIGSEGV, 4),
    ],
)
def test_the_statuses_are_those_of_mount(waited: int, status: int) -> None:
    assert _status(waited) == status
