"""Working directories and roots: chdir, fchdir, getcwd, chroot, across mounts and where directories go."""

from __future__ import annotations

from rumpfs.abi.fcntl import AT_FDCWD, O_CREAT, O_RDONLY, O_RDWR
from rumpfs.abi.mount import MNT_FORCE
from tests.kern.incore import USER, Machine, Process


def test_t_cwd_basic(t: Process) -> None:
    # librumphijack/t_cwd: a walk through a few directories, and back up further than there is a way
    t.call("chdir", b"/")
    assert t.getcwd() == b"/"
    for directory, result in (
        (b"t", b"/t"),
        (b".", b"/t"),
        (b"../t/../t", b"/t"),
        (b"/", b"/"),
        (b"..", b"/"),
        (b"../../../..", b"/"),
    ):
        t.call("chdir", directory)
        assert t.getcwd() == result
    t.call("mkdir", b"/t/dir", 0o755)
    t.call("mkdir", b"/t/dir/dir", 0o755)
    t.call("chdir", b"/t/dir/dir")
    assert t.getcwd() == b"/t/dir/dir"
    t.call("chdir", b"..")
    assert t.getcwd() == b"/t/dir"


def test_what_chdir_refuses(t: Process) -> None:
    t.make(b"f")
    fd = t.call("open", b"f", O_RDONLY, 0)
    assert t.error("chdir", b"f") == "ENOTDIR"
    assert t.error("fchdir", fd) == "ENOTDIR"
    assert t.error("chdir", b"missing") == "ENOENT"
    assert t.error("chdir", b"") == "ENOENT"
    assert t.error("fchdir", 99) == "EBADF"
    assert t.error("chroot", b"f") == "ENOTDIR"
    assert t.getcwd() == b"/t"


def test_fchdir(t: Process) -> None:
    t.call("mkdir", b"d", 0o755)
    fd = t.call("open", b"d", O_RDONLY, 0)
    t.call("fchdir", fd)
    assert t.getcwd() == b"/t/d"


def test_the_buffer_of_getcwd(t: Process) -> None:
    t.call("mkdir", b"dir", 0o755)
    t.call("chdir", b"dir")
    assert t.call("__getcwd", 7) == b"/t/dir\0"
    assert (
        t.call("__getcwd", 100) == b"/t/dir\0"
    )  # the length counts the NUL, and the string starts the buffer
    for length in (0, 1, 2, 6):
        assert t.error("__getcwd", length) == "ERANGE"
    t.call("chdir", b"/")
    assert t.call("__getcwd", 2) == b"/\0"
    assert t.error("__getcwd", 1) == "ERANGE"


def test_a_path_may_be_longer_than_one_that_is_given(t: Process) -> None:
    # the kernel's own limit for getcwd is four times PATH_MAX
    name = b"n" * 250
    for _ in range(16):
        t.call("mkdir", name, 0o755)
        t.call("chdir", name)
    path = b"/t" + (b"/" + name) * 16
    assert t.call("__getcwd", 10000) == path + b"\0"
    assert t.error("__getcwd", len(path)) == "ERANGE"
    t.call("mkdir", name, 0o755)
    t.call("chdir", name)
    assert t.error("__getcwd", 10000) == "ERANGE"


def test_getcwd_follows_a_renamed_directory(tmp: Process) -> None:
    tmp.call("mkdir", b"a", 0o755)
    tmp.call("mkdir", b"a/b", 0o755)
    tmp.call("chdir", b"a/b")
    tmp.call("rename", b"/t/a", b"/t/z")
    assert tmp.getcwd() == b"/t/z/b"
    tmp.call("rename", b"/t/z/b", b"/t/y")
    assert tmp.getcwd() == b"/t/y"
    tmp.call("chdir", b"..")
    assert tmp.getcwd() == b"/t"


def test_getcwd_across_mounts(p: Process) -> None:
    p.call("mkdir", b"/a", 0o755)
    p.mount_tmpfs(b"/a")
    p.call("mkdir", b"/a/b", 0o755)
    p.call("mkdir", b"/a/other", 0o755)
    p.mount_tmpfs(b"/a/b")
    p.mount_tmpfs(b"/a/b")  # stacked
    p.call("mkdir", b"/a/b/c", 0o755)
    p.call("chdir", b"/a/b/c")
    assert p.getcwd() == b"/a/b/c"
    p.call("chdir", b"..")
    assert p.getcwd() == b"/a/b"
    p.call("chdir", b"../other")
    assert p.getcwd() == b"/a/other"
    p.call("chdir", b"/a/b/../../a/b/c/../..")
    assert p.getcwd() == b"/a"


def test_a_removed_directory(t: Process) -> None:
    t.call("mkdir", b"d", 0o755)
    t.call("chdir", b"d")
    t.call("rmdir", b"/t/d")
    assert t.error("__getcwd", 100) == "ENOENT"
    assert t.error("chdir", b"..") == "ENOENT"
    assert t.error("__stat50", b"x") == "ENOENT"
    assert t.error("open", b"x", O_CREAT | O_RDWR, 0o644) == "ENOENT"
    assert t.error("mkdir", b"x", 0o755) == "ENOENT"
    assert t.error("symlink", b"x", b"y") == "ENOENT"
    assert t.stat(b".").nlink == 0
    assert t.names(b".") == set()
    t.call("chdir", b"/t")


def test_a_mount_takes_the_directories_of_processes_along(machine: Machine) -> None:
    # mount(2): who stands on the mount point stands on the new root
    first, second = machine.process(), machine.process()
    first.call("mkdir", b"/m", 0o755)
    second.call("chdir", b"/m")
    first.make(b"/m/below")
    first.mount_tmpfs(b"/m")
    assert second.getcwd() == b"/m"
    assert second.names(b".") == set()
    assert first.error("unmount", b"/m", 0) == "EBUSY"
    second.call("chdir", b"..")
    assert second.getcwd() == b"/"
    assert first.call("unmount", b"/m", 0) == 0
    assert second.names(b"/m") == {b"below"}


def test_fchdir_goes_to_what_was_mounted_there_meanwhile(p: Process) -> None:
    p.call("mkdir", b"/m", 0o755)
    fd = p.call("open", b"/m", O_RDONLY, 0)
    p.mount_tmpfs(b"/m")
    p.make(b"/m/file")
    p.call("fchdir", fd)
    assert p.names(b".") == {b"file"}
    assert p.error("openat", fd, b"file", O_RDONLY, 0) == "ENOENT"


def test_a_forced_unmount_leaves_a_directory_that_is_nowhere(machine: Machine) -> None:
    p = machine.process()
    p.call("mkdir", b"/m", 0o755)
    p.mount_tmpfs(b"/m")
    p.call("mkdir", b"/m/d", 0o755)
    victims = [machine.process(), machine.process()]
    victims[0].call("chdir", b"/m")
    victims[1].call("chdir", b"/m/d")
    p.call("unmount", b"/m", MNT_FORCE)
    for victim in victims:
        assert victim.error("__getcwd", 100) == "ENOENT"
        assert victim.error("__stat50", b"d") == "ENOENT"
        assert victim.error("mkdir", b"d", 0o755) == "ENOENT"
        victim.call("chdir", b"/")
        assert victim.getcwd() == b"/"


# --- chroot -----------------------------------------------------------------------------------------


def jail(t: Process) -> Process:
    for directory in (b"jail", b"jail/in", b"jail/in/deep", b"out"):
        t.call("mkdir", directory, 0o755)
    t.make(b"secret")
    t.make(b"jail/known")
    t.call("chroot", b"jail")
    return t


def test_chroot(t: Process) -> None:
    jail(t)
    assert t.getcwd() == b"/"
    assert t.names(b"/") == {b"in", b"known"}
    for way_up in (b"..", b"/..", b"in/../..", b"/in/deep/../../../..", b"../../.."):
        assert t.stat(way_up) == t.stat(b"/"), way_up
    assert t.error("__stat50", b"../secret") == "ENOENT"
    assert t.error("__stat50", b"/t") == "ENOENT"
    t.call("chdir", b"in/deep")
    assert t.getcwd() == b"/in/deep"
    t.call("symlink", b"/known", b"s")
    assert t.stat(b"s") == t.stat(b"/known")


def test_chroot_leaves_a_directory_that_is_inside(t: Process) -> None:
    t.call("mkdir", b"jail", 0o755)
    t.call("mkdir", b"jail/in", 0o755)
    t.call("chdir", b"jail/in")
    t.call("chroot", b"/t/jail")
    assert t.getcwd() == b"/in"


def test_nobody_gets_out_by_an_old_descriptor(t: Process) -> None:
    t.call("mkdir", b"out", 0o755)
    t.call("mkdir", b"out/deep", 0o755)
    t.make(b"secret")
    fd = t.call("open", b"out/deep", O_RDONLY, 0)
    t.call("mkdir", b"jail", 0o755)
    t.make(b"jail/known")
    t.call("chroot", b"jail")
    assert t.error("fchdir", fd) == "EPERM"
    assert t.error("openat", fd, b"../../secret", O_RDONLY, 0) == "ENOENT"
    assert t.error("openat", fd, b"../known", O_RDONLY, 0) == "ok"
    assert t.call("fstatat", fd, b"..", 0) == t.call("__stat50", b"/")


def test_chroot_twice_goes_deeper_only(t: Process) -> None:
    jail(t)
    t.call("chroot", b"in")
    assert t.names(b"/") == {b"deep"}
    assert t.stat(b"/..") == t.stat(b"/")
    assert t.error("chroot", b"/in") == "ENOENT"


def test_chroot_into_a_mount(p: Process) -> None:
    p.call("mkdir", b"/m", 0o755)
    p.mount_tmpfs(b"/m")
    p.call("chroot", b"/m")
    p.call("mkdir", b"/d", 0o755)
    p.call("chdir", b"/d/../..")
    assert p.getcwd() == b"/"
    assert p.names(b"/") == {b"d"}
    assert p.error("fstatat", AT_FDCWD, b"../dev", 0) == "ENOENT"


def test_chroot_is_the_superusers(machine: Machine) -> None:
    assert machine.process(USER).error("chroot", b"/dev") == "EPERM"


def test_children_inherit_root_and_directory(machine: Machine, t: Process) -> None:
    jail(t)
    t.call("chdir", b"in")
    child = machine.fork(t)
    t.call("chdir", b"/")
    assert child.getcwd() == b"/in"
    assert child.names(b"/") == {b"in", b"known"}
    assert machine.process().names(b"/") == {b"t", b"dev", b"tmp"}
