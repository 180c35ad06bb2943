"""Damaged images: an errno, a line in the log, and whatever else is still readable; in bounded time."""

from __future__ import annotations

import logging
import random
import struct
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from rumpfs.abi.errno import EINVAL, EIO
from rumpfs.base.errors import VfsError
from rumpfs.ondisk.ufs.fs import FS_SIZE, ROOTINO
from rumpfs.vfs.vnode import Vnode
from tests.fs.ffs.editor import Editor
from tests.fs.ffs.harness import mounted, readdir, resolve, sha256, unpack_dirents, visit
from tests.images_util import EDGE_SIZES, makefs, pattern, scratch_copy

pytestmark = pytest.mark.oracle("makefs")

VERSIONS = [(1, "<"), (1, ">"), (2, "<"), (2, ">")]
BSIZE, FSIZE = 4096, 512
#: Blocks of /file: direct ones, all of a single indirect block of either version, some of the double one.
BLOCKS = 12 + BSIZE // 4 + 20
NAMES = 200

Damaged = Callable[[int, str], Path]


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[int, str], Path]:
    directory = tmp_path_factory.mktemp("damage")
    tree = directory / "tree"
    (tree / "dir" / "sub").mkdir(parents=True)
    (tree / "file").write_bytes(pattern("file", BLOCKS * BSIZE))
    for size in EDGE_SIZES:
        (tree / f"f{size}").write_bytes(pattern(f"f{size}", size))
    for index in range(NAMES):
        (tree / "dir" / f"name-{index:03}").write_bytes(b"%d" % index)
    (tree / "short").symlink_to("dir/sub")
    (tree / "long").symlink_to("./" * 150 + "dir")
    return {
        (version, order): makefs(tree, directory / f"{version}{order}", version, order, BSIZE, FSIZE)
        for version, order in VERSIONS
    }


@pytest.fixture
def damaged(originals: dict[tuple[int, str], Path], tmp_path: Path) -> Damaged:
    return lambda version, order: scratch_copy(originals[version, order], tmp_path)


def _fails(action: Callable[[], object], number: int = EIO) -> None:
    with pytest.raises(VfsError) as caught:
        action()
    assert caught.value.errno == number


@pytest.mark.parametrize(("version", "order"), VERSIONS)
@pytest.mark.parametrize("frag", [-1, -(2**31), 2**31 - 1, "fs_size", "last"])
def test_a_pointer_out_of_the_file_system(
    damaged: Damaged, version: int, order: str, frag: int | str, caplog: pytest.LogCaptureFixture
) -> None:
    image = damaged(version, order)
    with Editor(image) as editor:
        last = {"fs_size": editor.fs.fs_size, "last": editor.fs.fs_size - 1}
        ino = editor.ino("/file")
        editor.change_pointer(ino, 3, last[frag] if isinstance(frag, str) else frag)
    data = pattern("file", BLOCKS * BSIZE)
    with mounted(image) as mp:
        vp = resolve(mp, "/file")
        assert vp.read(0, 3 * BSIZE) == data[: 3 * BSIZE]
        assert vp.read(4 * BSIZE, BSIZE) == data[4 * BSIZE : 5 * BSIZE]
        for _ in range(3):
            _fails(lambda: vp.read(3 * BSIZE, 1))
            _fails(lambda: vp.read(0, 5 * BSIZE))
        assert vp.getattr().size == len(data)
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == 1
    assert f"inode {ino}: block 3: address is" in messages[0]


@pytest.mark.parametrize(("version", "order"), VERSIONS)
@pytest.mark.parametrize("frag", [-8, 2**31 - 8, "fs_size"])
@pytest.mark.parametrize("level", [0, 1])
def test_an_indirect_block_out_of_the_file_system(
    damaged: Damaged, version: int, order: str, frag: int | str, level: int
) -> None:
    image = damaged(version, order)
    with Editor(image) as editor:
        ino = editor.ino("/file")
        ib = list(editor.dinode(ino).di_ib)
        ib[level] = editor.fs.fs_size if isinstance(frag, str) else frag
        editor.change_inode(ino, di_ib=tuple(ib))
        first = 12 if level == 0 else 12 + editor.fs.fs_nindir
    with mounted(image) as mp:
        vp = resolve(mp, "/file")
        assert vp.read(0, 12 * BSIZE) == pattern("file", BLOCKS * BSIZE)[: 12 * BSIZE]
        _fails(lambda: vp.read(first * BSIZE, 1))
        _fails(lambda: vp.read(first * BSIZE - 1, 2))


@pytest.mark.parametrize(("version", "order"), VERSIONS)
def test_indirect_blocks_in_a_circle(damaged: Damaged, version: int, order: str) -> None:
    """A triple indirect block whose pointers lead to itself maps every block to itself, and no further."""
    image = damaged(version, order)
    with Editor(image) as editor:
        ino = editor.ino("/file")
        n = editor.fs.fs_nindir
        circle = editor.dinode(ino).di_ib[0]
        editor.pointer_block(circle, dict.fromkeys(range(n), circle))
        editor.change_inode(ino, di_ib=(circle, circle, circle), di_size=(12 + n + n**2 + n**3) * BSIZE)
        block = editor.read(BSIZE, editor.at(circle))
    with mounted(image) as mp:
        vp = resolve(mp, "/file")
        started = time.process_time()
        for lbn in (12, 12 + n, 12 + n + n**2, 12 + n + n**2 + n**3 - 1):
            assert vp.read(lbn * BSIZE, BSIZE) == block
        assert len(vp.read(12 * BSIZE, 4 << 20)) == 4 << 20
        assert time.process_time() - started < 1


@pytest.mark.parametrize(("version", "order"), VERSIONS)
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("di_mode", 0),
        ("di_mode", 0o150644),
        ("di_mode", 0o160000),
        ("di_size", 2**64 - 1),
        ("di_size", 2**63),
    ],
)
def test_an_inode_that_cannot_be(damaged: Damaged, version: int, order: str, field: str, value: int) -> None:
    image = damaged(version, order)
    with Editor(image) as editor:
        editor.change_inode(editor.ino("/f512"), **{field: value})
    with mounted(image) as mp:
        _fails(lambda: resolve(mp, "/f512"))
        assert b"f512" in [entry.name for entry in readdir(mp.mnt_root)]
        assert resolve(mp, "/f511").read(0, 4096) == pattern("f511", 511)


@pytest.mark.parametrize(("version", "order"), VERSIONS)
def test_fields_that_struct_stat_cannot_hold(damaged: Damaged, version: int, order: str) -> None:
    image = damaged(version, order)
    with Editor(image) as editor:
        ino = editor.ino("/f512")
        top = 2**64 - 1 if version == 2 else 2**32 - 1
        editor.change_inode(
            ino, di_nlink=-1, di_blocks=top, di_gen=-1, di_atimensec=-1, di_flags=2**32 - 1 - 0x200000
        )
    with mounted(image) as mp:
        vp = resolve(mp, "/f512")
        assert vp.getattr().nlink == 2**32 - 1
        assert len(vp.stat()) == 152


@pytest.mark.parametrize(("version", "order"), VERSIONS)
@pytest.mark.parametrize("dirhash_max", [1 << 30, 0], ids=["in memory", "on disk"])
def test_a_damaged_entry_costs_its_chunk(
    damaged: Damaged, version: int, order: str, dirhash_max: int, caplog: pytest.LogCaptureFixture
) -> None:
    image = damaged(version, order)
    with Editor(image) as editor:
        ino = editor.ino("/dir")
        entries = list(editor.dirents(editor.directory(ino)))
        bad = next(index for index, (offset, _, _, _) in enumerate(entries) if offset % 512 > 200)
        broken = entries[bad][0]
        lost = {name for offset, _, _, name in entries if broken <= offset < (broken | 511) + 1}
        editor.write(editor.at(editor.dinode(ino).di_db[0]) + broken + 4, struct.pack(order + "H", 3))
    with mounted(image) as mp:
        mp.um_dirhash_max = dirhash_max
        dvp = resolve(mp, "/dir")
        data, following = dvp.readdir(0, 65536)
        assert [entry.name for entry in unpack_dirents(bytes(data))] == [
            name for _, _, _, name in entries if name not in lost
        ]
        _fails(lambda: dvp.readdir(following, 65536))
        for _, _, _, name in entries[2:]:
            if name in lost:
                _fails(lambda name=name: dvp.lookup(name))
            else:
                assert dvp.lookup(name) is not None
        if dirhash_max:
            _fails(lambda: dvp.lookup(b"no such name"))
    assert f"directory inode {ino}: entry at byte {broken}: d_reclen is 3" in caplog.text
    assert len(caplog.records) == 1


@pytest.mark.parametrize(("version", "order"), VERSIONS)
@pytest.mark.parametrize("dirhash_max", [1 << 30, 0], ids=["in memory", "on disk"])
def test_a_directory_with_a_hole(damaged: Damaged, version: int, order: str, dirhash_max: int) -> None:
    image = damaged(version, order)
    with Editor(image) as editor:
        ino = editor.ino("/dir")
        assert editor.dinode(ino).di_size > BSIZE
        names = [name for offset, _, _, name in editor.dirents(editor.directory(ino)) if offset >= BSIZE]
        editor.change_pointer(ino, 0, 0)
    with mounted(image) as mp:
        mp.um_dirhash_max = dirhash_max
        dvp = resolve(mp, "/dir")
        data, following = dvp.readdir(0, 65536)
        assert [entry.name for entry in unpack_dirents(bytes(data))] == names
        _fails(lambda: dvp.readdir(following, 65536))
        assert dvp.lookup(names[0]) is not None
        _fails(lambda: dvp.lookup(b"name-000"))


@pytest.mark.parametrize(("version", "order"), VERSIONS)
@pytest.mark.parametrize("dirhash_max", [1 << 40, 0], ids=["in memory", "on disk"])
@pytest.mark.parametrize("size", [2**31 - 512, 2**31, 2**38, (1 << 30) + 7])
def test_a_directory_of_absurd_size(
    damaged: Damaged, version: int, order: str, dirhash_max: int, size: int
) -> None:
    """Most of it is a hole, or one block over and over again: neither may take long."""
    image = damaged(version, order)
    with Editor(image) as editor:
        ino = editor.ino("/dir")
        block = editor.dinode(ino).di_db[0]
        table = editor.dinode(editor.ino("/file")).di_ib[0]
        editor.pointer_block(table, dict.fromkeys(range(editor.fs.fs_nindir), block))
        editor.change_inode(ino, di_size=size, di_ib=(table, table, 0))
    with mounted(image) as mp:
        mp.um_dirhash_max = dirhash_max
        dvp = resolve(mp, "/dir")
        started = time.process_time()
        _fails(lambda: dvp.lookup(b"no such name"))
        try:
            assert len(readdir(dvp)) < 10_000
        except VfsError as error:
            number = error.errno
        assert number == EIO
        assert time.process_time() - started < 5


@pytest.mark.parametrize(("version", "order"), VERSIONS)
def test_directories_in_a_circle(damaged: Damaged, version: int, order: str) -> None:
    image = damaged(version, order)
    with Editor(image) as editor:
        sub = editor.ino("/dir/sub")
        # "dir/name-000" becomes another name of the root, and the root says that it is below dir/sub.
        directory = editor.ino("/dir")
        editor.write(editor.dirent(directory, b"name-000"), struct.pack(order + "I", ROOTINO))
        editor.write(editor.dirent(ROOTINO, b".."), struct.pack(order + "I", sub))
    with mounted(image) as mp:
        assert resolve(mp, "/dir/name-000") is mp.mnt_root
        vp: Vnode | None = mp.mnt_root
        for _ in range(100):
            assert vp is not None
            vp = vp.lookup(b"dir")
            assert vp is not None
            vp = vp.lookup(b"name-000")
        assert vp is mp.mnt_root
        count, errors = visit(mp.mnt_root)
        assert (count, errors) == (len(EDGE_SIZES) + NAMES + 5, set())


@pytest.mark.parametrize(("version", "order"), VERSIONS)
def test_an_image_that_was_cut_short(
    damaged: Damaged, version: int, order: str, caplog: pytest.LogCaptureFixture
) -> None:
    image = damaged(version, order)
    with Editor(image) as editor:
        fs = editor.fs
        dinode = editor.dinode(editor.ino("/file"))
        end = editor.at(dinode.di_db[5])
    with image.open("r+b") as stream:
        stream.truncate(end)
    with mounted(image) as mp:
        assert f"fs_size says {fs.bytes_needed} bytes, the device has {end}" in caplog.text
        vp = resolve(mp, "/file")
        assert vp.read(0, 5 * BSIZE) == pattern("file", BLOCKS * BSIZE)[: 5 * BSIZE]
        _fails(lambda: vp.read(5 * BSIZE, 1))
        _fails(lambda: sha256(vp))


def test_a_device_that_shrinks_while_it_is_mounted(damaged: Damaged) -> None:
    image = damaged(2, "<")
    with mounted(image) as mp:
        vp = resolve(mp, "/file")
        assert len(vp.read(0, BSIZE)) == BSIZE
        with image.open("r+b") as stream:
            stream.truncate(8192)
        _fails(lambda: vp.read(0, BSIZE))
        _fails(lambda: vp.read(40 * BSIZE, BSIZE))
        _fails(lambda: readdir(resolve(mp, "/dir")))


@pytest.mark.parametrize(("version", "order"), VERSIONS)
def test_a_damaged_root(damaged: Damaged, version: int, order: str) -> None:
    for mode in (0, 0o100644, 0o120777):
        image = damaged(version, order)
        with Editor(image) as editor:
            editor.change_inode(ROOTINO, di_mode=mode)
        with pytest.raises(VfsError) as caught, mounted(image):
            pass
        assert caught.value.errno == EIO


def test_the_log_stays_short(damaged: Damaged, caplog: pytest.LogCaptureFixture) -> None:
    image = damaged(1, "<")
    with Editor(image) as editor:
        directory = editor.ino("/dir")
        for offset, ino, _, name in editor.dirents(editor.directory(directory)):
            if name.startswith(b"name"):
                editor.change_inode(ino, di_mode=0)
            assert offset < 1 << 20
    with mounted(image) as mp:
        dvp = resolve(mp, "/dir")
        for _ in range(2):
            for index in range(NAMES):
                _fails(lambda name=b"name-%03d" % index: dvp.lookup(name))
    assert 10 < len(caplog.records) < 40
    assert "more damage is not logged; fsck_ffs finds all of it" in caplog.records[-1].getMessage()


def _structures(editor: Editor) -> dict[str, list[tuple[int, int]]]:
    """Return (byte offset, bytes) of the structures of an image, by kind."""
    fs = editor.fs
    inodes = list(editor.inodes())
    file = editor.dinode(editor.ino("/file"))
    return {
        "superblock": [(fs.offset, FS_SIZE)],
        "cylinder group": [(editor.at(fs.cgtod(cg)), fs.fs_cgsize) for cg in range(fs.fs_ncg)],
        "inode": [(fs.ino_to_byte(ino), fs.dinode_size) for ino, _ in inodes],
        "directory": [
            (editor.at(dinode.di_db[0]), min(dinode.di_size, BSIZE))
            for _, dinode in inodes
            if dinode.di_mode >> 12 == 4
        ],
        "indirect block": [(editor.at(frag), BSIZE) for frag in file.di_ib if frag],
    }


KINDS = ["superblock", "cylinder group", "inode", "directory", "indirect block"]


@pytest.mark.slow
@pytest.mark.parametrize(("version", "order"), VERSIONS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("flips", [1, 40])
def test_flipped_bits(
    originals: dict[tuple[int, str], Path], tmp_path: Path, version: int, order: str, kind: str, flips: int
) -> None:
    """Whatever bits are wrong: the mount, or an operation, fails with EINVAL or EIO, or all is well."""
    logging.getLogger("rumpfs.fs.ffs").setLevel(logging.CRITICAL)
    image = scratch_copy(originals[version, order], tmp_path)
    rng = random.Random(f"{version}{order}{kind}{flips}")
    mounts = 0
    try:
        with Editor(image) as editor:
            places = _structures(editor)[kind]
            for _ in range(30):
                changed = _flip(editor, rng, places, flips)
                started = time.process_time()
                mounts += _use(image)
                assert time.process_time() - started < 5
                for offset, data in reversed(changed):
                    editor.write(offset, data)
    finally:
        logging.getLogger("rumpfs.fs.ffs").setLevel(logging.NOTSET)
    assert mounts or kind == "superblock"


def _flip(
    editor: Editor, rng: random.Random, places: list[tuple[int, int]], flips: int
) -> list[tuple[int, bytes]]:
    """Flip bits; return what was there."""
    changed = []
    for _ in range(flips):
        offset, length = rng.choice(places)
        position = offset + rng.randrange(length)
        old = editor.read(1, position)
        changed.append((position, old))
        editor.write(position, bytes([old[0] ^ 1 << rng.randrange(8)]))
    return changed


def _use(image: Path) -> bool:
    """Mount an image and use everything in it; return whether it could be mounted."""
    try:
        with mounted(image) as mp:
            mp.pack_statvfs()
            _, errors = visit(mp.mnt_root)
            assert errors <= {EIO, EINVAL}
            return True
    except VfsError as error:
        if error.errno not in (EIO, EINVAL):
            raise
        return False
