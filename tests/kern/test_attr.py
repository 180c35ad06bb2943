"""Attributes: NetBSD's t_vnops (attrs, access_simple) and t_unpriv, times, pathconf (netbsd_abi 1.3)."""

from __future__ import annotations

import struct

import pytest

from rumpfs.abi.fcntl import (
    AT_EACCESS,
    AT_FDCWD,
    AT_SYMLINK_NOFOLLOW,
    F_OK,
    O_CREAT,
    O_RDONLY,
    O_RDWR,
    R_OK,
    W_OK,
    X_OK,
)
from rumpfs.abi.stat import UTIME_NOW, UTIME_OMIT
from rumpfs.vfs.cred import Cred
from tests.kern.incore import USER, Machine, Process

UNCHANGED = 0xFFFFFFFF


def timevals(atime: tuple[int, int], mtime: tuple[int, int]) -> bytes:
    return struct.pack("<qi4xqi4x", *atime, *mtime)


def timespecs(atime: tuple[int, int], mtime: tuple[int, int]) -> bytes:
    return struct.pack("<4q", *atime, *mtime)


def times(p: Process, path: bytes) -> tuple[tuple[int, int], tuple[int, int]]:
    va = p.lstat(path)
    return (va.atime, va.atimensec), (va.mtime, va.mtimensec)


def test_attrs(t: Process) -> None:
    # t_vnops: times keep their microseconds
    t.make(b"f")
    t.call("chown", b"f", 1, 2)
    t.call("chmod", b"f", 0o123)
    t.call("__utimes50", b"f", timevals((1234567890, 123456), (987654321, 654321)))
    va = t.stat(b"f")
    assert (va.uid, va.gid, va.mode) == (1, 2, 0o100123)
    assert times(t, b"f") == ((1234567890, 123456000), (987654321, 654321000))


def test_access_simple(t: Process) -> None:
    t.make(b"tfile", mode=0o755)
    t.call("mkdir", b"tdir", 0o777)
    for path in (b"tdir", b"tfile"):
        assert t.call("access", path, R_OK | W_OK | X_OK) == 0
        assert t.call("access", path, F_OK) == 0
        assert t.error("access", path, R_OK | 1 << 14) == "EINVAL"
    assert t.error("access", b"missing", 8) == "EINVAL"
    assert t.error("access", b"missing", F_OK) == "ENOENT"


def test_access_asks_for_the_real_ids(t: Process) -> None:
    t.make(b"f", mode=0o600)
    t.p.cred = Cred(euid=0, egid=0, ruid=1, rgid=1)
    assert t.error("access", b"f", R_OK) == "EACCES"
    assert t.error("faccessat", AT_FDCWD, b"f", R_OK, 0) == "EACCES"
    assert t.error("faccessat", AT_FDCWD, b"f", R_OK, AT_EACCESS) == "ok"


def test_access_walks_with_the_real_ids(t: Process) -> None:
    t.call("mkdir", b"d", 0o700)
    t.make(b"d/f", mode=0o644)
    t.p.cred = Cred(euid=0, egid=0, ruid=1, rgid=1)
    for mode in (F_OK, R_OK):
        assert t.error("access", b"d/f", mode) == "EACCES"
        assert t.error("faccessat", AT_FDCWD, b"d/f", mode, 0) == "EACCES"
        assert t.error("faccessat", AT_FDCWD, b"d/f", mode, AT_EACCESS) == "ok"
    t.p.cred = Cred(euid=1, egid=1, ruid=0, rgid=0)
    assert t.error("access", b"d/f", R_OK) == "ok"
    assert t.error("faccessat", AT_FDCWD, b"d/f", R_OK, AT_EACCESS) == "EACCES"


def test_the_superuser_executes_what_anybody_may(t: Process) -> None:
    t.make(b"f", mode=0o644)
    assert t.error("access", b"f", X_OK) == "EACCES"
    t.call("chmod", b"f", 0o645)
    assert t.error("access", b"f", X_OK) == "ok"
    t.call("mkdir", b"d", 0)
    assert t.error("access", b"d", R_OK | W_OK | X_OK) == "ok"


# --- t_unpriv ---------------------------------------------------------------------------------------


@pytest.fixture
def user(t: Process, machine: Machine) -> Process:
    """A process of user 1 in ``/t``, which is root's."""
    process = machine.process(USER)
    process.call("chdir", b"/t")
    return process


def test_owner(t: Process, user: Process) -> None:
    t.call("mkdir", b"mine", 0o755)
    t.call("mkdir", b"users", 0o755)
    t.call("chown", b"users", 1, 1)
    assert user.error("chown", b"mine", 1, UNCHANGED) == "EPERM"
    assert user.error("chmod", b"mine", 0o1000) == "EPERM"
    user.call("chown", b"users", 1, 1)
    user.call("chmod", b"users", 0o1001)
    assert t.stat(b"users").mode == 0o041001
    assert user.error("chown", b"users", 0, UNCHANGED) == "EPERM"
    assert user.error("chown", b"users", UNCHANGED, 2) == "EPERM"
    user.p.cred = Cred(1, 1, 1, 1, 1, 1, groups=(2,))
    user.call("chown", b"users", UNCHANGED, 2)


def test_dirperms(t: Process, user: Process) -> None:
    t.call("chmod", b".", 0o755)
    t.make(b"file")
    assert user.error("open", b"new", O_CREAT | O_RDWR, 0o644) == "EACCES"
    assert user.error("unlink", b"file") == "EACCES"
    assert user.error("unlink", b"missing") == "ENOENT"
    assert user.error("mkdir", b"dir", 0o755) == "EACCES"
    assert user.error("mkdir", b"file", 0o755) == "EEXIST"
    assert user.error("symlink", b"x", b"s") == "EACCES"
    assert user.error("mkfifo", b"p", 0o644) == "EACCES"
    assert user.error("rename", b"file", b"other") == "EACCES"
    t.call("chmod", b".", 0o777)
    user.call("close", user.call("open", b"new", O_CREAT | O_RDWR, 0o644))
    assert t.stat(b"new").uid == 1
    user.call("unlink", b"file")


def test_times(t: Process, user: Process) -> None:
    t.make(b"f", mode=0o644)
    assert user.error("__utimes50", b"f", None) == "EACCES"
    assert user.error("__utimes50", b"f", timevals((1, 0), (1, 0))) == "EPERM"
    t.call("chmod", b"f", 0o666)
    assert user.error("__utimes50", b"f", None) == "ok"
    assert user.error("utimensat", AT_FDCWD, b"f", timespecs((0, UTIME_NOW), (0, UTIME_NOW)), 0) == "ok"
    assert user.error("utimensat", AT_FDCWD, b"f", timespecs((0, UTIME_NOW), (0, UTIME_OMIT)), 0) == "EPERM"
    assert user.error("__utimes50", b"f", timevals((1, 0), (1, 0))) == "EPERM"
    t.call("chown", b"f", 1, 1)
    assert user.error("__utimes50", b"f", timevals((1, 0), (1, 0))) == "ok"


def test_searching_needs_permission_at_every_step(t: Process, user: Process) -> None:
    t.call("mkdir", b"d", 0o755)
    t.call("mkdir", b"d/e", 0o755)
    t.make(b"d/e/f")
    assert user.error("__stat50", b"d/e/f") == "ok"
    t.call("chmod", b"d", 0o644)
    for path in (b"d/e/f", b"d/e", b"d/missing", b"d/.", b"d/..", b"d/./e"):
        assert user.error("__stat50", path) == "EACCES", path
    assert user.error("__stat50", b"d") == user.error("__stat50", b"d/") == "ok"
    assert user.error("chdir", b"d") == "EACCES"
    assert user.error("open", b"d", O_RDONLY, 0) == "ok"
    t.call("chmod", b"d", 0o711)
    assert user.error("__stat50", b"d/e/f") == "ok"
    assert user.error("open", b"d", O_RDONLY, 0) == "EACCES"
    assert t.error("__stat50", b"d/e/f") == "ok"


def test_opening_checks_all_it_asks_for(t: Process, user: Process) -> None:
    for mode, expected in ((0o444, "r"), (0o222, "w"), (0o666, "rwb"), (0o000, "")):
        t.make(b"f", mode=0o600)
        t.call("chmod", b"f", mode)
        for letter, flags in (("r", O_RDONLY), ("w", 1), ("b", O_RDWR)):
            assert user.error("open", b"f", flags, 0) == ("ok" if letter in expected else "EACCES")
    t.call("mkdir", b"secret", 0o700)
    assert user.error("open", b"secret", O_RDWR, 0) == "EISDIR"


def test_which_permission_bits_count(t: Process, machine: Machine) -> None:
    t.make(b"f")
    t.call("chown", b"f", 10, 20)
    t.call("chmod", b"f", 0o142)  # x for the owner, r for the group, w for others
    rights = {Cred(10, 20): "x", Cred(11, 20): "r", Cred(11, 21, groups=(20,)): "r", Cred(11, 21): "w"}
    for cred, right in rights.items():
        process = machine.process(Cred(cred.euid, cred.egid, cred.euid, cred.egid, 0, 0, cred.groups))
        process.call("chdir", b"/t")
        for letter, mode in (("r", R_OK), ("w", W_OK), ("x", X_OK)):
            assert process.error("access", b"f", mode) == ("ok" if letter == right else "EACCES")


# --- the ways to name a file ------------------------------------------------------------------------


def test_links_are_followed_except_by_the_l_calls(t: Process) -> None:
    t.make(b"f")
    t.call("symlink", b"f", b"s")
    t.call("chmod", b"s", 0o600)
    t.call("lchmod", b"s", 0o700)
    t.call("chown", b"s", 5, 6)
    t.call("lchown", b"s", 7, 8)
    t.call("__utimes50", b"s", timevals((5, 0), (6, 0)))
    t.call("__lutimes50", b"s", timevals((7, 0), (8, 0)))
    file, link = t.stat(b"f"), t.lstat(b"s")
    assert (file.mode, file.uid, file.gid, file.mtime) == (0o100600, 5, 6, 6)
    assert (link.mode, link.uid, link.gid, link.mtime) == (0o120700, 7, 8, 8)
    t.call("fchmodat", AT_FDCWD, b"s", 0o640, AT_SYMLINK_NOFOLLOW)
    t.call("fchownat", AT_FDCWD, b"s", 9, UNCHANGED, AT_SYMLINK_NOFOLLOW)
    t.call("utimensat", AT_FDCWD, b"s", timespecs((9, 1), (10, 2)), AT_SYMLINK_NOFOLLOW)
    link = t.lstat(b"s")
    assert (link.mode, link.uid, link.gid) == (0o120640, 9, 8)
    assert times(t, b"s") == ((9, 1), (10, 2))
    assert t.stat(b"f") == file
    assert t.call("fstatat", AT_FDCWD, b"s", AT_SYMLINK_NOFOLLOW) == t.call("__lstat50", b"s")


def test_the_calls_with_a_descriptor(t: Process) -> None:
    fd = t.call("open", b"f", O_CREAT | O_RDWR, 0o644)
    t.call("fchmod", fd, 0o600)
    t.call("fchown", fd, 5, UNCHANGED)
    t.call("__futimes50", fd, timevals((5, 7), (6, 8)))
    assert t.fstat(fd) == t.stat(b"f")
    assert (t.fstat(fd).mode, t.fstat(fd).uid) == (0o100600, 5)
    t.call("futimens", fd, timespecs((1, 2), (3, 4)))
    assert times(t, b"f") == ((1, 2), (3, 4))
    for call in ("fchmod", "fchflags"):
        assert t.error(call, 99, 0) == "EBADF"
    assert t.error("__futimes50", 99, None) == "EBADF"
    assert t.error("__fstat50", 99) == "EBADF"


def test_chown_and_the_set_id_bits(t: Process) -> None:
    for call, root_keeps in (("chown", False), ("__posix_chown", True)):
        t.make(b"f")
        t.call("chmod", b"f", 0o6755)
        t.call(call, b"f", UNCHANGED, UNCHANGED)
        assert t.stat(b"f").mode == 0o106755
        t.call(call, b"f", 1, UNCHANGED)
        assert t.stat(b"f").mode == (0o106755 if root_keeps else 0o102755)
        t.call(call, b"f", UNCHANGED, 1)
        assert t.stat(b"f").mode == (0o106755 if root_keeps else 0o100755)


@pytest.mark.parametrize("call", ["chown", "__posix_chown"])
def test_a_users_chown_clears_both_set_id_bits(t: Process, user: Process, call: str) -> None:
    """POSIX, chown(): both bits go when the caller has no privileges; chown(2) says that they go."""
    user.p.cred = Cred(1, 1, 1, 1, 1, 1, groups=(2,))
    t.make(b"f")
    t.call("chown", b"f", 1, 1)
    for uid, gid in ((UNCHANGED, 2), (1, 1)):
        t.call("chmod", b"f", 0o6755)
        user.call(call, b"f", uid, gid)
        assert (t.stat(b"f").mode, t.stat(b"f").gid) == (0o100755, gid)


# --- times ------------------------------------------------------------------------------------------


def test_utimes_of_now(t: Process) -> None:
    t.make(b"f")
    t.call("__utimes50", b"f", timevals((1, 0), (1, 0)))
    t.call("__utimes50", b"f", None)
    assert min(times(t, b"f"))[0] > 1_000_000_000


def test_omitted_and_present_times(t: Process) -> None:
    t.make(b"f")
    t.call("utimensat", AT_FDCWD, b"f", timespecs((11, 1), (12, 2)), 0)
    t.call("utimensat", AT_FDCWD, b"f", timespecs((0, UTIME_OMIT), (20, 5)), 0)
    assert times(t, b"f") == ((11, 1), (20, 5))
    t.call("utimensat", AT_FDCWD, b"f", timespecs((30, 3), (0, UTIME_OMIT)), 0)
    assert times(t, b"f") == ((30, 3), (20, 5))
    t.call("utimensat", AT_FDCWD, b"f", timespecs((0, UTIME_OMIT), (0, UTIME_OMIT)), 0)
    assert times(t, b"f") == ((30, 3), (20, 5))
    t.call("__utimes50", b"f", timevals((40, 0), (0, UTIME_OMIT)))  # utimes knows them as well
    assert times(t, b"f") == ((40, 0), (20, 5))
    t.call("__utimes50", b"f", timevals((0, UTIME_NOW), (50, 0)))
    assert times(t, b"f")[0][0] > 1_000_000_000


@pytest.mark.parametrize("bad", [-1, 1_000_000])
def test_times_that_are_none(t: Process, bad: int) -> None:
    t.make(b"f")
    before = times(t, b"f")
    for values in (timevals((1, bad), (1, 0)), timevals((1, 0), (1, bad))):
        assert t.error("__utimes50", b"f", values) == "EINVAL"
    nanoseconds = bad if bad < 0 else bad * 1000
    for values in (timespecs((1, nanoseconds), (1, 0)), timespecs((1, 0), (1, nanoseconds))):
        assert t.error("utimensat", AT_FDCWD, b"f", values, 0) == "EINVAL"
    assert times(t, b"f") == before


def test_a_modification_before_the_birth_moves_that(t: Process) -> None:
    t.make(b"f")
    born = t.stat(b"f").birthtime
    t.call("__utimes50", b"f", timevals((born + 10, 0), (born + 10, 0)))
    assert t.stat(b"f").birthtime == born
    t.call("__utimes50", b"f", timevals((born, 0), (1000, 5)))
    assert (t.stat(b"f").birthtime, t.stat(b"f").birthtimensec) == (1000, 5000)


# --- pathconf ---------------------------------------------------------------------------------------


def test_pathconf(t: Process) -> None:
    t.make(b"f")
    fd = t.call("open", b"f", O_RDONLY, 0)
    # netbsd_abi section 5: what both answer
    for name, value in {1: 32767, 4: 255, 5: 1024, 6: 512, 7: 1, 8: 1, 10: 1}.items():
        assert t.call("pathconf", b"f", name) == t.call("fpathconf", fd, name) == value
    for name in (0, 2, 99, -1):
        assert t.error("pathconf", b"f", name) == t.error("fpathconf", fd, name) == "EINVAL"
    assert t.error("pathconf", b"missing", 4) == "ENOENT"
    assert t.error("fpathconf", 99, 4) == "EBADF"
    assert t.error("fpathconf", 1, 6) == "EOPNOTSUPP"
