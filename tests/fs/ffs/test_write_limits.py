"""Limits of an FFS that is written: links, and files that need every level of indirection."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from rumpfs.abi.errno import EMLINK
from rumpfs.abi.limits import LINK_MAX
from rumpfs.base.errors import VfsError
from rumpfs.vfs.cred import ROOT
from rumpfs.vfs.vnode import SetAttr
from tests.fs.ffs.checker import complaints
from tests.fs.ffs.editor import Editor
from tests.fs.ffs.harness import mounted, resolve
from tests.fs.ffs.workload import writable
from tests.images_util import makefs

BSIZE = 4096

FORMS = [(1, "le"), (1, "be"), (2, "le"), (2, "be")]


@pytest.fixture(params=FORMS, ids=lambda form: f"{form[0]}{form[1]}")
def image(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    for name in ("full", "other/below"):
        (tmp_path / "tree" / name).mkdir(parents=True)
    (tmp_path / "tree/file").touch()
    words = ("-s", "4m", ",density=4096")
    return makefs(tmp_path / "tree", tmp_path / "image", *request.param, BSIZE, 512, *words)


def test_links_are_counted_in_16_bits(image: Path) -> None:
    assert LINK_MAX == 32767
    with Editor(image) as editor:
        editor.change_inode(editor.ino("/file"), di_nlink=LINK_MAX - 1)
        editor.change_inode(editor.ino("/full"), di_nlink=LINK_MAX - 1)
    with writable(image) as mp:
        root, vp, full, other = mp.mnt_root, *(resolve(mp, name) for name in ("/file", "/full", "/other"))
        root.link(b"last", vp, ROOT)
        assert vp.getattr().nlink == LINK_MAX
        with pytest.raises(VfsError) as caught:
            root.link(b"more", vp, ROOT)
        assert caught.value.errno == EMLINK
        full.mkdir(b"last", 0o755, ROOT)
        assert full.getattr().nlink == LINK_MAX
        free = mp.statvfs()
        with pytest.raises(VfsError) as caught:
            full.mkdir(b"more", 0o755, ROOT)
        assert caught.value.errno == EMLINK
        with pytest.raises(VfsError) as caught:
            other.rename(b"below", resolve(mp, "/other/below"), full, b"below", None, ROOT)
        assert caught.value.errno == EMLINK
        assert (mp.statvfs().bfree, mp.statvfs().ffree) == (free.bfree, free.ffree)
        assert full.lookup(b"more") is None
        assert other.getattr().nlink == 3
    with Editor(image) as editor:
        assert editor.dinode(editor.ino("/full")).di_nlink == LINK_MAX


def boundaries(version: int) -> list[int]:
    """Return where the direct blocks and each level of indirect ones end, in bytes."""
    pointers = BSIZE // (4 if version == 1 else 8)
    return [BSIZE * blocks for blocks in (12, 12 + pointers, 12 + pointers + pointers**2)]


def test_a_file_grows_and_shrinks_through_every_level(image: Path) -> None:
    """Pieces lie across the boundaries of the levels, and each truncation ends in a piece or a hole."""
    chance = random.Random(3)
    with writable(image) as mp:
        free = mp.statvfs().bfree
        edges = boundaries(2 if mp.um_fs.ufs2 else 1)
        vp = mp.mnt_root.create(b"f", 0o100644, ROOT)
        pieces = {edge - BSIZE - 100: chance.randbytes(3 * BSIZE) for edge in edges}
        pieces[edges[2] + 700 * BSIZE + 5] = b"far"
        for offset, data in pieces.items():
            vp.write(offset, data, 0, ROOT)
        blocks = vp.getattr().blocks
        for offset, data in pieces.items():
            assert vp.read(offset - 10, len(data) + 10) == bytes(10) + data
        for edge in reversed(edges):
            for length in (edge + BSIZE + 7, edge + 1, edge, edge - 1, edge - BSIZE - 50, edge - 5 * BSIZE):
                vp.setattr(SetAttr(size=length), ROOT)
                offset = edge - BSIZE - 100
                kept = pieces[offset][: max(0, length - offset)]
                assert vp.read(offset, 5 * BSIZE) == kept
                assert vp.getattr().blocks < blocks
                blocks = vp.getattr().blocks + 1
        vp.setattr(SetAttr(size=edges[2] + 3 * BSIZE), ROOT)
        for offset, data in pieces.items():
            assert not any(vp.read(offset, len(data)))
        vp.setattr(SetAttr(size=0), ROOT)
        assert (vp.getattr().blocks, mp.statvfs().bfree) == (0, free)
    assert complaints(image) == []


def test_each_truncation_leaves_a_whole_image(image: Path, tmp_path: Path) -> None:
    """The checker counts all blocks after truncating into every level, a piece or a hole."""
    with mounted(image) as mp:
        edges = boundaries(2 if mp.um_fs.ufs2 else 1)
    with writable(image) as mp:
        vp = mp.mnt_root.create(b"f", 0o100644, ROOT)
        for edge in edges:
            vp.write(edge - BSIZE, b"x" * 2 * BSIZE, 0, ROOT)
    whole = image.read_bytes()
    for edge in edges:
        for length in (edge - 3 * BSIZE + 1, edge - BSIZE, edge - 1, edge, edge + 1, edge + BSIZE):
            image.write_bytes(whole)
            with writable(image) as mp:
                resolve(mp, "/f").setattr(SetAttr(size=length), ROOT)
            assert complaints(image) == [], length
            with mounted(image) as mp:
                vp = resolve(mp, "/f")
                expected = (bytes(2 * BSIZE) + b"x" * 2 * BSIZE)[: max(0, length - edge + 3 * BSIZE)]
                assert vp.size() == length
                assert vp.read(edge - 3 * BSIZE, 9 * BSIZE) == expected, length
