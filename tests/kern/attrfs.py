"""A file system type for tests: two files, each of which keeps extended attributes in memory."""

from __future__ import annotations

from collections.abc import Callable

from rumpfs.abi import errno
from rumpfs.abi.mount import MNT_RDONLY
from rumpfs.base.errors import VfsError
from rumpfs.vfs.cred import VREAD, VWRITE, Cred
from rumpfs.vfs.genfs import can_extattr
from rumpfs.vfs.mount import Mount, MountArgs, MountBody, StatVfs, Vfs, VfsOps
from rumpfs.vfs.vnode import VDIR, VLNK, VREG, VTTOIF, Vattr, Vnode

#: bytes that a value may have
SIZE = 10 << 20


class Node(Vnode):
    """A file, or the root directory."""

    __slots__ = ("attributes", "fileid", "names", "uid")

    def __init__(self, mp: Mount, vtype: int, fileid: int) -> None:
        super().__init__(mp, vtype)
        self.fileid = fileid
        self.uid = 0
        self.names: dict[bytes, Node] = {}
        self.attributes: dict[tuple[int, bytes], bytes] = {}

    def getattr(self) -> Vattr:
        mode = VTTOIF[self.v_type] | 0o755
        return Vattr(1, mode, self.fileid, 1, self.uid, 0, 0, *[0] * 10, 512, 0, 0)

    def lookup(self, name: bytes) -> Vnode | None:
        return self.names.get(name)

    def readlink(self) -> bytes:
        return b"file"

    def getextattr(self, attrnamespace: int, name: bytes, cred: Cred) -> bytes:
        can_extattr(self, attrnamespace, VREAD, cred)
        try:
            return self.attributes[attrnamespace, name]
        except KeyError:
            raise VfsError(errno.ENODATA) from None

    def listextattr(self, attrnamespace: int, cred: Cred) -> list[bytes]:
        can_extattr(self, attrnamespace, VREAD, cred)
        return [name for namespace, name in self.attributes if namespace == attrnamespace]

    def setextattr(self, attrnamespace: int, name: bytes, length: int, cred: Cred) -> Callable[[bytes], None]:
        self._check(attrnamespace, cred)
        if length > SIZE:
            raise VfsError(errno.ENXIO)

        def store(value: bytes) -> None:
            self.attributes[attrnamespace, name] = value

        return store

    def deleteextattr(self, attrnamespace: int, name: bytes, cred: Cred) -> None:
        self._check(attrnamespace, cred)
        if self.attributes.pop((attrnamespace, name), None) is None:
            raise VfsError(errno.ENODATA)

    def _check(self, attrnamespace: int, cred: Cred) -> None:
        if self.v_mount.mnt_flag & MNT_RDONLY:
            raise VfsError(errno.EROFS)
        can_extattr(self, attrnamespace, VWRITE, cred)


class AttrMount(Mount):
    """A mount with ``file``, which the user 1 owns, and ``link``, a symbolic link to it."""

    def __init__(self, op: VfsOps, flags: int) -> None:
        super().__init__(op, flags)
        self.mnt_root = root = Node(self, VDIR, 2)
        root.names = {b"file": Node(self, VREG, 3), b"link": Node(self, VLNK, 4)}
        root.names[b"file"].uid = 1
        self.commands: list[tuple[object, ...]] = []

    def statvfs(self) -> StatVfs:
        return StatVfs(*[512] * 11)

    def extattrctl(
        self, cmd: int, vp: Vnode | None, attrnamespace: int, name: bytes | None, cred: Cred
    ) -> None:
        self.commands.append((cmd, vp, attrnamespace, name, cred.euid))


class AttrOps(VfsOps):
    """The file system type "attrfs"."""

    name = b"attrfs"

    def mount(self, vfs: Vfs, args: MountArgs) -> MountBody:
        mp = AttrMount(self, args.flags)
        yield from args.names(mp, b"attrfs")
        return mp
