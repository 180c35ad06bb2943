"""Old and foreign forms of an FFS, made by patching images of makefs(8): the same tree must come out."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from rumpfs.abi import errno
from rumpfs.base.errors import VfsError
from rumpfs.ondisk.ufs.dinode import IFDIR, IFLNK, IFMT
from rumpfs.ondisk.ufs.fs import FS, FS_BAD_MAGIC, FS_UFS2EA_MAGIC
from rumpfs.vfs.mount import StatVfs
from rumpfs.vfs.vnode import VLNK, VREG, Vattr
from tests.fs.ffs.editor import Editor
from tests.fs.ffs.harness import mounted, readdir, resolve, sha256, walk
from tests.images_util import makefs, pattern, scratch_copy, standard_tree

pytestmark = pytest.mark.oracle("makefs")

Tree = dict[bytes, tuple[Vattr, object]]
#: ufs(1 | 2, "<" | ">") -> a fresh image of the standard tree
Ufs = Callable[[int, str], Path]


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[int, str], Path]:
    directory = tmp_path_factory.mktemp("variants")
    tree = standard_tree(directory / "tree")
    return {
        (version, order): makefs(tree, directory / f"{version}{order}", version, order, 8192, 1024)
        for version in (1, 2)
        for order in "<>"
    }


@pytest.fixture
def ufs(originals: dict[tuple[int, str], Path], tmp_path: Path) -> Ufs:
    return lambda version, order: scratch_copy(originals[version, order], tmp_path)


def _tree(image: Path) -> Tree:
    """Describe the whole of an image."""
    with mounted(image) as mp:
        return {
            path: (
                vp.getattr(),
                sha256(vp) if vp.v_type == VREG else vp.readlink() if vp.v_type == VLNK else None,
            )
            for path, vp in walk(mp.mnt_root)
        }


def _statvfs(image: Path) -> StatVfs:
    with mounted(image) as mp:
        return mp.statvfs()


@pytest.mark.parametrize("order", "<>")
def test_old_superblock_layout(ufs: Ufs, order: str) -> None:
    """Without FS_FLAGS_UPDATED the bytes of the 64-bit fields are rotational tables; the old fields count."""
    image = ufs(1, order)
    tree, space = _tree(image), _statvfs(image)
    with Editor(image) as editor:
        first, last = FS.offset("fs_maxbsize"), FS.offset("fs_contigsumsize")
        editor.write(editor.fs.offset + first, pattern("rotational tables", last - first))
        editor.superblock(fs_old_flags=0)
    with mounted(image) as mp:
        assert mp.um_fs.old_layout
    assert _tree(image) == tree
    assert _statvfs(image) == space


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("maxsymlinklen", [0, -1])
def test_old_inodes_and_directories(ufs: Ufs, order: str, maxsymlinklen: int) -> None:
    """4.2BSD: 16-bit owners, no types in directories; short links in the inode only while nothing says -1."""
    image = ufs(1, order)
    tree = _tree(image)
    with Editor(image) as editor:
        for ino, dinode in list(editor.inodes()):
            offset = editor.fs.ino_to_byte(ino)
            owner = struct.pack(order + "HH", dinode.di_uid & 0xFFFF, dinode.di_gid & 0xFFFF)
            editor.write(offset + 4, owner)
            editor.write(offset + 112, bytes(8))
            if dinode.di_mode & IFMT == IFDIR:
                editor.write_directory(ino, editor.old_dirents(editor.directory(ino)))
        editor.superblock(fs_maxsymlinklen=maxsymlinklen, fs_old_inodefmt=-1)
    found = _tree(image) if maxsymlinklen == 0 else _without_short_links(image)
    expected = {
        path: (va._replace(uid=va.uid & 0xFFFF, gid=va.gid & 0xFFFF), data)
        for path, (va, data) in tree.items()
        if path in found
    }
    assert found == expected
    assert len(found) > 740
    with mounted(image) as mp:
        assert {entry.type for entry in readdir(mp.mnt_root)} == {0}


def _without_short_links(image: Path) -> Tree:
    """Describe an image except for links whose text is in the inode."""
    with mounted(image) as mp:
        kept = {}
        for path, vp in walk(mp.mnt_root):
            va = vp.getattr()
            if va.mode & IFMT == IFLNK and va.blocks == 0:
                continue
            kept[path] = (
                va,
                sha256(vp) if vp.v_type == VREG else vp.readlink() if vp.v_type == VLNK else None,
            )
        return kept


@pytest.mark.parametrize("order", "<>")
def test_ufs2_with_extended_attributes_has_another_magic(ufs: Ufs, order: str) -> None:
    image = ufs(2, order)
    tree = _tree(image)
    with Editor(image) as editor:
        editor.superblock(fs_magic=FS_UFS2EA_MAGIC)
    with mounted(image) as mp:
        assert mp.um_fs.fs_magic == FS_UFS2EA_MAGIC
    assert _tree(image) == tree


@pytest.mark.parametrize("order", "<>")
def test_inodes_that_were_never_initialised_are_not_read(
    ufs: Ufs, order: str, caplog: pytest.LogCaptureFixture
) -> None:
    """UFS2 initialises its inode tables lazily; what lies behind cg_initediblk is garbage."""
    image = ufs(2, order)
    tree = _tree(image)
    with Editor(image) as editor:
        fs = editor.fs
        beyond = 0
        for cg in range(fs.fs_ncg):
            first = editor.initialised(cg)
            beyond += fs.fs_ipg - first
            offset = fs.ino_to_byte(cg * fs.fs_ipg + first) if first < fs.fs_ipg else 0
            editor.write(offset, b"\xff" * ((fs.fs_ipg - first) * fs.dinode_size))
        assert beyond > 0
    assert _tree(image) == tree
    assert caplog.text == ""


def test_a_name_of_an_uninitialised_inode_is_damage(ufs: Ufs, caplog: pytest.LogCaptureFixture) -> None:
    image = ufs(2, "<")
    with Editor(image) as editor:
        ino = editor.initialised(0)
        assert ino < editor.fs.fs_ipg
        # A whole inode lies there, so that only cg_initediblk tells.
        good = editor.read(256, editor.fs.ino_to_byte(editor.ino("/f512")))
        editor.write(editor.fs.ino_to_byte(ino), good)
        editor.write(editor.dirent(2, b"f1"), struct.pack("<I", ino))
    with mounted(image) as mp:
        with pytest.raises(VfsError) as caught:
            mp.mnt_root.lookup(b"f1")
        assert caught.value.errno == errno.EIO
        assert mp.mnt_root.lookup(b"f512") is not None
    assert f"inode {ino}: cg_initediblk" in caplog.text


def test_a_stale_ufs1_superblock_below_ufs2_is_not_looked_at(tmp_path: Path) -> None:
    """A UFS2 at its standard place, and at 8192 what an older newfs left there."""
    tree = standard_tree(tmp_path / "tree")
    image = makefs(tree, tmp_path / "two", 2, "<", 65536, 8192)
    stale = makefs(tree, tmp_path / "one", 1, "<", 8192, 1024)
    expected = _tree(image)
    with Editor(image) as editor, Editor(stale) as old:
        # With 64 KiB blocks the copy of the first group is where the primary of a UFS2 belongs.
        row = FS.codec("<").unpack(editor.read(FS.size, 65536))
        editor.write(65536, FS.codec("<").pack(row._replace(fs_sblockloc=65536)))
        editor.write(8192, old.read(8192, 8192))
    with mounted(image) as mp:
        assert (mp.um_fs.ufs2, mp.um_fs.offset) == (True, 65536)
    assert _tree(image) == expected


@pytest.mark.parametrize(("clean", "warns"), [(0, True), (1, False), (2, True), (3, False), (4, True)])
def test_only_bit_0_of_fs_clean_means_clean(
    ufs: Ufs, clean: int, warns: bool, caplog: pytest.LogCaptureFixture
) -> None:
    image = ufs(1, ">")
    with Editor(image) as editor:
        editor.superblock(fs_clean=clean)
    with mounted(image):
        assert ("was not unmounted cleanly" in caplog.text) == warns


def test_an_unfinished_newfs_is_refused(ufs: Ufs) -> None:
    image = ufs(2, "<")
    with Editor(image) as editor:
        editor.superblock(fs_magic=FS_BAD_MAGIC)
    with pytest.raises(VfsError, match="newfs was interrupted") as caught, mounted(image):
        pass
    assert caught.value.errno == errno.EINVAL


def test_no_file_system_at_all(tmp_path: Path) -> None:
    for content in (b"", b"x", bytes(1 << 20), pattern("noise", 1 << 18)):
        image = tmp_path / "image"
        image.write_bytes(content)
        with pytest.raises(VfsError) as caught, mounted(image):
            pass
        assert caught.value.errno == errno.EINVAL


def test_writing_is_refused(ufs: Ufs) -> None:
    with pytest.raises(VfsError) as caught, mounted(ufs(2, "<"), flags=0):
        pass
    assert caught.value.errno == errno.EROFS


@pytest.mark.parametrize(("version", "order"), [(1, "<"), (1, ">"), (2, "<"), (2, ">")])
@pytest.mark.parametrize("dirhash_max", [1 << 30, 0], ids=["in memory", "on disk"])
def test_unused_entries_and_whiteouts_are_hidden(
    ufs: Ufs, version: int, order: str, dirhash_max: int
) -> None:
    image = ufs(version, order)
    with Editor(image) as editor:
        many = editor.ino("/many")
        data = editor.directory(many)
        names = [name for _, _, _, name in editor.dirents(data)]
        changed = bytearray(data)
        for index, (offset, _, _, _) in enumerate(editor.dirents(data)):
            if index % 10 == 3:
                struct.pack_into(order + "I", changed, offset, 0)
            elif index % 10 == 7:
                struct.pack_into(order + "I", changed, offset, 1)
                changed[offset + 6] = 14
        editor.write_directory(many, bytes(changed))
    left = [name for index, name in enumerate(names) if index % 10 not in (3, 7)]
    with mounted(image) as mp:
        mp.um_dirhash_max = dirhash_max
        dvp = resolve(mp, "/many")
        assert [entry.name for entry in readdir(dvp)] == left
        for name in names[2:]:
            assert (dvp.lookup(name) is not None) == (name in left)
