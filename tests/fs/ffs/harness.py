"""A mounted FFS without a kernel around it, and what tests do with one."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from rumpfs.abi.errno import ENOSPC
from rumpfs.abi.mount import MNT_RDONLY
from rumpfs.abi.stat import DIRENT, DIRENT_NAME, STAT, makedev
from rumpfs.base.errors import VfsError
from rumpfs.base.memory import Memory
from rumpfs.dev.hostfile import HostFile
from rumpfs.dev.window import Window
from rumpfs.fs.ffs.ufsmount import FfsMount
from rumpfs.fs.ffs.vfsops import mount_window
from rumpfs.vfs.mount import Vfs
from rumpfs.vfs.vnode import VBLK, VCHR, VDIR, VFIFO, VLNK, VREG, VSOCK, Vnode

#: The first disk of a rump kernel.
RDEV = makedev(197, 0)

TYPE_NAMES = {
    VREG: "file", VDIR: "dir", VLNK: "symlink", VBLK: "blk", VCHR: "chr", VFIFO: "fifo", VSOCK: "sock",
}  # fmt: skip

#: Bytes that one system call moves at most.
CHUNK = 1 << 20


@contextmanager
def mounted(
    image: Path,
    offset: int = 0,
    size: int | None = None,
    flags: int = MNT_RDONLY,
    memory: Memory | None = None,
    sblock: int = 0,
) -> Iterator[FfsMount]:
    """Mount the FFS at byte `offset` of an image, and unmount it at the end."""
    hostfile = HostFile.open(str(image), readonly=True)
    window = Window(hostfile, offset, hostfile.size - offset if size is None else size)
    try:
        mp = mount_window(Vfs(memory or Memory()), window, RDEV, flags, sblock=sblock)
    except BaseException:
        window.close()
        raise
    try:
        yield mp
    finally:
        mp.unmount(0)


def squeeze(memory: Memory) -> None:
    """Ask for more memory than there is, so that every cache gives up what it can."""
    memory.limit = memory.used
    try:
        memory.charge(1 << 40)
    except VfsError as error:
        if error.errno != ENOSPC:
            raise
    memory.limit = None


class Dirent(NamedTuple):
    """A struct dirent."""

    fileno: int
    type: int
    name: bytes


def unpack_dirents(data: bytes) -> list[Dirent]:
    """Take apart what getdents returns."""
    entries = []
    position = 0
    while position < len(data):
        fileno, reclen, namlen, dtype = DIRENT.unpack_from(data, position)
        start = position + DIRENT_NAME
        name = bytes(data[start : start + namlen])
        assert data[start + namlen : position + reclen].strip(b"\0") == b""
        assert reclen % 8 == 0
        entries.append(Dirent(fileno, dtype, name))
        position += reclen
    return entries


def readdir(dvp: Vnode, count: int = 65536) -> list[Dirent]:
    """Read a directory as getdents(2) does, `count` bytes a call."""
    entries: list[Dirent] = []
    offset = 0
    while True:
        data, following = dvp.readdir(offset, count)
        if not data:
            return entries
        assert following > offset
        entries += unpack_dirents(bytes(data))
        offset = following


def content(vp: Vnode, chunk: int = CHUNK) -> Iterator[bytes]:
    """Yield the bytes of a file from start to end."""
    offset = 0
    while data := vp.read(offset, chunk):
        offset += len(data)
        yield data
    assert offset == vp.size()


def sha256(vp: Vnode, chunk: int = CHUNK) -> str:
    """Return the hash of a file's content."""
    digest = hashlib.sha256()
    for data in content(vp, chunk):
        digest.update(data)
    return digest.hexdigest()


def resolve(mp: FfsMount, path: bytes | str) -> Vnode:
    """Return the vnode of a path below the root, without following links."""
    vp: Vnode | None = mp.mnt_root
    for part in os.fsencode(path).strip(b"/").split(b"/"):
        if part:
            assert vp is not None
            vp = vp.lookup(part)
    assert vp is not None, path
    return vp


def walk(dvp: Vnode, path: bytes = b"") -> Iterator[tuple[bytes, Vnode]]:
    """Yield (path, vnode) of everything below a directory, a directory before its contents."""
    for _, _, name in readdir(dvp):
        if name in (b".", b".."):
            continue
        vp = dvp.lookup(name)
        assert vp is not None, name
        yield path + b"/" + name, vp
        if vp.v_type == VDIR:
            yield from walk(vp, path + b"/" + name)


def visit(root: Vnode) -> tuple[int, set[int]]:
    """Use everything that can be reached, damaged or not: attributes, lists, content, texts.

    Returns the number of vnodes, and the errnos of what failed; any other exception passes.
    """
    seen: set[int] = set()
    errors: set[int] = set()
    todo = [root]
    while todo:
        vp = todo.pop()
        if vp.getattr().fileid in seen:
            continue
        seen.add(vp.getattr().fileid)
        assert len(vp.stat()) == STAT.size
        try:
            if vp.v_type == VREG:
                _read_some(vp)
            elif vp.v_type == VLNK:
                assert len(vp.readlink()) <= 1024
            elif vp.v_type == VDIR:
                vp.lookup(b"no such name")
        except VfsError as error:
            errors.add(error.errno)
        if vp.v_type == VDIR:
            todo += _below(vp, errors)
    return len(seen), errors


def _read_some(vp: Vnode) -> None:
    """Read a file, but only the start, the middle and the end of one that claims to be large."""
    size = vp.size()
    offsets = range(0, size, CHUNK) if size <= 16 * CHUNK else (0, size // 2, size - CHUNK)
    for offset in offsets:
        assert len(vp.read(offset, CHUNK)) == min(CHUNK, size - offset)


def _below(dvp: Vnode, errors: set[int]) -> Iterator[Vnode]:
    """Yield what a directory names, as far as it can be read."""
    offset = 0
    while True:
        try:
            data, offset = dvp.readdir(offset, 65536)
        except VfsError as error:
            errors.add(error.errno)
            return
        if not data:
            return
        for entry in unpack_dirents(bytes(data)):
            try:
                vp = dvp.lookup(entry.name)
            except VfsError as error:
                errors.add(error.errno)
            else:
                assert vp is not None
                yield vp
