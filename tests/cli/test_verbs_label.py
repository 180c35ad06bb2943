"""rumpfs label: what disklabel(8) shows, and labels that others read."""

from __future__ import annotations

import importlib.util
import struct
import subprocess
from pathlib import Path
from typing import Any

import pytest

from rumpfs.ondisk.disklabel import Dialect, Disklabel, decode_disklabel, dkcksum, encode_label
from tests.cli.inside import Inside
from tests.cli.verbs import BIN, Shell
from tests.images_util import manifest, netbsd_image, pattern, scratch_copy
from tests.ondisk.labels import openbsd_label

MIB = 1 << 20


@pytest.fixture
def disk(tmp_path: Path) -> Inside:
    """A shell in a directory with a disk of 64 MiB, full of noise in its first MiB."""
    with (tmp_path / "disk.img").open("wb") as stream:
        stream.write(pattern("disk", MIB))
        stream.truncate(64 * MIB)
    return Inside(tmp_path)


def _partitions(shell: Shell, *words: str) -> dict[str, tuple[Any, ...]]:
    facts = shell.ok("label", "--json", *words, "disk.img").json
    return {
        row["letter"]: (row["offset"], row["size"], row["type"], row["fsize"], row["bsize"], row["cpg"])
        for row in facts["partitions"]
    }


@pytest.mark.parametrize("name", ["disklabel-le", "mbr-disklabel"])
def test_a_label_is_shown_as_disklabel_shows_it(tmp_path: Path, name: str) -> None:
    shell = Inside(tmp_path)
    shown = shell.ok("label", str(netbsd_image(name))).lines[2:]
    expected = [
        line.rstrip() for line in manifest(name)["label_text"] if not line.startswith("#") and line.strip()
    ]
    found = [line.rstrip() for line in shown if not line.startswith("#") and line.strip()]
    assert found == expected[-len(found) :]


def test_what_is_shown_makes_the_label_again(tmp_path: Path) -> None:
    shell = Inside(tmp_path)
    image = scratch_copy(netbsd_image("mbr-disklabel"), tmp_path)
    before = image.read_bytes()
    (tmp_path / "proto").write_bytes(shell.ok("label", image.name).out)
    shell.ok("label", "-R", "proto", image.name)
    assert image.read_bytes() == before


def test_a_new_label_leaves_everything_else(disk: Shell) -> None:
    image = disk.cwd / "disk.img"
    before = image.read_bytes()
    disk.ok("label", "-w", "--set", "a=64,20m", "--set", "b=,5m,swap", "--set", "e=", "disk.img")
    after = image.read_bytes()
    length = 148 + 8 * 16
    assert (after[:512], after[512 + length :]) == (before[:512], before[512 + length :])
    assert dkcksum(after[512 : 512 + length]) == 0
    assert _partitions(disk) == {
        "a": (64, 40960, "4.2BSD", 0, 0, 0), "b": (41024, 10240, "swap", 0, 0, 0),
        "d": (0, 131072, "unused", 0, 0, 0), "e": (51264, 79808, "4.2BSD", 0, 0, 0),
    }  # fmt: skip


def test_partitions_are_changed_and_removed(disk: Shell) -> None:
    disk.ok("label", "-w", "--set", "a=64,1000,4.2BSD,1024,8192,16", "--set", "e=2000,500,ext2", "disk.img")
    disk.ok("label", "--set", "a=,+24", "--delete", "e", "--name", "mine", "-n", "16", "disk.img")
    assert _partitions(disk)["a"] == (64, 1024, "4.2BSD", 1024, 8192, 16)
    facts = disk.ok("label", "--json", "disk.img").json
    assert (facts["slots"], facts["label"], [row["letter"] for row in facts["partitions"]]) == (
        16, "mine", ["a", "d"],
    )  # fmt: skip
    disk.ok("label", "--set", "a=,-24", "disk.img")
    assert _partitions(disk)["a"][1] == 1000


def test_a_new_partition_has_the_hints_of_its_file_system(disk: Shell) -> None:
    disk.ok("newfs", "-s", "8m", "-b", "16k", "-f", "2k", "disk.img@1m")
    disk.ok("label", "-w", "--set", "a=1m,8m", "disk.img")
    assert _partitions(disk)["a"] == (2048, 16384, "4.2BSD", 2048, 16384, 0)
    disk.ok("fsck", "-nf", "disk.img:a")


@pytest.mark.parametrize(
    ("machine", "offset", "order", "raw"),
    [
        ("amd64", 512, "little-endian", "d"), ("sparc64", 128, "big-endian", "c"),
        ("macppc", 64, "big-endian", "c"), ("vax", 64, "little-endian", "c"),
        ("mvme68k", 0, "big-endian", "c"), ("atari", 516, "big-endian", "c"),
        ("hp300", 1024, "big-endian", "c"), ("ews4800mips", 4608, "big-endian", "c"),
    ],
)  # fmt: skip
def test_a_label_for_another_machine(disk: Shell, machine: str, offset: int, order: str, raw: str) -> None:
    facts = disk.ok("label", "-w", "-M", machine, "--json", "disk.img").json
    assert (facts["offset"], facts["byte_order"]) == (offset, order)
    found = disk.ok("label", "--json", "disk.img").json
    assert found["offset"] == offset
    assert {row["letter"] for row in found["partitions"]} == {"a", raw}


@pytest.mark.oracle("mmls")
@pytest.mark.parametrize("order", ["le", "be"])
def test_sleuthkit_reads_it(disk: Shell, order: str) -> None:
    disk.ok("label", "-w", "-B", order, "--set", "a=64,20m", "--set", "b=,5m,swap", "disk.img")
    done = subprocess.run(
        ["mmls", "-t", "bsd", "disk.img"], cwd=disk.cwd, capture_output=True, text=True, check=True
    )
    rows = {
        tuple(line.split()[1:5:1]) for line in done.stdout.splitlines() if "4.2BSD" in line or "Swap" in line
    }
    assert rows == {
        ("000", "0000000064", "0000041023", "0000040960"), ("001", "0000041024", "0000051263", "0000010240"),
    }  # fmt: skip


@pytest.mark.skipif(
    importlib.util.find_spec("dissect.volume") is None, reason="dissect.volume is not installed"
)
def test_dissect_reads_it(disk: Shell) -> None:
    from dissect.volume.disk import Disk

    disk.ok("label", "-w", "-n", "8", "--set", "a=64,20m", "--set", "e=30m", "disk.img")
    with (disk.cwd / "disk.img").open("rb") as stream:
        stream.seek(512)
        data = stream.read(512)
    (disk.cwd / "only.img").write_bytes(bytes(512) + data + bytes(8 * MIB))
    with (disk.cwd / "only.img").open("rb") as stream:
        found = {(part.offset, part.size) for part in Disk(stream).partitions}
    assert {(64 * 512, 20 * MIB), (30 * MIB, 34 * MIB)} <= found


def _mbr(image: Path, start: int, size: int) -> None:
    """Enter a NetBSD slice in an MBR whose boot code is noise."""
    with image.open("r+b") as stream:
        stream.seek(446)
        stream.write(struct.pack("<B3xB3xII", 0x80, 0xA9, start, size) + bytes(48) + b"\x55\xaa")


def test_in_the_slice_of_an_mbr(disk: Shell) -> None:
    image = disk.cwd / "disk.img"
    _mbr(image, 2048, 100_000)
    before = image.read_bytes()
    facts = disk.ok("label", "-w", "--json", "disk.img").json
    assert (facts["offset"], facts["container"]) == (2049 * 512, "MBR slice at sector 2048")
    assert {row["letter"]: (row["offset"], row["size"]) for row in facts["partitions"]} == {
        "a": (2048, 100_000), "c": (2048, 100_000), "d": (0, 131072),
    }  # fmt: skip
    assert image.read_bytes()[: 2049 * 512] == before[: 2049 * 512]


def test_copies_are_kept_in_step(disk: Shell) -> None:
    image = disk.cwd / "disk.img"
    _mbr(image, 2048, 100_000)
    disk.ok("label", "-w", "disk.img")
    data = image.read_bytes()[2049 * 512 : 2049 * 512 + 276]
    with image.open("r+b") as stream:
        stream.seek(512)
        stream.write(data)
    disk.ok("label", "--set", "a=,40000", "--set", "e=50000,1000,swap", "disk.img")
    after = image.read_bytes()
    assert after[512:788] == after[2049 * 512 : 2049 * 512 + 276] != data


def test_alphas_boot_block_keeps_its_checksum(disk: Shell) -> None:
    image = disk.cwd / "disk.img"
    disk.ok("label", "-w", "-M", "alpha", "disk.img")
    with image.open("r+b") as stream:
        words = struct.unpack("<63Q", stream.read(504))
        stream.write(struct.pack("<Q", sum(words) & (1 << 64) - 1))
    disk.ok("label", "--set", "a=200,100", "--set", "b=100,50,swap", "disk.img")
    *words, total = struct.unpack("<64Q", image.read_bytes()[:512])
    assert total == sum(words) & (1 << 64) - 1


def test_deleted_labels_are_not_found(disk: Shell) -> None:
    disk.ok("label", "-w", "disk.img")
    label = (disk.cwd / "disk.img").read_bytes()[512:516]
    assert disk.ok("label", "-D", "disk.img").lines == ["disk.img: 1 label deleted"]
    assert (disk.cwd / "disk.img").read_bytes()[512:516] == bytes(byte ^ 0xFF for byte in label)
    assert "deleted disklabel" in disk.fails("label", "disk.img")
    assert "there is no label" in disk.fails("label", "-D", "disk.img")


def test_the_editor_changes_a_label(disk: Shell) -> None:
    disk.ok("label", "-w", "--set", "a=64,1000", "disk.img")
    (disk.cwd / "edit").write_text("#!/bin/sh\nsed -i 's/fictitious/edited/; s/ 1000 / 2000 /' $1\n")
    (disk.cwd / "edit").chmod(0o755)
    disk.environ["EDITOR"] = str(disk.cwd / "edit")
    disk.ok("label", "-e", "disk.img")
    facts = disk.ok("label", "--json", "disk.img").json
    assert (facts["label"], facts["partitions"][0]["size"]) == ("edited", 2000)
    for script, said in (("exit 3", "ended with 3"), ("echo what >>$1", "'what' has no colon")):
        (disk.cwd / "edit").write_text(f"#!/bin/sh\n{script}\n")
        assert said in disk.fails("label", "-e", "disk.img")
    assert disk.ok("label", "--json", "disk.img").json == facts


def test_N_writes_nothing(disk: Shell) -> None:
    before = (disk.cwd / "disk.img").read_bytes()
    assert "# (Cyl." in disk.ok("label", "-N", "-w", "disk.img").out.decode()
    assert (disk.cwd / "disk.img").read_bytes() == before


def test_overlaps_are_told_and_allowed(disk: Shell) -> None:
    done = disk.run("label", "-w", "--set", "a=64,1000", "--set", "e=1000,1000", "disk.img")
    assert (done.status, done.err) == (0, "rumpfs label: disk.img: warning: partitions a and e overlap\n")


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["disk.img"], 1, "no disklabel"),
        (
            ["-w", "--set", "a=64,900m", "disk.img"],
            1,
            "partition a ends at sector 1843264, the disk has 131072",
        ),
        (["-w", "--set", "a=200m", "disk.img"], 1, "nothing is left"),
        (["-w", "--set", "a=1x", "disk.img"], 2, "illegal number"),
        (["-w", "--set", "a=100b,3w", "disk.img"], 2, "no whole number of sectors"),
        (["-w", "--set", "ab=1", "disk.img"], 2, "is no partition"),
        (["-w", "--set", "a=64,100,zfs", "disk.img"], 2, "'zfs' is no type"),
        (["-w", "-n", "99", "disk.img"], 2, "1 to 22"),
        (["-w", "-M", "pdp11", "disk.img"], 2, "the machines are"),
        (["-w", "-O", "9000", "disk.img"], 1, "cannot be at byte 9000"),
        (["-w", "-O", "8100", "disk.img"], 1, "cannot be at byte 8100"),
        (["-w", "--name", "x" * 17, "disk.img"], 2, "16 bytes"),
        (["-w", "-e", "disk.img"], 2, "not allowed with"),
        (["-R", "none", "disk.img"], 1, "none: No such file"),
        (["none.img"], 1, "none.img"),
    ],
)
def test_what_cannot_be(disk: Shell, words: list[str], status: int, said: str) -> None:
    before = (disk.cwd / "disk.img").read_bytes()
    assert said in disk.fails("label", *words, status=status)
    assert (disk.cwd / "disk.img").read_bytes() == before


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("nonsense", "line 1: 'nonsense' has no colon"),
        ("a: 1", "line 1: '1': want size, offset and type"),
        ("a: 10 0 zfs", "'zfs' is no type"),
        ("99 partitions:", "1 to 22 partitions"),
        ("w: 10 0 swap", "partition w: there are 22"),
        ("rpm: 99999", "is no number up to 65535"),
        ("colour: red", "there is no field 'colour'"),
        ("bytes/sector: 500", "not a power of two"),
        ("cylinders: 0", "cylinders is 0"),
        ("flags: shiny", "'shiny' is no flag"),
        ("label: " + "x" * 17, "up to 16 bytes"),
    ],
)
def test_a_wrong_prototype_says_where(disk: Shell, line: str, said: str) -> None:
    disk.ok("label", "-w", "disk.img")
    before = (disk.cwd / "disk.img").read_bytes()
    (disk.cwd / "proto").write_text(line + "\n")
    assert said in disk.fails("label", "-R", "proto", "disk.img")
    assert (disk.cwd / "disk.img").read_bytes() == before


def test_a_prototype_from_standard_input(disk: Shell) -> None:
    text = "4 partitions:\n a: 1000 64 Linux Ext2 1024 8192 # comment\n b: 64 2000 swap\n"
    words = [str(BIN / "rumpfs"), "label", "-R", "-", "disk.img"]
    subprocess.run(
        words, cwd=disk.cwd, env=disk.environ, input=text, text=True, check=True, capture_output=True
    )
    assert _partitions(disk) == {
        "a": (64, 1000, "Linux Ext2", 1024, 8192, 0), "b": (2000, 64, "swap", 0, 0, 0),
    }  # fmt: skip


def test_openbsds_long_form_is_kept(disk: Shell) -> None:
    """Version 1 keeps the high halves of sizes beside the types, and fragments as a code."""
    data = openbsd_label("<", {"a": (64, 1000), "i": (1 << 33, 1 << 34)}, sectors=131072)
    label: Disklabel = decode_disklabel(data, 0, "x")
    assert (label.dialect, label.partitions[0].p_fsize, label.partitions[0].p_frag) == (
        Dialect.OPENBSD,
        4096,
        8,
    )
    assert encode_label(label) == data
    with (disk.cwd / "disk.img").open("r+b") as stream:
        stream.seek(512)
        stream.write(data)
    disk.ok("label", "--delete", "i", "--set", "a=,2000", "disk.img")
    after = (disk.cwd / "disk.img").read_bytes()[512 : 512 + len(data)]
    assert struct.unpack_from("<IIHHBBH", after, 148) == (
        2000,
        64,
        0,
        0,
        *struct.unpack_from("<BBH", data, 160),
    )
    assert dkcksum(after) == 0


def test_a_disk_and_its_file_system_grow(disk: Shell) -> None:
    disk.ok("label", "-w", "--set", "a=2048", "disk.img")
    disk.ok("newfs", "-O", "2", "disk.img:a")
    with (disk.cwd / "disk.img").open("r+b") as stream:
        stream.truncate(96 * MIB)
    assert "the disk has 131072" in disk.fails("label", "--set", "a=,+32m", "disk.img")
    disk.ok("label", "--grow", "--set", "a=,+32m", "disk.img")
    partitions = _partitions(disk)
    assert partitions["a"][:2] == (2048, 96 * MIB // 512 - 2048)
    assert partitions["d"][:2] == (0, 96 * MIB // 512)
    disk.ok("growfs", "-y", "disk.img:a")
    assert disk.run("fsck", "-nf", "disk.img:a").status == 0
    assert disk.ok("label", "--json", "disk.img").json["sectors"] == 96 * MIB // 512
