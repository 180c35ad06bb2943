"""Names in tmpfs: directories, links, renaming, listing (NetBSD tests/fs/tmpfs)."""

from __future__ import annotations

import pytest

from rumpfs.abi import errno
from rumpfs.abi.limits import LINK_MAX
from rumpfs.base.errors import VfsError
from rumpfs.base.memory import Memory
from rumpfs.vfs.cred import ROOT
from rumpfs.vfs.mount import Vfs
from rumpfs.vfs.vnode import SetAttr, vref, vrele
from tests.fs.tmpfs.harness import USER, content, entries, make, mount, names


def fails(number, call, *args):
    with pytest.raises(VfsError) as caught:
        call(*args)
    assert caught.value.errno == number


def mkdir(dvp, name):
    return dvp.mkdir(name, 0o755, ROOT)


# --- making and removing ------------------------------------------------------------------------


def test_link_counts_of_directories(root):
    assert root.getattr().nlink == 2
    a = mkdir(root, b"a")
    mkdir(root, b"b")
    assert (root.getattr().nlink, a.getattr().nlink) == (4, 2)
    make(a, b"file")
    assert a.getattr().nlink == 2
    root.rmdir(b"b", root.lookup(b"b"), ROOT)
    assert root.getattr().nlink == 3


def test_size_of_a_directory_is_48_bytes_an_entry(root):
    assert (root.getattr().size, root.getattr().blocks) == (0, 0)
    make(root, b"a")
    mkdir(root, b"b")
    assert (root.getattr().size, root.getattr().blocks) == (96, 8)


def test_dotdot(root):
    a = mkdir(root, b"a")
    b = mkdir(a, b"b")
    assert b.lookup(b"..") is a
    assert a.lookup(b"..") is root
    assert root.lookup(b"..") is root


def test_rmdir(root):
    a = mkdir(root, b"a")
    vp = make(a, b"file")
    fails(errno.ENOTEMPTY, root.rmdir, b"a", a, ROOT)
    a.remove(b"file", vp, ROOT)
    root.rmdir(b"a", a, ROOT)
    assert root.lookup(b"a") is None


def test_a_removed_directory_is_empty_and_stays_so(root):
    a = mkdir(root, b"a")
    vref(a)
    kept = make(root, b"kept")
    root.rmdir(b"a", a, ROOT)
    assert a.lookup(b"..") is None
    assert a.readdir(0, 512) == (b"", 0)
    assert a.getattr().nlink == 0
    for attempt in (
        lambda: a.create(b"x", 0o100644, ROOT),
        lambda: a.mkdir(b"x", 0o755, ROOT),
        lambda: a.symlink(b"x", 0o755, b"y", ROOT),
        lambda: a.link(b"x", kept, ROOT),
        lambda: root.rename(b"kept", kept, a, b"x", None, ROOT),
    ):
        fails(errno.ENOENT, attempt)
    vrele(a)
    assert root.lookup(b"kept") is kept


def test_hard_links(root):
    vp = make(root, b"a", b"text")
    d = mkdir(root, b"d")
    d.link(b"b", vp, ROOT)
    assert d.lookup(b"b") is vp
    assert vp.getattr().nlink == 2
    root.remove(b"a", vp, ROOT)
    assert vp.getattr().nlink == 1
    assert content(vp) == b"text"


def test_a_file_has_at_most_32767_links(root):
    vp = make(root, b"file")
    for number in range(LINK_MAX - 1):
        root.link(b"%d" % number, vp, ROOT)
    fails(errno.EMLINK, root.link, b"one too many", vp, ROOT)
    assert vp.getattr().nlink == LINK_MAX


def test_a_directory_has_at_most_32765_subdirectories(root):
    for number in range(LINK_MAX - 2):
        mkdir(root, b"%d" % number)
    fails(errno.EMLINK, mkdir, root, b"one too many")
    other = mkdir(root.lookup(b"0"), b"other")
    fails(errno.EMLINK, root.lookup(b"0").rename, b"other", other, root, b"other", None, ROOT)
    root.lookup(b"0").rename(b"other", other, root, b"1", root.lookup(b"1"), ROOT)
    assert root.getattr().nlink == LINK_MAX


def test_symlinks(root):
    vp = root.symlink(b"link", 0o755, b"some/where", ROOT)
    assert vp.readlink() == b"some/where"
    assert (vp.getattr().mode, vp.getattr().size) == (0o120755, 10)
    empty = root.symlink(b"empty", 0o755, b"", ROOT)
    assert (empty.readlink(), empty.getattr().blocks) == (b"", 0)
    fails(errno.EINVAL, make(root, b"file").readlink)


def test_an_unlinked_file_lives_until_its_last_use(root):
    memory = root.v_mount.statvfs
    before = memory()
    vp = make(root, b"file", b"x" * 10_000)
    vref(vp)
    vref(vp)
    root.remove(b"file", vp, ROOT)
    assert root.lookup(b"file") is None
    assert vp.getattr().nlink == 0
    vp.write(654_321, b"y", 0, ROOT)
    vrele(vp)
    assert bytes(vp.read(654_321, 10)) == b"y"
    assert memory() != before
    vrele(vp)
    assert memory() == before


def test_a_file_that_is_used_again_after_its_end_is_freed_only_once(root):
    vp = make(root, b"file")
    before = root.v_mount.statvfs()
    root.remove(b"file", vp, ROOT)
    freed = root.v_mount.statvfs()
    vref(vp)
    vrele(vp)
    assert root.v_mount.statvfs() == freed != before


# --- renaming -----------------------------------------------------------------------------------


def test_rename_of_a_file(root):
    vp = make(root, b"a", b"text")
    ino = vp.getattr().fileid
    root.rename(b"a", vp, root, b"b", None, ROOT)
    assert names(root) == [b".", b"..", b"b"]
    assert root.lookup(b"b").getattr().fileid == ino


def test_rename_over_a_file(root):
    d = mkdir(root, b"d")
    vp, old = make(root, b"a", b"new"), make(d, b"b", b"old")
    before = root.v_mount.tm_nodes_cnt
    root.rename(b"a", vp, d, b"b", old, ROOT)
    assert root.lookup(b"a") is None
    assert content(d.lookup(b"b")) == b"new"
    assert old.getattr().nlink == 0
    assert root.v_mount.tm_nodes_cnt == before - 1


def test_a_directory_that_moves_takes_its_dotdot_along(root):
    a, b = mkdir(root, b"a"), mkdir(root, b"b")
    c = mkdir(a, b"c")
    assert [vp.getattr().nlink for vp in (root, a, b)] == [4, 3, 2]
    assert [entry[0] for entry in entries(c.readdir(0, 512)[0])] == [c.getattr().fileid, a.getattr().fileid]
    a.rename(b"c", c, b, b"c", None, ROOT)
    assert [vp.getattr().nlink for vp in (root, a, b)] == [4, 2, 3]
    assert c.lookup(b"..") is b
    assert [entry[0] for entry in entries(c.readdir(0, 512)[0])] == [c.getattr().fileid, b.getattr().fileid]


def test_rename_over_an_empty_directory(root):
    a, b = mkdir(root, b"a"), mkdir(root, b"b")
    inside = make(a, b"file")
    target = mkdir(b, b"a")
    root.rename(b"a", a, b, b"a", target, ROOT)
    assert [vp.getattr().nlink for vp in (root, a, b, target)] == [3, 2, 3, 0]
    assert b.lookup(b"a") is a
    assert a.lookup(b"file") is inside
    assert a.lookup(b"..") is b


def test_rename_over_an_empty_directory_beside_it(root):
    a, b = mkdir(root, b"a"), mkdir(root, b"b")
    root.rename(b"a", a, root, b"b", b, ROOT)
    assert root.getattr().nlink == 3
    assert names(root) == [b".", b"..", b"b"]
    assert root.lookup(b"b") is a


def test_rename_over_a_full_directory(root):
    a, b = mkdir(root, b"a"), mkdir(root, b"b")
    make(b, b"file")
    fails(errno.ENOTEMPTY, root.rename, b"a", a, root, b"b", b, ROOT)
    assert names(root) == [b".", b"..", b"a", b"b"]


def test_a_directory_that_may_not_be_written_does_not_get_another_parent(root):
    a = mkdir(root, b"a")
    there = root.mkdir(b"there", 0o777, USER)
    fails(errno.EACCES, root.rename, b"a", a, there, b"a", None, USER)
    root.rename(b"a", a, root, b"b", None, USER)
    root.rename(b"b", a, there, b"a", None, ROOT)
    assert there.lookup(b"a") is a


# --- listing ------------------------------------------------------------------------------------


def test_all_types_are_listed(root):
    made = {
        b"reg": make(root, b"reg"),
        b"dir": mkdir(root, b"dir"),
        b"lnk": root.symlink(b"lnk", 0o777, b"x", ROOT),
        b"fifo": root.create(b"fifo", 0o010644, ROOT),
        b"sock": root.create(b"sock", 0o140644, ROOT),
        b"blk": root.create(b"blk", 0o060644, ROOT, 512),
        b"chr": root.create(b"chr", 0o020644, ROOT, 514),
    }
    types = {b"reg": 8, b"dir": 4, b"lnk": 10, b"fifo": 1, b"sock": 12, b"blk": 6, b"chr": 2}
    listed = entries(root.readdir(0, 4096)[0])
    assert listed[:2] == [(2, 4, b"."), (2, 4, b"..")]
    assert listed[2:] == [(made[name].getattr().fileid, types[name], name) for name in made]


@pytest.mark.parametrize("count", [24, 40, 100, 512, 8192, 65536])
def test_a_directory_is_listed_whole_whatever_the_buffer(root, count):
    wanted = [b"%d" % number for number in range(500)]
    for name in wanted:
        make(root, name)
    for _ in range(2):
        assert names(root, count) == [b".", b"..", *wanted]


def test_a_buffer_too_small_for_an_entry_gives_nothing(root):
    make(root, b"a" * 255)
    assert root.readdir(0, 15) == (b"", 0)
    data, offset = root.readdir(0, 100)
    assert [name for _, _, name in entries(data)] == [b".", b".."]
    assert root.readdir(offset, 271) == (b"", offset)
    assert len(root.readdir(offset, 272)[0]) == 272


def test_an_offset_behind_the_end_gives_nothing(root):
    make(root, b"a")
    for offset in (1000, 2**62):
        assert root.readdir(offset, 512) == (b"", offset)


@pytest.mark.parametrize("count", [48, 512, 65536])
def test_everything_is_removed_by_who_reads_and_removes_by_turns(root, count):
    for number in range(3000):
        make(root, b"file%d" % number)
    offset = 0
    while True:
        data, offset = root.readdir(offset, count)
        found = [name for _, _, name in entries(data) if name not in (b".", b"..")]
        if not data:
            break
        for name in found:
            root.remove(name, root.lookup(name), ROOT)
    assert names(root) == [b".", b".."]


def test_who_reads_and_renames_by_turns_comes_to_an_end(root):
    for number in range(100):
        make(root, b"%03d" % number)
    offset, seen = 0, 0
    while True:
        data, offset = root.readdir(offset, 64)
        if not data:
            break
        for name in [name for _, _, name in entries(data) if name not in (b".", b"..")]:
            seen += 1
            root.rename(name, root.lookup(name), root, b"new" + name, None, ROOT)
    assert seen == 100
    assert names(root)[2:] == [b"new%03d" % number for number in range(100)]


def test_names_that_are_added_while_reading_are_seen_once(root):
    for number in range(10):
        make(root, b"%d" % number)
    data, offset = root.readdir(0, 64)
    seen = [name for _, _, name in entries(data)]
    make(root, b"late")
    while True:
        data, offset = root.readdir(offset, 64)
        if not data:
            break
        seen += [name for _, _, name in entries(data)]
    assert seen == [b".", b"..", *(b"%d" % number for number in range(10)), b"late"]


# --- accounting ---------------------------------------------------------------------------------


def test_names_and_files_give_their_memory_back():
    memory = Memory()
    root = mount(Vfs(memory)).mnt_root
    before = memory.used
    d = mkdir(root, b"d" * 40)
    vp = make(d, b"a", b"x" * 5000)
    root.link(b"l" * 100, vp, ROOT)
    d.rename(b"a", vp, root, b"n" * 255, None, ROOT)
    root.rename(b"n" * 255, vp, root, b"n", None, ROOT)
    root.symlink(b"s", 0o777, b"t" * 1000, ROOT)
    root.remove(b"n", vp, ROOT)
    root.remove(b"l" * 100, vp, ROOT)
    root.remove(b"s", root.lookup(b"s"), ROOT)
    assert memory.used > before
    root.rmdir(b"d" * 40, d, ROOT)
    assert memory.used == before


def test_no_memory_for_names():
    memory = Memory()
    root = mount(Vfs(memory)).mnt_root
    vp = make(root, b"a")
    memory.limit = memory.used
    for attempt in (
        lambda: make(root, b"b"),
        lambda: mkdir(root, b"b"),
        lambda: root.symlink(b"b", 0o777, b"x", ROOT),
        lambda: root.link(b"b", vp, ROOT),
        lambda: root.rename(b"a", vp, root, b"b" * 33, None, ROOT),
    ):
        fails(errno.ENOSPC, attempt)
    assert names(root) == [b".", b"..", b"a"]
    assert root.v_mount.tm_nodes_cnt == 2
    root.rename(b"a", vp, root, b"b", None, ROOT)
    vp.setattr(SetAttr(mode=0), ROOT)
    root.remove(b"b", vp, ROOT)
