"""File systems with a journal of soft updates (SU+J), which FreeBSD's fsck_ffs goes by and we do not.

It uses the journal only when nobody asks for a full check (FS_NEEDSFSCK), and when the time of the last mount
(fs_mtime) is that of the journal's inode (di_modrev) and of its records: FreeBSD sbin/fsck_ffs/main.c, suj.c.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from rumpfs.abi.errno import EROFS
from rumpfs.abi.mount import MNT_FORCE
from rumpfs.base.errors import VfsError
from rumpfs.fs.ffs.fsck.finding import preen, yes
from rumpfs.ondisk.ufs.fs import FS_DOSOFTDEP, FS_ISCLEAN, FS_NEEDSFSCK, FS_SUJ
from rumpfs.ondisk.ufs.superblock import Superblock
from rumpfs.vfs.cred import ROOT
from tests.fs.ffs.checker import complaints
from tests.fs.ffs.editor import Editor
from tests.fs.ffs.fscking import fsck
from tests.fs.ffs.harness import mounted, resolve
from tests.fs.ffs.workload import Workload, writable
from tests.images_util import makefs

#: when FreeBSD mounted it, which the journal knows, too
MTIME = 1_700_000_000
FLAGS = FS_DOSOFTDEP | FS_SUJ


def superblock(image: Path) -> Superblock:
    with Editor(image) as editor:
        return editor.fs


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """An image with a file .sujournal, as tunefs -j makes one, and the flags for it."""
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/.sujournal").write_bytes(bytes(100_000))
    path = makefs(tmp_path / "tree", tmp_path / "image", 2, "le", 8192, 1024, "-s", "4m", ",density=4096")
    with Editor(path) as editor:
        editor.superblock(fs_flags=FLAGS, fs_mtime=MTIME)
    return path


def test_one_that_is_clean_is_written_and_its_journal_is_of_no_use_then(image: Path) -> None:
    with writable(image) as mp:
        fs = superblock(image)
        assert (fs.fs_clean, fs.fs_flags) == (0, FLAGS | FS_NEEDSFSCK)
        assert fs.fs_mtime > MTIME
        work = Workload(mp, 3)
        work.run(100)
    assert complaints(image) == []
    fs = superblock(image)
    assert (fs.fs_clean, fs.fs_flags) == (FS_ISCLEAN, FLAGS)
    assert fs.fs_mtime > MTIME
    with mounted(image) as mp:
        work.check(mp)


def test_a_journal_from_the_future_is_of_no_use_either(image: Path) -> None:
    with Editor(image) as editor:
        editor.superblock(fs_mtime=1 << 40)
    with writable(image):
        assert superblock(image).fs_mtime == (1 << 40) + 1


@pytest.mark.parametrize("answer", [yes, preen])
def test_after_a_crash_it_is_written_when_a_full_check_is_done(image: Path, answer: object) -> None:
    before = image.with_suffix(".crashed")
    with writable(image) as mp:
        mp.mnt_root.create(b"file", 0o100644, ROOT).fsync()
        mp.sync()
        before.write_bytes(image.read_bytes())
    crashed = superblock(before)
    for flags in (0, MNT_FORCE):
        with (
            pytest.raises(VfsError, match=r"SU\+J.* run fsck_ffs on it first") as caught,
            writable(before, flags),
        ):
            pass
        assert caught.value.errno == EROFS
    checked = fsck(before, answer, write=True, force=False)  # type: ignore[arg-type]
    assert checked.result.clean
    assert "** The journal of soft updates is not used; everything is checked" in checked.lines
    fs = superblock(before)
    assert (fs.fs_clean, fs.fs_flags) == (FS_ISCLEAN, FLAGS)
    assert fs.fs_mtime > crashed.fs_mtime
    with writable(before) as mp:
        assert resolve(mp, "/file").size() == 0
    assert complaints(before) == []


@pytest.mark.parametrize("fields", [{"fs_clean": 0}, {"fs_flags": FLAGS | FS_NEEDSFSCK}])
def test_what_freebsd_left_after_a_crash_is_checked_first(image: Path, fields: dict[str, int]) -> None:
    """Also the inodes that the kernel had unlinked, which a full check finds by itself."""
    with Editor(image) as editor:
        editor.superblock(fs_sujfree=5, fs_pendingblocks=7, fs_pendinginodes=1, **fields)
    with pytest.raises(VfsError, match=r"SU\+J"), writable(image, MNT_FORCE):
        pass
    assert fsck(image, preen, write=True, force=False).result.clean
    fs = superblock(image)
    assert (fs.fs_clean, fs.fs_flags, fs.fs_sujfree) == (FS_ISCLEAN, FLAGS, 0)
    assert (fs.fs_pendingblocks, fs.fs_pendinginodes) == (0, 0)
    assert fs.fs_mtime > MTIME
    with writable(image):
        pass
    assert complaints(image) == []
