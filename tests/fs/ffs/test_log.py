"""The log of an FFS that is mounted for writing: where it lies, how it is made, removed, found and left."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from rumpfs.abi import errno
from rumpfs.abi.mount import MNT_FORCE, MNT_LOG
from rumpfs.base.errors import VfsError
from rumpfs.ondisk.layout import BIG, LITTLE
from rumpfs.ondisk.ufs.dinode import IFREG, SF_LOG
from rumpfs.ondisk.ufs.fs import FS_DOWAPBL
from rumpfs.ondisk.ufs.superblock import Superblock
from rumpfs.ondisk.ufs.wapbl import Wapbl, find_log
from rumpfs.vfs.cred import ROOT
from tests.fs.ffs.checker import complaints
from tests.fs.ffs.editor import Editor
from tests.fs.ffs.harness import mounted
from tests.fs.ffs.manifests import tree
from tests.fs.ffs.workload import Workload, writable
from tests.images_util import makefs, manifest, netbsd_image, netbsd_images, scratch_copy

HOST = LITTLE if sys.byteorder == "little" else BIG
MB = 1 << 20

#: version, byte order, bsize, fsize
FORMATS = [
    (1, "le", 4096, 512), (1, "be", 8192, 1024), (2, "le", 16384, 2048), (2, "be", 32768, 4096),
    (2, "le", 65536, 8192), (1, "be", 16384, 16384),
]  # fmt: skip
LOGGED = [name for name in netbsd_images() if name.startswith("wapbl") and "dirty" in name]

Make = Callable[..., Path]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """A function that makes an empty image, with so many bytes behind the file system."""
    (tmp_path / "tree").mkdir()

    def build(*form: int | str, size: str = "12m", behind: int = 0) -> Path:
        version, order, bsize, fsize = form or (2, "le", 8192, 1024)
        image = makefs(
            tmp_path / "tree", tmp_path / "image", version, order, bsize, fsize, "-s", size, ",density=4096"
        )  # type: ignore[arg-type]
        with image.open("r+b") as stream:
            stream.truncate(image.stat().st_size + behind)
        return image

    return build


def _superblock(image: Path) -> Superblock:
    with Editor(image) as editor:
        return editor.fs


def _locs(fs: Superblock) -> tuple[int, ...]:
    """Return fs_journallocs, which a kernel writes in the byte order of its machine."""
    if fs.order == HOST:
        return fs.fs_journallocs
    return tuple(int.from_bytes(number.to_bytes(8, "little"), "big") for number in fs.fs_journallocs)


def _header(image: Path) -> tuple[int, int, int]:
    """Return generation, head and tail of the log of an image."""
    with Editor(image) as editor:
        wapbl = Wapbl(editor.read, editor.size, find_log(editor.fs, editor.size), image.name)
        return wapbl.header.wc_generation, wapbl.header.wc_head, wapbl.header.wc_tail


# --- making one -----------------------------------------------------------------------------------


def test_a_log_is_made_behind_the_file_system_when_there_is_room(make: Make) -> None:
    image = make(behind=MB)
    with writable(image, MNT_LOG) as mp:
        assert mp.mnt_flag & MNT_LOG
        mp.mnt_root.create(b"f", 0o100644, ROOT)
    fs = _superblock(image)
    assert (fs.fs_journal_version, fs.fs_journal_location, fs.fs_journal_flags) == (1, 1, 0)
    assert _locs(fs) == (12 * MB // 512, MB // 512, 512, 0)
    assert complaints(image) == []


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: "-".join(map(str, form)))
def test_a_log_is_made_of_blocks_of_the_file_system(make: Make, form: tuple[int, str, int, int]) -> None:
    """They follow each other, and belong to a file without a name, whose indirect blocks are before them."""
    image = make(*form, behind=MB - 512)
    with writable(image, MNT_LOG):
        pass
    fs = _superblock(image)
    address, count, blksize, ino = _locs(fs)
    assert (fs.fs_journal_version, fs.fs_journal_location, blksize) == (1, 2, 512)
    # What the indirect blocks take is not the log's (wapbl_find_log_start).
    indirect = 1 if MB // fs.fs_bsize > 12 else 0
    assert count * 512 == MB
    with Editor(image) as editor:
        dinode = editor.dinode(ino)
    assert (dinode.di_mode, dinode.di_nlink, dinode.di_flags) == (IFREG, 1, SF_LOG)
    assert dinode.di_size == MB
    assert dinode.di_blocks == (MB + indirect * fs.fs_bsize) // 512
    assert dinode.di_db[0] * fs.fs_fsize == address * 512
    assert dinode.di_ib[0] == (dinode.di_db[0] - fs.fs_frag if indirect else 0)
    assert complaints(image) == []


def test_a_log_with_double_indirect_blocks(make: Make) -> None:
    """tunefs -l asks for one of three megabytes (fs_journal_flags: create)."""
    image = make(2, "le", 4096, 512, size="16m")
    with Editor(image) as editor:
        editor.superblock(fs_journal_location=2, fs_journal_flags=1, fs_journallocs=(0, 3 * MB, 0, 0))
    with writable(image, MNT_LOG):
        pass
    fs = _superblock(image)
    assert fs.fs_journal_flags == 0
    assert _locs(fs)[1] * 512 == 3 * MB
    with Editor(image) as editor:
        dinode = editor.dinode(_locs(fs)[3])
    # 768 blocks: 12, 512 below the first indirect block, the rest below the second level's.
    assert all(dinode.di_ib[:2])
    assert dinode.di_blocks * 512 == 3 * MB + 3 * fs.fs_bsize
    assert complaints(image) == []


def test_a_log_is_smaller_where_there_is_less_room(make: Make) -> None:
    image = make(2, "le", 8192, 1024, size="2m")
    with writable(image) as mp:
        mp.mnt_root.create(b"half", 0o100644, ROOT).write(0, bytes(1_300_000), 0, ROOT)
    with writable(image, MNT_LOG) as mp:
        mp.mnt_root.create(b"f", 0o100644, ROOT)
    assert MB // 4 <= _locs(_superblock(image))[1] * 512 < MB
    assert complaints(image) == []


def test_without_room_for_a_log_it_is_not_mounted_with_one(make: Make) -> None:
    image = make(2, "le", 8192, 1024, size="2m")
    with writable(image) as mp:
        mp.mnt_root.create(b"full", 0o100644, ROOT).write(0, bytes(1_750_000), 0, ROOT)
    with pytest.raises(VfsError) as caught, writable(image, MNT_LOG):
        pass
    assert caught.value.errno == errno.ENOSPC
    assert complaints(image) == []


def test_the_old_layout_has_no_place_for_a_log(make: Make) -> None:
    image = make(1, "le", 8192, 1024)
    with Editor(image) as editor:
        fs = editor.fs
        editor.superblock(
            fs_old_flags=0, fs_old_size=fs.fs_size, fs_old_dsize=fs.fs_dsize, fs_old_csaddr=fs.fs_csaddr,
            fs_old_cstotal=tuple(fs.fs_cstotal),
        )  # fmt: skip
    with pytest.raises(VfsError) as caught, writable(image, MNT_LOG):
        pass
    assert caught.value.errno == errno.EINVAL


# --- using it -------------------------------------------------------------------------------------


def test_flags_and_headers_from_mount_to_unmount(make: Make) -> None:
    """In use: FS_DOWAPBL, and FS_WASCLEAN (2); afterwards neither, and an empty log (ffs_wapbl_stop)."""
    image = make(behind=MB)
    with writable(image, MNT_LOG) as mp:
        fs = _superblock(image)
        assert (fs.fs_clean, fs.fs_flags & FS_DOWAPBL) == (2, FS_DOWAPBL)
        mp.mnt_root.mkdir(b"d", 0o755, ROOT)
        mp.sync()
        generation, head, tail = _header(image)
        assert head != tail
    fs = _superblock(image)
    assert (fs.fs_clean, fs.fs_flags & FS_DOWAPBL) == (1, 0)
    last, head, tail = _header(image)
    assert last > generation
    assert (head, tail) == (0, 0)
    with writable(image) as mp:
        assert not mp.mnt_flag & MNT_LOG
        assert mp.mnt_root.lookup(b"d") is not None
        assert _superblock(image).fs_clean == 0
    assert _superblock(image).fs_journallocs == fs.fs_journallocs
    assert complaints(image) == []


def test_nothing_is_in_place_before_it_is_in_the_log(make: Make) -> None:
    image = make(behind=MB)
    with writable(image, MNT_LOG) as mp:
        before = image.read_bytes()
        for number in range(20):
            directory = mp.mnt_root.mkdir(b"%d" % number, 0o755, ROOT)
            directory.create(b"f", 0o100644, ROOT)
            mp.mnt_root.rename(b"%d" % number, directory, mp.mnt_root, b"x%d" % number, None, ROOT)
        assert _same_metadata(image, before)
        mp.sync()
        assert not _same_metadata(image, before)
    assert complaints(image) == []


def _same_metadata(image: Path, before: bytes) -> bool:
    """True when superblock, groups, inodes and the root directory are what they were."""
    now = image.read_bytes()
    with Editor(image) as editor:
        fs = editor.fs
        root = editor.dinode(2).di_db[0]
    end = fs.cgdmin(0) * fs.fs_fsize
    place = root * fs.fs_fsize
    return now[:end] == before[:end] and now[place : place + 512] == before[place : place + 512]


def test_a_log_that_is_to_go_is_removed(make: Make) -> None:
    image = make()
    with writable(image, MNT_LOG) as mp:
        mp.mnt_root.create(b"f", 0o100644, ROOT)
    ino = _locs(_superblock(image))[3]
    free = _superblock(image).free_frags
    with Editor(image) as editor:
        editor.superblock(fs_journal_flags=2)
    with writable(image):
        pass
    fs = _superblock(image)
    assert (fs.fs_journal_version, fs.fs_journal_location, fs.fs_journal_flags) == (0, 0, 0)
    assert fs.fs_journallocs == (0, 0, 0, 0)
    with Editor(image) as editor:
        assert editor.dinode(ino).di_mode == 0
    assert fs.free_frags >= free + MB // fs.fs_fsize
    assert complaints(image) == []


def test_a_log_that_is_too_small_or_nowhere_is_refused(make: Make) -> None:
    image = make(behind=MB)
    end = 12 * MB // 512
    for locs, number in (((end, 100, 512, 0), errno.ENOSPC), ((end, MB, 512, 0), errno.EINVAL)):
        with Editor(image) as editor:
            editor.superblock(fs_journal_version=1, fs_journal_location=1, fs_journallocs=locs)
        with pytest.raises(VfsError) as caught, writable(image, MNT_LOG):
            pass
        assert caught.value.errno == number
        assert complaints(image) == []


@pytest.mark.parametrize("blocks", [140, 200, 400])
def test_a_log_that_goes_round_many_times(make: Make, blocks: int) -> None:
    image = make(1, "be", 4096, 512, behind=MB)
    end = 12 * MB // 512
    with Editor(image) as editor:
        editor.superblock(fs_journal_version=1, fs_journal_location=1, fs_journallocs=(end, blocks, 512, 0))
    with writable(image, MNT_LOG) as mp:
        work = Workload(mp, blocks)
        for _ in range(30):
            work.run(10)
            mp.sync()
        work.check(mp)
        assert _header(image)[0] > 30
    assert complaints(image) == []
    with mounted(image) as mp:
        work.check(mp)


# --- after a crash --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LOGGED)
def test_a_replay_to_the_disk_is_what_the_kernels_was(
    name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    image = scratch_copy(netbsd_image(name), tmp_path)
    facts = manifest(name)["entries"]
    with writable(image, 0) as mp:
        assert tree(mp) == facts
        assert mp.mnt_flag & MNT_LOG  # the log that was in use is
    (message,) = [record.getMessage() for record in caplog.records]
    assert message == f"{image}: the file system was not unmounted cleanly; its log is replayed to the disk"
    assert complaints(image) == []
    with mounted(image) as mp:
        assert tree(mp) == facts
    image.unlink()


def test_a_damaged_log_is_no_reason_to_write(tmp_path: Path) -> None:
    image = scratch_copy(netbsd_image("wapbl-dirty-mid-v2le"), tmp_path)
    with Editor(image) as editor:
        editor.write(find_log(editor.fs, editor.size).start, bytes(1024))
    before = image.read_bytes()
    with pytest.raises(VfsError) as caught, writable(image, MNT_LOG):
        pass
    assert caught.value.errno == errno.EFTYPE
    assert image.read_bytes() == before
    logging.disable(logging.WARNING)
    try:
        with writable(image, MNT_LOG | MNT_FORCE) as mp:
            assert mp.mnt_flag & MNT_LOG
    finally:
        logging.disable(logging.NOTSET)
    assert not _superblock(image).fs_clean & 1
