"""What goes wrong stays with the request that it goes wrong in."""

from __future__ import annotations

import errno
import os
import re
import signal
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fs.ffs.checker import complaints
from tests.fuse.mounts import BIN, TIMEOUT, clear, command, is_mounted, mounted, served

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


BREAKABLE = """
from rumpfs.fuse import handlers
from rumpfs.fuse.operations import Operations

armed = set()

def breakable(name):
    body = getattr(Operations, name)
    def method(self, *args):
        if name in armed:
            armed.remove(name)
            raise RuntimeError(name)
        if name == "symlink" and args[1] == b"break":
            armed.add(args[2].decode())
            raise handlers.VfsError(2)
        return body(self, *args)
    setattr(Operations, name, method)

for name in (*handlers.REQUESTS, "forget"):
    breakable(name)

def tree(kernel):
    made = KernelTree(kernel)
    made.has_xattrs = True
    return made
"""


def use(path: Path, flags: int, *operations: Callable[[int], object]) -> None:
    """Open a file, do something with it, and close it."""
    fd = os.open(path, flags)
    try:
        for operation in operations:
            operation(fd)
    finally:
        os.close(fd)


#: request -> what makes the host send it
REQUESTED: dict[str, Callable[[Path], object]] = {
    "lookup": lambda mnt: (mnt / "unknown").stat(),
    "mknod": lambda mnt: os.mkfifo(mnt / "fifo"),
    "mkdir": lambda mnt: (mnt / "new").mkdir(),
    "symlink": lambda mnt: os.symlink("text", mnt / "new"),
    "link": lambda mnt: os.link(mnt / "f", mnt / "new"),
    "unlink": lambda mnt: (mnt / "f").unlink(),
    "rmdir": lambda mnt: (mnt / "d").rmdir(),
    "rename": lambda mnt: os.rename(mnt / "f", mnt / "new"),
    "getattr": lambda mnt: use(mnt / "f", os.O_RDWR, lambda fd: os.write(fd, b"x"), os.fstat),
    "setattr": lambda mnt: (mnt / "f").chmod(0o600),
    "readlink": lambda mnt: os.readlink(mnt / "link"),
    "statfs": os.statvfs,
    "open": lambda mnt: use(mnt / "f", os.O_RDONLY),
    "create": lambda mnt: use(mnt / "new", os.O_CREAT | os.O_WRONLY),
    "read": lambda mnt: use(mnt / "f", os.O_RDONLY | os.O_DIRECT, lambda fd: os.read(fd, 10)),
    "write": lambda mnt: use(mnt / "f", os.O_WRONLY, lambda fd: os.write(fd, b"text")),
    "fsync": lambda mnt: use(mnt / "f", os.O_RDWR, os.fsync),
    "opendir": lambda mnt: os.listdir(mnt / "d"),
    "readdir": lambda mnt: os.listdir(mnt / "d"),
    "fsyncdir": lambda mnt: use(mnt / "d", os.O_RDONLY, os.fsync),
    "getxattr": lambda mnt: os.getxattr(mnt / "f", "user.x"),
    "listxattr": lambda mnt: os.listxattr(mnt / "f"),
    "setxattr": lambda mnt: os.setxattr(mnt / "f", "user.x", b""),
    "removexattr": lambda mnt: os.removexattr(mnt / "f", "user.x"),
}
#: and those whose failure nobody is told of
UNHEARD: dict[str, Callable[[Path], object]] = {
    "release": lambda mnt: (mnt / "f").read_bytes(),
    "releasedir": lambda mnt: os.listdir(mnt / "d"),
    "forget": lambda mnt: [action(mnt / "gone") for action in (Path.mkdir, Path.rmdir)],
}


def test_each_request_may_fail_without_any_other(mountpoint: Path) -> None:
    handlers = pytest.importorskip("rumpfs.fuse.handlers")
    requests = {*REQUESTED, *UNHEARD}
    with served(BREAKABLE, mountpoint) as (mnt, process):
        (mnt / "d").mkdir()
        (mnt / "f").write_bytes(b"content")
        os.symlink("text", mnt / "link")
        for name, operation in (REQUESTED | UNHEARD).items():
            with pytest.raises(FileNotFoundError):
                os.symlink(name, mnt / "break")
            if name in UNHEARD:
                operation(mnt)
            else:
                with pytest.raises(OSError, match="Input/output error"):
                    operation(mnt)
            assert (mnt / "link").is_symlink()
        assert sorted(os.listdir(mnt)) == ["d", "f", "link"]
        clear(mnt)
        _, log = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 0
    failures = re.findall(r"^(\w+) failed unexpectedly$", log, re.MULTILINE)
    assert sorted(failures) == sorted(requests)
    assert log.count("Traceback") == len(requests)
    assert requests == {*handlers.REQUESTS, "forget"}


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


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_busy_mount_and_nothing_is_lost(
    tmp_path: Path, mountpoint: Path, number: signal.Signals
) -> None:
    image = tmp_path / "disk.img"
    done = command("rumpfs", "newfs", "-s", "16m", str(image))
    assert done.returncode == 0, done.stderr
    owner = f",uid={os.geteuid()},gid={os.getegid()}"
    process = subprocess.Popen(
        [BIN / "rump_ffs", "-f", "-o", f"rw{owner}", image, mountpoint], stderr=subprocess.PIPE, text=True
    )
    busy: list[subprocess.Popen[bytes]] = []
    try:
        while not is_mounted(mountpoint) and process.poll() is None:
            os.sched_yield()
        (mountpoint / "kept").write_bytes(b"kept" * 10_000)
        busy.append(
            subprocess.Popen(
                ["sh", "-c", f"while : > {mountpoint}/new; do rm {mountpoint}/new || exit; done"],
                stderr=subprocess.DEVNULL,
            )
        )
        while not (mountpoint / "new").exists():
            os.sched_yield()
        process.send_signal(number)
        assert process.communicate(timeout=TIMEOUT) == (None, "")
        assert process.returncode == 0
        assert not is_mounted(mountpoint)
    finally:
        for each in busy:
            each.kill()
            each.wait()
        clear(mountpoint)
        process.kill()
        process.communicate()
    assert complaints(image) == []
    with mounted("rump_ffs", str(image), mountpoint=mountpoint) as mnt:
        assert (mnt / "kept").read_bytes() == b"kept" * 10_000
