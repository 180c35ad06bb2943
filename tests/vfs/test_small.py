"""The parts that namei and the file systems stand on: listings, the name cache, permission, devices."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis import given

from rumpfs.abi.fcntl import FREAD, FWRITE
from rumpfs.abi.stat import S_IFBLK, S_IFCHR, S_IFDIR, S_IFREG, makedev
from rumpfs.base.memory import Memory
from rumpfs.vfs.ancestors import MAXDEPTH, ancestors, below
from rumpfs.vfs.cred import ROOT, VEXEC, VREAD, VWRITE, Cred, vaccess
from rumpfs.vfs.dirent import Listing
from rumpfs.vfs.genfs import can_chflags, can_chmod, can_chown
from rumpfs.vfs.namecache import ENTRY, NameCache
from rumpfs.vfs.specfs import Device, Devsw, Disk
from rumpfs.vfs.vnode import VBLK, VCHR, VDIR, VREG, type_of, vref, vrele
from tests.fs.tmpfs.harness import entries
from tests.vfs.harness import USER, World, errno_of

# --- listings ------------------------------------------------------------------------------------------

names = st.lists(st.binary(min_size=1, max_size=60), max_size=30)


@given(names, st.integers(1, 7), st.integers(0, 700))
def test_a_listing_read_in_pieces(found: list[bytes], step: int, room: int) -> None:
    cookies = [number * step for number in range(len(found))]
    listing = Listing((cookie, 100 + cookie, 8, name) for cookie, name in zip(cookies, found, strict=True))
    count = max(room, 80)  # the longest entry here has 80 bytes
    got = []
    offset = 0
    while True:
        data, following = listing.read(offset, count)
        assert len(data) <= count
        if not data:
            break
        assert following > offset
        got += entries(data)
        offset = following
    assert got == [(100 + cookie, 8, name) for cookie, name in zip(cookies, found, strict=True)]


def test_a_listing_without_room_for_an_entry() -> None:
    listing = Listing([(5, 1, 8, b"name")])
    assert listing.read(0, 23) == (b"", 0)
    assert listing.read(0, 24)[1] == 6
    assert listing.read(6, 100) == (b"", 6)
    assert listing.read(1 << 62, 100) == (b"", 1 << 62)


# --- the name cache -------------------------------------------------------------------------------------


def test_the_name_cache() -> None:
    world = World()
    memory = Memory()
    cache = NameCache(memory)
    root, other = world.vfs.rootvnode, world.make(b"/f")
    unknown = object()
    assert cache.get((root, b"f"), unknown) is unknown
    cache.enter(root, b"f", other)
    cache.enter(root, b"gone", None)
    assert cache.get((root, b"f"), unknown) is other
    assert cache.get((root, b"gone"), unknown) is None
    assert memory.used == 2 * ENTRY + 5
    cache.enter(root, b"f", None)
    assert memory.used == 2 * ENTRY + 5
    cache.purge(root, b"f")
    cache.purge(root, b"f")
    assert cache.get((root, b"f"), unknown) is unknown
    assert memory.used == ENTRY + 4


def test_the_name_cache_forgets_a_mount_as_a_whole() -> None:
    world = World()
    world.mkdir(b"/m")
    mp = world.mount(b"/m")
    cache = NameCache(Memory())
    cache.enter(world.vfs.rootvnode, b"x", None)
    for number in range(10):
        cache.enter(mp.mnt_root, b"%d" % number, None)
    cache.purge_mount(mp)
    assert len(cache) == 1


def test_the_name_cache_gives_way_to_memory() -> None:
    memory = Memory(10 * (ENTRY + 2))
    cache = NameCache(memory)
    root = World().vfs.rootvnode
    for number in range(10, 30):
        cache.enter(root, b"%d" % number, None)
    assert len(cache) == 10
    assert cache.get((root, b"29"), 1) is None  # the oldest went
    memory.charge(memory.limit or 0)
    assert len(cache) == 0


# --- permission -----------------------------------------------------------------------------------------


@given(
    st.integers(0, 0o777), st.sampled_from([S_IFREG, S_IFDIR]), st.integers(0, 2), st.integers(0, 2),
    st.integers(0, 7), st.integers(0, 2), st.integers(0, 2), st.lists(st.integers(0, 2), max_size=2),
)  # fmt: skip
def test_vaccess(
    bits: int, kind: int, uid: int, gid: int, want: int, euid: int, egid: int, groups: list[int]
) -> None:
    cred = Cred(euid, egid, groups=tuple(groups))
    if euid == 0:  # all, but executing what nobody may
        granted = kind == S_IFDIR or not want & VEXEC or bool(bits & 0o111)
    elif euid == uid:  # the owner's bits, even when others have more
        granted = bits >> 6 & want == want
    elif gid == egid or gid in groups:
        granted = bits >> 3 & want == want
    else:
        granted = bits & want == want
    result = errno_of(lambda: vaccess(kind | bits, uid, gid, want, cred))
    assert result == ("ok" if granted else "EACCES")


def test_the_bits_of_a_permission() -> None:
    assert (VREAD, VWRITE, VEXEC) == (4, 2, 1)


def test_who_may_change_attributes() -> None:
    member = Cred(1, 1, groups=(5,))
    assert errno_of(lambda: can_chmod(VREG, ROOT, 9, 9, 0o7777)) == "ok"
    assert errno_of(lambda: can_chmod(VREG, USER, 9, 9, 0o644)) == "EPERM"
    assert errno_of(lambda: can_chmod(VREG, USER, 1, 9, 0o1644)) == "EFTYPE"
    assert errno_of(lambda: can_chmod(VDIR, USER, 1, 9, 0o1755)) == "ok"
    assert errno_of(lambda: can_chmod(VREG, USER, 1, 9, 0o2755)) == "EPERM"
    assert errno_of(lambda: can_chmod(VREG, member, 1, 5, 0o2755)) == "ok"
    assert errno_of(lambda: can_chown(member, 1, 9, 1, 5)) == "ok"
    assert errno_of(lambda: can_chown(member, 1, 9, 1, 6)) == "EPERM"
    assert errno_of(lambda: can_chown(member, 1, 9, 2, 9)) == "EPERM"
    assert errno_of(lambda: can_chown(member, 2, 5, 2, 5)) == "EPERM"
    assert errno_of(lambda: can_chflags(VREG, USER, 1, system=False)) == "ok"
    assert errno_of(lambda: can_chflags(VREG, USER, 1, system=True)) == "EPERM"
    assert errno_of(lambda: can_chflags(VCHR, USER, 1, system=False)) == "EPERM"


# --- devices ----------------------------------------------------------------------------------------------


def test_the_device_switch() -> None:
    world = World()
    asked: list[tuple[int, int, int]] = []

    def driver(minor: int, vtype: int, flags: int) -> Device:
        asked.append((minor, vtype, flags))
        return Disk() if vtype == VBLK else Device()

    devsw = Devsw()
    devsw.attach(VBLK, 7, driver)
    devsw.attach(VCHR, 7, driver)
    root = world.vfs.rootvnode
    block = root.create(b"b", S_IFBLK | 0o600, ROOT, makedev(7, 300))
    character = root.create(b"c", S_IFCHR | 0o600, ROOT, makedev(7, 2))
    other = root.create(b"o", S_IFBLK | 0o600, ROOT, makedev(8, 0))
    device = devsw.open(block, FREAD)
    devsw.open(character, FREAD | FWRITE)
    assert asked == [(300, VBLK, FREAD), (2, VCHR, FREAD | FWRITE)]
    assert errno_of(lambda: devsw.open(other, FREAD)) == "ENXIO"
    again = root.create(b"again", S_IFBLK | 0o600, ROOT, makedev(7, 300))
    assert errno_of(lambda: devsw.open(again, FREAD)) == "EBUSY"
    device.close()
    assert isinstance(devsw.open_disk(again, FREAD), Disk)
    assert errno_of(lambda: devsw.open_disk(block, FREAD)) == "EBUSY"
    devsw.open(character, FREAD)
    assert errno_of(lambda: devsw.open_disk(character, FREAD)) == "ENOTBLK"
    assert errno_of(lambda: devsw.open_disk(world.make(b"/f"), FREAD)) == "ENOTBLK"


def test_what_a_device_cannot_do() -> None:
    device = Device()
    assert errno_of(lambda: device.read(0, 1)) == "ENODEV"
    assert errno_of(lambda: device.write(0, b"x")) == "ENODEV"
    assert errno_of(lambda: device.ioctl(0x40046401, b"")) == "ENOTTY"


# --- ancestors, mounts -------------------------------------------------------------------------------------


def test_ancestors_cross_mounts() -> None:
    world = World()
    covered = world.mkdir(b"/a")
    mp = world.mount(b"/a")
    b = world.mkdir(b"/a/b")
    assert list(ancestors(b)) == [b, mp.mnt_root, covered, world.vfs.rootvnode]
    assert below(b, covered)
    assert below(b, b)
    assert not below(covered, mp.mnt_root)


def test_a_removed_directory_is_below_nothing_but_itself() -> None:
    world = World()
    d = world.mkdir(b"/d")
    world.vfs.rootvnode.rmdir(b"d", d, ROOT)
    assert list(ancestors(d)) == [d]


def test_a_circle_of_directories_ends() -> None:
    world = World()
    world.mkdir(b"/m")
    world.mount(b"/m")
    first, second = world.mkdir(b"/m/1"), world.mkdir(b"/m/2")
    first.tn_parent, second.tn_parent = second, first  # type: ignore[attr-defined]
    assert len(list(ancestors(first))) == MAXDEPTH
    assert not below(first, world.vfs.rootvnode)


def test_types_and_modes() -> None:
    assert type_of(S_IFREG | 0o644) == VREG
    assert type_of(S_IFDIR) == VDIR
    assert type_of(0o644) == 0


def test_use_counts() -> None:
    world = World()
    world.mkdir(b"/m")
    mp = world.mount(b"/m")
    vp = world.make(b"/m/f")
    vref(vp)
    vref(vp)
    assert (vp.v_usecount, mp.mnt_busy) == (2, 2)
    vrele(vp)
    assert errno_of(lambda: world.vfs.dounmount(mp, 0)) == "EBUSY"
    vrele(vp)
    world.vfs.dounmount(mp, 0)
    assert world.find(b"/m").v_mountedhere is None


@pytest.mark.parametrize("stop", [0, 1, 2])
def test_everything_is_unmounted_although_one_does_not_go(stop: int) -> None:
    world = World()
    mounts = []
    for number in range(3):
        world.mkdir(b"/%d" % number)
        mounts.append(world.mount(b"/%d" % number))
    stubborn = mounts[stop]
    world.vfs.mountlist.append(stubborn)  # it is met twice, and the second time it is not there
    assert errno_of(world.vfs.unmount_all) == "EINVAL"
    assert [mp for mp in mounts if mp in world.vfs.mountlist] == [stubborn]


def test_types_come_and_go() -> None:
    vfs = World().vfs
    assert errno_of(lambda: vfs.attach(vfs.types[b"tmpfs"])) == "EEXIST"
    assert errno_of(lambda: vfs.detach(b"rumpfs")) == "EBUSY"
    assert errno_of(lambda: vfs.detach(b"nofs")) == "ENOENT"
    vfs.detach(b"tmpfs")
    assert b"tmpfs" not in vfs.types
