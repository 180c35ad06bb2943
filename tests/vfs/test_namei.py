"""Paths: slashes, dots, links, lengths, permissions, mounts and roots (netbsd_abi 1.3: path rules)."""

from __future__ import annotations

import pytest

from rumpfs.abi.mount import MNT_RDONLY
from rumpfs.vfs.cred import ROOT
from rumpfs.vfs.namei import namei, namei_create, namei_delete, namei_rename
from rumpfs.vfs.vnode import SetAttr, Vnode
from tests.vfs.harness import USER, Caller, World, errno_of


@pytest.fixture
def tree(world: World) -> World:
    """A caller in the tmpfs /t with directories d and d/e, files f and d/e/f, and a few links."""
    world.mkdir(b"/t")
    world.mount(b"/t")
    world.mkdir(b"/t/d")
    world.mkdir(b"/t/d/e")
    world.make(b"/t/f")
    world.make(b"/t/d/e/f")
    for name, text in (
        (b"lf", b"f"), (b"ld", b"d"), (b"lds", b"d//"), (b"lfs", b"f/"), (b"lroot", b"/"),
        (b"labs", b"/t/d/e/f"),
        (b"ldot", b"."), (b"ldotdot", b".."), (b"lup", b"d/e/.."), (b"lloop", b"lloop"), (b"lgone", b"gone"),
        (b"lempty", b""), (b"ltwice", b"ld/e"), (b"lslashes", b"///"),
    ):  # fmt: skip
        world.symlink(b"/t/" + name, text)
    world.caller.cwd = world.find(b"/t")
    return world


SAME = [
    (b"/", [b"//", b"/.", b"/./", b"/..", b"/../..", b"..", b"../", b"../.", b"d/../..", b"lroot", b"lroot/",
            b"ldotdot", b"ldotdot/.", b"lslashes", b"/t/lroot/../.."]),
    (b"/t", [b".", b"./", b"/t/", b"/t//", b"/t/.", b"d/..", b"d/e/../..", b"ldot", b"ldot/", b"ldot/ldot",
             b"../t", b"/../t", b"lroot/t", b"d/./../.", b"d//..", b"ld/..", b"ldotdot/t"]),
    (b"/t/d", [b"d", b"d/", b"d//", b"./d", b"ld", b"ld/", b"lds", b"lds/", b"d/e/..", b"lup", b"ld/e/..",
               b"ldot/d", b"ltwice/..", b"lroot/t/ld", b"../t/d/."]),
    (b"/t/d/e", [b"d/e", b"d//e", b"d/./e", b"ld/e", b"lds/e", b"ltwice", b"ltwice/", b"lup/e"]),
    (b"/t/f", [b"f", b"./f", b"lf", b"d/../f", b"ldot/lf", b"../t/f", b"//t///f"]),
    (b"/t/d/e/f", [b"d/e/f", b"ld/e/f", b"ltwice/f", b"labs", b"d/e/./f", b"lup/e/f", b"ldot/labs"]),
]  # fmt: skip


@pytest.mark.parametrize(("path", "same"), SAME, ids=[case[0].decode() for case in SAME])
def test_ways_to_one_place(tree: World, path: bytes, same: list[bytes]) -> None:
    vp = tree.find(path)
    for other in same:
        assert tree.find(other) is vp, other


@pytest.mark.parametrize(
    ("path", "error"),
    [
        (b"", "ENOENT"),
        (b"gone", "ENOENT"),
        (b"gone/", "ENOENT"),
        (b"gone/.", "ENOENT"),
        (b"gone/..", "ENOENT"),
        (b"gone/f", "ENOENT"),
        (b"d/gone/../e", "ENOENT"),
        (b"f/", "ENOTDIR"),
        (b"f//", "ENOTDIR"),
        (b"f/.", "ENOTDIR"),
        (b"f/..", "ENOTDIR"),
        (b"f/x", "ENOTDIR"),
        (b"f/../d", "ENOTDIR"),
        (b"lf/", "ENOTDIR"),
        (b"lfs", "ENOTDIR"),
        (b"labs/", "ENOTDIR"),
        (b"lgone", "ENOENT"),
        (b"lgone/x", "ENOENT"),
        (b"lempty", "ENOENT"),
        (b"lempty/", "ENOENT"),
        (b"lloop", "ELOOP"),
        (b"lloop/x", "ELOOP"),
        (b"/gone/t", "ENOENT"),
        (b"d/" + b"n" * 256, "ENAMETOOLONG"),
        (b"n" * 256 + b"/d", "ENAMETOOLONG"),
        (b"f/" + b"n" * 256, "ENOTDIR"),
        (b"gone/" + b"n" * 256, "ENOENT"),
        (b"n" * 255, "ENOENT"),
    ],
)
def test_paths_that_lead_nowhere(tree: World, path: bytes, error: str) -> None:
    assert tree.error(path) == error


def test_the_last_link_is_followed_or_not(tree: World) -> None:
    assert tree.find(b"lf", follow=False).readlink() == b"f"
    assert tree.find(b"d/../lf", follow=False).readlink() == b"f"
    assert tree.find(b"ld/../lf", follow=False).readlink() == b"f"
    assert tree.find(b"lloop", follow=False).readlink() == b"lloop"
    assert tree.find(b"lempty", follow=False).readlink() == b""
    assert tree.find(b"ld/", follow=False) is tree.find(b"d")
    assert tree.find(b"ld/.", follow=False) is tree.find(b"d")
    assert tree.error(b"lf/", follow=False) == "ENOTDIR"
    assert tree.error(b"lloop/", follow=False) == "ELOOP"


def test_32_links_and_no_more(tree: World) -> None:
    tree.symlink(b"/t/n1", b"f")
    for number in range(2, 35):
        tree.symlink(b"/t/n%d" % number, b"n%d" % (number - 1))
    assert tree.find(b"n32") is tree.find(b"f")
    assert tree.error(b"n33") == "ELOOP"
    assert tree.find(b"n33", follow=False).readlink() == b"n32"
    # the count is of the whole path, not of one component
    assert tree.find(b"ldot/" * 31 + b"lf") is tree.find(b"f")
    assert tree.error(b"ldot/" * 32 + b"lf") == "ELOOP"


def test_the_length_of_a_path_with_a_link_in_it(tree: World) -> None:
    # the text, what follows, and a NUL have to stay below 1024 (namei_follow)
    for rest in (b"", b"/", b"/e", b"/e/f"):
        fits = 1022 - len(rest)
        for length, ok in ((fits, True), (fits + 1, False)):
            name = b"long%d" % length
            tree.symlink(b"/t/" + name, b"d" + b"/" * (length - 1))
            expected = "ok" if ok else "ENAMETOOLONG"
            assert tree.error(name + rest) == expected, (length, rest)
            tree.find(b"/t").remove(name, tree.find(name, follow=False), ROOT)


def test_a_relative_link_starts_where_it_lies(tree: World) -> None:
    tree.symlink(b"/t/d/e/back", b"../../f")
    assert tree.find(b"d/e/back") is tree.find(b"f")
    tree.caller.cwd = tree.find(b"/")
    assert tree.find(b"t/d/e/back") is tree.find(b"/t/f")


def test_where_a_relative_path_starts(tree: World) -> None:
    at = tree.find(b"d")
    assert tree.find(b"e/f", at=at) is tree.find(b"d/e/f")
    assert tree.find(b".", at=at) is at
    assert tree.find(b"..", at=at) is tree.find(b"/t")
    assert tree.find(b"/t/f", at=at) is tree.find(b"f")
    assert tree.error(b"e", at=tree.find(b"f")) == "ENOTDIR"
    assert tree.error(b".", at=tree.find(b"f")) == "ENOTDIR"
    assert tree.find(b"/t", at=tree.find(b"f")) is tree.find(b"/t")
    assert tree.error(b"", at=at) == "ENOENT"


def test_a_removed_directory(tree: World) -> None:
    tree.mkdir(b"/t/gone")
    gone = tree.find(b"gone")
    tree.find(b"/t").rmdir(b"gone", gone, ROOT)
    assert tree.find(b".", at=gone) is gone
    assert tree.error(b"..", at=gone) == "ENOENT"
    assert tree.error(b"x", at=gone) == "ENOENT"
    assert tree.error(b"../d", at=gone) == "ENOENT"


# --- permission --------------------------------------------------------------------------------------


def test_every_directory_on_the_way_is_searched(tree: World) -> None:
    tree.caller.cred = USER
    way = [tree.find(path) for path in (b"/t", b"/t/d", b"/t/d/e")]
    assert tree.error(b"d/e/f") == "ok"
    for vp, closed in zip(way, ([b"d", b"."], [b"d/e", b"d/.", b"d/..", b"d/gone"], [b"d/e/f"]), strict=True):
        vp.setattr(SetAttr(mode=0o600), ROOT)
        for path in closed:
            assert tree.error(path) == "EACCES", path
        assert tree.error(b"/") == "ok"
        vp.setattr(SetAttr(mode=0o755), ROOT)
    tree.find(b"d").setattr(SetAttr(mode=0), ROOT)
    assert tree.error(b"d") == "ok"  # to look at it, one does not look into it
    assert tree.error(b"d/") == "ok"
    assert tree.error(b"ld/e") == "EACCES"
    assert tree.error(b"f/e") == "ENOTDIR"
    assert tree.error(b"d/" + b"n" * 256) == "ENAMETOOLONG"


# --- mounts ---------------------------------------------------------------------------------------------


def test_mounts_are_crossed_both_ways(world: World) -> None:
    world.mkdir(b"/a")
    first = world.mount(b"/a")
    world.mkdir(b"/a/b")
    covered = world.find(b"/a/b")
    second = world.mount(b"/a/b")
    third = world.mount(b"/a/b")
    world.mkdir(b"/a/b/c")
    assert world.find(b"/a") is first.mnt_root
    assert world.find(b"/a/b") is third.mnt_root
    assert world.find(b"/a/b/c/..") is third.mnt_root
    assert world.find(b"/a/b/..") is first.mnt_root
    assert world.find(b"/a/b/../..") is world.vfs.rootvnode
    assert world.find(b"/a/b/c/../../b/../../a/./b") is third.mnt_root
    assert world.find(b"..", at=second.mnt_root) is first.mnt_root
    assert world.find(b"..", at=covered) is first.mnt_root
    assert world.find(b".", at=covered) is covered
    assert world.find(b"../b", at=covered) is third.mnt_root
    world.symlink(b"/link", b"a/b/..")
    assert world.find(b"/link/b") is third.mnt_root


def test_a_link_to_a_mount_point_leads_into_the_mount(world: World) -> None:
    world.mkdir(b"/a")
    mp = world.mount(b"/a")
    world.symlink(b"/l", b"a")
    assert world.find(b"/l") is mp.mnt_root
    assert world.find(b"/l/..") is world.vfs.rootvnode


# --- roots -------------------------------------------------------------------------------------------------


def test_nobody_leaves_his_root(tree: World) -> None:
    outside = tree.find(b"/t")
    tree.caller.rdir = tree.caller.cwd = jail = tree.find(b"d")
    for path in (b"/", b"..", b"../..", b"/..", b"e/../..", b"/e/../../../..", b"../e/..", b"./.."):
        assert tree.find(path) is jail, path
    assert tree.error(b"/t") == "ENOENT"
    assert tree.error(b"../f") == "ENOENT"
    assert tree.find(b"/e/f") is tree.find(b"../e/f")
    # an old descriptor: what is in the directory can be reached, but .. leads into the jail
    assert tree.find(b"f", at=outside) is outside.lookup(b"f")
    assert tree.find(b"..", at=outside) is jail
    assert tree.find(b"../e", at=outside) is jail.lookup(b"e")
    assert tree.find(b"d/..", at=outside) is jail


def test_absolute_links_start_at_the_callers_root(tree: World) -> None:
    tree.symlink(b"/t/d/abs", b"/e/f")
    assert tree.error(b"d/abs") == "ENOENT"
    tree.caller.rdir = tree.caller.cwd = tree.find(b"d")
    assert tree.find(b"abs") is tree.find(b"/e/f")


def test_a_root_that_is_a_mount(tree: World) -> None:
    tree.caller.rdir = tree.find(b"/t")
    assert tree.find(b"/..") is tree.find(b"/")
    assert tree.find(b"/d/../../f") is tree.find(b"/f")
    assert tree.error(b"/t") == "ENOENT"
    assert tree.error(b"/dev") == "ENOENT"


def test_a_root_outside_of_which_something_is_mounted(tree: World) -> None:
    tree.mkdir(b"/t/d/m")
    mp = tree.mount(b"/t/d/m")
    tree.caller.rdir = tree.caller.cwd = jail = tree.find(b"d")
    assert tree.find(b"m") is mp.mnt_root
    assert tree.find(b"m/..") is jail
    assert tree.find(b"m/../..") is jail


# --- names that are to be made or taken away -------------------------------------------------------------


def create(world: World, path: bytes, **options: bool) -> tuple[Vnode, bytes, Vnode | None]:
    return namei_create(world.caller, path, None, **options)


@pytest.mark.parametrize(
    ("path", "directory", "name"),
    [
        (b"new", b"/t", b"new"),
        (b"d/new", b"/t/d", b"new"),
        (b"ld/new", b"/t/d", b"new"),
        (b"./d/../new", b"/t", b"new"),
        (b"/new", b"/", b"new"),
        (b"lgone", b"/t", b"lgone"),
    ],
)
def test_where_a_name_is_made(tree: World, path: bytes, directory: bytes, name: bytes) -> None:
    dvp, found, vp = create(tree, path)
    assert (dvp, found) == (tree.find(directory), name)
    assert vp is (tree.find(path, follow=False) if path == b"lgone" else None)


def test_a_followed_link_says_where_its_target_is_made(tree: World) -> None:
    tree.symlink(b"/t/far", b"d/e/new")
    assert create(tree, b"far", follow=True) == (tree.find(b"d/e"), b"new", None)
    assert create(tree, b"far/", directory=True) == (tree.find(b"d/e"), b"new", None)
    assert create(tree, b"lgone", follow=True) == (tree.find(b"/t"), b"gone", None)


def test_slashes_behind_what_is_to_be_made(tree: World) -> None:
    assert errno_of(lambda: create(tree, b"new/")) == "ENOENT"
    assert create(tree, b"new//", directory=True) == (tree.find(b"/t"), b"new", None)
    assert errno_of(lambda: create(tree, b"new/.", directory=True)) == "ENOENT"
    assert errno_of(lambda: create(tree, b"new/x", directory=True)) == "ENOENT"
    assert errno_of(lambda: create(tree, b"f/")) == "ENOTDIR"
    assert create(tree, b"d/") == (tree.find(b"/t"), b"d", tree.find(b"d"))


def test_what_has_no_parent_exists_or_is_busy(tree: World) -> None:
    for path in (b"/", b"//", b"/t", b"/t/", b"lroot/", b"ldot/../t"):
        assert errno_of(lambda path=path: create(tree, path)) == "EEXIST", path
        assert errno_of(lambda path=path: namei_delete(tree.caller, path, None)) == "EBUSY", path
        assert errno_of(lambda path=path: namei_rename(tree.caller, path, None, False)) == "EBUSY", path


def test_dots_are_names_of_what_was_searched(tree: World) -> None:
    d, t = tree.find(b"d"), tree.find(b"/t")
    assert namei_delete(tree.caller, b"d/.", None) == (d, b".", d)
    assert namei_delete(tree.caller, b"d/..", None) == (d, b"..", t)
    assert namei_delete(tree.caller, b"d/./", None) == (d, b".", d)
    assert create(tree, b".") == (t, b".", t)
    # .. of a mount's root is searched in the directory that it is mounted on
    dvp, name, vp = create(tree, b"..")
    assert (dvp, name, vp) == (t.v_mount.mnt_vnodecovered, b"..", tree.vfs.rootvnode)


def test_deleting(tree: World) -> None:
    t = tree.find(b"/t")
    assert namei_delete(tree.caller, b"f", None) == (t, b"f", tree.find(b"f"))
    assert namei_delete(tree.caller, b"lf", None) == (t, b"lf", tree.find(b"lf", follow=False))
    assert namei_delete(tree.caller, b"ld/", None) == (t, b"d", tree.find(b"d"))
    assert namei_delete(tree.caller, b"e", tree.find(b"d")) == (tree.find(b"d"), b"e", tree.find(b"d/e"))
    assert errno_of(lambda: namei_delete(tree.caller, b"gone", None)) == "ENOENT"


def test_renaming(tree: World) -> None:
    t = tree.find(b"/t")
    assert namei_rename(tree.caller, b"new", None, False) == (t, b"new", None)
    assert namei_rename(tree.caller, b"f", None, False) == (t, b"f", tree.find(b"f"))
    assert namei_rename(tree.caller, b"new/", None, True) == (t, b"new", None)
    assert errno_of(lambda: namei_rename(tree.caller, b"new/", None, False)) == "ENOENT"


def test_who_may_change_names(tree: World) -> None:
    tree.caller.cred = USER
    caller = tree.caller
    for path, error in (
        (b"f", "EACCES"),
        (b"gone", "ENOENT"),
        (b"/t", "EACCES"),
        (b"d/.", "ok"),
        (b"d/..", "ok"),
    ):
        assert errno_of(lambda path=path: namei_delete(caller, path, None)) == error, path
    for path, error in (
        (b"new", "EACCES"),
        (b"new/", "EACCES"),
        (b"f", "ok"),
        (b"/t", "EEXIST"),
        (b"f/x", "ENOTDIR"),
    ):
        assert errno_of(lambda path=path: namei_create(caller, path, None)) == error, path
    for path in (b"new", b"new/", b"f"):
        assert errno_of(lambda path=path: namei_rename(caller, path, None, False)) == "EACCES", path
    tree.find(b"/t").setattr(SetAttr(mode=0o1777), ROOT)
    for path, error in ((b"f", "EPERM"), (b"gone", "ENOENT")):
        assert errno_of(lambda path=path: namei_delete(caller, path, None)) == error, path
    assert errno_of(lambda: namei_rename(caller, b"f", None, False)) == "EPERM"
    assert errno_of(lambda: namei_rename(caller, b"new", None, False)) == "ok"


def test_read_only_mounts(tree: World) -> None:
    tree.find(b"/t").v_mount.mnt_flag |= MNT_RDONLY
    caller = tree.caller
    for path in (b"f", b"gone", b"d/.", b"d/e/..", b"d", b"lf"):
        assert errno_of(lambda path=path: namei_delete(caller, path, None)) == "EROFS", path
        assert errno_of(lambda path=path: namei_rename(caller, path, None, False)) == "EROFS", path
    for path, error in (
        (b"new", "EROFS"),
        (b"new/", "EROFS"),
        (b"f", "ok"),
        (b"d", "ok"),
        (b"gone/x", "ENOENT"),
    ):
        assert errno_of(lambda path=path: namei_create(caller, path, None)) == error, path


def test_keys(tree: World) -> None:
    key = tree.make(b"/other")
    tree.vfs.rootvnode.v_keys = {b"dev/dk": key}
    for path in (b"/dev/dk", b"//dev/dk", b"/dev/dk/"):
        assert tree.find(path) is key
        assert errno_of(lambda path=path: namei_delete(tree.caller, path, None)) == "ENOENT"
        assert errno_of(lambda path=path: namei_rename(tree.caller, path, None, True)) == "ok"
        assert create(tree, path).vp is key
    for path in (b"/dev//dk", b"/./dev/dk", b"dev/dk", b"../dev/dk", b"/dev/dk/x"):
        assert tree.error(path) == "ENOENT", path
    assert namei(Caller(ROOT, tree.vfs.rootvnode, tree.vfs.rootvnode), b"dev/dk") is key
