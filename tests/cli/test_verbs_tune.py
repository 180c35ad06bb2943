"""rumpfs tunefs and growfs: what they say, what they write, and how they end."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from rumpfs.abi.mount import MNT_LOG
from rumpfs.dev.hostfile import HostFile
from rumpfs.ondisk.ufs.fs import FS
from tests.cli.inside import Inside
from tests.cli.verbs import BIN, Shell
from tests.fs.ffs.checker import Checker
from tests.fs.ffs.editor import Editor
from tests.fs.ffs.workload import writable
from tests.images_util import freebsd_image, netbsd_image, scratch_copy

MIB = 1 << 20


@pytest.fixture
def shell(tmp_path: Path) -> Inside:
    """A shell in a directory with a file system of 20 MiB."""
    shell = Inside(tmp_path)
    shell.ok("newfs", "-O", "2", "-s", "20m", "disk.img")
    return shell


# --- tunefs


SHOWN = """\
rumpfs tunefs: tuning disk.img
tunefs: current settings of disk.img
\tmaximum contiguous block count 8
\tmaximum blocks per file in a cylinder group 1024
\tminimum percentage of free space 5%
\toptimization preference: time
\taverage file size: 16384
\texpected number of files per directory: 64
\tquotas disabled
tunefs: no changes made
"""


def test_N_shows_what_tunefs_shows(shell: Inside) -> None:
    before = (shell.cwd / "disk.img").read_bytes()
    assert shell.ok("tunefs", "-N", "disk.img").out.decode() == SHOWN
    assert "space 2%" in shell.ok("tunefs", "-N", "-m", "2", "disk.img").out.decode()
    assert (shell.cwd / "disk.img").read_bytes() == before


def test_settings_are_changed_in_all_copies(shell: Inside) -> None:
    words = ["-m", "3", "-o", "space", "-e", "77", "-g", "999", "-h", "3", "-a", "4", "-L", "backup"]
    said = shell.ok("tunefs", "-A", *words, "disk.img").lines
    assert "rumpfs tunefs: minimum percentage of free space changes from 5% to 3%" in said
    assert "rumpfs tunefs: optimization preference changes from time to space" in said
    facts = shell.ok("tunefs", "--json", "disk.img").json
    wanted = {
        "minfree": 3, "optimization": "space", "maxbpg": 77, "avgfilesize": 999, "avgfpdir": 3,
        "maxcontig": 4, "label": "backup",
    }  # fmt: skip
    assert {key: facts[key] for key in wanted} == wanted
    with Editor(shell.cwd / "disk.img") as editor:
        fs = editor.fs
        for cgx in range(fs.fs_ncg):
            copy = FS.codec(fs.order).unpack(editor.read(8192, fs.cgsblock(cgx) * fs.fs_fsize))
            assert (copy.fs_minfree, copy.fs_optim, copy.fs_volname[:7]) == (3, 1, b"backup\0")
    assert Checker(shell.cwd / "disk.img").complaints == []
    said = shell.ok("tunefs", "-m", "3", "disk.img").lines
    assert said[1:] == ["rumpfs tunefs: minimum percentage of free space remains unchanged at 3%"]


def test_without_A_the_copies_stay(shell: Inside) -> None:
    before = (shell.cwd / "disk.img").read_bytes()
    shell.ok("tunefs", "-m", "9", "disk.img")
    after = (shell.cwd / "disk.img").read_bytes()
    place = 65536 + FS.offset("fs_minfree")
    assert after == before[:place] + b"\x09" + before[place + 1 :]


def test_advice_of_tunefs(shell: Inside) -> None:
    assert shell.ok("tunefs", "-m", "2", "disk.img").lines[-1].endswith("for space with minfree < 5%")
    assert (
        shell.ok("tunefs", "-m", "8", "-o", "space", "disk.img")
        .lines[-1]
        .endswith("for time with minfree >= 5%")
    )


def test_a_log_of_the_size_that_is_asked_for(shell: Inside) -> None:
    shell.ok("tunefs", "-l", "2m", "disk.img")
    log = shell.ok("tunefs", "--json", "disk.img").json["log"]
    assert log == {"place": "in filesystem", "size": 2 * MIB, "flags": ["create-log"]}
    with writable(shell.cwd / "disk.img", MNT_LOG):
        pass
    assert shell.ok("tunefs", "--json", "disk.img").json["log"] == log | {"flags": []}
    assert "there is a log of 2097152 bytes" in shell.fails("tunefs", "-l", "3m", "disk.img")
    shell.ok("tunefs", "-l", "0", "disk.img")
    assert shell.ok("tunefs", "--json", "disk.img").json["log"]["flags"] == ["clear-log"]
    with writable(shell.cwd / "disk.img"):
        pass
    assert shell.ok("tunefs", "--json", "disk.img").json["log"]["place"] is None
    assert Checker(shell.cwd / "disk.img").complaints == []


def test_freebsds_hashes_stay_right(tmp_path: Path) -> None:
    shell = Inside(tmp_path)
    image = scratch_copy(freebsd_image("ufs-big"), tmp_path)
    before = Checker(image).complaints
    shell.ok("tunefs", "-A", "-m", "7", "-L", "mine", image.name)
    assert Checker(image).complaints == before
    assert "FreeBSD's" in shell.fails("tunefs", "-l", "1m", image.name)


def test_a_partition(tmp_path: Path) -> None:
    shell = Inside(tmp_path)
    image = scratch_copy(netbsd_image("mbr-disklabel"), tmp_path)
    shell.ok("tunefs", "-m", "9", f"{image.name}:e")
    assert shell.ok("tunefs", "--json", f"{image.name}:e").json["minfree"] == 9
    assert shell.ok("tunefs", "--json", f"{image.name}:a").json["minfree"] == 5


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["disk.img"], 2, "nothing to change"),
        (["-m", "100", "disk.img"], 2, "greater than 99"),
        (["-q", "user", "disk.img"], 2, "quota2"),
        (["-L", "x" * 32, "disk.img"], 2, "31 bytes"),
        (["-m", "3", "none.img"], 1, "none.img"),
    ],
)
def test_what_tunefs_refuses(shell: Inside, words: list[str], status: int, said: str) -> None:
    assert said in shell.fails("tunefs", *words, status=status)


def test_who_has_it_locked_keeps_it(shell: Inside) -> None:
    other = Shell(None, shell.cwd)
    holder = HostFile.open(str(shell.cwd / "disk.img"))
    try:
        for verb in (["tunefs", "-m", "3"], ["growfs", "-y", "-s", "30m"]):
            assert "locked" in other.fails(*verb, "disk.img")
    finally:
        holder.close()


def test_the_old_layout_has_no_place_for_everything(tmp_path: Path) -> None:
    shell = Inside(tmp_path)
    image = scratch_copy(netbsd_image("clean-v0le-8k-1k"), tmp_path)
    assert "old layout has no volume label" in shell.fails("tunefs", "-L", "x", image.name)
    shell.ok("tunefs", "-A", "-m", "7", image.name)
    assert shell.ok("fsck", "-nf", "--json", image.name).json["findings"] == []
    assert "old layout" in shell.fails("growfs", "-y", "-s", "100m", image.name)


# --- growfs


def test_it_grows_with_its_image(shell: Inside) -> None:
    said = shell.ok("growfs", "-y", "-s", "50m", "disk.img").lines
    assert said[0] == "disk.img: has grown from 20.0MB to 50.0MB"
    assert (shell.cwd / "disk.img").stat().st_size == 50 * MIB
    assert Checker(shell.cwd / "disk.img").complaints == []
    with (shell.cwd / "disk.img").open("ab") as stream:
        stream.truncate(60 * MIB)
    assert shell.ok("growfs", "-y", "disk.img").lines[0].endswith("to 60.0MB")
    assert shell.ok("growfs", "-y", "disk.img").lines == [
        "disk.img: the file system has 60.0MB, and there is no room for more"
    ]


def test_N_says_what_would_be(shell: Inside) -> None:
    before = (shell.cwd / "disk.img").read_bytes()
    facts = shell.ok("growfs", "-N", "--json", "-s", "1g", "disk.img").json
    assert (facts["written"], facts["old_size"], facts["size"]) == (False, 20 * MIB, 1 << 30)
    assert facts["groups"] > facts["old_groups"]
    assert (shell.cwd / "disk.img").read_bytes() == before


def test_a_partition_grows_into_its_room(shell: Inside) -> None:
    with (shell.cwd / "part.img").open("wb") as stream:
        stream.truncate(64 * MIB)
    shell.ok("label", "-w", "--set", "a=1m,10m", "part.img")
    shell.ok("newfs", "part.img:a")
    shell.ok("label", "--set", "a=,+20m", "part.img")
    shell.ok("growfs", "-y", "part.img:a")
    assert Checker(shell.cwd / "part.img", MIB).complaints == []
    assert shell.ok("growfs", "-N", "--json", "part.img:a").json["old_size"] == 30 * MIB
    assert "31457280 bytes, and not" in shell.fails("growfs", "-y", "-s", "40m", "part.img:a")


@pytest.mark.parametrize(("answer", "status"), [("y\n", 0), ("n\n", 1), ("", 1)])
def test_it_asks(shell: Inside, answer: str, status: int) -> None:
    words = [str(BIN / "rumpfs"), "growfs", "-s", "30m", "disk.img"]
    done = subprocess.run(
        words, cwd=shell.cwd, env=shell.environ, input=answer, text=True, capture_output=True
    )
    assert done.returncode == status
    assert "grow the file system from 20.0MB to 30.0MB? [yn] " in done.stdout
    assert (shell.cwd / "disk.img").stat().st_size == (20 if status else 30) * MIB


def test_what_growfs_refuses(shell: Inside) -> None:
    assert "can grow, and not shrink" in shell.fails("growfs", "-y", "-s", "10m", "disk.img")
    with Editor(shell.cwd / "disk.img") as editor:
        editor.write(editor.fs.offset + FS.offset("fs_clean"), b"\0")
    assert "not unmounted cleanly" in shell.fails("growfs", "-y", "-s", "30m", "disk.img")
    assert (shell.cwd / "disk.img").stat().st_size == 20 * MIB
