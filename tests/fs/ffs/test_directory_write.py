"""Directories become shorter when a name comes (NetBSD: ufs_direnter in sys/ufs/ufs/ufs_lookup.c)."""

from __future__ import annotations

from pathlib import Path

import pytest

from rumpfs.abi.mount import MNT_RDONLY
from rumpfs.ondisk.ufs.dinode import UFS2_DINODE
from rumpfs.vfs.cred import ROOT
from rumpfs.vfs.vnode import Vnode
from tests.fs.ffs.checker import complaints
from tests.fs.ffs.editor import Editor
from tests.fs.ffs.fscking import fsck
from tests.fs.ffs.harness import mounted, readdir, resolve
from tests.fs.ffs.workload import writable
from tests.images_util import freebsd_image, freebsd_images, makefs, scratch_copy

FORMS = [(1, "le", 4096, 512), (2, "be", 4096, 512), (2, "le", 16384, 2048)]

DIRBLKSIZ = 512


@pytest.fixture(params=FORMS, ids=lambda form: "-".join(map(str, form)))
def image(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    version, order, bsize, fsize = request.param
    (tmp_path / "tree").mkdir()
    words = ("-s", "6m", ",density=2048")
    return makefs(tmp_path / "tree", tmp_path / "image", version, order, bsize, fsize, *words)


def name_of(number: int) -> bytes:
    """Return a name of which two fit in a chunk, also beside . and .. in the first one."""
    return b"%04d" % number + b"n" * 200


def make(dvp: Vnode, number: int) -> None:
    dvp.create(name_of(number), 0o100644, ROOT)


def drop(dvp: Vnode, number: int) -> None:
    vp = dvp.lookup(name_of(number))
    assert vp is not None
    dvp.remove(name_of(number), vp, ROOT)


def listed(dvp: Vnode) -> set[bytes]:
    return {entry.name for entry in readdir(dvp, 700)} - {b".", b".."}


def test_what_is_empty_at_the_end_goes_when_a_name_comes(image: Path) -> None:
    """With indirect blocks, which the directory of 4096-byte blocks has, and back to one frag."""
    with writable(image) as mp:
        dvp = mp.mnt_root.mkdir(b"d", 0o755, ROOT)
        first = dvp.getattr()
        for number in range(300):
            make(dvp, number)
        size = dvp.size()
        assert size == 150 * DIRBLKSIZ
        for number in range(299, 19, -1):
            drop(dvp, number)
        assert dvp.size() == size
        make(dvp, 500)
        assert dvp.size() == 11 * DIRBLKSIZ
        assert listed(dvp) == {name_of(number) for number in (*range(20), 500)}
        for number in (*range(20), 500):
            drop(dvp, number)
        dvp.create(b"a", 0o100644, ROOT)
        after = dvp.getattr()
        assert (after.size, after.blocks) == (first.size, first.blocks) == (DIRBLKSIZ, after.blocks)
        for number in range(40):
            make(dvp, number)
    assert complaints(image) == []
    assert fsck(image).kinds == []
    with mounted(image, flags=MNT_RDONLY) as mp:
        assert listed(resolve(mp, "/d")) == {b"a", *(name_of(number) for number in range(40))}


def test_a_chunk_in_use_at_the_end_keeps_those_before_it(image: Path) -> None:
    with writable(image) as mp:
        dvp = mp.mnt_root.mkdir(b"d", 0o755, ROOT)
        for number in range(100):
            make(dvp, number)
        size = dvp.size()
        for number in range(99):
            drop(dvp, number)
        make(dvp, 200)
        assert dvp.size() == size
        assert listed(dvp) == {name_of(99), name_of(200)}
    assert complaints(image) == []


def test_a_rename_shortens_the_directory_that_gets_the_name(image: Path) -> None:
    with writable(image) as mp:
        dvp = mp.mnt_root.mkdir(b"d", 0o755, ROOT)
        for number in range(60):
            make(dvp, number)
        for number in range(58):
            drop(dvp, 59 - number)
        vp = dvp.lookup(name_of(1))
        assert vp is not None
        dvp.rename(name_of(1), vp, dvp, b"b", None, ROOT)
        assert dvp.size() == DIRBLKSIZ
        assert listed(dvp) == {name_of(0), b"b"}
    assert complaints(image) == []


def test_who_was_listing_behind_the_new_end_is_at_the_end(image: Path) -> None:
    with writable(image) as mp:
        dvp = mp.mnt_root.mkdir(b"d", 0o755, ROOT)
        for number in range(100):
            make(dvp, number)
        _, offset = dvp.readdir(0, 8192)
        offset = dvp.readdir(offset, 8192)[1]
        for number in range(100):
            drop(dvp, number)
        make(dvp, 0)
        assert offset > dvp.size()
        assert dvp.readdir(offset, 8192) == (b"", offset)
        assert dvp.readdir(1 << 40, 8192)[0] == b""


def _depth(image: Path, path: str) -> int:
    """Return di_dirdepth (FreeBSD sys/ufs/ufs/dinode.h), the same word as di_freelink."""
    with Editor(image) as editor:
        data = editor.read(UFS2_DINODE.size, editor.fs.ino_to_byte(editor.ino(path)))
        return int(UFS2_DINODE.codec(editor.fs.order).unpack(data).di_freelink)


@pytest.mark.parametrize("name", freebsd_images())
def test_the_depth_of_directories_that_freebsd_keeps(name: str, tmp_path: Path) -> None:
    image = scratch_copy(freebsd_image(name), tmp_path)
    assert [_depth(image, path) for path in ("/dir1", "/dir1/dir2", "/dir1/dir2/dir3")] == [1, 2, 3]
    with writable(image) as mp:
        root, deep = mp.mnt_root, resolve(mp, "/dir1/dir2/dir3")
        deep.mkdir(b"four", 0o755, ROOT)
        gone = deep.mkdir(b"gone", 0o755, ROOT).getattr().fileid
        deep.rmdir(b"gone", resolve(mp, "/dir1/dir2/dir3/gone"), ROOT)
        files = [deep.create(b"f%d" % number, 0o100644, ROOT).getattr().fileid for number in range(600)]
        root.mkdir(b"one", 0o755, ROOT)
        moved = deep.mkdir(b"moved", 0o755, ROOT)
        deep.rename(b"moved", moved, root, b"moved", None, ROOT)
    assert complaints(image) == []
    assert fsck(image).kinds == []
    again = f"/dir1/dir2/dir3/f{files.index(gone)}"
    paths = ("/dir1/dir2/dir3/four", "/one", "/moved", again, "/")
    assert [_depth(image, path) for path in paths] == [4, 1, 1, 0, 0]
