"""What goes wrong stays with the request that it goes wrong in."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import threading
from pathlib import Path

import pytest

from tests.fuse.mounts import TIMEOUT, clear, served

BROKEN = """
class tree(KernelTree):
    def readlink(self, file):
        return {}["nothing"]

    def readdir(self, directory, cookie):
        if directory.f_vnode is not self.root:
            raise MemoryError
        return super().readdir(directory, cookie)
"""


def test_an_error_that_nobody_foresaw_is_one_request_s(mountpoint: Path) -> None:
    with served(BROKEN, mountpoint) as (mnt, process):
        os.symlink("text", mnt / "link")
        (mnt / "d").mkdir()
        for operation in (lambda: os.readlink(mnt / "link"), lambda: os.listdir(mnt / "d")):
            with pytest.raises(OSError) as caught:
                operation()
            assert caught.value.errno == errno.EIO
        (mnt / "f").write_text("it goes on")
        assert (mnt / "f").read_text() == "it goes on"
        clear(mnt)
        _, log = process.communicate(timeout=TIMEOUT)
        assert process.returncode == 0
        assert log.count("Traceback") == 2
        assert "readlink failed unexpectedly" in log
        assert "KeyError: 'nothing'" in log


WAITING = """
class tree(KernelTree):
    waits = True
"""
STOCK = """
from rumpfs.fuse import loop
loop.KNOWN = ()
"""


@pytest.mark.parametrize(
    "code", [WAITING, WAITING + STOCK, STOCK, ""], ids=["crew", "threads", "stock", "fast"]
)
def test_every_way_of_serving_serves(mountpoint: Path, code: str) -> None:
    with served(code, mountpoint) as (mnt, _):
        failed: list[object] = []

        def work(number: int) -> None:
            for turn in range(30):
                path = mnt / f"{number}-{turn}"
                path.write_bytes(b"%d" % turn * 3000)
                if path.read_bytes() != b"%d" % turn * 3000:
                    failed.append(path)
                path.unlink()

        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(TIMEOUT)
        assert failed == []
        assert os.listdir(mnt) == []


def test_a_caller_that_is_killed_takes_nothing_along(mountpoint: Path) -> None:
    """Requests of processes that die are withdrawn, some of them between the poll and the read."""
    with served("", mountpoint) as (mnt, process):
        for _ in range(20):
            busy = subprocess.Popen(
                ["sh", "-c", f"while :; do : > {mnt}/f; cat {mnt}/f; rm {mnt}/f; done"],
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip
            while not (mnt / "f").exists():
                os.sched_yield()
            os.killpg(busy.pid, signal.SIGKILL)
            busy.wait(TIMEOUT)
        assert process.poll() is None
        (mnt / "g").write_text("alive")
        assert (mnt / "g").read_text() == "alive"


def test_what_the_host_forgets_is_forgotten(mountpoint: Path) -> None:
    code = """
class tree(KernelTree):
    def __init__(self, kernel):
        super().__init__(kernel)
        self.held = 0

    def hold(self, file):
        self.held += 1
        super().hold(file)

    def drop(self, file):
        self.held -= 1
        super().drop(file)

    def statvfs(self):
        return super().statvfs()._replace(files=self.held)
"""
    with served(code, mountpoint) as (mnt, _):
        for turn in range(4):
            for number in range(200):
                (mnt / f"{turn}-{number}").touch()
            assert os.statvfs(mnt).f_files >= 201
            for number in range(200):
                (mnt / f"{turn}-{number}").unlink()
        # The host tells of the last ones in its own time.
        assert os.statvfs(mnt).f_files < 250
