"""Making, removing and renaming names: NetBSD's t_vnops, and the order of errors in netbsd_abi 1.3."""

from __future__ import annotations

import pytest

from rumpfs.abi.fcntl import AT_FDCWD, AT_REMOVEDIR, AT_SYMLINK_FOLLOW, O_CREAT, O_EXCL, O_RDONLY, O_RDWR
from rumpfs.abi.stat import S_IFBLK, S_IFCHR, S_IFIFO, S_IFMT, S_IFREG, S_IFSOCK
from rumpfs.vfs.vnode import NODEV
from tests.kern.incore import USER, Machine, Process

# --- t_vnops ----------------------------------------------------------------------------------------


def test_lookup_simple(t: Process) -> None:
    t.call("mkdir", b"d", 0o755)
    assert t.stat(b"d/../d") == t.stat(b"d/./../d") == t.stat(b"d")


def test_lookup_complex(t: Process) -> None:
    t.call("mkdir", b"dir", 0o755)
    assert t.stat(b"./dir/../././dir/.") == t.stat(b"dir")


def test_dir_simple(t: Process) -> None:
    t.call("mkdir", b"dir", 0o755)
    t.call("rmdir", b"dir")
    assert t.error("__stat50", b"dir") == "ENOENT"


@pytest.mark.parametrize("slashes", [b"/", b"//", b"///"])
def test_dir_slash(t: Process, slashes: bytes) -> None:
    t.call("mkdir", b"dir" + slashes, 0o755)
    assert t.stat(b"dir" + slashes) == t.stat(b"dir")
    t.call("rmdir", b"dir" + slashes)
    assert t.error("__stat50", b"dir") == "ENOENT"


def test_dir_notempty(t: Process) -> None:
    t.call("mkdir", b"dir", 0o755)
    t.make(b"dir/file")
    assert t.error("rmdir", b"dir") == "ENOTEMPTY"
    t.call("unlink", b"dir/file")
    t.call("rmdir", b"dir")


def test_dir_rmdirdotdot(t: Process) -> None:
    t.call("mkdir", b"a", 0o755)
    t.call("mkdir", b"a/b", 0o755)
    t.call("chdir", b"a/b")
    t.call("rmdir", b"../b")
    t.call("rmdir", b"/t/a")
    assert t.error("chdir", b"..") == "ENOENT"
    assert t.error("open", b"file", O_CREAT | O_RDWR, 0o644) == "ENOENT"
    assert t.error("mkdir", b"dir", 0o755) == "ENOENT"
    assert t.error("__getcwd", 100) == "ENOENT"


def test_rename_dir(tmp: Process) -> None:
    t = tmp
    t.call("mkdir", b"dir1", 0o755)
    t.call("rename", b"dir1", b"dir2")
    assert t.error("__stat50", b"dir1") == "ENOENT"
    assert t.error("rename", b"dir2/.", b"dir1") == "EINVAL"
    assert t.error("rename", b"dir2", b"dir2/.") == "EISDIR"
    assert t.error("rename", b"dir2", b"dir2/dir3") == "EINVAL"
    t.call("mkdir", b"full", 0o755)
    t.make(b"full/file")
    assert t.error("rename", b"dir2", b"full") == "ENOTEMPTY"
    inode = t.stat(b"dir2").fileid
    t.call("mkdir", b"parent", 0o755)
    t.call("mkdir", b"parent/empty", 0o755)
    t.call("rename", b"dir2", b"parent/empty")
    assert t.stat(b"parent/empty").fileid == inode
    assert t.stat(b"parent").nlink == 3
    assert t.stat(b"parent/empty/..") == t.stat(b"parent")
    t.call("rename", b"parent/empty", b"back")
    assert t.stat(b"parent").nlink == 2
    assert t.stat(b"back/..").fileid == t.stat(b".").fileid


def test_rename_dotdot(tmp: Process) -> None:
    tmp.call("mkdir", b"dir1", 0o755)
    tmp.call("mkdir", b"dir2", 0o755)
    tmp.call("chdir", b"dir1")
    assert tmp.error("rename", b"../dir1", b"..") == "EINVAL"
    assert tmp.error("rename", b"..", b"../dir1") == "EINVAL"
    assert tmp.error("rename", b"../dir1/..", b"../dir2") == "EINVAL"


def test_rename_reg_nodir(tmp: Process) -> None:
    t = tmp
    assert t.error("rename", b"file1", b"file2") == "ENOENT"
    t.make(b"file1")
    inode = t.stat(b"file1").fileid
    t.call("rename", b"file1", b"file2")
    assert t.error("__stat50", b"file1") == "ENOENT"
    t.make(b"file3")
    t.call("rename", b"file2", b"file3")
    assert t.stat(b"file3").fileid == inode
    t.call("link", b"file3", b"other")
    assert t.stat(b"file3").nlink == 2
    t.call("rename", b"file3", b"other")
    assert t.error("__stat50", b"file3") == "ENOENT"
    assert t.stat(b"other")[2:4] == (inode, 1)
    assert t.error("rename", b"other", None) == "EFAULT"
    assert t.error("rename", None, b"other") == "EFAULT"


def test_create_many(t: Process) -> None:
    names = [b"testfile%d" % number for number in range(2324)]
    for name in names:
        t.call("close", t.call("open", name, O_CREAT | O_EXCL | O_RDWR, 0o644))
    assert t.names(b".") == set(names)
    for name in names:
        t.call("unlink", name)
    assert t.names(b".") == set()


def test_create_nonalphanum(t: Process) -> None:
    names = {bytes([number]) for number in range(1, 256)} - {b".", b"/"}
    for name in names:
        t.make(name)
    assert t.names(b".") == names


def test_create_nametoolong(t: Process) -> None:
    longest = t.call("pathconf", b".", 4)
    assert longest == 255
    assert t.call("pathconf", b".", 8) == 1  # NO_TRUNC
    assert t.error("open", b"x" * (longest + 1), O_CREAT | O_RDWR, 0o644) == "ENAMETOOLONG"
    t.make(b"x" * longest)
    assert t.error("rename", b"x" * longest, b"y" * (longest + 1)) == "ENAMETOOLONG"
    assert t.error("mkdir", b"y" * (longest + 1), 0o755) == "ENAMETOOLONG"


def test_create_exist(t: Process) -> None:
    t.make(b"exists")
    assert t.error("open", b"exists", O_CREAT | O_EXCL | O_RDWR, 0o644) == "EEXIST"


def test_symlink_zerolen(t: Process) -> None:
    t.call("symlink", b"", b"empty")
    assert t.call("readlink", b"empty", 10) == b""
    assert t.error("__stat50", b"empty") == "ENOENT"
    t.call("unlink", b"empty")


@pytest.mark.parametrize("length", [1, 2, 3, 127, 128, 255, 256, 511, 512, 513, 1022, 1023, 1024, 65537])
def test_symlink_long(t: Process, length: int) -> None:
    text = b"a/" * (length // 2) + b"b" * (length % 2)
    if length >= 1024:  # with its NUL it does not fit in PATH_MAX
        assert t.error("symlink", text, b"link") == "ENAMETOOLONG"
        return
    t.call("symlink", text, b"link")
    assert t.call("readlink", b"link", 2000) == text
    assert t.lstat(b"link").size == length
    t.call("unlink", b"link")


def test_symlink_root(t: Process) -> None:
    t.call("symlink", b"/", b"foo")
    t.call("chdir", b"foo")
    assert t.getcwd() == b"/"


def test_read_directory(t: Process) -> None:
    fd = t.call("open", b".", O_RDONLY, 0)
    assert t.error("read", fd, 512) == "EISDIR"
    assert t.error("pread", fd, 512, 0) == "EISDIR"


def test_lstat_symlink(t: Process) -> None:
    t.call("symlink", b"vaporware", b"link")
    assert t.lstat(b"link").mode & S_IFMT == 0o120000
    assert t.lstat(b"link").size == len(b"vaporware")


# --- unlink, rmdir ----------------------------------------------------------------------------------


def test_what_unlink_refuses(t: Process) -> None:
    t.call("mkdir", b"d", 0o755)
    t.make(b"f")
    assert t.error("unlink", b"missing") == "ENOENT"
    assert t.error("unlink", b"d") == "EPERM"
    assert t.error("unlink", b"d/.") == "EINVAL"
    assert t.error("rmdir", b"f") == "ENOTDIR"
    assert t.error("rmdir", b"d/.") == "EINVAL"
    assert t.error("unlink", b"f/") == "ENOTDIR"
    assert t.error("unlink", b"f/x") == "ENOTDIR"
    assert t.error("rmdir", b"") == "ENOENT"
    assert t.error("unlinkat", AT_FDCWD, b"d", 0) == "EPERM"
    t.call("unlinkat", AT_FDCWD, b"d", AT_REMOVEDIR)
    t.call("unlinkat", AT_FDCWD, b"f", 0)
    assert t.names(b".") == set()


def test_dotdot_is_never_empty(t: Process) -> None:
    t.call("mkdir", b"a", 0o755)
    t.call("mkdir", b"a/b", 0o755)
    assert t.error("rmdir", b"a/b/..") == "ENOTEMPTY"


def test_roots_and_mount_points_are_busy(tmp: Process) -> None:
    for path in (b"/", b"/.", b"/..", b"/t", b"/t/", b"/t/.", b"/t/..", b"."):
        assert tmp.error("rmdir", path) == "EBUSY", path
        assert tmp.error("unlink", path) == "EBUSY", path
    assert tmp.error("rename", b"/t", b"/u") == "EBUSY"
    assert tmp.error("rename", b"/", b"/u") == "EBUSY"
    tmp.call("mkdir", b"/u", 0o755)
    tmp.call("mkdir", b"dir", 0o755)
    assert tmp.error("rename", b"dir", b"/t") == "EBUSY"
    assert tmp.error("rename", b"dir", b"/") == "EBUSY"


def test_a_link_before_a_slash_is_followed_so_that_its_dot_shows(t: Process) -> None:
    t.call("mkdir", b"d", 0o755)
    t.call("symlink", b"d/.", b"dot")
    t.call("symlink", b"d", b"plain")
    assert t.error("rmdir", b"dot/") == "EINVAL"
    assert t.error("rmdir", b"dot") == "ENOTDIR"
    t.call("rmdir", b"plain/")
    assert t.names(b".") == {b"dot", b"plain"}


def test_a_removed_file_lives_on_while_it_is_open(t: Process, machine: Machine) -> None:
    # t_io: read_after_unlink, wrrd_after_unlink
    t.make(b"f", b"content")
    fd = t.call("open", b"f", O_RDWR, 0)
    t.call("unlink", b"f")
    assert t.call("read", fd, 100) == b"content"
    assert t.call("pwrite", fd, b"later", 654321) == 5
    t.call("fsync", fd)
    assert t.call("pread", fd, 100, 654321) == b"later"
    assert t.fstat(fd).nlink == 0
    if b"/t" in machine.busy():
        assert t.error("unmount", b"/t", 0) == "EBUSY"


# --- link -------------------------------------------------------------------------------------------


def test_link_follows_and_linkat_does_when_told(tmp: Process) -> None:
    tmp.make(b"f")
    tmp.call("symlink", b"f", b"s")
    tmp.call("link", b"s", b"hard")
    assert tmp.lstat(b"hard").fileid == tmp.stat(b"f").fileid
    tmp.call("linkat", AT_FDCWD, b"s", AT_FDCWD, b"soft", 0)
    assert tmp.lstat(b"soft").fileid == tmp.lstat(b"s").fileid
    tmp.call("linkat", AT_FDCWD, b"s", AT_FDCWD, b"hard2", AT_SYMLINK_FOLLOW)
    assert tmp.stat(b"f").nlink == 3


def test_what_link_refuses(tmp: Process) -> None:
    tmp.make(b"f")
    tmp.make(b"/elsewhere")
    tmp.call("mkdir", b"d", 0o755)
    assert tmp.error("link", b"missing", b"x") == "ENOENT"
    assert tmp.error("link", b"f", b"f") == "EEXIST"
    assert tmp.error("link", b"d", b"f") == "EEXIST"
    assert tmp.error("link", b"d", b"x") == "EPERM"
    assert tmp.error("link", b"/elsewhere", b"x") == "EXDEV"
    assert tmp.error("link", b"f", b"x/") == "ENOENT"
    assert tmp.error("link", b"f", b"missing/x") == "ENOENT"
    assert tmp.error("link", b"f", b"/") == "EEXIST"


def test_the_root_file_system_has_neither_links_nor_renames(p: Process) -> None:
    p.make(b"/f")
    assert p.error("link", b"/f", b"/g") == "EOPNOTSUPP"
    assert p.error("rename", b"/f", b"/g") == "EOPNOTSUPP"


# --- rename -----------------------------------------------------------------------------------------


def test_what_rename_refuses(tmp: Process) -> None:
    t = tmp
    t.make(b"f")
    t.make(b"/elsewhere")
    t.call("mkdir", b"d", 0o755)
    t.call("mkdir", b"d/e", 0o755)
    assert t.error("rename", b"missing", b"x") == "ENOENT"
    assert t.error("rename", b"d/.", b"x") == "EINVAL"
    assert t.error("rename", b"d/..", b"x") == "EINVAL"
    assert t.error("rename", b"f", b"d/.") == "EISDIR"
    assert t.error("rename", b"f", b"d/..") == "EINVAL"
    assert t.error("rename", b"f", b"d") == "EISDIR"
    assert t.error("rename", b"d", b"f") == "ENOTDIR"
    assert t.error("rename", b"d", b"d/e/x") == "EINVAL"
    assert t.error("rename", b"d", b"d/e") == "EINVAL"
    assert t.error("rename", b"d/e", b"d") == "ENOTEMPTY"
    assert t.error("rename", b"f", b"/elsewhere") == "EXDEV"
    assert t.error("rename", b"f", b"x/") == "ENOENT"
    assert t.error("rename", b"f/", b"x") == "ENOTDIR"
    assert t.error("rename", b"f", b"missing/x") == "ENOENT"
    assert t.names(b".") == {b"f", b"d"}


def test_renaming_a_directory_may_end_in_slashes(tmp: Process) -> None:
    tmp.call("mkdir", b"d", 0o755)
    tmp.call("rename", b"d/", b"e//")
    assert tmp.names(b".") == {b"e"}


def test_renaming_to_the_same_name_changes_nothing(tmp: Process) -> None:
    tmp.make(b"f", b"data")
    tmp.call("mkdir", b"d", 0o755)
    for call in ("rename", "__posix_rename"):
        tmp.call(call, b"f", b"./f")
        tmp.call(call, b"d", b"../t/d")
    assert tmp.names(b".") == {b"f", b"d"}


def test_posix_rename_keeps_both_links(tmp: Process) -> None:
    tmp.make(b"f")
    tmp.call("link", b"f", b"g")
    tmp.call("__posix_rename", b"f", b"g")
    assert tmp.names(b".") == {b"f", b"g"}
    tmp.call("renameat", AT_FDCWD, b"f", AT_FDCWD, b"g")
    assert tmp.names(b".") == {b"g"}


def test_renaming_a_link_does_not_follow_it(tmp: Process) -> None:
    tmp.make(b"f")
    tmp.call("symlink", b"f", b"s")
    tmp.call("rename", b"s", b"s2")
    assert tmp.call("readlink", b"s2", 10) == b"f"
    assert tmp.names(b".") == {b"f", b"s2"}


# --- mkdir, mknod, mkfifo ---------------------------------------------------------------------------


def test_modes_lose_the_umask(t: Process) -> None:
    assert t.call("umask", 0o27) == 0o22
    t.call("mkdir", b"d", 0o7777)
    t.make(b"f", mode=0o7777)
    t.call("mkfifo", b"p", 0o666)
    t.call("__mknod50", b"c", S_IFCHR | 0o666, 2 << 8)
    assert t.stat(b"d").mode == 0o040750  # mkdir keeps no set-id and sticky bits
    assert t.stat(b"f").mode == 0o106750  # open clears the sticky bit
    assert t.lstat(b"p").mode == 0o010640
    assert t.lstat(b"c").mode == 0o020640
    t.call("symlink", b"x", b"s")
    assert t.lstat(b"s").mode == 0o120750
    assert t.call("umask", 0o170022) == 0o27
    assert t.call("umask", 0o22) == 0o22


def test_mkdir_of_what_exists(t: Process) -> None:
    t.make(b"f")
    t.call("symlink", b"nowhere", b"s")
    for path in (b"/", b".", b"..", b"f", b"s", b"/t", b"/t/."):
        assert t.error("mkdir", path, 0o755) == "EEXIST", path
    assert t.error("mkdir", b"f/x", 0o755) == "ENOTDIR"
    assert t.error("mkdir", b"f/", 0o755) == "ENOTDIR"
    assert t.error("mkdir", b"x/.", 0o755) == "ENOENT"
    assert t.error("mkdir", b"x/..", 0o755) == "ENOENT"
    assert t.error("mkdir", b"s/", 0o755) == "ok"  # made where the link points to
    assert t.names(b".") == {b"f", b"s", b"nowhere"}


@pytest.mark.parametrize("call", ["symlink", "mkfifo", "open", "mknod", "link"])
def test_only_directories_are_made_with_a_slash_behind(tmp: Process, call: str) -> None:
    tmp.make(b"f")
    args = {
        "symlink": (b"x", b"new/"),
        "mkfifo": (b"new/", 0o644),
        "open": (b"new/", O_CREAT | O_RDWR, 0o644),
        "mknod": (b"new/", S_IFCHR | 0o644, 2 << 8),
        "link": (b"f", b"new/"),
    }[call]
    assert tmp.error("__mknod50" if call == "mknod" else call, *args) == "ENOENT"
    assert tmp.names(b".") == {b"f"}


def test_mknod(t: Process) -> None:
    t.call("__mknod50", b"c", S_IFCHR | 0o644, 2 << 8 | 2)
    t.call("__mknod50", b"b", S_IFBLK | 0o644, 512)
    t.call("__mknod50", b"r", S_IFREG | 0o644, 0)
    t.call("__mknod50", b"p", S_IFIFO | 0o644, 0)
    assert (t.stat(b"c").rdev, t.stat(b"b").rdev) == (514, 512)
    assert t.stat(b"r").mode == 0o100644
    assert t.error("__mknod50", b"c", S_IFCHR, 1) == "EEXIST"
    assert t.error("__mknod50", b"x", S_IFSOCK, 1) == "EINVAL"
    assert t.error("__mknod50", b"x", 0, 1) == "EINVAL"
    assert t.error("__mknod50", b"x", S_IFCHR, NODEV) == "EINVAL"
    assert t.error("__mknod50", b"x/y", 0, 1) == "ENOENT"


def test_mknod_is_the_superusers(t: Process, machine: Machine) -> None:
    t.call("chmod", b"/t", 0o777)
    user = machine.process(USER)
    assert user.error("__mknod50", b"/t/c", S_IFCHR | 0o644, 514) == "EPERM"
    assert user.error("mknodat", AT_FDCWD, b"/t/r", S_IFREG | 0o644, 0) == "EPERM"
    assert user.error("mkfifo", b"/t/p", 0o644) == "ok"


def test_mknod_of_a_fifo_is_for_everybody(t: Process, machine: Machine) -> None:
    """POSIX, mknod(): privileges are needed for any file type but a FIFO."""
    user = machine.process(USER)
    assert user.error("__mknod50", b"/t/p", S_IFIFO | 0o644, 0) == "EACCES"
    t.call("chmod", b"/t", 0o777)
    user.call("__mknod50", b"/t/p", S_IFIFO | 0o644, 0)
    user.call("mknodat", AT_FDCWD, b"/t/q", S_IFIFO | 0o640, 0)
    assert (t.stat(b"p").mode, t.stat(b"q").mode) == (0o010644, 0o010640)


# --- the *at calls ----------------------------------------------------------------------------------


def test_at_calls_start_at_their_directory(tmp: Process) -> None:
    t = tmp
    t.call("mkdir", b"d", 0o755)
    fd = t.call("open", b"d", O_RDONLY, 0)
    t.call("chdir", b"/")
    t.call("mkdirat", fd, b"e", 0o755)
    t.call("close", t.call("openat", fd, b"f", O_CREAT | O_RDWR, 0o644))
    t.call("symlinkat", b"f", fd, b"s")
    t.call("mkfifoat", fd, b"p", 0o644)
    t.call("mknodat", fd, b"c", S_IFCHR | 0o644, 514)
    t.call("linkat", fd, b"f", fd, b"g", 0)
    t.call("renameat", fd, b"g", fd, b"h")
    assert t.call("readlinkat", fd, b"s", 10) == b"f"
    assert t.names(b"/t/d") == {b"e", b"f", b"s", b"p", b"c", b"h"}
    t.call("unlinkat", fd, b"e", AT_REMOVEDIR)
    assert t.error("unlinkat", fd, b"e", AT_REMOVEDIR) == "ENOENT"
    # .. of the directory, not of the working directory
    assert t.call("fstatat", fd, b"../d", 0) == t.call("__stat50", b"/t/d")


def test_what_at_calls_refuse_as_a_directory(tmp: Process) -> None:
    tmp.make(b"f")
    fd = tmp.call("open", b"f", O_RDONLY, 0)
    reader, _ = tmp.call("pipe")
    assert tmp.error("fstatat", fd, b"x", 0) == "ENOTDIR"
    assert tmp.error("fstatat", fd, b".", 0) == "ENOTDIR"
    assert tmp.error("fstatat", fd, b"", 0) == "ENOENT"
    assert tmp.error("fstatat", 99, b"f", 0) == "EBADF"
    assert tmp.error("fstatat", -1, b"f", 0) == "EBADF"
    assert tmp.error("fstatat", reader, b"f", 0) == "EINVAL"
    for absolute in (fd, 99, reader):
        assert tmp.error("fstatat", absolute, b"/t/f", 0) == "ok"
    assert tmp.error("fstatat", AT_FDCWD, b"f", 0) == "ok"


def test_sticky_directories_protect_names(machine: Machine) -> None:
    root = machine.process()
    root.call("mkdir", b"/t", 0o755)
    root.mount_tmpfs(b"/t")
    root.call("chmod", b"/t", 0o1777)
    root.make(b"/t/roots")
    user = machine.process(USER)
    user.call("chdir", b"/t")
    user.make(b"own")
    user.make(b"new")
    assert user.error("unlink", b"roots") == "EPERM"
    assert user.error("rename", b"roots", b"x") == "EPERM"
    assert user.error("rename", b"own", b"roots") == "EPERM"
    user.call("rename", b"own", b"new")
    user.call("unlink", b"new")
    assert root.names(b"/t") == {b"roots"}
