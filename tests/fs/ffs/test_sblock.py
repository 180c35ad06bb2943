"""Superblocks that are damaged, the copies that stand in for them, and FreeBSD's check hashes."""

from __future__ import annotations

import logging
from collections.abc import Callable
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest

from rumpfs.abi import errno
from rumpfs.abi.mount import MNT_FORCE, MNT_RDONLY
from rumpfs.base.errors import VfsError
from rumpfs.ondisk.crc32c import crc32c
from rumpfs.ondisk.ufs.cg import CG, Cg
from rumpfs.ondisk.ufs.dinode import UFS2_DINODE
from rumpfs.ondisk.ufs.fs import FS
from rumpfs.ondisk.ufs.superblock import Superblock
from tests.fs.ffs.editor import Editor
from tests.fs.ffs.harness import mounted, resolve, visit
from tests.fs.ffs.manifests import tree
from tests.images_util import (
    freebsd_image,
    freebsd_images,
    manifest,
    netbsd_image,
    scratch_copy,
)

#: Of each format, and of the smallest and the largest blocks.
IMAGES = [
    "appleufs-v1be", "clean-v0le-4k-512", "full-bytes-v0be", "clean-v1be-8k-1k", "one-cg-v1le",
    "clean-v2le-4k-512", "clean-v2be-16k-2k", "full-bytes-v2le",
]  # fmt: skip

DAMAGE: dict[str, Callable[[Editor], None]] = {
    "zeros": lambda editor: editor.write(editor.fs.offset, bytes(8192)),
    "field": lambda editor: editor.superblock(fs_bsize=12345),
}


def _copies(fs: Superblock) -> list[int]:
    """Return the sectors of the copies that newfs made."""
    return [fs.cgsblock(cg) * fs.fs_fsize // 512 for cg in range(fs.fs_ncg)]


@pytest.mark.parametrize(("name", "damage"), list(zip(IMAGES, cycle(DAMAGE), strict=False)))
def test_the_message_of_a_damaged_primary_leads_to_a_mount(
    name: str, damage: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    image = scratch_copy(netbsd_image(name), tmp_path)
    with Editor(image) as editor:
        DAMAGE[damage](editor)
        sblock, *_ = _copies(editor.fs)
    with pytest.raises(VfsError) as caught, mounted(image):
        pass
    assert caught.value.errno == errno.EINVAL
    (record,) = caplog.records
    message = record.getMessage()
    assert record.levelno == logging.WARNING
    assert message.startswith(f"{image}: ")
    assert f"there is a copy at byte {sblock * 512}: the primary is damaged" in message
    assert f"mount with -o sblock={sblock}, or let fsck_ffs -b {sblock} restore it" in message
    caplog.clear()
    with mounted(image, sblock=sblock) as mp:
        facts = manifest(name)
        assert tree(mp) == facts["entries"]
        st = mp.statvfs()
        expected = {field: value for field, value in facts["statvfs"].items() if field != "flag"}
        assert {field: getattr(st, field) for field in expected} == expected
    (message,) = [record.getMessage() for record in caplog.records]
    assert f"the superblock is the copy at byte {sblock * 512}, which nobody keeps up to date" in message


@pytest.mark.parametrize("name", ["many-cg-v2be", "clean-v1le-16k-2k"])
def test_every_copy_will_do(name: str) -> None:
    image = netbsd_image(name)
    with mounted(image) as mp:
        copies = _copies(mp.um_fs)
    assert len(copies) > 3
    for sblock in copies:
        with mounted(image, sblock=sblock) as mp:
            assert visit(mp.mnt_root)[0] == len({entry["ino"] for entry in manifest(name)["entries"]})


def test_the_primary_may_be_named_too(caplog: pytest.LogCaptureFixture) -> None:
    with mounted(netbsd_image("clean-v1le-16k-2k"), sblock=16) as mp:
        assert mp.um_fs.offset == 8192
    assert not caplog.records


@pytest.mark.parametrize("sblock", [1, 33, 1 << 20, (1 << 64) - 1])
def test_where_no_superblock_is(sblock: int, caplog: pytest.LogCaptureFixture) -> None:
    image = netbsd_image("clean-v1le-16k-2k")
    with pytest.raises(VfsError) as caught, mounted(image, sblock=sblock):
        pass
    assert caught.value.errno == errno.EINVAL
    (message,) = [record.getMessage() for record in caplog.records]
    assert message.startswith(f"{image}: no FFS superblock at byte {sblock * 512}; there is a copy at byte")


def test_without_any_copy_the_message_promises_none(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    image = scratch_copy(netbsd_image("full-bytes-v0be"), tmp_path)
    with Editor(image) as editor:
        for sblock in _copies(editor.fs):
            editor.write(sblock * 512, bytes(1376))
        editor.superblock(fs_ncg=0)
    with pytest.raises(VfsError), mounted(image):
        pass
    (message,) = [record.getMessage() for record in caplog.records]
    assert message == f"{image}: superblock at byte 8192: fs_ncg is 0: must be positive"


def test_a_log_that_the_copy_knows_is_replayed(tmp_path: Path) -> None:
    name = "wapbl-dirty-lost-v1be"
    image = scratch_copy(netbsd_image(name), tmp_path)
    with Editor(image) as editor:
        (sblock, *_) = _copies(editor.fs)
        fs = editor.fs
        editor.write(sblock * 512, editor.read(fs.fs_sbsize, fs.offset))
    with mounted(image, sblock=sblock) as mp:
        assert tree(mp) == manifest(name)["entries"]


# FreeBSD's check hashes.


def test_the_crc_is_castagnolis() -> None:
    """The check value of CRC-32C in RFC 3720's appendix and in catalogues, which invert the result."""
    assert crc32c(b"123456789") ^ 0xFFFFFFFF == 0xE3069283
    assert crc32c(bytes(32)) ^ 0xFFFFFFFF == 0x8A9136AA
    assert crc32c(bytes(range(32))) ^ 0xFFFFFFFF == 0x46DD794E
    assert crc32c(b"6789", crc32c(b"12345")) == crc32c(b"123456789")


@pytest.mark.parametrize("name", freebsd_images())
def test_every_hash_that_freebsd_wrote_is_right(name: str, caplog: pytest.LogCaptureFixture) -> None:
    with mounted(freebsd_image(name)) as mp:
        assert mp.um_fs.metackhash == 7
        copies = _copies(mp.um_fs)
        for cg in range(mp.um_fs.fs_ncg):
            data = mp.pread(mp.um_fs.fs_cgsize, mp.um_fs.cgtod(cg) * mp.um_fs.fs_fsize)
            assert Cg.decode(data, mp.um_fs, cg).cgx == cg
        assert visit(mp.mnt_root) == (16, set())
    assert not caplog.records
    for sblock in copies:
        with mounted(freebsd_image(name), sblock=sblock) as mp:
            assert resolve(mp, "/file1").read(0, 100) == b"This is a simple file.\n"


@pytest.fixture(params=freebsd_images())
def hashed(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return scratch_copy(freebsd_image(request.param), tmp_path)


def test_a_superblock_with_a_wrong_hash(hashed: Path, caplog: pytest.LogCaptureFixture) -> None:
    with Editor(hashed) as editor:
        editor.superblock(fs_time=1)
        copies = _copies(editor.fs)
    with pytest.raises(VfsError) as caught, mounted(hashed):
        pass
    assert caught.value.errno == errno.EINVAL
    (message,) = [record.getMessage() for record in caplog.records]
    assert message.startswith(f"{hashed}: superblock at byte 65536: fs_ckhash is ")
    assert message.endswith("mount with -o force to take it all the same, or run fsck_ffs")
    caplog.clear()
    with mounted(hashed, flags=MNT_RDONLY | MNT_FORCE) as mp:
        assert visit(mp.mnt_root) == (16, set())
    (message,) = [record.getMessage() for record in caplog.records]
    assert message.startswith(f"{hashed}: mounted although fs_ckhash is ")
    with mounted(hashed, sblock=copies[1]) as mp:
        assert visit(mp.mnt_root) == (16, set())


def _flip(editor: Editor, offset: int) -> None:
    (byte,) = editor.read(1, offset)
    editor.write(offset, bytes([byte ^ 1]))


def test_an_inode_with_a_wrong_hash(hashed: Path, caplog: pytest.LogCaptureFixture) -> None:
    with Editor(hashed) as editor:
        ino = editor.ino("/file1")
        _flip(editor, editor.fs.ino_to_byte(ino) + UFS2_DINODE.offset("di_modrev"))
    with mounted(hashed) as mp:
        for _ in range(2):
            with pytest.raises(VfsError) as caught:
                resolve(mp, "/file1")
            assert caught.value.errno == errno.EIO
        assert resolve(mp, "/dir1/dir2/dir3/file2").read(0, 100) == b"Hello World\n"
    (message,) = [record.getMessage() for record in caplog.records]
    assert message.startswith(f"{hashed}: inode {ino}: di_ckhash is ")


def test_a_group_with_a_wrong_hash(hashed: Path, caplog: pytest.LogCaptureFixture) -> None:
    with Editor(hashed) as editor:
        _flip(editor, editor.at(editor.fs.cgtod(0)) + CG.offset("cg_time"))
    with mounted(hashed) as mp:
        assert visit(mp.mnt_root) == (16, set())
    (message,) = [record.getMessage() for record in caplog.records]
    assert message.startswith(f"{hashed}: cylinder group 0: cg_ckhash is ")


def test_hashes_are_looked_at_only_where_they_are_in_use(hashed: Path) -> None:
    with Editor(hashed) as editor:
        fields: dict[str, Any] = {"fs_flags": 0, "fs_ckhash": 1}
        editor.superblock(**fields)
        _flip(editor, editor.fs.ino_to_byte(2) + UFS2_DINODE.offset("di_ckhash"))
        _flip(editor, editor.fs.offset + FS.offset("fs_time"))
    with mounted(hashed) as mp:
        assert visit(mp.mnt_root) == (16, set())
