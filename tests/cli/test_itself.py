"""What comes out of an image is not written over the image, by whatever name it goes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from rumpfs.abi.mount import MNT_LOG
from rumpfs.cli.rumpfs import VERBS, verb_parser
from rumpfs.cli.tool import ITSELF
from rumpfs.vfs.cred import ROOT
from tests.cli.inside import Inside
from tests.fs.ffs.harness import resolve
from tests.fs.ffs.workload import writable

OUT = "OUT"
#: command lines that write to OUT what they read from disk.img
LINES = [
    "cp disk.img:/file OUT",
    "cp -p disk.img:/file OUT",
    "cp -r disk.img:/dir/disk.img OUT",
    "cp -rp disk.img:/link OUT",
    "cp -rp disk.img:/fifo OUT",
    "tar -f OUT disk.img:/",
    "map -o OUT --format png disk.img",
    "map -o OUT --format svg disk.img",
    "map -o OUT --format html disk.img",
    "undelete -o OUT disk.img restore deleted",
    "undelete --tree OUT disk.img",
    "fsck -y --overlay OUT disk.img",
    "makefs OUT disk.img",
]
#: destinations of options that name what is written; trace reads no image
OPTIONS = {"output", "tree", "overlay"}
WITHOUT_IMAGE = {"trace"}
#: verbs in which an operand or option of another name does
MORE = {"cp", "tar", "makefs"}


@pytest.fixture
def shell(tmp_path: Path) -> Inside:
    """A shell with an image that has files, and other names for it."""
    (tmp_path / "tree" / "dir").mkdir(parents=True)
    (tmp_path / "tree" / "file").write_text("content")
    (tmp_path / "tree" / "dir" / "disk.img").write_text("content")
    (tmp_path / "tree" / "dir" / "other").write_text("another")
    (tmp_path / "tree" / "link").symlink_to("file")
    os.mkfifo(tmp_path / "tree" / "fifo")
    shell = Inside(tmp_path)
    shell.ok("makefs", "-f", "20", "-s", "4m", "disk.img", "tree")
    with writable(tmp_path / "disk.img", MNT_LOG) as mp:
        mp.mnt_root.create(b"deleted", 0o100644, ROOT).write(0, b"content", 0, ROOT)
        mp.sync()
        mp.mnt_root.remove(b"deleted", resolve(mp, "/deleted"), ROOT)
    return shell


@pytest.fixture(params=["name", "path", "symbolic link", "hard link", "descriptor"])
def name(request: pytest.FixtureRequest, shell: Inside) -> Iterator[str]:
    """A name of disk.img."""
    image = shell.cwd / "disk.img"
    kind = request.param
    if kind == "descriptor":
        with image.open("rb") as stream:
            yield f"/proc/self/fd/{stream.fileno()}"
        return
    if kind == "symbolic link":
        (shell.cwd / "other").symlink_to("disk.img")
    elif kind == "hard link":
        (shell.cwd / "other").hardlink_to(image)
    yield {"name": "disk.img", "path": str(image)}.get(kind, "other")


@pytest.mark.parametrize("line", LINES)
def test_an_image_is_not_written_over(shell: Inside, name: str, line: str) -> None:
    image = shell.cwd / "disk.img"
    before = image.read_bytes()
    done = shell.run(*(name if word == OUT else word for word in line.split()))
    assert done.status != 0
    assert len(done.err.splitlines()) == 1
    assert name in done.err
    if line.split()[0] in ("cp", "tar", "map"):
        assert ITSELF in done.err
    assert image.read_bytes() == before


def test_the_rest_of_a_tree_is_copied(shell: Inside) -> None:
    before = (shell.cwd / "disk.img").read_bytes()
    done = shell.run("cp", "-r", "disk.img:/dir/disk.img", "disk.img:/dir/other", "disk.img:/file", ".")
    assert (done.status, done.err) == (1, f"rumpfs cp: ./disk.img: {ITSELF}\n")
    assert (shell.cwd / "disk.img").read_bytes() == before
    assert (shell.cwd / "other").read_text() == "another"
    assert (shell.cwd / "file").read_text() == "content"


@pytest.mark.parametrize(
    ("verb", "name"),
    [
        *(("cp", kind) for kind in ("name", "symbolic link", "hard link", "descriptor")),
        *((verb, kind) for verb in ("mv", "cp -r") for kind in ("name", "path", "hard link")),
    ],
    indirect=["name"],
)
def test_an_image_does_not_go_into_itself(shell: Inside, name: str, verb: str) -> None:
    """A move would remove it. Links as such may go."""
    before = shell.ok("ls", "-lR", "disk.img:/").out
    said = shell.fails(*verb.split(), name, "disk.img:/copy")
    assert "it is not copied into itself" in said
    assert shell.ok("ls", "-lR", "disk.img:/").out == before


def test_what_is_beside_an_image_goes_into_it(shell: Inside) -> None:
    (shell.cwd / "beside").write_text("beside")
    done = shell.run("cp", "-r", ".", "disk.img:/all")
    assert (done.status, len(done.err.splitlines())) == (1, 1)
    assert "./disk.img: this is the image itself" in done.err
    assert shell.ok("cat", "disk.img:/all/beside").out == b"beside"
    assert shell.run("fsck", "-nf", "disk.img").status == 0


@pytest.mark.parametrize("line", ["mv disk.img:/file OUT", "mv disk.img:/link OUT"])
def test_a_move_out_of_an_image_does_not_replace_it(shell: Inside, name: str, line: str) -> None:
    before = shell.ok("ls", "-lR", "disk.img:/").out
    assert ITSELF in shell.fails(*(name if word == OUT else word for word in line.split()))
    assert shell.ok("ls", "-lR", "disk.img:/").out == before


def test_an_image_is_not_made_over_what_it_is_made_of(shell: Inside) -> None:
    shell.ok("tar", "-f", "tree.tar", "disk.img:/")
    (shell.cwd / "other").symlink_to("tree.tar")
    before = (shell.cwd / "tree.tar").read_bytes()
    for image, source in (("tree.tar", "other"), ("other", "tree.tar"), ("tree.tar", "tree.tar")):
        assert "is to be made of this" in shell.fails("makefs", image, source)
    assert (shell.cwd / "tree.tar").read_bytes() == before


def test_every_verb_that_writes_a_file_of_the_host_is_tried() -> None:
    tried = {line.split()[0] for line in LINES}
    for verb in VERBS:
        options = {action.dest for action in verb_parser(verb)._actions if action.option_strings}
        writes = bool(options & OPTIONS) and verb not in WITHOUT_IMAGE
        assert verb in tried or not writes, verb
    assert tried > MORE
