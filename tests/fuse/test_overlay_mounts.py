"""Mounts with a copy-on-write overlay: what is written is there, and the image stays as it is."""

from __future__ import annotations

import hashlib
import os
import select
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fs.ffs.checker import complaints
from tests.fuse.mounts import TIMEOUT, clear, command, is_mounted, mounted
from tests.images_util import PROJECT, makefs, netbsd_image, scratch_copy

pytestmark = pytest.mark.oracle("makefs")

SOURCES = PROJECT / "rumpfs" / "fs"


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """An image that cannot be written."""
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "old").write_bytes(b"old" * 5000)
    made = makefs(tmp_path / "tree", tmp_path / "disk.img", 2, "le", 8192, 1024, "-s", "24m", ",density=4096")
    made.chmod(0o400)
    return made


def digest(image: Path) -> bytes:
    return hashlib.sha256(image.read_bytes()).digest()


def same_tree(one: Path, other: Path) -> None:
    done = subprocess.run(["diff", "-r", one, other], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


def json_of(*words: str) -> dict[str, object]:
    import json

    done = command("rumpfs", *words)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def test_heavy_writing_leaves_the_image_alone_until_the_commit(
    tmp_path: Path, image: Path, mountpoint: Path
) -> None:
    overlay = tmp_path / "overlay"
    before, content = digest(image), os.urandom(3_000_001)
    tree = shutil.copytree(SOURCES, tmp_path / "copy", ignore=shutil.ignore_patterns("__pycache__"))
    with mounted("rumpfs mount", "-o", f"overlay={overlay}", str(image), mountpoint=mountpoint) as mnt:
        shutil.copytree(tree, mnt / "sources")
        (mnt / "big").write_bytes(content)
        (mnt / "old").unlink()
        for number in range(200):
            (mnt / f"small{number}").write_bytes(b"%d" % number)
        for number in range(0, 200, 2):
            (mnt / f"small{number}").unlink()
        facts = json_of("overlay", "status", "--json", str(overlay))
        assert facts["state"] == "used"
        assert "rumpfs mount" in str(facts["holder"])
        for action in ("commit", "drop"):
            assert "is locked by another process" in command("rumpfs", "overlay", action, str(overlay)).stderr
        assert digest(image) == before
    assert digest(image) == before
    assert json_of("overlay", "status", "--json", str(overlay))["state"] == "clean"
    with mounted("rump_ffs", "-o", f"overlay={overlay},ro", str(image), mountpoint=mountpoint) as mnt:
        same_tree(tree, mnt / "sources")
        assert (mnt / "big").read_bytes() == content
        with pytest.raises(OSError, match="Read-only"):
            (mnt / "new").touch()
    done = command("rumpfs", "fsck", "-nf", "--overlay", str(overlay), str(image))
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    image.chmod(0o600)
    assert command("rumpfs", "overlay", "commit", str(overlay)).returncode == 0
    assert not overlay.exists()
    assert complaints(image) == []
    with mounted("rump_ffs", str(image), mountpoint=mountpoint) as mnt:
        same_tree(tree, mnt / "sources")
        assert (mnt / "big").read_bytes() == content
        assert sorted(os.listdir(mnt)) == sorted(["big", "sources", *(f"small{n}" for n in range(1, 200, 2))])


def test_two_mounts_share_an_image(tmp_path: Path, image: Path, mountpoint: Path) -> None:
    before = digest(image)
    one, other = (f"overlay={tmp_path / name}" for name in "ab")
    with (
        mounted("rumpfs mount", "-o", one, str(image), mountpoint=mountpoint) as first,
        mounted("rumpfs mount", "-o", other, str(image), mountpoint=tmp_path / "mnt2") as second,
        mounted("rumpfs mount", str(image), mountpoint=tmp_path / "mnt3") as plain,
    ):
        (first / "first").write_bytes(b"1")
        (second / "second").write_bytes(b"2")
        (second / "old").write_bytes(b"new")
        assert set(os.listdir(first)) == {"old", "first"}
        assert set(os.listdir(second)) == {"old", "second"}
        assert (first / "old").read_bytes() == (plain / "old").read_bytes() == b"old" * 5000
        done = command("rumpfs", "mount", "-o", one, str(image), str(tmp_path / "tree"))
        assert done.returncode == 1
        assert f"{tmp_path / 'a'} is locked by another process" in done.stderr
        done = command("rumpfs", "mount", "-o", "rw", str(image), str(tmp_path / "tree"))
        assert done.returncode in (0, 1)
        if not done.returncode:  # it cannot be written by this user, and is mounted read-only
            assert command("rumpfs", "umount", str(tmp_path / "tree")).returncode == 0
    assert digest(image) == before


def test_a_killed_mount_leaves_what_fsck_repairs_in_the_overlay(
    tmp_path: Path, image: Path, mountpoint: Path
) -> None:
    overlay = tmp_path / "overlay"
    before = digest(image)
    words = ("-o", f"overlay={overlay}", str(image))
    try:
        _kill_a_mount(words, overlay, mountpoint)
        assert json_of("overlay", "status", "--json", str(overlay))["state"] == "killed"
        done = command("rumpfs", "mount", "--force", *words, str(mountpoint))
        assert done.returncode == 1
        assert f"rumpfs fsck --overlay {overlay} {image}" in done.stderr
        assert not is_mounted(mountpoint)
    finally:
        clear(mountpoint)
    done = command("rumpfs", "fsck", "-p", "--overlay", str(overlay), str(image))
    assert done.returncode == 0, done.stdout
    with mounted("rumpfs mount", *words, mountpoint=mountpoint) as mnt:
        assert (mnt / "synced").read_bytes() == b"x" * 100_000
        (mnt / "more").touch()
    assert digest(image) == before


def _kill_a_mount(words: tuple[str, ...], overlay: Path, mountpoint: Path) -> None:
    """Mount, write, and kill the process that serves it."""
    assert command("rumpfs", "mount", *words, str(mountpoint)).returncode == 0
    (mountpoint / "synced").write_bytes(b"x" * 100_000)
    descriptor = os.open(mountpoint / "synced", os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)
    shutil.copytree(SOURCES, mountpoint / "sources")
    holder = str(json_of("overlay", "status", "--json", str(overlay))["holder"])
    pid = int(holder.split()[0])
    gone = os.pidfd_open(pid)
    os.kill(pid, signal.SIGKILL)
    assert select.select([gone], [], [], TIMEOUT)[0]
    os.close(gone)


def test_an_overlay_that_is_not_there_is_no_mistake_to_overlook(
    tmp_path: Path, image: Path, mountpoint: Path
) -> None:
    done = command("rump_ffs", "-o", f"ro,overlay={tmp_path / 'typo'}", str(image), str(mountpoint))
    assert (done.returncode, "there is no such overlay" in done.stderr) == (1, True)
    done = command("rump_ffs", "-o", f"overlay={image}", str(image), str(mountpoint))
    assert (done.returncode, "overlay" in done.stderr) == (1, True)
    done = command("rump_tmpfs", "-o", f"overlay={tmp_path / 'x'}", "tmpfs", str(mountpoint))
    assert (done.returncode, "overlay= is for images" in done.stderr) == (1, True)
    assert not (tmp_path / "typo").exists()


def _fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        for _ in range(80):
            file.write(os.urandom(65536))


@pytest.mark.root
def test_a_full_host_makes_the_mount_read_only(tmp_path: Path, image: Path, mountpoint: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    overlay = small / "overlay"
    words = ("-o", f"overlay={overlay}", str(image))
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", small], check=True)
    try:
        with mounted("rumpfs mount", *words, mountpoint=mountpoint) as mnt:
            (mnt / "kept").write_bytes(b"kept")
            with pytest.raises(OSError, match=r"error|Read-only|space"):
                _fill(mnt / "big")
            with pytest.raises(OSError, match=r"error|Read-only"):
                (mnt / "more").mkdir()
            assert (mnt / "kept").read_bytes() == b"kept"
        subprocess.run(["mount", "-o", "remount,size=64m", small], check=True)
        done = command("rumpfs", "fsck", "-y", "--overlay", str(overlay), str(image))
        assert done.returncode == 0, done.stdout
        with mounted("rumpfs mount", *words, mountpoint=mountpoint) as mnt:
            assert (mnt / "old").read_bytes() == b"old" * 5000
    finally:
        clear(mountpoint)
        subprocess.run(["umount", small], check=True)


# --- logs, and images that cannot be written ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("replay=refuse", "its log is not to be replayed"),
        ("log=refuse", "its log is not to be replayed"),
        ("replay=ignore,rw", "only be mounted read-only"),
        ("replay=never", "is not one of auto, replay, force, ignore, refuse"),
    ],
)
def test_a_log_that_is_not_to_be_replayed(tmp_path: Path, mountpoint: Path, options: str, said: str) -> None:
    image = scratch_copy(netbsd_image("wapbl-dirty-mid-v2le"), tmp_path)
    before = digest(image)
    done = command("rump_ffs", "-o", options, str(image), str(mountpoint))
    assert done.returncode in (1, 2)
    assert said in done.stderr
    assert digest(image) == before


def test_a_log_that_is_ignored(tmp_path: Path, mountpoint: Path) -> None:
    """What the log holds is not seen then: this image's last files are in the log only."""
    image = netbsd_image("wapbl-dirty-lost-v2le")
    with mounted("rump_ffs", "-o", "replay=auto", str(image), mountpoint=mountpoint) as mnt:
        replayed = {path.relative_to(mnt) for path in mnt.rglob("*")}
    with mounted("rump_ffs", "-o", "replay=ignore", str(image), mountpoint=mountpoint) as mnt:
        ignored = {path.relative_to(mnt) for path in mnt.rglob("*")}
    assert ignored < replayed


def test_a_log_is_replayed_into_the_overlay(tmp_path: Path, mountpoint: Path) -> None:
    """The image stays dirty; with the overlay it is a file system that was never dirty."""
    image = netbsd_image("wapbl-dirty-lost-v2le")
    before, overlay = digest(image), tmp_path / "overlay"
    with mounted("rump_ffs", str(image), mountpoint=mountpoint) as mnt:
        replayed = {path.relative_to(mnt) for path in mnt.rglob("*")}
    words = ("-o", f"overlay={overlay}", str(image))
    with mounted("rump_ffs", *words, mountpoint=mountpoint) as mnt:
        assert {path.relative_to(mnt) for path in mnt.rglob("*")} == replayed
        if not os.geteuid():
            (mnt / "new").write_bytes(b"new")
    with mounted("rump_ffs", "-o", "replay=refuse", *words, mountpoint=mountpoint) as mnt:
        assert {path.relative_to(mnt) for path in mnt.rglob("*")} >= replayed
    done = command("rumpfs", "fsck", "-nf", "--overlay", str(overlay), str(image))
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert digest(image) == before


@pytest.fixture
def protected(image: Path) -> Iterator[Path]:
    """An image that not even root may write: on a host file system that is mounted read-only."""
    where = str(image.parent / "tree")
    shutil.copy(image, where)
    if not os.geteuid():
        subprocess.run(["mount", "--bind", where, where], check=True)
        subprocess.run(["mount", "-o", "remount,bind,ro", where], check=True)
    yield Path(where, image.name)
    if not os.geteuid():
        subprocess.run(["umount", where], check=True)


def test_an_image_that_may_not_be_written_is_mounted_read_only(protected: Path, mountpoint: Path) -> None:
    done = command("rump_ffs", "-o", "rw", str(protected), str(mountpoint))
    try:
        assert done.returncode == 0
        assert done.stderr == f"rump_ffs: WARNING: {protected} is write-protected, mounted read-only\n"
        with pytest.raises(OSError, match="Read-only"):
            (mountpoint / "new").touch()
        assert command("rumpfs", "umount", str(mountpoint)).returncode == 0
    finally:
        clear(mountpoint)


def test_an_overlay_of_what_cannot_be_written(tmp_path: Path, protected: Path, mountpoint: Path) -> None:
    with mounted("rump_ffs", "-o", f"overlay={tmp_path / 'o'}", str(protected), mountpoint=mountpoint) as mnt:
        (mnt / "old").write_bytes(b"new")
    with mounted("rump_ffs", "-o", f"overlay={tmp_path / 'o'}", str(protected), mountpoint=mountpoint) as mnt:
        assert (mnt / "old").read_bytes() == b"new"
    done = command("rumpfs", "overlay", "commit", str(tmp_path / "o"))
    assert (done.returncode, str(protected) in done.stderr) == (1, True)
    assert (tmp_path / "o").exists()
