"""Mounting tmpfs: arguments, limits, statvfs, and the end (netbsd_abi 7, NetBSD t_mount.sh, t_statvfs.sh)."""

from __future__ import annotations

import pytest

from rumpfs.abi import errno
from rumpfs.abi.mount import MNT_FORCE, MNT_LOCAL, MNT_NOATIME, MNT_RDONLY, makefstype
from rumpfs.abi.stat import S_IFDIR, STATVFS
from rumpfs.base.copy import CopyInStr
from rumpfs.base.errors import VfsError
from rumpfs.base.memory import Memory
from rumpfs.fs.tmpfs.component import COMPONENT
from rumpfs.fs.tmpfs.vfsops import TmpfsOps
from rumpfs.vfs.cred import ROOT
from rumpfs.vfs.mount import MountArgs, Vfs
from rumpfs.vfs.vnode import vref, vrele
from tests.fs.tmpfs.harness import PATH, arguments, content, drive, make, mount, names, root_of

MEGABYTE = 1 << 20


def test_only_the_name_of_the_mount_point_is_copied_in():
    asked, mp = drive(TmpfsOps().mount(Vfs(Memory()), MountArgs(None, 0, arguments(), PATH)), b"//tmp")
    assert asked == [CopyInStr(PATH, 1023)]
    assert (mp.mnt_onto, mp.mnt_from) == (b"//tmp", b"tmpfs")


@pytest.mark.parametrize(
    "data",
    [
        None,
        b"",
        arguments()[:-1],
        arguments(version=0),
        arguments(version=2),
        arguments(uid=0xFFFFFFFF),
        arguments(gid=0xFFFFFFFF),
    ],
)
def test_wrong_arguments_are_refused_before_anything_is_copied_in(data):
    memory = Memory()
    with pytest.raises(VfsError) as caught:
        next(TmpfsOps().mount(Vfs(memory), MountArgs(None, 0, data, PATH)))
    assert caught.value.errno == errno.EINVAL
    assert memory.used == 0


def test_longer_arguments_are_accepted():
    body = TmpfsOps().mount(Vfs(Memory()), MountArgs(None, 0, arguments(mode=0o755) + bytes(24), PATH))
    _, mp = drive(body, b"/tmp")
    assert mp.mnt_root.getattr().mode == S_IFDIR | 0o755


def test_a_mount_that_ends_early_takes_no_memory():
    memory = Memory()
    for fault in (True, False):
        body = TmpfsOps().mount(Vfs(memory), MountArgs(None, 0, arguments(), PATH))
        next(body)
        assert memory.used > 0
        if fault:
            with pytest.raises(VfsError, match="EFAULT"):
                body.throw(VfsError(errno.EFAULT))
        else:
            body.close()
        assert memory.used == 0


def test_root_attributes_are_the_arguments():
    va = mount(uid=7, gid=8, mode=0o170750).mnt_root.getattr()
    assert (va.uid, va.gid, va.mode, va.nlink, va.fileid) == (7, 8, S_IFDIR | 0o750, 2, 2)
    assert (va.size, va.blocks, va.blocksize) == (0, 0, 4096)


def test_flags():
    mp = mount(flags=MNT_RDONLY | MNT_NOATIME | MNT_FORCE)
    assert mp.mnt_flag == MNT_RDONLY | MNT_NOATIME | MNT_LOCAL


def test_the_first_mount_of_a_kernel_has_the_recorded_file_system_id():
    assert mount().mnt_fsid == (0xAB01, 0x69AB)
    assert makefstype(b"tmpfs") == 0x69AB


def test_statvfs_of_a_limited_file_system():
    st = mount(size=10 * MEGABYTE).statvfs()
    assert st.bsize == st.frsize == st.iosize == 4096
    assert abs(st.blocks * st.bsize - 10 * MEGABYTE) <= 4096
    assert st.bfree == st.bavail == st.blocks - 1
    assert st.files == 3 + 10 * 1024
    assert st.ffree == st.favail == st.files - 1


def test_statvfs_is_packed_with_names_and_identity():
    vfs = Vfs(Memory())
    mp = mount(vfs, flags=MNT_RDONLY)
    fields = STATVFS.unpack(mp.pack_statvfs())
    assert fields[0] == MNT_RDONLY | MNT_LOCAL
    assert fields[18] == 255
    assert [field.rstrip(b"\0") for field in fields[-3:]] == [b"tmpfs", b"/tmp", b"tmpfs"]


def test_statvfs_follows_what_is_used():
    mp = mount(size=10 * MEGABYTE)
    before = mp.statvfs()
    make(mp.mnt_root, b"file", bytes(MEGABYTE))
    after = mp.statvfs()
    assert before.bfree - after.bfree == 256
    assert before.ffree - after.ffree == 1
    assert (before.blocks, before.files) == (after.blocks, after.files)


@pytest.mark.parametrize("size", [0, 4095, 2**64 - 10, 2**63])
def test_small_and_negative_sizes_mean_no_limit(size):
    st = mount(size=size).statvfs()
    assert (st.blocks, st.bfree) == (131073, 131072)


def test_the_largest_size_is_accepted():
    assert mount(size=2**63 - 1).statvfs().bfree == 131072


def test_the_memory_limit_of_the_kernel_shows():
    mp = mount(Vfs(Memory(16 * MEGABYTE)))
    assert mp.statvfs().blocks == 16 * 256
    make(mp.mnt_root, b"file", bytes(MEGABYTE))
    assert mp.statvfs().bfree == 15 * 256 - 1


def test_nodes_max_bounds_the_number_of_files():
    mp = mount(nodes=5)
    for name in (b"a", b"b", b"c", b"d"):
        make(mp.mnt_root, name)
    assert mp.statvfs().ffree == 0
    for attempt in (
        lambda: mp.mnt_root.create(b"e", 0o100644, ROOT),
        lambda: mp.mnt_root.mkdir(b"e", 0o755, ROOT),
        lambda: mp.mnt_root.symlink(b"e", 0o755, b"a", ROOT),
    ):
        with pytest.raises(VfsError) as caught:
            attempt()
        assert caught.value.errno == errno.ENOSPC
    assert names(mp.mnt_root) == [b".", b"..", b"a", b"b", b"c", b"d"]
    mp.mnt_root.link(b"e", mp.mnt_root.lookup(b"a"), ROOT)
    mp.mnt_root.remove(b"b", mp.mnt_root.lookup(b"b"), ROOT)
    make(mp.mnt_root, b"f")


@pytest.mark.parametrize(("nodes", "files"), [(3, 3 + 1024), (4, 4), (0, 3 + 1024)])
def test_number_of_nodes(nodes, files):
    assert mount(size=MEGABYTE, nodes=nodes).statvfs().files == files


def test_unmount_gives_all_memory_back():
    memory = Memory()
    mp = mount(Vfs(memory))
    make(mp.mnt_root, b"file", bytes(100_000))
    below = mp.mnt_root.mkdir(b"dir", 0o755, ROOT)
    make(below, b"other", b"x")
    below.link(b"again", mp.mnt_root.lookup(b"file"), ROOT)
    below.symlink(b"link", 0o777, b"x" * 100, ROOT)
    mp.unmount(0)
    assert memory.used == 0


def test_a_file_that_a_forced_unmount_leaves_open_is_empty_and_stays_so():
    memory = Memory()
    mp = mount(Vfs(memory))
    root = root_of(mp)
    kept = make(root, b"kept", bytes(100_000))
    orphan = make(root, b"orphan", bytes(100_000))
    cwd = root.mkdir(b"cwd", 0o755, ROOT)
    for vp in (kept, orphan, cwd):
        vref(vp)
    root.remove(b"orphan", orphan, ROOT)
    mp.unmount(MNT_FORCE)
    assert memory.used == 0
    assert content(kept) == b""
    for vp in (kept, orphan):
        with pytest.raises(VfsError) as caught:
            vp.write(1 << 20, b"x", 0, ROOT)
        assert caught.value.errno == errno.EIO
    with pytest.raises(VfsError) as caught:
        cwd.create(b"new", 0o100644, ROOT)
    assert caught.value.errno == errno.ENOENT
    for vp in (kept, orphan, cwd):
        vrele(vp)
    assert memory.used == 0


def test_the_component_enters_the_type():
    class Kernel:
        vfs = Vfs(Memory())

    COMPONENT.init(Kernel)
    assert COMPONENT.name == "rumpfs_tmpfs"
    assert Kernel.vfs.types[b"tmpfs"].args_size == 40
