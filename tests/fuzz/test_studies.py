"""Studies of images whose structures are wrong: they end soon, take little memory, and fail with words."""

from __future__ import annotations

import os
import re
import resource
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rumpfs.dev.image import open_image
from rumpfs.dev.window import Window
from rumpfs.inspect import explain
from rumpfs.inspect.allocation import allocation
from rumpfs.inspect.browse import children, head
from rumpfs.inspect.carve import carve
from rumpfs.inspect.deleted import count_deleted
from rumpfs.inspect.disk import tables
from rumpfs.inspect.hexdump import explained
from rumpfs.inspect.log import Log, Reader
from rumpfs.inspect.marks import inodes_of
from rumpfs.inspect.names import Names
from rumpfs.inspect.owners import Owners
from rumpfs.inspect.picture.drawing import Words, draw, frame
from rumpfs.inspect.picture.html import html
from rumpfs.inspect.picture.png import png
from rumpfs.inspect.raw import Raw
from rumpfs.inspect.remains import Remains
from rumpfs.inspect.summary import summary
from rumpfs.inspect.undelete import Search, can_restore, content, target
from rumpfs.inspect.volume import Volume, extents
from rumpfs.inspect.walk import walk
from rumpfs.ondisk.ufs.dinode import IFLNK, IFMT
from rumpfs.ondisk.ufs.extattr import parse_extattrs
from rumpfs.ondisk.ufs.fs import ROOTINO
from tests.fuzz.images import EXPECTED, areas, change, cut, outcomes
from tests.images_util import netbsd_image, netbsd_images

#: formats, byte orders, logs
NAMES = [
    name for name in netbsd_images()
    if re.fullmatch(r"clean-v(0be-8k-1k|1le-16k-2k|2be-8k-1k)|wapbl-dirty-(multi-v2le|revoke-v1le)", name)
]  # fmt: skip
#: seconds that all studies of one image may take together, and bytes of memory; undamaged ones take 0.5 s
PATIENCE = 20.0
MEMORY = 600 << 20
BUDGET = 12
LARGE = 150


@contextmanager
def _window(path: Path) -> Iterator[Window]:
    window = open_image(os.fspath(path))
    try:
        yield window
    finally:
        window.close()


def _raw(study: Callable[[Raw], Any]) -> Callable[[Path], Any]:
    def run(path: Path) -> Any:
        with _window(path) as window:
            return study(Raw(window))

    return run


def _plain(study: Callable[[Window], Any]) -> Callable[[Path], Any]:
    def run(path: Path) -> Any:
        with _window(path) as window:
            return study(window)

    return run


def _volume(path: Path) -> None:
    """Open the file system and go through all of it, with what its files hold."""
    with Volume(open_image(os.fspath(path)), force=True) as volume:
        for directory in walk(volume):
            for found in directory.entries[:50]:
                with suppress(*EXPECTED):
                    list(extents(volume.inode(found.ino)))


def _explain(raw: Raw) -> None:
    explain.superblock(raw)
    for ino in (2, 3, 4, 20):
        explain.inode(raw, ino)
    explain.group(raw, 0)
    for frag in range(0, raw.frags, max(1, raw.frags // 5)):
        explain.frag(raw, frag)


def _log(raw: Raw) -> None:
    log = Log(raw)
    reader = Reader(raw, log, Owners(raw))
    for transaction in log.transactions:
        list(reader.read(transaction))
    list(Remains(raw, log.position.blksize, log.remains()).used())


def _undelete(raw: Raw) -> None:
    for each in Search(raw).deleted():
        if can_restore(each):
            if each.mode & IFMT == IFLNK:
                target(raw, each)
            else:
                for _, part in zip(range(1000), content(raw, each), strict=False):
                    assert part.length >= 0


def _map(raw: Raw) -> None:
    shape = frame(raw, 400)
    what = allocation(raw, shape.grid, [inodes_of(raw, b"/")])
    drawing = draw(what, shape, Words("", "", (), ("/",), "", "", {}))
    assert png(drawing.scene)
    assert html(raw, what, drawing)


def _browse(raw: Raw) -> None:
    for child in children(raw, ROOTINO)[:100]:
        head(raw, child.ino, 1 << 16)
        children(raw, child.ino)


STUDIES: dict[str, Callable[[Path], Any]] = {
    "volume": _volume,
    "tables": _plain(lambda window: tables(window.pread, window.size, "image")),
    "summary": _plain(lambda window: summary(window.pread, window.size, "image")),
    "carve": _plain(lambda window: carve(window.pread, window.size, "image")),
    "names": _raw(Names),
    "owners": _raw(lambda raw: [Owners(raw).kinds(cgx) for cgx in range(raw.groups)]),
    "explain": _raw(_explain),
    "hexdump": _raw(lambda raw: list(explained(raw, raw.fs.cgtod(0) * raw.fs.fs_fsize, 64 << 10))),
    "log": _raw(_log),
    "map": _raw(_map),
    "browse": _raw(_browse),
    "undelete": _raw(_undelete),
    "deleted": _raw(count_deleted),
}


def _study(name: str, seed: int, directory: Path) -> None:
    """Change an image and let every study look at it."""
    source = netbsd_image(name)
    places = areas(source)
    data = bytearray(source.read_bytes())
    change(data, places, seed)
    path = directory / "image"
    path.write_bytes(cut(data, seed))
    before = time.process_time()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    results = dict(outcomes(STUDIES, path))
    spent = time.process_time() - before
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak) << 10
    assert set(results) == set(STUDIES)
    assert spent < PATIENCE, (name, seed, spent)
    assert grown < MEMORY, (name, seed, grown)


@pytest.mark.skipif(not NAMES, reason="../shared/images has no images of NetBSD")
@settings(max_examples=BUDGET, suppress_health_check=list(HealthCheck))
@given(name=st.sampled_from(NAMES or [""]), seed=st.integers(0, 1 << 32))
def test_damage_is_told_soon(tmp_path_factory: pytest.TempPathFactory, name: str, seed: int) -> None:
    _study(name, seed, tmp_path_factory.mktemp("fuzz"))


@pytest.mark.slow
@pytest.mark.skipif(not NAMES, reason="../shared/images has no images of NetBSD")
@pytest.mark.parametrize("name", NAMES)
def test_much_damage_is_told_soon(name: str, tmp_path: Path) -> None:
    for seed in range(LARGE):
        _study(name, seed, tmp_path)


@given(area=st.binary(max_size=600), order=st.sampled_from(("<", ">")))
def test_attributes_are_parsed_or_refused(area: bytes, order: Any) -> None:
    attributes, damage = parse_extattrs(area, order, "area")
    assert sum(len(value) for value in attributes.values()) <= len(area)
    assert damage is None or "area" in damage.where


@pytest.mark.skipif(not NAMES, reason="../shared/images has no images of NetBSD")
def test_an_inode_whose_blocks_all_are_indirect_blocks_of_each_other_ends_soon(tmp_path: Path) -> None:
    """All blocks of data hold pointers, as many as fit, to each other or out of the file system."""
    name = NAMES[0]
    data = bytearray(netbsd_image(name).read_bytes())
    with _window(netbsd_image(name)) as window:
        raw = Raw(window)
        fs = raw.fs
        first = raw.fs.cgdmin(0) + 64
        di = raw.inode(2)
        assert di is not None
        hostile = di._replace(di_mode=0o100644, di_size=1 << 40, di_ib=(first, first + 8, first + 16))
        place = fs.ino_to_byte(3)
        data[place : place + raw.codec.size] = raw.codec.encode(hostile)
        count = fs.fs_bsize // 4
        for kind, pointers in (
            ("good", [first + 8 * (number % 900) for number in range(count)]),
            ("bad", [-number - 1 for number in range(count)]),
        ):
            block = struct.pack(f"{fs.order}{count}i", *pointers)
            for frag in range(first, raw.frags - 8, 8):
                if frag % fs.fs_fpg > fs.fs_dblkno + 64:
                    data[frag * fs.fs_fsize : frag * fs.fs_fsize + len(block)] = block
            path = tmp_path / kind
            path.write_bytes(data)
            before = time.process_time()
            for study in ("owners", "explain", "undelete"):
                dict(outcomes({study: STUDIES[study]}, path))
            assert time.process_time() - before < PATIENCE
