"""Power cuts: whatever a cut leaves, fsck -p or the replay of the log brings the image to clean.

What was synced before is intact then, no file shows what another one had or has, and directories are sane.
Without a log, fsck -p is that of fsck_ffs(8); a host that loses its power has kept the order of the writes
only from barrier to barrier.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from rumpfs.abi.mount import MNT_SYNCHRONOUS
from tests.fs.ffs.checker import complaints
from tests.fs.ffs.powercut import Tape
from tests.images_util import makefs

#: version, byte order, bsize, fsize
FORMATS = [(1, "le", 4096, 512), (1, "be", 8192, 1024), (2, "le", 8192, 1024), (2, "be", 4096, 512)]

#: what a mount for writing is told
MODES = {"plain": 0, "sync": MNT_SYNCHRONOUS}


def _tape(tmp_path: Path, form: tuple[int, str, int, int], seed: int, operations: int, flags: int) -> Tape:
    (tmp_path / "tree").mkdir(exist_ok=True)
    image = makefs(tmp_path / "tree", tmp_path / "image", *form, "-s", "3m", ",density=4096")
    tape = Tape(image, seed, operations, flags, moves=True)
    assert complaints(image) == []
    return tape


def _cut(tape: Tape, order: str, sample: int, image: Path) -> None:
    cuts = 0
    for cut in getattr(tape, order)(random.Random(sample), sample):
        assert tape.complaints(cut, image) == [], f"after {cut.count} writes: lost {cut.lost or 'nothing'}"
        cuts += 1
    assert cuts == sample


@pytest.mark.parametrize("order", ["prefixes", "reorderings"])
@pytest.mark.parametrize("form", FORMATS, ids=lambda form: "-".join(map(str, form)))
def test_a_cut_is_repaired(form: tuple[int, str, int, int], order: str, tmp_path: Path) -> None:
    tape = _tape(tmp_path, form, form[2] + form[0], 200, 0)
    _cut(tape, order, 50, tmp_path / "cut")


@pytest.mark.slow
@pytest.mark.parametrize("order", ["prefixes", "reorderings"])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("form", FORMATS, ids=lambda form: "-".join(map(str, form)))
def test_thousands_of_cuts_are_repaired(
    form: tuple[int, str, int, int], mode: str, order: str, tmp_path: Path
) -> None:
    for seed in range(5):
        tape = _tape(tmp_path, form, seed, 300, MODES[mode])
        _cut(tape, order, 100, tmp_path / "cut")
