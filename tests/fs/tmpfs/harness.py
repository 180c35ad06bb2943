"""A tmpfs without a kernel: mount it, and read what it says."""

from __future__ import annotations

from rumpfs.abi.mount import TMPFS_ARGS
from rumpfs.abi.stat import DIRENT, DIRENT_NAME
from rumpfs.base.copy import Data
from rumpfs.base.memory import Memory
from rumpfs.fs.tmpfs.directory import TmpfsDir
from rumpfs.fs.tmpfs.vfsops import TmpfsMount, TmpfsOps
from rumpfs.vfs.cred import ROOT, Cred
from rumpfs.vfs.mount import MountArgs, MountBody, Vfs
from rumpfs.vfs.vnode import Vnode

USER = Cred(1, 1, 1, 1, 1, 1)
PATH = 0x1000  # where the caller has the mount point's name


def arguments(
    version: int = 1, nodes: int = 0, size: int = 0, uid: int = 0, gid: int = 0, mode: int = 0o1777
) -> bytes:
    return TMPFS_ARGS.pack(version, nodes, size, uid, gid, mode)


def drive(body: MountBody, *answers: object) -> tuple[list[object], TmpfsMount]:
    """Run a mount; return what it asked for, in order, and the mount."""
    asked: list[object] = []
    given = (None, *answers)
    try:
        while len(asked) < len(given):
            asked.append(body.send(given[len(asked)]))
    except StopIteration as stop:
        return asked, stop.value
    raise AssertionError(f"asks for more: {asked}")


def mount(vfs: Vfs | None = None, flags: int = 0, **args: int) -> TmpfsMount:
    vfs = vfs or Vfs(Memory())
    return drive(TmpfsOps().mount(vfs, MountArgs(None, flags, arguments(**args), PATH)), b"/tmp")[1]


def root_of(mp: TmpfsMount) -> TmpfsDir:
    assert isinstance(mp.mnt_root, TmpfsDir)
    return mp.mnt_root


def content(vp: Vnode) -> bytes:
    return joined(vp.read(0, 1 << 30))


def joined(data: Data) -> bytes:
    return b"".join(data) if isinstance(data, list) else bytes(data)


def make(dvp: Vnode, name: bytes, data: bytes = b"", cred: Cred = ROOT) -> Vnode:
    """Make a regular file, mode 0644."""
    vp = dvp.create(name, 0o100644, cred)
    if data:
        vp.write(0, data, 0, cred)
    return vp


def entries(data: Data) -> list[tuple[int, int, bytes]]:
    """Return (inode, type, name) of packed struct dirents."""
    packed = joined(data)
    found = []
    at = 0
    while at < len(packed):
        fileno, reclen, namlen, dtype = DIRENT.unpack_from(packed, at)
        name = packed[at + DIRENT_NAME : at + DIRENT_NAME + namlen]
        assert packed[at + DIRENT_NAME + namlen : at + reclen].strip(b"\0") == b""
        found.append((fileno, dtype, name))
        at += reclen
    return found


def names(dvp: Vnode, count: int = 65536) -> list[bytes]:
    """Return the names in a directory, read in pieces of at most `count` bytes."""
    found: list[bytes] = []
    offset = 0
    while True:
        data, offset = dvp.readdir(offset, count)
        if not data:
            return found
        found += [name for _, _, name in entries(data)]
