"""fcntl(2) with F_GETPATH (NetBSD: sys_descrip.c, vfs_getcwd.c: vnode_to_path)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rumpfs.abi.fcntl import F_GETPATH, O_CREAT, O_NONBLOCK, O_RDONLY, O_RDWR
from rumpfs.abi.limits import PATH_MAX
from tests.kern.incore import Machine, Process


def getpath(p: Process, fd: int) -> bytes:
    buffer = bytearray(b"\xff" * PATH_MAX)
    assert p.call("fcntl", fd, F_GETPATH, p.map(buffer)) == 0
    path, _, rest = bytes(buffer).partition(b"\0")
    assert rest.strip(b"\xff") == b""
    return path


def getpath_error(p: Process, fd: int) -> str:
    return p.error("fcntl", fd, F_GETPATH, p.map(bytearray(PATH_MAX)))


def test_paths_of_files(t: Process) -> None:
    t.call("mkdir", b"dir", 0o755)
    t.make(b"dir/file")
    t.call("symlink", b"../t/./dir//file", b"link")
    for path in (b"dir/file", b"/t/dir/../dir/file", b"link"):
        assert getpath(t, t.call("open", path, O_RDONLY, 0)) == b"/t/dir/file"
    assert getpath(t, t.call("open", b"new", O_CREAT | O_RDWR, 0o644)) == b"/t/new"
    assert getpath(t, t.call("open", b"/dev/null", O_RDONLY, 0)) == b"/dev/null"
    at = t.call("open", b"dir", O_RDONLY, 0)
    assert getpath(t, t.call("openat", at, b"file", O_RDONLY, 0)) == b"/t/dir/file"
    t.call("mkfifo", b"fifo", 0o600)
    assert getpath(t, t.call("open", b"fifo", O_RDONLY | O_NONBLOCK, 0)) == b"/t/fifo"


def test_paths_of_directories(t: Process) -> None:
    t.call("mkdir", b"dir", 0o755)
    for path, result in ((b"dir/.", b"/t/dir"), (b"dir/..", b"/t"), (b"/", b"/"), (b"..", b"/")):
        assert getpath(t, t.call("open", path, O_RDONLY, 0)) == result


def test_a_name_that_is_gone(tmp: Process) -> None:
    tmp.call("mkdir", b"dir", 0o755)
    tmp.make(b"dir/file")
    fd = tmp.call("open", b"dir/file", O_RDONLY, 0)
    tmp.call("rename", b"dir", b"moved")
    assert getpath(tmp, fd) == b"/t/moved/file"
    tmp.call("rename", b"moved/file", b"moved/other")
    assert getpath_error(tmp, fd) == "ENOENT"
    tmp.make(b"moved/file")  # another one
    assert getpath_error(tmp, fd) == "ENOENT"
    tmp.call("unlink", b"moved/file")
    tmp.call("unlink", b"moved/other")
    tmp.call("rmdir", b"moved")
    assert getpath_error(tmp, fd) == "ENOENT"


def test_what_has_no_path(t: Process) -> None:
    reader, _ = t.call("pipe")
    assert getpath_error(t, reader) == getpath_error(t, t.call("kqueue")) == "EOPNOTSUPP"
    assert getpath_error(t, 99) == "EBADF"
    t.make(b"file")
    fd = t.call("open", b"file", O_RDONLY, 0)
    assert t.error("fcntl", fd, F_GETPATH, 0) == "EFAULT"


def test_the_path_is_the_one_that_the_process_sees(machine: Machine, t: Process) -> None:
    t.call("mkdir", b"/t/jail", 0o755)
    t.make(b"/t/jail/file")
    inside, outside = (t.call("open", path, O_RDONLY, 0) for path in (b"/t/jail/file", b"/dev/null"))
    t.call("chroot", b"/t/jail")
    assert getpath(t, inside) == b"/file"
    assert getpath_error(t, outside) == "ENOENT"


@pytest.mark.parametrize(("extra", "result"), [(0, "ok"), (1, "ERANGE")])
def test_the_longest_path(t: Process, extra: int, result: str) -> None:
    for _ in range(4):
        t.call("mkdir", b"d" * 200, 0o755)
        t.call("chdir", b"d" * 200)
    name = b"f" * (PATH_MAX - len(t.getcwd()) - len(b"/") - len(b"\0") + extra)
    t.make(name)
    assert getpath_error(t, t.call("open", name, O_RDONLY, 0)) == result


def test_an_etfs_key(machine: Machine, t: Process, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(os.urandom(512))
    machine.drive(b"/dir/key", tmp_path / "file", "reg")
    assert getpath(t, t.call("open", b"/dir/key", O_RDONLY, 0)) == b"/dir/key"
