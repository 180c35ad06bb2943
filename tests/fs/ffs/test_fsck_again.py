"""A repair leaves nothing for a second check to find, also where that of fsck_ffs -y does."""

from __future__ import annotations

from pathlib import Path

import pytest

from rumpfs.fs.ffs.fsck.finding import yes
from rumpfs.ondisk.ufs.cg import CG
from tests.fs.ffs.checker import complaints
from tests.fs.ffs.editor import Editor
from tests.fs.ffs.fscking import fsck
from tests.fs.ffs.harness import mounted, resolve
from tests.images_util import makefs

FORMATS = [(1, "le"), (1, "be"), (2, "le"), (2, "be")]


@pytest.fixture(params=FORMATS, ids=lambda form: f"{form[0]}{form[1]}")
def image(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    for name in ("one/two/three", "one/four"):
        (tmp_path / "tree" / name).mkdir(parents=True)
    (tmp_path / "tree/one/two/file").write_bytes(b"content")
    words = ("-s", "3m", ",density=4096")
    return makefs(tmp_path / "tree", tmp_path / "image", *request.param, 8192, 1024, *words)


def repair(image: Path) -> None:
    checked = fsck(image, yes, write=True)
    assert checked.result.clean
    assert checked.kinds != []
    assert fsck(image).kinds == []
    assert complaints(image) == []


def test_lost_and_found_takes_the_inode_of_the_directory_that_its_files_have_lost(image: Path) -> None:
    with Editor(image) as editor:
        ino, below = editor.ino("/one"), editor.ino("/one/two")
        editor.write(editor.fs.ino_to_byte(ino), bytes(editor.codec.size))
    repair(image)
    with Editor(image) as editor:
        assert editor.ino("/lost+found") == ino
    with mounted(image) as mp:
        digits = len(str(mp.um_fs.maxino))
        assert resolve(mp, b"/lost+found/#%0*d/file" % (digits, below)).read(0, 100) == b"content"


@pytest.mark.parametrize("image", FORMATS[:2], indirect=True)
def test_a_track_without_sectors(image: Path) -> None:
    """Interleave and sectors of a track are held against their number, which nothing tells any more."""
    with Editor(image) as editor:
        editor.superblock(fs_old_nsect=-5, fs_old_interleave=7, fs_clean=0)
    assert fsck(image, yes, write=True).result.clean
    assert fsck(image).kinds == []


@pytest.mark.parametrize("image", FORMATS[2:], indirect=True)
def test_a_group_without_its_magic_has_the_inodes_that_were_found(image: Path) -> None:
    with Editor(image) as editor:
        place = editor.at(editor.fs.cgtod(0))
        codec = CG.codec(editor.fs.order)
        row = codec.unpack(editor.read(CG.size, place))
        editor.write(place, codec.pack(row._replace(cg_magic=5, cg_initediblk=editor.fs.fs_inopb)))
        last = editor.fs.fs_inopb + 3
        free = editor.codec.decode(bytes(editor.codec.size))
        editor.change_inode(last, **free._replace(di_mode=0o100644, di_nlink=1, di_gen=1)._asdict())
    repair(image)
    with Editor(image) as editor:
        assert editor.initialised(0) > last
    with mounted(image) as mp:
        digits = len(str(mp.um_fs.maxino))
        assert resolve(mp, b"/lost+found/#%0*d" % (digits, last)).size() == 0
