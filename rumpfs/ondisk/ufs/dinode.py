"""Inodes on disk, in one form for UFS1 (also with 4.2BSD owners) and UFS2.

`DinodeCodec.decode` is on the path of every inode that is read, so it does one struct unpack, one
itemgetter call and one tuple. Source: NetBSD sys/ufs/ufs/dinode.h.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from rumpfs.ondisk.layout import I16, I32, I64, U16, U32, U64, Buffer, Order, Record
from rumpfs.ondisk.ufs.fs import MAXSYMLINKLEN_UFS1, MAXSYMLINKLEN_UFS2

if TYPE_CHECKING:
    from rumpfs.ondisk.ufs.superblock import Superblock

# di_mode: file type bits.
IFMT = 0o170000
IFIFO = 0o010000
IFCHR = 0o020000
IFDIR = 0o040000
IFBLK = 0o060000
IFREG = 0o100000
IFLNK = 0o120000
IFSOCK = 0o140000
IFWHT = 0o160000

# di_flags beyond those of chflags(2).
SF_SNAPSHOT = 0x00200000
SF_LOG = 0x00400000
SF_SNAPINVAL = 0x00800000

UFS1_DINODE = Record(
    "ufs1_dinode",
    128,
    (
        (0, "di_mode", U16),
        (2, "di_nlink", I16),
        (4, "di_oldids", U16[2]),
        (8, "di_size", U64),
        (16, "di_atime", I32),
        (20, "di_atimensec", I32),
        (24, "di_mtime", I32),
        (28, "di_mtimensec", I32),
        (32, "di_ctime", I32),
        (36, "di_ctimensec", I32),
        (40, "di_db", I32[12]),
        (88, "di_ib", I32[3]),
        (100, "di_flags", U32),
        (104, "di_blocks", U32),
        (108, "di_gen", I32),
        (112, "di_uid", U32),
        (116, "di_gid", U32),
        (120, "di_modrev", U64),
    ),
)

UFS2_DINODE = Record(
    "ufs2_dinode",
    256,
    (
        (0, "di_mode", U16),
        (2, "di_nlink", I16),
        (4, "di_uid", U32),
        (8, "di_gid", U32),
        (12, "di_blksize", U32),
        (16, "di_size", U64),
        (24, "di_blocks", U64),
        (32, "di_atime", I64),
        (40, "di_mtime", I64),
        (48, "di_ctime", I64),
        (56, "di_birthtime", I64),
        (64, "di_mtimensec", I32),
        (68, "di_atimensec", I32),
        (72, "di_ctimensec", I32),
        (76, "di_birthnsec", I32),
        (80, "di_gen", I32),
        (84, "di_kernflags", U32),
        (88, "di_flags", U32),
        (92, "di_extsize", I32),
        (96, "di_extb", I64[2]),
        (112, "di_db", I64[12]),
        (208, "di_ib", I64[3]),
        (232, "di_modrev", U64),
        (240, "di_freelink", U32),
        (244, "di_ckhash", U32),
        (248, "di_spare", U32[2]),
    ),
)


class Dinode(NamedTuple):
    """An inode of any format, under the names of UFS2's fields.

    di_blocks counts 512-byte units; di_db, di_ib and di_extb are frag addresses, 0 for a hole. The
    pointers of a fast symlink and the first one of a device are not addresses (`DinodeCodec.fast_symlink`,
    `Dinode.rdev`). UFS1 has neither birth time (both 0) nor extended attributes.
    """

    di_mode: int
    di_nlink: int
    di_uid: int
    di_gid: int
    di_size: int
    di_blocks: int
    di_flags: int
    di_gen: int
    di_atime: int
    di_atimensec: int
    di_mtime: int
    di_mtimensec: int
    di_ctime: int
    di_ctimensec: int
    di_db: tuple[int, ...]
    di_ib: tuple[int, int, int]
    di_birthtime: int
    di_birthnsec: int
    di_extsize: int
    di_extb: tuple[int, int]

    @property
    def rdev(self) -> int:
        """The dev_t of a device node: NetBSD keeps 32 bits in the first direct pointer."""
        return self.di_db[0] & 0xFFFFFFFF


#: What stat(2) tells of an inode.
STAT = (
    "di_mode", "di_nlink", "di_uid", "di_gid", "di_size", "di_blocks", "di_flags", "di_gen", "di_atime",
    "di_atimensec", "di_mtime", "di_mtimensec", "di_ctime", "di_ctimensec", "di_birthtime", "di_birthnsec",
)  # fmt: skip

#: What UFS1 lacks: birth time, its nanoseconds, size of extended attributes, their blocks.
_UFS1_LACKS = (0, 0, 0, (0, 0))

_OWNER = ("di_uid", "di_gid")
_OLD_OWNER = ("di_oldids[0]", "di_oldids[1]")


class DinodeCodec:
    """Reads and writes the inodes of one file system.

    Args:
        order: byte order of the file system.
        ufs2: True for UFS2.
        old_owner: True when owners are the 16-bit numbers of 4.2BSD inodes.

    Attributes:
        size: bytes of an inode.
        stat: ``stat(data, offset=0)`` returns what stat(2) tells of it, the fields `STAT` in a plain tuple.
        decode: ``decode(data, offset=0)`` returns the `Dinode` at a byte offset; struct.error when `data`
            is too short.
    """

    __slots__ = (
        "_codec", "_columns", "_convert", "_old_owner", "_order", "_places", "_pointers", "_room", "decode",
        "record", "size", "stat", "ufs2",
    )  # fmt: skip

    def __init__(self, order: Order, ufs2: bool, old_owner: bool = False) -> None:
        self.ufs2 = ufs2
        self._order = order
        self._old_owner = old_owner
        self.record = UFS2_DINODE if ufs2 else UFS1_DINODE
        self._codec = self.record.codec(order)
        self.size = self._codec.size
        self._columns: dict[str, Callable[[Buffer], Iterator[tuple[int]]]] = {}
        self._pointers = self.record.offset("di_db")
        self._room = MAXSYMLINKLEN_UFS2 if ufs2 else MAXSYMLINKLEN_UFS1
        stored = self._stored(Dinode._fields)
        self._convert = _converter(self.record.picker(stored), () if ufs2 else _UFS1_LACKS)
        self._places = [(index, self.record.place(name)) for index, name in enumerate(stored)]
        self.decode = self._decoder()
        self.stat = self._stat()

    def _decoder(self) -> Callable[..., Dinode]:
        unpack = self._codec.unpack_flat
        convert = self._convert

        def decode(data: Buffer, offset: int = 0) -> Dinode:
            return convert(unpack(data, offset))

        return decode

    def _stat(self) -> Callable[..., tuple[int, ...]]:
        names = self._stored(STAT)
        record = self.record.only(names)
        unpack, pick = record.codec(self._order).unpack_flat, record.picker(names)
        lacking = (0,) * (len(STAT) - len(names))

        def stat(data: Buffer, offset: int = 0) -> tuple[int, ...]:
            return pick(unpack(data, offset)) + lacking  # type: ignore[no-any-return]

        return stat

    def _stored(self, names: Iterable[str]) -> list[str]:
        """Return where the fields of a `Dinode` are in the record; those that it lacks are left out."""
        owner = dict(zip(_OWNER, _OLD_OWNER, strict=True)) if self._old_owner else {}
        lacking = () if self.ufs2 else Dinode._fields[-len(_UFS1_LACKS) :]
        return [owner.get(name, name) for name in names if name not in lacking]

    def decode_many(self, data: Buffer) -> Iterator[Dinode]:
        """Yield the inodes that tile `data`, whose length is a multiple of `size`."""
        return map(self._convert, self._codec.iter_unpack_flat(data))

    def column(self, name: str, data: Buffer) -> list[int]:
        """Return one field, which is a number, of the inodes that tile `data`.

        Args:
            name: of the field in `record`.
            data: as many bytes as `size`, or a multiple of that.
        """
        column = self._columns.get(name)
        if column is None:
            column = self.record.only((name,)).codec(self._order).iter_unpack_flat
            self._columns[name] = column
        return [value for (value,) in column(data)]

    def fast_symlink(self, data: Buffer, offset: int, length: int) -> bytes:
        """Return the text of a symlink that is kept in the inode at `offset`.

        Args:
            data: bytes with the inode.
            offset: byte offset of the inode in `data`.
            length: di_size; no more than the room of the pointers (60 or 120 bytes) is returned.
        """
        start = offset + self._pointers
        return bytes(data[start : start + min(length, self._room)])

    def encode(self, dinode: Dinode, old: Buffer | None = None, text: bytes = b"") -> bytes:
        """Return the bytes of an inode.

        With 16-bit owners a changed owner goes to both places, as the kernel does it, and an unchanged one
        leaves the wider numbers, which the kernel had before it cut them, alone.

        Args:
            dinode: the new values.
            old: the inode's former bytes, whose other fields are kept; zeros when omitted.
            text: what a symlink keeps in place of its pointers, if it is new.
        """
        flat: list[Any] = list(self._codec.unpack_flat(bytes(self.size) if old is None else old))
        former = flat[:] if self._old_owner else flat
        for index, place in self._places:
            flat[place] = dinode[index]
        if self._old_owner:
            ids = [dinode.di_uid & 0xFFFF, dinode.di_gid & 0xFFFF]
            narrow = self.record.place("di_oldids")
            if flat[narrow] == ids:
                for place in map(self.record.place, _OWNER):
                    flat[place] = former[place]
            flat[narrow] = ids
        data = self._codec.pack_flat(*flat)
        return data[: self._pointers] + text + data[self._pointers + len(text) :] if text else data


def _converter(pick: Callable[[Any], Any], lacking: tuple[Any, ...]) -> Callable[[Any], Dinode]:
    """Return the function from a record's flat values to a Dinode."""
    make = Dinode._make
    if not lacking:
        return lambda flat: make(pick(flat))
    return lambda flat: make(pick(flat) + lacking)


@functools.cache
def _codec(order: Order, ufs2: bool, old_owner: bool) -> DinodeCodec:
    return DinodeCodec(order, ufs2, old_owner)


def dinode_codec(fs: Superblock) -> DinodeCodec:
    """Return the codec for a file system's inodes."""
    return _codec(fs.order, fs.ufs2, fs.old_inodes)
