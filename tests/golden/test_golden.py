"""Images that our FFS wrote, compared with what a NetBSD kernel read from them (images/golden.py)."""

from __future__ import annotations

import json
import lzma
from pathlib import Path
from typing import Any

import pytest

from rumpfs.abi.mount import MNT_LOG
from tests.fs.ffs.checker import complaints
from tests.fs.ffs.fscking import fsck
from tests.fs.ffs.harness import mounted
from tests.fs.ffs.manifests import tree
from tests.fs.ffs.workload import Workload, writable
from tests.images_util import PROJECT

GOLDEN = PROJECT / "images" / "golden"
NAMES = sorted(path.name.removesuffix(".img.xz") for path in GOLDEN.glob("*.img.xz"))

#: what a stat of NetBSD has as 0 and a manifest of ours leaves out
_ZERO = ("birthtime", "flags")


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    """An image."""
    name: str = request.param
    return name


@pytest.fixture
def image(name: str, tmp_path: Path) -> Path:
    """The image, unpacked."""
    path = tmp_path / name
    path.write_bytes(lzma.decompress((GOLDEN / f"{name}.img.xz").read_bytes()))
    return path


def _read(name: str) -> list[dict[str, Any]]:
    """Return the entries that the NetBSD kernel saw."""
    facts = json.loads((GOLDEN / f"{name}.json").read_text())
    return [
        {key: value for key, value in entry.items() if value or key not in _ZERO}
        for entry in facts["entries"]
    ]


def test_there_is_one_of_each_format() -> None:
    assert set(NAMES) >= {"v1le", "v1be", "v2le", "v2be", "v2le-log"}


def test_we_read_what_the_netbsd_kernel_read(name: str, image: Path) -> None:
    with mounted(image) as mp:
        assert _comparable(tree(mp)) == _comparable(_read(name))


def _comparable(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(
        ({key: value for key, value in entry.items() if key not in ("major", "minor")} for entry in entries),
        key=lambda entry: str(entry["path"]),
    )


def test_there_is_nothing_to_repair(name: str, image: Path) -> None:
    found = fsck(image).kinds
    # A superblock in a log may be older than the groups, as in images that a NetBSD kernel left.
    assert set(found) <= ({"free-counts"} if name.endswith("-log") else set())


def test_they_are_written_on(name: str, image: Path) -> None:
    with writable(image, MNT_LOG if name.endswith("-log") else 0) as mp:
        work = Workload(mp, 1)
        work.run(100)
        work.check(mp)
    assert complaints(image) == []
    with mounted(image) as mp:
        after = {entry["path"]: entry for entry in tree(mp)}
    assert all(
        after[entry["path"]]["sha256"] == entry["sha256"] for entry in _read(name) if "sha256" in entry
    )
