"""File systems that were killed with a log: mounted read-only, they are what NetBSD's replay made of them."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path
from typing import Any

import pytest

from rumpfs.abi import errno
from rumpfs.abi.mount import MNT_FORCE, MNT_LOCAL, MNT_RDONLY
from rumpfs.base.errors import VfsError
from rumpfs.dev.overlay import Overlay
from rumpfs.fs.ffs.inode import UFID
from rumpfs.fs.ffs.ufsmount import FfsMount
from rumpfs.ondisk.layout import BIG, LITTLE
from rumpfs.ondisk.ufs.dinode import IFREG
from rumpfs.ondisk.ufs.fs import FS, FS_DOWAPBL, FS_ISCLEAN
from rumpfs.ondisk.ufs.wapbl import Wapbl, find_log
from tests.fs.ffs.editor import Editor
from tests.fs.ffs.harness import mounted, resolve, visit
from tests.fs.ffs.manifests import tree
from tests.images_util import makefs, manifest, netbsd_image, netbsd_images, pattern, scratch_copy
from tests.ondisk.logs import Log

LOGGED = [name for name in netbsd_images() if name.startswith("wapbl") and "dirty" in name]

REPLAYED = (
    "the file system was not unmounted cleanly; its log is replayed in memory, and the image stays as it is"
)


def _is_overlay(mp: FfsMount) -> bool:
    return isinstance(getattr(mp.pread, "__self__", None), Overlay)


@pytest.mark.parametrize("name", LOGGED)
def test_the_tree_is_what_the_kernels_replay_made(name: str, caplog: pytest.LogCaptureFixture) -> None:
    image = netbsd_image(name)
    before = hashlib.sha256(image.read_bytes()).digest()
    facts = manifest(name)
    with mounted(image) as mp:
        assert tree(mp) == facts["entries"]
        st = mp.statvfs()
        expected = {field: value for field, value in facts["statvfs"].items() if field != "flag"}
        assert {field: getattr(st, field) for field in expected} == expected
        assert mp.mnt_flag == MNT_RDONLY | MNT_LOCAL
    assert [record.getMessage() for record in caplog.records] == [f"{image}: {REPLAYED}"]
    assert hashlib.sha256(image.read_bytes()).digest() == before


@pytest.mark.parametrize("name", ["wapbl-dirty-revoke-v1be", "wapbl-dirty-wrap-v2le", "wapbl-end-dirty"])
def test_files_that_the_log_removes_are_gone_for_file_handles_too(name: str) -> None:
    with mounted(netbsd_image(name)) as mp:
        assert mp.um_freed
        for ino in mp.um_freed:
            dinode = mp.allocated(ino)
            assert dinode is not None
            assert dinode.di_nlink == 0
            with pytest.raises(VfsError) as caught:
                mp.fhtovp(UFID.pack(UFID.size, ino, dinode.di_gen & 0xFFFFFFFF))
            assert caught.value.errno == errno.ESTALE
        named = manifest(name)["entries"]
        assert not mp.um_freed & {entry["ino"] for entry in named}
        entry = next(entry for entry in named if entry["type"] == "file")
        vp = resolve(mp, entry["path"])
        assert mp.fhtovp(vp.vptofh()) is vp


@pytest.mark.parametrize("name", ["wapbl-dirty-multi-wrap-v1be", "wapbl-dirty-lost-v2le"])
def test_a_log_that_a_big_endian_machine_wrote(name: str, tmp_path: Path) -> None:
    """The log of an image is written again in the other byte order, and so is its place."""
    image = scratch_copy(netbsd_image(name), tmp_path)
    with Editor(image) as editor:
        position = find_log(editor.fs, editor.size)
        wapbl = Wapbl(editor.read, editor.size, position, name)
        assert wapbl.order == LITTLE
        log = Log(BIG, position.size, position.blksize, wapbl.header.wc_tail)
        for record in wapbl.records():
            _copy(editor, log, record, position.start)
        assert log.head == wapbl.header.wc_head
        log.header(0)
        editor.write(position.start, bytes(log.data))
        locs = [int.from_bytes(number.to_bytes(8, "little"), "big") for number in editor.fs.fs_journallocs]
        editor.superblock(fs_journallocs=tuple(locs))
    with mounted(image) as mp:
        assert tree(mp) == manifest(name)["entries"]


def _copy(editor: Editor, log: Log, record: Any, start: int) -> None:
    """Append a record of the log at byte `start` of an image to another log."""
    if record.name == "inodes":
        log.inodes(*record.entries, clear=bool(record.row.wc_clear))
        return
    if record.name == "revocations":
        log.revocations(*((block.wc_daddr, block.wc_dlen) for block in record.entries))
        return
    size = sum(block.wc_dlen for block in record.entries)
    place = record.offset + log.block
    end = log.circ_off + log.circ_size
    if place == end:
        place = log.circ_off
    data = editor.read(min(size, end - place), start + place)
    data += editor.read(size - len(data), start + log.circ_off)
    blocks = []
    for block in record.entries:
        blocks.append((block.wc_daddr, data[: block.wc_dlen]))
        data = data[block.wc_dlen :]
    log.blocks(*blocks)


@pytest.fixture
def killed(tmp_path: Path) -> Path:
    return scratch_copy(netbsd_image("wapbl-dirty-mid-v1le"), tmp_path)


def _header(editor: Editor, slot: int) -> int:
    """Return the byte offset of a header of the log."""
    return find_log(editor.fs, editor.size).start + slot * 512


def _refused(image: Path, *said: str, caplog: pytest.LogCaptureFixture) -> None:
    """The mount fails with one line that says so; when it is forced, one line says what that means."""
    with pytest.raises(VfsError) as caught, mounted(image):
        pass
    assert caught.value.errno == errno.EFTYPE
    (message,) = [record.getMessage() for record in caplog.records]
    for text in (f"{image}: ", "mount with -o force to do without the log, or run fsck_ffs", *said):
        assert text in message
    caplog.clear()
    with mounted(image, flags=MNT_RDONLY | MNT_FORCE) as mp:
        (message,) = [record.getMessage() for record in caplog.records]
        for text in (f"{image}: ", "recent changes may be missing; run fsck_ffs", *said):
            assert text in message
        assert not _is_overlay(mp)
        assert mp.mnt_flag == MNT_RDONLY | MNT_LOCAL
        visited, errors = visit(mp.mnt_root)
        assert visited > 5
        assert errors <= {errno.EIO}


def test_a_log_without_headers(killed: Path, caplog: pytest.LogCaptureFixture) -> None:
    with Editor(killed) as editor:
        start = _header(editor, 0)
        editor.write(start, bytes(1024))
    _refused(killed, f"WAPBL log at byte {start}: header 0: wc_type is 0x0", caplog=caplog)


def test_a_record_that_is_damaged(killed: Path, caplog: pytest.LogCaptureFixture) -> None:
    tail = manifest("wapbl-dirty-mid-v1le")["wapbl"]["header"]["tail"]
    with Editor(killed) as editor:
        start = _header(editor, 0)
        editor.write(start + tail, b"damaged!")
    _refused(killed, f"WAPBL log at byte {start}: record at byte {tail} of it", caplog=caplog)


def test_a_place_that_is_not_on_the_device(killed: Path, caplog: pytest.LogCaptureFixture) -> None:
    with Editor(killed) as editor:
        editor.superblock(fs_journallocs=(1 << 40, 2048, 512, 3))
    _refused(killed, "fs_journallocs is", caplog=caplog)


def test_one_header_of_two_is_enough(tmp_path: Path) -> None:
    """The newest one is torn: the state is that of the transaction before.

    In this image nothing but the log has the last transactions.
    """
    name = "wapbl-dirty-lost-v1le"
    image = scratch_copy(netbsd_image(name), tmp_path)
    with Editor(image) as editor:
        editor.write(_header(editor, manifest(name)["wapbl"]["header"]["slot"]), bytes(512))
    with mounted(image) as mp:
        assert visit(mp.mnt_root)[1] == set()
        assert len(tree(mp)) != len(manifest(name)["entries"])


def test_a_log_without_records_changes_nothing(killed: Path, caplog: pytest.LogCaptureFixture) -> None:
    with Editor(killed) as editor:
        for slot in range(2):
            start = _header(editor, slot)
            editor.write(start + 48, bytes(16))
    with mounted(killed) as mp:
        assert not _is_overlay(mp)
    assert [record.getMessage() for record in caplog.records] == [f"{killed}: {REPLAYED}"]


def test_a_clean_file_system_that_had_a_log_is_mounted_without_reading_it(tmp_path: Path) -> None:
    image = scratch_copy(netbsd_image("wapbl-clean-v2le"), tmp_path)
    with Editor(image) as editor:
        assert editor.fs.fs_journal_location == 2
        editor.write(_header(editor, 0), b"\xff" * 1024)
    with mounted(image) as mp:
        assert not _is_overlay(mp)
        assert tree(mp) == manifest("wapbl-clean-v2le")["entries"]


def test_the_flag_of_a_clean_unmount_does_not_prevent_a_replay(killed: Path) -> None:
    with Editor(killed) as editor:
        editor.superblock(fs_clean=FS_ISCLEAN)
    with mounted(killed) as mp:
        assert tree(mp) == manifest("wapbl-dirty-mid-v1le")["entries"]


def test_a_log_is_replayed_before_writing_is_refused(killed: Path) -> None:
    with pytest.raises(VfsError) as caught, mounted(killed, flags=0):
        pass
    assert caught.value.errno == errno.EROFS


def _with_log(image: Path, log: Log) -> None:
    """Append a log to an image, and let its superblock say that it is in use."""
    with Editor(image) as editor:
        place = (editor.size + 4095) // 4096 * 4096
        editor.write(place, bytes(log.data))
        editor.superblock(
            fs_flags=FS_DOWAPBL, fs_clean=2, fs_journal_version=1, fs_journal_location=1,
            fs_journallocs=(place // log.block, len(log.data) // log.block, log.block, 0),
        )  # fmt: skip


@pytest.mark.oracle("makefs")
@pytest.mark.parametrize(("version", "order"), [(1, "<"), (1, ">"), (2, "<"), (2, ">")])
@pytest.mark.parametrize("block", [512, 4096])
def test_what_only_the_log_knows(tmp_path: Path, version: int, order: str, block: int) -> None:
    """An inode, its directory's and the superblock's newest versions are in the log alone."""
    source = tmp_path / "tree"
    source.mkdir()
    for name in ("file", "gone"):
        (source / name).write_bytes(pattern(name, 10_000))
    image = makefs(source, tmp_path / "image", version, order, 8192, 4096)
    log = Log(order, 65536, block)
    with Editor(image) as editor:
        fs = editor.fs
        file, gone = editor.ino("/file"), editor.ino("/gone")
        place = fs.ino_to_byte(file) // 8192 * 8192
        inodes = bytearray(editor.read(8192, place))
        for ino, changes in ((file, {"di_size": 5000, "di_mode": IFREG | 0o4700}), (gone, {"di_nlink": 0})):
            offset = fs.ino_to_byte(ino) - place
            old = inodes[offset : offset + fs.dinode_size]
            inodes[offset : offset + fs.dinode_size] = editor.codec.encode(
                editor.codec.decode(old)._replace(**changes), old
            )
        root = editor.dinode(2).di_db[0] * fs.fs_fsize
        names = bytearray(editor.directory(2))
        entry = editor.dirent(2, b"gone") - root
        before = max(offset for offset, *_ in editor.dirents(bytes(names)) if offset < entry)
        swapped = "little" if order == LITTLE else "big"
        length = sum(int.from_bytes(names[at + 4 : at + 6], swapped) for at in (before, entry))
        names[before + 4 : before + 6] = length.to_bytes(2, swapped)  # type: ignore[arg-type]
        log.blocks((root // 512, b"\xff" * 4096))
        log.revocations((root // 512, 4096))
        log.blocks((place // 512, bytes(inodes)), (root // 512, bytes(names).ljust(4096, b"\0")))
        log.inodes((gone, IFREG | 0o644), clear=True)
        log.header(1)
        free = fs.free_frags, fs.fs_cstotal.cs_nifree
    _with_log(image, log)
    with mounted(image) as mp:
        assert _is_overlay(mp)
        vp = resolve(mp, "/file")
        assert (vp.getattr().size, vp.getattr().mode) == (5000, IFREG | 0o4700)
        assert vp.read(0, 10_000) == pattern("file", 5000)
        assert mp.mnt_root.lookup(b"gone") is None
        assert mp.um_freed == {gone}
        assert (mp.statvfs().bfree, mp.statvfs().ffree) == (free[0] + 3, free[1] + 1)


@pytest.mark.oracle("makefs")
def test_listed_inodes_that_are_not_to_be_freed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """One has a name, one is free, some never were. One has no more than its group's bit: it is freed."""
    source = tmp_path / "tree"
    source.mkdir()
    (source / "file").write_bytes(b"file")
    (source / "half").write_bytes(b"")
    image = makefs(source, tmp_path / "image", 2, "<", 8192, 1024)
    log = Log()
    with Editor(image) as editor:
        half = editor.ino("/half")
        free = editor.fs.fs_cstotal.cs_nifree
        listed = (editor.ino("/file"), half, half + 5, 0, 1, editor.fs.maxino, 0xFFFFFFFF)
        log.inodes(*((ino, 0o40755) for ino in listed), clear=True)
        log.header(0)
        editor.change_inode(half, di_mode=0)
        ndir = editor.fs.fs_cstotal.cs_ndir
    _with_log(image, log)
    with mounted(image) as mp:
        assert mp.um_freed == {half}
        assert (mp.um_fs.fs_cstotal.cs_nifree, mp.um_fs.fs_cstotal.cs_ndir) == (free + 1, ndir - 1)
        assert resolve(mp, "/file").read(0, 10) == b"file"
    assert len(caplog.records) == 1


def test_the_superblock_in_the_log_counts(killed: Path) -> None:
    """The counters of statvfs are those of the last transaction, also when the primary has older ones."""
    logging.getLogger("rumpfs.fs.ffs").setLevel(logging.ERROR)
    try:
        with Editor(killed) as editor:
            offset = FS.offset("fs_cstotal")
            editor.write(editor.fs.offset + offset, bytes(32))
        with mounted(killed) as mp:
            assert mp.statvfs().bfree == manifest("wapbl-dirty-mid-v1le")["statvfs"]["bfree"]
    finally:
        logging.getLogger("rumpfs.fs.ffs").setLevel(logging.NOTSET)
