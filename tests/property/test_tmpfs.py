"""A served tmpfs in step with a model of a file system, and with the tmpfs of this machine.

As root: permissions are no part of it.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis.stateful import rule, run_state_machine_as_test

from rumpfs.abi.fcntl import F_CLOSEM
from rumpfs.abi.mount import MNT_FORCE
from rumpfs.client import Client
from tests.property.machine import InStep, Outcome, paths
from tests.property.model import Model
from tests.property.subjects import Host, Remote, empty
from tests.serving import Served, serving

pytestmark = pytest.mark.root

RUNS = settings(
    settings.default, max_examples=max(100, settings.default.max_examples), stateful_step_count=60
)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("property")) as server:
        yield server


@pytest.fixture
def remote(served: Served) -> Iterator[Callable[[], Remote]]:
    """A function that returns a Remote on an empty directory of a tmpfs."""
    with Client(served.url) as root, Client(served.url) as client:
        root.mkdir("/t")
        root.mount("tmpfs", None, "/t", options={"mode": 0o755})
        client.sys.umask(0)
        numbers = count()

        def fresh() -> Remote:
            client.sys.fcntl(0, F_CLOSEM, 0)
            base = f"/t/{next(numbers)}"
            client.mkdir(base, 0o755)
            return Remote(client, base)

        yield fresh
        root.unmount("/t", MNT_FORCE)
        root.rmdir("/t")


def test_in_step_with_the_model(remote: Callable[[], Remote]) -> None:
    class Machine(InStep):
        def subjects(self) -> tuple[Any, Any]:
            return Model(), remote()

        @rule(old=paths(), new=paths())
        def rename(self, old: str, new: str) -> None:
            self.both("rename", old, new)

    run_state_machine_as_test(Machine, settings=RUNS)


#: errors of looking a path up
LOOKUP = ("ENOENT", "ENOTDIR", "ENAMETOOLONG", "ELOOP")
#: operation, outcome on Linux, outcome on NetBSD: where both kernels are right by their own manual
LINUX_DIFFERS = {
    ("unlink", "EISDIR", "EPERM"),
    ("unlink", "EISDIR", "EINVAL"),  # "." as the last component
    ("open", "ELOOP", "EFTYPE"),  # O_NOFOLLOW
    # NetBSD rejects a source of that kind before it looks the target up, Linux after.
    *(("posix_rename", linux, "EINVAL") for linux in LOOKUP),
    # Linux looks at "." and ".." as the last component before it looks anything up.
    *(("posix_rename", "EBUSY", netbsd) for netbsd in ("EINVAL", "EISDIR", *LOOKUP)),
    # Linux looks both directories up before the names in them.
    *(("posix_rename", linux, netbsd) for linux in LOOKUP for netbsd in LOOKUP),
}


@pytest.fixture
def on_tmpfs() -> Iterator[Path]:
    """A directory on a tmpfs of this machine."""
    with open("/proc/self/mounts") as mounts:
        if not any(line.split()[1:3] == ["/dev/shm", "tmpfs"] for line in mounts):
            pytest.skip("no tmpfs is mounted on /dev/shm")
    with tempfile.TemporaryDirectory(dir="/dev/shm", ignore_cleanup_errors=True) as name:
        mask = os.umask(0)
        yield Path(name)
        os.umask(mask)
        empty(name)


def test_in_step_with_the_tmpfs_of_this_machine(remote: Callable[[], Remote], on_tmpfs: Path) -> None:
    class Machine(InStep):
        def subjects(self) -> tuple[Any, Any]:
            empty(str(on_tmpfs))
            on_tmpfs.chmod(0o755)
            return Host(str(on_tmpfs)), remote()

        def agree(self, operation: str, one: Outcome, other: Outcome) -> bool:
            return one == other or (operation, one[1], other[1]) in LINUX_DIFFERS

    run_state_machine_as_test(Machine, settings=RUNS)
