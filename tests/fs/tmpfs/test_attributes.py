"""Attributes of tmpfs files: creation, times, who may change what, flags (netbsd_tests 5 and 7)."""

from __future__ import annotations

import pytest

from rumpfs.abi import errno
from rumpfs.abi.fcntl import FREAD, FWRITE, O_APPEND
from rumpfs.abi.limits import LINK_MAX, PC_FILESIZEBITS, PC_LINK_MAX, PC_NAME_MAX, PC_SYMLINK_MAX
from rumpfs.abi.mount import MNT_NOATIME, MNT_RDONLY, MNT_RELATIME
from rumpfs.abi.stat import STAT
from rumpfs.base.errors import VfsError
from rumpfs.vfs.cred import ROOT, VREAD, VWRITE, Cred
from rumpfs.vfs.vnode import VBLK, VCHR, VFIFO, VSOCK, SetAttr
from tests.fs.tmpfs.harness import USER, make, mount

UF_IMMUTABLE, UF_APPEND, SF_IMMUTABLE = 0x2, 0x4, 0x20000


def fails(number, call, *args):
    with pytest.raises(VfsError) as caught:
        call(*args)
    assert caught.value.errno == number


def times(vp):
    va = vp.getattr()
    return (
        (va.atime, va.atimensec),
        (va.mtime, va.mtimensec),
        (va.ctime, va.ctimensec),
        (va.birthtime, va.birthtimensec),
    )


# --- creation -----------------------------------------------------------------------------------


def test_owner_is_the_caller_and_group_is_the_directory_s(root):
    root.setattr(SetAttr(gid=42), ROOT)
    for vp in (
        root.create(b"file", 0o100640, USER),
        root.mkdir(b"dir", 0o640, USER),
        root.symlink(b"link", 0o640, b"x", USER),
        root.create(b"fifo", 0o010640, USER),
    ):
        va = vp.getattr()
        assert (va.uid, va.gid, va.mode & 0o7777) == (1, 42, 0o640)


@pytest.mark.parametrize(
    ("mode", "vtype", "rdev"),
    [
        (0o060644, VBLK, 512),
        (0o020644, VCHR, 514),
        (0o010644, VFIFO, 2**64 - 1),
        (0o140644, VSOCK, 2**64 - 1),
    ],
)
def test_special_files(root, mode, vtype, rdev):
    vp = root.create(b"node", mode, ROOT, rdev)
    va = vp.getattr()
    assert (vp.v_type, va.mode, va.rdev, vp.rdev()) == (vtype, mode, rdev, rdev)
    assert (va.nlink, va.size, va.blocks) == (1, 0, 0)


def test_what_is_no_file_type_is_refused(root):
    for mode in (0o644, 0o040755, 0o160644):
        fails(errno.EINVAL, root.create, b"x", mode, ROOT)
    assert root.lookup(b"x") is None


def test_inode_numbers_are_never_used_again(root):
    first = make(root, b"a").getattr().fileid
    root.remove(b"a", root.lookup(b"a"), ROOT)
    assert make(root, b"a").getattr().fileid == first + 1


def test_generation_is_hidden_from_stat(root):
    vp = make(root, b"a")
    assert vp.getattr().gen != 0
    assert STAT.unpack(vp.stat())[-1] == 0


def test_pathconf(root):
    values = {
        PC_LINK_MAX: LINK_MAX,
        PC_NAME_MAX: 255,
        5: 1024,
        6: 512,
        7: 1,
        8: 1,
        10: 1,
        PC_FILESIZEBITS: 64,
    }
    assert {name: root.pathconf(name) for name in values} == values
    for name in (2, 3, 9, PC_SYMLINK_MAX, 13, 14, 99):
        fails(errno.EINVAL, root.pathconf, name)


# --- times --------------------------------------------------------------------------------------


@pytest.mark.usefixtures("ticking")
class TestTimes:
    def test_a_new_file_has_one_time(self, root):
        vp = make(root, b"file")
        assert len(set(times(vp))) == 1
        assert times(root)[1] == times(root)[2] == times(vp)[3]

    def test_reading_changes_the_access_time_only(self, root):
        vp = make(root, b"file", b"x")
        before = times(vp)
        vp.read(0, 1)
        assert times(vp)[0] > before[0]
        assert times(vp)[1:] == before[1:]

    def test_reading_nothing_changes_nothing(self, root):
        vp = make(root, b"file", b"x")
        before = times(vp)
        vp.read(0, 0)
        assert times(vp) == before

    def test_writing_changes_modification_and_change_time(self, root):
        vp = make(root, b"file")
        before = times(vp)
        vp.write(0, b"x", 0, ROOT)
        after = times(vp)
        assert after[1] == after[2] > before[1]
        assert (after[0], after[3]) == (before[0], before[3])

    def test_writing_nothing_changes_nothing(self, root):
        vp = make(root, b"file", b"x")
        before = vp.stat()
        assert vp.write(5, b"", 0, ROOT) == 5
        assert vp.stat() == before

    def test_truncation_to_the_same_length_counts(self, root):
        vp = make(root, b"file")
        before = times(vp)
        vp.setattr(SetAttr(size=0), ROOT)
        assert times(vp)[1] == times(vp)[2] > before[2]

    def test_a_link_changes_the_change_time_only(self, root):
        vp = make(root, b"file")
        for act in (
            lambda: root.link(b"other", vp, ROOT),
            lambda: root.remove(b"other", vp, ROOT),
        ):
            before, directory = times(vp), times(root)
            act()
            assert times(vp)[2] > before[2]
            assert times(vp)[:2] == before[:2]
            assert times(root)[1] == times(root)[2] > directory[2]

    def test_renaming_changes_the_file_and_both_directories(self, root):
        vp = make(root, b"file")
        there = root.mkdir(b"there", 0o755, ROOT)
        before, here, target = times(vp), times(root), times(there)
        root.rename(b"file", vp, there, b"file", None, ROOT)
        assert times(vp)[2] > before[2]
        assert times(vp)[1] == before[1]
        assert times(root)[1] > here[1]
        assert times(there)[1] > target[1]

    def test_setting_times(self, root):
        vp = make(root, b"file")
        before = times(vp)
        vp.setattr(SetAttr(atime=(1, 2), mtime=(3, 999_999_999)), ROOT)
        after = times(vp)
        assert (after[0], after[1], after[3]) == ((1, 2), (3, 999_999_999), before[3])
        assert after[2] > before[2]

    def test_listing_a_directory_and_reading_a_link(self, root):
        link = root.symlink(b"link", 0o777, b"x", ROOT)
        for vp, act in ((root, lambda: root.readdir(0, 512)), (link, link.readlink)):
            before = times(vp)
            act()
            assert times(vp)[0] > before[0]
            assert times(vp)[1:] == before[1:]

    def test_noatime_and_read_only_mounts_keep_the_access_time(self):
        for flag in (MNT_NOATIME, MNT_RDONLY):
            mp = mount()
            vp = make(mp.mnt_root, b"file", b"x")
            mp.mnt_flag |= flag
            before = times(vp)
            vp.read(0, 1)
            assert times(vp) == before

    def test_relatime_notes_the_first_access_after_a_change(self):
        vp = make(mount(flags=MNT_RELATIME).mnt_root, b"file", b"x")
        vp.read(0, 1)
        first = times(vp)
        assert first[0] > first[1]
        vp.read(0, 1)
        assert times(vp) == first
        vp.write(0, b"y", 0, ROOT)
        vp.read(0, 1)
        assert times(vp)[0] > first[0]


# --- permission ---------------------------------------------------------------------------------


def test_only_the_owner_and_root_change_the_mode(root):
    vp = make(root, b"file", cred=USER)
    vp.setattr(SetAttr(mode=0o4123), USER)
    assert vp.getattr().mode == 0o104123
    fails(errno.EPERM, vp.setattr, SetAttr(mode=0), Cred(2, 2))
    vp.setattr(SetAttr(mode=0), ROOT)
    assert vp.getattr().mode == 0o100000


def test_bits_that_an_owner_may_not_set(root):
    vp = make(root, b"file", cred=USER)
    fails(errno.EFTYPE, vp.setattr, SetAttr(mode=0o1644), USER)
    fails(errno.EPERM, vp.setattr, SetAttr(mode=0o2644), USER)  # the group is the directory's: 0
    vp.setattr(SetAttr(mode=0o2644), Cred(1, 1, groups=(0,)))
    vp.setattr(SetAttr(mode=0o1644), ROOT)
    directory = root.mkdir(b"dir", 0o755, USER)
    directory.setattr(SetAttr(mode=0o1755), USER)


def test_only_root_gives_a_file_away(root):
    vp = make(root, b"file", cred=USER)
    fails(errno.EPERM, vp.setattr, SetAttr(uid=2), USER)
    fails(errno.EPERM, vp.setattr, SetAttr(gid=2), USER)
    fails(errno.EPERM, vp.setattr, SetAttr(uid=2), Cred(2, 2))
    vp.setattr(SetAttr(uid=1, gid=0), USER)
    vp.setattr(SetAttr(gid=1), USER)
    vp.setattr(SetAttr(gid=5), Cred(1, 1, groups=(4, 5)))
    vp.setattr(SetAttr(uid=1, gid=2), ROOT)
    va = vp.getattr()
    assert (va.uid, va.gid) == (1, 2)


def test_set_id_bits_go_when_others_than_root_change_the_file(root):
    vp = make(root, b"file", b"x", USER)
    for change, cred, left in (
        (lambda cred: vp.setattr(SetAttr(gid=1), cred), USER, 0),
        (lambda cred: vp.setattr(SetAttr(gid=1), cred), ROOT, 0o6000),
        (lambda cred: vp.write(0, b"y", 0, cred), USER, 0),
        (lambda cred: vp.write(0, b"y", 0, cred), ROOT, 0o6000),
    ):
        vp.setattr(SetAttr(mode=0o6755), ROOT)
        change(cred)
        assert vp.getattr().mode == 0o100755 | left


def test_times_of_somebody_else_s_file(root):
    vp = make(root, b"file", cred=USER)
    other = Cred(2, 2)
    touch = SetAttr(atime=(5, 5), mtime=(5, 5), touch=True)
    fails(errno.EPERM, vp.setattr, SetAttr(atime=(1, 1), mtime=(1, 1)), other)
    fails(errno.EACCES, vp.setattr, touch, other)
    vp.setattr(SetAttr(mode=0o646), USER)
    vp.setattr(touch, other)
    assert times(vp)[0] == times(vp)[1] == (5, 5)
    vp.setattr(SetAttr(birthtime=(4, 4)), USER)
    assert times(vp)[3] == (4, 4)


def test_access_goes_by_owner_group_and_others(root):
    vp = make(root, b"file", cred=USER)
    vp.setattr(SetAttr(mode=0o640), ROOT)
    vp.access(VREAD | VWRITE, USER)
    vp.access(VREAD, Cred(3, 0))
    fails(errno.EACCES, vp.access, VWRITE, Cred(3, 0))
    fails(errno.EACCES, vp.access, VREAD, Cred(3, 3))
    vp.access(VREAD | VWRITE, ROOT)


def test_a_read_only_mount_refuses_changes():
    mp = mount()
    root = mp.mnt_root
    vp, fifo = make(root, b"file", b"x"), root.create(b"fifo", 0o010644, ROOT)
    mp.mnt_flag |= MNT_RDONLY
    for change in (SetAttr(mode=0), SetAttr(uid=1), SetAttr(size=0), SetAttr(flags=1), SetAttr(atime=(1, 1))):
        fails(errno.EROFS, vp.setattr, change, ROOT)
    fails(errno.EROFS, vp.access, VWRITE, ROOT)
    fails(errno.EROFS, root.access, VWRITE, ROOT)
    vp.access(VREAD, ROOT)
    fifo.access(VWRITE, ROOT)
    assert bytes(vp.read(0, 9)) == b"x"


def test_only_regular_files_have_a_length_to_set(root):
    fails(errno.EISDIR, root.setattr, SetAttr(size=0), ROOT)
    fails(errno.EOPNOTSUPP, root.symlink(b"l", 0o777, b"x", ROOT).setattr, SetAttr(size=0), ROOT)
    fifo = root.create(b"fifo", 0o010644, ROOT)
    fifo.setattr(SetAttr(size=5), ROOT)
    assert fifo.getattr().size == 0


# --- flags --------------------------------------------------------------------------------------


def test_who_may_change_flags(root):
    vp = make(root, b"file", cred=USER)
    vp.setattr(SetAttr(flags=1), USER)
    fails(errno.EPERM, vp.setattr, SetAttr(flags=1), Cred(2, 2))
    fails(errno.EPERM, vp.setattr, SetAttr(flags=SF_IMMUTABLE), USER)
    vp.setattr(SetAttr(flags=SF_IMMUTABLE | 1), ROOT)
    fails(errno.EPERM, vp.setattr, SetAttr(flags=1), USER)
    assert vp.getattr().flags == SF_IMMUTABLE | 1
    device = root.create(b"dev", 0o020644, USER, 514)
    fails(errno.EPERM, device.setattr, SetAttr(flags=1), USER)
    device.setattr(SetAttr(flags=1), ROOT)


@pytest.mark.parametrize("flag", [UF_IMMUTABLE, SF_IMMUTABLE, UF_APPEND])
def test_a_flagged_file_cannot_be_changed_or_lose_its_name(root, flag):
    vp = make(root, b"file", b"x")
    other = make(root, b"other")
    vp.setattr(SetAttr(flags=flag), ROOT)
    for change in (SetAttr(mode=0), SetAttr(uid=1), SetAttr(size=0), SetAttr(mtime=(1, 1))):
        fails(errno.EPERM, vp.setattr, change, ROOT)
    fails(errno.EPERM, root.remove, b"file", vp, ROOT)
    fails(errno.EPERM, root.link, b"link", vp, ROOT)
    fails(errno.EPERM, root.rename, b"file", vp, root, b"new", None, ROOT)
    fails(errno.EPERM, root.rename, b"other", other, root, b"file", vp, ROOT)
    assert vp.getattr().nlink == 1
    vp.setattr(SetAttr(flags=0), ROOT)
    root.remove(b"file", vp, ROOT)


def test_what_is_immutable_is_not_written_and_what_is_append_only_is_appended_to(root):
    vp = make(root, b"file")
    vp.setattr(SetAttr(flags=UF_IMMUTABLE), ROOT)
    fails(errno.EPERM, vp.access, VWRITE, ROOT)
    vp.access(VREAD, ROOT)
    vp.setattr(SetAttr(flags=UF_APPEND), ROOT)
    vp.access(VWRITE, ROOT)
    fails(errno.EPERM, vp.open, FREAD | FWRITE, ROOT)
    vp.open(FWRITE | O_APPEND, ROOT)
    vp.open(FREAD, ROOT)


def test_flagged_directories(root):
    d = root.mkdir(b"d", 0o755, ROOT)
    vp = make(d, b"file")
    empty = d.mkdir(b"empty", 0o755, ROOT)
    d.setattr(SetAttr(flags=UF_APPEND), ROOT)
    fails(errno.EPERM, d.remove, b"file", vp, ROOT)
    fails(errno.EPERM, d.rmdir, b"empty", empty, ROOT)
    fails(errno.EPERM, d.rename, b"file", vp, root, b"file", None, ROOT)
    make(d, b"new")
    outside = make(root, b"outside")
    root.rename(b"outside", outside, d, b"outside", None, ROOT)
    replacing = make(root, b"replacing")
    fails(errno.EPERM, root.rename, b"replacing", replacing, d, b"file", vp, ROOT)
    d.setattr(SetAttr(flags=UF_IMMUTABLE), ROOT)
    fails(errno.EPERM, d.access, VWRITE, ROOT)
    fails(errno.EPERM, root.rename, b"replacing", replacing, d, b"x", None, ROOT)
