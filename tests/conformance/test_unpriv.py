"""What users who are not root may do (NetBSD: tests/fs/vfs/t_unpriv.c, genfs_vnops.c)."""

from __future__ import annotations

import struct
from itertools import product

from rumpfs.abi.fcntl import O_CREAT, O_RDWR
from rumpfs.abi.stat import S_ISTXT
from rumpfs.vfs.genfs import UF_IMMUTABLE
from tests.conformance.volume import Volume

PROGRAM = "fs/vfs/t_unpriv"

SAME = 0xFFFFFFFF  # uid or gid -1


def test_owner(fs: Volume) -> None:
    user = fs.user(1)
    assert user.error("chown", b".", 1, SAME) == "EPERM"
    assert user.error("chmod", b".", 0) == "EPERM"
    fs.call("chown", b".", 1, SAME)
    user.call("chown", b".", 1, SAME)
    user.call("chmod", b".", 0)


def test_dirperms(fs: Volume) -> None:
    user = fs.user(1)
    fs.call("mkdir", b"dir.test", 0o777)  # 0755 with the umask
    assert user.error("open", b"dir.test/file.test", O_RDWR | O_CREAT, 0o666) == "EACCES"
    fs.make(b"dir.test/file.test", mode=0o666)
    assert user.error("unlink", b"dir.test/file.test") == "EACCES"
    fs.call("unlink", b"dir.test/file.test")
    fs.call("rmdir", b"dir.test")


def test_times(fs: Volume) -> None:
    user = fs.user(1)
    fs.make(b"file.test", mode=0o666)
    assert user.error("__utimes50", b"file.test", None) == "EACCES"
    fs.call("__utimes50", b"file.test", None)
    now = fs.stat(b"file.test").mtime
    for access, modification in product((now - 1, now, now + 1), repeat=2):
        times = struct.pack("<qi4xqi4x", access, 0, modification, 0)
        assert user.error("__utimes50", b"file.test", times) == "EPERM"
        fs.call("__utimes50", b"file.test", times)
        found = fs.stat(b"file.test")
        assert (found.atime, found.mtime) == (access, modification)


def test_flags(fs: Volume) -> None:
    user = fs.user(1)
    fs.make(b"file.test", mode=0o666)
    flags = fs.stat(b"file.test").flags
    fs.call("chflags", b"file.test", flags)
    assert user.error("chflags", b"file.test", flags | UF_IMMUTABLE) == "EPERM"
    fs.call("chflags", b"file.test", flags | UF_IMMUTABLE)
    assert fs.stat(b"file.test").flags == flags | UF_IMMUTABLE
    fs.call("chflags", b"file.test", flags)
    fs.call("unlink", b"file.test")


def test_sticky(fs: Volume) -> None:
    """Only root makes a file sticky; in a sticky directory only owners remove (sticky(7))."""
    owner, other = fs.user(1), fs.user(2)
    fs.call("mkdir", b"dir.test", 0o777)
    fs.call("chmod", b"dir.test", S_ISTXT | 0o777)
    owner.make(b"dir.test/file.test")
    assert owner.error("chmod", b"dir.test/file.test", S_ISTXT | 0o644) == "EFTYPE"
    fs.call("chmod", b"dir.test/file.test", S_ISTXT | 0o644)
    assert other.error("unlink", b"dir.test/file.test") == "EPERM"
    owner.call("mkdir", b"dir.test/sub", S_ISTXT | 0o777)
    owner.call("chmod", b"dir.test/sub", S_ISTXT | 0o777)
    owner.call("unlink", b"dir.test/file.test")
