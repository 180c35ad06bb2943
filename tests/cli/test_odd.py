"""What is odd around a verb: names, standard streams, images that are not quite what they should be."""

from __future__ import annotations

import base64
import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.cli.inside import Inside
from tests.cli.verbs import BIN, PATIENCE, Done, Shell
from tests.fs.ffs.editor import Editor
from tests.images_util import makefs

#: an address that is nearly one, and what is said of it
NEAR = {
    "disk.img:zz:/": "disk.img is there, but :zz is no partition",
    "disk.img@:/": "disk.img is there, but @ is no partition",
    "disk.img@-5:/": "disk.img is there, but @-5 is no partition",
    "none.img:zz:/": "none.img:zz: No such file or directory",
}
#: command lines that print something
PRINTING = {
    "ls disk.img:/": 1, "cat disk.img:/file": 1, "tar disk.img:/": 1, "info disk.img": 1, "map disk.img": 1,
    "hexdump disk.img": 1, "survey disk.img": 1, "--help": 1, "fsck -n disk.img": 8,
    "diff disk.img:/ disk.img:/dir": 2,
}  # fmt: skip
ODD = {b"two\nlines": "two\\x0alines", b"\x1b[31mred": "\\x1b[31mred", b"not\xffutf": "not\\xffutf"}


@pytest.fixture
def shell(tmp_path: Path) -> Inside:
    tree = tmp_path / "tree"
    (tree / "dir").mkdir(parents=True)
    (tree / "file").write_bytes(b"content" * 1000)
    for name in ODD:
        (tree / os.fsdecode(name)).write_bytes(name)
    makefs(tree, tmp_path / "disk.img", 2, "<", 8192, 1024, "-s", "4m")
    return Inside(tmp_path)


def redirected(shell: Shell, line: str, how: str) -> Done:
    """Run `rumpfs` as sh does it with a redirection."""
    done = subprocess.run(
        ["sh", "-c", f"exec {BIN}/rumpfs {line} {how}"],
        cwd=shell.cwd, env=shell.environ, capture_output=True, timeout=PATIENCE,
    )  # fmt: skip
    return Done(done.returncode, done.stdout, os.fsdecode(done.stderr))


@pytest.mark.parametrize(("how", "why"), [(">/dev/full", "No space left"), (">&-", "Bad file descriptor")])
@pytest.mark.parametrize(("line", "status"), PRINTING.items())
def test_output_that_is_lost_is_told(shell: Shell, line: str, status: int, how: str, why: str) -> None:
    done = redirected(shell, line, how)
    assert (done.status, len(done.err.splitlines())) == (status, 1)
    assert "standard output: " + why in done.err


def test_streams_that_are_closed_are_not_the_image(shell: Shell) -> None:
    """Else it would get the descriptor of one, and what is said would be written into it."""
    before = (shell.cwd / "disk.img").read_bytes()
    for line, status in {"ls disk.img:/none": 1, "rm disk.img:/none": 1, "ls disk.img:/": 0}.items():
        assert redirected(shell, line, "<&- 2>&-").status == status
    assert redirected(shell, "rm disk.img:/none", "<&- >&- 2>&-").status == 1
    assert shell.run("fsck", "-n", "disk.img").status == 0
    after = (shell.cwd / "disk.img").read_bytes()
    # Mounts for writing have touched superblock and summary, nothing else.
    assert sum(a != b for a, b in zip(before, after, strict=True)) < 200


def test_warnings_begin_as_errors_do(shell: Shell) -> None:
    with Editor(shell.cwd / "disk.img") as editor:
        editor.superblock(fs_clean=0)
    outside = Shell(None, shell.cwd)
    for line in ("ls disk.img:/", "cat disk.img:/file", "sh -c ls disk.img", "survey disk.img"):
        done = outside.run(*line.split())
        assert done.status == 0
        verb = line.split()[0]
        [warning] = done.err.splitlines()
        assert warning.startswith(f"rumpfs {verb}: disk.img: the file system was not unmounted cleanly")


@pytest.mark.parametrize(("address", "said"), NEAR.items())
def test_what_may_be_meant_by_an_address(shell: Shell, address: str, said: str) -> None:
    assert said in shell.fails("ls", address)


def test_an_image_with_a_colon_behind_it(shell: Shell) -> None:
    done = shell.run("ls", "disk.img:")
    assert (done.status, "disk.img:/" in done.err) == (2, True)


@pytest.mark.parametrize("name", ["a:b@c.img", "x@1k", "with space.img"])
def test_a_file_is_found_under_its_whole_name(shell: Shell, name: str) -> None:
    (shell.cwd / "disk.img").rename(shell.cwd / name)
    assert "file" in shell.ok("ls", f"{name}:/").lines
    assert shell.ok("info", name).lines[0].startswith(f"{name}: ")


@pytest.mark.parametrize("verb", ["info", "survey", "carve", "map", "undelete", "dumpfs"])
def test_json_is_utf8_whatever_an_image_is_called(shell: Shell, verb: str) -> None:
    (shell.cwd / "disk.img").rename(shell.cwd / os.fsdecode(b"n\xff.img"))
    words = [] if verb == "survey" else ["--json"]
    document = json.loads(shell.ok(verb, *words, b"n\xff.img").out.decode())
    found = document["images"][0] if verb == "info" else document
    assert base64.b64decode(found["image_b64"]) == b"n\xff.img"


def test_names_do_not_break_lines(shell: Shell) -> None:
    for name in ODD:
        shell.ok("rm", b"disk.img:/" + name)
    lines = shell.ok("undelete", "disk.img").lines
    assert sorted(line.rpartition(" /")[2] for line in lines) == sorted(ODD.values())


def test_why_there_is_nothing_in_an_image(shell: Shell) -> None:
    image = shell.cwd / "disk.img"
    image.write_bytes(image.read_bytes()[:16384])
    said = shell.run("info", "disk.img").err
    assert "superblock at byte 8192: fs_csaddr" in said
    assert "rumpfs carve disk.img" in said


@pytest.mark.parametrize("verb", ["undelete", "dumpfs", "explain", "fsck"])
@pytest.mark.parametrize("sector", ["-5", "x", "99999999999999999999"])
def test_a_sector_is_a_number(shell: Shell, verb: str, sector: str) -> None:
    done = shell.run(verb, "-b", sector, "disk.img")
    assert done.status == (1 if verb == "fsck" else 2)
    assert sector in done.err


def test_an_empty_directory_name_is_none(shell: Shell) -> None:
    done = shell.run("undelete", "--tree", "", "disk.img")
    assert (done.status, "an empty path is no directory" in done.err) == (2, True)
