"""What a mount for writing is refused for: the device, and the formats of 4.2BSD; see also test_write."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from rumpfs.abi.errno import EROFS
from rumpfs.abi.mount import MNT_FORCE
from rumpfs.base.errors import VfsError
from rumpfs.base.memory import Memory
from rumpfs.dev.hostfile import HostFile
from rumpfs.dev.window import Window
from rumpfs.fs.ffs.vfsops import mount_window
from rumpfs.ondisk.ufs.fs import FS_42POSTBLFMT
from rumpfs.vfs.mount import Vfs
from tests.fs.ffs.editor import Editor
from tests.fs.ffs.harness import RDEV
from tests.images_util import makefs, netbsd_image


@pytest.fixture
def image(tmp_path: Path) -> Path:
    (tmp_path / "tree").mkdir()
    return makefs(tmp_path / "tree", tmp_path / "image", 1, "le", 8192, 1024, "-s", "4m", ",density=4096")


def refusal(image: Path, *, readonly: bool = False, sblock: int = 0) -> str:
    """Return why an image cannot be mounted for writing, not even by force; it stays as it is."""
    before = image.read_bytes()
    hostfile = HostFile.open(str(image), readonly=readonly)
    window = Window(hostfile, 0, hostfile.size, readonly)
    try:
        with pytest.raises(VfsError) as caught:
            mount_window(Vfs(Memory()), window, RDEV, MNT_FORCE, sblock=sblock)
    finally:
        window.close()
    assert caught.value.errno == EROFS
    assert image.read_bytes() == before
    return str(caught.value)


def test_an_image_that_is_served_read_only(image: Path) -> None:
    assert refusal(image, readonly=True).endswith("the image is served read-only")


def test_an_image_that_was_cut_off(image: Path) -> None:
    os.truncate(image, (4 << 20) - 8192)
    assert refusal(image).endswith("it has 4194304 bytes, and the device 4186112; mount it read-only")


def test_a_copy_of_the_superblock(image: Path) -> None:
    with Editor(image) as editor:
        sblock = editor.at(editor.fs.cgsblock(0)) // 512
    assert "its superblock is a copy; fsck_ffs can repair the primary" in refusal(image, sblock=sblock)


def test_the_cylinder_groups_of_4_2bsd(image: Path) -> None:
    with Editor(image) as editor:
        editor.superblock(fs_old_postblformat=FS_42POSTBLFMT)
    assert "its cylinder groups have the format of 4.2BSD; fsck_ffs -c converts it" in refusal(image)


@pytest.mark.parametrize("name", ["clean-v0le-8k-1k", "clean-v0be-8k-1k"])
def test_the_directories_of_4_2bsd(name: str, tmp_path: Path) -> None:
    image = tmp_path / "image"
    shutil.copy(netbsd_image(name), image)
    assert "its directories have the format of 4.2BSD; fsck_ffs -c converts it" in refusal(image)
