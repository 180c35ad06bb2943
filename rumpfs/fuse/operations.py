"""FUSE's requests, carried out on a tree. The methods are called by handlers (see `handlers`).

The host checks permissions (the option default_permissions) with the groups and capabilities of the caller,
so what arrives here may be done; callers count for whom new files belong to, and for the rules of NetBSD.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from typing import Final, Generic

import pyfuse3

from rumpfs.abi import errno
from rumpfs.abi.fcntl import O_APPEND, O_SYNC, O_TRUNC
from rumpfs.abi.limits import NAME_MAX
from rumpfs.abi.stat import ALLPERMS, S_IFDIR, S_IFMT, S_IFREG, makedev
from rumpfs.base.copy import Buffer
from rumpfs.base.errors import VfsError
from rumpfs.fuse.habits import GIVEN, HAS_BRIEF, Brief, Habit, Habits
from rumpfs.fuse.nodes import Node, Nodes, SharedNodes, Shown
from rumpfs.fuse.tree import Entry, F, H, Tree
from rumpfs.vfs.cred import ROOT, Cred
from rumpfs.vfs.vnode import NODEV, SetAttr

#: flags of the host's open(2) -> NetBSD's; the access modes have the same numbers
_OPEN_FLAGS: Final = {
    os.O_APPEND: O_APPEND, os.O_TRUNC: O_TRUNC, os.O_SYNC: O_SYNC, os.O_DSYNC: O_SYNC,
}  # fmt: skip
_SPECIAL: Final = os.O_APPEND | os.O_TRUNC | os.O_SYNC | os.O_DSYNC
_DOTS: Final = (b".", b"..")
#: first entries of a directory that a process is tried with
_SAMPLES: Final = 4
#: what is put before the inode numbers of files that cannot be read
_DAMAGED: Final = 0xFFFE << 48
#: the extended attributes that files can have here
_USER: Final = b"user."


class OpenFile(Generic[F, H]):
    """What a file handle of FUSE stands for."""

    __slots__ = ("append", "handle", "node")

    def __init__(self, node: Node[F], handle: H, append: bool) -> None:
        self.node = node
        self.handle = handle
        self.append = append


class OpenDir(Generic[F, H]):
    """A directory that is being read: some of its entries, numbered from `first` on.

    The host says where to go on with the number of an entry; `starts` has the cookies of the pieces read so
    far, so that it can go back.

    Args:
        habit: of who reads it.

    Attributes:
        brief: makes entries without attributes.
    """

    __slots__ = ("_tried", "brief", "entries", "first", "following", "habit", "handle", "node", "starts")

    def __init__(self, node: Node[F], handle: H, habit: Habit) -> None:
        self.node = node
        self.handle = handle
        self.habit = habit
        self.brief = Brief()
        self._tried = habit.tried
        self.rewind()

    def names_only(self) -> bool:
        """Whether names do; the process was tried with another directory."""
        if not self._tried or self.habit.curious:
            return False
        self.hold_back()
        return True

    def hold_back(self) -> None:
        """Attributes are not given: who asks for them is heard of from now on."""
        self.habit.tried = True
        self.node.reader = self.habit

    def rewind(self) -> None:
        """Begin anew."""
        self.entries: list[Entry] = []
        self.first = 0
        self.following = 0
        self.starts: list[tuple[int, int]] = []


class Operations(Generic[F, H]):
    """The requests of one mount.

    Args:
        tree: what is mounted.
        shown: how its files are shown.
    """

    def __init__(self, tree: Tree[F, H], shown: Shown) -> None:
        self.tree = tree
        self.nodes: Nodes[F, H] = (SharedNodes if tree.waits else Nodes)(tree, shown)
        self._files: dict[int, OpenFile[F, H]] = {}
        self._dirs: dict[int, OpenDir[F, H]] = {}
        self._handle = itertools.count(1).__next__  # the number of a new handle; threads may ask for it
        self._mapped = shown.uid is not None or shown.gid is not None or shown.umask is not None
        self._absent = absent(0 if tree.waits else shown.entry_timeout)
        self._absent_yet = absent(0)
        self._former: HostCred | None = None
        self._habits = Habits(tree.waits and HAS_BRIEF)

    def close(self) -> None:
        """The mount is gone: close what is open, forget what the host knew."""
        for file in self._files.values():
            self.tree.close(file.handle)
        for directory in self._dirs.values():
            self.tree.close(directory.handle)
        self._files.clear()
        self._dirs.clear()
        self.nodes.clear()

    def _cred(self, ctx: pyfuse3.RequestContext) -> Cred:
        """Return who has asked; with shown owners that are not the real ones, the superuser."""
        if self._mapped or not (ctx.uid or ctx.gid):
            return ROOT
        cred = self._former
        if cred is None or (cred.pid, cred.euid, cred.egid) != (ctx.pid, ctx.uid, ctx.gid):
            cred = self._former = HostCred(ctx.uid, ctx.gid, ctx.pid)
        return cred

    # --- names ----------------------------------------------------------------------------------

    def lookup(self, parent: int, name: bytes, ctx: pyfuse3.RequestContext) -> pyfuse3.EntryAttributes:
        """Return what a name is, and count that the host knows it; or that there is no such name."""
        directory = self.nodes.at(parent)
        try:
            file = self.tree.lookup(directory.file, name)
        except VfsError as error:
            if error.errno != errno.ENOENT:
                raise
            return self._absent if directory.kept else self._absent_yet
        entry = self.nodes.tell(file, parent, name)
        reader = directory.reader
        if reader is not None and entry.st_mode & S_IFMT != S_IFDIR:
            reader.curious = True
            directory.reader = None
        return entry

    def forget(self, counts: Sequence[tuple[int, int]]) -> None:
        """The host has forgotten files."""
        self.nodes.forget(counts)

    def mknod(
        self, parent: int, name: bytes, mode: int, rdev: int, ctx: pyfuse3.RequestContext
    ) -> pyfuse3.EntryAttributes:
        """Make a file, FIFO, socket or device."""
        number = makedev(os.major(rdev), os.minor(rdev)) if rdev else NODEV
        file = self.tree.mknod(self.nodes.at(parent).file, name, mode, number, self._cred(ctx))
        return self.nodes.tell(file, parent, name)

    def mkdir(
        self, parent: int, name: bytes, mode: int, ctx: pyfuse3.RequestContext
    ) -> pyfuse3.EntryAttributes:
        """Make a directory."""
        file = self.tree.mkdir(self.nodes.at(parent).file, name, mode & ALLPERMS, self._cred(ctx))
        return self.nodes.tell(file, parent, name)

    def symlink(
        self, parent: int, name: bytes, target: bytes, ctx: pyfuse3.RequestContext
    ) -> pyfuse3.EntryAttributes:
        """Make a symbolic link."""
        file = self.tree.symlink(self.nodes.at(parent).file, name, target, self._cred(ctx))
        return self.nodes.tell(file, parent, name)

    def link(
        self, ino: int, parent: int, name: bytes, ctx: pyfuse3.RequestContext
    ) -> pyfuse3.EntryAttributes:
        """Give a file a further name."""
        file = self.nodes.at(ino).file
        self.tree.link(file, self.nodes.at(parent).file, name, self._cred(ctx))
        return self.nodes.tell(file, parent, name)

    def unlink(self, parent: int, name: bytes, ctx: pyfuse3.RequestContext) -> None:
        """Take a name away."""
        self.tree.unlink(self.nodes.at(parent).file, name, self._cred(ctx), rmdir=False)

    def rmdir(self, parent: int, name: bytes, ctx: pyfuse3.RequestContext) -> None:
        """Remove a directory."""
        self.tree.unlink(self.nodes.at(parent).file, name, self._cred(ctx), rmdir=True)

    def rename(
        self,
        parent: int,
        name: bytes,
        to_parent: int,
        to_name: bytes,
        flags: int,
        ctx: pyfuse3.RequestContext,
    ) -> None:
        """Move a name. Errors: EINVAL: RENAME_EXCHANGE, RENAME_WHITEOUT; EEXIST: RENAME_NOREPLACE."""
        if flags & ~pyfuse3.RENAME_NOREPLACE:
            raise VfsError(errno.EINVAL)
        directory, to_directory = self.nodes.at(parent).file, self.nodes.at(to_parent).file
        file = self.tree.lookup(directory, name)
        if flags & pyfuse3.RENAME_NOREPLACE:
            self._check_absent(to_directory, to_name)
        self.tree.rename(directory, name, to_directory, to_name, self._cred(ctx))
        node = self.nodes.get(file)
        if node is not None:
            node.where = to_parent, to_name

    def _check_absent(self, directory: F, name: bytes) -> None:
        try:
            self.tree.lookup(directory, name)
        except VfsError as error:
            if error.errno != errno.ENOENT:
                raise
        else:
            raise VfsError(errno.EEXIST)

    # --- attributes -------------------------------------------------------------------------------

    def getattr(self, ino: int, ctx: pyfuse3.RequestContext) -> pyfuse3.EntryAttributes:
        """Return attributes."""
        return self.nodes.attributes(self.nodes.at(ino))

    def setattr(
        self,
        ino: int,
        attr: pyfuse3.EntryAttributes,
        fields: pyfuse3.SetattrFields,
        fh: int | None,
        ctx: pyfuse3.RequestContext,
    ) -> pyfuse3.EntryAttributes:
        """Change attributes. That of the change (ctime) cannot be set."""
        va = SetAttr()
        if fields.update_mode:
            va.mode = attr.st_mode & ALLPERMS
        if fields.update_uid:
            va.uid = attr.st_uid
        if fields.update_gid:
            va.gid = attr.st_gid
        if fields.update_size:
            va.size = attr.st_size
        if fields.update_atime:
            va.atime = divmod(attr.st_atime_ns, 1_000_000_000)
        if fields.update_mtime:
            va.mtime = divmod(attr.st_mtime_ns, 1_000_000_000)
        node = self.nodes.at(ino)
        self.tree.setattr(node.file, va)
        return self.nodes.attributes(node)

    def readlink(self, ino: int, ctx: pyfuse3.RequestContext) -> bytes:
        """Return the text of a symbolic link."""
        return self.tree.readlink(self.nodes.at(ino).file)

    def statfs(self, ctx: pyfuse3.RequestContext) -> pyfuse3.StatvfsData:
        """Return the space figures."""
        vfs = self.tree.statvfs()
        data = pyfuse3.StatvfsData()
        data.f_bsize = vfs.bsize
        data.f_frsize = vfs.frsize
        data.f_blocks = vfs.blocks
        data.f_bfree = max(0, vfs.bfree)
        data.f_bavail = max(0, vfs.bavail)
        data.f_files = vfs.files
        data.f_ffree = vfs.ffree
        data.f_favail = vfs.favail
        data.f_namemax = NAME_MAX
        return data

    # --- open files -------------------------------------------------------------------------------

    def open(self, ino: int, flags: int, ctx: pyfuse3.RequestContext) -> pyfuse3.FileInfo:
        """Open a file."""
        node = self.nodes.at(ino)
        return pyfuse3.FileInfo(fh=self._open(node, flags), keep_cache=node.kept)

    def _open(self, node: Node[F], flags: int) -> int:
        """Open a file and return the number of the handle.

        Args:
            flags: as the host has them.
        """
        own = flags & os.O_ACCMODE
        if flags & _SPECIAL:
            for host, flag in _OPEN_FLAGS.items():
                if flags & host == host:
                    own |= flag
        handle = self.tree.open(node.file, own)
        fh = self._handle()
        self._files[fh] = OpenFile(node, handle, bool(own & O_APPEND))
        return fh

    def create(
        self, parent: int, name: bytes, mode: int, flags: int, ctx: pyfuse3.RequestContext
    ) -> tuple[pyfuse3.FileInfo, pyfuse3.EntryAttributes]:
        """Make a file and open it; one that has just come into being is opened."""
        file, flags = self._made(self.nodes.at(parent).file, name, mode, flags, self._cred(ctx))
        entry = self.nodes.tell(file, parent, name)
        node = self.nodes.at(entry.st_ino)
        try:
            fh = self._open(node, flags)
        except VfsError:
            self.nodes.untell(file)
            raise
        return pyfuse3.FileInfo(fh=fh, keep_cache=node.kept), entry

    def _made(self, directory: F, name: bytes, mode: int, flags: int, cred: Cred) -> tuple[F, int]:
        """Make a file, or find one; return it, and the flags that are left to open it with."""
        try:
            file = self.tree.mknod(directory, name, mode & ALLPERMS | S_IFREG, NODEV, cred)
        except VfsError as error:
            if error.errno != errno.EEXIST or flags & os.O_EXCL:
                raise
            return self.tree.lookup(directory, name), flags
        return file, flags & ~os.O_TRUNC

    def read(self, fh: int, offset: int, size: int) -> Buffer:
        """Return what is in a file."""
        file = self._files[fh]
        file.node.told = True
        return self.tree.read(file.handle, offset, size)

    def write(self, fh: int, offset: int, data: bytes) -> int:
        """Store data.

        With O_APPEND the host says where it believes the end to be. Behind that it goes to the real end;
        before it are pages of a mapping, which have their place.
        """
        file = self._files[fh]
        node = file.node
        self.tree.write(file.handle, offset, data, file.append and offset >= node.size)
        end = offset + len(data)
        if end > node.size:
            node.size = end
        return len(data)

    def release(self, fh: int) -> None:
        """Close a file."""
        self.tree.close(self._files.pop(fh).handle)

    def fsync(self, fh: int, datasync: bool) -> None:
        """Bring a file to stable storage."""
        self.tree.fsync(self._files[fh].handle)

    # --- directories ------------------------------------------------------------------------------

    def opendir(self, ino: int, ctx: pyfuse3.RequestContext) -> int:
        """Open a directory."""
        node = self.nodes.at(ino)
        handle = self.tree.open(node.file, os.O_RDONLY)
        fh = self._handle()
        self._dirs[fh] = OpenDir(node, handle, self._habits.of(ctx.pid))
        return fh

    def readdir(self, fh: int, start: int, token: pyfuse3.ReaddirToken) -> None:
        """Give the host entries, with the attributes of their files (see `habits`), until it has enough."""
        directory = self._dirs[fh]
        index = self._seek(directory, start)
        while index >= 0 and self._list(directory, index, token):
            index = 0 if self._next(directory) else -1

    def _list(self, directory: OpenDir[F, H], index: int, token: pyfuse3.ReaddirToken) -> bool:
        """Give the host what is left of a piece of a directory from an index on; whether it wants more."""
        node, brief = directory.node, directory.brief
        parent, ino = node.file, node.ino
        reply, tell, lookup = pyfuse3.readdir_reply, self.nodes.tell, self.tree.lookup
        number = self.tree.entry_number
        names_only = directory.names_only()
        sample = self._sample(directory, index)
        entries, behind = directory.entries, directory.first + 1
        for place in range(index, len(entries)):
            fileno, dtype, name = entries[place]
            file = None
            if (names_only and dtype not in GIVEN) or name == sample:
                attributes = brief(number(parent, fileno), dtype)
            elif name in _DOTS:
                attributes = self.nodes.attributes(node)
            else:
                try:
                    file = lookup(parent, name)
                    attributes = tell(file, ino, name)
                except VfsError as error:
                    if error.errno == errno.ENOENT:
                        continue  # it went meanwhile
                    attributes = _damaged(fileno, dtype)
            if not reply(token, name, attributes, behind + place):
                if file is not None:
                    self.nodes.untell(file)
                return False
        return True

    def _sample(self, directory: OpenDir[F, H], index: int) -> bytes | None:
        """Return the name of a file whose attributes are held back to try the process; None: it is not tried.

        The host does not know the file, and has room for the name.
        """
        if directory.habit.tried or not HAS_BRIEF:
            return None
        for _, dtype, name in directory.entries[index : index + _SAMPLES]:
            if dtype not in GIVEN and self._unknown(directory.node.file, name):
                directory.hold_back()
                return name
        return None

    def _unknown(self, directory: F, name: bytes) -> bool:
        """Whether the host does not know a file."""
        try:
            return self.nodes.get(self.tree.lookup(directory, name)) is None
        except VfsError:
            return False

    def _seek(self, directory: OpenDir[F, H], start: int) -> int:
        """Have the piece with entry number `start`; return its index there, -1 behind the end."""
        if start == 0:
            directory.rewind()
            return 0 if self._next(directory) else -1
        if start < directory.first:
            while directory.starts[-1][0] > start:
                directory.starts.pop()
            directory.first, directory.following = directory.starts.pop()
            directory.entries = []
            if not self._next(directory):
                return -1
        while start >= directory.first + len(directory.entries):
            if not self._next(directory):
                return -1
        return start - directory.first

    def _next(self, directory: OpenDir[F, H]) -> bool:
        """Read the next piece of a directory; whether there is one."""
        first = directory.first + len(directory.entries)
        cookie = directory.following
        entries, following = self.tree.readdir(directory.handle, cookie)
        if not entries:
            return False
        directory.starts.append((first, cookie))
        directory.first, directory.entries, directory.following = first, entries, following
        return True

    def releasedir(self, fh: int) -> None:
        """Close a directory."""
        self.tree.close(self._dirs.pop(fh).handle)

    def fsyncdir(self, fh: int, datasync: bool) -> None:
        """Bring a directory to stable storage."""
        self.tree.fsync(self._dirs[fh].handle)

    # --- extended attributes ------------------------------------------------------------------------

    def getxattr(self, ino: int, name: bytes, ctx: pyfuse3.RequestContext) -> bytes:
        """Return an extended attribute. Errors: ENOTSUP: not one of the users'."""
        return self.tree.getxattr(self.nodes.at(ino).file, self._user(name), self._cred(ctx))

    def listxattr(self, ino: int, ctx: pyfuse3.RequestContext) -> list[bytes]:
        """Return the names of extended attributes."""
        names = self.tree.listxattr(self.nodes.at(ino).file, self._cred(ctx))
        return [_USER + name for name in names]

    def setxattr(self, ino: int, name: bytes, value: bytes, ctx: pyfuse3.RequestContext) -> None:
        """Set an extended attribute. Errors: ENOTSUP: not one of the users'."""
        self.tree.setxattr(self.nodes.at(ino).file, self._user(name), value, self._cred(ctx))

    def removexattr(self, ino: int, name: bytes, ctx: pyfuse3.RequestContext) -> None:
        """Take an extended attribute away. Errors: ENOTSUP: not one of the users'."""
        self.tree.removexattr(self.nodes.at(ino).file, self._user(name), self._cred(ctx))

    def _user(self, name: bytes) -> bytes:
        """Return the name in the namespace user.

        Errors: ENOSYS where no file has any, so that the host does not ask again; EOPNOTSUPP for ACLs,
        capabilities and the like.
        """
        if not self.tree.has_xattrs:
            raise VfsError(errno.ENOSYS)
        if not name.startswith(_USER):
            raise VfsError(errno.EOPNOTSUPP)
        return name[len(_USER) :]


class HostCred(Cred):
    """Who has asked the host; further groups are looked up when they matter.

    Args:
        uid, gid: real, effective and saved.
        pid: the process.
    """

    __slots__ = ("pid",)
    pid: int

    def __init__(self, uid: int, gid: int, pid: int) -> None:
        super().__init__(uid, gid, uid, gid, uid, gid)
        object.__setattr__(self, "pid", pid)

    def ingroup(self, gid: int) -> bool:
        """Whether `gid` is one of the process's groups."""
        if gid == self.egid:
            return True
        try:
            return gid in pyfuse3.get_sup_groups(self.pid)
        except (OSError, RuntimeError):
            return True  # nobody knows them here, but the host does, which has let the process through


def absent(timeout: float) -> pyfuse3.EntryAttributes:
    """Return the answer that there is no such name, which the host may go by for so many seconds."""
    entry = pyfuse3.EntryAttributes()
    entry.st_ino = 0
    entry.entry_timeout = timeout
    return entry


def _damaged(fileno: int, dtype: int) -> pyfuse3.EntryAttributes:
    """Return attributes of a file that is there, but cannot be read: to be asked for again."""
    entry = pyfuse3.EntryAttributes()
    entry.st_mode = (dtype or S_IFREG >> 12) << 12
    entry.st_ino = _DAMAGED | fileno
    entry.entry_timeout = entry.attr_timeout = 0
    return entry
