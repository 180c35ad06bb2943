"""rumpfs info: what it says of images, against their manifests and what sleuthkit says."""

from __future__ import annotations

import json
import struct
import subprocess
from pathlib import Path

import pytest

from tests.cli.verbs import Shell
from tests.images_util import makefs, manifest, netbsd_image, netbsd_images, standard_tree

LABELLED = [name for name in netbsd_images() if "partitions" in manifest(name) and not name.endswith("-be")]


@pytest.fixture
def alone(tmp_path: Path) -> Shell:
    """A shell without a server."""
    return Shell(None, tmp_path)


@pytest.mark.parametrize("name", LABELLED)
def test_partitions_are_those_of_the_manifest(alone: Shell, name: str) -> None:
    (image,) = json.loads(alone.ok("info", "--json", netbsd_image(name)).out)["images"]
    found = {part["offset"]: part for part in image["partitions"]}
    for part in manifest(name)["partitions"]:
        if "entries" not in part:
            continue
        shown = found[part["offset_sectors"] * 512]
        assert shown["size"] == part["size_sectors"] * 512
        free = part["statvfs"]["bfree"] * part["statvfs"]["frsize"]
        assert shown["filesystem"]["free"] == free
        assert alone.ok("ls", "-a", f"{shown['address']}:/").lines  # the name works as an address


@pytest.mark.parametrize(("name", "state"), [
    ("clean-v1le-16k-2k", "clean"), ("dirty-v1le", "not unmounted cleanly"),
])  # fmt: skip
def test_the_state_is_told(alone: Shell, name: str, state: str) -> None:
    (image,) = json.loads(alone.ok("info", "--json", netbsd_image(name)).out)["images"]
    assert image["filesystem"]["state"] == state
    assert f", {state}\n".encode() in alone.ok("info", netbsd_image(name)).out


def test_a_log_that_is_to_be_replayed_is_told(alone: Shell) -> None:
    names = [name for name in netbsd_images() if name.startswith("wapbl-dirty")]
    if not names:
        pytest.skip("../shared/images has no image with a log")
    (image,) = json.loads(alone.ok("info", "--json", netbsd_image(names[0])).out)["images"]
    assert image["filesystem"]["state"] == "its log is to be replayed"
    assert "bytes to replay" in image["filesystem"]["log"]


@pytest.mark.oracle("fsstat")
def test_sizes_are_those_that_fsstat_has(alone: Shell, tmp_path: Path) -> None:
    tree = standard_tree(tmp_path / "tree")
    makefs(tree, tmp_path / "v1.img", 1, "<", 8192, 1024)
    (image,) = json.loads(alone.ok("info", "--json", "v1.img").out)["images"]
    said = subprocess.run(
        ["fsstat", "v1.img"], cwd=tmp_path, capture_output=True, text=True, check=True
    ).stdout
    facts = image["filesystem"]
    assert f"Fragment Size: {facts['fragment_size']}\n" in said
    assert f"Block Size: {facts['block_size']}\n" in said
    assert (
        f"Number of Cylinder Groups: {facts['groups']}\n" in said or f"Num of CGs: {facts['groups']}" in said
    )


def test_a_label_in_a_slice_of_the_mbr_is_shown_inside_it(alone: Shell, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "file").write_text("content")
    makefs(tree, tmp_path / "fs.img", 1, "<", 8192, 1024)
    data = (tmp_path / "fs.img").read_bytes()
    disk = bytearray(1 << 20) + data
    disk[446:462] = struct.pack("<BBBBBBBBII", 0, 0, 0, 0, 0x83, 0, 0, 0, 2048, len(data) // 512)
    disk[510:512] = b"\x55\xaa"
    (tmp_path / "disk.img").write_bytes(disk)
    (image,) = json.loads(alone.ok("info", "--json", "disk.img").out)["images"]
    (part,) = image["partitions"]
    assert (part["address"], part["type"], part["offset"]) == ("disk.img:1", "Linux", 1 << 20)
    assert part["filesystem"]["format"] == "FFSv1"
    assert alone.ok("cat", f"{part['address']}:/file").out == b"content"


def test_what_is_no_image(alone: Shell, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("text")
    assert "no partition table and no FFS" in alone.fails("info", "text")
    assert "No such file" in alone.fails("info", "none.img")
    (tmp_path / "empty").touch()
    assert "empty" in alone.fails("info", "empty")
