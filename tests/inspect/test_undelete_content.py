"""The content of deleted files: by manifests of NetBSD, by sleuthkit and dissect, and by what was written.

Sleuthkit and dissect read a deleted file by its inode, which the kernel clears: so they are asked about the
image as it was before.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from rumpfs.abi.mount import MNT_LOG
from rumpfs.inspect.log import Log
from rumpfs.inspect.names import Names
from rumpfs.inspect.raw import Raw
from rumpfs.inspect.undelete import Confidence, Deleted, Search, can_restore, content
from rumpfs.inspect.versions import REMAINS
from rumpfs.ondisk.layout import BIG, LITTLE
from rumpfs.ondisk.ufs.dinode import IFMT, IFREG
from rumpfs.vfs.cred import ROOT
from tests.fs.ffs.harness import resolve
from tests.fs.ffs.test_newfs import make
from tests.fs.ffs.workload import writable
from tests.images_util import manifest, netbsd_image, netbsd_images, pattern
from tests.inspect.studies import studied

#: images that a kernel unmounted, with a log and a list of what was deleted
LOGGED = [name for name in netbsd_images() if name.startswith(("wapbl-clean", "wapbl-end-clean"))]
#: images that no kernel unmounted, and that have no log
DIRTY = [name for name in netbsd_images() if re.fullmatch(r"dirty-(async-)?v[012](le|be)", name)]
FORMATS = {"v1le": (1, LITTLE), "v1be": (1, BIG), "v2le": (2, LITTLE), "v2be": (2, BIG)}
#: what sessions make and delete: the first block, its edge, a tail, an indirect block
SIZES = {b"one": 1, b"block": 8192, b"tail": 12_345, b"indirect": 300_000}


def _whole(raw: Raw, each: Deleted) -> bytes:
    """Return the content of a deleted file, of which nothing is lost."""
    data = bytearray(each.size)
    for part in content(raw, each):
        assert part.data is not None
        data[part.offset : part.offset + part.length] = part.data
    return bytes(data)


def _restorable(raw: Raw) -> dict[tuple[bytes, int], Deleted]:
    """Return the regular files that can be restored, by path and inode."""
    found = (each for each in Search(raw).deleted() if can_restore(each) and each.mode & IFMT == IFREG)
    return {(each.path, each.ino): each for each in found}


@pytest.mark.parametrize("name", LOGGED)
def test_what_netbsd_deleted_before_it_unmounted_comes_back(name: str) -> None:
    """Every file that was deleted with its last name: the manifest has the hash of its content."""
    with studied(netbsd_image(name)) as raw:
        found = _restorable(raw)
        wanted = [entry for entry in manifest(name)["deleted"] if entry["nlink_before"] == 1]
        assert wanted
        for entry in wanted:
            each = found[os.fsencode(entry["path"]), entry["ino"]]
            assert hashlib.sha256(_whole(raw, each)).hexdigest() == entry["sha256"], entry["path"]
            assert each.size == entry["size"]
            assert each.confidence == (Confidence.MEDIUM if each.source == REMAINS else Confidence.HIGH)


@pytest.mark.oracle("icat")
@pytest.mark.parametrize("name", DIRTY)
def test_inodes_that_no_name_leads_to_are_what_icat_reads(name: str) -> None:
    path = netbsd_image(name)
    with studied(path) as raw:
        mine = [each for each in _restorable(raw).values() if each.source == "the disk"]
        for each in mine:
            theirs = subprocess.run(["icat", str(path), str(each.ino)], capture_output=True, check=True)
            assert theirs.stdout == _whole(raw, each), each.ino
    assert mine


@contextmanager
def _session(image: Path, flags: int) -> Iterator[Any]:
    """Mount an image, and unmount it."""
    with writable(image, flags) as mp:
        yield mp
        mp.sync()


@pytest.fixture(params=FORMATS)
def image(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A new file system, with room for a log."""
    version, order = FORMATS[request.param]
    path = tmp_path / "image"
    make(path, 24 << 20, version=version, order=order, bsize=8192, fsize=1024)
    return path


def _make_and_delete(image: Path, flags: int, apart: bool) -> Path:
    """Make files and delete them, in one mount or in two; return a copy from between.

    Before the files that are deleted there are others, which take the place in the log that is lost first.
    """
    before = image.with_name("before")
    with _session(image, flags) as mp:
        for number in range(60):
            mp.mnt_root.create(b"first%d" % number, 0o100644, ROOT).write(0, bytes(100), 0, ROOT)
        mp.sync()
        directory = mp.mnt_root.mkdir(b"d", 0o755, ROOT)
        for name, size in SIZES.items():
            directory.create(name, 0o100640, ROOT).write(0, pattern(name.decode(), size), 0, ROOT)
        mp.sync()
        shutil.copy(image, before)
        if not apart:
            _delete(mp)
    if apart:
        with _session(image, flags) as mp:
            _delete(mp)
    return before


def _delete(mp: Any) -> None:
    directory = resolve(mp, b"/d")
    for name in SIZES:
        directory.remove(name, resolve(mp, b"/d/" + name), ROOT)


@pytest.mark.parametrize("apart", [False, True], ids=["one mount", "two mounts"])
def test_a_log_gives_back_what_a_clean_unmount_has_left(image: Path, apart: bool) -> None:
    _make_and_delete(image, MNT_LOG, apart)
    with studied(image) as raw:
        log = Log(raw)
        assert (log.in_use, log.live) == (False, 0)
        found = _restorable(raw)
        for name, size in SIZES.items():
            (each,) = (each for (path, _), each in found.items() if path == b"/d/" + name)
            assert _whole(raw, each) == pattern(name.decode(), size)
            assert each.confidence == (Confidence.MEDIUM if each.source == REMAINS else Confidence.HIGH)


def test_without_a_log_names_and_times_are_left(image: Path) -> None:
    before = _make_and_delete(image, 0, apart=True)
    with studied(before) as raw:
        inodes = {name: each for each, name in Names(raw).items()}
    with studied(image) as raw:
        found = {each.path: each for each in Search(raw).deleted()}
        for name in SIZES:
            each = found[b"/d/" + name]
            assert (each.ino, each.confidence, each.size) == (inodes[name], Confidence.NAME, -1)
            assert each.deleted_ns is not None
            assert "no older copy of it is left" in each.reasons[-1]
            assert not can_restore(each)


@pytest.mark.oracle("icat")
def test_icat_read_the_same_before(image: Path) -> None:
    before = _make_and_delete(image, MNT_LOG, apart=False)
    with studied(image) as raw:
        found = _restorable(raw)
        assert {path for path, _ in found} >= {b"/d/" + name for name in SIZES}
        for (path, ino), each in found.items():
            theirs = subprocess.run(["icat", str(before), str(ino)], capture_output=True, check=True).stdout
            assert _whole(raw, each) == theirs, path
            now = subprocess.run(["icat", str(image), str(ino)], capture_output=True, check=True).stdout
            assert now == b"", "the kernel has cleared the inode"


@pytest.mark.oracle("tsk_recover")
def test_all_that_tsk_recover_finds_is_found(image: Path, tmp_path: Path) -> None:
    """It finds names and empty files, because it does not know the log."""
    _make_and_delete(image, MNT_LOG, apart=False)
    subprocess.run(["tsk_recover", str(image), str(tmp_path / "theirs")], check=True, capture_output=True)
    theirs = [path for path in (tmp_path / "theirs").rglob("*") if path.is_file()]
    with studied(image) as raw:
        names = {each.name: each for each in Search(raw).deleted()}
        for path in theirs:
            each = names[os.fsencode(path.name)]
            assert path.read_bytes() in (b"", _whole(raw, each))


@pytest.mark.oracle("dissect.ffs")
@pytest.mark.parametrize("image", ["v1le", "v2le"], indirect=True)
def test_dissect_read_the_same_before(image: Path) -> None:
    """It reads little-endian file systems only."""
    from dissect.ffs import ffs

    before = _make_and_delete(image, MNT_LOG, apart=False)
    with studied(image) as raw:
        found = _restorable(raw)
        with before.open("rb") as stream:
            theirs = ffs.FFS(stream)
            for (path, ino), each in found.items():
                assert theirs.inode(ino).open().read() == _whole(raw, each), path
    assert found
