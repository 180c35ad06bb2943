"""rumpfs tar: what tar(1) and Python make of its archives."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from rumpfs import open_image
from tests.cli.verbs import Shell
from tests.images_util import freebsd_image, freebsd_images, makefs, standard_tree


@pytest.fixture
def alone(tmp_path: Path) -> Shell:
    """A shell without a server."""
    return Shell(None, tmp_path)


@pytest.mark.oracle("tar")
@pytest.mark.parametrize("squeeze", ["", "-z"])
def test_tar_unpacks_the_tree_that_the_image_was_made_of(alone: Shell, tmp_path: Path, squeeze: str) -> None:
    standard_tree(tmp_path / "tree")
    makefs(tmp_path / "tree", tmp_path / "disk.img", 2, "<", 8192, 1024)
    alone.ok("tar", *squeeze.split(), "-f", "disk.tar", "disk.img:/")
    (tmp_path / "copy").mkdir()
    subprocess.run(["tar", "-xpf", "disk.tar", "-C", "copy"], cwd=tmp_path, check=True)
    said = subprocess.run(
        ["diff", "-r", "--no-dereference", "tree", "copy"], cwd=tmp_path, capture_output=True, text=True
    ).stdout
    assert [line for line in said.splitlines() if "fifo" not in line and "special" not in line] == []
    for path in (tmp_path / "tree").rglob("*"):
        a, b = path.lstat(), (tmp_path / "copy" / path.relative_to(tmp_path / "tree")).lstat()
        assert (a.st_mode, a.st_nlink, int(a.st_mtime)) == (b.st_mode, b.st_nlink, int(b.st_mtime)), path


@pytest.mark.oracle("tar")
def test_holes_cost_nothing(alone: Shell, tmp_path: Path) -> None:
    alone.ok("newfs", "-s", "8m", "disk.img")
    for name, pieces, size in (
        ("middle", {0: b"start", 1 << 30: b"middle"}, 2 << 30),
        ("end", {(1 << 30) - 3: b"end"}, 1 << 30),
        ("empty", {}, 1 << 30),
    ):
        with (tmp_path / name).open("wb") as file:
            for offset, data in pieces.items():
                file.seek(offset)
                file.write(data)
            file.truncate(size)
        alone.ok("cp", name, "disk.img:/")
    alone.ok("tar", "-f", "disk.tar", "disk.img:/")
    assert (tmp_path / "disk.tar").stat().st_size < 200_000
    (tmp_path / "copy").mkdir()
    subprocess.run(["tar", "-xpf", "disk.tar", "-C", "copy"], cwd=tmp_path, check=True)
    for name in ("middle", "end", "empty"):
        st = (tmp_path / "copy" / name).stat()
        assert (st.st_size, st.st_blocks < 1000) == ((tmp_path / name).stat().st_size, True)
    with (tmp_path / "copy/middle").open("rb") as file:
        file.seek((1 << 30) - 2)
        assert file.read(9) == b"\0\0middle\0"
    with (tmp_path / "copy/end").open("rb") as file:
        file.seek(-5, os.SEEK_END)
        assert file.read() == b"\0\0end"


@pytest.mark.skipif(not freebsd_images(), reason="../shared/images has no images of FreeBSD")
def test_extended_attributes_and_times_of_birth_are_kept(alone: Shell) -> None:
    image = freebsd_image("ufs-little")
    data = alone.ok("tar", f"{image}:/").out
    with tarfile.open(fileobj=io.BytesIO(data)) as archive, open_image(image) as opened:
        count = 0
        for member in archive:
            headers = {
                name.removeprefix("SCHILY.xattr."): value.encode("utf-8", "surrogateescape")
                for name, value in member.pax_headers.items()
                if name.startswith("SCHILY.xattr.")
            }
            path = opened.path(member.pax_headers.get("GNU.sparse.name", member.name))
            if member.isfile() or member.isdir():
                assert headers == path.xattrs()
                count += len(headers)
            if member.isfile() and not member.islnk():
                born = float(member.pax_headers["LIBARCHIVE.creationtime"])
                assert abs(born - path.stat().st_birthtime) < 1e-5
        assert count > 2000


def test_names_are_bytes(alone: Shell, tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    with open(os.fsencode(tmp_path) + b"/tree/\xff\xfe name", "wb") as file:
        file.write(b"content")
    makefs(tmp_path / "tree", tmp_path / "disk.img", 1, "<", 8192, 1024)
    alone.ok("tar", "-f", "disk.tar", "disk.img:/")
    with tarfile.open(tmp_path / "disk.tar", errors="surrogateescape") as archive:
        assert [os.fsencode(name) for name in archive.getnames()] == [b".", b"./\xff\xfe name"]


def test_what_cannot_be_read_or_written(alone: Shell, tmp_path: Path) -> None:
    assert "No such file" in alone.fails("tar", "-f", "x.tar", "none.img:/")
    assert not (tmp_path / "x.tar").exists()
    alone.ok("newfs", "-s", "8m", "disk.img")
    assert "dir/x.tar: No such file" in alone.fails("tar", "-f", "dir/x.tar", "disk.img:/")
    assert "No space left" in alone.fails("tar", "-f", "/dev/full", "disk.img:/")
