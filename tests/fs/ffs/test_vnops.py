"""Vnodes of an FFS: identity, caches, permissions, lists and limits."""

from __future__ import annotations

import gc
import os
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest

from rumpfs.abi import errno, limits
from rumpfs.base.errors import VfsError
from rumpfs.base.memory import Memory
from rumpfs.fs.ffs.ufsmount import FfsMount
from rumpfs.vfs.cred import VEXEC, VREAD, VWRITE, Cred
from rumpfs.vfs.vnode import VDIR, VREG
from tests.fs.ffs.editor import Editor
from tests.fs.ffs.harness import mounted, readdir, resolve, sha256, squeeze, unpack_dirents, walk
from tests.images_util import makefs, scratch_copy, standard_tree

pytestmark = pytest.mark.oracle("makefs")

USER = Cred(54321, 54321, 54321, 54321, 54321, 54321)  # owns nothing that the tests make


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("vnops")
    return makefs(standard_tree(directory / "tree"), directory / "image", 2, ">", 8192, 1024)


@pytest.fixture
def mp(image: Path) -> Iterator[FfsMount]:
    with mounted(image) as mount:
        yield mount


def _errno(action: object, *args: object) -> int:
    with pytest.raises(VfsError) as caught:
        action(*args)  # type: ignore[operator]
    return caught.value.errno


def test_a_vnode_in_use_is_the_only_one_of_its_inode(mp: FfsMount) -> None:
    held = [vp for path, vp in walk(mp.mnt_root) if path.startswith(b"/f")]
    assert len(held) > 20
    ids = {vp.getattr().fileid: id(vp) for vp in held}
    squeeze(mp.um_memory)
    for path, vp in walk(mp.mnt_root):
        ino = vp.getattr().fileid
        if ino in ids:
            assert id(vp) == ids[ino], path
    assert resolve(mp, "/level0").lookup(b"..") is mp.mnt_root
    assert mp.vget(2) is mp.mnt_root


def test_a_vnode_that_nobody_uses_goes_when_memory_is_short(mp: FfsMount) -> None:
    vp = resolve(mp, "/f512")
    gone = weakref.ref(vp)
    del vp
    assert gone() is not None
    squeeze(mp.um_memory)
    gc.collect()
    assert gone() is None
    assert resolve(mp, "/f512").size() == 512


@pytest.mark.parametrize("limit", [0, 1 << 12, 1 << 16, 1 << 20])
def test_everything_works_with_little_memory(image: Path, limit: int) -> None:
    memory = Memory(limit)
    with mounted(image) as plenty, mounted(image, memory=memory) as mp:
        files = 0
        for (path, vp), (_, other) in zip(walk(mp.mnt_root), walk(plenty.mnt_root), strict=True):
            assert vp.stat() == other.stat()
            assert memory.used <= limit
            if vp.v_type == VREG:
                assert sha256(vp) == sha256(other), path
                files += 1
        assert files > 730
    assert memory.used == 0


@pytest.mark.parametrize("limit", [0, 1 << 14])
def test_large_directories_work_with_little_memory(image: Path, limit: int) -> None:
    with mounted(image, memory=Memory(limit)) as mp:
        mp.um_dirhash_max = 0
        names = [path for path, _ in walk(mp.mnt_root)]
        assert len(names) > 750


def test_permissions(mp: FfsMount) -> None:
    root = mp.mnt_root
    suid, fifo = resolve(mp, "/suid"), resolve(mp, "/fifo")
    suid.access(VREAD | VEXEC, USER)
    assert _errno(suid.access, VWRITE, USER) == errno.EROFS
    assert _errno(suid.access, VWRITE, Cred()) == errno.EROFS
    assert _errno(root.access, VWRITE, Cred()) == errno.EROFS
    assert _errno(resolve(mp, "/f1").access, VEXEC, Cred()) == errno.EACCES
    # What a FIFO takes does not go to the file system; its mode decides.
    fifo.access(VWRITE, Cred())
    assert fifo.getattr().mode & 0o002 == 0
    assert _errno(fifo.access, VWRITE, USER) == errno.EACCES


def test_permissions_of_owner_group_and_others(image: Path, tmp_path: Path) -> None:
    copy = scratch_copy(image, tmp_path)
    with Editor(copy) as editor:
        editor.change_inode(editor.ino("/f1"), di_mode=0o100421, di_uid=USER.euid, di_gid=7)
    with mounted(copy) as mp:
        vp = resolve(mp, "/f1")
        member, other = Cred(5, 1, groups=(3, 7)), Cred(5, 1)
        for cred, allowed in ((USER, VREAD), (member, 0), (other, VEXEC)):
            for want in (VREAD, VEXEC):
                if want == allowed:
                    vp.access(want, cred)
                else:
                    assert _errno(vp.access, want, cred) == errno.EACCES


@pytest.mark.parametrize("flag", [0x2, 0x20000], ids=["uchg", "schg"])
def test_what_is_immutable_is_not_written(image: Path, tmp_path: Path, flag: int) -> None:
    copy = scratch_copy(image, tmp_path)
    with Editor(copy) as editor:
        editor.change_inode(editor.ino("/fifo"), di_flags=flag)
    with mounted(copy) as mp:
        assert _errno(resolve(mp, "/fifo").access, VWRITE, Cred()) == errno.EPERM
        assert resolve(mp, "/fifo").getattr().flags == flag


def test_operations_on_the_wrong_kind(mp: FfsMount) -> None:
    file, directory, link = (resolve(mp, path) for path in ("/f512", "/many", "/link5"))
    assert _errno(file.lookup, b"x") == errno.ENOTDIR
    assert _errno(file.readdir, 0, 512) == errno.ENOTDIR
    assert _errno(file.readlink) == errno.EINVAL
    assert _errno(directory.read, 0, 512) == errno.EISDIR
    assert _errno(directory.readlink) == errno.EINVAL
    assert _errno(link.lookup, b"x") == errno.ENOTDIR


def test_pathconf(mp: FfsMount) -> None:
    """The values of ufs_pathconf in NetBSD's ufs_vnops.c."""
    vp = resolve(mp, "/f512")
    expected = {
        limits.PC_LINK_MAX: 32767, limits.PC_NAME_MAX: 255, limits.PC_PATH_MAX: 1024, limits.PC_PIPE_BUF: 512,
        limits.PC_CHOWN_RESTRICTED: 1, limits.PC_NO_TRUNC: 1, limits.PC_SYNC_IO: 1,
        limits.PC_FILESIZEBITS: 42, limits.PC_SYMLINK_MAX: 1024, limits.PC_2_SYMLINKS: 1,
    }  # fmt: skip
    assert {name: vp.pathconf(name) for name in expected} == expected
    assert _errno(vp.pathconf, 99) == errno.EINVAL


def test_reading_at_the_end_of_a_file(mp: FfsMount) -> None:
    vp = resolve(mp, "/f513")
    data = vp.read(0, 513)
    assert len(data) == 513
    assert vp.read(0, 4 << 20) == data
    assert vp.read(512, 10) == data[512:]
    assert vp.read(513, 10) == b""
    assert vp.read(1 << 62, 10) == b""
    assert vp.read(5, 0) == b""
    assert resolve(mp, "/empty").read(0, 10) == b""


def test_the_offset_of_a_directory_is_a_place_in_its_file(image: Path, mp: FfsMount) -> None:
    """lseek(2) may return to where a call of getdents(2) ended; at the end that is the directory's size."""
    dvp = resolve(mp, "/many")
    with Editor(image) as editor:
        content = editor.directory(editor.ino("/many"))
        starts = [offset for offset, ino, _, _ in editor.dirents(content) if ino]
    everything = readdir(dvp)
    offset = 0
    seen = 0
    while True:
        data, following = dvp.readdir(offset, 1024)
        if not data:
            break
        entries = unpack_dirents(bytes(data))
        assert entries == everything[seen : seen + len(entries)]
        seen += len(entries)
        assert following == (starts[seen] if seen < len(starts) else dvp.size())
        offset = following
    assert seen == len(everything) == len(starts)
    assert offset == dvp.size() == len(content)
    for index in (0, 1, 7, 350, len(starts) - 1):
        data, _ = dvp.readdir(starts[index], 65536)
        assert unpack_dirents(bytes(data)) == everything[index:]


@pytest.mark.parametrize("dirhash_max", [1 << 30, 0], ids=["in memory", "on disk"])
def test_a_buffer_too_small_for_an_entry(mp: FfsMount, dirhash_max: int) -> None:
    mp.um_dirhash_max = dirhash_max
    dvp = mp.mnt_root
    assert _errno(dvp.readdir, 0, 15) == errno.EINVAL
    assert _errno(dvp.readdir, 0, 0) == errno.EINVAL
    assert len(dvp.readdir(0, 16)[0]) == 16
    # The name of 255 bytes needs 272.
    entries = readdir(dvp, 272)
    assert b"n" * 255 in [entry.name for entry in entries]
    with pytest.raises(VfsError) as caught:
        readdir(dvp, 271)
    assert caught.value.errno == errno.EINVAL
    assert dvp.readdir(dvp.size(), 0) == (b"", dvp.size())


def test_names_are_bytes(mp: FfsMount) -> None:
    name = os.fsencode("gr\u00fc\u00dfe \u2603")
    assert resolve(mp, b"/" + name).read(0, 100) == b"utf-8\n"
    assert mp.mnt_root.lookup(name.upper()) is None
    assert mp.mnt_root.lookup(b"n" * 254) is None
    assert mp.mnt_root.lookup(b"n" * 255) is not None
    assert mp.mnt_root.lookup(b"") is None


def test_links_of_all_lengths(mp: FfsMount) -> None:
    for length in (5, 58, 59, 60, 61, 118, 119, 120, 121, 500, 1023):
        vp = resolve(mp, f"/link{length}")
        assert len(vp.readlink()) == vp.size() == length
        # A text shorter than fs_maxsymlinklen is in the inode.
        assert (vp.getattr().blocks == 0) == (length < 120)


def test_use_counts_are_not_needed_to_keep_a_file_readable(mp: FfsMount) -> None:
    vp = resolve(mp, "/big")
    before = sha256(vp)
    squeeze(mp.um_memory)
    assert sha256(vp) == before


def test_directories_have_as_many_links_as_they_hold_directories(mp: FfsMount) -> None:
    for _, vp in walk(mp.mnt_root):
        if vp.v_type == VDIR:
            below = [vp.lookup(entry.name) for entry in readdir(vp)]
            assert vp.getattr().nlink == sum(child is not None and child.v_type == VDIR for child in below)
