"""What space is used for: against what kernels, fsck_ffs(8) and sleuthkit count in the same images."""

from __future__ import annotations

import pickle
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rumpfs.dev.image import open_image
from rumpfs.inspect.allocation import MARK, Area, allocation, grid_of
from rumpfs.inspect.grid import Grid, plan
from rumpfs.inspect.marks import inodes_of
from rumpfs.inspect.owners import Kind, Owners
from rumpfs.inspect.raw import Raw
from tests.images_util import SHARED_IMAGES, makefs, netbsd_image, netbsd_images, standard_tree

CLEAN = [
    name for name in netbsd_images() if name.startswith(("clean", "extattr", "quota2", "many", "one-cg"))
]
#: areas whose frags belong to inodes
OF_INODES = {
    Area.FILE, Area.PIECES, Area.SCATTERED, Area.DIRECTORY, Area.INDIRECT, Area.ATTRIBUTES, Area.SNAPSHOT,
    Area.OTHER,
}  # fmt: skip


@contextmanager
def raw_of(path: Path) -> Iterator[Raw]:
    window = open_image(str(path), "", 0, True, "")
    try:
        yield Raw(window)
    finally:
        window.close()


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return standard_tree(tmp_path_factory.mktemp("allocation") / "tree")


@pytest.fixture(scope="module")
def image(tree: Path) -> Path:
    return makefs(tree, tree.with_name("v2.img"), 2, "<", 8192, 1024)


@pytest.fixture(scope="module")
def image1(tree: Path) -> Path:
    """UFS1, which sleuthkit reads wherever it was made."""
    return makefs(tree, tree.with_name("v1.img"), 1, "<", 8192, 1024)


@pytest.mark.parametrize("name", CLEAN)
def test_a_clean_volume_has_what_its_superblock_and_fsck_count(name: str) -> None:
    with raw_of(netbsd_image(name)) as raw:
        what = allocation(raw, grid_of(raw, 90, 60))
        total = raw.fs.fs_cstotal
    assert (what.free_blocks, what.free - what.free_blocks * raw.fs.fs_frag) == (
        total.cs_nbfree, total.cs_nffree,
    )  # fmt: skip
    assert (what.lost, what.doubled) == (0, 0)
    said = (SHARED_IMAGES / "netbsd" / f"{name}.fsck.txt").read_text()
    found = re.search(r"(\d+) files, (\d+) used, (\d+) free \((\d+) frags, (\d+) blocks", said)
    assert found is not None, said
    files, used, free, frags, blocks = map(int, found.groups())
    areas = what.areas()
    assert sum(areas[area] for area in OF_INODES) == used
    assert (what.free, what.free_blocks, frags) == (free, blocks, total.cs_nffree)
    assert what.inodes == sum(group.inodes_used for group in what.groups) - 2  # 0 and 1 are never used
    assert what.inodes == files or what.inodes == files + 1  # fsck does not count the root in some versions


@pytest.mark.oracle("blkls")
def test_free_fragments_are_those_that_sleuthkit_lists(image1: Path) -> None:
    listed = subprocess.run(
        ["blkls", "-A", "-l", str(image1)], capture_output=True, text=True, check=True
    ).stdout
    free = {int(line.partition("|")[0]) for line in listed.splitlines() if line.endswith("|f")}
    with raw_of(image1) as raw:
        grid = grid_of(raw, 200, 2000)
        what = allocation(raw, grid)
    assert grid.cell == 1
    layer = what.layers[Area.FREE]
    cells = [band.cell + index for band in grid.bands for index in range(band.cells)]
    assert {grid.span(cell)[0] for cell in cells if layer[cell]} == free
    assert what.free == len(free)


@pytest.mark.parametrize(("width", "height"), [(200, 2000), (60, 20), (7, 3), (1, 1)])
def test_each_fragment_is_in_one_cell(image: Path, width: int, height: int) -> None:
    with raw_of(image) as raw:
        what = allocation(raw, grid_of(raw, width, height))
    grid = what.grid
    counts = [sum(layer[cell] for layer in what.layers.values()) for cell in range(grid.cells)]
    expected = [0] * grid.cells
    for band in grid.bands:
        for cell in range(band.cell, band.cell + band.cells):
            expected[cell] = grid.span(cell)[1]
    assert counts == expected
    assert sum(counts) == raw.fs.fs_size


def test_cells_agree_with_the_owners_of_fragments(image: Path) -> None:
    same = {
        Area.FREE: Kind.FREE, Area.BOOT: Kind.BOOT, Area.SUPERBLOCK: Kind.SUPERBLOCK, Area.GROUP: Kind.GROUP,
        Area.SUMMARY: Kind.SUMMARY, Area.DIRECTORY: Kind.DIRECTORY, Area.INDIRECT: Kind.INDIRECT,
    }  # fmt: skip
    with raw_of(image) as raw:
        what = allocation(raw, grid_of(raw, 200, 2000))
        kinds = b"".join(Owners(raw).kinds(cgx) for cgx in range(raw.fs.fs_ncg))
    for area, kind in same.items():
        layer = what.layers[area]
        found = {what.grid.span(cell)[0] for cell, count in enumerate(layer) if count}
        assert found == {frag for frag, byte in enumerate(kinds) if byte == kind}, area


@pytest.mark.oracle("istat")
def test_a_marked_file_is_where_sleuthkit_has_it(image1: Path) -> None:
    with raw_of(image1) as raw:
        (ino,) = inodes_of(raw, b"/big")
        blocks = raw.inode(ino).di_blocks
        what = allocation(raw, grid_of(raw, 200, 2000), [{ino}])
    said = subprocess.run(["istat", str(image1), str(ino)], capture_output=True, text=True, check=True).stdout
    numbers = [int(word) for word in re.findall(r"^[\d ]+$", said, re.M) for word in word.split()]
    layer = what.layers[MARK]
    found = {what.grid.span(cell)[0] for cell, count in enumerate(layer) if count}
    assert set(numbers) - {0} <= found  # sleuthkit leaves out what of the last block is behind the end
    assert len(found) * 1024 == blocks * 512
    assert what.marked[0].frags == -(-((3 << 20) + 777) // 8192) * 8


def test_a_tree_is_marked_with_all_that_is_in_it(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "a" / "b" / "c").mkdir(parents=True)
    (tree / "a" / "b" / "file").write_bytes(b"x" * 5000)
    (tree / "other").write_bytes(b"y" * 5000)
    with raw_of(makefs(tree, tmp_path / "image", 1, "<", 8192, 1024)) as raw:
        assert len(inodes_of(raw, b"/a")) == 4
        assert len(inodes_of(raw, b"/")) == 6
        what = allocation(raw, grid_of(raw, 100, 100), [inodes_of(raw, b"/a/b"), inodes_of(raw, b"/")])
    assert [of.files for of in what.marked] == [3, 3]  # the first one has what both have
    assert sum(what.layers[MARK]) == 5 + 1 + 1


def test_files_in_pieces_are_told_from_others(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    for name in "abc":
        (tree / name).write_bytes(name.encode() * 24576)
    image = makefs(tree, tmp_path / "image", 1, "<", 8192, 1024)
    with raw_of(image) as raw:
        (ino,) = inodes_of(raw, b"/b")
        place = raw.fs.ino_to_byte(ino) + raw.codec.record.offset("di_db")
        first = raw.inode(ino).di_db[:3]
        assert allocation(raw, grid_of(raw, 100, 100)).contiguity.in_pieces == 0
    data = bytearray(image.read_bytes())
    for index, frag in enumerate((first[0], first[2], first[1])):  # three pieces of a block
        data[place + 4 * index : place + 4 * index + 4] = frag.to_bytes(4, "little")
    image.write_bytes(data)
    with raw_of(image) as raw:
        what = allocation(raw, grid_of(raw, 100, 100))
    assert (what.contiguity.files, what.contiguity.in_pieces, what.contiguity.extents) == (4, 1, 6)
    assert what.areas()[Area.SCATTERED] == 24


def test_what_nothing_leads_to_is_lost_and_a_damaged_group_is_told(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "file").write_bytes(b"x" * 4096)
    image = makefs(tree, tmp_path / "image", 1, "<", 8192, 1024)
    with raw_of(image) as raw:
        (ino,) = inodes_of(raw, b"/file")
        place, group = raw.fs.ino_to_byte(ino), raw.fs.cgtod(0) * raw.fs.fs_fsize
        blocks = raw.inode(ino).di_db[0]
    data = bytearray(image.read_bytes())
    data[place : place + 128] = bytes(128)
    image.write_bytes(data)
    with raw_of(image) as raw:
        what = allocation(raw, grid_of(raw, 300, 300))
        assert what.lost == 4
        assert what.grid.cell == 1
        assert {what.grid.span(cell)[0] for cell, count in enumerate(what.layers[Area.LOST]) if count} == set(
            range(blocks, blocks + 4)
        )
    data[group + 4 : group + 8] = bytes(4)  # cg_magic
    image.write_bytes(data)
    with raw_of(image) as raw:
        damaged = allocation(raw, grid_of(raw, 300, 300)).groups[0]
    assert (damaged.damaged, damaged.free) == (True, 0)


def test_an_allocation_is_picklable(image: Path) -> None:
    with raw_of(image) as raw:
        what = allocation(raw, grid_of(raw, 50, 50))
    assert pickle.loads(pickle.dumps(what)) == what


@pytest.mark.parametrize("name", [name for name in netbsd_images() if name == "wapbl-end-dirty"])
def test_a_log_behind_the_file_system_has_its_own_bands(name: str) -> None:
    with raw_of(netbsd_image(name)) as raw:
        what = allocation(raw, grid_of(raw, 100, 60))
        places = raw.fs.fs_journallocs
    assert what.log * raw.fs.fs_fsize == places[1] * places[2]
    assert what.grid.bands[-1].cgx == -1
    assert sum(what.layers[Area.LOG]) == what.log


class _Fs:
    """As much of a superblock as a grid wants."""

    fs_frag = 8

    def __init__(self, fpg: int) -> None:
        self.fs_fpg = fpg


@pytest.mark.parametrize("groups", [1, 2, 63, 400, 5600, 1 << 20])
@pytest.mark.parametrize(("width", "height"), [(330, 280), (80, 40), (16, 4)])
def test_a_grid_has_room_for_any_number_of_groups(groups: int, width: int, height: int) -> None:
    fpg = 94968
    frags = groups * fpg - 1000
    grid: Grid = plan(_Fs(fpg), frags, (0, 0), width, height, 4)  # type: ignore[arg-type]
    assert sum(band.groups for band in grid.bands) == groups
    assert sum(band.frags for band in grid.bands) == frags
    assert all(band.cells == -(-band.frags // grid.cell) for band in grid.bands)
    assert grid.columns * grid.width <= width
    assert grid.rows * grid.lines <= height
