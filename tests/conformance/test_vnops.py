"""Vnode operations (NetBSD: tests/fs/vfs/t_vnops.c)."""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

import pytest

from rumpfs.abi.fcntl import (
    F_GETLK,
    F_RDLCK,
    F_SETLK,
    F_UNLCK,
    F_WRLCK,
    FLOCK,
    O_CREAT,
    O_DIRECTORY,
    O_EXCL,
    O_RDONLY,
    O_RDWR,
    R_OK,
    SEEK_END,
    SEEK_SET,
    W_OK,
    X_OK,
)
from rumpfs.abi.limits import PC_NAME_MAX, PC_NO_TRUNC
from rumpfs.abi.stat import S_IFLNK, S_IFMT, S_IFREG
from tests.conformance.volume import Volume

PROGRAM = "fs/vfs/t_vnops"

NOTHING = 0xFFFFFFFFFFFFFFFF  # the device number that NetBSD's cases give for a regular file


@pytest.mark.needs("times")
def test_lookup_simple(volume: Volume) -> None:
    volume.mount_read_only({})
    name = volume.mp.lstrip(b"/")
    direct = volume.call("__stat50", volume.mp + b"/../" + name)
    assert volume.call("__stat50", volume.mp + b"/./../" + name) == direct


def test_lookup_complex(fs: Volume) -> None:
    fs.call("mkdir", b"dir", 0o777)
    direct = fs.stat(b"dir")
    assert fs.stat(b"./dir/../././dir/.")._replace(atime=direct.atime) == direct


def test_dir_simple(fs: Volume) -> None:
    fs.call("mkdir", b"dir", 0o777)
    fs.stat(b"dir")
    fs.call("rmdir", b"dir")
    assert fs.error("__stat50", b"dir") == "ENOENT"


def dir_slashes(fs: Volume, slashes: bytes) -> None:
    fs.call("mkdir", b"dir/", 0o777)
    fs.stat(b"dir" + slashes)
    fs.call("rmdir", b"dir" + slashes)
    assert fs.error("__stat50", b"dir/") == "ENOENT"


def test_dir_slash(fs: Volume) -> None:
    dir_slashes(fs, b"/")


def test_dir_2slash(fs: Volume) -> None:
    dir_slashes(fs, b"//")


def test_dir_3slash(fs: Volume) -> None:
    dir_slashes(fs, b"///")


def test_dir_notempty(fs: Volume) -> None:
    fs.call("mkdir", b"dir", 0o777)
    fs.make(b"dir/file", mode=0o777)
    assert fs.error("rmdir", b"dir") == "ENOTEMPTY"
    fs.call("unlink", b"dir/file")
    fs.call("rmdir", b"dir")


def test_dir_rmdirdotdot(fs: Volume) -> None:
    for name in (b"test", b"subtest"):
        fs.call("mkdir", name, 0o777)
        fs.call("chdir", name)
    fs.call("rmdir", fs.mp + b"/test/subtest")
    fs.call("rmdir", fs.mp + b"/test")
    assert fs.error("chdir", b"..") == "ENOENT"


@pytest.mark.needs("rename")
def test_rename_dir(fs: Volume) -> None:
    fs.call("mkdir", b"dir1", 0o777)
    fs.call("mkdir", b"dir2", 0o777)
    fs.call("mkdir", b"dir2/subdir", 0o777)
    fs.call("__mknod50", b"dir1/file", S_IFREG | 0o777, NOTHING)
    file = fs.stat(b"dir1/file")

    fs.call("rename", b"dir1", b"dir3")
    assert fs.error("rename", b"dir3/.", b"dir3") == "EINVAL"
    assert fs.error("rename", b"dir3", b"dir3/.") == "EISDIR"
    assert fs.stat(b"dir3/file") == file
    # a directory into itself, and into what is below it
    assert fs.error("rename", b"dir2", b"dir2/dir") == "EINVAL"
    assert fs.error("rename", b"dir2", b"dir2/subdir/dir2") == "EINVAL"
    assert fs.error("rename", b"dir2", b"dir3") == "ENOTEMPTY"
    assert fs.stat(b"dir3/file") == file
    # from one directory into another, back through it, and over an empty one
    fs.call("rename", b"dir3", b"dir2/somedir")
    assert fs.stat(b"dir2/somedir/file") == file
    fs.call("rename", b"dir2/somedir", b"dir2/somedir/../../dir3")
    assert fs.stat(b"dir2/../dir3/file") == file
    fs.call("rename", b"dir2/../dir3", b"dir2/subdir")
    assert fs.stat(b"dir2/subdir/file") == file

    for name in (b"parent", b"parent/dir1", b"parent/dir2"):
        fs.call("mkdir", name, 0o777)
    fs.call("rename", b"parent/dir1", b"parent/dir2")
    assert fs.stat(b"parent").nlink == 3
    fs.call("rmdir", b"parent/dir2")
    fs.call("rmdir", b"parent")


@pytest.mark.needs("rename")
def test_rename_dotdot(fs: Volume) -> None:
    fs.call("mkdir", b"dir1", 0o777)
    fs.call("mkdir", b"dir2", 0o777)
    assert fs.error("rename", b"dir1", b"dir1/..") == "EINVAL"
    assert fs.error("rename", b"dir1/..", b"sometarget") == "EINVAL"
    assert fs.error("rename", b"dir1", b"dir2/..") == "EINVAL"


@pytest.mark.needs("rename")
def test_rename_reg_nodir(fs: Volume) -> None:
    fs.call("__mknod50", b"file1", S_IFREG | 0o777, NOTHING)
    fs.call("__mknod50", b"file2", S_IFREG | 0o777, NOTHING)
    number = fs.stat(b"file1").fileid
    fs.call("link", b"file1", b"file_link")
    assert (fs.stat(b"file_link").fileid, fs.stat(b"file_link").nlink) == (number, 2)

    fs.call("rename", b"file1", b"file3")
    assert fs.stat(b"file3").fileid == number
    assert fs.error("__stat50", b"file1") == "ENOENT"
    fs.call("rename", b"file3", b"file2")
    assert fs.stat(b"file2").fileid == number
    assert fs.error("__stat50", b"file3") == "ENOENT"
    # onto another name of the same file: the source name goes
    fs.call("rename", b"file2", b"file_link")
    assert fs.error("__stat50", b"file2") == "ENOENT"
    assert (fs.stat(b"file_link").fileid, fs.stat(b"file_link").nlink) == (number, 1)
    assert fs.error("rename", b"file_link", None) == "EFAULT"
    assert fs.error("rename", None, b"file_link") == "EFAULT"


@pytest.mark.slow
@pytest.mark.imgsize(64 << 20)
def test_create_many(fs: Volume) -> None:
    names = [b"testfile%d" % number for number in range(2324)]
    fs.call("mkdir", b"subdir", 0o777)
    fs.call("chdir", b"subdir")
    for name in names:
        fs.call("close", fs.call("open", name, O_RDWR | O_CREAT | O_EXCL, 0o666))
    assert fs.names(b".") == set(names)
    for name in names:
        fs.call("unlink", name)
    assert fs.names(b".") == set()


@pytest.mark.imgsize(64 << 20)
def test_create_nonalphanum(fs: Volume) -> None:
    refused = []
    for number in range(1, 256):
        name = bytes([number])
        error = fs.error("__mknod50", name, S_IFREG | 0o666, NOTHING)
        if error == "ok":
            fs.call("close", fs.call("open", name, O_RDWR, 0))
            fs.call("unlink", name)
        else:
            refused.append((name, error))
    # which characters a name may have is the file system's own rule; these may have all
    assert refused == [(b".", "EEXIST"), (b"/", "EEXIST")]


def too_long(fs: Volume) -> bytes:
    """Return a name that is one byte too long; names are not cut."""
    assert fs.call("pathconf", b".", PC_NO_TRUNC) != 0
    return b"a" * (fs.call("pathconf", b".", PC_NAME_MAX) + 1)


def test_create_nametoolong(fs: Volume) -> None:
    assert fs.error("open", too_long(fs), O_RDWR | O_CREAT, 0o666) == "ENAMETOOLONG"


def test_create_exist(fs: Volume) -> None:
    fs.call("open", b"hoge", O_RDWR | O_CREAT | O_EXCL, 0o666)
    fs.call("unlink", b"hoge")
    fs.call("open", b"hoge", O_RDWR | O_CREAT, 0o666)
    fs.call("open", b"hoge", O_RDWR | O_CREAT, 0o666)
    assert fs.error("open", b"hoge", O_RDWR | O_CREAT | O_EXCL, 0o666) == "EEXIST"
    fs.call("unlink", b"hoge")


@pytest.mark.needs("rename")
def test_rename_nametoolong(fs: Volume) -> None:
    fs.make(b"dummy")
    assert fs.error("rename", b"dummy", too_long(fs)) == "ENAMETOOLONG"


def symlink_of_length(fs: Volume, length: int) -> None:
    if (error := fs.error("symlink", b"a" * length, b"afile")) == "ok":
        assert fs.lstat(b"afile").size == length
        fs.call("unlink", b"afile")
    else:
        assert error == "ENAMETOOLONG"


def test_symlink_zerolen(fs: Volume) -> None:
    symlink_of_length(fs, 0)


def test_symlink_long(fs: Volume) -> None:
    for power in range(1, 17):
        for length in ((1 << power) - 1, 1 << power, (1 << power) + 1):
            symlink_of_length(fs, length)


def test_symlink_root(fs: Volume) -> None:
    fs.call("symlink", b"/", b"foo")
    fs.call("chdir", b"foo")
    assert fs.getcwd() == b"/"


def test_attrs(fs: Volume) -> None:
    fs.make(b"afile", mode=0o755)
    fs.call("chown", b"afile", 1, 2)
    fs.call("chmod", b"afile", 0o123)
    times = struct.pack("<qi4xqi4x", 1_000_000_000, 1, 1_000_000_002, 3)
    fs.call("__utimes50", b"afile", times)
    found = fs.stat(b"afile")
    assert (found.uid, found.gid, found.mode) == (1, 2, S_IFREG | 0o123)
    assert (found.atime, found.atimensec) == (1_000_000_000, 1000)
    assert (found.mtime, found.mtimensec) == (1_000_000_002, 3000)


class Lock(NamedTuple):
    """struct flock."""

    start: int
    len: int
    pid: int
    type: int
    whence: int = SEEK_SET

    def encode(self) -> bytes:
        return FLOCK.pack(*self)


def test_fcntl_lock(fs: Volume) -> None:
    exclusive = Lock(1024, 1024, 0, F_RDLCK | F_WRLCK, SEEK_END)
    fd = fs.call("open", b"afile", O_RDWR | O_CREAT, 0o755)
    fs.call("ftruncate", fd, 8192)
    assert fs.call("fcntl", fd, F_SETLK, exclusive.encode()) == 0
    child = fs.process()
    fd2 = child.call("open", b"afile", O_RDWR, 0)
    assert child.error("fcntl", fd2, F_SETLK, exclusive.encode()) == "EAGAIN"
    fs.call("fcntl", fd, F_SETLK, exclusive._replace(type=F_UNLCK).encode())
    assert child.call("fcntl", fd2, F_SETLK, exclusive.encode()) == 0


def locks_in(p: Any, fd: int, start: int, end: int) -> list[Lock]:
    """Return the locks in a range that are in the way of a process."""
    buffer = bytearray(Lock(start, end - start, 0, F_RDLCK).encode())
    p.call("fcntl", fd, F_GETLK, buffer)
    lock = Lock(*FLOCK.unpack(buffer))
    if lock.type == F_UNLCK:
        return []
    found = [lock]
    if lock.start > start:
        found += locks_in(p, fd, start, lock.start)
    if lock.len and lock.start + lock.len < end:
        found += locks_in(p, fd, lock.start + lock.len, end)
    return found


def test_fcntl_getlock_pids(fs: Volume) -> None:
    size = 8192
    ranges = [(0, 2), (2, 1), (7, 5), (4, 3)]  # the greater pid has locked what comes before
    owners = [fs.process() for _ in range(len(ranges) + 1)]
    fds = [p.call("open", b"afile", O_RDWR | O_CREAT, 0o755) for p in owners]
    expected = []
    for p, fd, (start, length) in zip(owners, fds, ranges, strict=False):
        p.call("ftruncate", fd, size)
        p.call("fcntl", fd, F_SETLK, Lock(start, length, 0, F_WRLCK).encode())
        expected.append(Lock(start, length, p.call("getpid"), F_WRLCK))
    # each sees the locks of all others, the last one all of them
    for p, fd in zip(owners, fds, strict=True):
        others = [lock for lock in expected if lock.pid != p.call("getpid")]
        assert sorted(locks_in(p, fd, 0, size)) == sorted(others)


def test_access_simple(fs: Volume) -> None:
    fs.make(b"tfile", mode=0o777)
    fs.call("access", b"tfile", R_OK | W_OK | X_OK)
    assert fs.error("access", b"tfile", (R_OK | W_OK | X_OK) + 1) == "EINVAL"


def test_read_directory(volume: Volume) -> None:
    volume.mount_read_only({})
    fd = volume.call("open", b".", O_DIRECTORY | O_RDONLY, 0o777)
    assert volume.error("pread", fd, 1024, 0) in ("ok", "EISDIR")
    assert volume.error("read", fd, 1024) in ("ok", "EISDIR")
    volume.call("close", fd)


def test_lstat_symlink(fs: Volume) -> None:
    fs.call("symlink", b"source", b"destination")
    found = fs.lstat(b"destination")
    assert (found.mode & S_IFMT, found.size) == (S_IFLNK, len(b"source"))
