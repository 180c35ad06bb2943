"""rumpfs map: figures, formats, the terminal, and what is wrong with what is asked."""

from __future__ import annotations

import os
import pty
import re
import subprocess
from pathlib import Path

import pytest

from rumpfs.cli.images.mapterm import Ink, ink
from tests.cli.verbs import BIN, Shell
from tests.images_util import makefs, manifest, netbsd_image, netbsd_images

LABELLED = [name for name in netbsd_images() if "partitions" in manifest(name) and not name.endswith("-be")]


@pytest.fixture
def alone(tmp_path: Path) -> Shell:
    """A shell without a server, in a directory with an image."""
    tree = tmp_path / "tree"
    (tree / "dir").mkdir(parents=True)
    (tree / "dir" / "file").write_bytes(b"x" * 70000)
    (tree / "other").write_bytes(b"y" * 3000)
    makefs(tree, tmp_path / "disk.img", 1, "<", 8192, 1024, "-s", "4m")
    return Shell(None, tmp_path)


def test_figures_are_those_of_dumpfs(alone: Shell) -> None:
    found = alone.ok("map", "--json", "-f", "/dir", "disk.img").json
    dumped = alone.ok("dumpfs", "--json", "disk.img").json
    fs = dumped["superblock"]
    free = sum(group["cs_nbfree"] * 8 + group["cs_nffree"] for group in dumped["summary"])
    assert found["frags_free"] == found["areas"]["free"] == free
    assert found["blocks_free"] == sum(group["cs_nbfree"] for group in dumped["summary"])
    assert (found["frags"], found["fragment_size"]) == (fs["fs_size"], fs["fs_fsize"])
    assert sum(found["areas"].values()) == fs["fs_size"]
    assert [group["frags_free"] for group in found["groups"]] == [
        group["cs_nbfree"] * 8 + group["cs_nffree"] for group in dumped["summary"]
    ]
    assert sum(group["directories"] for group in found["groups"]) == 2
    assert (found["frags_lost"], found["frags_doubled"], found["log_frags"]) == (0, 0, 0)
    (marked,) = found["files"]
    assert (marked["path"], marked["with_blocks"], marked["in_pieces"]) == ("/dir", 2, 0)


@pytest.mark.parametrize("name", LABELLED)
def test_a_partition_is_mapped(alone: Shell, name: str) -> None:
    image = netbsd_image(name)
    info = alone.ok("info", "--json", str(image)).json["images"][0]
    (part,) = [part for part in info["partitions"] if part["filesystem"]][:1]
    found = alone.ok("map", "--json", part["address"]).json
    assert found["frags_free"] * found["fragment_size"] == part["filesystem"]["free"]


@pytest.mark.parametrize(("name", "begins"), [
    ("map.png", b"\x89PNG\r\n\x1a\n"), ("map.SVG", b"<svg xmlns="), ("map.html", b"<!DOCTYPE html>"),
])  # fmt: skip
def test_the_name_says_which_picture_is_made(alone: Shell, name: str, begins: bytes) -> None:
    assert alone.ok("map", "-o", name, "--width", "640", "disk.img").out == b""
    data = (alone.cwd / name).read_bytes()
    assert data.startswith(begins)
    if begins.startswith(b"\x89PNG"):
        assert int.from_bytes(data[16:20], "big") == 640
    kind = name.rpartition(".")[2].lower()
    assert alone.ok("map", "-o", "-", "--format", kind, "--width", "640", "disk.img").out == data


def test_without_a_terminal_it_is_letters(alone: Shell) -> None:
    text = alone.ok("map", "-f", "/dir/file", "disk.img").out.decode("ascii")
    assert "1   1.7% /dir/file (in 1 piece)" in text
    bands = re.findall(r"^(?: +\d+| {6}) (\S+)$", text, re.M)
    letters = "".join(bands)
    assert {"B", "S", "G", "1", "."} <= set(letters)
    assert "FFSv1, little-endian, 4 MiB in " in text
    assert "one square: " in text
    assert "one square: " not in alone.ok("map", "--no-legend", "disk.img").out.decode()


def _on_a_terminal(alone: Shell, *words: str, **environ: str) -> bytes:
    """Return what the verb prints on a terminal."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [BIN / "rumpfs", "map", *words],
        cwd=alone.cwd, env={**alone.environ, "TERM": "xterm", **environ}, stdout=theirs,
    ) as process:  # fmt: skip
        os.close(theirs)
        said = b""
        try:
            while piece := os.read(ours, 65536):
                said += piece
        except OSError:  # EIO: the other side is closed
            pass
    os.close(ours)
    assert process.returncode == 0
    return said


def test_a_terminal_has_colours_unless_they_are_not_wanted(alone: Shell) -> None:
    half = "\N{UPPER HALF BLOCK}".encode()
    true = _on_a_terminal(alone, "disk.img", COLORTERM="truecolor")
    assert half in true
    assert b"\x1b[48;2;" in true
    indexed = _on_a_terminal(alone, "disk.img")
    assert b";5;" in indexed
    assert b";2;" not in indexed
    for words, environ in (((), {"NO_COLOR": "1"}), (("--color", "never"), {}), ((), {"TERM": "dumb"})):
        plain = _on_a_terminal(alone, *words, "disk.img", **environ)
        assert b"\x1b" not in plain
        assert half not in plain
    assert b"\x1b[" in alone.ok("map", "--color", "always", "disk.img").out


def test_what_the_environment_says_of_colours() -> None:
    xterm = {"TERM": "xterm"}
    assert ink("auto", True, xterm) == Ink.INDEXED
    assert ink("auto", True, xterm | {"COLORTERM": "24bit"}) == Ink.TRUE
    assert ink("auto", True, xterm | {"NO_COLOR": "1"}) == Ink.NONE
    assert ink("auto", True, xterm | {"NO_COLOR": ""}) == Ink.INDEXED  # no-color.org: not empty
    assert ink("auto", False, xterm) == Ink.NONE
    assert ink("always", False, {"NO_COLOR": "1"}) == Ink.INDEXED


@pytest.mark.parametrize(("words", "status", "said"), [
    (["disk.img", "-f", "/none"], 1, "disk.img:/none: No such file or directory"),
    (["disk.img", "-f", "/other/x"], 1, "disk.img:/other/x: Not a directory"),
    (["none.img"], 1, "none.img: No such file or directory"),
    (["disk.img:a"], 1, "disk.img: "),
    (["text"], 1, "text"),
    (["disk.img", "-o", "map.jpg"], 2, "map.jpg: --format says what it is: png, svg, html"),
    (["disk.img", "-o", "-"], 2, "-: --format says what it is"),
    (["disk.img", "--format", "png"], 2, "-o names its file"),
    (["disk.img", "--width", "1000000"], 2, "--width 1000000: must be 1 to 20000"),
    (["disk.img", "-o", "none/map.png"], 1, "none/map.png: No such file or directory"),
])  # fmt: skip
def test_what_is_wrong_is_told(alone: Shell, words: list[str], status: int, said: str) -> None:
    (alone.cwd / "text").write_text("no image\n" * 1000)
    assert said in alone.fails("map", *words, status=status)
