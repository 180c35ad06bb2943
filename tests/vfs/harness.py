"""File systems without a kernel: a root file system, tmpfs mounts in it, and who looks things up there."""

from __future__ import annotations

from dataclasses import dataclass

from rumpfs.base.errors import VfsError
from rumpfs.base.memory import Memory
from rumpfs.fs.rootfs.vfsops import RootfsOps, mount_root
from rumpfs.fs.tmpfs.directory import TmpfsDir
from rumpfs.fs.tmpfs.vfsops import TmpfsMount, TmpfsOps
from rumpfs.vfs.cred import ROOT, Cred
from rumpfs.vfs.mount import Vfs
from rumpfs.vfs.namei import namei
from rumpfs.vfs.vnode import Vnode

USER = Cred(1, 1, 1, 1, 1, 1)


@dataclass
class Caller:
    """What namei wants to know of a process."""

    cred: Cred
    cwd: Vnode
    rdir: Vnode


class World:
    """A vfs, and a caller in its root."""

    def __init__(self) -> None:
        self.vfs = Vfs(Memory())
        for op in (RootfsOps(), TmpfsOps()):
            self.vfs.attach(op)
        mount_root(self.vfs)
        self.caller = Caller(ROOT, self.vfs.rootvnode, self.vfs.rootvnode)

    def find(self, path: bytes, follow: bool = True, at: Vnode | None = None) -> Vnode:
        return namei(self.caller, path, follow, at)

    def error(self, path: bytes, follow: bool = True, at: Vnode | None = None) -> str:
        """Return the name of the errno that a lookup fails with, or ``ok``."""
        return errno_of(lambda: self.find(path, follow, at))

    def mkdir(self, path: bytes, mode: int = 0o755) -> Vnode:
        directory, _, name = path.rpartition(b"/")
        return self.find(directory or b"/").mkdir(name, mode, ROOT)

    def make(self, path: bytes) -> Vnode:
        directory, _, name = path.rpartition(b"/")
        return self.find(directory or b"/").create(name, 0o100644, ROOT)

    def symlink(self, path: bytes, text: bytes) -> Vnode:
        directory, _, name = path.rpartition(b"/")
        return self.find(directory or b"/").symlink(name, 0o777, text, ROOT)

    def mount(self, path: bytes, flags: int = 0) -> TmpfsMount:
        """Mount a tmpfs and return it."""
        mp = TmpfsMount(self.vfs.types[b"tmpfs"], flags, self.vfs.memory)
        mp.mnt_root = TmpfsDir(mp, 0o755, 0, 0, None)
        self.vfs.getnewfsid(mp)
        self.vfs.enter(mp, self.find(path))
        return mp


def errno_of(function: object) -> str:
    """Return the name of the errno that a call fails with, or ``ok``."""
    try:
        function()  # type: ignore[operator]
    except VfsError as error:
        return str(error).split()[0].rstrip(":")
    return "ok"
