"""dissect.ffs reads the same tree: little-endian UFS1 and UFS2, sparse files included."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from rumpfs.fs.ffs.ufsmount import FfsMount
from rumpfs.vfs.vnode import VLNK, VREG
from tests.fs.ffs.editor import Editor
from tests.fs.ffs.harness import content, mounted, resolve, walk
from tests.fs.ffs.test_sparse import transmute
from tests.images_util import freebsd_image, freebsd_images, makefs, pattern
from tests.oracle.conftest import MakefsImage

pytestmark = pytest.mark.oracle("dissect.ffs")

MAKEFS = [(1, "<", 4096), (1, "<", 65536), (2, "<", 4096), (2, "<", 16384), (2, "<", 65536)]


@contextmanager
def _dissect(image: Path) -> Iterator[Any]:
    from dissect.ffs import ffs

    with image.open("rb") as stream:
        yield ffs.FFS(stream)


def _theirs(node: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    for name, child in node.listdir().items():
        if name not in (".", ".."):
            yield f"{path}/{name}", child
            if child.is_dir():
                yield from _theirs(child, f"{path}/{name}")


def _compare(mp: FfsMount, fs: Any, skip: str = " ") -> int:
    theirs = {os.fsencode(path): node for path, node in _theirs(fs.root)}
    ours = dict(walk(mp.mnt_root))
    assert ours.keys() == theirs.keys()
    for path, vp in ours.items():
        va, node = vp.getattr(), theirs[path]
        inode = node.inode
        assert (va.mode, va.uid, va.gid) == (inode.di_mode, inode.di_uid, inode.di_gid)
        assert (va.fileid, va.size, va.nlink) == (node.inum, node.size, inode.di_nlink)
        assert va.mtime * 10**9 + va.mtimensec == node.mtime_ns
        assert va.ctime * 10**9 + va.ctimensec == node.ctime_ns
        assert va.atime * 10**9 + va.atimensec == node.atime_ns
        if vp.v_type == VLNK:
            assert os.fsdecode(vp.readlink()) == node.link
        elif vp.v_type == VREG and skip.encode() not in path:
            assert b"".join(content(vp)) == node.open().read(), path
    return len(ours)


@pytest.mark.oracle("makefs")
@pytest.mark.parametrize(("version", "order", "bsize"), MAKEFS)
def test_the_whole_tree(makefs_image: MakefsImage, version: int, order: str, bsize: int) -> None:
    image = makefs_image(version, order, bsize)
    with mounted(image) as mp, _dissect(image) as fs:
        assert _compare(mp, fs) > 750


def _little() -> Path:
    if "ufs-little" not in freebsd_images():
        pytest.skip("no image ../shared/images/freebsd/ufs-little.img.zst")
    return freebsd_image("ufs-little")


def test_freebsds_image() -> None:
    image = _little()
    with mounted(image) as mp, _dissect(image) as fs:
        assert _compare(mp, fs, skip="sparse") == 15


@pytest.mark.parametrize("path", ["/sparse", "/sparse2"])
def test_freebsds_sparse_files(path: str) -> None:
    image = _little()
    with mounted(image) as mp, _dissect(image) as fs:
        vp = resolve(mp, path)
        stream = fs.get(path).open()
        for offset in (*range(0, vp.size(), 3_000_001), vp.size() - 70_000, vp.size() - 5):
            stream.seek(offset)
            assert vp.read(offset, 40_000) == stream.read(40_000), offset


@pytest.mark.oracle("makefs")
@pytest.mark.parametrize(("version", "indexes"), [(1, (3,)), (1, (0, 5)), (2, (7,)), (2, (2, 9))])
def test_sparse_files_behind_one_and_two_levels(
    tmp_path: Path, version: int, indexes: tuple[int, ...]
) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "file").write_bytes(pattern("sparse", 4 * 4096))
    image = makefs(tmp_path / "tree", tmp_path / "image", version, "<", 4096, 512)
    with Editor(image) as editor:
        assert editor.dinode(editor.ino("/file")).di_size == 4 * 4096
    transmute(image, len(indexes), indexes)
    with mounted(image) as mp, _dissect(image) as fs:
        theirs = fs.get("/file").open().read()
        assert b"".join(content(resolve(mp, "/file"))) == theirs
        assert theirs.rstrip(b"\0")
