"""rumpfs cp out of images and into them: holes, hard links, attributes."""

from __future__ import annotations

import filecmp
import hashlib
import os
import random
import subprocess
from pathlib import Path

import pytest

from rumpfs import open_image
from tests.cli.verbs import BIN, Shell
from tests.images_util import freebsd_image, freebsd_images, makefs, manifest, netbsd_image, standard_tree


@pytest.fixture
def alone(tmp_path: Path) -> Shell:
    """A shell without a server."""
    return Shell(None, tmp_path)


def _same(one: Path, other: Path) -> None:
    """Compare two trees of the host, hard links included."""
    said = subprocess.run(
        ["diff", "-r", "--no-dereference", str(one), str(other)], capture_output=True, text=True
    ).stdout
    assert [line for line in said.splitlines() if "fifo" not in line and "special" not in line] == []
    for path in one.rglob("*"):
        a, b = path.lstat(), (other / path.relative_to(one)).lstat()
        assert (a.st_mode, a.st_nlink, a.st_mtime_ns // 10**9) == (
            b.st_mode,
            b.st_nlink,
            b.st_mtime_ns // 10**9,
        )


@pytest.mark.parametrize(("version", "order"), [(1, "<"), (2, ">")])
def test_a_tree_comes_out_as_it_went_in(alone: Shell, tmp_path: Path, version: int, order: str) -> None:
    standard_tree(tmp_path / "tree")
    makefs(tmp_path / "tree", tmp_path / "disk.img", version, order, 8192, 1024)
    alone.ok("cp", "-a", "disk.img:/", "copy")
    _same(tmp_path / "tree", tmp_path / "copy")


def test_a_tree_goes_in_and_comes_out(alone: Shell, tmp_path: Path) -> None:
    standard_tree(tmp_path / "tree")
    alone.ok("newfs", "-s", "24m", "new.img")
    alone.ok("cp", "-a", "tree", "new.img:/")
    assert alone.run("fsck", "-nf", "new.img").status == 0
    alone.ok("cp", "-a", "new.img:/tree", "copy")
    _same(tmp_path / "tree", tmp_path / "copy")


def test_holes_of_an_image_are_holes_of_the_host(alone: Shell, tmp_path: Path) -> None:
    alone.ok("newfs", "-s", "8m", "new.img")
    with (tmp_path / "sparse").open("wb") as file:
        file.write(b"start")
        file.seek(1 << 30)
        file.write(b"middle")
        file.truncate(2 << 30)
    alone.ok("cp", "sparse", "new.img:/")
    alone.ok("cp", "new.img:/sparse", "copy")
    st = (tmp_path / "copy").stat()
    assert (st.st_size, st.st_blocks < 1000) == (2 << 30, True)
    with (tmp_path / "copy").open("rb") as file:
        assert file.read(10) == b"start\0\0\0\0\0"
        file.seek((1 << 30) - 2)
        assert file.read(10) == b"\0\0middle\0\0"


@pytest.mark.parametrize("redirect", ["> out", ">> out", "| cat > out"])
def test_cat_sends_bytes_and_holes_wherever_they_go(alone: Shell, tmp_path: Path, redirect: str) -> None:
    data = random.Random(3).randbytes(300_001)
    with (tmp_path / "file").open("wb") as file:
        for start in (0, 1 << 20, (3 << 20) + 5):
            file.seek(start)
            file.write(data)
    expected = (tmp_path / "file").read_bytes()
    alone.ok("newfs", "-s", "16m", "new.img")
    alone.ok("cp", "file", "new.img:/")
    (tmp_path / "out").write_bytes(b"before ")
    done = subprocess.run(
        ["sh", "-c", f"{BIN}/rumpfs cat new.img:/file new.img:/file {redirect}"],
        cwd=tmp_path, env=alone.environ, capture_output=True, text=True,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    before = b"before " if ">>" in redirect else b""
    assert (tmp_path / "out").read_bytes() == before + expected * 2


@pytest.mark.parametrize("words", ["cp new.img:/large out", "cat new.img:/large > out"])
def test_a_large_file_comes_out_whole_and_takes_no_more_blocks(
    alone: Shell, tmp_path: Path, words: str
) -> None:
    piece = random.Random(5).randbytes(1 << 20)
    with (tmp_path / "large").open("wb") as file:
        for number in range(42):
            file.write(number.to_bytes(8, "big") + piece)
        file.seek(9 << 20, os.SEEK_CUR)
        file.write(piece * 20 + b"end")
    alone.ok("newfs", "-s", "100m", "new.img")
    alone.ok("cp", "large", "new.img:/")
    subprocess.run(["sh", "-c", f"{BIN}/rumpfs {words}"], cwd=tmp_path, env=alone.environ, check=True)
    out, large = tmp_path / "out", tmp_path / "large"
    assert filecmp.cmp(out, large, shallow=False)
    with out.open("rb") as file:  # blocks that are set aside have a place, and are not of the file
        os.fsync(file.fileno())
    size = out.stat().st_size - (8 << 20 if words.startswith("cp") else 0)
    assert out.stat().st_blocks * 512 < size + (1 << 20)


def test_sparse_files_that_a_kernel_wrote(alone: Shell, tmp_path: Path) -> None:
    name = "clean-v2le-16k-2k"
    alone.ok("cp", "-a", f"{netbsd_image(name)}:/", "copy")
    for entry in manifest(name)["entries"]:
        path = tmp_path / "copy" / entry["path"][1:]
        if entry["type"] == "file":
            assert hashlib.sha256(path.read_bytes()).hexdigest() == entry["sha256"], path
            if entry["mtime_nsec"]:
                assert path.stat().st_mtime_ns == entry["mtime"] * 10**9 + entry["mtime_nsec"]


@pytest.mark.skipif(not freebsd_images(), reason="../shared/images has no images of FreeBSD")
def test_extended_attributes_come_along(alone: Shell, tmp_path: Path) -> None:
    probe = tmp_path / "probe"
    probe.touch()
    try:
        os.setxattr(probe, "user.x", b"x" * 100)
    except OSError as error:
        pytest.skip(f"the host's file system keeps no extended attributes: {error}")
    image = freebsd_image("ufs-little")

    with open_image(image) as opened:
        path = next(path for path in opened.root.rglob("*") if path.is_file() and 0 < len(path.xattrs()) < 20)
        expected = {name: value for name, value in path.xattrs().items() if name.startswith("user.")}
        done = alone.run("cp", "-a", f"{image}:{path}", "one")
        assert done.status == 0, done
        assert {
            name: os.getxattr(tmp_path / "one", name) for name in os.listxattr(tmp_path / "one")
        } == expected


def test_a_shell_works_in_an_image(alone: Shell, tmp_path: Path) -> None:
    alone.ok("newfs", "-s", "8m", "disk.img")
    (tmp_path / "file").write_text("content")
    script = "mkdir dir; cd dir; put file copy; cat copy; ls -l; !echo host"
    lines = alone.ok("sh", "-w", "-c", script, "disk.img:/").lines
    assert (lines[0].startswith("content"), lines[-1]) == (True, "host")
    assert alone.ok("cat", "disk.img:/dir/copy").out == b"content"
    assert "read-only" in alone.fails("sh", "-c", "rm dir/copy", "disk.img")
    assert alone.run("fsck", "-nf", "disk.img").status == 0


def test_df_of_an_image_is_its_file_system(alone: Shell) -> None:
    alone.ok("newfs", "-s", "8m", "disk.img")
    _, line = alone.ok("df", "disk.img").lines
    assert line.split()[-1] == "/"


def test_an_image_is_not_written_over_by_what_comes_out_of_it(alone: Shell, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("content")
    alone.ok("newfs", "-s", "8m", "disk.img")
    alone.ok("cp", "file", "disk.img:/")
    before = (tmp_path / "disk.img").read_bytes()
    assert "this is the image itself" in alone.fails("cp", "disk.img:/file", "disk.img")
    assert "this is the image itself" in alone.fails("tar", "-f", "disk.img", "disk.img:/")
    assert (tmp_path / "disk.img").read_bytes() == before
