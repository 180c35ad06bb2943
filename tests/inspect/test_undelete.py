"""Deleted files, compared with what manifests say was deleted, with sleuthkit, and with what was written."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from rumpfs.abi.mount import MNT_LOG
from rumpfs.inspect.names import Names
from rumpfs.inspect.slack import Chunks
from rumpfs.inspect.undelete import Confidence, Deleted, Search, can_restore, content, target
from rumpfs.ondisk.layout import LITTLE
from rumpfs.ondisk.ufs.dinode import IFDIR, IFMT
from rumpfs.ondisk.ufs.dirchunk import empty_chunk, enter, first_chunk, remove
from rumpfs.vfs.cred import ROOT
from rumpfs.vfs.vnode import SetAttr
from tests.fs.ffs.harness import resolve
from tests.fs.ffs.workload import writable
from tests.images_util import makefs, manifest, netbsd_image, netbsd_images, pattern
from tests.inspect.studies import studied

#: images in whose manifests deleted files are listed
LISTED = [name for name in netbsd_images() if isinstance(manifest(name).get("deleted"), list)]
SOME = [
    name
    for name in LISTED
    if re.fullmatch(r"clean-v(0be-16k-2k|1le-16k-2k|2le-4k-512)|wapbl-clean-v2be", name)
]
FORMATS = [(1, "<", 8192, 1024), (1, ">", 4096, 512), (2, "<", 16384, 2048), (2, ">", 8192, 1024)]


def _found(path: Path, scan: bool = True) -> list[Deleted]:
    with studied(path) as raw:
        return Search(raw, scan).deleted()


@pytest.mark.parametrize("name", LISTED)
def test_every_name_that_was_deleted_last_is_found(name: str) -> None:
    """With its inode, except where the name was the first one of a chunk, which loses it."""
    found = {(each.path, each.ino) for each in _found(netbsd_image(name))}
    lost = 0
    for entry in manifest(name)["deleted"]:
        path = os.fsencode(entry["path"])
        if (path, entry["ino"]) not in found:
            assert (path, 0) in found, path
            lost += 1
    assert lost <= 1


@pytest.mark.parametrize("name", SOME)
def test_the_kernel_clears_inodes_and_this_is_told(name: str) -> None:
    found = {each.path: each for each in _found(netbsd_image(name))}
    entries = {os.fsencode(entry["path"]): entry for entry in manifest(name)["entries"]}
    for entry in manifest(name)["deleted"]:
        each = found[os.fsencode(entry["path"])]
        assert each.path not in entries
        if each.version is None:
            assert each.confidence == Confidence.NAME
            assert each.ino == 0 or entry["nlink_before"] > 1 or "was cleared" in each.reasons[-1]
            if entry["nlink_before"] == 1 and each.ino:
                assert each.deleted_ns is not None
                assert abs(each.deleted_ns // 10**9 - manifest(name)["entries"][0]["mtime"]) < 60


@pytest.mark.oracle("fls")
@pytest.mark.parametrize("name", SOME)
def test_all_that_fls_finds_is_found(name: str) -> None:
    """But what has the same inode elsewhere under the same name, which was moved."""
    path = netbsd_image(name)
    said = subprocess.run(["fls", "-rd", "-p", str(path)], capture_output=True, check=True).stdout
    found = {(each.path, each.ino) for each in _found(path)}
    paths = {each for each, _ in found}
    with studied(path) as raw:
        names = Names(raw)
    for line in said.splitlines():
        match = re.fullmatch(rb"./. \* (\d+)(?:\(realloc\))?:\t(.*)", line)
        assert match is not None, line
        ino, where = int(match[1]), b"/" + match[2]
        if where.startswith(b"/$OrphanFiles/") or not ino:
            continue
        there = names.get(ino)
        if there is None or there[1] != where.rpartition(b"/")[2]:
            assert (where, ino) in found or (where in paths and names.path(ino) == where), line


@pytest.fixture(params=FORMATS, ids=lambda form: "-".join(map(str, form)))
def deleted(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """An image with a log, in which files were made and then deleted, after a crash; `reused` is later."""
    (tmp_path / "tree").mkdir()
    image = makefs(tmp_path / "tree", tmp_path / "image", *request.param, "-s", "12m", ",density=4096")
    with image.open("r+b") as stream:
        stream.truncate(image.stat().st_size + (1 << 20))
    with writable(image, MNT_LOG) as mp:
        directory = mp.mnt_root.mkdir(b"d", 0o750, ROOT)
        for name, size in SIZES.items():
            vp = directory.create(name, 0o100640, ROOT)
            vp.write(0, pattern(name.decode(), size), 0, ROOT)
            vp.setattr(SetAttr(mtime=(1_600_000_000, 5)), ROOT)
        directory.symlink(b"link", 0o777, b"where/it/leads", ROOT)
        mp.sync()
        for name in (*SIZES, b"link"):
            directory.remove(name, resolve(mp, f"/d/{name.decode()}"), ROOT)
        mp.mnt_root.rmdir(b"d", directory, ROOT)
        mp.sync()
        crashed = Path(shutil.copy(image, tmp_path / "crashed"))
        mp.mnt_root.create(b"new", 0o100644, ROOT).write(0, bytes(3 << 20), 0, ROOT)
        mp.sync()
        shutil.copy(image, tmp_path / "reused")
    return crashed


SIZES = {b"small": 10, b"block": 8192, b"tail": 12_345, b"indirect": 300_000, b"empty": 0}


def test_content_comes_back_whole(deleted: Path) -> None:
    with studied(deleted) as raw:
        found = {each.path: each for each in Search(raw).deleted() if can_restore(each)}
        for name, size in SIZES.items():
            each = found[b"/d/" + name]
            data = bytearray(each.size)
            for part in content(raw, each):
                assert part.data is not None
                data[part.offset : part.offset + part.length] = part.data
            assert bytes(data) == pattern(name.decode(), size)
            assert (each.confidence, each.mode, each.source) == (Confidence.HIGH, 0o100640, "the log")
            assert each.mtime_ns == 1_600_000_000 * 10**9 + 5
        assert target(raw, found[b"/d/link"]) == b"where/it/leads"
        assert found[b"/d"].mode & IFMT == IFDIR


def test_blocks_that_other_files_have_are_left_out(deleted: Path) -> None:
    with studied(deleted.with_name("reused")) as raw:
        (each,) = (each for each in Search(raw).deleted() if each.size == SIZES[b"indirect"])
        assert each.confidence == Confidence.LOW
        assert each.free < each.blocks
        assert any("belong to other files" in reason or "lead to" in reason for reason in each.reasons)
        expected = pattern("indirect", 300_000)
        for part in content(raw, each):
            assert part.data in (None, expected[part.offset : part.offset + part.length])


def test_a_deleted_directory_is_found_in_free_blocks(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    image = makefs(tree, tmp_path / "image", 2, "<", 8192, 1024)
    with writable(image) as mp:
        directory = mp.mnt_root.mkdir(b"gone", 0o755, ROOT)
        inner = directory.mkdir(b"inner", 0o755, ROOT)
        for name in (b"one", b"two"):
            inner.create(name, 0o100644, ROOT).write(0, name, 0, ROOT)
        mp.sync()
        for name in (b"one", b"two"):
            inner.remove(name, resolve(mp, f"/gone/inner/{name.decode()}"), ROOT)
        directory.rmdir(b"inner", inner, ROOT)
        mp.mnt_root.rmdir(b"gone", directory, ROOT)
    paths = {each.path for each in _found(image)}
    assert {b"/gone", b"/gone/inner", b"/gone/inner/one", b"/gone/inner/two"} <= paths
    assert b"/gone/inner/one" not in {each.path for each in _found(image, scan=False)}


def test_what_is_left_in_a_chunk() -> None:
    fs: Any = type("Fs", (), {"old_dirents": False, "order": LITTLE, "maxino": 1000, "dirblksiz": 512})
    chunks = Chunks(fs)
    chunk = bytearray(first_chunk(LITTLE, 512, 5, 2))
    for number, name in enumerate((b"a", b"longer-name", b"c", b"d"), 10):
        enter(chunk, LITTLE, name, number, 8, "chunk")
    assert list(chunks.deleted(bytes(chunk))) == []
    assert chunks.owner(bytes(chunk)) == (5, 2)
    for name in (b"longer-name", b"d"):
        remove(chunk, LITTLE, name, "chunk")
    assert [(each.ino, each.name) for each in chunks.deleted(bytes(chunk))] == [
        (11, b"longer-name"),
        (13, b"d"),
    ]
    alone = bytearray(empty_chunk(LITTLE))
    enter(alone, LITTLE, b"first", 20, 8, "chunk")
    remove(alone, LITTLE, b"first", "chunk")
    assert [(each.ino, each.name) for each in chunks.deleted(bytes(alone))] == [(0, b"first")]
    assert not chunks.looks_right(bytes(alone))
    assert chunks.looks_right(bytes(chunk))
