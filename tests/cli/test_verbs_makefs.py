"""rumpfs makefs: images with the files of directories, archives and manifests."""

from __future__ import annotations

import gzip
import io
import lzma
import os
import random
import re
import shutil
import socket
import stat
import subprocess
import tarfile
from pathlib import Path

import pytest

from rumpfs.abi.stat import makedev
from rumpfs.dev.hostfile import HostFile
from rumpfs.fs.ffs.fsck.finding import yes
from rumpfs.vfs.vnode import VBLK, VCHR, VFIFO
from tests.cli.inside import Inside
from tests.cli.verbs import BIN, Shell
from tests.fs.ffs.checker import Checker
from tests.fs.ffs.fscking import fsck
from tests.fs.ffs.harness import content, mounted, resolve, walk
from tests.fs.ffs.trees import compare
from tests.images_util import makefs, pattern, standard_tree

EPOCH = 1_700_000_000
#: (version, order, bsize, fsize): every frag count, the least and the largest block
FORMATS = [
    (1, "le", 4096, 512), (1, "be", 8192, 1024), (1, "le", 65536, 8192), (1, "be", 16384, 16384),
    (2, "be", 4096, 1024), (2, "le", 16384, 2048), (2, "be", 32768, 16384), (2, "le", 65536, 8192),
]  # fmt: skip


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return standard_tree(tmp_path_factory.mktemp("tree") / "tree")


@pytest.fixture
def alone(tmp_path: Path) -> Shell:
    """A shell without a server."""
    return Inside(tmp_path)


@pytest.fixture
def again(tmp_path: Path) -> Shell:
    """A shell in which images are made again."""
    shell = Inside(tmp_path)
    shell.environ["SOURCE_DATE_EPOCH"] = str(EPOCH)
    return shell


def _sound(image: Path) -> None:
    """Our fsck and the checker of the tests find nothing."""
    found = fsck(image, yes)
    assert (found.kinds, found.result.modified, found.result.clean) == ([], False, True)
    assert Checker(image).complaints == []


# --- directories


@pytest.mark.parametrize(("version", "order", "bsize", "fsize"), FORMATS)
def test_the_image_is_the_tree(
    alone: Shell, tree: Path, version: int, order: str, bsize: int, fsize: int
) -> None:
    options = f"version={version},bsize={bsize},fsize={fsize},label=disk"
    alone.ok("makefs", "-B", order, "-o", options, "disk.img", str(tree))
    image = alone.cwd / "disk.img"
    _sound(image)
    with mounted(image) as mp:
        assert compare(mp, tree) > 750
        fs = mp.um_fs
        assert (fs.ufs2, fs.fs_bsize, fs.fs_fsize, fs.fs_volname) == (version == 2, bsize, fsize, b"disk")
    assert list(alone.cwd.iterdir()) == [image]


@pytest.mark.oracle("makefs")
@pytest.mark.parametrize("version", [1, 2])
def test_it_holds_what_makefs_puts_into_its_image(
    alone: Shell, tree: Path, version: int, tmp_path: Path
) -> None:
    theirs = makefs(tree, tmp_path / "theirs.img", version, "le", 8192, 1024)
    alone.ok("makefs", "-o", f"version={version}", "ours.img", str(tree))
    assert (alone.cwd / "ours.img").stat().st_size <= theirs.stat().st_size
    with mounted(theirs) as one, mounted(alone.cwd / "ours.img") as other:
        expected, found = (
            {
                path: (vp.getattr().mode, vp.getattr().nlink, vp.getattr().uid)
                for path, vp in walk(mp.mnt_root)
            }
            for mp in (one, other)
        )
    assert found == expected


@pytest.mark.oracle("fls")
@pytest.mark.parametrize("version", [1, 2])
def test_sleuthkit_lists_it(alone: Shell, tree: Path, version: int) -> None:
    alone.ok("makefs", "-o", f"version={version},bsize=16k,fsize=2k", "disk.img", str(tree))
    done = subprocess.run(["fls", "-r", "-p", "disk.img"], cwd=alone.cwd, capture_output=True, check=True)
    listed = {line.split(b"\t", 1)[1] for line in done.stdout.splitlines()}
    expected = {os.fsencode(path.relative_to(tree)) for path in tree.rglob("*")}
    assert {name for name in listed if not name.startswith(b"$OrphanFiles")} == expected


@pytest.mark.oracle("grub-fstest")
@pytest.mark.parametrize("version", [1, 2])
def test_grub_reads_it(alone: Shell, tree: Path, version: int) -> None:
    alone.ok("makefs", "-o", f"version={version},bsize=16k,fsize=2k", "disk.img", str(tree))
    for name in ("big", "sparse", "f65537", "one"):
        words = ["grub-fstest", "disk.img", "cmp", f"(loop0)/{name}", str(tree / name)]
        done = subprocess.run(words, cwd=alone.cwd, capture_output=True, text=True)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_holes_stay_holes_whatever_is_above_them(alone: Shell, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    places = {0: b"first", 13 * 4096: b"single", (12 + 1024 + 7) * 4096: b"double"}
    places[(12 + 1024 + 1024**2 + 5) * 4096 + 100] = b"triple"
    with (tree / "sparse").open("wb") as stream:
        for place, text in places.items():
            stream.seek(place)
            stream.write(text)
    (tree / "nothing").touch()
    os.truncate(tree / "nothing", 10 << 20)
    alone.ok("makefs", "-o", "bsize=4k,fsize=512", "disk.img", str(tree))
    _sound(alone.cwd / "disk.img")
    with mounted(alone.cwd / "disk.img") as mp:
        sparse, nothing = resolve(mp, "/sparse"), resolve(mp, "/nothing")
        assert sparse.size() == (tree / "sparse").stat().st_size
        for place, text in places.items():
            assert sparse.read(place, len(text)) == text
        assert sparse.read(4096, 8192) == bytes(8192)
        # four blocks of data, and 1 + 2 + 3 indirect ones; the last block of a file is no hole: 1 + 2
        assert sparse.getattr().blocks == 10 * 4096 // 512
        assert nothing.getattr().blocks == 3 * 4096 // 512


def test_zeros_have_blocks_when_that_is_asked_for(alone: Shell, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "zeros").write_bytes(bytes(1 << 20))
    for words, least in (((), 0), (("--allocate",), 1 << 20)):
        alone.ok("makefs", *words, "disk.img", str(tree))
        with mounted(alone.cwd / "disk.img") as mp:
            taken = resolve(mp, "/zeros").getattr().blocks * 512
            assert taken >= least
            assert (taken > 100_000) == bool(words)


@pytest.mark.parametrize("order", ["le", "be"])
def test_a_directory_of_many_names(alone: Shell, tmp_path: Path, order: str) -> None:
    with tarfile.open(tmp_path / "many.tar", "w") as tar:
        for number in range(9000):
            tar.addfile(_member(f"many/{number:05}-{'x' * (number % 200)}"))
    alone.ok("makefs", "-B", order, "-o", "bsize=4k,fsize=512", "disk.img", "many.tar")
    _sound(alone.cwd / "disk.img")
    with mounted(alone.cwd / "disk.img") as mp:
        assert resolve(mp, "/many").size() > 4096 * (12 + 20)
        assert len(list(walk(mp.mnt_root))) == 9001


def test_sockets_are_left_out(alone: Shell, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tree / "sock"))
        alone.ok("makefs", "disk.img", str(tree))
    with mounted(alone.cwd / "disk.img") as mp:
        assert list(walk(mp.mnt_root)) == []


def test_nanoseconds_and_the_birth(alone: Shell, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "file").touch()
    os.utime(tree / "file", ns=(1_600_000_000_123_456_789, 1_500_000_000_987_654_321))
    alone.ok("makefs", "-o", "version=2", "disk.img", str(tree))
    with mounted(alone.cwd / "disk.img") as mp:
        va = resolve(mp, "/file").getattr()
        assert (va.mtime, va.mtimensec) == (1_500_000_000, 987_654_321)
        assert (va.atime, va.atimensec) == (1_600_000_000, 123_456_789)
        assert (va.birthtime, va.birthtimensec) == (1_500_000_000, 987_654_321)


# --- the same bytes again


def _shuffled(tree: Path, target: Path, seed: int) -> Path:
    """Copy a tree, its names in another order and its zeros kept otherwise."""
    names = sorted(tree.rglob("*"))
    random.Random(seed).shuffle(names)
    target.mkdir()
    for path in [path for path in names if path.is_dir() and not path.is_symlink()]:
        (target / path.relative_to(tree)).mkdir(parents=True, exist_ok=True)
    for path in names:
        copy = target / path.relative_to(tree)
        if path.is_symlink():
            copy.symlink_to(os.readlink(path))
        elif path.is_file():
            copy.write_bytes(path.read_bytes())
    for path in [*target.rglob("*"), target]:
        os.utime(path, (EPOCH - 50, EPOCH - 100), follow_symlinks=False)
        if not path.is_symlink():
            os.chmod(path, 0o755)
    return target


def test_only_names_bytes_and_attributes_decide(again: Shell, tree: Path, tmp_path: Path) -> None:
    made = []
    for seed in (1, 2):
        copy = _shuffled(tree, tmp_path / f"copy{seed}", seed)
        again.ok("makefs", "-o", "version=2", f"{seed}.img", str(copy))
        made.append((again.cwd / f"{seed}.img").read_bytes())
    assert made[0] == made[1]
    archive = tmp_path / "tree.tar"
    with tarfile.open(archive, "w", format=tarfile.PAX_FORMAT) as tar:
        tar.add(tmp_path / "copy1", ".")
    again.ok("makefs", "-o", "version=2", "tar.img", str(archive))
    assert (again.cwd / "tar.img").read_bytes() == made[0]


def test_no_time_is_after_the_epoch(again: Shell, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    for name, seconds in (("old", EPOCH - 5), ("new", EPOCH + 5)):
        (tree / name).touch()
        os.utime(tree / name, (EPOCH + 100, seconds))
    again.ok("makefs", "disk.img", str(tree))
    with mounted(again.cwd / "disk.img") as mp:
        for name, seconds in (("old", EPOCH - 5), ("new", EPOCH)):
            va = resolve(mp, f"/{name}").getattr()
            assert (va.mtime, va.atime, va.ctime) == (seconds,) * 3
        assert mp.um_fs.fs_time == EPOCH


def test_T_is_the_time_of_everything(alone: Shell, tree: Path) -> None:
    alone.ok("makefs", "-T", "1234567890", "disk.img", str(tree))
    with mounted(alone.cwd / "disk.img") as mp:
        times = {(vp.getattr().mtime, vp.getattr().mtimensec) for _, vp in walk(mp.mnt_root)}
    assert times == {(1234567890, 0)}


# --- archives


def _member(name: str, kind: bytes = tarfile.REGTYPE, **facts: object) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type = kind
    for field, value in facts.items():
        setattr(info, field, value)
    return info


def _archive(path: Path, tar_format: int = tarfile.PAX_FORMAT) -> Path:
    """An archive with a member of each kind, and one that replaces another."""
    data = {"etc/first": b"1" * 9000, "etc/second": b"two"}
    with tarfile.open(path, "w", format=tar_format) as tar:
        for name, text in data.items():
            info = _member(f"./{name}", size=len(text), mode=0o640, uid=7, gid=70000, mtime=1_000_000_000)
            if tar_format == tarfile.PAX_FORMAT:
                info.pax_headers = {"mtime": "1000000000.5", "SCHILY.fflags": "uchg,nodump"}
            tar.addfile(info, io.BytesIO(text))
        tar.addfile(_member("etc", tarfile.DIRTYPE, mode=0o711, uid=3))
        tar.addfile(_member("hard", tarfile.LNKTYPE, linkname="etc/first"))
        tar.addfile(_member("sym", tarfile.SYMTYPE, linkname="etc/first"))
        tar.addfile(_member("fifo", tarfile.FIFOTYPE, mode=0o600))
        tar.addfile(_member("dev/chr", tarfile.CHRTYPE, devmajor=5, devminor=300))
        tar.addfile(_member("dev/blk", tarfile.BLKTYPE, devmajor=8, devminor=1))
        tar.addfile(_member("etc/second", size=5), io.BytesIO(b"later"))
    return path


def _packed(path: Path) -> list[Path]:
    data = path.read_bytes()
    (path.parent / "a.tgz").write_bytes(gzip.compress(data))
    (path.parent / "a.txz").write_bytes(lzma.compress(data))
    return [path, path.parent / "a.tgz", path.parent / "a.txz"]


@pytest.mark.parametrize("tar_format", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_an_archive_of_any_kind(alone: Shell, tmp_path: Path, tar_format: int) -> None:
    alone.environ["SOURCE_DATE_EPOCH"] = str(EPOCH)
    archive = _archive(tmp_path / "a.tar", tar_format)
    made = []
    for packed in _packed(archive):
        alone.ok("makefs", "-o", "version=2", "disk.img", packed.name)
        made.append((alone.cwd / "disk.img").read_bytes())
    words = [str(BIN / "rumpfs"), "makefs", "-o", "version=2", "disk.img", "-"]
    with (tmp_path / "a.tgz").open("rb") as stream:
        subprocess.run(words, cwd=alone.cwd, env=alone.environ, stdin=stream, capture_output=True, check=True)
    made.append((alone.cwd / "disk.img").read_bytes())
    assert len(set(made)) == 1
    _sound(alone.cwd / "disk.img")


def test_what_an_archive_says_is_in_the_image(alone: Shell, tmp_path: Path) -> None:
    alone.ok("makefs", "-o", "version=2", "disk.img", str(_archive(tmp_path / "a.tar")))
    with mounted(alone.cwd / "disk.img") as mp:
        first, etc = resolve(mp, "/etc/first"), resolve(mp, "/etc")
        va = first.getattr()
        assert (stat.S_IMODE(va.mode), va.uid, va.gid, va.nlink) == (0o640, 7, 70000, 2)
        assert (va.mtime, va.mtimensec, va.flags) == (1_000_000_000, 500_000_000, 3)
        assert resolve(mp, "/hard") is first
        assert (stat.S_IMODE(etc.getattr().mode), etc.getattr().uid) == (0o711, 3)
        assert b"".join(content(first)) == b"1" * 9000
        assert b"".join(content(resolve(mp, "/etc/second"))) == b"later"
        assert resolve(mp, "/sym").readlink() == b"etc/first"
        assert resolve(mp, "/fifo").v_type == VFIFO
        chr_, blk = resolve(mp, "/dev/chr"), resolve(mp, "/dev/blk")
        assert (chr_.v_type, chr_.rdev()) == (VCHR, makedev(5, 300))
        assert (blk.v_type, blk.rdev()) == (VBLK, makedev(8, 1))


@pytest.mark.oracle("tar")
@pytest.mark.parametrize("words", [("--format=gnu",), ("--format=pax",), ("--format=gnu", "-z")])
def test_a_sparse_member(alone: Shell, tmp_path: Path, words: tuple[str, ...]) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    with (tree / "sparse").open("wb") as stream:
        stream.write(b"start")
        stream.seek(30 << 20)
        stream.write(b"end")
    subprocess.run(["tar", "-S", *words, "-C", "tree", "-cf", "a.tar", "."], cwd=tmp_path, check=True)
    alone.ok("makefs", "disk.img", "a.tar")
    with mounted(alone.cwd / "disk.img") as mp:
        vp = resolve(mp, "/sparse")
        assert (vp.size(), vp.read(0, 6), vp.read(30 << 20, 9)) == ((30 << 20) + 3, b"start\0", b"end")
        assert vp.getattr().blocks < 1 << 11


def _truncated(path: Path) -> None:
    path.write_bytes(_archive(path).read_bytes()[:3000])


def _cut_gzip(path: Path) -> None:
    path.write_bytes(gzip.compress(_archive(path).read_bytes())[:200])


def _outside(path: Path) -> None:
    with tarfile.open(path, "w") as tar:
        tar.addfile(_member("../outside"))


def _dangling(path: Path) -> None:
    with tarfile.open(path, "w") as tar:
        tar.addfile(_member("hard", tarfile.LNKTYPE, linkname="nobody"))


def _through_a_file(path: Path) -> None:
    with tarfile.open(path, "w") as tar:
        tar.addfile(_member("file"))
        tar.addfile(_member("file/below"))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (_truncated, "end"),
        (_cut_gzip, "end"),
        (_outside, "../outside leads out of the tree"),
        (_dangling, "hard is a link to nobody"),
        (_through_a_file, "file is no directory"),
        (lambda path: path.write_bytes(bytes(range(256)) * 9), "bad.tar"),
    ],
    ids=["truncated", "cut gzip", "outside", "dangling", "through a file", "noise"],
)
def test_a_bad_archive_makes_no_image(alone: Shell, tmp_path: Path, make: object, said: str) -> None:
    assert callable(make)
    make(tmp_path / "bad.tar")
    assert said in alone.fails("makefs", "disk.img", "bad.tar")
    assert [path.name for path in tmp_path.iterdir()] == ["bad.tar"]


# --- manifests


METALOG = rb"""#mtree
/set type=file uid=0 gid=0 mode=0644
.               type=dir mode=0755 time=1600000000.0
    etc         type=dir mode=0711
        hosts   mode=0600 uid=12 time=1500000000.000000007
        new     size=99
    ..
    odd\040name\043 type=link link=etc/hosts mode=0777
..
"""
FULL = rb"""./dev type=dir uid=0 gid=0 mode=0755
./dev/null type=char device=native,2,2 uid=0 gid=0 mode=0666
./dev/wd0a type=block device=netbsd,0,0x10 \
    uid=0 gid=5 mode=0640 flags=nodump
./dev/maybe type=file optional uid=0 gid=0 mode=0644
./pipe type=fifo mode=u=rw,g=r uname=operator gname=wheel
"""
MASTER_PASSWD = "root:*:0:0::0:0:Charlie &:/root:/bin/sh\noperator:*:2:5::0:0:System &:/:/sbin/nologin\n"


@pytest.fixture
def etc(tmp_path: Path) -> Path:
    """A small tree, manifests for it, and the users of another system."""
    (tmp_path / "tree" / "etc").mkdir(parents=True)
    (tmp_path / "tree" / "etc" / "hosts").write_bytes(b"127.0.0.1 localhost\n")
    (tmp_path / "tree" / "etc" / "extra").write_bytes(b"not in the manifest\n")
    (tmp_path / "METALOG").write_bytes(METALOG)
    (tmp_path / "full").write_bytes(FULL)
    (tmp_path / "db").mkdir()
    (tmp_path / "db" / "master.passwd").write_text(MASTER_PASSWD)
    (tmp_path / "db" / "group").write_text("wheel:*:0:root\noperator:*:5:root\n")
    return tmp_path / "tree"


def test_a_manifest_changes_a_tree_and_adds_to_it(alone: Shell, etc: Path) -> None:
    alone.ok("makefs", "-o", "version=2", "-F", "METALOG", "-F", "full", "-N", "db", "disk.img", "tree")
    _sound(alone.cwd / "disk.img")
    with mounted(alone.cwd / "disk.img") as mp:
        names = {path for path, _ in walk(mp.mnt_root)}
        assert names == {
            b"/dev", b"/dev/null", b"/dev/wd0a", b"/etc", b"/etc/extra", b"/etc/hosts", b"/etc/new",
            b"/odd name#", b"/pipe",
        }  # fmt: skip
        hosts = resolve(mp, "/etc/hosts")
        va = hosts.getattr()
        assert (stat.S_IMODE(va.mode), va.uid, va.gid) == (0o600, 12, 0)
        assert (va.mtime, va.mtimensec) == (1_500_000_000, 7)
        assert b"".join(content(hosts)) == b"127.0.0.1 localhost\n"
        assert resolve(mp, "/etc/new").size() == 0
        assert resolve(mp, "/odd name#").readlink() == b"etc/hosts"
        assert stat.S_IMODE(resolve(mp, "/etc").getattr().mode) == 0o711
        null, wd0a = resolve(mp, "/dev/null"), resolve(mp, "/dev/wd0a")
        assert (null.v_type, null.rdev()) == (VCHR, makedev(2, 2))
        assert (wd0a.v_type, wd0a.rdev(), wd0a.getattr().flags) == (VBLK, makedev(0, 16), 1)
        pipe = resolve(mp, "/pipe").getattr()
        assert (stat.S_IMODE(pipe.mode), pipe.uid, pipe.gid) == (0o640, 2, 0)


def test_x_leaves_out_what_the_manifest_does_not_name(alone: Shell, etc: Path) -> None:
    alone.ok("makefs", "-x", "-F", "METALOG", "disk.img", "tree")
    with mounted(alone.cwd / "disk.img") as mp:
        names = {path for path, _ in walk(mp.mnt_root)}
    assert names == {b"/etc", b"/etc/hosts", b"/etc/new", b"/odd name#"}


def test_a_manifest_alone_names_the_bytes(alone: Shell, etc: Path) -> None:
    (alone.cwd / "alone").write_text(
        "#mtree\n. type=dir mode=0700 uid=1 gid=2\n"
        "a type=file mode=0644 uid=0 gid=0 contents=tree/etc/hosts\n"
        "b type=file mode=0644 uid=0 gid=0 content=./tree/etc/extra\n"
    )
    alone.ok("makefs", "disk.img", "alone")
    with mounted(alone.cwd / "disk.img") as mp:
        root = mp.mnt_root.getattr()
        assert (stat.S_IMODE(root.mode), root.uid, root.gid) == (0o700, 1, 2)
        assert b"".join(content(resolve(mp, "/a"))) == b"127.0.0.1 localhost\n"
        assert b"".join(content(resolve(mp, "/b"))) == b"not in the manifest\n"


@pytest.mark.oracle("makefs")
def test_makefs_makes_the_same_of_a_manifest(alone: Shell, etc: Path, tmp_path: Path) -> None:
    # makefs(8) of Debian makes a free inode of a file that has no bytes in the tree
    metalog = METALOG.replace(b"        new     size=99\n", b"").replace(b"000000007", b"0") + FULL.replace(
        b"flags=nodump", b""
    )
    for number, name in (
        (b"uid=0 gid=0", b"uname=root gname=root"),
        (b"uid=0 gid=5", b"uname=root gname=tty"),
        (b"uid=12", b"uname=daemon"),
        (b"uname=operator gname=wheel", b"uname=daemon gname=root"),
        (b"mode=u=rw,g=r", b"mode=0640"),
    ):
        metalog = metalog.replace(number, name)
    (tmp_path / "spec").write_bytes(metalog)
    theirs = makefs(
        etc, tmp_path / "theirs.img", 1, "le", 8192, 1024, "-F", str(tmp_path / "spec"), "-M", "2m"
    )
    alone.ok("makefs", "-F", "spec", "ours.img", "tree")
    found = []
    for image in (theirs, alone.cwd / "ours.img"):
        with mounted(image) as mp:
            facts = {path: (vp, vp.getattr()) for path, vp in walk(mp.mnt_root)}
            found.append(
                {path: (va.mode, va.uid, va.gid, va.rdev, va.size) for path, (vp, va) in facts.items()}
            )
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("etc/hosts type=dir", "line 1: etc/hosts is dir in the manifest and file in the tree"),
        ("etc/none type=file uid=0 gid=0", "its mode must be given"),
        ("etc/none mode=0644 uid=0 gid=0", "its type must be given"),
        ("etc/dev type=char mode=0644 uid=0 gid=0", "its device must be given"),
        ("nowhere/none type=file mode=0644 uid=0 gid=0", "nowhere is not in the tree"),
        ("etc/hosts mode=rwx", "mode=rwx"),
        ("etc/hosts uid=many", "uid=many: is no number"),
        ("etc/hosts time=now", "time=now"),
        ("etc/hosts flags=blue", "flags=blue"),
        ("etc/hosts uname=nobody-has-this-name", "no user nobody-has-this-name"),
        ("etc/hosts type=door", "type=door"),
        ("etc/hosts contents=tree/none", "tree/none: No such file"),
        ("../x type=file", "no path below the root"),
        ("..\n..", ".. leads out of the tree"),
        ("/frobnicate x=y", "/frobnicate is neither /set nor /unset"),
    ],
)
def test_a_wrong_manifest_says_where(alone: Shell, etc: Path, line: str, said: str) -> None:
    (alone.cwd / "spec").write_text(line + "\n")
    assert said in alone.fails("makefs", "-F", "spec", "disk.img", "tree")
    assert not (alone.cwd / "disk.img").exists()


# --- several sources, sizes, and where it goes


def test_sources_are_merged(alone: Shell, tmp_path: Path) -> None:
    for name, files in (("one", ("a", "d/x")), ("two", ("b", "d/y"))):
        for file in files:
            path = tmp_path / name / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(name)
    alone.ok("makefs", "disk.img", "one", "two")
    with mounted(alone.cwd / "disk.img") as mp:
        assert {path for path, _ in walk(mp.mnt_root)} == {b"/a", b"/b", b"/d", b"/d/x", b"/d/y"}
    (tmp_path / "two" / "a").write_text("two")
    assert "./a is in more than one of the sources" in alone.fails("makefs", "disk.img", "one", "two")
    alone.ok("makefs", "-r", "disk.img", "one", "two")
    with mounted(alone.cwd / "disk.img") as mp:
        assert b"".join(content(resolve(mp, "/a"))) == b"two"


def _statvfs(image: Path) -> tuple[int, int, int]:
    with mounted(image) as mp:
        st = mp.statvfs()
        return st.bavail * st.frsize // st.bsize, st.ffree, st.files - st.ffree


def test_the_room_that_is_asked_for(alone: Shell, tree: Path) -> None:
    image = alone.cwd / "disk.img"
    alone.ok("makefs", "disk.img", str(tree))
    _, _, used = _statvfs(image)
    alone.ok("makefs", "-b", "300", "-f", "1000", "disk.img", str(tree))
    blocks, inodes, _ = _statvfs(image)
    assert 300 <= blocks < 340
    assert 1000 <= inodes < 1300
    alone.ok("makefs", "-f", "50%", "-b", "100%", "disk.img", str(tree))
    blocks, inodes, _ = _statvfs(image)
    assert inodes >= used // 2
    assert blocks * 8192 > 3 << 20
    _sound(image)


def test_the_size_that_is_asked_for(alone: Shell, tree: Path) -> None:
    image = alone.cwd / "disk.img"
    for words, size in ((("-s", "20m"), 20 << 20), (("-M", "30m"), 30 << 20), (("-s", "9000k"), 9000 << 10)):
        alone.ok("makefs", "-o", "version=2", *words, "disk.img", str(tree))
        assert image.stat().st_size == size
        _sound(image)
        assert image.stat().st_blocks * 512 < 8 << 20
    image.unlink()
    for words in (("-s", "1m"), ("-m", "2m")):
        said = alone.fails("makefs", *words, "disk.img", str(tree))
        need = re.search(r"the files need (\d+) bytes", said)
        assert need is not None
        assert int(need[1]) > 4 << 20
        assert not image.exists()


def test_many_groups(alone: Shell, tree: Path) -> None:
    alone.ok("makefs", "-o", "version=2,bsize=4k,fsize=512,maxbpcg=200", "disk.img", str(tree))
    _sound(alone.cwd / "disk.img")
    with mounted(alone.cwd / "disk.img") as mp:
        assert mp.um_fs.fs_ncg > 5
        compare(mp, tree)


def test_into_a_partition_that_is_there(alone: Shell, tree: Path) -> None:
    image = alone.cwd / "disk.img"
    image.write_bytes(pattern("noise", 16 << 20))
    alone.ok("label", "-w", "--set", "a=2048,24576,4.2BSD", "disk.img")
    before = image.read_bytes()
    alone.ok("makefs", "disk.img:a", str(tree))
    after = image.read_bytes()
    assert (after[: 1 << 20], after[13 << 20 :]) == (before[: 1 << 20], before[13 << 20 :])
    with mounted(image, 1 << 20, 12 << 20) as mp:
        assert mp.um_fs.bytes_needed == 12 << 20
        compare(mp, tree)
    assert Checker(image, 1 << 20).complaints == []


def test_a_disklabel_around_it(alone: Shell, tree: Path) -> None:
    alone.ok("makefs", "--disklabel", "-B", "be", "disk.img", str(tree))
    _sound(alone.cwd / "disk.img")
    alone.ok("fsck", "-nf", "disk.img:a")


def test_an_image_in_use_is_left_alone(tree: Path, tmp_path: Path) -> None:
    alone = Shell(None, tmp_path)  # in another process: this one has the lock
    image = tmp_path / "disk.img"
    image.write_bytes(b"precious")
    holder = HostFile.open(str(image))
    try:
        assert "locked" in alone.fails("makefs", "disk.img", str(tree))
    finally:
        holder.close()
    assert image.read_bytes() == b"precious"


@pytest.mark.oracle("prlimit")
def test_a_host_that_is_full_leaves_nothing(alone: Shell, tree: Path) -> None:
    words = ["prlimit", "--fsize=1000000", str(BIN / "rumpfs"), "makefs", "disk.img", str(tree)]
    done = subprocess.run(words, cwd=alone.cwd, env=alone.environ, capture_output=True, text=True)
    assert done.returncode == 1
    assert "disk.img" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(alone.cwd.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["disk.img"], 2, "required: SOURCE"),
        (["disk.img", "none"], 1, "none: No such file or directory"),
        (["none/disk.img", "."], 1, "none"),
        (["-o", "colour=red", "disk.img", "."], 2, "colour=red"),
        (["-o", "version=3", "disk.img", "."], 2, "version"),
        (["-o", "bsize=5000,fsize=1024", "disk.img", "."], 2, "5000"),
        (["-s", "big", "disk.img", "."], 2, "-s"),
        (["-o", f"label={'x' * 32}", "disk.img", "."], 2, "31 bytes"),
        (["-x", "disk.img", "."], 2, "-F FILE"),
        (["unix://sock", "."], 2, "not for servers"),
    ],
)
def test_what_cannot_be(alone: Shell, words: list[str], status: int, said: str) -> None:
    assert said in alone.fails("makefs", *words, status=status)
    assert not (alone.cwd / "disk.img").exists()


def test_what_no_ffs_can_hold(alone: Shell, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "future").touch()
    os.utime(tree / "future", (5_000_000_000, 5_000_000_000))
    assert "./future: FFSv1 keeps times up to 2038" in alone.fails("makefs", "disk.img", "tree")
    alone.ok("makefs", "-o", "version=2", "disk.img", "tree")
    (tree / "future").unlink()
    (tree / "link").symlink_to("x" * 1024)
    assert "./link: a symbolic link has 1 to 1023 bytes" in alone.fails("makefs", "disk.img", "tree")


def test_what_was_made_as_json(alone: Shell, tree: Path) -> None:
    facts = alone.ok("makefs", "--json", "-o", "version=2", "disk.img", str(tree)).json
    image = alone.cwd / "disk.img"
    assert facts["size"] == image.stat().st_size
    assert (facts["format"], facts["byte_order"], facts["block_size"]) == ("UFS2", "little-endian", 8192)
    _, free, used = _statvfs(image)
    assert facts["files"] == used
    assert facts["inodes"] - 2 == used + free


@pytest.mark.slow
def test_fifty_thousand_files(alone: Shell, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    for index in range(50_000):
        path = tree / f"{index // 1000:03}" / f"{index % 1000:03}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"%d" % index * (index % 300))
    alone.ok("makefs", "-o", "version=2", "disk.img", str(tree))
    _sound(alone.cwd / "disk.img")
    with mounted(alone.cwd / "disk.img") as mp:
        assert compare(mp, tree) == 50_050
    shutil.rmtree(tree)
