"""GRUB reads the same bytes: little-endian UFS1 and UFS2.

It does not swap the pointers in indirect blocks of big-endian file systems, knows no big-endian UFS2, and
wants a superblock's sector size to be 512.
"""

from __future__ import annotations

import os
import subprocess
import zlib
from pathlib import Path

import pytest

from rumpfs.vfs.vnode import VREG, Vnode
from tests.fs.ffs.harness import content, mounted, resolve, walk
from tests.images_util import freebsd_image, freebsd_images
from tests.oracle.conftest import MakefsImage

MAKEFS = [(1, "<", 4096), (1, "<", 65536), (2, "<", 4096), (2, "<", 16384), (2, "<", 65536)]


def _grub_crc(image: Path, path: bytes) -> int:
    words = ["grub-fstest", str(image), "crc", "(loop0)" + os.fsdecode(path)]
    done = subprocess.run(words, check=True, capture_output=True, timeout=60)
    return int(done.stdout, 16)


def _crc(vp: Vnode) -> int:
    crc = 0
    for data in content(vp, 4 << 20):
        crc = zlib.crc32(data, crc)
    return crc


@pytest.mark.oracle("makefs", "grub-fstest")
@pytest.mark.parametrize(("version", "order", "bsize"), MAKEFS)
def test_grub_reads_the_same(makefs_image: MakefsImage, version: int, order: str, bsize: int) -> None:
    image = makefs_image(version, order, bsize)
    compared = 0
    with mounted(image) as mp:
        for path, vp in walk(mp.mnt_root):
            if vp.v_type == VREG and vp.size() and not path.startswith(b"/many/entry-00"):
                if b"/many/" in path and compared > 60:
                    continue
                assert _crc(vp) == _grub_crc(image, path), path
                compared += 1
    assert compared > 30


@pytest.mark.oracle("grub-fstest")
@pytest.mark.parametrize("path", ["/file3", "/dir1/dir2/dir3/file2", "/sparse", "/sparse2"])
def test_grub_reads_freebsds_sparse_files_the_same(path: str) -> None:
    if "ufs-little" not in freebsd_images():
        pytest.skip("no image ../shared/images/freebsd/ufs-little.img.zst")
    image = freebsd_image("ufs-little")
    with mounted(image) as mp:
        assert _crc(resolve(mp, path)) == _grub_crc(image, path.encode())
