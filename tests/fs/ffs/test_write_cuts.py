"""Power cuts without a log: after each prefix of the writes fsck -p makes the image whole.

What was synced before the cut is intact, and no file shows what another one had. Directories do not move
here: one that does has two names for a moment, and fsck -p lets that be (pass2.c).
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from rumpfs.base.memory import Memory
from rumpfs.dev.hostfile import HostFile
from rumpfs.dev.window import Window
from rumpfs.fs.ffs.fsck.disk import Disk
from rumpfs.fs.ffs.fsck.finding import preen
from rumpfs.fs.ffs.fsck.run import Options, check
from rumpfs.fs.ffs.vfsops import mount_window
from rumpfs.vfs.cred import ROOT
from rumpfs.vfs.mount import Vfs
from tests.fs.ffs.checker import complaints
from tests.fs.ffs.harness import RDEV, content, mounted, readdir, resolve
from tests.fs.ffs.workload import Workload
from tests.images_util import makefs

#: operations of a workload, and after how many a sync comes
OPERATIONS, EVERY = 200, 8

Write = tuple[int, bytes]


class Recorder(Window):
    """A device that takes down what is written to it."""

    __slots__ = ("writes",)

    def __init__(self, hostfile: HostFile, offset: int, size: int) -> None:
        Window.__init__(self, hostfile, offset, size)
        self.writes: list[Write] = []

    def pwrite(self, data: bytes | bytearray | memoryview, offset: int) -> int:
        self.writes.append((offset, bytes(data)))
        return Window.pwrite(self, data, offset)


class Ram:
    """A device in memory."""

    def __init__(self, data: bytearray) -> None:
        self.data = data
        self.size = len(data)

    def pread(self, nbytes: int, offset: int) -> bytes:
        return bytes(self.data[offset : offset + nbytes])

    def pwrite(self, data: bytes, offset: int) -> int:
        self.data[offset : offset + len(data)] = data
        return len(data)

    def fsync(self) -> None:
        pass


class Recording:
    """A workload and what it wrote.

    Attributes:
        base: the image before.
        writes: what was written, in order.
        synced: how many writes there were, and what the files held, at each sync.
    """

    def __init__(self, image: Path, seed: int) -> None:
        self.base = image.read_bytes()
        self.synced: list[tuple[int, dict[bytes, bytes]]] = [(0, {})]
        hostfile = HostFile.open(str(image))
        window = Recorder(hostfile, 0, hostfile.size)
        mp = mount_window(Vfs(Memory()), window, RDEV, 0)
        work = Workload(mp, seed, moves=False)
        for _ in range(OPERATIONS // EVERY):
            work.run(EVERY)
            mp.sync()
            held = {path: bytes(data) for path, data in work.files.items()}
            self.synced.append((len(window.writes), held))
        mp.unmount(0)
        self.writes = window.writes

    def cuts(self, step: int) -> Iterator[tuple[int, bytearray]]:
        """Yield how many writes there were, and the image then, for every `step`-th cut."""
        data = bytearray(self.base)
        for number, (offset, piece) in enumerate(self.writes, 1):
            data[offset : offset + len(piece)] = piece
            if number % step == 0:
                yield number, bytearray(data)


def _preen(data: bytearray) -> None:
    disk = Disk(Ram(data))
    result = check(disk, "image", Options(preen, False))
    disk.commit()
    assert not result.unresolved
    assert result.clean


@pytest.fixture(
    params=[(1, "le", 4096, 512), (2, "be", 8192, 1024)], ids=lambda form: "-".join(map(str, form))
)
def recording(request: pytest.FixtureRequest, tmp_path: Path) -> Recording:
    version, order, bsize, fsize = request.param
    (tmp_path / "tree").mkdir()
    image = makefs(
        tmp_path / "tree", tmp_path / "image", version, order, bsize, fsize, "-s", "3m", ",density=4096"
    )
    recorded = Recording(image, bsize)
    assert complaints(image) == []
    return recorded


def test_fsck_p_repairs_what_a_cut_leaves(recording: Recording, tmp_path: Path) -> None:
    image = tmp_path / "cut"
    for number, data in recording.cuts(11):
        _preen(data)
        image.write_bytes(data)
        assert complaints(image) == [], number


def test_what_was_synced_is_there_after_a_cut(recording: Recording, tmp_path: Path) -> None:
    """A file that did not change after the sync, under the name that it had then, has what it had then."""
    image = tmp_path / "cut"
    syncs = recording.synced
    checked = 0
    for number, data in recording.cuts(7):
        count, held = max((sync for sync in syncs if sync[0] <= number), key=lambda sync: sync[0])
        later = next((files for end, files in syncs if end > number), held)
        _preen(data)
        image.write_bytes(data)
        with mounted(image) as mp:
            for path in [path for path in held if later.get(path) == held[path]]:
                assert b"".join(content(resolve(mp, path))) == held[path], (count, number, path)
                checked += 1
    assert checked > 40


def test_no_cut_shows_what_another_file_had(tmp_path: Path) -> None:
    """A file's content is its own mark, or zeros where a length came before what it is the length of."""
    (tmp_path / "tree").mkdir()
    image = makefs(tmp_path / "tree", tmp_path / "image", 2, "le", 4096, 512, "-s", "1m", ",density=4096")
    base = image.read_bytes()
    hostfile = HostFile.open(str(image))
    window = Recorder(hostfile, 0, hostfile.size)
    mp = mount_window(Vfs(Memory()), window, RDEV, 0)
    chance = random.Random(1)
    for number in range(60):
        name = b"%c" % (65 + number % 26)
        vp = mp.mnt_root.lookup(name)
        if vp is not None:
            mp.mnt_root.remove(name, vp, ROOT)
        vp = mp.mnt_root.create(name, 0o100644, ROOT)
        for _ in range(3):
            vp.write(vp.size(), name * chance.choice((100, 700, 5000, 20000)), 0, ROOT)
        vp.close(0)
    mp.unmount(0)
    data = bytearray(base)
    for number, (offset, piece) in enumerate(window.writes):
        data[offset : offset + len(piece)] = piece
        if number % 9 == 0:
            cut = bytearray(data)
            _preen(cut)
            image.write_bytes(cut)
            with mounted(image) as again:
                for entry in readdir(again.mnt_root):
                    if len(entry.name) == 1 and entry.name != b".":
                        text = b"".join(content(resolve(again, entry.name)))
                        assert not text.strip(entry.name + b"\0"), (number, entry.name)
    os.unlink(image)
