"""Read-only file systems: NetBSD's t_ro, and EROFS wherever a name or a file would change."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from rumpfs.abi.fcntl import (
    AT_FDCWD,
    AT_REMOVEDIR,
    O_APPEND,
    O_CREAT,
    O_EXCL,
    O_RDONLY,
    O_RDWR,
    O_TRUNC,
    O_WRONLY,
    R_OK,
    W_OK,
)
from rumpfs.abi.mount import MNT_LOCAL, MNT_RDONLY
from rumpfs.abi.stat import S_IFCHR
from tests.images_util import makefs
from tests.kern.incore import USER, Machine, Process


def fill(tree: Path) -> Path:
    """Make what both file systems hold."""
    (tree / "dir" / "full").mkdir(parents=True)
    (tree / "empty").mkdir()
    (tree / "file").write_bytes(b"content")
    (tree / "dir" / "full" / "file").write_bytes(b"")
    (tree / "link").symlink_to("file")
    (tree / "dirlink").symlink_to("dir")
    return tree


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("ffs")
    return makefs(fill(directory / "tree"), directory / "image", 2, "<", 8192, 1024)


@pytest.fixture(params=["ffs", "tmpfs"])
def ro(request: pytest.FixtureRequest, machine: Machine) -> Process:
    """A process in a read-only mount at /m."""
    p = machine.process()
    p.call("mkdir", b"/m", 0o755)
    if request.param == "ffs":
        machine.drive(b"/dev/dk", request.getfixturevalue("image"))
        p.mount_ffs(b"/m", b"/dev/dk")
    else:
        p.mount_tmpfs(b"/m")
        for directory in (b"/m/dir", b"/m/dir/full", b"/m/empty"):
            p.call("mkdir", directory, 0o755)
        p.make(b"/m/file", b"content")
        p.make(b"/m/dir/full/file")
        p.call("symlink", b"file", b"/m/link")
        p.call("symlink", b"dir", b"/m/dirlink")
        assert machine.kernel.vfs is not None
        machine.kernel.vfs.mountlist[-1].mnt_flag |= MNT_RDONLY
    p.call("chdir", b"/m")
    assert p.statvfs(b".")[0] == MNT_RDONLY | MNT_LOCAL
    return p


CASES = [
    ("create", "open", (b"new", O_CREAT | O_RDWR, 0o644)),
    ("create exclusively", "open", (b"new", O_CREAT | O_EXCL, 0o644)),
    ("create with a slash", "open", (b"new/", O_CREAT, 0o644)),
    ("openat", "openat", (AT_FDCWD, b"dir/new", O_CREAT, 0o644)),
    ("open for writing", "open", (b"file", O_WRONLY, 0)),
    ("open for both", "open", (b"file", O_RDWR, 0)),
    ("open a link for writing", "open", (b"link", O_RDWR | O_APPEND, 0)),
    ("open and cut", "open", (b"file", O_RDONLY | O_TRUNC, 0)),
    ("remove", "unlink", (b"file",)),
    ("remove a link", "unlink", (b"link",)),
    ("remove what is not there", "unlink", (b"missing",)),
    ("remove a directory as a file", "unlink", (b"dir",)),
    ("unlinkat", "unlinkat", (AT_FDCWD, b"empty", AT_REMOVEDIR)),
    ("remove a directory", "rmdir", (b"empty",)),
    ("remove a full directory", "rmdir", (b"dir",)),
    ("remove a file as a directory", "rmdir", (b"file",)),
    ("remove no directory", "rmdir", (b"missing",)),
    ("make a directory", "mkdir", (b"new", 0o755)),
    ("make a directory with a slash", "mkdir", (b"new/", 0o755)),
    ("make a fifo", "mkfifo", (b"new", 0o644)),
    ("make a device", "__mknod50", (b"new", S_IFCHR | 0o644, 514)),
    ("make a symbolic link", "symlink", (b"file", b"new")),
    ("make a link", "link", (b"file", b"new")),
    ("link from elsewhere", "link", (b"/dev/null", b"new")),
    ("rename", "rename", (b"file", b"new")),
    ("rename to another file", "rename", (b"link", b"file")),
    ("rename what is not there", "rename", (b"missing", b"new")),
    ("rename a directory onto a file", "rename", (b"dir", b"file")),
    ("rename into", "rename", (b"/dev/null", b"new")),
    ("rename away", "rename", (b"file", b"/new")),
    ("truncate", "truncate", (b"file", 0)),
    ("chmod", "chmod", (b"file", 0o600)),
    ("chmod of a directory", "chmod", (b".", 0o700)),
    ("lchmod", "lchmod", (b"link", 0o600)),
    ("chown", "chown", (b"file", 1, 1)),
    ("lchown", "lchown", (b"link", 1, 1)),
    ("posix chown", "__posix_chown", (b"file", 1, 1)),
    ("chflags", "chflags", (b"file", 1)),
    ("utimes", "__utimes50", (b"file", None)),
    ("lutimes", "__lutimes50", (b"link", struct.pack("<4q", 1, 0, 1, 0))),
    ("utimes that are none", "__utimes50", (b"file", struct.pack("<4q", 1, -1, 1, 0))),
    ("utimensat", "utimensat", (AT_FDCWD, b"file", None, 0)),
    ("access of a file", "access", (b"file", W_OK)),
    ("access of a directory", "access", (b"dir", R_OK | W_OK)),
]


@pytest.mark.parametrize(("call", "args"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_erofs(ro: Process, call: str, args: tuple[object, ...]) -> None:
    before = ro.names(b"."), ro.names(b"/"), ro.names(b"/dev")
    assert ro.error(call, *args) == "EROFS"
    assert (ro.names(b"."), ro.names(b"/"), ro.names(b"/dev")) == before


def test_erofs_by_descriptor(ro: Process) -> None:
    fd = ro.call("open", b"file", O_RDONLY, 0)
    assert ro.error("fchmod", fd, 0o600) == "EROFS"
    assert ro.error("fchown", fd, 1, 1) == "EROFS"
    assert ro.error("fchflags", fd, 1) == "EROFS"
    assert ro.error("__futimes50", fd, None) == "EROFS"
    assert ro.error("futimens", fd, None) == "EROFS"
    assert ro.error("write", fd, b"x") == "EBADF"
    assert ro.error("ftruncate", fd, 0) == "EINVAL"


def test_what_is_there_is_there_before_it_is_read_only(ro: Process) -> None:
    assert ro.error("mkdir", b"dir", 0o755) == "EEXIST"
    assert ro.error("mkdir", b".", 0o755) == "EEXIST"
    assert ro.error("symlink", b"x", b"file") == "EEXIST"
    assert ro.error("link", b"file", b"link") == "EEXIST"
    assert ro.error("open", b"file", O_CREAT | O_EXCL, 0o644) == "EEXIST"
    assert ro.error("open", b"file", O_CREAT | O_RDONLY, 0o644) == "ok"
    assert ro.error("open", b"dir", O_RDWR, 0) == "EISDIR"
    assert ro.error("truncate", b"dir", 0) == "EISDIR"


def test_what_a_path_is_counts_first(ro: Process) -> None:
    assert ro.error("unlink", b"missing/x") == "ENOENT"
    assert ro.error("mkdir", b"file/x", 0o755) == "ENOTDIR"
    assert ro.error("unlink", b"") == "ENOENT"
    assert ro.error("unlink", b"n" * 256) == "ENAMETOOLONG"


def test_reading_works(ro: Process) -> None:
    assert ro.content(b"file") == ro.content(b"link") == b"content"
    assert ro.names(b".") == {b"dir", b"empty", b"file", b"link", b"dirlink"}
    assert ro.names(b"dirlink/full") == {b"file"}
    assert ro.call("readlink", b"link", 100) == b"file"
    ro.call("chdir", b"dirlink/full")
    assert ro.getcwd() == b"/m/dir/full"
    ro.call("chdir", b"../..")
    assert ro.getcwd() == b"/m"
    assert ro.error("access", b"file", R_OK) == "ok"
    fd = ro.call("open", b"file", O_RDONLY, 0)
    assert ro.call("fsync", fd) == 0


def test_users_are_told_the_same(ro: Process, machine: Machine) -> None:
    user = machine.process(USER)
    user.call("chdir", b"/m")
    for _, call, args in CASES:
        if call != "__mknod50" and args[0] != b"/dev/null":  # those are refused for another reason
            assert user.error(call, *args) == "EROFS", (call, args)
