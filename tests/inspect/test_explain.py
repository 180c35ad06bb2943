"""Structures field by field: each value is what stands at its place of the image, whatever reads it."""

from __future__ import annotations

import inspect
import re
import subprocess
from pathlib import Path
from types import ModuleType

import pytest

from rumpfs.base.errors import VfsError
from rumpfs.inspect import explain
from rumpfs.inspect.meanings import MEANINGS
from rumpfs.inspect.structures import Structure
from rumpfs.ondisk import disklabel
from rumpfs.ondisk.layout import Record
from rumpfs.ondisk.ufs import appleufs, cg, dinode, direct, fs, wapbl
from tests.images_util import manifest, netbsd_image, netbsd_images
from tests.inspect.studies import studied

IMAGES = [name for name in netbsd_images() if re.fullmatch(r"clean-v(0be-8k-1k|1le-16k-2k|2be-16k-2k)", name)]
MODULES: tuple[ModuleType, ...] = (appleufs, cg, dinode, direct, disklabel, fs, wapbl)


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__.rpartition(".")[2])
def test_every_field_of_every_record_has_a_meaning(module: ModuleType) -> None:
    records = [record for _, record in inspect.getmembers(module, lambda each: isinstance(each, Record))]
    assert records
    for record in records:
        assert set(MEANINGS[record.name]) >= set(record.names), record.name


def _check(structure: Structure, image: bytes, order: str) -> int:
    """Compare the numbers of a structure with the bytes of the image; return how many there were."""
    count = 0
    byteorder: str = "little" if order == "<" else "big"
    for field in structure.fields:
        raw = image[field.offset : field.offset + field.size]
        if isinstance(field.value, int) and field.size in (1, 2, 4, 8):
            signed = field.value < 0
            assert int.from_bytes(raw, byteorder, signed=signed) == field.value, field  # type: ignore[arg-type]
            count += 1
        elif isinstance(field.value, bytes):
            assert raw == field.value, field
    return count


@pytest.mark.parametrize("name", IMAGES)
def test_values_are_what_stands_at_their_places(name: str) -> None:
    path = netbsd_image(name)
    image = path.read_bytes()
    with studied(path) as raw:
        order = raw.fs.order
        found = [
            explain.superblock(raw),
            explain.group(raw, 1),
            explain.path(raw, b"/"),
            explain.frag(raw, 0),
        ]
        found += [explain.path(raw, entry["path"].encode()) for entry in _some(name)]
        found += [explain.frag(raw, raw.fs.cgimin(1)), explain.frag(raw, raw.fs.fs_csaddr)]
        count = sum(_check(each, image, order) for explanation in found for each in explanation.structures)
    assert count > 400


def _some(name: str) -> list[dict[str, str]]:
    entries = manifest(name)["entries"]
    return [entry for entry in entries if entry["path"].isascii()][::40]


@pytest.mark.parametrize("name", IMAGES)
def test_an_inode_is_what_the_kernel_said(name: str) -> None:
    with studied(netbsd_image(name)) as raw:
        for entry in _some(name):
            found = explain.path(raw, entry["path"].encode())
            values = {field.name: field.value for field in found.structures[0].fields}
            assert found.target == f"inode {entry['ino']}"
            assert values["di_size"] == entry["size"]
            assert values["di_blocks"] == entry["blocks"]
            assert values["di_nlink"] == entry["nlink"]
            assert f"inode {entry['ino']}, " in found.owners[0]
            held = sum(extent.length for extent in found.extents)
            held += len(found.indirect) * raw.fs.fs_bsize
            assert held == int(entry["blocks"]) * 512


@pytest.mark.oracle("istat")
def test_times_are_those_of_istat() -> None:
    if not IMAGES:
        pytest.skip("../shared/images has no images of NetBSD")
    path = netbsd_image(IMAGES[0])
    with studied(path) as raw:
        shown = {field.name: field.text for field in explain.inode(raw, 2).structures[0].fields}
    said = subprocess.run(
        ["istat", "-z", "UTC", str(path), "2"], capture_output=True, text=True, check=True
    ).stdout
    for field, name in (
        ("di_atime", "Accessed"),
        ("di_mtime", "File Modified"),
        ("di_ctime", "Inode Modified"),
    ):
        time = shown[field].partition("(")[2][:19].replace("1970-01-01 00:00:00", "0000-00-00 00:00:00")
        assert time in re.search(rf"{name}:\s*(.*)", said)[1]  # type: ignore[index]


def test_a_byte_is_in_one_field(tmp_path: Path) -> None:
    if not IMAGES:
        pytest.skip("../shared/images has no images of NetBSD")
    with studied(netbsd_image(IMAGES[0])) as raw:
        place = raw.fs.ino_to_byte(2) + raw.codec.record.offset("di_size")
        (structure,) = explain.byte(raw, place + 3).structures
        assert structure.name == "inode 2"
        (field,) = [each for each in structure.fields if each.offset <= place + 3 < each.offset + each.size]
        assert field.name == "di_size"


def test_what_is_not_there_is_an_error() -> None:
    if not IMAGES:
        pytest.skip("../shared/images has no images of NetBSD")
    with studied(netbsd_image(IMAGES[0])) as raw:
        for study in (explain.inode, explain.group, explain.frag, explain.byte):
            for number in (-1, 1 << 40):
                with pytest.raises(VfsError, match="ENXIO"):
                    study(raw, number)
        with pytest.raises(VfsError, match="ENOENT"):
            explain.path(raw, b"/none")
        with pytest.raises(VfsError, match="ENOTDIR"):
            explain.path(raw, _file(IMAGES[0]) + b"/x")


def _file(name: str) -> bytes:
    found = next(entry for entry in manifest(name)["entries"] if entry["type"] == "file")
    return bytes(found["path"], "utf-8", "surrogateescape")
