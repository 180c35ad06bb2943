"""Sparse files through all levels of indirection, of sizes up to terabytes in small images.

A file of four full blocks is rewired: the second block becomes an indirect block that holds the first, the
third one that holds the second, and so on. So the image stays consistent, and the file has one block of
data somewhere behind a hole.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from rumpfs.abi.errno import EINVAL
from rumpfs.base.errors import VfsError
from rumpfs.fs.ffs.ufsmount import FfsMount
from rumpfs.vfs.vnode import Vnode
from tests.fs.ffs.editor import Editor
from tests.fs.ffs.harness import mounted, resolve
from tests.images_util import makefs, pattern

#: Bytes by which the files end before the end of their last block.
SHORT = 100
FOUR_MIB = 4 << 20


class Sparse(NamedTuple):
    """A rewired file: `lbn` is its last block and the only one with data."""

    vp: Vnode
    bsize: int
    lbn: int
    data: bytes

    @property
    def start(self) -> int:
        return self.lbn * self.bsize


def transmute(image: Path, levels: int, indexes: tuple[int, ...]) -> int:
    """Rewire /file so that its first block is behind `levels` indirect blocks; return its block number.

    Args:
        indexes: the pointer's place in each indirect block, from the inode's on.
    """
    with Editor(image) as editor:
        ino = editor.ino("/file")
        dinode = editor.dinode(ino)
        n = editor.fs.fs_nindir
        places = [index % n for index in indexes]
        for level in range(levels):
            editor.pointer_block(dinode.di_db[level + 1], {places[levels - 1 - level]: dinode.di_db[level]})
        lbn = 12 + sum(n**level for level in range(1, levels))
        for index in places:
            levels -= 1
            lbn += index * n**levels
        pointers = [0, 0, 0]
        pointers[len(places) - 1] = dinode.di_db[len(places)]
        editor.change_inode(
            ino,
            di_db=(0,) * 12,
            di_ib=tuple(pointers),
            di_size=(lbn + 1) * editor.fs.fs_bsize - SHORT,
        )
    return lbn


CASES = [
    (version, order, bsize, indexes)
    for version in (1, 2)
    for order in "<>"
    for bsize in (4096, 65536)
    for indexes in [(0,), (-1,), (0, 0), (-1, 5), (3, -1), (0, 0, 0), (0, -1, -1), (9, 5, 7)]
]


@pytest.fixture(params=CASES, ids=lambda case: f"v{case[0]}{case[1]}{case[2]}-{'.'.join(map(str, case[3]))}")
def sparse(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Sparse]:
    version, order, bsize, indexes = request.param
    (tmp_path / "tree").mkdir()
    data = pattern("first block", bsize)
    (tmp_path / "tree" / "file").write_bytes(data + bytes(range(256)) * (len(indexes) * bsize // 256))
    image = makefs(tmp_path / "tree", tmp_path / "image", version, order, bsize, bsize // 8)
    lbn = transmute(image, len(indexes), indexes)
    with mounted(image) as mp:
        yield Sparse(resolve(mp, "/file"), bsize, lbn, data)
    image.unlink()


@pytest.mark.oracle("makefs")
def test_data_behind_a_hole(sparse: Sparse) -> None:
    vp, bsize, start = sparse.vp, sparse.bsize, sparse.start
    size = start + bsize - SHORT
    assert vp.size() == size
    assert vp.read(start, bsize) == sparse.data[:-SHORT]
    assert vp.read(start + 10, 20) == sparse.data[10:30]
    assert vp.read(start - 3, 6) == bytes(3) + sparse.data[:3]
    assert vp.read(size - 5, 100) == sparse.data[-SHORT - 5 : -SHORT]
    assert vp.read(size, 100) == b""
    assert vp.read(size + (1 << 40), 100) == b""
    window = min(start, FOUR_MIB - bsize)
    assert vp.read(start - window, FOUR_MIB) == bytes(window) + sparse.data[:-SHORT]


@pytest.mark.oracle("makefs")
def test_everything_before_is_zero(sparse: Sparse) -> None:
    vp, bsize = sparse.vp, sparse.bsize
    n = vp.v_mount.um_fs.fs_nindir  # type: ignore[attr-defined]
    edges = [
        0,
        11,
        12,
        13,
        12 + n - 1,
        12 + n,
        12 + n + n**2 - 1,
        12 + n + n**2,
        sparse.lbn // 2,
        sparse.lbn - 1,
    ]
    for lbn in edges:
        if lbn < sparse.lbn:
            for position in (lbn * bsize, lbn * bsize + bsize // 2):
                length = min(2 * bsize, sparse.start - position)
                assert vp.read(position, length) == bytes(length), lbn


@pytest.mark.oracle("makefs")
def test_huge_sparse_files_are_cheap(tmp_path: Path) -> None:
    """A thousand reads of 64 KiB all over 17 TB: nothing may depend on the size of the file."""
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "file").write_bytes(bytes(4 * 65536))
    image = makefs(tmp_path / "tree", tmp_path / "image", 1, "<", 65536, 8192)
    transmute(image, 3, (0, -1, -1))
    with mounted(image) as mp:
        vp = resolve(mp, "/file")
        assert vp.size() > 17 << 40
        started = time.process_time()
        for index in range(1000):
            assert len(vp.read(vp.size() // 1000 * index, 65536)) == 65536
        assert time.process_time() - started < 1


@pytest.mark.oracle("makefs")
def test_one_read_is_limited(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "file").write_bytes(bytes(4 * 65536))
    image = makefs(tmp_path / "tree", tmp_path / "image", 2, ">", 65536, 8192)
    transmute(image, 3, (1, 2, 3))
    with mounted(image) as mp:
        vp = resolve(mp, "/file")
        assert vp.read(0, FOUR_MIB) == bytes(FOUR_MIB)
        with pytest.raises(VfsError) as caught:
            vp.read(0, 1 << 40)
        assert caught.value.errno == EINVAL
        assert vp.read(vp.size() - 5, 1 << 40) == vp.read(vp.size() - 5, 5)


@pytest.fixture
def fragmented(tmp_path: Path) -> Iterator[tuple[FfsMount, bytes]]:
    """A file whose blocks are in the reverse order on the disk, some of them holes."""
    bsize = 4096
    (tmp_path / "tree").mkdir()
    data = pattern("fragmented", 600 * bsize)
    (tmp_path / "tree" / "file").write_bytes(data)
    image = makefs(tmp_path / "tree", tmp_path / "image", 2, ">", bsize, 512)
    with Editor(image) as editor:
        ino = editor.ino("/file")
        dinode = editor.dinode(ino)
        n = editor.fs.fs_nindir
        first = dinode.di_ib[0]
        table = memoryview(editor.read(bsize, editor.at(first)))
        single = [int.from_bytes(table[8 * index : 8 * index + 8], "big") for index in range(n)]
        holes = dict.fromkeys(range(0, n, 7), 0)
        order = list(reversed(range(n)))
        editor.pointer_block(first, {index: single[other] for index, other in enumerate(order)} | holes)
        blocks = [data[index * bsize : (index + 1) * bsize] for index in range(600)]
        shuffled = [blocks[12 + other] for other in order]
        for index in holes:
            shuffled[index] = bytes(bsize)
        blocks[12 : 12 + n] = shuffled
    with mounted(image) as mp:
        yield mp, b"".join(blocks)


@pytest.mark.oracle("makefs")
def test_a_file_of_many_runs_and_holes(fragmented: tuple[FfsMount, bytes]) -> None:
    mp, data = fragmented
    vp = resolve(mp, "/file")
    assert vp.read(0, FOUR_MIB) == data
    for chunk in (1000, 4096, 65536, 100_000, 1 << 20):
        assert b"".join(vp.read(offset, chunk) for offset in range(0, len(data), chunk)) == data
    for offset in range(0, len(data), 99_991):
        assert vp.read(offset, 30_000) == data[offset : offset + 30_000]
        assert vp.read(offset, 1) == data[offset : offset + 1]
