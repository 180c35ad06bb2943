"""rumpfs diff and grep, on images: against the tree that an image was made of, and against grep(1)."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.cli.verbs import Shell
from tests.images_util import makefs, standard_tree


@pytest.fixture
def alone(tmp_path: Path) -> Shell:
    """A shell without a server, and with an image of a tree beside the tree."""
    standard_tree(tmp_path / "tree")
    makefs(tmp_path / "tree", tmp_path / "disk.img", 2, "<", 8192, 1024)
    return Shell(None, tmp_path)


def test_an_image_is_the_tree_that_it_was_made_of(alone: Shell) -> None:
    done = alone.run("diff", "--seconds", "--ignore", "mode,uid,gid", "disk.img", "tree")
    assert (done.status, done.out, done.err) == (0, b"", "")


def test_what_differs_is_named_once(alone: Shell, tmp_path: Path) -> None:
    shutil.copy(tmp_path / "disk.img", tmp_path / "new.img")
    alone.ok("mkdir", "new.img:/added")
    alone.ok("rm", "new.img:/f511")
    (tmp_path / "other").write_bytes((tmp_path / "tree/f4097").read_bytes()[:-1] + b"!")
    alone.ok("cp", "other", "new.img:/f4097")
    alone.ok("chmod", "600", "new.img:/f512")
    done = alone.run("diff", "--ignore", "mtime,nlink", "disk.img", "new.img")
    assert done.status == 1
    assert sorted(line.split(":")[0] for line in done.lines) == [
        "! /f4097", "! /f512", "+ /added", "- /f511",
    ]  # fmt: skip
    assert "! /f4097: content differs from byte 4096 on" in done.lines
    differences = json.loads(alone.run("diff", "--json", "disk.img", "new.img").out)["differences"]
    changes = {each["path"]: each for each in differences}
    assert changes["/f512"]["fields"]["mode"][1] == 0o600
    assert changes["/f4097"]["fields"]["content"] == [4096, 4096]
    assert changes["/added"] == {"path": "/added", "change": "added", "fields": {}}
    assert alone.run("diff", "-q", "disk.img", "new.img").out == b""


def test_another_type_is_a_difference(alone: Shell, tmp_path: Path) -> None:
    shutil.copytree(tmp_path / "tree", tmp_path / "copy", symlinks=True, ignore=_special)
    path = next(path for path in (tmp_path / "copy").rglob("*") if path.is_symlink())
    text = os.readlink(path)
    path.unlink()
    path.symlink_to(text + "x")
    (tmp_path / "copy/f1").unlink()
    (tmp_path / "copy/f1").mkdir()
    lines = alone.run("diff", "--ignore", "mtime,mode,uid,gid,nlink", "disk.img", "copy").lines
    assert "! /f1: type file -> dir" in lines
    name, size = path.relative_to(tmp_path / "copy"), len(text)
    assert f"! /{name}: size {size} -> {size + 1}, target {text} -> {text}x" in lines


def _special(directory: str, names: list[str]) -> list[str]:
    paths = [Path(directory, name) for name in names]
    return [path.name for path in paths if not (path.is_file() or path.is_dir() or path.is_symlink())]


def test_trouble_has_a_status_of_its_own(alone: Shell) -> None:
    assert "No such file" in alone.fails("diff", "none.img:/", "tree", status=2)
    assert "no disklabel" in alone.fails("diff", "disk.img:a:/", "tree", status=2)
    assert "'name' is none of mode, uid" in alone.fails(
        "diff", "--ignore", "name", "disk.img", "tree", status=2
    )


@pytest.fixture
def words(tmp_path: Path) -> Shell:
    tree = tmp_path / "tree"
    (tree / "below").mkdir(parents=True)
    (tree / "one").write_bytes(b"first line\nsecond Line\n\xff third\nlast without end")
    (tree / "below/two").write_bytes(b"line\n" * 3 + b"other\n")
    (tree / "below/binary").write_bytes(b"line\0line\n")
    makefs(tree, tmp_path / "disk.img", 1, ">", 8192, 1024)
    return Shell(None, tmp_path)


@pytest.mark.oracle("grep")
@pytest.mark.parametrize(
    "words_",
    ["line", "-i line", "-n l", "-v line", "-ca line", "-l line", "-in LINE", "-F .", "-a line", "nothing"],
)
def test_grep_says_what_grep_says(words: Shell, tmp_path: Path, words_: str) -> None:
    done = words.run("grep", "-r", *words_.split(), "disk.img")
    real = subprocess.run(
        ["grep", "-r", *words_.split(), "tree"], cwd=tmp_path, capture_output=True, env={"LC_ALL": "C"}
    )
    expected = real.stdout.replace(b"tree/", b"disk.img:/").splitlines()
    binary = b"binary file matches" in real.stderr
    assert sorted(done.out.splitlines()) == sorted(expected)
    assert ("binary file matches" in done.err) == binary
    assert done.status == real.returncode


def test_grep_explains_what_it_cannot_do(words: Shell) -> None:
    assert "-r looks into the files" in words.fails("grep", "x", "disk.img:/", status=2)
    assert "unterminated" in words.fails("grep", "[", "disk.img:/one", status=2)
    (match,) = json.loads(words.ok("grep", "--json", "third", "disk.img:/one").out)["matches"]
    assert (match["path"], match["line"], match["text_b64"]) == ("/one", 3, "/yB0aGlyZA==")
