"""Extended attributes of FFS: images that FreeBSD and NetBSD made, and variants and damage made from them."""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from rumpfs.abi.errno import (
    EACCES,
    EBUSY,
    EEXIST,
    EINVAL,
    EIO,
    ENODATA,
    ENOENT,
    ENOTDIR,
    EOPNOTSUPP,
    EPERM,
    EROFS,
)
from rumpfs.abi.extattr import (
    EXTATTR_CMD_START,
    EXTATTR_CMD_STOP,
    EXTATTR_NAMESPACE_SYSTEM,
    EXTATTR_NAMESPACE_USER,
    UFS_EXTATTR_CMD_DISABLE,
    UFS_EXTATTR_CMD_ENABLE,
    XATTR_CREATE,
    XATTR_REPLACE,
)
from rumpfs.abi.fcntl import O_CREAT, O_RDWR
from rumpfs.abi.mount import MNT_EXTATTR, MNT_RDONLY
from rumpfs.base.errors import VfsError
from rumpfs.dev.hostfile import HostFile
from rumpfs.dev.window import Window
from rumpfs.fs.ffs.ufsmount import FfsMount
from rumpfs.ondisk.ufs.fs import FS_UFS2EA_MAGIC
from rumpfs.vfs.cred import ROOT, Cred
from rumpfs.vfs.vnode import Vnode
from tests.fs.ffs.editor import Editor
from tests.fs.ffs.harness import mounted, resolve
from tests.images_util import freebsd_image, freebsd_images, makefs, manifest, netbsd_image, scratch_copy
from tests.kern.incore import Machine

USER, SYSTEM = EXTATTR_NAMESPACE_USER, EXTATTR_NAMESPACE_SYSTEM
NAMESPACES = {"user": USER, "system": SYSTEM, 1: USER, 2: SYSTEM}
STARTED = MNT_RDONLY | MNT_EXTATTR
NOBODY = Cred(1, 1, 1, 1, 1, 1)

UFS1 = ("extattr-v1le", "extattr-v1be")


def failure(call: Callable[[], object]) -> int:
    """Return the errno that a call fails with."""
    with pytest.raises(VfsError) as caught:
        call()
    return caught.value.errno


def freebsd_copy(name: str, directory: Path) -> Path:
    """Return a FreeBSD image without check hashes, so that its inodes can be changed."""
    image = scratch_copy(freebsd_image(name), directory)
    with Editor(image) as editor:
        editor.superblock(fs_flags=0, fs_metackhash=0)
    return image


def attributes(vp: Vnode, attrnamespace: int = USER) -> dict[bytes, bytes]:
    return {
        name: bytes(vp.getextattr(attrnamespace, name, ROOT)) for name in vp.listextattr(attrnamespace, ROOT)
    }


# --- UFS2: FreeBSD's images -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", freebsd_images())
def test_what_freebsd_wrote(name: str) -> None:
    """../shared/images/README.md: testvalue; 2,297 attributes attrN=valueN; one of 64,000 bytes of file3.

    The last was given by a shell, which takes the newline at the end away.
    """
    with mounted(freebsd_image(name)) as mp:
        assert attributes(resolve(mp, "/xattrs")) == {b"test": b"testvalue"}
        assert list(attributes(resolve(mp, "/xattrs2")).items()) == [
            (b"attr%d" % number, b"value%d" % number) for number in range(1, 2298)
        ]
        big = attributes(resolve(mp, "/xattrs3"))
        assert big == {b"big": b"".join(b"%015x\n" % line for line in range(4000))[:-1]}
        for path in ("/", "/file1", "/dir1", "/link1"):
            assert attributes(resolve(mp, path)) == {}
            assert attributes(resolve(mp, path), SYSTEM) == {}


def test_an_attribute_that_is_not_there() -> None:
    with mounted(freebsd_image("ufs-little")) as mp:
        vp = resolve(mp, "/xattrs")
        for attrnamespace, name in ((USER, b"tes"), (USER, b"test2"), (USER, b""), (SYSTEM, b"test")):
            assert failure(lambda a=attrnamespace, n=name: vp.getextattr(a, n, ROOT)) == ENODATA
        assert failure(lambda: resolve(mp, "/file1").getextattr(USER, b"test", ROOT)) == ENODATA
        for attrnamespace in (0, 3, -1):
            assert failure(lambda a=attrnamespace: vp.getextattr(a, b"test", ROOT)) == EINVAL
            assert failure(lambda a=attrnamespace: vp.listextattr(a, ROOT)) == EINVAL


def test_who_may_read(tmp_path: Path) -> None:
    """genfs_can_extattr: the namespace system is the superuser's; in user the file's permissions count."""
    image = freebsd_copy("ufs-big", tmp_path)
    with Editor(image) as editor:
        ino = editor.ino("/xattrs")
        editor.change_inode(ino, di_mode=0o100604, di_uid=5, di_gid=6)
    with mounted(image) as mp:
        vp = resolve(mp, "/xattrs")
        group = Cred(7, 6, 7, 6, 7, 6)
        assert vp.getextattr(USER, b"test", NOBODY) == b"testvalue"
        assert vp.listextattr(USER, NOBODY) == [b"test"]
        for call in (lambda c: vp.getextattr(USER, b"test", c), lambda c: vp.listextattr(USER, c)):
            assert failure(lambda call=call: call(group)) == EACCES
        for cred in (NOBODY, group, Cred(5, 5, 5, 5, 5, 5)):
            assert failure(lambda cred=cred: vp.listextattr(SYSTEM, cred)) == EPERM
            assert failure(lambda cred=cred: vp.getextattr(SYSTEM, b"test", cred)) == EPERM
            assert failure(lambda cred=cred: vp.listextattr(3, cred)) == EINVAL


def test_changing_attributes_of_ufs2(tmp_path: Path) -> None:
    """NetBSD has them only under the magic of newfs -O 2ea; what FreeBSD has mounted is known by the time."""
    image = freebsd_copy("ufs-little", tmp_path)
    with Editor(image) as editor:
        editor.superblock(fs_mtime=0)
    with mounted(image) as mp:
        vp = resolve(mp, "/xattrs")
        assert failure(lambda: vp.setextattr(USER, b"test", 1, ROOT)) == EOPNOTSUPP
        assert failure(lambda: vp.deleteextattr(USER, b"test", ROOT)) == EOPNOTSUPP
        assert failure(lambda: mp.extattrctl(EXTATTR_CMD_START, None, 0, None, ROOT)) == EOPNOTSUPP
    with Editor(image) as editor:
        editor.superblock(fs_magic=FS_UFS2EA_MAGIC)
    with mounted(image, flags=STARTED) as mp:
        vp = resolve(mp, "/xattrs")
        assert attributes(vp) == {b"test": b"testvalue"}
        assert failure(lambda: vp.setextattr(USER, b"test", 1, ROOT)) == EROFS
        assert failure(lambda: vp.deleteextattr(USER, b"test", ROOT)) == EROFS
        assert failure(lambda: vp.setextattr(USER, b"", 1, ROOT)) == EINVAL


# --- UFS2: damage -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"di_extsize": -1}, "di_extsize is -1: "),
        ({"di_extsize": 65537}, "di_extsize is 65537: an area has 65536 bytes at most"),
        ({"di_extb": (0, 0)}, "di_extb[0] is 0: "),
        ({"di_extb": (-8, 0)}, "di_extb[0] is -8: "),
        ({"di_extb": (1 << 40, 0)}, f"di_extb[0] is {1 << 40}: "),
        ({"di_extsize": 40000}, "di_extb[1] is 0: "),
    ],
    ids=str,
)
def test_an_area_that_cannot_be(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, fields: dict[str, object], text: str
) -> None:
    image = freebsd_copy("ufs-little", tmp_path)
    with Editor(image) as editor:
        ino = editor.ino("/xattrs")
        editor.change_inode(ino, **fields)
    with mounted(image) as mp:
        vp = resolve(mp, "/xattrs")
        for _ in range(2):
            assert failure(lambda: vp.listextattr(USER, ROOT)) == EIO
            assert failure(lambda: vp.getextattr(USER, b"test", ROOT)) == EIO
        assert len(attributes(resolve(mp, "/xattrs2"))) == 2297
        assert vp.read(0, 10) == b""
    (message,) = [record.getMessage() for record in caplog.records]
    assert f"inode {ino}: {text}" in message


@pytest.mark.parametrize("name", freebsd_images())
def test_a_record_that_is_damaged_hides_those_behind_it(
    name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    image = freebsd_copy(name, tmp_path)
    with Editor(image) as editor:
        ino = editor.ino("/xattrs2")
        start = editor.at(editor.dinode(ino).di_extb[0])
        area = editor.read(32768, start)
        at = area.index(b"attr1000") - 7
        editor.write(start + at, bytes(4))
    with mounted(image) as mp:
        vp = resolve(mp, "/xattrs2")
        assert failure(lambda: vp.listextattr(USER, ROOT)) == EIO
        assert vp.getextattr(USER, b"attr999", ROOT) == b"value999"
        for missing in (b"attr1000", b"attr1001", b"attr2297", b"nothing"):
            assert failure(lambda missing=missing: vp.getextattr(USER, missing, ROOT)) == EIO
    assert f"inode {ino}: extended attribute at byte {at}: ea_length is 0: " in caplog.text
    assert len(caplog.records) == 1


def test_an_image_that_ends_before_an_area(tmp_path: Path) -> None:
    image = freebsd_copy("ufs-little", tmp_path)
    with Editor(image) as editor:
        start = editor.at(editor.dinode(editor.ino("/xattrs2")).di_extb[1])
    os.truncate(image, start + 4096)
    with mounted(image) as mp:
        assert failure(lambda: resolve(mp, "/xattrs2").listextattr(USER, ROOT)) == EIO


# --- UFS1: NetBSD's images ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", UFS1)
def test_what_netbsd_wrote(name: str) -> None:
    """Also big-endian: the kernel made the backing files in the order of the machine, which was the other."""
    with mounted(netbsd_image(name), flags=STARTED) as mp:
        listed: dict[tuple[str, int], set[bytes]] = {}
        for fact in manifest(name)["extattrs"]:
            attrnamespace = NAMESPACES[fact["ns"]]
            names = listed.setdefault((fact["path"], attrnamespace), set())
            vp = resolve(mp, fact["path"])
            attrname = fact["name"].encode()
            if "errno" in fact:
                assert failure(lambda: vp.getextattr(attrnamespace, attrname, ROOT)) == fact["errno"]  # noqa: B023
                continue
            names.add(attrname)
            value = vp.getextattr(attrnamespace, attrname, ROOT)
            assert (len(value), hashlib.sha256(value).hexdigest()) == (fact["size"], fact["sha256"])
        for (path, attrnamespace), names in listed.items():
            assert set(resolve(mp, path).listextattr(attrnamespace, ROOT)) == names
        assert attributes(mp.mnt_root) == attributes(mp.mnt_root, SYSTEM) == {}


@pytest.mark.parametrize("name", UFS1)
def test_changing_attributes_of_ufs1(name: str) -> None:
    with mounted(netbsd_image(name), flags=STARTED) as mp:
        for cred in (ROOT, NOBODY):
            assert failure(lambda cred=cred: mp.mnt_root.setextattr(USER, b"mime", 1, cred)) == EROFS
            assert failure(lambda cred=cred: mp.mnt_root.deleteextattr(USER, b"mime", cred)) == EROFS


@pytest.fixture
def named() -> tuple[str, bytes]:
    """A file of extattr-v1le, and the value of its attribute user.mime."""
    fact = manifest("extattr-v1le")["extattrs"][0]
    assert fact["name"] == "mime"
    return fact["path"], b"text/plain0"


def test_attributes_have_to_be_started(named: tuple[str, bytes]) -> None:
    path, value = named
    with mounted(netbsd_image("extattr-v1le")) as mp:
        vp = resolve(mp, path)

        def control(cmd: int) -> None:
            mp.extattrctl(cmd, None, 0, None, ROOT)

        for _ in range(2):
            for call in (
                lambda: vp.getextattr(USER, b"mime", ROOT),
                lambda: vp.listextattr(USER, ROOT),
                lambda: vp.setextattr(USER, b"mime", 1, ROOT),
                lambda: vp.deleteextattr(USER, b"mime", ROOT),
            ):
                assert failure(call) == EOPNOTSUPP
            control(EXTATTR_CMD_START)
            assert vp.getextattr(USER, b"mime", ROOT) == value
            assert failure(lambda: control(EXTATTR_CMD_START)) == EBUSY
            assert failure(lambda: vp.getextattr(USER, b"", ROOT)) == EINVAL
            control(EXTATTR_CMD_STOP)
            control(EXTATTR_CMD_STOP)


def test_only_the_superuser_starts_attributes_and_arguments_are_checked(named: tuple[str, bytes]) -> None:
    with mounted(netbsd_image("extattr-v1le"), flags=STARTED) as mp:
        vp = resolve(mp, named[0])
        assert failure(lambda: mp.extattrctl(EXTATTR_CMD_STOP, None, 0, None, NOBODY)) == EPERM
        for cmd, file, name in (
            (EXTATTR_CMD_START, vp, None),
            (EXTATTR_CMD_START, None, b"mime"),
            (EXTATTR_CMD_STOP, vp, None),
            (EXTATTR_CMD_STOP, None, b"mime"),
            (UFS_EXTATTR_CMD_ENABLE, None, b"mime"),
            (UFS_EXTATTR_CMD_ENABLE, vp, None),
            (UFS_EXTATTR_CMD_ENABLE, vp, b""),
            (UFS_EXTATTR_CMD_ENABLE, mp.mnt_root, b"directory"),
            (UFS_EXTATTR_CMD_ENABLE, vp, b"no-backing-file"),
            (UFS_EXTATTR_CMD_DISABLE, vp, b"mime"),
            (UFS_EXTATTR_CMD_DISABLE, None, None),
            (UFS_EXTATTR_CMD_DISABLE, None, b""),
            (0, None, None),
            (5, None, None),
        ):
            assert failure(lambda c=cmd, f=file, n=name: mp.extattrctl(c, f, USER, n, ROOT)) == EINVAL
        assert vp.getextattr(USER, b"mime", ROOT) == named[1]


def test_single_attributes_are_started_and_stopped(named: tuple[str, bytes]) -> None:
    path, value = named
    with mounted(netbsd_image("extattr-v1le"), flags=STARTED) as mp:
        vp = resolve(mp, path)
        file = resolve(mp, "/.attribute/user/mime")
        before = vp.listextattr(USER, ROOT)
        assert failure(lambda: mp.extattrctl(UFS_EXTATTR_CMD_ENABLE, file, USER, b"mime", ROOT)) == EEXIST
        mp.extattrctl(UFS_EXTATTR_CMD_DISABLE, None, USER, b"mime", ROOT)
        assert failure(lambda: mp.extattrctl(UFS_EXTATTR_CMD_DISABLE, None, USER, b"mime", ROOT)) == ENODATA
        assert failure(lambda: vp.getextattr(USER, b"mime", ROOT)) == ENODATA
        assert vp.listextattr(USER, ROOT) == [name for name in before if name != b"mime"]
        mp.extattrctl(UFS_EXTATTR_CMD_ENABLE, file, SYSTEM, b"type", ROOT)
        assert vp.getextattr(SYSTEM, b"type", ROOT) == value
        # what was started last is listed first
        assert vp.listextattr(SYSTEM, ROOT) == [b"type", b"label"]
        mp.extattrctl(EXTATTR_CMD_STOP, None, 0, None, ROOT)
        assert failure(lambda: mp.extattrctl(UFS_EXTATTR_CMD_ENABLE, file, USER, b"mime", ROOT)) == EOPNOTSUPP
        assert mp.mnt_busy == 0


def test_the_value_of_an_inode_that_was_freed_is_not_the_next_one_s(
    named: tuple[str, bytes], tmp_path: Path
) -> None:
    image = scratch_copy(netbsd_image("extattr-v1le"), tmp_path)
    with Editor(image) as editor:
        ino = editor.ino(named[0])
        editor.change_inode(ino, di_gen=editor.dinode(ino).di_gen + 1)
    with mounted(image, flags=STARTED) as mp:
        vp = resolve(mp, named[0])
        assert failure(lambda: vp.getextattr(USER, b"mime", ROOT)) == ENODATA
        assert attributes(vp) == attributes(vp, SYSTEM) == {}


# --- UFS1: other backing files, and damaged ones -----------------------------------------------------------


def backing_file(order: str, size: int, values: dict[int, tuple[int, bytes]]) -> bytes:
    """Return a backing file with (generation, value) by inode number (sys/ufs/ufs/extattr.h)."""
    data = bytearray(struct.pack(order + "III", 0x00B5D5EC, 3, size))
    for ino, (gen, value) in sorted(values.items()):
        slot = struct.pack(order + "III", 1, len(value), gen) + value
        data = data.ljust(12 + ino * (12 + size), b"\0") + slot.ljust(12 + size, b"\0")
    return bytes(data)


def attribute_tree(path: Path, files: dict[str, bytes]) -> Path:
    for name, data in {"file": b"content", **files}.items():
        file = path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    return path


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("file_order", ["<", ">"])
def test_backing_files_of_either_order_in_either_file_system(
    tmp_path: Path, order: str, file_order: str, caplog: pytest.LogCaptureFixture
) -> None:
    """makefs leaves all generations 0; inode 3 and on are its files, of which one is the tree's `file`."""
    values = {ino: (0, b"value of %d" % ino) for ino in range(2, 12)}
    tree = attribute_tree(
        tmp_path / "tree",
        {
            ".attribute/user/colour": backing_file(file_order, 24, values),
            ".attribute/system/label": backing_file(file_order, 0, dict.fromkeys(values, (0, b""))),
            ".attribute/user/empty": b"",
            ".attribute/user/text": b"this is no backing file",
            ".attribute/user/old": struct.pack(file_order + "III", 0x00B5D5EC, 2, 24),
            ".attribute/user/huge": struct.pack(file_order + "III", 0x00B5D5EC, 3, 0xFFFFFFFF),
            ".attribute/user/long": struct.pack(file_order + "III", 0x00B5D5EC, 3, 0)
            + struct.pack(file_order + "III", 1, 1, 0) * 20,
            ".attribute/user/cut": backing_file(file_order, 24, values)[: 12 + 36 * 2 + 20],
            ".attribute/user/directory/file": b"",
        },
    )
    image = makefs(tree, tmp_path / "image", 1, order, 4096, 512)
    with mounted(image, flags=STARTED) as mp:
        for path in ("/", "/file"):
            vp = resolve(mp, path)
            ino = vp.getattr().fileid
            assert 2 <= ino < 12
            assert vp.getextattr(USER, b"colour", ROOT) == b"value of %d" % ino
            assert vp.getextattr(SYSTEM, b"label", ROOT) == b""
            assert vp.listextattr(SYSTEM, ROOT) == [b"label"]
            for name in (b"empty", b"text", b"old", b"huge", b"directory", b"other"):
                assert failure(lambda vp=vp, name=name: vp.getextattr(USER, name, ROOT)) == ENODATA
            assert failure(lambda vp=vp: vp.getextattr(USER, b"long", ROOT)) == EIO
            assert failure(lambda vp=vp: vp.listextattr(USER, ROOT)) == EIO
        # the slot of inode 2 has its header and 8 bytes of its 10, and behind it nothing
        assert failure(lambda: mp.mnt_root.getextattr(USER, b"cut", ROOT)) == EIO
        assert failure(lambda: resolve(mp, "/file").getextattr(USER, b"cut", ROOT)) == ENODATA
    messages = [record.getMessage() for record in caplog.records]
    for name, why in {
        "empty": "di_size is 0: ",
        "text": "is no backing file of extended attributes",
        "old": "uef_version is 2: ",
        "huge": "uef_size is 4294967295: ",
    }.items():
        assert sum(f"/user/{name}: {why}" in message for message in messages) == 1, messages
    assert any("/user/long: slot at byte 36 of inode 2: ueh_len is 1: " in message for message in messages)
    assert any(
        "/user/cut: di_size is 104: the value of inode 2 ends 2 bytes behind it" in m for m in messages
    )


def test_a_hole_in_a_backing_file_is_no_value(tmp_path: Path) -> None:
    tree = attribute_tree(tmp_path / "tree", {".attribute/user/a": backing_file("<", 8, {})})
    image = makefs(tree, tmp_path / "image", 1, "<", 4096, 512)
    with Editor(image) as editor:
        editor.change_inode(editor.ino("/.attribute/user/a"), di_size=1 << 40)
    with mounted(image, flags=STARTED) as mp:
        assert attributes(resolve(mp, "/file")) == {}
        assert failure(lambda: resolve(mp, "/file").getextattr(USER, b"a", ROOT)) == ENODATA


@pytest.mark.parametrize(
    ("files", "number"),
    [({}, ENOENT), ({".attribute": b"a file"}, ENOTDIR), ({".attribute/users/x": b""}, 0)],
    ids=["missing", "file", "empty"],
)
def test_a_file_system_without_backing_files(
    tmp_path: Path, files: dict[str, bytes], number: int, caplog: pytest.LogCaptureFixture
) -> None:
    image = makefs(attribute_tree(tmp_path / "tree", files), tmp_path / "image", 1, "<", 4096, 512)
    with mounted(image, flags=STARTED) as mp:
        assert mp.mnt_flag & MNT_EXTATTR
        if number:
            assert failure(lambda: mp.mnt_root.listextattr(USER, ROOT)) == EOPNOTSUPP
            assert failure(lambda: mp.extattrctl(EXTATTR_CMD_START, None, 0, None, ROOT)) == number
        else:
            assert mp.mnt_root.listextattr(USER, ROOT) == []
    assert ("extended attributes are not started: " in caplog.text) == bool(number)


def test_a_damaged_directory_of_backing_files(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Of its three files one is free and one has no entry any more."""
    files = {f".attribute/user/{name}": backing_file("<", 8, {2: (0, b"x")}) for name in "abc"}
    image = makefs(attribute_tree(tmp_path / "tree", files), tmp_path / "image", 1, "<", 4096, 512)
    with Editor(image) as editor:
        directory = editor.ino("/.attribute/user")
        _, _, (_, ino, _, _), (_, _, _, good), (_, _, _, lost) = editor.dirents(editor.directory(directory))
        editor.change_inode(ino, di_mode=0)
        editor.write(editor.dirent(directory, lost) + 4, struct.pack("<H", 3))
    with mounted(image, flags=STARTED) as mp:
        assert attributes(mp.mnt_root) == {good: b"x"}
    assert f"inode {ino}: di_mode is 0: " in caplog.text
    assert "d_reclen is 3: " in caplog.text


def test_a_huge_directory_of_backing_files_is_left_alone(tmp_path: Path) -> None:
    files = {".attribute/user/a": backing_file("<", 8, {2: (0, b"x")})}
    image = makefs(attribute_tree(tmp_path / "tree", files), tmp_path / "image", 1, "<", 4096, 512)
    with mounted(image) as mp:
        mp.um_dirhash_max = 511
        start(mp)
        assert attributes(mp.mnt_root) == {}


def start(mp: FfsMount) -> None:
    mp.extattrctl(EXTATTR_CMD_START, None, 0, None, ROOT)


def test_attributes_after_a_forced_unmount(named: tuple[str, bytes]) -> None:
    with mounted(netbsd_image("extattr-v1le"), flags=STARTED) as mp:
        vp = resolve(mp, named[0])
    assert failure(lambda: vp.getextattr(USER, b"mime", ROOT)) in (EIO, EOPNOTSUPP)


def test_the_calls_of_both_families_change_attributes(tmp_path: Path) -> None:
    """extattr(2); setxattr(2) of NetBSD, whose prefix stays a part of the name."""
    image = scratch_copy(netbsd_image("extattr-v1le"), tmp_path)
    machine = Machine()
    hostfile = HostFile.open(str(image), readonly=False)
    machine.kernel.etfs_register(b"/dev/dk", Window(hostfile, 0, hostfile.size, False), "blk")
    p = machine.process()
    p.call("mkdir", b"/m", 0o755)
    p.mount_ffs(b"/m", b"/dev/dk", MNT_EXTATTR)
    fd = p.call("open", b"/m/new", O_CREAT | O_RDWR, 0o644)
    room = bytearray(64)
    assert p.call("extattr_set_fd", fd, USER, b"mime\0", b"text/html", 9) == 9
    assert p.call("extattr_get_file", b"/m/new", USER, b"mime\0", room, 64) == 9
    assert room[:9] == b"text/html"
    assert p.call("extattr_list_link", b"/m/new", USER, room, 64) == 5
    assert room[:5] == b"\4mime"
    assert p.error("setxattr", b"/m/new", b"user.x\0", b"one", 3, XATTR_REPLACE) == "ENODATA"
    assert p.error("setxattr", b"/m/new", b"user.x\0", b"one", 3, XATTR_CREATE) == "ok"
    assert p.error("setxattr", b"/m/new", b"user.x\0", b"two", 3, XATTR_CREATE) == "EEXIST"
    assert p.error("fsetxattr", fd, b"user.x\0", b"three", 5, XATTR_REPLACE) == "ok"
    assert p.call("lgetxattr", b"/m/new", b"user.x\0", room, 64) == 5
    assert room[:5] == b"three"
    assert p.error("setxattr", b"/m/new", b"user.x\0", bytes(2000), 2000, 0) == "ENXIO"
    assert p.call("listxattr", b"/m/new", room, 64) == 12
    assert room[:12] == b"user.x\0mime\0"
    assert p.error("removexattr", b"/m/new", b"user.x\0") == "ok"
    assert p.error("removexattr", b"/m/new", b"user.x\0") == "ENODATA"
    assert p.error("extattr_delete_fd", fd, USER, b"mime\0") == "ok"
    p.call("close", fd)
    assert p.call("listxattr", b"/m/new", room, 64) == 0
    p.call("unmount", b"/m", 0)
