"""kill -9 of a server in the middle of what 16 clients do: afterwards everything acknowledged is there.

Each client keeps a ledger of what it was told; before it changes something it notes what may be so now. The
image is repaired by fsck -p, or by the replay of its log, and goes through several rounds.
"""

from __future__ import annotations

import os
import random
import signal
import threading
from dataclasses import dataclass
from pathlib import Path

import pytest

from rumpfs.abi.mount import MNT_LOG
from rumpfs.client import Client, ConnectionLost, RumpError
from rumpfs.vfs.vnode import VREG
from tests.fs.ffs.checker import complaints
from tests.fs.ffs.harness import content, mounted, walk
from tests.fs.ffs.powercut import marks, recover
from tests.images_util import makefs
from tests.serving import Served, serving

CLIENTS = 16


@dataclass
class Promise:
    """A file that an fsync was answered for.

    Attributes:
        paths: what it may be called.
        size: the length that was acknowledged; it may have become longer.
        gone: it may have been removed.
    """

    paths: set[str]
    size: int
    gone: bool = False


class Ledger:
    """What the clients were told, and when there is enough of it."""

    def __init__(self, wanted: int) -> None:
        self._more = threading.Condition()
        self._wanted = wanted

    def acknowledged(self) -> None:
        with self._more:
            self._wanted -= 1
            self._more.notify()

    def wait(self) -> None:
        """Wait until so many operations as are wanted were acknowledged."""
        with self._more:
            assert self._more.wait_for(lambda: self._wanted <= 0, timeout=20)


class Worker(threading.Thread):
    """A client that works in a directory of its own until the server is gone.

    Attributes:
        promises: the ledger.
        home: its directory.
        mark: what all its files consist of.
        error: why it ended, if it was not because the server is gone.
    """

    def __init__(self, url: str, number: int, home: str, ledger: Ledger) -> None:
        threading.Thread.__init__(self)
        self.mark = b"client %02d " % number
        self.promises: list[Promise] = []
        self.error: RumpError | None = None
        self._url = url
        self.home = home
        self._ledger = ledger
        self._random = random.Random(number)
        self._count = 0

    def run(self) -> None:
        operations = (self._create, self._create, self._append, self._rename, self._remove)
        try:
            with Client(self._url) as client:
                client.mkdir(self.home, 0o755)
                while True:
                    self._random.choice(operations)(client)
        except (ConnectionLost, ConnectionError):
            pass
        except RumpError as error:
            self.error = error

    def _fresh(self) -> str:
        self._count += 1
        return f"{self.home}/f{self._count:05}"

    def _write(self, client: Client, promise: Promise, path: str, mode: str) -> None:
        with client.open(path, mode) as file:
            more = marks(self.mark, promise.size + self._random.choice((1, 700, 9000, 40000)))
            file.write(more[promise.size :])
            client.sys.fsync(file.fd)
            promise.size = len(more)
            if promise not in self.promises:
                self.promises.append(promise)
            self._ledger.acknowledged()

    def _create(self, client: Client) -> None:
        path = self._fresh()
        self._write(client, Promise({path}, 0), path, "x")

    def _pick(self) -> Promise | None:
        known = [promise for promise in self.promises if len(promise.paths) == 1 and not promise.gone]
        return self._random.choice(known) if known else None

    def _append(self, client: Client) -> None:
        promise = self._pick()
        if promise is not None:
            (path,) = promise.paths
            self._write(client, promise, path, "a")

    def _rename(self, client: Client) -> None:
        promise = self._pick()
        if promise is not None:
            (old,) = promise.paths
            new = self._fresh()
            promise.paths.add(new)
            client.rename(old, new)
            promise.paths.remove(old)

    def _remove(self, client: Client) -> None:
        promise = self._pick()
        if promise is not None and len(self.promises) > 5:
            promise.gone = True
            client.unlink(*promise.paths)
            self.promises.remove(promise)


def _work(served: Served, number: int, wanted: int) -> list[Worker]:
    """Let clients work, and kill the server in the middle of it."""
    ledger = Ledger(wanted)
    workers = [Worker(served.url, each, f"/mnt/{number}-{each}", ledger) for each in range(CLIENTS)]
    for worker in workers:
        worker.start()
    ledger.wait()
    served.process.kill()
    for worker in workers:
        worker.join()
        assert worker.error is None, worker.error
    served.process.wait()
    return workers


def _check(image: Path, workers: list[Worker]) -> int:
    """Compare an image with the ledgers; return how many files were promised."""
    with mounted(image) as mp:
        held = {
            os.fsdecode(b"/mnt" + path): b"".join(content(vp))
            for path, vp in walk(mp.mnt_root)
            if vp.v_type == VREG and not path.startswith(b"/lost+found")
        }
    for worker in workers:
        for path in [path for path in held if path.startswith(worker.home + "/")]:
            assert held[path] == marks(worker.mark, len(held[path])), path
        for promise in worker.promises:
            found = [held[path] for path in promise.paths if path in held]
            assert found or promise.gone, promise
            assert all(len(data) >= promise.size for data in found), promise
    return sum(len(worker.promises) for worker in workers)


def _rounds(tmp_path: Path, version: int, flags: int, rounds: int, wanted: int) -> None:
    (tmp_path / "tree").mkdir()
    image = makefs(
        tmp_path / "tree", tmp_path / "image", version, "le", 8192, 1024, "-s", "96m", ",density=4096"
    )
    workers: list[Worker] = []
    for number in range(rounds):
        directory = tmp_path / f"round{number}"
        directory.mkdir()
        drive = f"key=/dk,hostpath={image},size=host"
        with serving(directory, "-d", drive, status=-signal.SIGKILL) as served:
            with Client(served.url) as root:
                root.mkdir("/mnt")
                root.mount("ffs", "/dk", "/mnt", flags)
            workers += _work(served, number, wanted)
        assert recover(image, flags) == ""
        assert complaints(image) == []
        assert _check(image, workers) > 0


@pytest.mark.parametrize(("version", "flags"), [(1, 0), (2, MNT_LOG)], ids=["plain", "log"])
def test_a_killed_server_keeps_what_it_acknowledged(tmp_path: Path, version: int, flags: int) -> None:
    _rounds(tmp_path, version, flags, 2, 100)


@pytest.mark.slow
@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("flags", [0, MNT_LOG], ids=["plain", "log"])
def test_many_kills(tmp_path: Path, version: int, flags: int) -> None:
    _rounds(tmp_path, version, flags, 12, 150)
