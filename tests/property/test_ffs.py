"""A served FFS in step with a model of a file system: all formats, with and without a log, and little room.

What finds no space has no effect, and the model leaves it out. In between the file system is unmounted and
mounted again; at the end the trees are equal, and the image has nothing to repair.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis.stateful import initialize, multiple, rule, run_state_machine_as_test

from rumpfs.abi.fcntl import F_CLOSEM, O_CREAT, O_RDWR
from rumpfs.abi.mount import MNT_ASYNC, MNT_LOG
from rumpfs.client import Client
from tests.fs.ffs.checker import complaints
from tests.fs.ffs.fscking import fsck
from tests.fs.ffs.powercut import put
from tests.images_util import makefs
from tests.property.machine import InStep, outcome, paths
from tests.property.model import Model
from tests.property.subjects import Remote
from tests.serving import serving

pytestmark = pytest.mark.root

EXAMPLES = 12
#: bytes that are left on the file system
ROOM = 60_000
#: operations of which the first argument is an open file
ON_FILES = ("close", "fstat", "read", "pread", "write", "pwrite", "lseek", "ftruncate")

Fresh = Callable[[], Remote]


class Volume:
    """An FFS of a server, mounted on /t.

    Args:
        client: of the server.
        image: what is mounted.
        flags: MNT_ flags of the mount.
    """

    def __init__(self, client: Client, image: Path, flags: int) -> None:
        self.client = client
        self.image = image
        self.flags = flags
        self.mount()
        free = client.statvfs("/t")
        with client.open("/t/ballast", "x") as file:
            left = free.f_bfree * free.f_frsize - ROOM
            while left > 0:
                left -= file.write(bytes(min(left, 1 << 20))) or 0
        self.unmount()
        self._empty = image.read_bytes()

    def mount(self) -> None:
        """Mount it."""
        self.client.mount("ffs", "/dk", "/t", self.flags)

    def unmount(self) -> None:
        """Close all files, and unmount it."""
        self.client.sys.fcntl(0, F_CLOSEM, 0)
        self.client.chdir("/")
        self.client.unmount("/t")

    def fresh(self) -> Remote:
        """Mount it with nothing but a file that takes the space; return an empty directory."""
        put(self.image, self._empty)
        self.mount()
        self.client.mkdir("/t/w", 0o755)
        return Remote(self.client, "/t/w")

    def check(self, scratch: Path) -> None:
        """Unmount it, and check the image with both checkers."""
        self.unmount()
        put(scratch, self.image.read_bytes())
        assert fsck(scratch).kinds == []
        assert complaints(scratch) == []


@pytest.fixture(
    params=[(1, "le", MNT_ASYNC), (1, "be", MNT_LOG), (2, "le", MNT_LOG), (2, "be", MNT_ASYNC)],
    ids=["v1le", "v1be-log", "v2le-log", "v2be"],
)
def volume(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Volume]:
    """A volume that is not mounted."""
    version, order, flags = request.param
    (tmp_path / "tree").mkdir()
    image = makefs(
        tmp_path / "tree", tmp_path / "image", version, order, 4096, 512, "-s", "3m", ",density=2048"
    )
    drive = f"key=/dk,hostpath={image},size=host"
    with serving(tmp_path, "-d", drive) as served, Client(served.url) as client:
        client.mkdir("/t")
        client.sys.umask(0)
        yield Volume(client, image, flags)


def test_in_step_with_the_model(volume: Volume, tmp_path: Path) -> None:
    refused: list[str] = []

    class Steps(InStep):
        def subjects(self) -> tuple[Any, Any]:
            return Model(), volume.fresh()

        def both(self, operation: str, *args: Any) -> bool:
            if operation in ON_FILES and args[0] not in self.one.files:
                return False  # it was closed by a remount
            other = outcome(self.other, operation, args)
            if other == ("error", "ENOSPC"):
                refused.append(operation)
                return False
            one = outcome(self.one, operation, args)
            assert one == other, f"{operation}{args}: {one} and {other}"
            return one[0] == "ok"

        @initialize(target=InStep.slots)
        def files(self) -> Any:
            for name in "abc":
                self.count += 1
                assert self.both("open", self.count, name, O_CREAT | O_RDWR, 0o644)
            return multiple(*range(1, self.count + 1))

        @rule(old=paths(), new=paths())
        def rename(self, old: str, new: str) -> None:
            self.both("rename", old, new)

        @rule()
        def remount(self) -> None:
            self.one.files.clear()
            volume.unmount()
            volume.mount()
            self.other = Remote(volume.client, "/t/w")

        def teardown(self) -> None:
            super().teardown()
            volume.check(tmp_path / "checked")

    examples = max(EXAMPLES, settings.default.max_examples // 20)
    run_state_machine_as_test(
        Steps, settings=settings(settings.default, max_examples=examples, stateful_step_count=50)
    )
    assert refused
