"""A mount of an FFS whose server is killed while files are written: what was fsynced is there afterwards."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from pathlib import Path

import pytest

from tests.fs.ffs.checker import complaints
from tests.fuse.mounts import BIN, TIMEOUT, clear, command, is_mounted

#: files that are synced before the kill
ENOUGH = 30


class Writer(threading.Thread):
    """Writes and syncs files until the mount is gone.

    Attributes:
        synced: how many files were.
        enough: set when that is enough.
    """

    def __init__(self, directory: Path) -> None:
        threading.Thread.__init__(self)
        self.synced = 0
        self.enough = threading.Event()
        self._directory = directory

    def run(self) -> None:
        try:
            while True:
                with (self._directory / f"f{self.synced}").open("xb") as file:
                    file.write(content(self.synced))
                    os.fsync(file.fileno())
                self.synced += 1
                if self.synced >= ENOUGH:
                    self.enough.set()
        except OSError:  # the server is gone
            self.enough.set()


def content(number: int) -> bytes:
    """Return what file `number` holds."""
    return b"%05d" % number * (1 + number * 7919 % 4000)


def _kill_a_mount(image: Path, options: str, mountpoint: Path) -> int:
    """Mount an image, kill what serves it while a thread writes; return the number of files synced."""
    process = subprocess.Popen([BIN / "rump_ffs", "-f", "-o", options, image, mountpoint])
    try:
        deadline = time.monotonic() + TIMEOUT
        while not is_mounted(mountpoint) and process.poll() is None and time.monotonic() < deadline:
            os.sched_yield()
        assert is_mounted(mountpoint)
        writer = Writer(mountpoint)
        writer.start()
        assert writer.enough.wait(TIMEOUT)
    finally:
        process.kill()
        process.wait()
    writer.join()
    return writer.synced


@pytest.mark.parametrize("options", ["rw", "rw,log"])
def test_what_was_synced_is_there_after_a_kill(tmp_path: Path, mountpoint: Path, options: str) -> None:
    image = tmp_path / "disk.img"
    assert command("rumpfs", "newfs", "-O", "2", "-s", "32m", str(image)).returncode == 0
    if os.geteuid():
        options += f",uid={os.geteuid()},gid={os.getegid()}"
    try:
        synced = _kill_a_mount(image, options, mountpoint)
        assert synced >= ENOUGH
        done = command("rump_ffs", "-o", options, str(image), str(mountpoint))
        assert done.returncode == 1
        assert "has lost its server" in done.stderr
        done = command("rumpfs", "fsck", "-p", str(image))
        assert done.returncode == 0, done.stdout + done.stderr
        done = command("rump_ffs", "--force", "-o", options, str(image), str(mountpoint))
        assert done.returncode == 0, done.stderr
        for number in range(synced):
            assert (mountpoint / f"f{number}").read_bytes() == content(number)
        assert command("rumpfs", "umount", str(mountpoint)).returncode == 0
    finally:
        clear(mountpoint)
    assert complaints(image) == []
