"""The checker on images of real kernels: it says what fsck_ffs(8) said, and repairs as it did."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rumpfs.fs.ffs.fsck.finding import no, preen, yes
from rumpfs.ondisk.ufs.fs import FS_DOWAPBL, FS_ISCLEAN
from tests.fs.ffs.checker import Checker
from tests.fs.ffs.editor import Editor
from tests.fs.ffs.fscking import Checked, fsck, fsck_ffs_said, without_times
from tests.fs.ffs.harness import mounted
from tests.fs.ffs.manifests import tree
from tests.images_util import (
    freebsd_image,
    freebsd_images,
    makefs,
    manifest,
    netbsd_image,
    netbsd_images,
    scratch_copy,
    standard_tree,
)

IMAGES = [name for name in netbsd_images() if not name.startswith(("disklabel", "mbr"))]
DIRTY = [name for name in IMAGES if name.startswith("dirty")]
LOGGED = [name for name in IMAGES if name.startswith("wapbl") and "dirty" in name]
CLEAN = [name for name in IMAGES if name not in DIRTY and name not in LOGGED]
PARTITIONED = [name for name in netbsd_images() if name.startswith(("disklabel", "mbr"))]


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Times as the machine showed them that made the images."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def _used(lines: list[str]) -> list[str]:
    """Return the files and frags in use from the last line of a check."""
    return [line.split(" used")[0] for line in lines if " used, " in line]


# --- what is clean


@pytest.mark.parametrize("name", CLEAN)
def test_a_clean_file_system_has_nothing_to_repair(name: str) -> None:
    found = fsck(netbsd_image(name), yes)
    assert found.kinds == []
    assert not found.result.unresolved
    assert found.result.clean
    assert not found.result.modified
    assert found.lines[-1] == fsck_ffs_said(name)[-1]


@pytest.mark.parametrize("name", PARTITIONED)
def test_partitions_have_nothing_to_repair(name: str) -> None:
    used = []
    for part in manifest(name)["partitions"]:
        offset, size = part["offset_sectors"] * 512, part["size_sectors"] * 512
        found = fsck(netbsd_image(name), yes, offset=offset, size=size)
        assert found.kinds == []
        assert not found.result.modified
        used += _used(found.lines)
    assert used == _used(fsck_ffs_said(name))


@pytest.mark.parametrize("name", freebsd_images())
def test_freebsds_file_systems_have_nothing_to_repair(name: str) -> None:
    found = fsck(freebsd_image(name), yes)
    assert found.kinds == []
    assert not found.result.modified


@pytest.mark.oracle("makefs")
@pytest.mark.parametrize("order", ["le", "be"])
@pytest.mark.parametrize("version", [1, 2])
def test_what_makefs_made_has_nothing_to_repair(tmp_path: Path, version: int, order: str) -> None:
    image = makefs(standard_tree(tmp_path / "tree"), tmp_path / "img", version, order, 8192, 1024)
    found = fsck(image, yes)
    assert found.kinds == []
    assert found.result.clean


def test_what_says_that_it_is_clean_is_not_looked_at() -> None:
    image = netbsd_image("clean-v1le-16k-2k")
    found = fsck(image, yes, force=False)
    assert found.result.check is None
    assert found.result.skipped == "file system is clean; not checking"
    assert found.result.clean


# --- what a crash left


@pytest.mark.parametrize("name", DIRTY)
def test_what_is_said_of_a_crash_is_what_fsck_ffs_said(name: str) -> None:
    image = netbsd_image(name)
    before = hashlib.sha256(image.read_bytes()).digest()
    found = fsck(image)
    assert without_times(name, found.lines) == fsck_ffs_said(name)
    assert found.result.unresolved
    assert not found.result.modified
    assert hashlib.sha256(image.read_bytes()).digest() == before


@pytest.mark.parametrize("name", LOGGED)
def test_what_is_said_after_a_log_is_replayed(name: str) -> None:
    """fsck_ffs compares the free counters of the superblock from before the replay: those may differ."""
    found = fsck(netbsd_image(name))
    said = fsck_ffs_said(name)
    counters = "FREE BLK COUNT(S) WRONG IN SUPERBLK"
    assert without_times(name, found.lines[:-1]) == [line for line in said[:-1] if line != counters]
    assert _used(found.lines) == _used(said)
    assert found.result.unresolved == (len(found.kinds) > 0)


def _entries(entries: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return entries by path, without the times of what a repair writes to."""
    changed = {"/": ("mtime", "mtime_nsec"), "/lost+found": ("mtime", "mtime_nsec", "birthtime")}
    return {
        entry["path"]: {
            key: value for key, value in entry.items() if key not in changed.get(entry["path"], ())
        }
        for entry in entries
    }


def _is_sound(image: Path) -> None:
    """Nothing is left to be found, by the checker or by the independent one of the tests."""
    again = fsck(image, yes)
    assert (again.kinds, again.result.modified, again.result.clean) == ([], False, True)
    assert Checker(image).complaints == []


@pytest.mark.parametrize("name", DIRTY + LOGGED)
def test_a_repair_makes_the_tree_that_the_kernel_and_fsck_ffs_made(name: str, tmp_path: Path) -> None:
    image = scratch_copy(netbsd_image(name), tmp_path)
    found = fsck(image, yes, write=True)
    assert (found.result.clean, found.result.unresolved, found.result.modified) == (True, False, True)
    _is_sound(image)
    with mounted(image) as mp:
        assert _entries(tree(mp)) == _entries(manifest(name)["entries"])
    with Editor(image) as editor:
        assert editor.fs.fs_clean == FS_ISCLEAN
        assert not editor.fs.fs_flags & FS_DOWAPBL


@pytest.mark.parametrize("name", DIRTY)
def test_preening_repairs_what_a_crash_left(name: str, tmp_path: Path) -> None:
    image = scratch_copy(netbsd_image(name), tmp_path)
    assert fsck(image, preen, write=True, force=False).result.clean
    _is_sound(image)


def test_preening_leaves_a_log_to_the_mount() -> None:
    found: Checked = fsck(netbsd_image("wapbl-dirty-mid-v1be"), preen, force=False)
    assert found.result.skipped == "file system is journaled; not checking"
    assert not found.result.modified


def test_answering_no_changes_nothing() -> None:
    found = fsck(netbsd_image("dirty-v2le"), no)
    assert not found.result.modified
    assert not found.result.clean
