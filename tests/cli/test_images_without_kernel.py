"""What only reads an image starts no kernel, and tells what the system calls of one tell."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from rumpfs.base.address import parse_image
from rumpfs.cli.images.local import ImageFiles
from rumpfs.client.errors import RumpError
from tests.cli.inside import Inside
from tests.images_util import makefs, standard_tree


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a tree, and with images of it."""
    directory = tmp_path_factory.mktemp("made")
    tree = standard_tree(directory / "tree")
    for version, order in ((1, ">"), (2, "<")):
        makefs(tree, directory / f"{version}.img", version, order, 8192, 1024)
    return directory


@pytest.fixture(params=[1, 2])
def image(request: pytest.FixtureRequest, made: Path) -> str:
    """One of the images."""
    return str(made / f"{request.param}.img")


@pytest.fixture
def read(image: str) -> Iterator[ImageFiles]:
    """The files of the image, without a kernel."""
    with closing(ImageFiles(parse_image(image), image, writable=False)) as files:
        yield files


@pytest.fixture
def called(image: str) -> Iterator[ImageFiles]:
    """The files of the image through system calls."""
    with closing(ImageFiles(parse_image(image), image, writable=False)) as files:
        files.sys.getpid()
        yield files


def _said(call: Callable[..., Any], *args: Any) -> object:
    """Return the result of a call, or the number of its error and the path that it names."""
    try:
        return call(*args)
    except RumpError as error:
        return error.netbsd_errno, error.filename


#: names of the tree, and ways to them that are none
_PATHS = [
    b"/", b"/.", b"/..", b"/../f1", b"f1", b"/f1", b"/f1/", b"/f1/.", b"/f1/..", b"/f1/x", b"/none",
    b"/none/", b"/none/x", b"", b"//f1", b"/./f1", b"/" + b"n" * 256, b"/" + b"./" * 511,
    b"/" + b"./" * 511 + b".",
]  # fmt: skip


def _paths(tree: Path) -> Iterator[bytes]:
    yield from _PATHS
    top = os.fsencode(tree)
    for directory, below, files in os.walk(top):
        for name in [*below, *files][:40]:
            path = os.path.join(directory, name).removeprefix(top)
            yield path
            yield path + b"/"


def test_reading_tells_what_system_calls_tell(made: Path, read: ImageFiles, called: ImageFiles) -> None:
    for path in _paths(made / "tree"):
        for ours, theirs in (
            (read.stat, super(ImageFiles, called).stat),
            (read.lstat, super(ImageFiles, called).lstat),
            (read.readlink, super(ImageFiles, called).readlink),
            (read.scandir, super(ImageFiles, called).scandir),
            (read.listxattr, super(ImageFiles, called).listxattr),
        ):
            assert _said(ours, path) == _said(theirs, path), (ours.__name__, path)
    assert "_kernel" not in read.__dict__


def test_what_needs_a_kernel_gets_one_for_the_same_files(read: ImageFiles) -> None:
    before = read.stat(b"/f1")
    with read.open(b"/f1") as file:
        assert file.stat() == before
        assert file.read() == read.reader(b"/f1").readall()
    assert read.statvfs(b"/f1").f_mntonname == b"/"
    assert [mount.f_fstypename for mount in read.getvfsstat()][-1:] == [b"ffs"]
    with pytest.raises(OSError, match="Read-only file system"):
        read.unlink(b"/f1")


@pytest.mark.parametrize("words", ["ls -lR {}", "find {} -size +1", "cat {}f1", "cp -r {} copy", "tree {}"])
def test_verbs_that_read_load_no_kernel(made: Path, tmp_path: Path, image: str, words: str) -> None:
    program = (
        "import sys\nfrom rumpfs.cli.rumpfs import main\nsys.argv = sys.argv[1:]\nstatus = main()\n"
        "print(status, *sys.modules, file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "rumpfs", *words.format(f"{image}:/").split()],
        cwd=tmp_path, capture_output=True, text=True, check=True, errors="surrogateescape",
    )  # fmt: skip
    status, *loaded = done.stderr.split()
    assert status == "0"
    unwanted = {"rumpfs.kern", "rumpfs.fs.ffs.alloc", "rumpfs.dev.label", "rumpfs.client.transport", "socket"}
    assert "rumpfs.fs.ffs.inode" in loaded
    assert not unwanted & set(loaded)


@pytest.mark.parametrize(
    "expression",
    [
        "", "-type f -size +3", "-type f -size -2", "-size +700c -type f", "-empty", "-perm 600",
        "-perm -111", "-links +1 -type f", "-type d -o -type l -o -type f -size 1",
        "-type f -not -size 1 -not -name f*",
    ],
)  # fmt: skip
def test_find_in_an_image_finds_what_the_hosts_does(made: Path, image: str, expression: str) -> None:
    tests = expression.split()
    host = subprocess.run(["find", "tree", *tests], cwd=made, capture_output=True, check=True).stdout
    done = Inside(made).run("find", f"{image}:/", *tests)
    said = {line.removeprefix(os.fsencode(image) + b":/") for line in done.out.split(b"\n")}
    assert said == {line.removeprefix(b"tree").removeprefix(b"/") for line in host.split(b"\n")}
