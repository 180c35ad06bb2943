"""The Sleuth Kit reads the same tree: UFS1 of both byte orders, and UFS2 whose superblock is at 65536.

It does not look for a UFS2 superblock at 8192, where makefs(8) puts it, reads a link's text wrongly that is
longer than a fragment, and cannot follow large holes.
"""

from __future__ import annotations

import stat
import subprocess
from pathlib import Path

import pytest

from rumpfs.fs.ffs.ufsmount import FfsMount
from rumpfs.vfs.vnode import VBLK, VCHR, VDIR, VFIFO, VLNK, VREG
from tests.fs.ffs.harness import content, mounted, walk
from tests.images_util import freebsd_image, freebsd_images
from tests.oracle.conftest import MakefsImage

LETTERS = {VREG: "r", VDIR: "d", VLNK: "l", VCHR: "c", VBLK: "b", VFIFO: "p"}
MAKEFS = [(1, "<", 4096), (1, ">", 4096), (1, "<", 65536), (1, ">", 16384), (2, "<", 65536), (2, ">", 65536)]


def _tsk(*words: str | Path) -> bytes:
    return subprocess.run([str(word) for word in words], check=True, capture_output=True, timeout=60).stdout


def _their_listing(image: Path, fsize: int) -> set[bytes]:
    """Return the lines of a body file: name, inode, mode, owner, group, size, times."""
    lines = set()
    for line in _tsk("fls", "-r", "-m", "/", image).splitlines():
        name, arrow, rest = line.partition(b" -> ")
        text, _, facts = rest.partition(b"|")
        if b"$OrphanFiles" not in line:
            lines.add(name + arrow + _comparable(text, fsize) + b"|" + facts if arrow else line)
    return lines


def _comparable(text: bytes, fsize: int) -> bytes:
    """Return what can be compared of a link's text."""
    return text if len(text) <= fsize else text[:fsize]


def _our_listing(mp: FfsMount) -> set[bytes]:
    lines = set()
    for path, vp in walk(mp.mnt_root):
        va = vp.getattr()
        letter = LETTERS[vp.v_type]
        mode = f"{letter}/{letter}{stat.filemode(va.mode)[1:]}"
        name = path + (b" -> " + _comparable(vp.readlink(), mp.um_fs.fs_fsize) if vp.v_type == VLNK else b"")
        facts = (va.fileid, mode, va.uid, va.gid, va.size, va.atime, va.mtime, va.ctime, 0)
        lines.add(b"0|" + name + b"|" + "|".join(map(str, facts)).encode())
    return lines


@pytest.mark.oracle("makefs", "fls")
@pytest.mark.parametrize(("version", "order", "bsize"), MAKEFS)
def test_fls_lists_the_same(makefs_image: MakefsImage, version: int, order: str, bsize: int) -> None:
    image = makefs_image(version, order, bsize)
    with mounted(image) as mp:
        ours = _our_listing(mp)
        assert ours == _their_listing(image, mp.um_fs.fs_fsize)
    assert len(ours) > 750


@pytest.mark.oracle("makefs", "icat")
@pytest.mark.parametrize(("version", "order", "bsize"), MAKEFS)
def test_icat_copies_the_same(makefs_image: MakefsImage, version: int, order: str, bsize: int) -> None:
    image = makefs_image(version, order, bsize)
    compared = 0
    with mounted(image) as mp:
        for path, vp in walk(mp.mnt_root):
            if vp.v_type == VREG and not path.startswith(b"/many/"):
                assert b"".join(content(vp)) == _tsk("icat", image, str(vp.getattr().fileid)), path
                compared += 1
    assert compared > 30


@pytest.mark.oracle("fls")
@pytest.mark.parametrize("name", freebsd_images())
def test_fls_lists_freebsds_images_the_same(name: str) -> None:
    image = freebsd_image(name)
    with mounted(image) as mp:
        assert _our_listing(mp) == _their_listing(image, mp.um_fs.fs_fsize)


@pytest.mark.oracle("icat")
@pytest.mark.parametrize("name", freebsd_images())
def test_icat_copies_freebsds_files_the_same(name: str) -> None:
    image = freebsd_image(name)
    with mounted(image) as mp:
        for path, vp in walk(mp.mnt_root):
            if vp.v_type == VREG and b"sparse" not in path:
                assert b"".join(content(vp)) == _tsk("icat", image, str(vp.getattr().fileid)), path
