"""Damage that no crash leaves behind is found, told and repaired; wrecks end in an error."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from rumpfs.base.errors import DiskError
from rumpfs.fs.ffs.fsck.finding import Unexpected, preen, yes
from rumpfs.fs.ffs.fsck.run import NoRoot
from rumpfs.ondisk.layout import BIG, LITTLE
from rumpfs.ondisk.ufs.dinode import IFMT, IFREG
from tests.fs.ffs.checker import Checker
from tests.fs.ffs.editor import Editor
from tests.fs.ffs.fscking import fsck
from tests.fs.ffs.harness import content, mounted, readdir, resolve
from tests.fs.ffs.test_newfs import make
from tests.images_util import freebsd_image, freebsd_images, makefs, netbsd_image, scratch_copy

MIB = 1 << 20
#: fsck_ffs wants to be run again after repairs that bring others about.
ROUNDS = 3


@pytest.fixture(params=[(1, "le"), (1, "be"), (2, "le"), (2, "be")], ids=lambda p: f"{p[0]}{p[1]}")
def image(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A file system with /a, /b, /dir/c and /dir/sub/d."""
    version, order = request.param
    tree = tmp_path / "tree"
    (tree / "dir" / "sub").mkdir(parents=True)
    for name, size in (("a", 100), ("b", 20000), ("dir/c", 3000), ("dir/sub/d", 5)):
        (tree / name).write_bytes(name[-1:].encode() * size)
    return makefs(tree, tmp_path / "img", version, order, 8192, 1024, "-s", "4m")


Damage = Callable[[Editor], object]


def _inode(path: str, **fields: int) -> Damage:
    return lambda editor: editor.change_inode(editor.ino(path), **fields)


def _same_block(editor: Editor) -> None:
    editor.change_pointer(editor.ino("/a"), 0, editor.dinode(editor.ino("/b")).di_db[0])


def _entry(name: bytes, ino: int | None = None, dtype: int | None = None) -> Damage:
    """Change an entry of /dir."""

    def change(editor: Editor) -> None:
        offset = editor.dirent(editor.ino("/dir"), name)
        if ino is not None:
            editor.write(offset, struct.pack(f"{editor.fs.order}I", ino))
        if dtype is not None:
            editor.write(offset + 6, bytes([dtype]))

    return change


def _garbage(editor: Editor) -> None:
    """Let the second half of a directory be noise."""
    ino = editor.ino("/dir/sub")
    editor.write_directory(ino, editor.directory(ino)[:24] + random.Random(1).randbytes(488))


def _group(offset: int, data: bytes) -> Damage:
    return lambda editor: editor.write(editor.at(editor.fs.cgtod(0)) + offset, data)


def _maps(editor: Editor) -> None:
    """Every frag of a group is said to be free."""
    at = editor.at(editor.fs.cgtod(0))
    (offset,) = struct.unpack(f"{editor.fs.order}i", editor.read(4, at + 96))
    editor.write(at + offset, b"\xff" * 16)


DAMAGE: list[tuple[str, Damage, set[str]]] = [
    ("link count", _inode("/a", di_nlink=7), {"link-count"}),
    ("block count", _inode("/a", di_blocks=4000), {"incorrect-block-count"}),
    ("type", _inode("/a", di_mode=0o170644), {"unknown-file-type"}),
    ("mode zero", _inode("/b", di_mode=0), {"partially-allocated-inode", "unallocated"}),
    ("shared block", _same_block, {"duplicate-block", "bad-file"}),
    ("wild block", lambda e: e.change_pointer(e.ino("/a"), 0, 0x7FFFFF00), {"bad-block", "bad-file"}),
    ("metadata block", lambda e: e.change_pointer(e.ino("/a"), 0, e.fs.cgtod(0)), {"bad-block"}),
    ("unallocated", _entry(b"c", ino=20), {"unallocated", "unreferenced-file"}),
    ("out of range", _entry(b"c", ino=0x7FFFFFFF), {"unreferenced-file"}),
    ("entry type", _entry(b"c", dtype=4), {"bad-type"}),
    ("dot", _entry(b".", ino=2), {"bad-dot"}),
    ("dotdot", _entry(b"..", ino=5), {"bad-dotdot"}),
    ("lost directory", _entry(b"sub", ino=0), {"unreferenced-directory"}),
    ("noise", _garbage, {"directory-corrupted", "unreferenced-file"}),
    ("short directory", _inode("/dir/sub", di_size=600), {"directory-length"}),
    ("group", _group(4, bytes(4)), {"group-magic"}),
    ("group counters", _group(24, bytes(16)), {"summary-information"}),
    ("group map", _maps, {"bit-maps"}),
    ("summary", lambda e: e.write(e.at(e.fs.fs_csaddr), bytes(16)), {"free-counts"}),
    ("minfree", lambda e: e.superblock(fs_minfree=120), {"impossible-minfree"}),
    ("optimization", lambda e: e.superblock(fs_optim=9), {"undefined-optimization"}),
    ("largest file", lambda e: e.superblock(fs_maxfilesize=99), {"incorrect-maxfilesize"}),
]  # fmt: skip


def _repaired(image: Path) -> None:
    """Repair an image until nothing is left, and have it judged by the independent checker."""
    for _ in range(ROUNDS):
        if not fsck(image, yes, write=True).result.unresolved:
            break
    again = fsck(image, yes)
    assert (again.kinds, again.result.modified, again.result.clean) == ([], False, True)
    assert Checker(image).complaints == []


@pytest.mark.oracle("makefs")
@pytest.mark.parametrize(("damage", "kinds"), [row[1:] for row in DAMAGE], ids=[row[0] for row in DAMAGE])
def test_damage_is_found_and_repaired(image: Path, damage: Damage, kinds: set[str]) -> None:
    with Editor(image) as editor:
        damage(editor)
    before = image.read_bytes()
    found = fsck(image)
    assert kinds <= set(found.kinds)
    assert found.result.unresolved
    assert image.read_bytes() == before
    _repaired(image)


@pytest.mark.oracle("makefs")
def test_a_file_without_a_name_is_in_lost_and_found(image: Path) -> None:
    with Editor(image) as editor:
        ino = editor.ino("/dir/c")
        _entry(b"c", ino=0)(editor)
    _repaired(image)
    with mounted(image) as mp:
        (name,) = {entry.name for entry in readdir(resolve(mp, "/lost+found"))} - {b".", b".."}
        assert (name[:1], int(name[1:])) == (b"#", ino)
        vp = resolve(mp, f"/lost+found/{name.decode()}")
        assert b"".join(content(vp)) == b"c" * 3000


@pytest.mark.oracle("makefs")
def test_a_directory_without_a_name_is_in_lost_and_found_with_all_that_is_in_it(image: Path) -> None:
    with Editor(image) as editor:
        ino = editor.ino("/dir/sub")
        _entry(b"sub", ino=0)(editor)
    _repaired(image)
    with mounted(image) as mp:
        names = {entry.name for entry in readdir(resolve(mp, "/lost+found"))} - {b".", b".."}
        assert [int(name[1:]) for name in names] == [ino]
        path = f"/lost+found/{names.pop().decode()}"
        assert b"".join(content(resolve(mp, f"{path}/d"))) == b"d" * 5
        root = resolve(mp, f"{path}/../..")
        assert root.getattr().fileid == 2


@pytest.mark.oracle("makefs")
def test_names_of_a_directory_that_is_cleared_take_another_check(image: Path) -> None:
    """The directory and a file share a block: both go, and what was in the directory has no name then."""
    with Editor(image) as editor:
        block = editor.dinode(editor.ino("/dir")).di_db[0]
        editor.change_pointer(editor.ino("/a"), 0, block)
    first = fsck(image, yes, write=True).result
    assert first.unresolved
    assert not first.clean
    _repaired(image)


@pytest.mark.oracle("makefs")
@pytest.mark.parametrize("damage", [_same_block, _entry(b".", ino=2), _inode("/a", di_nlink=0)])
def test_preening_gives_up_at_what_no_crash_leaves(image: Path, damage: Damage) -> None:
    with Editor(image) as editor:
        damage(editor)
    before = image.read_bytes()
    with pytest.raises(Unexpected, match="RUN fsck MANUALLY"):
        fsck(image, preen, write=True)
    assert image.read_bytes() == before


# --- the root directory


def test_a_root_directory_that_is_gone_is_made_anew(tmp_path: Path) -> None:
    image = tmp_path / "img"
    make(image, 4 * MIB)
    with Editor(image) as editor:
        editor.change_inode(2, di_mode=0)
    with pytest.raises(NoRoot):
        fsck(image)
    _repaired(image)
    with mounted(image) as mp:
        assert {entry.name for entry in readdir(mp.mnt_root)} >= {b".", b".."}


# --- check hashes of FreeBSD, quotas of NetBSD


@pytest.mark.parametrize("name", freebsd_images())
def test_a_wrong_check_hash_is_found_and_set(name: str, tmp_path: Path) -> None:
    image = scratch_copy(freebsd_image(name), tmp_path)
    with Editor(image) as editor:
        ino, di = next((ino, di) for ino, di in editor.inodes() if di.di_mode & IFMT == IFREG)
        editor.change_inode(ino, di_mtime=di.di_mtime + 1)
        editor.superblock(fs_time=1)
    kinds = fsck(image).kinds
    assert "inode-hash" in kinds
    assert "superblock-hash" in kinds
    _repaired(image)


@pytest.mark.parametrize("name", ["quota2-v1be", "quota2-v2le"])
def test_usage_that_the_quotas_do_not_know_is_found_and_set(name: str, tmp_path: Path) -> None:
    image = scratch_copy(netbsd_image(name), tmp_path)
    with Editor(image) as editor:
        ino, di = [(i, d) for i, d in editor.inodes() if d.di_mode & IFMT == IFREG and d.di_blocks][-1]
        editor.change_inode(ino, di_gid=di.di_gid + 12345)
    assert set(fsck(image).kinds) == {"quota-usage"}
    for _ in range(ROUNDS):
        fsck(image, yes, write=True)
    assert fsck(image).kinds == []


# --- wrecks


@pytest.mark.parametrize("order", [LITTLE, BIG])
@pytest.mark.parametrize("version", [1, 2])
def test_noise_ends_in_findings_or_in_an_error(version: int, order: str, tmp_path: Path) -> None:
    draw = random.Random(version)
    pristine = tmp_path / "pristine"
    make(pristine, 2 * MIB, version=version, order=order, bsize=4096, fsize=512)
    image = tmp_path / "img"
    for _ in range(12):
        data = bytearray(pristine.read_bytes())
        for _ in range(draw.choice((1, 20, 400))):
            place = draw.randrange(200_000)
            data[place : place + 8] = draw.randbytes(8)
        image.write_bytes(data)
        try:
            fsck(image)
            for _ in range(ROUNDS):
                fsck(image, yes, write=True)
            assert fsck(image).kinds == []
        except (DiskError, NoRoot):
            continue


@pytest.mark.parametrize(
    "fields",
    [{"fs_old_postblformat": -1, "fs_old_flags": 0}, {"fs_contigsumsize": 30000}, {"fs_old_cpg": 1 << 20}],
)
def test_groups_of_another_layout_are_refused(fields: dict[str, int], tmp_path: Path) -> None:
    image = tmp_path / "img"
    make(image, 2 * MIB)
    with Editor(image) as editor:
        editor.superblock(**fields)
    with pytest.raises(DiskError, match="cylinder group"):
        fsck(image, yes)


@pytest.mark.parametrize("size", [0, 1, 8192, 9000, 20000, 100_000, MIB])
def test_a_cut_image_is_refused(size: int, tmp_path: Path) -> None:
    image = tmp_path / "img"
    make(image, 2 * MIB)
    with image.open("rb+") as stream:
        stream.truncate(size)
    with pytest.raises(DiskError):
        fsck(image)
