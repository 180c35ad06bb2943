"""rumpfs fsck, newfs and dumpfs: what they say, what they write, and how they end."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from rumpfs.base.address import AddressError, ImageAddress, parse_image
from tests.cli.verbs import BIN, Shell
from tests.images_util import SHARED_IMAGES, manifest, netbsd_image, scratch_copy


@pytest.fixture
def alone(tmp_path: Path) -> Shell:
    """A shell without a server."""
    return Shell(None, tmp_path)


def _fsck_ffs(name: str, what: str) -> list[str]:
    """Return what fsck_ffs(8) said of an image on a machine of the image's byte order."""
    path = SHARED_IMAGES / "netbsd" / f"{name}.{what}.txt"
    if not path.exists():
        pytest.skip(f"no file {path}")
    return path.read_text().splitlines()


def _copy(name: str, shell: Shell) -> str:
    """Copy an image into the directory of the shell; return its name there."""
    scratch_copy(netbsd_image(name), shell.cwd).rename(shell.cwd / name)
    return name


# --- fsck


def test_fsck_n_says_what_fsck_ffs_says(alone: Shell) -> None:
    name = _copy("dirty-v1le", alone)
    before = (alone.cwd / name).read_bytes()
    done = alone.run("fsck", "-n", name)
    assert (done.status, done.err) == (2, "")
    assert done.lines == _fsck_ffs(name, "fsck")
    assert (alone.cwd / name).read_bytes() == before


def test_fsck_y_says_what_fsck_ffs_says_and_repairs(alone: Shell) -> None:
    name = _copy("dirty-v1le", alone)
    said = _fsck_ffs(name, "fsck-y")
    middle = said.index("== fsck_ffs -n -f afterwards: exit 0")
    assert alone.ok("fsck", "-fy", name).lines == said[1:middle]
    assert alone.ok("fsck", "-nf", name).lines == said[middle + 1 :]
    assert alone.ok("fsck", name).lines == [f"** {name}", "** File system is clean; not checking"]


def test_fsck_p_says_in_a_line_each_what_it_did(alone: Shell) -> None:
    name = _copy("dirty-v1le", alone)
    lines = alone.ok("fsck", "-p", name).lines
    assert f"{name}: INCORRECT BLOCK COUNT I=13 (64 should be 48) (CORRECTED)" in lines
    assert f"{name}: SUMMARY INFORMATION BAD (SALVAGED)" in lines
    assert lines[-2].startswith(f"{name}: 191 files, 804 used, 7051 free ")
    assert alone.ok("fsck", "-p", name).lines == [f"{name}: file system is clean; not checking"]


def test_an_overlay_takes_the_repairs_until_it_is_committed(alone: Shell) -> None:
    name = _copy("dirty-v2be", alone)
    image = alone.cwd / name
    before = image.read_bytes()
    image.chmod(0o400)
    alone.ok("fsck", "-y", "--overlay", "fix", name)
    assert image.read_bytes() == before
    assert alone.run("fsck", "-n", name).status == 2
    alone.ok("fsck", "-nf", "--overlay", "fix", name)
    image.chmod(0o600)
    assert alone.ok("overlay", "commit", "fix").out == b""
    assert not (alone.cwd / "fix").exists()
    assert alone.ok("fsck", "-nf", "--json", name).json["findings"] == []


def test_what_is_no_overlay_is_refused(alone: Shell) -> None:
    name = _copy("clean-v1le-16k-2k", alone)
    before = (alone.cwd / name).read_bytes()
    (alone.cwd / "noise").write_bytes(b"x" * 100)
    assert "noise: is no overlay" in alone.fails("fsck", "-y", "--overlay", "noise", name, status=8)
    assert "there is no such overlay" in alone.fails("fsck", "-n", "--overlay", "missing", name, status=8)
    assert (alone.cwd / name).read_bytes() == before


def test_the_findings_as_json(alone: Shell) -> None:
    name = _copy("dirty-v1le", alone)
    done = alone.run("fsck", "-n", "--json", name)
    assert (done.status, done.err) == (2, "")
    document = done.json
    facts = {key: document[key] for key in ("image", "checked", "skipped", "clean", "modified", "unresolved")}
    assert facts == {
        "image": name, "checked": True, "skipped": None, "clean": False, "modified": False,
        "unresolved": True,
    }  # fmt: skip
    system = document["filesystem"]
    assert (system["format"], system["byte_order"], system["last_mounted_on"]) == (
        "UFS1",
        "little-endian",
        "/mnt",
    )
    assert (system["files"], system["frags_used"], system["frags_free"]) == (195, 846, 7247)
    first = document["findings"][0]
    assert first == {
        "kind": "incorrect-block-count", "pass": "1", "inode": 13, "group": None, "block": None,
        "field": "di_blocks", "got": 64, "expected": 48, "path": None,
        "text": "INCORRECT BLOCK COUNT I=13 (64 should be 48)", "repair": "di_blocks is set", "preen": True,
        "answers": [{"question": "CORRECT", "yes": False}], "fixed": False,
    }  # fmt: skip


def test_questions_are_asked_and_nobody_means_no(alone: Shell) -> None:
    name = _copy("dirty-v2le", alone)
    before = (alone.cwd / name).read_bytes()
    done = alone.run("fsck", name)
    assert done.status == 2
    assert b"? [yn] " in done.out
    asked = subprocess.run(
        [BIN / "rumpfs", "fsck", name], input=b"maybe\n" + b"y\n" * 99, capture_output=True,
        cwd=alone.cwd, env=alone.environ, timeout=60,
    )  # fmt: skip
    assert (asked.returncode, asked.stderr) == (0, b"")
    assert (alone.cwd / name).read_bytes() != before
    assert alone.ok("fsck", "-nf", "--json", name).json["findings"] == []


def test_partitions_are_named_as_in_the_label(alone: Shell) -> None:
    image = str(netbsd_image("mbr-disklabel"))
    used = [line.split(" used")[0] for line in _fsck_ffs("mbr-disklabel", "fsck") if " used, " in line]
    for part, files in zip(("a", "e"), used, strict=True):
        assert alone.ok("fsck", "-nf", f"{image}:{part}").lines[-1].startswith(f"{files} used")
    offset = manifest("mbr-disklabel")["partitions"][0]["offset_sectors"] * 512
    assert alone.ok("fsck", "-nf", f"{image}@{offset}").lines[-1].startswith(f"{used[0]} used")
    assert "p" in alone.fails("fsck", "-n", f"{image}:p", status=8)


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["none.img"], 8, "none.img: No such file"),
        (["-n", "text"], 8, "text"),
        (["-n", "-y", "text"], 1, "not allowed with"),
        ([], 1, "required: IMAGE"),
        (["unix://sock"], 1, "not for servers"),
        (["-b", "x", "text"], 1, "illegal number"),
        (["-n", "text@1g"], 8, "none at byte"),
    ],
)
def test_how_fsck_fails(alone: Shell, words: list[str], status: int, said: str) -> None:
    (alone.cwd / "text").write_bytes(b"no file system\n" * 9999)
    assert said in alone.fails("fsck", *words, status=status)


# --- newfs


def test_newfs_makes_an_image_that_fsck_and_dumpfs_know(alone: Shell) -> None:
    lines = alone.ok("newfs", "-O", "2", "-B", "be", "-s", "16m", "-L", "vol", "new.img").lines
    assert lines[0] == "new.img: 16.0MB (32768 sectors) block size 4096, fragment size 512"
    assert lines[2] == "super-block backups (for fsck -b #) at:"
    assert (alone.cwd / "new.img").stat().st_size == 16 << 20
    assert alone.ok("fsck", "-nf", "--json", "new.img").json["findings"] == []
    shown = alone.ok("dumpfs", "-s", "--json", "new.img").json
    assert (shown["format"], shown["byte_order"], shown["location"]) == ("UFS2", "big-endian", 65536)
    assert shown["superblock"]["fs_volname"] == "vol"
    copy = lines[3].split(",")[1].strip()
    assert alone.ok("dumpfs", "-s", "-b", copy, "new.img").lines[1] == "format\tFFSv2"


def test_newfs_is_reproducible(alone: Shell) -> None:
    alone.environ["SOURCE_DATE_EPOCH"] = "1700000000"
    images = []
    for name in ("a", "b"):
        alone.ok("newfs", "-s", "4m", name)
        images.append((alone.cwd / name).read_bytes())
    assert images[0] == images[1]
    alone.environ["SOURCE_DATE_EPOCH"] = "today"
    assert "SOURCE_DATE_EPOCH is 'today'" in alone.fails("newfs", "-s", "4m", "c", status=2)
    assert not os.path.exists(alone.cwd / "c")


def test_newfs_N_writes_nothing(alone: Shell) -> None:
    lines = alone.ok("newfs", "-N", "-s", "1t", "-O", "2", "new.img").lines
    assert "2147483648 sectors" in lines[0]
    assert not os.path.exists(alone.cwd / "new.img")


def test_newfs_in_a_partition_leaves_the_others_alone(alone: Shell) -> None:
    name = _copy("mbr-disklabel", alone)
    part = manifest(name)["partitions"][1]
    start, size = part["offset_sectors"] * 512, part["size_sectors"] * 512
    before = (alone.cwd / name).read_bytes()
    alone.ok("newfs", f"{name}:e")
    after = (alone.cwd / name).read_bytes()
    assert (after[:start], after[start + size :]) == (before[:start], before[start + size :])
    assert alone.ok("fsck", "-nf", f"{name}:e").lines[-1].startswith("1 files, ")


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["new.img"], 1, "No such file"),
        (["-s", "nothing", "new.img"], 2, "-s"),
        (["-s", "4m", "-b", "1000", "new.img"], 2, "-b"),
        (["-s", "4m", "-b", "5000", "-f", "512", "new.img"], 1, "power of 2, not 5000"),
        (["-s", "4m", "-L", "x" * 32, "new.img"], 2, "a label has up to 31 bytes, not 32"),
        (["-O", "3", "new.img"], 2, "invalid choice"),
        (["-s", "8k", "new.img"], 1, "minimum"),
    ],
)
def test_how_newfs_fails(alone: Shell, words: list[str], status: int, said: str) -> None:
    assert said in alone.fails("newfs", *words, status=status)
    assert list(alone.cwd.iterdir()) == []


# --- dumpfs


@pytest.mark.parametrize("name", ["clean-v1le-16k-2k", "clean-v2be-16k-2k", "clean-v0be-8k-1k"])
def test_dumpfs_shows_the_superblock(alone: Shell, name: str) -> None:
    facts = manifest(name)["superblock"]
    image = str(netbsd_image(name))
    document = alone.ok("dumpfs", "--json", image).json
    row = document["superblock"]
    assert document["location"] == facts["superblock_offset"]
    for field in ("ncg", "bsize", "fsize", "ipg", "fpg"):
        assert row[f"fs_{field}"] == facts[field]
    assert len(document["groups"]) == len(document["summary"]) == facts["ncg"]
    nifree = sum(group["cs_nifree"] for group in document["summary"])
    assert nifree == manifest(name)["statvfs"]["ffree"]
    lines = alone.ok("dumpfs", image).lines
    assert f"endian\t{ {'le': 'little', 'be': 'big'}[facts['byte_order']] }-endian" in lines
    assert [line for line in lines if line.startswith("cg ")] == [f"cg {n}:" for n in range(facts["ncg"])]


def test_dumpfs_of_something_else(alone: Shell) -> None:
    (alone.cwd / "text").write_bytes(b"no file system\n" * 9999)
    assert "text" in alone.fails("dumpfs", "text")


# --- addresses of images


def test_addresses_of_images(tmp_path: Path) -> None:
    assert parse_image("disk.img") == ImageAddress("disk.img", "", 0)
    assert parse_image("disk.img:a") == ImageAddress("disk.img", "a", 0)
    assert parse_image("disk.img:s2e@1m") == ImageAddress("disk.img", "s2e", 1 << 20)
    assert parse_image("dir/x:y@4096") == ImageAddress("dir/x", "y", 4096)
    odd = tmp_path / "disk:a"
    odd.write_bytes(b"")
    assert parse_image(str(odd)) == ImageAddress(str(odd), "", 0)
    for text in ("", "unix://sock:/x", ":/x", "disk@1q"):
        with pytest.raises(AddressError):
            parse_image(text)
