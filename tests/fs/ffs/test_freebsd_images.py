"""Images that FreeBSD's newfs and kernel made, on machines of both byte orders.

../shared/images/README.md says what is in them.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from rumpfs.fs.ffs.ufsmount import FfsMount
from rumpfs.vfs.vnode import VLNK, VREG
from tests.fs.ffs.harness import CHUNK, mounted, readdir, resolve, sha256, walk
from tests.images_util import freebsd_image, freebsd_images

BSIZE = 32768
#: Pointers in an indirect block.
NINDIR = BSIZE // 8

#: First block that needs the double, and the triple indirect block.
DOUBLE = 12 + NINDIR
TRIPLE = 12 + NINDIR + NINDIR**2


@pytest.fixture(params=freebsd_images())
def mp(request: pytest.FixtureRequest) -> Iterator[FfsMount]:
    with mounted(freebsd_image(request.param)) as mount:
        yield mount


def test_every_file_is_there(mp: FfsMount) -> None:
    assert sorted(path for path, _ in walk(mp.mnt_root)) == [
        b"/.snap", b"/dir1", b"/dir1/dir2", b"/dir1/dir2/dir3", b"/dir1/dir2/dir3/file2", b"/file1",
        b"/file3", b"/link1", b"/long-link", b"/sparse", b"/sparse2", b"/sparse3", b"/xattrs", b"/xattrs2",
        b"/xattrs3",
    ]  # fmt: skip


def test_small_files(mp: FfsMount) -> None:
    assert resolve(mp, "/dir1/dir2/dir3/file2").read(0, 100) == b"Hello World\n"
    assert resolve(mp, "/file1").read(0, 100) == b"This is a simple file.\n"
    for name in ("/xattrs", "/xattrs2", "/xattrs3"):
        assert resolve(mp, name).read(0, 100) == b""


def test_a_file_with_an_indirect_block(mp: FfsMount) -> None:
    vp = resolve(mp, "/file3")
    assert vp.read(0, CHUNK) == b"".join(b"%015x\n" % line for line in range(65536))
    assert vp.read(0x8000 * 16, 16) == b"000000000008000\n"


def test_symbolic_links(mp: FfsMount) -> None:
    assert resolve(mp, "/link1").readlink() == b"dir1/dir2/dir3/file2"
    text = resolve(mp, "/long-link").readlink()
    assert text[:1016] == b"./" * 508
    assert len(text) == resolve(mp, "/long-link").size() == 1023
    assert resolve(mp, text[1016:]).v_type == VREG


@pytest.mark.parametrize(
    ("name", "data", "length"),
    [("/sparse", DOUBLE, BSIZE), ("/sparse2", DOUBLE, 4096), ("/sparse3", TRIPLE, BSIZE)],
)
def test_sparse_files_at_their_boundaries(mp: FfsMount, name: str, data: int, length: int) -> None:
    """`data` is the block that holds x's, `length` bytes up to the end of the file; all before are zeros."""
    vp = resolve(mp, name)
    start = data * BSIZE
    assert vp.size() == start + length
    assert vp.read(start, CHUNK) == b"x" * length
    assert vp.read(start - 1, 2) == b"\0x"
    assert vp.read(start + length - 1, 100) == b"x"
    assert vp.read(start + length, 100) == b""
    for lbn in (0, 11, 12, 13, DOUBLE - 2, DOUBLE - 1, data - 1):
        position = lbn * BSIZE
        expected = b"\0" * min(2 * BSIZE, start - position) + b"x" * max(0, position + 2 * BSIZE - start)
        assert vp.read(position, 2 * BSIZE) == expected[: vp.size() - position], lbn


@pytest.mark.parametrize(
    ("name", "blocks"),
    [
        ("/sparse", 2 + 1 + 2),  # data, the single indirect block, two levels of the double one
        ("/sparse2", 2 + 1 + 2),
        ("/sparse3", 2 + 2 + 3),  # data, two levels of the double and three of the triple one
    ],
)
def test_sparse_files_have_the_blocks_that_they_occupy(mp: FfsMount, name: str, blocks: int) -> None:
    assert resolve(mp, name).getattr().blocks == blocks * BSIZE // 512


def test_the_whole_of_a_sparse_file_is_read_quickly(mp: FfsMount) -> None:
    zeros = resolve(mp, "/sparse2").size() - 4096
    vp = resolve(mp, "/sparse2")
    nonzero = 0
    offset = 0
    while data := vp.read(offset, 4 * CHUNK):
        nonzero += len(data) - data.count(0)
        offset += len(data)
    assert (offset, nonzero) == (zeros + 4096, 4096)


def test_snapshot_directory_is_listed(mp: FfsMount) -> None:
    assert [entry.name for entry in readdir(resolve(mp, "/.snap"))] == [b".", b".."]


def test_both_machines_wrote_the_same_tree() -> None:
    def tree(name: str) -> dict[bytes, tuple[int, int, object]]:
        with mounted(freebsd_image(name)) as mount:
            return {
                path: (vp.v_type, vp.size(), vp.readlink() if vp.v_type == VLNK else None)
                for path, vp in walk(mount.mnt_root)
            } | {b"hash": (0, 0, sha256(resolve(mount, "/file3")))}

    if not freebsd_images():
        pytest.skip("no directory ../shared/images/freebsd")
    little, big = (tree(name) for name in ("ufs-little", "ufs-big"))
    assert little == big
