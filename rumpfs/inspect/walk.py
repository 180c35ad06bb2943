"""Going through all files of a volume: directories are read whole, inodes a block of them at a time."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Final, NamedTuple

from rumpfs.abi import errno
from rumpfs.abi.stat import S_IFBLK, S_IFCHR, S_IFDIR, S_IFMT, S_IFREG
from rumpfs.base.errors import Corrupt, DiskError, VfsError
from rumpfs.client.records import StatResult, stat_result
from rumpfs.fs.ffs.directory import FfsDir
from rumpfs.fs.ffs.inode import Inode
from rumpfs.fs.ffs.lookup import DirDamage, read_entries
from rumpfs.fs.ffs.readwrite import DataInode
from rumpfs.fs.ffs.ufsmount import FfsMount
from rumpfs.fs.ffs.vnops import vnode_class
from rumpfs.inspect.volume import Volume
from rumpfs.ondisk.ufs.cg import Cg
from rumpfs.ondisk.ufs.dinode import Dinode, DinodeCodec, dinode_codec
from rumpfs.ondisk.ufs.direct import Entry
from rumpfs.vfs.vnode import IFTOVT, NODEV, VDIR, VREG, type_of

#: blocks of inodes that are kept
_BLOCKS: Final = 256
_NS: Final = 1_000_000_000
_INT64_MAX: Final = (1 << 63) - 1
_DOTS: Final = (b".", b"..")
_DEVICES: Final = (S_IFBLK, S_IFCHR)


class InodeBlock:
    """Neighbouring inodes, decoded when they are asked for.

    Args:
        codec: decodes them.
        data: their bytes.
        first: the number of the first one.

    Attributes:
        modes: of all of them.
    """

    __slots__ = ("_codec", "_data", "_first", "_sizes", "modes")

    def __init__(self, codec: DinodeCodec, data: bytes, first: int) -> None:
        self._codec = codec
        self._data = data
        self._first = first
        self._sizes: list[int] | None = None
        self.modes = codec.column("di_mode", data)

    def dinode(self, ino: int) -> Dinode:
        """Return one of them."""
        return self._codec.decode(self._data, (ino - self._first) * self._codec.size)

    def size(self, ino: int) -> int:
        """Return di_size of one of them."""
        if self._sizes is None:
            self._sizes = self._codec.column("di_size", self._data)
        return self._sizes[ino - self._first]

    def stat(self, ino: int) -> tuple[int, ...]:
        """Return the fields `ondisk.ufs.dinode.STAT` of one of them."""
        return self._codec.stat(self._data, (ino - self._first) * self._codec.size)


class Found(NamedTuple):
    """A name in a directory, and the inode that it is.

    Attributes:
        mode: di_mode.
        block: where the rest of the inode is.
    """

    name: bytes
    ino: int
    mode: int
    block: InodeBlock

    @property
    def size(self) -> int:
        """di_size."""
        return self.block.size(self.ino)

    @property
    def dinode(self) -> Dinode:
        """The inode."""
        return self.block.dinode(self.ino)


#: what makes named tuples of tuples, without `_make` counting the fields
_found: Final = partial(tuple.__new__, Found)
_stat_result: Final = partial(tuple.__new__, StatResult)


class Inodes:
    """The inodes of a file system that nobody writes, for who reads many of them.

    Args:
        mp: the mount.
    """

    def __init__(self, mp: FfsMount) -> None:
        fs = mp.um_fs
        self._fs = fs
        self._mp = mp
        self._pread = mp.pread
        self._codec = dinode_codec(fs)
        self._inopb = fs.fs_inopb
        self._blocks: OrderedDict[int, InodeBlock] = OrderedDict()
        self._initialised: dict[int, int] = {}

    def find(
        self, names: Iterable[Entry], unread: Callable[[bytes, DiskError | VfsError], None]
    ) -> list[Found]:
        """Return the inodes that the names of a directory are; not those of ``.`` and ``..``.

        Args:
            names: entries of the directory.
            unread: is told of each that is damaged or cannot be read, by its name.
        """
        found: list[Found] = []
        append, blocks = found.append, self._blocks
        shift, mask = self._inopb.bit_length() - 1, self._inopb - 1
        for _, ino, _, name in names:
            if name in _DOTS:
                continue
            try:
                block = blocks.get(ino >> shift) or self._load(ino >> shift)
                mode = block.modes[ino & mask]
            except IndexError:
                why = "the inode is beyond it"
                unread(name, self._corrupt(ino, "cg_initediblk", len(block.modes), why))
            except (DiskError, VfsError) as error:
                unread(name, error)
            else:
                if mode & S_IFMT in IFTOVT:
                    append(_found((name, ino, mode, block)))
                else:
                    why = "the inode is free, and something refers to it"
                    unread(name, self._corrupt(ino, "di_mode", mode, why))
        return found

    def _corrupt(self, ino: int, field: str, got: int, why: str) -> Corrupt:
        return Corrupt(f"{self._fs.where}: inode {ino}", field, got, why)

    def _load(self, block: int) -> InodeBlock:
        """Read a block of inodes, as far as its group has initialised it."""
        fs = self._fs
        first = block * self._inopb
        frag = fs.ino_to_fsba(first)
        if frag + fs.fs_frag > self._mp.um_frags:
            raise self._corrupt(first, "fs_size", fs.fs_size, "the device ends before the inode")
        data = self._pread(fs.fs_bsize, frag << fs.fs_fshift)
        if fs.ufs2:
            cgx, index = divmod(first, fs.fs_ipg)
            data = data[: max(0, self._group(cgx) - index) * self._codec.size]
        loaded = self._blocks[block] = InodeBlock(self._codec, data, first)
        if len(self._blocks) > _BLOCKS:
            self._blocks.popitem(last=False)
        return loaded

    def _group(self, cgx: int) -> int:
        """Return how many inodes of a group were ever initialised; all when it is damaged."""
        count = self._initialised.get(cgx)
        if count is None:
            fs = self._fs
            try:
                count = Cg.decode(
                    self._pread(fs.fs_cgsize, fs.cgtod(cgx) << fs.fs_fshift), fs, cgx
                ).initediblk
            except (DiskError, VfsError):
                count = fs.fs_ipg
            self._initialised[cgx] = count
        return count


class Directory(NamedTuple):
    """A directory, and what is in it: in the order of the disk, without ``.`` and ``..``."""

    path: bytes
    ino: int
    entries: list[Found]


def walk(
    volume: Volume,
    path: bytes = b"/",
    damaged: Callable[[bytes, DiskError | VfsError], None] | None = None,
) -> Iterator[Directory]:
    """Yield a directory and all below, each before those that it holds.

    A caller may take entries out of the list that it gets: what is not there is not entered.

    Args:
        path: of a directory of the volume; symbolic links are followed.
        damaged: is told what cannot be read, and of which path; None: it is left out. A directory that is
            reached twice is such, too.

    Raises:
        VfsError: those of `Volume.lookup` for `path`; ENOTDIR.
    """
    tell = damaged or (lambda path, error: None)
    inodes = Inodes(volume.mp)
    top = volume.lookup(path)
    if not isinstance(top, FfsDir):
        raise VfsError(errno.ENOTDIR)
    seen = {top.i_number}
    pending = [(path.rstrip(b"/"), top.i_number, top)]
    while pending:
        path, ino, dp = pending.pop()
        entries = entries_of(dp, path, inodes, tell)
        yield Directory(path or b"/", ino, entries)
        below = []
        for found in entries:
            if found.mode & S_IFMT == S_IFDIR:
                where, child = path + b"/" + found.name, found.ino
                if child in seen:
                    tell(where, Corrupt(volume.fs.where, "d_ino", child, "this directory is elsewhere, too"))
                    continue
                seen.add(child)
                below.append((where, child, directory(volume.mp, found)))
        pending += reversed(below)


def directory(mp: FfsMount, found: Found) -> FfsDir:
    """Return a directory that was found."""
    return FfsDir(mp, VDIR, found.ino, found.dinode)


def regular(mp: FfsMount, found: Found) -> DataInode:
    """Return a regular file that was found. Errors: EISDIR, EINVAL: it is none."""
    if found.mode & S_IFMT == S_IFDIR:
        raise VfsError(errno.EISDIR)
    if found.mode & S_IFMT != S_IFREG:
        raise VfsError(errno.EINVAL, "no regular file")
    dinode = found.dinode
    vp = vnode_class(dinode)(mp, VREG, found.ino, dinode)
    assert isinstance(vp, DataInode)
    return vp


def entries_of(
    dp: FfsDir, path: bytes, inodes: Inodes, tell: Callable[[bytes, DiskError | VfsError], None]
) -> list[Found]:
    """Return what is in a directory, without ``.`` and ``..``.

    Args:
        path: of the directory, for `tell`.
        tell: is told what cannot be read, and of which path.
    """
    entries = read_entries(dp, 0, dp.i_size, _Damage(dp, path, tell))
    return inodes.find(entries, lambda name, error: tell(path + b"/" + name, error))


class _Damage(DirDamage):
    """Tells of damage in a directory."""

    __slots__ = ("_path", "_tell")

    def __init__(self, dp: FfsDir, path: bytes, tell: Callable[[bytes, DiskError | VfsError], None]) -> None:
        DirDamage.__init__(self, dp.v_mount)
        self._path = path
        self._tell = tell

    def __call__(self, error: DiskError | VfsError) -> None:
        self._tell(self._path, error)
        DirDamage.__call__(self, error)


def attributes(mp: FfsMount, found: Found) -> StatResult:
    """Return the attributes of an inode as stat(2) does."""
    _, ino, mode, block = found
    if mode & S_IFMT in _DEVICES:
        return stat_result(Inode(mp, type_of(mode), ino, found.dinode).stat())
    (
        _, nlink, uid, gid, size, blocks, flags, gen,
        atime, atimensec, mtime, mtimensec, ctime, ctimensec, birthtime, birthnsec,
    ) = block.stat(ino)  # fmt: skip
    return _stat_result((
        mp.um_dev, mode, ino, nlink & 0xFFFFFFFF, uid, gid, NODEV,
        atime * _NS + atimensec, mtime * _NS + mtimensec, ctime * _NS + ctimensec,
        birthtime * _NS + birthnsec, size, blocks & _INT64_MAX, mp.um_fs.fs_bsize, flags, gen & 0xFFFFFFFF,
    ))  # fmt: skip
