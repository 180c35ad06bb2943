"""Extended attributes that are changed; the judge is a check that shares no code with what changes them."""

from __future__ import annotations

import os
import random
import struct
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from rumpfs.abi.errno import (
    EACCES,
    EFBIG,
    EINVAL,
    EIO,
    ENODATA,
    ENOSPC,
    ENXIO,
    EOPNOTSUPP,
    EPERM,
    EROFS,
)
from rumpfs.abi.extattr import (
    EXTATTR_CMD_START,
    EXTATTR_CMD_STOP,
    EXTATTR_NAMESPACE_SYSTEM,
    EXTATTR_NAMESPACE_USER,
    UFS_EXTATTR_CMD_ENABLE,
)
from rumpfs.abi.mount import MNT_EXTATTR, MNT_LOG
from rumpfs.abi.stat import S_IFBLK, S_IFIFO
from rumpfs.base.errors import VfsError
from rumpfs.fs.ffs.fsck.finding import preen
from rumpfs.fs.ffs.ufsmount import FfsMount
from rumpfs.ondisk.ufs.fs import FS, FS_UFS2EA_MAGIC
from rumpfs.vfs.cred import ROOT
from rumpfs.vfs.vnode import SetAttr, Vnode, vref, vrele
from tests.fs.ffs.checker import complaints
from tests.fs.ffs.editor import Editor
from tests.fs.ffs.fscking import fsck
from tests.fs.ffs.harness import mounted, resolve
from tests.fs.ffs.powercut import Recorder
from tests.fs.ffs.test_extattr import NAMESPACES, NOBODY, UFS1, attributes, failure
from tests.fs.ffs.workload import USER as PLAIN_USER
from tests.fs.ffs.workload import writable
from tests.images_util import freebsd_image, freebsd_images, makefs, manifest, netbsd_image, scratch_copy

USER, SYSTEM = EXTATTR_NAMESPACE_USER, EXTATTR_NAMESPACE_SYSTEM

#: bytes of a block and of a frag
BSIZE, FSIZE = 8192, 1024


def put(vp: Vnode, name: bytes, value: bytes, attrnamespace: int = USER) -> None:
    vp.setextattr(attrnamespace, name, len(value), ROOT)(value)


def drop(vp: Vnode, name: bytes, attrnamespace: int = USER) -> None:
    vp.deleteextattr(attrnamespace, name, ROOT)


def error_of(call: Callable[[], object]) -> int:
    """Return the errno that a call fails with, 0 when it does not."""
    try:
        call()
    except VfsError as error:
        return error.errno
    return 0


def make_file(mp: FfsMount, name: bytes) -> Vnode:
    return mp.mnt_root.create(name, 0o100644, ROOT)


def ea_image(tmp_path: Path, order: str = "le", *words: str) -> Path:
    """Return an empty UFS2 image as newfs -O 2ea makes it: the magic is all that differs, in every copy."""
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree").chmod(0o755)
    image = makefs(
        tmp_path / "tree",
        tmp_path / "image",
        2,
        order,
        BSIZE,
        FSIZE,
        *(words or ("-s", "4m", ",density=4096")),
    )
    with Editor(image) as editor:
        editor.superblock(fs_magic=FS_UFS2EA_MAGIC)
        for cg in range(editor.fs.fs_ncg):
            magic = struct.pack(editor.fs.order + "I", FS_UFS2EA_MAGIC)
            editor.write(editor.at(editor.fs.cgsblock(cg)) + FS.offset("fs_magic"), magic)
    return image


# --- FreeBSD's images -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", freebsd_images())
def test_freebsd_s_attributes_are_changed_and_the_rest_is_kept(name: str, tmp_path: Path) -> None:
    """The area of 2,297 attributes is full but for 32 bytes, and those of the image are in one block."""
    image = scratch_copy(freebsd_image(name), tmp_path)
    expected = {b"attr%d" % number: b"value%d" % number for number in range(1, 2298)}
    with writable(image) as mp:
        vp = resolve(mp, "/xattrs2")
        assert attributes(vp) == expected
        for number in range(5, 2297, 100):
            attrname = b"attr%d" % number
            if number % 3 == 0:
                drop(vp, attrname)
                del expected[attrname]
            else:
                expected[attrname] = b"changed!"[: number % 9]
                put(vp, attrname, expected[attrname])
        put(vp, b"posix1e.acl_access", bytes(range(90)), SYSTEM)
        drop(resolve(mp, "/xattrs3"), b"big")
        put(resolve(mp, "/file1"), b"first", b"")
    assert complaints(image) == []
    checked = fsck(image)
    assert (checked.kinds, checked.result.unresolved) == ([], False)
    with mounted(image) as mp:
        vp = resolve(mp, "/xattrs2")
        assert list(attributes(vp).items()) == list(expected.items())
        assert attributes(vp, SYSTEM) == {b"posix1e.acl_access": bytes(range(90))}
        assert attributes(resolve(mp, "/xattrs3")) == {}
        assert resolve(mp, "/xattrs3").getattr().blocks == 0
        assert attributes(resolve(mp, "/file1")) == {b"first": b""}
        assert attributes(resolve(mp, "/xattrs")) == {b"test": b"testvalue"}


@pytest.mark.parametrize("name", freebsd_images())
def test_an_area_is_what_freebsd_makes_of_the_same_attributes(name: str, tmp_path: Path) -> None:
    """Each attribute is set to what it is; every byte of the areas stays, at another place."""
    image = scratch_copy(freebsd_image(name), tmp_path)

    def areas() -> list[bytes]:
        with Editor(image) as editor:
            dinodes = [editor.dinode(editor.ino(f"/xattrs{number}")) for number in ("", 2, 3)]
            bsize = editor.fs.fs_bsize
            return [
                b"".join(editor.read(bsize, editor.at(frag)) for frag in d.di_extb if frag)[: d.di_extsize]
                for d in dinodes
            ]

    before = areas()
    with writable(image) as mp:
        for path, attrname in (("/xattrs", b"test"), ("/xattrs2", b"attr7"), ("/xattrs3", b"big")):
            vp = resolve(mp, path)
            put(vp, attrname, bytes(vp.getextattr(USER, attrname, ROOT)))
    assert areas() == before


def test_a_freebsd_image_without_check_hashes_is_known_by_its_time_of_mounting(tmp_path: Path) -> None:
    image = scratch_copy(freebsd_image("ufs-little"), tmp_path)
    with Editor(image) as editor:
        editor.superblock(fs_flags=0, fs_metackhash=0)
    with writable(image) as mp:
        put(resolve(mp, "/xattrs"), b"more", b"value")
    assert complaints(image) == []
    with mounted(image) as mp:
        assert attributes(resolve(mp, "/xattrs")) == {b"test": b"testvalue", b"more": b"value"}


# --- UFS2 -----------------------------------------------------------------------------------------------


def test_a_plain_ufs2_of_netbsd_gets_no_attributes(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    image = makefs(tmp_path / "tree", tmp_path / "image", 2, "le", BSIZE, FSIZE, "-s", "2m")
    with writable(image) as mp:
        vp = make_file(mp, b"f")
        assert failure(lambda: vp.setextattr(USER, b"a", 1, ROOT)) == EOPNOTSUPP
        assert failure(lambda: vp.deleteextattr(USER, b"a", ROOT)) == EOPNOTSUPP
        assert attributes(vp) == {}


@pytest.mark.parametrize("flags", [0, MNT_LOG], ids=["plain", "log"])
@pytest.mark.parametrize("order", ["le", "be"])
def test_attributes_in_step_with_a_model(tmp_path: Path, order: str, flags: int) -> None:
    """Files of every kind that has attributes; each area grows and shrinks through fragments and blocks."""
    image = ea_image(tmp_path, order, "-s", "8m", ",density=4096")
    chance = random.Random(7)
    expected: dict[bytes, dict[tuple[int, bytes], bytes]] = {}
    with writable(image, flags) as mp:
        root = mp.mnt_root
        free = mp.statvfs()
        files = {
            b"file": make_file(mp, b"file"),
            b"dir": root.mkdir(b"dir", 0o755, ROOT),
            b"fast": root.symlink(b"fast", 0o777, b"t" * 119, ROOT),
            b"slow": root.symlink(b"slow", 0o777, b"t" * 120, ROOT),
            b"fifo": root.create(b"fifo", S_IFIFO | 0o644, ROOT),
        }
        files[b"file"].write(0, b"x" * 100_000, 0, ROOT)
        for _ in range(400):
            path = chance.choice(list(files))
            model = expected.setdefault(path, {})
            key = (chance.choice((USER, SYSTEM)), b"name%d" % chance.randrange(6) * chance.randrange(1, 30))
            if key in model and chance.random() < 0.4:
                drop(files[path], key[1], key[0])
                del model[key]
                continue
            value = chance.randbytes(chance.choice((0, 1, 7, 8, 9, 200, 1000, 1024, 5000)))
            error = error_of(partial(put, files[path], key[1], value, key[0]))
            assert error in (0, ENOSPC)
            if not error:
                model[key] = value
        assert files[b"fast"].readlink() == b"t" * 119
    assert complaints(image) == []
    with writable(image, flags) as mp:
        for path, model in expected.items():
            vp = resolve(mp, path)
            for attrnamespace in (USER, SYSTEM):
                wanted = {name: value for (space, name), value in model.items() if space == attrnamespace}
                assert attributes(vp, attrnamespace) == wanted
            (mp.mnt_root.rmdir if path == b"dir" else mp.mnt_root.remove)(path, vp, ROOT)
        after = mp.statvfs()
        assert (after.bfree, after.ffree) == (free.bfree, free.ffree)
    assert complaints(image) == []


def test_what_an_area_takes_is_counted(tmp_path: Path) -> None:
    """A record has 8 bytes and the value here; blocks are counted in units of 512 bytes."""
    with writable(ea_image(tmp_path)) as mp:
        vp = make_file(mp, b"f")
        for length, frags in ((0, 1), (1016, 1), (1017, 2), (8184, 8), (8185, 9), (16376, 16), (5000, 5)):
            put(vp, b"a", bytes(length))
            assert vp.getattr().blocks == 2 * frags, length
        drop(vp, b"a")
        assert vp.getattr().blocks == 0


def test_limits(tmp_path: Path) -> None:
    """ffs_setextattr: EINVAL for a value that no area holds, ENOSPC where this one has not the room."""
    with writable(ea_image(tmp_path)) as mp:
        vp = make_file(mp, b"f")
        assert failure(lambda: vp.setextattr(USER, b"a", 2 * BSIZE + 1, ROOT)) == EINVAL
        assert failure(lambda: vp.setextattr(USER, b"a", 2 * BSIZE, ROOT)) == ENOSPC
        put(vp, b"a", bytes(2 * BSIZE - 16))
        assert failure(lambda: vp.setextattr(USER, b"b", 1, ROOT)) == ENOSPC
        put(vp, b"a", b"")
        put(vp, b"b", b"x")
        assert attributes(vp) == {b"a": b"", b"b": b"x"}


def test_errors_in_their_order(tmp_path: Path) -> None:
    image = ea_image(tmp_path)
    with writable(image) as mp:
        vp = make_file(mp, b"f")
        for call in (
            lambda v, *args: v.setextattr(*args[:2], 1, *args[2:]),
            lambda v, *args: v.deleteextattr(*args),
        ):
            assert failure(lambda call=call: call(vp, USER, b"", ROOT)) == EINVAL
            assert failure(lambda call=call: call(vp, 3, b"a", ROOT)) == EINVAL
            assert failure(lambda call=call: call(vp, SYSTEM, b"a", NOBODY)) == EPERM
            assert failure(lambda call=call: call(vp, USER, b"a", NOBODY)) == EACCES
        assert failure(lambda: vp.deleteextattr(USER, b"a", ROOT)) == ENODATA
        device = mp.mnt_root.create(b"device", S_IFBLK | 0o644, ROOT, 5)
        for failing in (
            lambda: device.setextattr(USER, b"a", 1, ROOT),
            lambda: device.deleteextattr(USER, b"a", ROOT),
            lambda: device.getextattr(USER, b"a", ROOT),
            lambda: device.listextattr(USER, ROOT),
        ):
            assert failure(failing) == EOPNOTSUPP
    with mounted(image) as mp:
        vp = resolve(mp, "/f")
        assert failure(lambda: vp.setextattr(USER, b"", 1, ROOT)) == EINVAL
        assert failure(lambda: vp.setextattr(USER, b"a", 1, NOBODY)) == EROFS
        assert failure(lambda: vp.deleteextattr(USER, b"a", NOBODY)) == EROFS


def test_setting_takes_set_id_bits_from_everybody_but_root_and_is_a_change(tmp_path: Path) -> None:
    with writable(ea_image(tmp_path)) as mp:
        vp = make_file(mp, b"f")
        vp.setattr(SetAttr(uid=7, gid=7, mode=0o6755), ROOT)
        before = vp.getattr()
        put(vp, b"a", b"x")
        after = vp.getattr()
        assert after.mode & 0o7777 == 0o6755
        assert (after.ctime, after.ctimensec) > (before.ctime, before.ctimensec)
        assert (after.mtime, after.mtimensec) == (before.mtime, before.mtimensec)
        vp.setextattr(USER, b"a", 1, PLAIN_USER)(b"y")
        assert vp.getattr().mode & 0o7777 == 0o755


def _fill(vp: Vnode) -> None:
    step = 1 << 16
    while step >= FSIZE:
        if error_of(partial(vp.write, vp.size(), bytes(step), 0, ROOT)) == ENOSPC:
            step >>= 1


def test_a_full_disk_takes_attributes_away_and_changes_them_in_their_place(tmp_path: Path) -> None:
    image = ea_image(tmp_path, "le", "-s", "1m")
    with writable(image) as mp:
        vp = make_file(mp, b"f")
        put(vp, b"a", b"a" * 2000)
        put(vp, b"b", b"b" * 9000)
        _fill(make_file(mp, b"filler"))
        for number in range(mp.statvfs().bfree):
            _fill(make_file(mp, b"filler%d" % number))
        assert mp.statvfs().bfree == 0
        assert failure(lambda: put(vp, b"c", b"c" * 5000)) == ENOSPC
        assert failure(lambda: put(make_file(mp, b"g"), b"a", b"")) == ENOSPC
        put(vp, b"b", b"B" * 9000)
        drop(vp, b"a")
        assert attributes(vp) == {b"b": b"B" * 9000}
        assert mp.statvfs().bfree == 2
    assert complaints(image) == []
    with mounted(image) as mp:
        assert attributes(resolve(mp, "/f")) == {b"b": b"B" * 9000}


def test_the_reserve_is_not_for_the_attributes_of_others(tmp_path: Path) -> None:
    with writable(ea_image(tmp_path, "le", "-s", "2m", ",minfree=20")) as mp:
        vp = make_file(mp, b"f")
        vp.setattr(SetAttr(uid=7), ROOT)
        filler = make_file(mp, b"filler")
        filler.setattr(SetAttr(uid=7), ROOT)
        while not error_of(lambda: filler.write(filler.size(), bytes(4096), 0, PLAIN_USER)):
            pass
        assert failure(lambda: vp.setextattr(USER, b"a", 1, PLAIN_USER)(b"x")) == ENOSPC
        put(vp, b"a", b"x")


def test_a_damaged_area_is_not_changed(tmp_path: Path) -> None:
    image = ea_image(tmp_path)
    with writable(image) as mp:
        put(make_file(mp, b"f"), b"name", b"value")
    with Editor(image) as editor:
        ino = editor.ino("/f")
        editor.write(editor.at(editor.dinode(ino).di_extb[0]), b"\1")
    before = image.read_bytes()
    with writable(image) as mp:
        vp = resolve(mp, "/f")
        assert failure(lambda: vp.setextattr(USER, b"other", 1, ROOT)) == EIO
        assert failure(lambda: vp.deleteextattr(USER, b"name", ROOT)) == EIO
    with Editor(image) as editor:
        area = editor.at(editor.dinode(ino).di_extb[0])
    assert image.read_bytes()[area : area + FSIZE] == before[area : area + FSIZE]


def _cuts(image: Path, base: bytes, writes: list[tuple[int, bytes]]) -> Iterator[int]:
    """Make an image anew after each prefix of the writes, and yield how long that is."""
    data = bytearray(base)
    for number, (offset, piece) in enumerate(writes, 1):
        data[offset : offset + len(piece)] = piece
        image.write_bytes(data)
        yield number


@pytest.mark.parametrize("flags", [0, MNT_LOG], ids=["plain", "log"])
def test_a_cut_leaves_the_old_attributes_or_the_new_ones(tmp_path: Path, flags: int) -> None:
    """What is delayed without a log, maps and counters, fsck -p counts anew."""
    image = ea_image(tmp_path, "le", "-s", "8m", ",density=4096")
    with writable(image, flags) as mp:
        vp = make_file(mp, b"f")
        put(vp, b"a", b"0" * 3000)
    base = image.read_bytes()
    states = [{b"a": b"0" * 3000}]
    recorder: list[Recorder] = []

    def record(*args: object) -> Recorder:
        recorder.append(Recorder(*args))  # type: ignore[arg-type]
        return recorder[0]

    with writable(image, flags, window=record) as mp:
        vp = resolve(mp, "/f")
        for step in range(1, 12):
            new = dict(states[-1])
            if step % 4 == 0:
                drop(vp, b"b")
                del new[b"b"]
            else:
                name = b"b" if step % 4 == 3 else b"a"
                new[name] = b"%x" % step * 400 * step
                put(vp, name, new[name])
            states.append(new)
    seen = 0
    for number in _cuts(image, base, recorder[0].writes):
        if not flags:
            assert set(fsck(image).kinds) <= {"free-counts", "summary-information", "bit-maps"}, number
            assert fsck(image, preen, write=True, force=False).result.clean
        with writable(image, flags) as mp:
            found = attributes(resolve(mp, "/f"))
        assert complaints(image) == [], number
        assert found in states[seen:], number
        seen = states.index(found, seen)
    assert seen == len(states) - 1


# --- UFS1 -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", UFS1)
def test_netbsd_s_attributes_are_changed_and_the_rest_is_kept(name: str, tmp_path: Path) -> None:
    """Also big-endian, where the backing files are in the order of the machine that made them."""
    image = scratch_copy(netbsd_image(name), tmp_path)
    facts = [fact for fact in manifest(name)["extattrs"] if "errno" not in fact]
    with writable(image, MNT_EXTATTR) as mp:
        expected = {
            (fact["path"], space): attributes(resolve(mp, fact["path"]), space)
            for fact in facts
            for space in (USER, SYSTEM)
        }
        for number, fact in enumerate(facts):
            vp, space, attrname = resolve(mp, fact["path"]), NAMESPACES[fact["ns"]], fact["name"].encode()
            values = expected[fact["path"], space]
            if number % 3 == 0:
                drop(vp, attrname, space)
                del values[attrname]
                assert failure(lambda: drop(vp, attrname, space)) == ENODATA  # noqa: B023
            elif number % 3 == 1:
                values[attrname] = b"<%d>" % number
                put(vp, attrname, values[attrname], space)
    assert complaints(image) == []
    with mounted(image, flags=MNT_EXTATTR | 1) as mp:
        for (path, space), values in expected.items():
            assert attributes(resolve(mp, path), space) == values


@pytest.fixture
def ufs1(tmp_path: Path) -> Path:
    """An image with the directories for backing files, and one of them for values of 4 bytes."""
    for name in ("user", "system"):
        (tmp_path / "tree/.attribute" / name).mkdir(parents=True)
    (tmp_path / "tree/.attribute/user/small").write_bytes(struct.pack(">III", 0x00B5D5EC, 3, 4))
    for directory, _, _ in os.walk(tmp_path / "tree"):
        os.chmod(directory, 0o755)
    return makefs(tmp_path / "tree", tmp_path / "image", 1, "le", BSIZE, FSIZE, "-s", "4m", ",density=4096")


def test_a_backing_file_is_made_for_a_new_attribute(ufs1: Path) -> None:
    """ufs_extattr_autocreate_attr: with room for 1,024 bytes, and for its maker alone."""
    with writable(ufs1, MNT_EXTATTR) as mp:
        first, second = make_file(mp, b"f"), make_file(mp, b"g")
        put(first, b"colour", b"red")
        put(second, b"colour", b"g" * 1024)
        put(first, b"label", b"secret", SYSTEM)
        assert failure(lambda: first.setextattr(USER, b"colour", 1025, ROOT)) == ENXIO
        assert failure(lambda: first.setextattr(USER, b"small", 5, ROOT)) == ENXIO
        put(first, b"small", b"1234")
        va = resolve(mp, "/.attribute/user/colour").getattr()
        assert (va.mode, va.uid) == (0o100600, 0)
        assert first.listextattr(USER, ROOT) == [b"colour", b"small"]
        assert attributes(second) == {b"colour": b"g" * 1024}
        assert attributes(first, SYSTEM) == {b"label": b"secret"}
    assert complaints(ufs1) == []
    with mounted(ufs1, flags=MNT_EXTATTR | 1) as mp:
        header = bytes(resolve(mp, "/.attribute/system/label").read(0, 12))
        assert struct.unpack("=III", header) == (0x00B5D5EC, 3, 1024)
        assert attributes(resolve(mp, "/f")) == {b"colour": b"red", b"small": b"1234"}
        assert attributes(resolve(mp, "/g")) == {b"colour": b"g" * 1024}


def test_attributes_that_cannot_be_made(ufs1: Path) -> None:
    with writable(ufs1, MNT_EXTATTR) as mp:
        vp = make_file(mp, b"f")
        vp.setattr(SetAttr(mode=0o666), ROOT)
        assert failure(lambda: vp.setextattr(USER, b"new", 1, NOBODY)) == ENODATA
        assert failure(lambda: vp.setextattr(SYSTEM, b"new", 1, NOBODY)) == EPERM
        vp.setextattr(USER, b"small", 1, NOBODY)(b"x")
        for name in (b"a/b", b".", b".."):
            assert failure(lambda name=name: vp.setextattr(USER, name, 1, ROOT)) == ENODATA
        assert failure(lambda: vp.setextattr(USER, b"", 1, ROOT)) == EINVAL
        assert failure(lambda: vp.deleteextattr(USER, b"other", ROOT)) == ENODATA
        mp.extattrctl(EXTATTR_CMD_STOP, None, 0, None, ROOT)
        assert failure(lambda: vp.setextattr(USER, b"small", 1, ROOT)) == EOPNOTSUPP
        mp.extattrctl(EXTATTR_CMD_START, None, 0, None, ROOT)
        assert attributes(vp) == {b"small": b"x"}
    assert complaints(ufs1) == []


def test_without_directories_for_them_there_are_no_attributes(tmp_path: Path) -> None:
    (tmp_path / "tree/.attribute").mkdir(parents=True)
    image = makefs(tmp_path / "tree", tmp_path / "image", 1, "le", BSIZE, FSIZE, "-s", "2m")
    with writable(image, MNT_EXTATTR) as mp:
        vp = make_file(mp, b"f")
        assert failure(lambda: vp.setextattr(USER, b"a", 1, ROOT)) == ENODATA
        assert vp.listextattr(USER, ROOT) == []


def test_the_attributes_of_a_file_go_with_it(ufs1: Path) -> None:
    """ufs_extattr_vnode_inactive: its slot is empty then, whatever the generation of the inode."""
    with writable(ufs1, MNT_EXTATTR) as mp:
        vp = make_file(mp, b"f")
        ino, gen = vp.getattr().fileid, vp.getattr().gen
        put(vp, b"small", b"1234")
        mp.mnt_root.remove(b"f", vp, ROOT)
        slot = bytes(resolve(mp, "/.attribute/user/small").read(12 + ino * 16, 12))
        assert struct.unpack(">III", slot) == (0, 0, gen)
        again = make_file(mp, b"g")
        assert again.getattr().fileid == ino
        assert attributes(again) == {}


def test_a_backing_file_in_use_is_kept_until_attributes_stop(ufs1: Path) -> None:
    with writable(ufs1, MNT_EXTATTR) as mp:
        directory = resolve(mp, "/.attribute/user")
        backing = resolve(mp, "/.attribute/user/small")
        vp = make_file(mp, b"f")
        directory.remove(b"small", backing, ROOT)
        put(vp, b"small", b"1234")
        assert attributes(vp) == {b"small": b"1234"}
        assert mp.mnt_busy == 0
        mp.extattrctl(EXTATTR_CMD_STOP, None, 0, None, ROOT)
        assert mp.mnt_busy == 0
        mp.extattrctl(EXTATTR_CMD_START, None, 0, None, ROOT)
        assert attributes(vp) == {}
        assert failure(lambda: vp.deleteextattr(USER, b"small", ROOT)) == ENODATA
    assert complaints(ufs1) == []


def test_a_slot_beyond_what_a_file_may_have(ufs1: Path) -> None:
    with writable(ufs1, MNT_EXTATTR) as mp:
        huge = make_file(mp, b"huge")
        huge.write(0, struct.pack("<III", 0x00B5D5EC, 3, 4 << 20), 0, ROOT)
        mp.extattrctl(UFS_EXTATTR_CMD_ENABLE, huge, USER, b"huge", ROOT)
        vp = make_file(mp, b"f")
        mp.um_fs.fs_maxfilesize = 4 << 20
        assert failure(lambda: put(vp, b"huge", b"x")) == EFBIG
        vref(vp)
        vrele(vp)
        assert attributes(vp) == {}


def test_a_full_disk_leaves_ufs1_whole(ufs1: Path) -> None:
    with writable(ufs1, MNT_EXTATTR) as mp:
        vp = make_file(mp, b"f")
        put(vp, b"small", b"1234")
        _fill(make_file(mp, b"filler"))
        assert failure(lambda: put(vp, b"new", b"x" * 1000)) in (ENODATA, ENOSPC)
        put(vp, b"small", b"ABCD")
        assert attributes(vp) == {b"small": b"ABCD"}
    assert complaints(ufs1) == []
