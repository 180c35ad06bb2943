"""The commands that mount and unmount: what they say, what they leave behind, what they refuse."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from rumpfs.cli import hostmounts
from rumpfs.cli.mountopts import IGNORED, OPTIONS, OptionError, parse
from tests.fuse.mounts import BIN, TIMEOUT, clear, command, is_mounted, mounted
from tests.images_util import netbsd_image, scratch_copy


def daemon_of(mountpoint: Path) -> int:
    """Return the process that serves a mount."""
    pattern = f"tmpfs {mountpoint}$"
    done = subprocess.run(["pgrep", "-f", pattern], capture_output=True, text=True, check=True)
    (pid,) = done.stdout.split()
    return int(pid)


@pytest.fixture(autouse=True)
def cleared(mountpoint: Path) -> Iterator[None]:
    yield
    clear(mountpoint)


def test_what_is_mounted_is_shown(mountpoint: Path) -> None:
    with mounted("rump_tmpfs", "-o", "size=8m,mode=751", "scratch", mountpoint=mountpoint) as mnt:
        with open("/proc/self/mounts") as mounts:
            (line,) = [line.split(" ") for line in mounts if line.split(" ")[1] == str(mnt)]
        assert line[0] == "scratch"
        assert line[2] == "fuse.rumpfs"
        assert {"rw", "nosuid", "nodev"} <= set(line[3].split(","))
        assert "allow_other" not in line[3]
        space = os.statvfs(mnt)
        assert space.f_blocks * space.f_frsize == 8 << 20
        assert mnt.stat().st_mode & 0o7777 == 0o751


def test_owners_and_permissions_can_be_shown_differently(mountpoint: Path) -> None:
    image = netbsd_image("clean-v2le-4k-512")
    with mounted("rump_ffs", "-o", "uid=12,gid=34,umask=027", str(image), mountpoint=mountpoint) as mnt:
        facts = mnt.stat()
        assert (facts.st_uid, facts.st_gid, facts.st_mode & 0o7777) == (12, 34, 0o750)


def test_unmounting_waits_until_the_image_is_free(tmp_path: Path, mountpoint: Path) -> None:
    image = scratch_copy(netbsd_image("clean-v2le-4k-512"), tmp_path)
    for _ in range(2):
        with mounted("rump_ffs", str(image), mountpoint=mountpoint):
            done = command("rump_ffs", "-o", "rw", str(image), str(tmp_path))
            assert done.returncode == 1
            holder = re.search(r"locked by another process, \d+ \(rump_ffs (.*)\)", done.stderr)
            assert holder is not None, done.stderr
            assert holder[1] == f"{image} {mountpoint}"
            assert not is_mounted(tmp_path)
        subprocess.run(["flock", "-n", "-x", image, "true"], check=True)


def test_readers_share_an_image(tmp_path: Path, mountpoint: Path) -> None:
    image = netbsd_image("clean-v2le-4k-512")
    with (
        mounted("rump_ffs", str(image), mountpoint=mountpoint) as one,
        mounted("rump_ffs", str(image), mountpoint=tmp_path / "two") as two,
    ):
        assert os.listdir(one) == os.listdir(two)


def test_a_busy_mount_is_not_taken_away_but_by_force(mountpoint: Path) -> None:
    assert command("rump_tmpfs", "tmpfs", str(mountpoint)).returncode == 0
    with open(mountpoint / "open", "w"):
        done = command("rumpfs", "umount", str(mountpoint))
        assert done.returncode == 1
        assert "busy" in done.stderr
        assert "rumpfs umount -f" in done.stderr
        assert is_mounted(mountpoint)
        done = command("rumpfs", "umount", "-f", str(mountpoint))
        assert (done.returncode, done.stderr) == (0, "")
        assert not is_mounted(mountpoint)


def test_unmounting_what_is_no_mount_of_ours(mountpoint: Path) -> None:
    done = command("rumpfs", "umount", str(mountpoint))
    assert (done.returncode, done.stderr) == (1, f"rumpfs umount: {mountpoint}: nothing is mounted there\n")
    done = command("rumpfs", "umount", "/proc")
    assert done.returncode == 1
    assert "not a mount of rumpfs" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_mount_in_the_foreground(mountpoint: Path, number: signal.Signals) -> None:
    process = subprocess.Popen(
        [BIN / "rump_tmpfs", "-f", "tmpfs", mountpoint], stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + TIMEOUT
    while not is_mounted(mountpoint) and process.poll() is None and time.monotonic() < deadline:
        os.sched_yield()
    (mountpoint / "f").write_text("used")
    process.send_signal(number)
    assert process.communicate(timeout=TIMEOUT) == (None, "")
    assert process.returncode == 0
    assert not is_mounted(mountpoint)


def test_a_mount_that_lost_its_server_is_found_and_cleared(mountpoint: Path) -> None:
    assert command("rump_tmpfs", "tmpfs", str(mountpoint)).returncode == 0
    pid = daemon_of(mountpoint)
    descriptor = os.pidfd_open(pid)
    os.kill(pid, signal.SIGKILL)
    import select

    assert select.select([descriptor], [], [], TIMEOUT)[0]
    os.close(descriptor)
    done = command("rump_tmpfs", "tmpfs", str(mountpoint))
    assert done.returncode == 1
    assert "has lost its server" in done.stderr
    assert f"fusermount3 -u -z {mountpoint}" in done.stderr
    done = command("rump_tmpfs", "--force", "tmpfs", str(mountpoint))
    assert (done.returncode, done.stderr) == (0, "")
    assert os.listdir(mountpoint) == []


@pytest.mark.parametrize(
    ("words", "status", "text"),
    [
        (["rump_ffs", "-o", "partiton=a", "x", "y"], 2, "did you mean partition?"),
        (["rump_ffs", "-o", "rw=1", "x", "y"], 2, "it is written rw"),
        (["rump_ffs", "-o", "uid=me", "x", "y"], 2, "'me' is not the number of a user"),
        (["rumpfs", "mount", "-o", "offset=x", "x", "y"], 2, "'x' is not a number of bytes"),
        (["rumpfs", "mount", "-t", "kernfs", "x", "y"], 2, "on the host, ffs and tmpfs can be mounted"),
        (["rump_tmpfs", "tmpfs", "/nowhere/at/all"], 1, "/nowhere/at/all: No such file or directory"),
        (["rump_tmpfs", "tmpfs", "/dev/null"], 1, "not a directory"),
        (["rump_ffs", "/nowhere.img", "/"], 1, "/nowhere.img: No such file or directory"),
        (["rump_ffs", "/nowhere.img:a", "/"], 1, "/nowhere.img: No such file or directory"),
        (["rump_ffs", __file__, "/"], 1, "no FFS superblock"),
        (["rump_ffs", "-o", "offset=1g", __file__, "/"], 1, "none at byte 1073741824"),
    ],
)
def test_what_is_wrong_is_said(words: list[str], status: int, text: str) -> None:
    done = command(*words)
    assert done.returncode == status
    assert text in done.stderr
    assert "Traceback" not in done.stderr


# --- options ----------------------------------------------------------------------------------------------


def test_what_mount_and_systemd_add_is_ignored() -> None:
    words = [
        *sorted(IGNORED),
        "x-systemd.automount",
        "x-gvfs-show",
        "comment=x",
        "user=me",
        "x-a=b",
        "max_read=4k",
    ]
    options = parse([",".join(words)])
    assert (options.rw, options.flags, options.host) == (None, 0, set())


def test_the_last_of_two_options_counts() -> None:
    assert parse(["ro,rw"]).rw is True
    assert parse(["rw", "ro"]).rw is False
    assert parse(["size=1k,size=2m"]).values == {"size": 2 << 20}


@pytest.mark.parametrize("name", [name for name, option in OPTIONS.items() if option.value is not None])
def test_an_option_with_a_value_needs_one(name: str) -> None:
    with pytest.raises(OptionError, match=f"{name}=VALUE"):
        parse([name])
    with pytest.raises(OptionError):
        parse([f"{name}="])


def test_a_device_number_that_another_mount_gets_meanwhile(mountpoint: Path) -> None:
    """The server of the former one, which still writes, is taken for nobody else's, and waited for."""
    with socket.socket(socket.AF_UNIX) as former:
        with mounted("rump_tmpfs", "tmpfs", mountpoint=mountpoint):
            mount = hostmounts.find(str(mountpoint))
            assert mount is not None
            former.bind(f"\0rumpfs-mount-{mount.device}-1")
            former.listen()
            number = hostmounts._serving(mount.device)
            assert number > 1
            hostmounts._check_elsewhere(mount, 1)
            with pytest.raises(hostmounts.HostMountError, match=f"it is still on {mountpoint} as process"):
                hostmounts._check_elsewhere(mount, number)
        former.setblocking(False)
        with pytest.raises(BlockingIOError):
            former.accept()  # who has unmounted has asked the right one
