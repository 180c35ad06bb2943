"""Growing: the larger file system is sound, holds what it held, and a cut while it grows is repaired."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from rumpfs.base.errors import VfsError
from rumpfs.dev.hostfile import HostFile
from rumpfs.fs.ffs.fsck.finding import preen, yes
from rumpfs.fs.ffs.growfs import Growfs
from rumpfs.fs.ffs.newfs import Newfs
from rumpfs.fs.ffs.newfs_layout import Parameters
from rumpfs.ondisk.layout import BIG, LITTLE
from rumpfs.ondisk.ufs.cg import Cg
from rumpfs.ondisk.ufs.fs import FS
from rumpfs.ondisk.ufs.superblock import Superblock, find_superblock
from tests.fs.ffs.checker import Checker
from tests.fs.ffs.editor import Editor
from tests.fs.ffs.fscking import fsck
from tests.fs.ffs.harness import mounted, sha256, walk
from tests.fs.ffs.powercut import Recorder
from tests.fs.ffs.workload import Workload, writable
from tests.images_util import freebsd_image, netbsd_image, scratch_copy

MIB = 1 << 20
ORDERS = {"le": LITTLE, "be": BIG}
#: version, byte order, bsize, fsize, density
FORMATS = [
    (1, "le", 4096, 512, 4096), (1, "be", 8192, 1024, 0), (1, "le", 8192, 8192, 0), (2, "be", 4096, 512, 0),
    (2, "le", 16384, 2048, 0), (2, "be", 8192, 2048, 65536), (2, "le", 65536, 8192, 0),
]  # fmt: skip


def _new(path: Path, size: int, form: tuple[int, str, int, int, int], **more: Any) -> Path:
    """Make a file system with some files in it."""
    version, order, bsize, fsize, density = form
    with path.open("wb") as stream:
        stream.truncate(size)
    device = Recorder(HostFile.open(str(path)), 0, size)
    p = Parameters(version=version, order=ORDERS[order], bsize=bsize, fsize=fsize, density=density, **more)
    try:
        Newfs(size, p, random.Random(1).randbytes).write(device)
    finally:
        device.close()
    with writable(path) as mp:
        work = Workload(mp, 3, moves=True)
        work.run(120)
    return path


def _grow(path: Path, size: int) -> tuple[Growfs, Recorder]:
    with path.open("ab") as stream:
        stream.truncate(max(size, path.stat().st_size))
    device = Recorder(HostFile.open(str(path)), 0, path.stat().st_size)
    try:
        fs = find_superblock(device.pread, device.size, path.name)
        growth = Growfs(device, fs, size, 1_700_000_000, random.Random(2).randbytes)
        if growth.fs.fs_size > fs.fs_size:
            growth.write()
    finally:
        device.close()
    return growth, device


def _tree(path: Path) -> dict[bytes, Any]:
    """What is in an image: attributes, and the hashes of files."""
    with mounted(path) as mp:
        found = {}
        for name, vp in walk(mp.mnt_root):
            va = vp.getattr()
            data = sha256(vp) if vp.v_type == 1 else None
            found[name] = (va.mode, va.uid, va.gid, va.nlink, va.size, va.mtime, va.fileid, va.blocks, data)
        return found


def _sound(path: Path) -> None:
    found = fsck(path, yes)
    assert (found.kinds, found.result.modified, found.result.clean) == ([], False, True)
    assert Checker(path).complaints == []


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: "-".join(map(str, form)))
@pytest.mark.parametrize("steps", [(MIB + 512,), (3 * MIB, 20 * MIB + 1536)], ids=str)
def test_it_grows(tmp_path: Path, form: tuple[int, str, int, int, int], steps: tuple[int, ...]) -> None:
    image = _new(tmp_path / "img", 9 * MIB + 7 * 512, form)
    before = _tree(image)
    for step in steps:
        size = image.stat().st_size + step
        growth, _ = _grow(image, size)
        least = growth.fs.fs_dblkno * growth.fs.fs_fsize + growth.fs.fs_bsize
        assert size - least < growth.fs.bytes_needed <= size
        _sound(image)
    assert _tree(image) == before
    with writable(image) as mp:
        Workload(mp, 4, moves=True).run(150)
    _sound(image)


def test_the_geometry_is_that_of_newfs(tmp_path: Path) -> None:
    """A file system that has grown to whole groups differs from a new one in nothing but its history."""
    form = (2, "le", 16384, 2048, 0)
    image = _new(tmp_path / "img", 40 * MIB, form)
    with Editor(image) as editor:
        fs = editor.fs
        size = fs.fs_fpg * fs.fs_fsize * 6
    growth, _ = _grow(image, size)
    assert (growth.fs.fs_ncg, growth.fs.bytes_needed) == (6, size)
    with Editor(image) as editor:
        fs = editor.fs
        metadata = fs.fs_ncg * (fs.fs_dblkno - fs.fs_sblkno)
        assert fs.fs_dsize == fs.fs_size - fs.fs_sblkno - metadata - fs.fs_cssize // fs.fs_fsize
        for cgx in range(fs.fs_ncg):
            copy = FS.codec(fs.order).unpack(editor.read(8192, fs.cgsblock(cgx) * fs.fs_fsize))
            assert (copy.fs_size, copy.fs_ncg, copy.fs_sblockloc) == (fs.fs_size, 6, fs.fs_sblockloc)
            cg = Cg.decode(editor.read(fs.fs_cgsize, fs.cgtod(cgx) * fs.fs_fsize), fs, cgx)
            assert cg.ndblk == fs.fs_fpg


def test_every_copy_of_the_superblock_opens_it(tmp_path: Path) -> None:
    image = _new(tmp_path / "img", 9 * MIB, FORMATS[1])
    growth, _ = _grow(image, 60 * MIB)
    with Editor(image) as editor:
        editor.write(editor.fs.offset, bytes(8192))
    for cgx in (0, growth.fs.fs_ncg - 1):
        sblock = growth.fs.cgsblock(cgx) * growth.fs.fs_fsize // 512
        assert fsck(image, yes, sblock=sblock).kinds == ["superblock-copy-used"]


def test_the_summary_moves_when_there_is_no_room_behind_it(tmp_path: Path) -> None:
    image = _new(tmp_path / "img", 9 * MIB, (1, "le", 4096, 4096, 0))
    before = _tree(image)
    growth, _ = _grow(image, 700 * MIB)
    assert growth.fs.fs_cssize > growth.old.fs_cssize
    assert growth.fs.fs_csaddr >= growth.old.fs_size
    _sound(image)
    assert _tree(image) == before


def _cuts(form: tuple[int, str, int, int, int], size: int, tmp_path: Path) -> None:
    """Cut the growth of an image in many places, and repair what is left."""
    image = _new(tmp_path / "img", 9 * MIB, form)
    before = _tree(image)
    original = image.read_bytes()
    growth, device = _grow(image, size)
    chance = random.Random(5)
    total = len(device.writes)
    late = device.barriers[1] if len(device.barriers) > 1 else 0
    cuts = sorted(
        {0, total, *range(max(0, late - 1), total + 1), *chance.sample(range(total), min(2, total))}
    )
    sizes = set()
    cut = tmp_path / "cut"
    for count in cuts:
        kept = device.writes[: device.barrier(count)]
        since = device.writes[device.barrier(count) : count]
        for some in (since, [write for write in since if chance.random() < 0.5]):
            cut.write_bytes(original)
            with cut.open("r+b") as stream:
                stream.truncate(image.stat().st_size)
                for offset, data in [*kept, *some]:
                    stream.seek(offset)
                    stream.write(data)
            found = fsck(cut, preen, write=True, force=True)
            assert found.result.clean, (count, found.kinds)
            _sound(cut)
            assert _tree(cut) == before
            with Editor(cut) as editor:
                sizes.add(editor.fs.fs_size)
    assert sizes == {growth.old.fs_size, growth.fs.fs_size}


@pytest.mark.parametrize(("form", "size"), [(FORMATS[1], 10 * MIB), (FORMATS[4], 20 * MIB)], ids=str)
def test_a_cut_while_it_grows_is_repaired(
    tmp_path: Path, form: tuple[int, str, int, int, int], size: int
) -> None:
    _cuts(form, size, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMATS, ids=lambda form: "-".join(map(str, form)))
@pytest.mark.parametrize("size", [10 * MIB, 20 * MIB, 60 * MIB])
def test_every_cut_is_repaired(tmp_path: Path, form: tuple[int, str, int, int, int], size: int) -> None:
    _cuts(form, size, tmp_path)


def test_freebsds_hashes_stay_right(tmp_path: Path) -> None:
    image = scratch_copy(freebsd_image("ufs-little"), tmp_path)
    before = Checker(image).complaints
    growth, _ = _grow(image, 64 * MIB)
    assert growth.fs.metackhash == 7
    assert Checker(image).complaints == before
    with mounted(image) as mp:
        assert mp.statvfs().blocks * mp.statvfs().frsize > 50 * MIB


def _unclean(fs: Editor) -> None:
    fs.write(fs.fs.offset + FS.offset("fs_clean"), b"\2")


def _snapshot(fs: Editor) -> None:
    fs.write(fs.fs.offset + FS.offset("fs_snapinum"), b"\3")


@pytest.mark.parametrize(("edit", "said"), [(_unclean, "not unmounted cleanly"), (_snapshot, "snapshots")])
def test_what_does_not_grow(tmp_path: Path, edit: Any, said: str) -> None:
    image = _new(tmp_path / "img", 9 * MIB, FORMATS[4])
    with Editor(image) as editor:
        edit(editor)
    before = image.read_bytes()
    with pytest.raises(VfsError, match=said):
        _grow(image, 20 * MIB)
    assert image.read_bytes()[: len(before)] == before


@pytest.mark.parametrize("name", ["clean-v0le-8k-1k", "wapbl-end-clean"])
def test_what_netbsd_made_and_does_not_grow(tmp_path: Path, name: str) -> None:
    image = scratch_copy(netbsd_image(name), tmp_path)
    with pytest.raises(VfsError):
        _grow(image, image.stat().st_size + 20 * MIB)


def test_it_does_not_shrink(tmp_path: Path) -> None:
    image = _new(tmp_path / "img", 9 * MIB, FORMATS[0])
    with pytest.raises(VfsError, match="can grow, and not shrink"):
        _grow(image, 8 * MIB)
    growth, device = _grow(image, 9 * MIB + 511)
    assert growth.fs.fs_size == growth.old.fs_size
    assert device.writes == []
    assert isinstance(growth.fs, Superblock)
