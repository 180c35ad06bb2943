"""Power cuts: whatever a cut leaves, fsck -p or the replay of the log brings the image to clean.

What was synced before is intact then, no file shows what another one had or has, and directories are sane.
A host that loses its power has kept the order of the writes only from barrier to barrier.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from rumpfs.abi.mount import MNT_LOG, MNT_SYNCHRONOUS
from tests.fs.ffs.checker import complaints
from tests.fs.ffs.powercut import Tape
from tests.images_util import makefs

#: version, byte order, bsize, fsize
FORMATS = [(1, "le", 4096, 512), (1, "be", 8192, 1024), (2, "le", 8192, 1024), (2, "be", 4096, 512)]

#: what a mount for writing is told, and how large the image is
MODES = {"plain": (0, "3m"), "log": (MNT_LOG, "6m"), "sync": (MNT_SYNCHRONOUS, "3m")}


@pytest.fixture(params=FORMATS, ids=lambda form: "-".join(map(str, form)))
def form(request: pytest.FixtureRequest) -> tuple[int, str, int, int]:
    """A format of images."""
    form: tuple[int, str, int, int] = request.param
    return form


def _tape(tmp_path: Path, form: tuple[int, str, int, int], mode: str, seed: int, operations: int) -> Tape:
    flags, size = MODES[mode]
    (tmp_path / "tree").mkdir(exist_ok=True)
    image = makefs(tmp_path / "tree", tmp_path / "image", *form, "-s", size, ",density=4096")
    tape = Tape(image, seed, operations, flags, moves=True)
    assert complaints(image) == []
    return tape


def _cut(tape: Tape, order: str, sample: int, image: Path) -> None:
    for cut in getattr(tape, order)(random.Random(sample), sample):
        assert tape.complaints(cut, image) == [], f"after {cut.written} writes: lost {cut.lost or 'nothing'}"


@pytest.mark.parametrize("mode", ["plain", "log"])
def test_a_cut_is_repaired(form: tuple[int, str, int, int], mode: str, tmp_path: Path) -> None:
    tape = _tape(tmp_path, form, mode, 10, 200)
    assert len(tape.device.writes) > 300
    for order in ("prefixes", "reorderings"):
        _cut(tape, order, 25, tmp_path / "cut")


def test_a_cut_while_the_log_is_replayed(form: tuple[int, str, int, int], tmp_path: Path) -> None:
    tape = _tape(tmp_path, form, "log", 11, 100)
    chance = random.Random(1)
    for cut in tape.reorderings(chance, 10):
        if cut.written > 20:  # the log has been made
            second = tape.interrupted(cut, chance, tmp_path / "replay")
            assert tape.complaints(second, tmp_path / "cut") == [], f"after {cut.written}: {second.lost}"


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
def test_thousands_of_cuts_are_repaired(form: tuple[int, str, int, int], mode: str, tmp_path: Path) -> None:
    for seed in range(5):
        tape = _tape(tmp_path, form, mode, seed, 300)
        for order in ("prefixes", "reorderings"):
            _cut(tape, order, 100, tmp_path / "cut")
