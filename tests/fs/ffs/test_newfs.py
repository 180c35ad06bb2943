"""New file systems: the ones that NetBSD's newfs(8) makes, by the images that it made, and sound."""

from __future__ import annotations

import random
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest

from rumpfs.base.errors import VfsError
from rumpfs.dev.hostfile import HostFile
from rumpfs.dev.window import Window
from rumpfs.fs.ffs.fsck.finding import yes
from rumpfs.fs.ffs.newfs import Newfs
from rumpfs.fs.ffs.newfs_layout import FS_OPTSPACE, Parameters
from rumpfs.ondisk.layout import BIG, LITTLE
from rumpfs.ondisk.ufs.cg import Cg
from rumpfs.ondisk.ufs.fs import FS
from rumpfs.ondisk.ufs.superblock import Superblock
from tests.fs.ffs.checker import Checker
from tests.fs.ffs.editor import Editor
from tests.fs.ffs.fscking import fsck
from tests.fs.ffs.harness import mounted, readdir
from tests.images_util import manifest, netbsd_image, netbsd_images

ORDERS = {"le": LITTLE, "be": BIG}
MIB = 1 << 20
#: option of newfs(8) -> field of the parameters
OPTIONS = {"-b": "bsize", "-f": "fsize", "-i": "density", "-n": "inodes"}

#: What a kernel changes in a superblock when it mounts and writes.
CHANGES = {
    "fs_old_time", "fs_time", "fs_id", "fs_fsmnt", "fs_cgrotor", "fs_swuid", "fs_clean", "fs_fmod",
    "fs_flags",
    "fs_cstotal", "fs_old_cstotal", "fs_csp", "fs_maxcluster", "fs_active", "fs_contigdirs", "fs_ocsp",
    "fs_journal_version", "fs_journal_location", "fs_journal_reserved", "fs_journal_flags",
    "fs_journallocs", "fs_quota_magic", "fs_quota_flags", "fs_quotafile", "fs_volname", "fs_pendingblocks",
    "fs_pendinginodes",
}  # fmt: skip
#: What says where the parts of a group are, and how many of each there are.
LAYOUT = (
    "cg_magic", "cg_cgx", "cg_ndblk", "cg_old_btotoff", "cg_old_boff", "cg_iusedoff", "cg_freeoff",
    "cg_nextfreeoff", "cg_clustersumoff", "cg_clusteroff", "cg_nclusterblks", "cg_niblk", "cg_old_ncyl",
    "cg_old_niblk",
)  # fmt: skip


def make(path: Path, size: int, **parameters: Any) -> Newfs:
    """Make a file system of `size` bytes in a file of as many."""
    with path.open("ab") as stream:
        stream.truncate(size)
    hostfile = HostFile.open(str(path))
    window = Window(hostfile, 0, size)
    try:
        made = Newfs(size, Parameters(seconds=1_700_000_000, **parameters), random.Random(1).randbytes)
        made.write(window)
    finally:
        window.close()
    return made


def _told(command: str) -> tuple[int, dict[str, Any]]:
    """Return size and parameters of a command line of newfs(8)."""
    words = shlex.split(command)
    given = dict(zip(words[2::2], words[3::2], strict=False))
    parameters: dict[str, Any] = {OPTIONS[key]: int(given[key]) for key in OPTIONS if key in given}
    parameters |= {"version": int(given["-O"]), "order": ORDERS[given["-B"]]}
    return int(given["-s"]) * 512, parameters


def _made_by_newfs() -> list[str]:
    """Images whose options are ours, too: not those of the 4.3BSD layout."""
    return [
        name
        for name in netbsd_images()
        if not name.startswith(("disklabel", "mbr", "appleufs", "quota2")) and "-v0" not in name
    ]


@pytest.mark.parametrize("name", _made_by_newfs())
def test_the_layout_is_that_of_netbsds_newfs(name: str, tmp_path: Path) -> None:
    size, parameters = _told(manifest(name)["newfs"])
    image = tmp_path / "img"
    make(image, size, **parameters)
    with Editor(netbsd_image(name)) as theirs, Editor(image) as ours:
        expected, got = theirs.fs.record._asdict(), ours.fs.record._asdict()
        fields = [field for field in FS.names if field not in CHANGES and "spare" not in field]
        assert {field: got[field] for field in fields} == {field: expected[field] for field in fields}
        assert ours.fs.offset == theirs.fs.offset
        for cgx in range(theirs.fs.fs_ncg):
            expected, got = (_group(each, cgx).record._asdict() for each in (theirs, ours))
            assert {field: got[field] for field in LAYOUT} == {field: expected[field] for field in LAYOUT}


def _group(editor: Editor, cgx: int) -> Cg:
    fs = editor.fs
    return Cg.decode(editor.read(fs.fs_cgsize, fs.cgtod(cgx) * fs.fs_fsize), fs, cgx)


@pytest.mark.parametrize("order", ["le", "be"])
@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize(
    ("size", "bsize", "fsize"),
    [
        (2 * MIB, 0, 0), (3 * MIB + 1536, 4096, 512), (5 * MIB, 4096, 4096), (9 * MIB, 8192, 1024),
        (20 * MIB, 16384, 2048), (24 * MIB, 32768, 8192), (40 * MIB, 65536, 8192), (300 * MIB, 0, 0),
    ],
)  # fmt: skip
def test_a_new_file_system_is_sound_and_empty(
    tmp_path: Path, size: int, bsize: int, fsize: int, version: int, order: str
) -> None:
    image = tmp_path / "img"
    make(image, size, version=version, order=ORDERS[order], bsize=bsize, fsize=fsize)
    found = fsck(image, yes)
    assert (found.kinds, found.result.modified, found.result.clean) == ([], False, True)
    assert Checker(image).complaints == []
    with mounted(image) as mp:
        assert [entry.name for entry in readdir(mp.mnt_root)] == [b".", b".."]
        va = mp.mnt_root.getattr()
        assert (va.mode & 0o7777, va.nlink, va.mtime) == (0o755, 2, 1_700_000_000)
        st = mp.statvfs()
        assert st.files - st.ffree == 1


@pytest.mark.oracle("fsstat")
@pytest.mark.parametrize(("version", "bsize", "fsize"), [(1, 8192, 1024), (2, 16384, 2048)])
def test_sleuthkit_reads_it(tmp_path: Path, version: int, bsize: int, fsize: int) -> None:
    image = tmp_path / "img"
    made = make(image, 16 * MIB, version=version, bsize=bsize, fsize=fsize, volname=b"disk")
    done = subprocess.run(["fsstat", "-f", "ufs", str(image)], capture_output=True, text=True, check=True)
    facts = dict(re.findall(r"^ *([\w ]+): +(.+)$", done.stdout.split("Group 0:")[0], re.MULTILINE))
    assert facts["File System Type"] == f"UFS {version}"
    assert (facts["Block Size"], facts["Fragment Size"]) == (str(bsize), str(fsize))
    assert facts["Num of Directories"] == "1"
    assert facts["Number of Cylinder Groups"] == str(made.fs.fs_ncg)
    assert facts["Fragment Range"] == f"0 - {16 * MIB // fsize - 1}"


@pytest.mark.parametrize("place", [32, None])
def test_every_copy_of_the_superblock_opens_the_file_system(tmp_path: Path, place: int | None) -> None:
    image = tmp_path / "img"
    made = make(image, 20 * MIB, bsize=8192, fsize=1024)
    with Editor(image) as editor:
        editor.write(editor.fs.offset, bytes(8192))
    sblock = place or made.copies[-1]
    assert sblock in made.copies
    found = fsck(image, yes, write=True, sblock=sblock)
    assert found.kinds == ["superblock-copy-used"]
    assert fsck(image, yes).kinds == []


def test_an_older_file_system_is_not_found_again(tmp_path: Path) -> None:
    image = tmp_path / "img"
    make(image, 8 * MIB, version=2)
    make(image, 8 * MIB, version=1)
    with Editor(image) as editor:
        assert not editor.fs.ufs2
        assert editor.read(4, 65536 + 1372) == bytes(4)


def test_the_same_options_make_the_same_image(tmp_path: Path) -> None:
    for name in ("a", "b"):
        make(tmp_path / name, 4 * MIB, version=2)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_what_is_told_is_in_the_superblock(tmp_path: Path) -> None:
    image = tmp_path / "img"
    told = {
        "minfree": 9,
        "optim": FS_OPTSPACE,
        "maxcontig": 4,
        "maxbpg": 77,
        "avgfilesize": 1000,
        "avgfpdir": 9,
    }
    made = make(image, 8 * MIB, volname=b"label", **told)
    fs: Superblock = made.fs
    assert {name: getattr(fs, f"fs_{name}") for name in told} == told
    assert fs.fs_volname.rstrip(b"\0") == b"label"


@pytest.mark.parametrize(
    ("size", "told", "said"),
    [
        (8 * MIB, {"bsize": 5000, "fsize": 512}, "5000"),
        (8 * MIB, {"bsize": 4096, "fsize": 8192}, "8192"),
        (8 * MIB, {"bsize": 65536, "fsize": 4096}, "4096"),
        (8 * MIB, {"fsize": 700}, "700"),
        (8 * MIB, {"secsize": 1000}, "1000"),
        (4096, {}, "size"),
        (0, {}, "size"),
    ],
)
def test_what_no_file_system_can_be(size: int, told: dict[str, Any], said: str) -> None:
    with pytest.raises(VfsError, match=said):
        Newfs(size, Parameters(**told), random.Random(1).randbytes)
