"""Copies, moves and links of hijacked programs, call by call (NetBSD: tests/lib/librumphijack/t_vfs.sh)."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest

from rumpfs.abi.fcntl import O_CREAT, O_EXCL, O_RDONLY, O_WRONLY
from rumpfs.vfs.vnode import Vattr
from tests.conformance.volume import Volume

PROGRAM = "lib/librumphijack/t_vfs"
NOT_APPLICABLE = {"ln_x": "the preloaded library refuses a link between kernels, and no call is made"}
BLOCK = 64 << 10
CTIME = ("ctime", "ctimensec")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A tree of the host with files of many sizes, empty and nested directories, and links."""
    top = tmp_path / "tree"
    for depth in range(4):
        directory = top.joinpath(*["deep"] * depth)
        directory.mkdir(mode=0o755)
        for size in (0, 1, 511, 4096, 70_000 * (depth == 1)):
            (directory / f"file{size}").write_bytes(os.urandom(size))
        (directory / "empty").mkdir(mode=0o700)
        (directory / "link").symlink_to("../file1")
    (top / "script").write_bytes(b"#!/bin/sh\n")
    (top / "script").chmod(0o755)
    return top


def copy(p: Any, source: Path, target: bytes) -> None:
    """Copy a tree of the host as cp -Rp does."""
    status = source.lstat()
    mode = stat.S_IMODE(status.st_mode)
    times = b"".join(
        (part // 1000 if nanos else part).to_bytes(8, "little")
        for time in (status.st_atime_ns, status.st_mtime_ns)
        for nanos, part in enumerate(divmod(time, 1_000_000_000))
    )
    if source.is_symlink():
        p.call("symlink", os.fsencode(os.readlink(source)), target)
        p.call("__lutimes50", target, times)
        return
    if source.is_dir():
        p.call("mkdir", target, mode | 0o700)
        for entry in sorted(source.iterdir()):
            copy(p, entry, target + b"/" + os.fsencode(entry.name))
    else:
        fd = p.call("open", target, O_WRONLY | O_CREAT | O_EXCL, mode & ~0o022)
        with source.open("rb") as stream:
            while data := stream.read(BLOCK):
                assert p.call("write", fd, data) == len(data)
        p.call("close", fd)
    p.call("__utimes50", target, times)
    p.call("chown", target, 7, 8)
    p.call("chmod", target, mode)


def same(p: Any, source: Path, target: bytes) -> None:
    """Check that a tree is that of the host (diff -r, and the attributes)."""
    host, rump = source.lstat(), p.lstat(target)
    assert stat.S_IFMT(rump.mode) == stat.S_IFMT(host.st_mode)
    if source.is_symlink():
        assert p.call("readlink", target, 1024) == os.fsencode(os.readlink(source))
        return
    assert (rump.mode, rump.uid, rump.gid) == (host.st_mode, 7, 8)
    assert rump.mtime * 10**6 + rump.mtimensec // 1000 == host.st_mtime_ns // 1000
    if source.is_dir():
        names = {os.fsencode(entry.name) for entry in source.iterdir()}
        assert p.names(target) == names
        for name in names:
            same(p, source / os.fsdecode(name), target + b"/" + name)
        return
    fd = p.call("open", target, O_RDONLY, 0)
    data = b""
    while piece := p.call("read", fd, BLOCK):
        data += piece
    p.call("close", fd)
    assert data == source.read_bytes()


def copied(fs: Volume, tree: Path) -> None:
    """Copy a tree, and compare; if the file system keeps it, after it was unmounted and mounted again."""
    copy(fs.p, tree, b"copy")
    if fs.kind.survives:
        fs.unmount()
        fs.mount()
    same(fs.p, tree, fs.mp + b"/copy")


def test_paxcopy(fs: Volume, tree: Path) -> None:
    copied(fs, tree)


def test_cpcopy(fs: Volume, tree: Path) -> None:
    copied(fs, tree)


def test_mv_x(fs: Volume, tree: Path) -> None:
    """A move between kernels is a copy."""
    copied(fs, tree)


def unlike(one: Vattr, other: Vattr, *but: str) -> set[str]:
    """Return the attributes in which two files differ, without some."""
    return {name for name in Vattr._fields if name not in but and getattr(one, name) != getattr(other, name)}


@pytest.mark.needs("rename")
def test_mv_nox(fs: Volume) -> None:
    """A file that is moved keeps all but its time of change."""
    fs.make(b"filename")
    before = fs.stat(b"filename")
    fs.call("mkdir", b"dir", 0o777)
    fs.call("rename", b"filename", b"dir/same")
    assert unlike(before, fs.stat(b"dir/same"), *CTIME) == set()


@pytest.mark.needs("links")
def test_ln_nox(fs: Volume) -> None:
    """A file that gets a second name keeps all but the number of its names and its time of change."""
    fs.make(b"filename")
    before = fs.stat(b"filename")
    fs.call("mkdir", b"dir", 0o777)
    fs.call("link", b"filename", b"dir/same")
    for name in (b"filename", b"dir/same"):
        assert unlike(before, fs.stat(name), *CTIME, "nlink") == set()
    assert fs.stat(b"filename").nlink == 2


def test_runonprefix(volume: Volume) -> None:
    """/rump/dev is the kernel's /dev; /rumpdev is no path of the kernel's."""
    assert stat.S_ISDIR(volume.stat(b"/dev").mode)
    assert volume.error("__stat50", b"/rumpdev") == "ENOENT"


def test_blanket(volume: Volume) -> None:
    """A blanketed path arrives as it is, and means what the prefixed one does."""
    null = volume.stat(b"/dev/null")
    assert stat.S_ISCHR(null.mode)
    assert volume.stat(b"//dev/null") == null


def test_doubleblanket(fs: Volume) -> None:
    """Through a directory and through a link to it one finds the same file."""
    fs.call("mkdir", b"dir", 0o777)
    fs.call("symlink", b"dir", b"dirtoo")
    fs.make(b"dir/file")
    assert unlike(fs.stat(b"dir/file"), fs.stat(b"dirtoo/file")) == set()
