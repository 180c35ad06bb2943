"""Images made by makefs(8) from a tree, compared with that tree: versions, byte orders, block sizes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rumpfs.abi.stat import makedev
from rumpfs.vfs.vnode import VBLK, VCHR, VREG
from tests.fs.ffs.harness import mounted, readdir, resolve
from tests.fs.ffs.trees import compare
from tests.images_util import makefs, standard_tree

#: (version, order, bsize, fsize)
SIZES = [
    (version, order, bsize, bsize // 8)
    for version in (1, 2)
    for order in "<>"
    for bsize in (4096, 8192, 16384, 32768, 65536)
]
#: Blocks of one, two and four frags.
FEW_FRAGS = [
    (1, "<", 4096, 4096), (2, ">", 4096, 4096), (1, ">", 4096, 2048), (2, "<", 8192, 2048),
    (1, "<", 65536, 65536), (2, ">", 65536, 16384),
]  # fmt: skip


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return standard_tree(tmp_path_factory.mktemp("tree") / "tree")


@pytest.mark.oracle("makefs")
@pytest.mark.parametrize(("version", "order", "bsize", "fsize"), SIZES + FEW_FRAGS)
def test_the_image_is_the_tree(
    tree: Path, tmp_path: Path, version: int, order: str, bsize: int, fsize: int
) -> None:
    image = makefs(tree, tmp_path / "image", version, order, bsize, fsize)
    with mounted(image) as mp:
        assert (mp.um_fs.ufs2, mp.um_fs.order) == (version == 2, order)
        assert (mp.statvfs().bsize, mp.statvfs().frsize) == (bsize, fsize)
        assert compare(mp, tree) > 750
    image.unlink()


MANY_GROUPS = ("-s", "128m", ",density=8192,minfree=8,avgfilesize=4096,avgfpdir=32,optimization=space")


@pytest.mark.oracle("makefs")
@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("order", "<>")
def test_many_cylinder_groups(tree: Path, tmp_path: Path, version: int, order: str) -> None:
    image = makefs(tree, tmp_path / "image", version, order, 4096, 512, *MANY_GROUPS)
    with mounted(image) as mp:
        assert mp.um_fs.fs_ncg == 11
        compare(mp, tree)
    image.unlink()


@pytest.mark.oracle("makefs")
@pytest.mark.parametrize("version", [1, 2])
def test_sectors_of_2048_bytes_change_nothing(tree: Path, tmp_path: Path, version: int) -> None:
    """makefs -S changes fs_fsbtodb, which many readers wrongly multiply by 512."""
    image = makefs(tree, tmp_path / "image", version, "<", 16384, 4096, "-S", "2048", "-M", "4m", "-f", "64")
    with mounted(image) as mp:
        assert mp.um_fs.fs_fsbtodb == 1
        compare(mp, tree)
    image.unlink()


@pytest.mark.oracle("makefs")
def test_hard_links_are_one_vnode(tree: Path, tmp_path: Path) -> None:
    with mounted(makefs(tree, tmp_path / "image", 2, ">", 8192, 1024)) as mp:
        one, two, three = (resolve(mp, path) for path in ("/one", "/two", "/level0/three"))
        assert one is two is three
        assert one.getattr().nlink == 3


@pytest.mark.oracle("makefs")
@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("order", "<>")
def test_times_are_not_mixed_up(tmp_path: Path, version: int, order: str) -> None:
    (tmp_path / "tree").mkdir()
    file = tmp_path / "tree" / "file"
    file.touch()
    os.utime(file, (1_111_111_111, 1_222_222_222))
    ctime = int(os.lstat(file).st_ctime)
    with mounted(makefs(tmp_path / "tree", tmp_path / "image", version, order, 4096, 512)) as mp:
        va = resolve(mp, "/file").getattr()
        assert (va.atime, va.mtime, va.ctime) == (1_111_111_111, 1_222_222_222, ctime)
        assert (va.atimensec, va.mtimensec, va.ctimensec) == (0, 0, 0)


@pytest.mark.oracle("makefs")
@pytest.mark.root
def test_devices_have_the_block_size_of_their_kind(tree: Path, tmp_path: Path) -> None:
    with mounted(makefs(tree, tmp_path / "image", 1, "<", 8192, 1024)) as mp:
        chr_, blk = resolve(mp, "/chr"), resolve(mp, "/blk")
        assert (chr_.v_type, chr_.rdev(), chr_.getattr().blocksize) == (VCHR, makedev(5, 1), 65536)
        assert (blk.v_type, blk.rdev(), blk.getattr().blocksize) == (VBLK, makedev(8, 300), 2048)
        assert blk.rdev() == 0x0010082C


@pytest.fixture(scope="module")
def crowded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tree with 20,000 names in one directory."""
    path = tmp_path_factory.mktemp("crowded") / "tree"
    (path / "many").mkdir(parents=True)
    for index in range(20_000):
        (path / "many" / f"{index:05}-{'x' * (index % 200)}").touch()
    return path


@pytest.fixture(scope="module", params=[(1, ">"), (2, "<")])
def crowded_image(request: pytest.FixtureRequest, crowded: Path, tmp_path_factory: Any) -> Iterator[Path]:
    version, order = request.param
    image = tmp_path_factory.mktemp("image") / "image"
    extra = ("-f", "21000", "-M", "30m", ",density=1024")
    yield makefs(crowded, image, version, order, 8192, 1024, *extra)
    image.unlink()


@pytest.mark.slow
@pytest.mark.oracle("makefs")
@pytest.mark.parametrize("dirhash_max", [1 << 30, 1 << 16], ids=["in memory", "on disk"])
def test_a_large_directory(crowded: Path, crowded_image: Path, dirhash_max: int) -> None:
    """The same answers come from a directory kept in memory and from one that is too large for that."""
    names = {os.fsencode(name) for name in os.listdir(crowded / "many")}
    with mounted(crowded_image) as mp:
        mp.um_dirhash_max = dirhash_max
        dvp = resolve(mp, "/many")
        listed = [entry.name for entry in readdir(dvp)]
        assert listed[:2] == [b".", b".."]
        assert set(listed[2:]) == names
        assert len(listed) == len(names) + 2
        for name in sorted(names)[::97]:
            vp = dvp.lookup(name)
            assert vp is not None
            assert vp is dvp.lookup(name)
            assert vp.v_type == VREG
            assert dvp.lookup(name[1:]) is None
            assert dvp.lookup(name + b"x") is None
        assert dvp.lookup(b"..") is mp.mnt_root


@pytest.mark.oracle("makefs")
@pytest.mark.parametrize("dirhash_max", [1 << 30, 1 << 16], ids=["in memory", "on disk"])
@pytest.mark.parametrize("count", [280, 512, 5000, 65536])
def test_a_large_directory_in_pieces_of_any_size(crowded_image: Path, dirhash_max: int, count: int) -> None:
    with mounted(crowded_image) as mp:
        mp.um_dirhash_max = dirhash_max
        dvp = resolve(mp, "/many")
        numbers = [int(entry.name[:5]) for entry in readdir(dvp, count)[2:]]
        assert sorted(numbers) == list(range(20_000))
