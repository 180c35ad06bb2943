"""Directories: names looked up, made and removed (NetBSD: ufs_vnops.c, ufs_lookup.c).

What is written, is written in an order: an inode before the entry that names it, with a number of links that
is never too small; an entry is gone before the inode is. So what a cut at any point leaves can be repaired.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, TypeAlias

from rumpfs.abi import errno
from rumpfs.abi.limits import LINK_MAX
from rumpfs.abi.stat import S_IFDIR, S_IFLNK
from rumpfs.base.copy import Data
from rumpfs.base.errors import Corrupt, DiskError, VfsError
from rumpfs.dev.buf import Buf, BufCache
from rumpfs.fs.ffs.bigdir import Bigdir
from rumpfs.fs.ffs.inode import Inode
from rumpfs.fs.ffs.inodetable import Put
from rumpfs.fs.ffs.lookup import MAXDIRSIZE, Dirhash, Removed
from rumpfs.fs.ffs.readwrite import DataInode
from rumpfs.fs.ffs.rename import rename
from rumpfs.fs.ffs.truncate import extend, shorten
from rumpfs.fs.ffs.wapbl.operation import operation
from rumpfs.ondisk.ufs import dirchunk
from rumpfs.ondisk.ufs.dinode import Dinode
from rumpfs.vfs.cred import Cred
from rumpfs.vfs.genfs import APPEND, IMMUTABLE
from rumpfs.vfs.vnode import NODEV, VDIR, VNON, Vnode, type_of

if TYPE_CHECKING:
    from rumpfs.fs.ffs.ufsmount import FfsMount

Directory: TypeAlias = Dirhash | Bigdir | Removed

#: what the name cache answers for a name that it does not know
_UNKNOWN = object()

#: the names of a directory that has not been read, or is too large
_NO_NAMES: dict[bytes, int] = {}


class FfsDir(DataInode):
    """A directory."""

    __slots__ = ("_directory", "_names")

    def __init__(self, mp: FfsMount, vtype: int, ino: int, dinode: Dinode) -> None:
        DataInode.__init__(self, mp, vtype, ino, dinode)
        self._directory: Directory | None = None
        self._names = _NO_NAMES

    def lookup(self, name: bytes) -> Inode | None:
        ino = self._names.get(name) or self._find(name)
        return self.v_mount.vget(ino) if ino else None

    def readdir(self, offset: int, count: int) -> tuple[Data, int]:
        """Return struct dirents and the next cookie, which is the byte offset in the directory (VOP_READDIR).

        Errors: EINVAL when `count` is too small for the next entry; EIO behind the last entry of a directory
        of which a part is damaged.
        """
        if self.v_mount.um_atime:
            self.accessed()
        return (self._directory or self._load()).read(offset, count)

    def forget(self, _: Directory) -> None:
        """Drop the entries, which are no longer accounted for."""
        self._directory = None
        self._names = _NO_NAMES

    def _load(self) -> Directory:
        """Read the directory."""
        mp = self.v_mount
        if mp.um_gone:
            raise VfsError(errno.EIO, "the file system has been unmounted")
        if self.i_size > MAXDIRSIZE:
            where = f"{mp.um_fs.where}: directory inode {self.i_number}"
            raise mp.damaged(
                Corrupt(where, "di_size", self.i_size, f"a directory has at most {MAXDIRSIZE} bytes")
            )
        directory: Directory
        if self.i_size <= mp.um_dirhash_max:
            directory = Dirhash(self)
            self._names = directory.names
        else:
            directory = Bigdir(self)
        self._directory = directory
        mp.um_dirs.put(self, directory)
        return directory

    def _find(self, name: bytes) -> int:
        """Return the inode number of a name that is not in `_names`, or 0. Errors: EIO."""
        directory = self._directory or self._load()
        if isinstance(directory, Dirhash):
            return directory.find(name)
        cache = self.v_mount.um_namecache
        known = cache.get((self, name), _UNKNOWN)
        if known is _UNKNOWN:
            ino = directory.find(name)
            vp = self.v_mount.vget(ino) if ino else None
            try:
                cache.enter(self, name, vp)
            except VfsError:
                pass  # no memory for it: the next search is as slow as this one
            return ino
        return known.i_number if isinstance(known, Inode) else 0

    # --- making names ---------------------------------------------------------------------------

    @operation
    def create(self, name: bytes, mode: int, cred: Cred, rdev: int = NODEV) -> Vnode:
        """Make a file.

        Errors: EINVAL (no such type), ENOENT (the directory was removed), ENOSPC, EIO.
        """
        if type_of(mode) in (VNON, VDIR):
            raise VfsError(errno.EINVAL)
        mp = self._changing()
        vp = mp.make_inode(self, mode, cred, rdev)
        vp.update(BufCache.bawrite)
        self._attach(name, vp, cred)
        return vp

    @operation
    def mkdir(self, name: bytes, mode: int, cred: Cred) -> Vnode:
        """Make a directory. Errors: ENOENT (this one was removed), EMLINK, ENOSPC, EIO."""
        mp = self._changing()
        if self.dinode.di_nlink >= LINK_MAX:
            raise VfsError(errno.EMLINK)
        fs = mp.um_fs
        vp = mp.make_inode(self, mode | S_IFDIR, cred)
        assert isinstance(vp, FfsDir)
        try:
            balloc = extend(vp, 0, fs.dirblksiz, fs.dirblksiz, cred)
            bp, offset = vp._chunk(0)
            chunk = dirchunk.first_chunk(fs.order, fs.dirblksiz, vp.i_number, self.i_number)
            self._put(bp, offset, chunk, BufCache.bawrite)
            balloc.commit()
            vp.change(di_nlink=2)
            vp.update()
        except VfsError:
            vp.discard()
            raise
        self.link_count(1)
        try:
            self._attach(name, vp, cred)
        except VfsError:
            self.link_count(-1)
            raise
        return vp

    @operation
    def symlink(self, name: bytes, mode: int, target: bytes, cred: Cred) -> Vnode:
        """Make a symbolic link. Errors: ENOENT (the directory was removed), ENOSPC, EIO."""
        mp = self._changing()
        vp = mp.make_inode(self, mode | S_IFLNK, cred)
        assert isinstance(vp, DataInode)
        if mp.um_fs.is_fast_symlink(len(target), 0):
            mp.write_symlink(vp, target)
        else:
            try:
                vp.store(0, target, cred)
            except VfsError:
                vp.discard()
                raise
            vp.update()
        self._attach(name, vp, cred)
        return vp

    @operation
    def link(self, name: bytes, vp: Vnode, cred: Cred) -> None:
        """Give a file a further name.

        Errors:
            EMLINK; EPERM: it is immutable or append-only; ENOENT: it or the directory was removed; ENOSPC,
            EIO.
        """
        assert isinstance(vp, Inode)
        self._changing()
        if vp.dinode.di_nlink >= LINK_MAX:
            raise VfsError(errno.EMLINK)
        if vp.dinode.di_flags & (IMMUTABLE | APPEND):
            raise VfsError(errno.EPERM)
        if vp.dinode.di_nlink <= 0:
            raise VfsError(errno.ENOENT)
        vp.link_count(1)
        try:
            self.enter(name, vp, cred)
        except VfsError:
            vp.link_count(-1)
            raise

    def _attach(self, name: bytes, vp: Inode, cred: Cred) -> None:
        """Enter the first name of an inode, which is freed if that fails."""
        try:
            self.enter(name, vp, cred)
        except VfsError:
            vp.discard()
            raise

    def _changing(self) -> FfsMount:
        """Return the mount, which is about to be changed. Errors: ENOENT: it was removed; EROFS, EIO."""
        if self.dinode.di_nlink <= 0:
            raise VfsError(errno.ENOENT)
        self.v_mount.begin()
        return self.v_mount

    # --- removing names -------------------------------------------------------------------------

    @operation
    def remove(self, name: bytes, vp: Vnode, cred: Cred) -> None:
        """Take a name away. Errors: EPERM: the file or the directory is immutable or append-only; EIO."""
        assert isinstance(vp, Inode)
        self._check_flags(vp)
        self.v_mount.begin()
        self.unenter(name, BufCache.bawrite)
        vp.unlinked()

    @operation
    def rmdir(self, name: bytes, vp: Vnode, cred: Cred) -> None:
        """Remove an empty directory. Errors: ENOTEMPTY; EPERM, as for `remove`; EIO."""
        assert isinstance(vp, FfsDir)
        if not vp.is_empty():
            raise VfsError(errno.ENOTEMPTY)
        self._check_flags(vp)
        self.v_mount.begin()
        self.unenter(name, BufCache.bawrite)
        self.link_count(-1)
        vp.removed()

    def _check_flags(self, vp: Inode) -> None:
        if (self.dinode.di_flags | vp.dinode.di_flags) & (IMMUTABLE | APPEND):
            raise VfsError(errno.EPERM)

    def is_empty(self) -> bool:
        """Return whether there are no names but ``.`` and ``..``. Errors: EIO."""
        return (self._directory or self._load()).is_empty

    def removed(self) -> None:
        """The directory has no name any more, and nothing in it. Errors: EIO."""
        self.change(di_nlink=1)
        self.v_mount.um_dirs.remove(self)
        self._names = _NO_NAMES
        self._directory = Removed()
        self.unlinked()

    @operation
    def rename(
        self, name: bytes, vp: Vnode, tdvp: Vnode, tname: bytes, tvp: Vnode | None, cred: Cred
    ) -> None:
        """Move a name, replacing another; see `rename.rename`."""
        assert isinstance(vp, Inode)
        assert isinstance(tdvp, FfsDir)
        assert tvp is None or isinstance(tvp, Inode)
        rename(self, name, vp, tdvp, tname, tvp, cred)

    # --- entries --------------------------------------------------------------------------------

    def enter(self, name: bytes, vp: Inode, cred: Cred) -> None:
        """Write an entry (ufs_direnter). Errors: EFBIG, ENOSPC, EIO."""
        fs = self.v_mount.um_fs
        directory = self._directory or self._load()
        number = directory.room(dirchunk.dirsiz(len(name)))
        balloc = None
        chunk = bytearray(dirchunk.empty_chunk(fs.order, fs.dirblksiz))
        if number < 0:
            start = self.i_size
            if start + fs.dirblksiz > MAXDIRSIZE:
                raise VfsError(errno.EFBIG)
            balloc = extend(self, start, start + fs.dirblksiz, start + fs.dirblksiz, cred)
            number = start // fs.dirblksiz
        try:
            bp, offset = self._chunk(number)
        except VfsError:
            if balloc is not None:
                balloc.undo()
            raise
        if balloc is None:
            chunk[:] = bp.data[offset : offset + fs.dirblksiz]
        where = f"{fs.where}: directory inode {self.i_number}"
        try:
            dirchunk.enter(chunk, fs.order, name, vp.i_number, vp.i_mode >> 12, where)
        except DiskError as error:
            raise self.v_mount.damaged(error) from error
        self._put(bp, offset, chunk)
        if balloc is not None:
            balloc.commit()
            self.update()
        directory.entered(number, name, vp.i_number)
        if directory.outgrown:
            dirs = self.v_mount.um_dirs
            dirs.remove(self)
            directory.account()
            dirs.put(self, directory)
        self.modify()
        length = directory.shortened() * fs.dirblksiz
        if length < self.i_size:
            # The name is there, whatever becomes of this.
            with suppress(VfsError):
                shorten(self, length)

    def unenter(self, name: bytes, put: Put = BufCache.bwrite) -> None:
        """Take an entry away (ufs_dirremove). Errors: EIO."""
        self._rewrite(name, 0, 0, put)

    def reenter(self, name: bytes, vp: Inode) -> None:
        """Let a name be another inode's (ufs_dirrewrite). Errors: EIO."""
        self._rewrite(name, vp.i_number, vp.i_mode >> 12)

    def _rewrite(self, name: bytes, ino: int, dtype: int, put: Put = BufCache.bwrite) -> None:
        fs = self.v_mount.um_fs
        directory = self._directory or self._load()
        number = directory.chunk_of(name)
        bp, offset = self._chunk(number)
        chunk = bytearray(bp.data[offset : offset + fs.dirblksiz])
        where = f"{fs.where}: directory inode {self.i_number}"
        try:
            if ino:
                dirchunk.rewrite(chunk, fs.order, name, ino, dtype, where)
            else:
                dirchunk.remove(chunk, fs.order, name, where)
        except DiskError as error:
            raise self.v_mount.damaged(error) from error
        self._put(bp, offset, chunk, put)
        if ino:
            directory.entered(number, name, ino)
        else:
            directory.left(number, name)
        self.modify()

    def _chunk(self, number: int) -> tuple[Buf, int]:
        """Return the buffer that a chunk is in, and its offset there. Errors: EIO."""
        mp = self.v_mount
        fs = mp.um_fs
        lbn, offset = divmod(number * fs.dirblksiz, fs.fs_bsize)
        frag = self.block(lbn)
        if not frag:
            where = f"{fs.where}: directory inode {self.i_number}"
            raise mp.damaged(Corrupt(where, "di_db", 0, "a directory has no holes"))
        return mp.um_bufs.bread(frag << fs.fs_fshift, fs.blksize(self.i_size, lbn)), offset

    def _put(self, bp: Buf, offset: int, chunk: bytes | bytearray, put: Put = BufCache.bwrite) -> None:
        """Write a chunk. Errors: EIO."""
        bp.data[offset : offset + len(chunk)] = chunk
        put(self.v_mount.um_bufs, bp, offset, offset + len(chunk))
