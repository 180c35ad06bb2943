"""A directory that was moving when the power went has two names; fsck -p leaves one, where ``..`` leads.

NetBSD's fsck_ffs -p only says so and goes on ("IGNORED", pass2.c), which leaves the second name.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from rumpfs.fs.ffs.fsck.finding import preen
from rumpfs.vfs.cred import ROOT
from tests.fs.ffs.checker import complaints
from tests.fs.ffs.fscking import fsck
from tests.fs.ffs.harness import mounted, readdir, resolve
from tests.fs.ffs.powercut import Recorder
from tests.fs.ffs.workload import writable
from tests.images_util import makefs


@pytest.fixture(params=[1, 2])
def image(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    for name in ("from/moving/below", "to/other", "to/empty"):
        (tmp_path / "tree" / name).mkdir(parents=True)
    (tmp_path / "tree/from/moving/below/file").write_bytes(b"content")
    words = ("-s", "3m", ",density=4096")
    return makefs(tmp_path / "tree", tmp_path / "image", request.param, "be", 8192, 1024, *words)


@pytest.mark.parametrize(
    ("target", "name"), [("/to", b"moved"), ("/to", b"empty"), ("/", b"moved"), ("/from", b"m")]
)
def test_a_directory_that_moves_has_one_name_after_every_cut(image: Path, target: str, name: bytes) -> None:
    base = image.read_bytes()
    recorders: list[Recorder] = []

    def record(*args: object) -> Recorder:
        recorders.append(Recorder(*args))  # type: ignore[arg-type]
        return recorders[0]

    with writable(image, window=record) as mp:
        source, dvp = resolve(mp, "/from"), resolve(mp, target)
        source.rename(b"moving", resolve(mp, "/from/moving"), dvp, name, dvp.lookup(name), ROOT)
    old, new = b"/from/moving", target.encode().rstrip(b"/") + b"/" + name
    data = bytearray(base)
    found = []
    for number, (offset, piece) in enumerate(recorders[0].writes, 1):
        data[offset : offset + len(piece)] = piece
        image.write_bytes(data)
        checked = fsck(image, preen, write=True, force=False)
        assert checked.result.clean, number
        assert complaints(image) == [], number
        with mounted(image) as mp:
            names = [
                path
                for path in (old, new)
                if path.rpartition(b"/")[2]
                in {entry.name for entry in readdir(resolve(mp, path.rpartition(b"/")[0]))}
                and resolve(mp, path).lookup(b"below") is not None
            ]
            assert len(names) == 1, number
            assert resolve(mp, names[0] + b"/below/file").read(0, 100) == b"content"
        found += names
    assert (found[0], found[-1]) == (old, new)
    assert found == sorted(found, key=[old, new].index)
