"""Directories of a tmpfs (NetBSD: tmpfs_vnops.c, tmpfs_subr.c, tmpfs_rename.c)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rumpfs.abi import errno
from rumpfs.abi.limits import LINK_MAX
from rumpfs.abi.stat import DT_DIR, S_IFDIR, S_IFLNK
from rumpfs.base.clock import Timespec, now
from rumpfs.base.copy import Data
from rumpfs.base.errors import VfsError
from rumpfs.fs.tmpfs.node import DIRENT_SIZE, TmpfsNode, name_size
from rumpfs.fs.tmpfs.vnops import TmpfsFifo, TmpfsLnk, TmpfsReg, TmpfsSpec
from rumpfs.vfs.cred import VWRITE, Cred
from rumpfs.vfs.dirseq import DirSeq
from rumpfs.vfs.genfs import APPEND, IMMUTABLE
from rumpfs.vfs.vnode import NODEV, VBLK, VCHR, VDIR, VFIFO, VNON, VREG, Vnode, type_of

if TYPE_CHECKING:
    from rumpfs.fs.tmpfs.vfsops import TmpfsMount

# Cookies of readdir: . and .. come first, the other names follow in the order in which they were made.
_DOT: Final = 0
_DOTDOT: Final = 1
_FIRST: Final = 3


class TmpfsDir(TmpfsNode):
    """A directory.

    Args:
        mp: its mount.
        mode: permission bits.
        parent: the directory that it is made in; None for the root.
        named: bytes that its name counts for.

    Attributes:
        tn_parent: what ``..`` is; None once the directory is removed.
    """

    __slots__ = ("_dents", "_order", "_seq", "tn_parent")

    def __init__(
        self, mp: TmpfsMount, mode: int, uid: int, gid: int, parent: TmpfsDir | None, named: int = 0
    ) -> None:
        super().__init__(mp, VDIR, mp.node_get(named), mode | S_IFDIR, uid, gid, now())
        self.tn_links = 2
        self.tn_parent: TmpfsDir | None = parent or self
        self._dents: dict[bytes, tuple[TmpfsNode, int]] = {}  # name -> the file, and the entry's cookie
        self._order = DirSeq()
        self._seq = _FIRST

    def size(self) -> int:
        return len(self._dents) * DIRENT_SIZE

    # --- reading --------------------------------------------------------------------------------

    def lookup(self, name: bytes) -> Vnode | None:
        dent = self._dents.get(name)
        if dent is not None:
            return dent[0]
        return self.tn_parent if name == b".." else None

    def readdir(self, offset: int, count: int) -> tuple[Data, int]:
        parent = self.tn_parent
        if parent is None:  # removed: not even . is left
            return b"", offset
        self._accessed()
        dots = (_DOT, self.tn_id, DT_DIR, b"."), (_DOTDOT, parent.tn_id, DT_DIR, b"..")
        return self._order.read(offset, count, self._inode, dots)

    def _inode(self, name: bytes) -> tuple[int, int]:
        """Return the number and the DT_ type of what a name is."""
        node = self._dents[name][0]
        return node.tn_id, node.tn_mode >> 12

    # --- making names ---------------------------------------------------------------------------

    def create(self, name: bytes, mode: int, cred: Cred, rdev: int = NODEV) -> Vnode:
        """Make a file. Errors: EINVAL (no such type), ENOENT (the directory was removed), ENOSPC."""
        vtype = type_of(mode)
        if vtype in (VNON, VDIR):
            raise VfsError(errno.EINVAL)
        mp = self.v_mount
        number = mp.node_get(self._named(name))
        moment = now()
        node: TmpfsNode
        if vtype == VREG:
            node = TmpfsReg(mp, number, mode, cred.euid, self.tn_gid, moment)
        elif vtype == VFIFO:
            node = TmpfsFifo(mp, number, mode, cred.euid, self.tn_gid, moment)
        else:
            rdev = rdev if vtype in (VBLK, VCHR) else NODEV
            node = TmpfsSpec(mp, vtype, number, mode, cred.euid, self.tn_gid, moment, rdev)
        self._attach(name, node, moment)
        return node

    def mkdir(self, name: bytes, mode: int, cred: Cred) -> Vnode:
        """Make a directory. Errors: ENOENT (this one was removed), EMLINK, ENOSPC."""
        named = self._named(name)
        if self.tn_links >= LINK_MAX:
            raise VfsError(errno.EMLINK)
        node = TmpfsDir(self.v_mount, mode, cred.euid, self.tn_gid, self, named)
        self.tn_links += 1
        self._attach(name, node, node.tn_birthtime)
        return node

    def symlink(self, name: bytes, mode: int, target: bytes, cred: Cred) -> Vnode:
        """Make a symbolic link. Errors: ENOENT (the directory was removed), ENOSPC."""
        mp = self.v_mount
        number = mp.node_get(self._named(name) + name_size(len(target)))
        moment = now()
        node = TmpfsLnk(mp, number, mode | S_IFLNK, cred.euid, self.tn_gid, moment, target)
        self._attach(name, node, moment)
        return node

    def link(self, name: bytes, vp: Vnode, cred: Cred) -> None:
        """Give a file a further name.

        Errors:
            EMLINK; EPERM: it is immutable or append-only; ENOENT: it or the directory was removed; ENOSPC.
        """
        assert isinstance(vp, TmpfsNode)
        if vp.tn_links >= LINK_MAX:
            raise VfsError(errno.EMLINK)
        if vp.tn_flags & (IMMUTABLE | APPEND):
            raise VfsError(errno.EPERM)
        if not vp.tn_links:
            raise VfsError(errno.ENOENT)
        self.v_mount.charge(self._named(name))
        vp.tn_links += 1
        vp._changed()
        self._attach(name, vp, now())

    def _named(self, name: bytes) -> int:
        """Return the bytes that a new name counts for. Errors: ENOENT: the directory was removed."""
        if self.tn_parent is None:
            raise VfsError(errno.ENOENT)
        return DIRENT_SIZE + name_size(len(name))

    def _attach(self, name: bytes, node: TmpfsNode, moment: Timespec) -> None:
        """Enter a name behind the others (tmpfs_dir_attach)."""
        self._dents[name] = node, self._seq
        self._order.append(self._seq, name)
        self._seq += 1
        self._renewed(moment)

    def _renewed(self, moment: Timespec) -> None:
        """Names have come or gone."""
        self.tn_mtime = self.tn_ctime = moment
        self._stat = None

    # --- removing names -------------------------------------------------------------------------

    def remove(self, name: bytes, vp: Vnode, cred: Cred) -> None:
        """Take a name away. Errors: EPERM: the file or the directory is immutable or append-only."""
        assert isinstance(vp, TmpfsNode)
        if (self.tn_flags | vp.tn_flags) & (IMMUTABLE | APPEND):
            raise VfsError(errno.EPERM)
        self._detach(name, vp, now())

    def rmdir(self, name: bytes, vp: Vnode, cred: Cred) -> None:
        """Remove an empty directory. Errors: ENOTEMPTY; EPERM, as for `remove`."""
        assert isinstance(vp, TmpfsDir)
        if vp._dents:
            raise VfsError(errno.ENOTEMPTY)
        self.remove(name, vp, cred)

    def _detach(self, name: bytes, node: TmpfsNode, moment: Timespec) -> None:
        """Take a name out, and the file with it when that was the last one (tmpfs_dir_detach)."""
        _, cookie = self._dents.pop(name)
        self._order.remove(cookie)
        self._renewed(moment)
        self.v_mount.credit(DIRENT_SIZE + name_size(len(name)))
        if isinstance(node, TmpfsDir):
            self.tn_links -= 1
            node.tn_links -= 1  # its "."
            node.tn_parent = None
        node.unlinked(moment)

    def rename(
        self, name: bytes, vp: Vnode, tdvp: Vnode, tname: bytes, tvp: Vnode | None, cred: Cred
    ) -> None:
        """Move a name, replacing another.

        Errors:
            EPERM: an immutable or append-only file or directory is concerned; ENOENT: the target directory
            was removed; ENOTEMPTY; EACCES: a directory that may not be written, so that its ``..`` cannot
            change; EMLINK; ENOSPC.
        """
        assert isinstance(vp, TmpfsNode)
        assert isinstance(tdvp, TmpfsDir)
        assert tvp is None or isinstance(tvp, TmpfsNode)
        self._check_rename(vp, tdvp, tvp, cred)
        longer = name_size(len(tname)) - name_size(len(name))
        if longer > 0:
            self.v_mount.charge(longer)
        else:
            self.v_mount.credit(-longer)
        moment = now()
        if tvp is not None:
            tdvp._detach(tname, tvp, moment)
        _, cookie = self._dents.pop(name)
        self._renewed(moment)
        if tdvp is self:
            # It keeps its place, or who renames while reading would meet it again.
            self._dents[tname] = vp, cookie
            self._order.replace(cookie, tname)
        else:
            self._order.remove(cookie)
            tdvp._attach(tname, vp, moment)
            if isinstance(vp, TmpfsDir):
                self.tn_links -= 1
                tdvp.tn_links += 1
                vp.tn_parent = tdvp
                vp._order.repack()
        vp._changed()

    def _check_rename(self, vp: TmpfsNode, tdvp: TmpfsDir, tvp: TmpfsNode | None, cred: Cred) -> None:
        """Check flags, permission and counts of a rename (genfs_rename.c)."""
        flags = self.tn_flags | vp.tn_flags | (0 if tvp is None else tvp.tn_flags | tdvp.tn_flags)
        if flags & (IMMUTABLE | APPEND) or tdvp.tn_flags & IMMUTABLE:
            raise VfsError(errno.EPERM)
        if tdvp.tn_parent is None:
            raise VfsError(errno.ENOENT)
        if isinstance(tvp, TmpfsDir) and tvp._dents:
            raise VfsError(errno.ENOTEMPTY)
        if vp.v_type == VDIR and tdvp is not self:
            vp.access(VWRITE, cred)
            if tvp is None and tdvp.tn_links >= LINK_MAX:
                raise VfsError(errno.EMLINK)

    def dissolve(self) -> list[TmpfsNode]:
        """Empty the directory because the file system goes, and return what was in it, links undone."""
        nodes = [node for node, _ in self._dents.values()]
        self._dents.clear()
        self._order = DirSeq()
        self._renewed(self.tn_mtime)
        for node in nodes:
            node.tn_links = 0 if node.v_type == VDIR else node.tn_links - 1
        self.tn_parent = None
        self.tn_links = 0
        return nodes
