"""FFS mounted for writing: the judge is a check of the image that shares no code with what wrote it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from rumpfs.abi import errno
from rumpfs.abi.mount import MNT_FORCE, MNT_NOATIME
from rumpfs.abi.stat import UF_APPEND, UF_IMMUTABLE
from rumpfs.base.errors import VfsError
from rumpfs.ondisk.ufs.fs import FS_GJOURNAL, FS_NEEDSFSCK, FS_SUJ
from rumpfs.vfs.cred import ROOT, Cred
from rumpfs.vfs.vnode import IO_APPEND, SetAttr, Vnode, vref, vrele
from tests.fs.ffs.checker import Checker, complaints
from tests.fs.ffs.editor import Editor
from tests.fs.ffs.harness import content, mounted, readdir, resolve
from tests.fs.ffs.workload import USER, Workload, writable
from tests.images_util import freebsd_image, freebsd_images, makefs, netbsd_image, netbsd_images

#: version, byte order, bsize, fsize, further arguments of makefs
FORMATS = [
    (version, order, bsize, fsize, extra)
    for version in (1, 2)
    for order in ("le", "be")
    for bsize, fsize, extra in (
        (4096, 512, ("-s", "6m", ",density=2048")),
        (4096, 4096, ("-s", "8m", ",maxbpcg=300")),
        (8192, 1024, ("-s", "12m", ",maxbpcg=400")),
        (16384, 8192, ("-s", "12m", ",optimization=space")),
        (32768, 4096, ("-s", "12m")),
        (65536, 8192, ("-s", "20m")),
    )
]

Make = Callable[..., Path]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """A function that makes an empty image."""
    (tmp_path / "tree").mkdir()

    def build(version: int = 2, order: str = "le", bsize: int = 8192, fsize: int = 1024, *extra: str) -> Path:
        words = extra or ("-s", "4m", ",density=4096")
        return makefs(tmp_path / "tree", tmp_path / "image", version, order, bsize, fsize, *words)

    return build


def _fails(number: int, call: Callable[..., object], *args: object) -> None:
    with pytest.raises(VfsError) as caught:
        call(*args)
    assert caught.value.errno == number, caught.value


def _create(dvp: Vnode, name: bytes, data: bytes = b"") -> Vnode:
    vp = dvp.create(name, 0o100644, ROOT)
    if data:
        assert vp.write(0, data, 0, ROOT) == len(data)
    return vp


# --- whole images ---------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: "-".join(map(str, form[:4])))
def test_random_work_leaves_a_consistent_image(
    make: Make, form: tuple[int, str, int, int, tuple[str, ...]]
) -> None:
    version, order, bsize, fsize, extra = form
    image = make(version, order, bsize, fsize, *extra)
    with writable(image) as mp:
        work = Workload(mp, bsize + fsize + version)
        for _ in range(4):
            work.run(150)
            mp.sync()
        work.check(mp)
    assert complaints(image) == []
    with mounted(image) as mp:
        work.check(mp)
    image.unlink()


@pytest.mark.parametrize("name", [name for name in netbsd_images() if "clean-v" in name or "many-cg" in name])
def test_images_of_a_netbsd_kernel_are_written_on(name: str, tmp_path: Path) -> None:
    image = tmp_path / "image"
    shutil.copy(netbsd_image(name), image)
    if "-v0" in name:
        with pytest.raises(VfsError, match=r"format of 4\.2BSD") as caught, writable(image):
            pass
        assert caught.value.errno == errno.EROFS
    else:
        before = _tree(image)
        with writable(image) as mp:
            work = Workload(mp, 1)
            work.run(150)
        assert complaints(image) == []
        after = _tree(image)
        assert {path: after[path] for path in before} == before
        with mounted(image) as mp:
            work.check(mp)
    image.unlink()


def _tree(image: Path) -> dict[bytes, bytes]:
    """Return the content of the smaller files in the root."""
    with mounted(image) as mp:
        files = [(entry.name, resolve(mp, entry.name)) for entry in readdir(mp.mnt_root) if entry.type == 8]
        return {b"/" + name: b"".join(content(vp)) for name, vp in files if vp.size() < 1 << 20}


@pytest.mark.parametrize("name", freebsd_images())
def test_check_hashes_of_freebsd_are_kept_right(name: str, tmp_path: Path) -> None:
    """The checker recomputes those of the superblock, the groups and the inodes."""
    image = tmp_path / "image"
    shutil.copy(freebsd_image(name), image)
    assert Checker(image).fs.metackhash == 7
    with writable(image) as mp:
        work = Workload(mp, 5)
        work.run(200)
    assert complaints(image) == []
    with mounted(image) as mp:
        work.check(mp)


@pytest.mark.oracle("fls")
@pytest.mark.parametrize("order", ["le", "be"])
def test_the_sleuth_kit_reads_what_was_written(make: Make, order: str) -> None:
    image = make(1, order)
    data = bytes(range(256)) * 700
    with writable(image) as mp:
        _create(mp.mnt_root.mkdir(b"d", 0o755, ROOT), b"file", data)
        ino = resolve(mp, "d/file").getattr().fileid
    names = subprocess.run(["fls", "-r", "-p", image], check=True, capture_output=True, text=True).stdout
    assert f"r/r {ino}:\td/file" in names
    assert subprocess.run(["icat", image, str(ino)], check=True, capture_output=True).stdout == data


def test_the_checker_finds_what_is_wrong(make: Make) -> None:
    image = make()
    with writable(image) as mp:
        _create(mp.mnt_root, b"f", bytes(9000))
    with Editor(image) as editor:
        ino = editor.ino("f")
        before = editor.dinode(ino)
        for fields in ({"di_nlink": 2}, {"di_blocks": 4}, {"di_db": (0,) * 12}, {"di_mode": 0}):
            editor.change_inode(ino, **fields)
            assert complaints(image) != []
            editor.change_inode(ino, **before._asdict())
        assert complaints(image) == []


# --- blocks and lengths ---------------------------------------------------------------------------


@pytest.mark.parametrize("version", [1, 2])
def test_holes_at_every_level_of_indirection(make: Make, version: int) -> None:
    image = make(version, "le", 4096, 512)
    pointers = 4096 // (4 if version == 1 else 8)
    places = [4096 * (12 + offset) for offset in (0, pointers, pointers + pointers**2)]
    with writable(image) as mp:
        vp = _create(mp.mnt_root, b"sparse")
        for level, place in enumerate(places, 1):
            vp.write(place, b"here", 0, ROOT)
            assert vp.getattr().blocks == 8 * (level + level * (level + 1) // 2)
            assert vp.read(place - 4, 100) == bytes(4) + b"here"
        vp.setattr(SetAttr(size=places[1] + 2), ROOT)
        assert vp.getattr().blocks == 8 * (2 + 3)
    assert complaints(image) == []
    with mounted(image) as mp:
        assert resolve(mp, "sparse").read(places[1] - 2, 100) == b"\0\0he"


def test_a_file_ends_in_fragments_until_it_has_an_indirect_block(make: Make) -> None:
    with writable(make(2, "le", 8192, 1024)) as mp:
        vp = _create(mp.mnt_root, b"f")
        data = b""
        for size, frags in ((1, 1), (1024, 1), (1025, 2), (8193, 9), (12 * 8192, 96), (12 * 8192 + 1, 112)):
            vp.write(len(data), b"x" * (size - len(data)), 0, ROOT)
            data = b"x" * size
            assert vp.getattr().blocks == 2 * frags, size
        for size, frags in ((8193, 9), (5, 1), (0, 0)):
            vp.setattr(SetAttr(size=size), ROOT)
            assert vp.getattr().blocks == 2 * frags, size


def test_what_is_cut_off_does_not_come_back(make: Make) -> None:
    with writable(make()) as mp:
        vp = _create(mp.mnt_root, b"f", b"x" * 30000)
        vp.setattr(SetAttr(size=10), ROOT)
        vp.setattr(SetAttr(size=20000), ROOT)
        assert vp.read(0, 30000) == b"x" * 10 + bytes(19990)
        vp.write(25000, b"y", 0, ROOT)
        assert vp.read(19990, 9000) == bytes(5010) + b"y"


def test_too_large(make: Make) -> None:
    with writable(make(1, "le", 4096, 512)) as mp:
        vp = _create(mp.mnt_root, b"f")
        largest = mp.um_fs.fs_maxfilesize
        assert largest == 4096 * (12 + 1024 + 1024**2 + 1024**3) - 1
        _fails(errno.EFBIG, vp.write, largest, b"x", 0, ROOT)
        _fails(errno.EFBIG, vp.setattr, SetAttr(size=largest + 1), ROOT)
        assert vp.write(largest - 1, b"x", 0, ROOT) == largest
        assert vp.getattr().blocks == 8 * 4


def test_the_reserve_is_the_superusers_and_a_full_disk_stays_whole(make: Make) -> None:
    image = make(2, "le", 8192, 1024, "-s", "3m", ",minfree=20")
    with writable(image) as mp:
        vp = _create(mp.mnt_root, b"f")
        _fill(vp, USER)
        space = mp.statvfs()
        assert space.bavail == 0
        assert 0 <= space.bresvd - space.bfree < 16
        _fill(vp, ROOT)
        assert mp.statvfs().bfree < 8
        before = vp.getattr()
        _fails(errno.ENOSPC, vp.write, before.size, bytes(1 << 20), 0, ROOT)
        _fails(errno.ENOSPC, vp.write, 1 << 30, bytes(1 << 20), 0, ROOT)
        assert vp.getattr()[:-1] == before[:-1]
    assert complaints(image) == []


def _fill(vp: Vnode, cred: Cred) -> None:
    step = 1 << 16
    while step:
        try:
            vp.write(vp.size(), bytes(step), 0, cred)
        except VfsError:
            step >>= 1


# --- names and attributes -------------------------------------------------------------------------


def test_a_removed_file_lives_as_long_as_it_is_in_use(make: Make) -> None:
    image = make()
    with writable(image) as mp:
        free = mp.statvfs()
        vp = _create(mp.mnt_root, b"f", bytes(100000))
        vref(vp)
        mp.mnt_root.remove(b"f", vp, ROOT)
        assert mp.mnt_root.lookup(b"f") is None
        assert vp.read(99999, 9) == b"\0"
        vp.write(200000, b"x", 0, ROOT)
        assert mp.statvfs() != free
        vrele(vp)
        assert mp.statvfs() == free
        kept = _create(mp.mnt_root, b"g", b"z" * 50000)
        vref(kept)
        mp.mnt_root.remove(b"g", kept, ROOT)
    assert complaints(image) == []


def test_a_removed_directory_is_empty_and_stays_so(make: Make) -> None:
    with writable(make()) as mp:
        dvp = mp.mnt_root.mkdir(b"d", 0o755, ROOT)
        vref(dvp)
        assert mp.mnt_root.getattr().nlink == 3
        mp.mnt_root.rmdir(b"d", dvp, ROOT)
        assert mp.mnt_root.getattr().nlink == 2
        assert readdir(dvp) == []
        assert dvp.lookup(b"..") is None
        _fails(errno.ENOENT, dvp.create, b"x", 0o100644, ROOT)
        vrele(dvp)


def test_a_directory_that_moves_takes_its_dotdot_along(make: Make) -> None:
    image = make()
    with writable(image) as mp:
        root = mp.mnt_root
        a, b = root.mkdir(b"a", 0o755, ROOT), root.mkdir(b"b", 0o755, ROOT)
        c = a.mkdir(b"c", 0o755, ROOT)
        empty = b.mkdir(b"empty", 0o755, ROOT)
        a.rename(b"c", c, b, b"empty", empty, ROOT)
        assert c.lookup(b"..") is b
        assert [vp.getattr().nlink for vp in (root, a, b, c)] == [4, 2, 3, 2]
        full = a.mkdir(b"full", 0o755, ROOT)
        _create(full, b"x")
        _fails(errno.ENOTEMPTY, b.rename, b"empty", c, a, b"full", full, ROOT)
    assert complaints(image) == []


@pytest.mark.parametrize("dirhash_max", [1 << 30, 0], ids=["in memory", "on disk"])
def test_a_directory_grows_and_its_room_is_used_again(make: Make, dirhash_max: int) -> None:
    image = make(2, "be", 4096, 512)
    names = [b"%03d" % n + b"n" * (n % 200) for n in range(300)]
    with writable(image) as mp:
        mp.um_dirhash_max = dirhash_max
        dvp = mp.mnt_root.mkdir(b"d", 0o755, ROOT)
        for name in names:
            dvp.create(name, 0o100644, ROOT)
        size = dvp.size()
        for name in names[::2]:
            vp = dvp.lookup(name)
            assert vp is not None
            dvp.remove(name, vp, ROOT)
        assert sorted(entry.name for entry in readdir(dvp, 700)) == sorted([b".", b"..", *names[1::2]])
        for name in names[:50:2]:
            dvp.create(name, 0o100644, ROOT)
        assert dvp.size() == size or not dirhash_max
    assert complaints(image) == []
    with mounted(image) as mp:
        found = {entry.name for entry in readdir(resolve(mp, "d"))}
        assert found == {b".", b"..", *names[1::2], *names[:50:2]}


def test_attributes_survive_an_unmount(make: Make) -> None:
    image = make()
    change = SetAttr(mode=0o751, uid=70000, gid=80000, atime=(5, 6), mtime=(7, 8), birthtime=(1, 2))
    with writable(image) as mp:
        vp = _create(mp.mnt_root, b"f")
        vp.setattr(change, ROOT)
        vp.setattr(SetAttr(flags=UF_IMMUTABLE), ROOT)
        _fails(errno.EPERM, vp.setattr, SetAttr(mode=0o700), ROOT)
        _fails(errno.EPERM, mp.mnt_root.remove, b"f", vp, ROOT)
        node = mp.mnt_root.create(b"node", 0o060640, ROOT, 0x0010082C)
        want = vp.stat(), node.stat()
    with mounted(image) as mp:
        assert (resolve(mp, "f").stat(), resolve(mp, "node").stat()) == want
        va = resolve(mp, "f").getattr()
        assert (va.mode, va.uid, va.gid, va.atime, va.mtimensec) == (0o100751, 70000, 80000, 5, 8)
        assert (va.birthtime, va.flags) == (1, UF_IMMUTABLE)
        assert resolve(mp, "node").rdev() == 0x0010082C


def test_writing_takes_set_id_bits_from_everybody_but_root(make: Make) -> None:
    with writable(make()) as mp:
        vp = _create(mp.mnt_root, b"f")
        vp.setattr(SetAttr(mode=0o6755), ROOT)
        vp.write(0, b"x", 0, ROOT)
        assert vp.getattr().mode == 0o106755
        vp.write(0, b"x", 0, USER)
        assert vp.getattr().mode == 0o100755


def test_an_append_only_file_is_written_at_its_end(make: Make) -> None:
    with writable(make()) as mp:
        vp = _create(mp.mnt_root, b"f", b"abc")
        vp.setattr(SetAttr(flags=UF_APPEND), ROOT)
        _fails(errno.EPERM, vp.write, 0, b"x", 0, ROOT)
        assert vp.write(0, b"d", IO_APPEND, ROOT) == 4
        assert vp.read(0, 9) == b"abcd"


@pytest.mark.parametrize(("flags", "noted"), [(0, True), (MNT_NOATIME, False)])
def test_reading_is_noted_unless_the_mount_says_otherwise(make: Make, flags: int, noted: bool) -> None:
    with writable(make(), flags) as mp:
        vp = _create(mp.mnt_root, b"f", b"abc")
        vp.setattr(SetAttr(atime=(1, 0)), ROOT)
        vp.read(0, 3)
        assert (vp.getattr().atime > 1) == noted


# --- the mount ------------------------------------------------------------------------------------


def _clean(image: Path) -> int:
    with Editor(image) as editor:
        return editor.fs.fs_clean


def test_the_clean_flag_is_off_while_the_mount_can_write(make: Make) -> None:
    image = make()
    assert _clean(image) == 1
    with writable(image) as mp:
        assert _clean(image) == 0
        mp.sync()
        assert _clean(image) == 0
    assert _clean(image) == 1


def test_what_was_not_unmounted_cleanly_is_written_only_by_force_and_stays_unclean(make: Make) -> None:
    image = make()
    with Editor(image) as editor:
        editor.superblock(fs_clean=2)
    with pytest.raises(VfsError, match="not unmounted cleanly") as caught, writable(image):
        pass
    assert caught.value.errno == errno.EROFS
    with writable(image, MNT_FORCE) as mp:
        _create(mp.mnt_root, b"f", b"x")
    assert _clean(image) == 0
    assert complaints(image, clean=False) == []


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"fs_flags": FS_SUJ, "fs_clean": 0}, r"SU\+J.* run fsck_ffs on it first"),
        ({"fs_flags": FS_SUJ | FS_NEEDSFSCK}, r"SU\+J.* run fsck_ffs on it first"),
        ({"fs_flags": FS_GJOURNAL}, "gjournal"),
        ({"fs_snapinum": (5, *(0,) * 19)}, "snapshots"),
        ({"fs_flags": 0x200, "fs_quota_magic": 0xB746915E}, "quota2"),
    ],
)
def test_what_cannot_be_kept_right_is_refused_with_the_reason(
    make: Make, fields: dict[str, object], why: str
) -> None:
    image = make()
    with Editor(image) as editor:
        editor.superblock(**fields)
    before = image.read_bytes()
    with pytest.raises(VfsError, match=why) as caught, writable(image, MNT_FORCE):
        pass
    assert caught.value.errno == errno.EROFS
    assert image.read_bytes() == before
