"""The operations of the root file system (spec/sysproxy 14.2)."""

from __future__ import annotations

import pytest

from rumpfs.abi import errno
from rumpfs.abi.mount import MNT_LOCAL, MNT_RDONLY, MNT_ROOTFS, makefstype
from rumpfs.abi.stat import DIRENT
from rumpfs.base.copy import CopyInStr
from rumpfs.base.errors import VfsError
from rumpfs.vfs.cred import ROOT, VREAD, VWRITE, Cred
from rumpfs.vfs.mount import MountArgs
from rumpfs.vfs.vnode import IO_APPEND, VBLK, VCHR, VFIFO, VSOCK, SetAttr, vref, vrele

USER = Cred(1, 1, 1, 1, 1, 1)


def fails(number, call, *args):
    with pytest.raises(VfsError) as caught:
        call(*args)
    assert caught.value.errno == number


def listed(dvp, count=8192):
    found, offset = [], 0
    while True:
        data, offset = dvp.readdir(offset, count)
        if not data:
            return found
        at = 0
        while at < len(data):
            _, reclen, namlen, _ = DIRENT.unpack_from(data, at)
            found.append(data[at + 13 : at + 13 + namlen])
            at += reclen


def times(vp):
    return vp.getattr()[7:15]


# --- the mount ----------------------------------------------------------------------------------


def test_the_root_mount(vfs, mp):
    assert vfs.rootvnode is mp.mnt_root
    assert vfs.mountlist == [mp]
    assert (mp.mnt_onto, mp.mnt_from, mp.mnt_flag) == (b"/", b"rumpfs", MNT_ROOTFS | MNT_LOCAL)
    assert mp.mnt_fsid == (0xAB01, makefstype(b"rumpfs")) == (0xAB01, 0x1A0AB)
    fails(errno.EINVAL, vfs.dounmount, mp, 0)


def test_the_first_tree(root):
    dev = root.lookup(b"dev")
    found = {
        path: (vp.getattr().fileid, vp.getattr().mode, vp.getattr().rdev)
        for path, vp in (
            ("/", root),
            ("dev", dev),
            ("tmp", root.lookup(b"tmp")),
            ("null", dev.lookup(b"null")),
            ("zero", dev.lookup(b"zero")),
        )
    }
    nodev = 2**64 - 1
    assert found == {
        "/": (3, 0o040755, nodev),
        "dev": (4, 0o040755, nodev),
        "tmp": (5, 0o041777, nodev),
        "null": (6, 0o020644, 514),
        "zero": (7, 0o020644, 524),
    }
    assert root.create(b"next", 0o100644, ROOT).getattr().fileid == 8


def test_a_second_mount(vfs, mp):
    body = vfs.types[b"rumpfs"].mount(vfs, MountArgs(None, MNT_RDONLY, None, 0x1000))
    assert next(body) == CopyInStr(0x1000, 1023)
    with pytest.raises(StopIteration) as stop:
        body.send(b"/mnt")
    second = stop.value.value
    assert (second.mnt_onto, second.mnt_from, second.mnt_flag) == (b"/mnt", b"rumpfs", MNT_RDONLY | MNT_LOCAL)
    assert second.mnt_root.getattr().fileid == 8
    assert listed(second.mnt_root) == []
    assert second.mnt_root.v_keys is None
    assert second.mnt_fsid != mp.mnt_fsid
    fails(errno.EROFS, second.mnt_root.access, VWRITE, ROOT)
    fails(errno.EROFS, second.mnt_root.setattr, SetAttr(mode=0), ROOT)


def test_pathconf(root):
    values = {1: 32767, 4: 255, 5: 1024, 6: 512, 7: 1, 8: 1, 10: 1, 11: 43, 12: 1024, 13: 1}
    assert {name: root.pathconf(name) for name in values} == values
    for name in (0, 2, 3, 9, 14, 99):
        fails(errno.EINVAL, root.pathconf, name)


# --- names --------------------------------------------------------------------------------------


def test_there_are_no_hard_links_and_no_renaming(root):
    vp = root.create(b"file", 0o100644, ROOT)
    fails(errno.EOPNOTSUPP, root.link, b"link", vp, ROOT)
    fails(errno.EOPNOTSUPP, root.rename, b"file", vp, root, b"new", None, ROOT)


def test_every_file_claims_a_device_of_its_own(root):
    va = root.create(b"file", 0o100644, ROOT).getattr()
    assert va.fsid == va.fileid
    assert (va.size, va.blocks, va.blocksize, va.nlink) == (0, 1, 512, 1)


def test_a_directory_has_two_links_whatever_is_in_it(root):
    for name in (b"a", b"b", b"c"):
        root.mkdir(name, 0o755, ROOT)
    va = root.getattr()
    assert (va.nlink, va.size) == (2, 512)


def test_the_youngest_is_listed_first(root):
    for name in (b"a", b"b"):
        root.create(name, 0o100644, ROOT)
    assert listed(root) == [b"b", b"a", b"tmp", b"dev"]
    assert listed(root, 24) == [b"b", b"a", b"tmp", b"dev"]
    assert root.readdir(0, 15) == (b"", 0)


def test_everything_is_removed_by_who_reads_and_removes_by_turns(root):
    d = root.mkdir(b"d", 0o755, ROOT)
    for number in range(100):
        d.create(b"%04d" % number, 0o100644, ROOT)
    offset = 0
    while True:
        data, offset = d.readdir(offset, 48)
        if not data:
            break
        for at in range(0, len(data), 24):
            name = data[at + 13 : at + 24].rstrip(b"\0")
            d.remove(name, d.lookup(name), ROOT)
    assert listed(d) == []


def test_dotdot_and_rmdir(root):
    a = root.mkdir(b"a", 0o755, ROOT)
    b = a.mkdir(b"b", 0o755, ROOT)
    assert (root.lookup(b".."), a.lookup(b".."), b.lookup(b"..")) == (root, root, a)
    fails(errno.ENOTEMPTY, root.rmdir, b"a", a, ROOT)
    a.rmdir(b"b", b, ROOT)
    assert b.lookup(b"..") is None
    for attempt in (
        lambda: b.create(b"x", 0o100644, ROOT),
        lambda: b.mkdir(b"x", 0o755, ROOT),
        lambda: b.symlink(b"x", 0o755, b"y", ROOT),
    ):
        fails(errno.ENOENT, attempt)
    root.rmdir(b"a", a, ROOT)
    assert root.lookup(b"a") is None


@pytest.mark.parametrize(
    ("mode", "vtype", "rdev"),
    [
        (0o060600, VBLK, 512),
        (0o020600, VCHR, 514),
        (0o010600, VFIFO, 2**64 - 1),
        (0o140600, VSOCK, 2**64 - 1),
    ],
)
def test_special_files(root, mode, vtype, rdev):
    vp = root.create(b"node", mode, ROOT, rdev)
    va = vp.getattr()
    assert (vp.v_type, va.mode, va.rdev, vp.rdev(), va.size) == (vtype, mode, rdev, rdev, 512)


def test_what_is_no_file_type_is_refused(root):
    for mode in (0o644, 0o040755):
        fails(errno.EINVAL, root.create, b"x", mode, ROOT)


# --- content ------------------------------------------------------------------------------------


def test_times_change_when_they_are_set_and_when_a_file_is_written(root):
    """NetBSD's tests/fs/vfs/t_mtime_write.c and t_mtime_otrunc.c want the latter of a rumpfs, too."""
    vp = root.create(b"file", 0o100644, ROOT)
    before = times(vp), times(root)
    vp.read(0, 1)
    vp.setattr(SetAttr(mode=0o600), ROOT)
    root.create(b"other", 0o100644, ROOT)
    assert (times(vp), times(root)) == before
    for change in (lambda: vp.write(0, b"x", 0, ROOT), lambda: vp.setattr(SetAttr(size=0), ROOT)):
        vp.setattr(SetAttr(mtime=(3, 4)), ROOT)
        change()
        access, modification, status, birth = (times(vp)[at : at + 2] for at in (0, 2, 4, 6))
        assert access == birth == before[0][:2]
        assert modification == status > before[0][:2]
    vp.setattr(SetAttr(atime=(1, 2), mtime=(3, 4), birthtime=(5, 6)), ROOT)
    assert times(vp)[:4] == (1, 2, 3, 4)
    assert times(vp)[6:] == (5, 6)


def test_writing_and_appending(vfs, root):
    vp = root.create(b"file", 0o100644, ROOT)
    assert vp.write(0, b"abc", 0, ROOT) == 3
    assert vp.write(0, b"def", IO_APPEND, ROOT) == 6
    assert bytes(vp.read(1, 100)) == b"bcdef"
    assert vp.getattr().size == vp.size() == 6
    assert vp.getattr().blocks == 1
    fails(errno.EFBIG, vp.write, 2**63 - 2, b"xy", 0, ROOT)
    fails(errno.EISDIR, root.read, 0, 1)
    fails(errno.EISDIR, root.setattr, SetAttr(size=0), ROOT)


def test_content_is_accounted_until_the_last_use(vfs, root):
    vp = root.create(b"file", 0o100644, ROOT)
    vref(vp)
    vp.write(0, bytes(100_000), 0, ROOT)
    used = vfs.memory.used
    assert used >= 100_000
    root.remove(b"file", vp, ROOT)
    assert vfs.memory.used == used
    vrele(vp)
    assert vfs.memory.used == 0
    vfs.memory.limit = 8192
    other = root.create(b"other", 0o100644, ROOT)
    fails(errno.ENOSPC, other.write, 0, bytes(10_000), 0, ROOT)
    other.write(0, bytes(8192), 0, ROOT)
    root.remove(b"other", other, ROOT)
    assert vfs.memory.used == 0


# --- permission ---------------------------------------------------------------------------------


def test_unmounting_gives_all_memory_back(vfs, mp, root):
    below = root.mkdir(b"d", 0o755, ROOT)
    for dvp in (root, below):
        dvp.create(b"f", 0o100644, ROOT).write(0, bytes(100_000), 0, ROOT)
    assert vfs.memory.used >= 200_000
    mp.unmount(0)
    assert vfs.memory.used == 0


def test_who_may_change_what(root):
    vp = root.create(b"file", 0o100644, USER)
    assert (vp.getattr().uid, vp.getattr().gid) == (1, 0)
    other = Cred(2, 2)
    for change in (SetAttr(mode=0), SetAttr(uid=2), SetAttr(flags=1), SetAttr(atime=(1, 1))):
        fails(errno.EPERM, vp.setattr, change, other)
    fails(errno.EPERM, vp.setattr, SetAttr(uid=2), USER)
    fails(errno.EPERM, vp.setattr, SetAttr(flags=0x20000), USER)
    fails(errno.EACCES, vp.setattr, SetAttr(mtime=(1, 1), touch=True), other)
    fails(errno.EACCES, vp.access, VWRITE, other)
    vp.access(VREAD, other)
    vp.setattr(SetAttr(mode=0o123, gid=1, flags=1, mtime=(1, 1)), USER)
    va = vp.getattr()
    assert (va.mode, va.uid, va.gid, va.flags, va.mtime) == (0o100123, 1, 1, 1, 1)
    vp.setattr(SetAttr(uid=1, gid=2), ROOT)
    assert vp.getattr().gid == 2
