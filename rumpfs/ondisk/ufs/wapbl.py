"""WAPBL, the metadata log of NetBSD's FFS: its records, and what a replay puts where.

`find_log` says where the log of a file system lies, `Wapbl` reads it, and `Wapbl.replay` returns what a
replay amounts to: extents of the device that become copies of others, which lie in the log, and the inodes
that were allocated without a name. Nothing is written here.

The log is in the byte order of the machine that wrote it, whatever the order of the file system; so are the
fields of the superblock that say where it lies. Both are found out.
Source: NetBSD sys/sys/wapbl_replay.h (records), sys/kern/vfs_wapbl.c (replay, and what the writer keeps to),
sys/ufs/ffs/ffs_wapbl.c and sys/ufs/ufs/ufs_wapbl.h (place).
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from rumpfs.base.errors import BadMagic, Corrupt, DiskError
from rumpfs.ondisk.layout import BIG, I32, I64, LITTLE, ORDERS, U32, U64, Order, Record
from rumpfs.ondisk.ufs.fs import UFS_WAPBL_VERSION

if TYPE_CHECKING:
    from rumpfs.ondisk.ufs.superblock import Read, Superblock

#: wc_type
WAPBL_WC_HEADER = 0x5741424C
WAPBL_WC_INODES = 0x5741424D
WAPBL_WC_REVOCATIONS = 0x5741424E
WAPBL_WC_BLOCKS = 0x5741424F

#: Names of the records, for messages.
WC_NAMES = {
    WAPBL_WC_HEADER: "header",
    WAPBL_WC_INODES: "inodes",
    WAPBL_WC_REVOCATIONS: "revocations",
    WAPBL_WC_BLOCKS: "blocks",
}

WC_VERSION = 1

#: A log has this part of the file system, but no less and no more than so many bytes (ufs_wapbl.h).
UFS_WAPBL_JOURNAL_SCALE = 1024
UFS_WAPBL_MIN_JOURNAL_SIZE = 1 << 20
UFS_WAPBL_MAX_JOURNAL_SIZE = 64 << 20

_HOST = LITTLE if sys.byteorder == "little" else BIG

#: The unit of wc_daddr, whatever a sector is.
DEV_BSIZE = 512
#: The largest buffer (sys/sys/param.h), so the largest entry of a list of blocks.
_MAXBSIZE = 65536
#: Live bytes of a log beyond which it is not believed: newfs and mount make logs of 64 MiB at most, and what
#: a replay has to remember grows with the log.
_MAXLIVE = 256 << 20

WC_HEADER = Record(
    "wapbl_wc_header",
    80,
    (
        (0, "wc_type", U32),
        (4, "wc_len", I32),
        (8, "wc_checksum", U32),
        (12, "wc_generation", U32),
        (16, "wc_fsid", I32[2]),
        (24, "wc_time", U64),
        (32, "wc_timensec", U32),
        (36, "wc_version", U32),
        (40, "wc_log_dev_bshift", U32),
        (44, "wc_fs_dev_bshift", U32),
        (48, "wc_head", I64),
        (56, "wc_tail", I64),
        (64, "wc_circ_off", I64),
        (72, "wc_circ_size", I64),
    ),
)

#: WAPBL_WC_BLOCKS and WAPBL_WC_REVOCATIONS: wc_blkcount entries follow, and behind that of blocks their data.
WC_BLOCKLIST = Record(
    "wapbl_wc_blocklist",
    16,
    ((0, "wc_type", U32), (4, "wc_len", I32), (8, "wc_blkcount", I32), (12, "wc_unused", I32)),
)
WC_BLOCK = Record("wc_blocks", 16, ((0, "wc_daddr", I64), (8, "wc_unused", I32), (12, "wc_dlen", I32)))

#: WAPBL_WC_INODES: wc_inocnt entries follow.
WC_INODELIST = Record(
    "wapbl_wc_inodelist",
    16,
    ((0, "wc_type", U32), (4, "wc_len", I32), (8, "wc_inocnt", I32), (12, "wc_clear", I32)),
)
WC_INODE = Record("wc_inodes", 8, ((0, "wc_inumber", U32), (4, "wc_imode", U32)))

#: Bytes of a log that are searched at a time; a multiple of every log block.
_PIECE = 1 << 20

#: wc_type -> the list, the field with its number of entries, an entry.
WC_LISTS = {
    WAPBL_WC_INODES: (WC_INODELIST, "wc_inocnt", WC_INODE),
    WAPBL_WC_REVOCATIONS: (WC_BLOCKLIST, "wc_blkcount", WC_BLOCK),
    WAPBL_WC_BLOCKS: (WC_BLOCKLIST, "wc_blkcount", WC_BLOCK),
}


class LogPosition(NamedTuple):
    """Where a log lies on its device, in bytes; `blksize` is that of a log block."""

    start: int
    size: int
    blksize: int


class Extent(NamedTuple):
    """`length` bytes at byte `start` of the device are to be what it has at byte `source`."""

    start: int
    length: int
    source: int


@dataclass(frozen=True, slots=True)
class LogRecord:
    """A record between tail and head.

    Attributes:
        offset: bytes from the start of the log.
        row: its head, under the names of the BSD structure.
        entries: what it lists, likewise.
    """

    offset: int
    row: Any
    entries: list[Any]

    @property
    def name(self) -> str:
        """What kind of record it is."""
        return WC_NAMES[self.row.wc_type]


@dataclass(frozen=True, slots=True)
class Replay:
    """What a replay amounts to.

    Attributes:
        extents: in ascending order and disjoint; they may be written in any order.
        inodes: inode number -> mode, of the inodes that were allocated and had no name: those that still
            have none are to be freed afterwards.
        listed: from where to where, in bytes from the start of the log, the records are that list them.
    """

    extents: list[Extent]
    inodes: dict[int, int]
    listed: tuple[int, int] = (0, 0)


def find_log(fs: Superblock, size: int) -> LogPosition:
    """Return where the log lies that a superblock names (`Superblock.has_wapbl`).

    Args:
        fs: the superblock.
        size: bytes of the device.

    Raises:
        Corrupt: there is no such place.
    """
    addr, count, blksize, _ = log_numbers(fs)
    if not _is_blksize(blksize):
        where = f"{fs.where}: superblock at byte {fs.offset}"
        raise Corrupt(where, "fs_journallocs", fs.fs_journallocs, "names no size of a log block")
    if count < 3 or (addr + count) * blksize > size:
        where = f"{fs.where}: WAPBL log at byte {addr * blksize}"
        raise Corrupt(where, "fs_journallocs", (addr, count, blksize), f"the device has {size} bytes")
    return LogPosition(addr * blksize, count * blksize, blksize)


def desired_size(nbytes: int) -> int:
    """Return the bytes of the log of a file system of `nbytes` bytes, when nobody asks for others."""
    return max(UFS_WAPBL_MIN_JOURNAL_SIZE, min(nbytes // UFS_WAPBL_JOURNAL_SCALE, UFS_WAPBL_MAX_JOURNAL_SIZE))


def enter_log(fs: Superblock, location: int, locs: tuple[int, int, int, int]) -> None:
    """Enter in a superblock where the log is, or with location 0 that there is none.

    A kernel writes the numbers in the byte order of its machine, and so does this.
    """
    fs.fs_journal_version = UFS_WAPBL_VERSION if location else 0
    fs.fs_journal_location = location
    fs.fs_journal_flags = 0
    fs.fs_journallocs = locs
    if fs.order != _HOST:
        fs.fs_journallocs = _numbers(fs, _HOST)


def log_order(fs: Superblock) -> Order:
    """Return the byte order in which a superblock says where the log lies: that of who made it."""
    return next((order for order in ORDERS if _is_blksize(_numbers(fs, order)[2])), fs.order)


def log_numbers(fs: Superblock) -> tuple[int, int, int, int]:
    """Return fs_journallocs: address and number of the log's blocks, their size, and the inode."""
    return _numbers(fs, log_order(fs))


def log_flags(fs: Superblock) -> int:
    """Return fs_journal_flags, in whichever byte order they are."""
    flags = fs.fs_journal_flags
    return flags if flags < 1 << 16 else int.from_bytes(flags.to_bytes(4, "little"), "big")


def _numbers(fs: Superblock, order: Order) -> tuple[int, int, int, int]:
    if order == fs.order:
        return fs.fs_journallocs
    a, b, c, d = map(swapped, fs.fs_journallocs)
    return a, b, c, d


def _is_blksize(number: int) -> bool:
    return DEV_BSIZE <= number <= _MAXBSIZE and not number & number - 1


#: A check of a header: field, predicate of header, log block and bytes of the log, rule.
_HeaderCheck = tuple[str, Callable[[Any, int, int], bool], str]

_HEADER_CHECKS: tuple[_HeaderCheck, ...] = (
    ("wc_version", lambda wc, block, size: wc.wc_version == WC_VERSION, f"must be {WC_VERSION}"),
    ("wc_len", lambda wc, block, size: wc.wc_len == block, "must be a log block"),
    (
        "wc_log_dev_bshift",
        lambda wc, block, size: wc.wc_log_dev_bshift == block.bit_length() - 1,
        "must be log2 of a log block",
    ),
    ("wc_fs_dev_bshift", lambda wc, block, size: 9 <= wc.wc_fs_dev_bshift <= 16, "must be 9..16"),
    ("wc_circ_off", lambda wc, block, size: wc.wc_circ_off == 2 * block, "must be two log blocks"),
    (
        "wc_circ_size",
        lambda wc, block, size: 0 < wc.wc_circ_size <= size - 2 * block and not wc.wc_circ_size % block,
        "must be log blocks, and fit in the log",
    ),
    (
        "wc_head",
        lambda wc, block, size: _in_circle(wc, wc.wc_head, block),
        "must be a log block in the circle",
    ),
    (
        "wc_tail",
        lambda wc, block, size: _in_circle(wc, wc.wc_tail, block),
        "must be a log block in the circle",
    ),
    ("wc_tail", lambda wc, block, size: (wc.wc_tail == 0) == (wc.wc_head == 0), "is 0 when wc_head is"),
)


def _in_circle(wc: Any, offset: int, block: int) -> bool:
    """True when a position is one, or 0."""
    return offset == 0 or (wc.wc_circ_off <= offset < wc.wc_circ_off + wc.wc_circ_size and not offset % block)


class Wapbl:
    """A log, as its newest commit header has it.

    Args:
        read: reads bytes of the device.
        size: bytes of the device.
        position: where the log lies.
        where: names the device in messages.

    Attributes:
        where: names the log in messages.
        order: the byte order of its records.
        slot: which of the two headers is the newest.
        header: that header, under the names of the BSD structure.
        other: the other one; None when it is none that can be believed.

    Raises:
        BadMagic: neither slot holds a header.
        Corrupt: neither holds one that can be believed.
    """

    def __init__(self, read: Read, size: int, position: LogPosition, where: str) -> None:
        self._read = read
        self._size = size
        self._start, self._length, self._block = position
        self.where = f"{where}: WAPBL log at byte {self._start}"
        self.other: Any = None
        self.slot, self.order, self.header = self._newest()
        self._circ_off: int = self.header.wc_circ_off
        self._circ_end: int = self._circ_off + self.header.wc_circ_size

    @property
    def live(self) -> int:
        """Bytes from the tail to the head; 0 when there is nothing to replay."""
        head, tail, size = self.header.wc_head, self.header.wc_tail, self.header.wc_circ_size
        return int((head - tail - 1) % size + 1) if tail else 0

    def records(self) -> Iterator[LogRecord]:
        """Yield the records from the oldest to the newest.

        Raises:
            BadMagic: something else is there.
            Corrupt: a length or a number is not what the format allows.
        """
        left = self.live
        if left > _MAXLIVE:
            raise Corrupt(self.where, "wc_head", self.header.wc_head, f"{left} bytes of records are too many")
        offset = self.header.wc_tail
        while left:
            record = self._record(offset, left)
            yield record
            left -= record.row.wc_len
            offset = self.advance(offset, record.row.wc_len)

    def stale(self) -> Iterator[LogRecord]:
        """Yield what can still be read of records that do not count any more, the oldest ones first.

        They have been replayed, or what they hold is in its place; later records have overwritten some. A
        record that is damaged, or of which something is overwritten, is left out.
        """
        left = self.header.wc_circ_size - self.live
        if left > _MAXLIVE:
            return
        begin = self.header.wc_head or (self.other.wc_head if self.other is not None else 0) or self._circ_off
        end = 0
        for done in self._starts(begin, left):
            if done < end:
                continue
            try:
                record = self._record(self.advance(begin, done), left - done)
            except DiskError:
                continue
            end = done + record.row.wc_len
            yield record

    def _starts(self, begin: int, length: int) -> Iterator[int]:
        """Yield the distances from `begin`, up to `length`, at which a log block begins as a record does."""
        types = {struct.pack(f"{self.order}I", kind) for kind in WC_LISTS}
        done = 0
        while done < length:
            offset = self.advance(begin, done)
            data = self._read(min(_PIECE, length - done, self._circ_end - offset), self._start + offset)
            if not data:
                return
            yield from (done + at for at in range(0, len(data), self._block) if data[at : at + 4] in types)
            done += len(data)

    def content(self, record: LogRecord) -> Iterator[tuple[int, bytes]]:
        """Yield (byte of the device at which it belongs, bytes) of the blocks that a record holds."""
        if record.row.wc_type != WAPBL_WC_BLOCKS:
            return
        offset = self.advance(record.offset, self._block)
        for block in record.entries:
            room = self._circ_end - offset
            data = self._read(min(block.wc_dlen, room), self._start + offset)
            if block.wc_dlen > room:
                data += self._read(block.wc_dlen - room, self._start + self._circ_off)
            yield block.wc_daddr * DEV_BSIZE, data
            offset = self.advance(offset, block.wc_dlen)

    def replay(self) -> Replay:
        """Return what a replay of the log amounts to.

        Raises:
            BadMagic, Corrupt: as `records`; and when a block lies outside of the device.
        """
        sectors: dict[int, int] = {}
        inodes: dict[int, int] = {}
        listed = (0, 0)
        for record in self.records():
            kind = record.row.wc_type
            if kind == WAPBL_WC_BLOCKS:
                self._enter(record, sectors)
            elif kind == WAPBL_WC_REVOCATIONS:
                for block in record.entries:
                    for daddr in _sectors(block):
                        sectors.pop(daddr, None)
            else:
                if record.row.wc_clear:
                    inodes.clear()
                inodes.update(record.entries)
                first = record.offset if record.row.wc_clear or not listed[0] else listed[0]
                listed = (first, self.advance(record.offset, self._block))
        return Replay(_extents(sectors, self._start), inodes, listed)

    def _newest(self) -> tuple[int, Order, Any]:
        """Return slot, byte order and row of the header that was written last."""
        data = self._read(2 * self._block, self._start)
        found: list[tuple[int, Order, Any]] = []
        problem: DiskError | None = None
        for slot in range(2):
            try:
                found.append((slot, *self._header(data, slot)))
            except DiskError as error:
                problem = problem or error
        if not found:
            assert problem is not None
            raise problem
        first, last = found[0], found[-1]
        ahead = last[2].wc_generation - first[2].wc_generation & 0xFFFFFFFF
        newest, other = (last, first) if ahead < 1 << 31 else (first, last)
        self.other = other[2] if len(found) > 1 else None
        return newest

    def _header(self, data: bytes, slot: int) -> tuple[Order, Any]:
        """Return byte order and row of the header in a slot, checked."""
        where = f"{self.where}: header {slot}"
        for order in ORDERS:
            row = WC_HEADER.codec(order).unpack(data, slot * self._block)
            if row.wc_type == WAPBL_WC_HEADER:
                break
        else:
            raise BadMagic(where, f"wc_type is {row.wc_type:#x}")
        for name, passes, rule in _HEADER_CHECKS:
            if not passes(row, self._block, self._length):
                raise Corrupt(where, name, getattr(row, name), rule)
        return order, row

    def _record(self, offset: int, left: int) -> LogRecord:
        """Return the record at `offset`, of which `left` bytes may be in use."""
        where = f"{self.where}: record at byte {offset} of it"
        data = self._read(self._block, self._start + offset)
        kind = WC_BLOCKLIST.codec(self.order).unpack(data).wc_type
        if kind not in WC_LISTS:
            raise BadMagic(where, f"wc_type is {kind:#x}")
        head, counter, entry = WC_LISTS[kind]
        row = head.codec(self.order).unpack(data)
        count = getattr(row, counter)
        most = (self._block - head.size) // entry.size
        if not 0 <= count <= most:
            raise Corrupt(where, counter, count, f"a log block has room for {most}")
        entries = list(entry.codec(self.order).iter_unpack(data[head.size : head.size + count * entry.size]))
        if entry is WC_BLOCK:
            self._check_blocks(entries, where)
        length = self._block
        if kind == WAPBL_WC_BLOCKS:
            length -= -sum(block.wc_dlen for block in entries) // self._block * self._block
        if row.wc_len != length or length > left:
            raise Corrupt(
                where, "wc_len", row.wc_len, f"what it lists takes {length} bytes, of {left} in use"
            )
        return LogRecord(offset, row, entries)

    def _check_blocks(self, blocks: list[Any], where: str) -> None:
        """Check that blocks of a list are what a buffer can be, and lie on the device."""
        unit = 1 << self.header.wc_fs_dev_bshift
        sectors = self._size // DEV_BSIZE
        for block in blocks:
            if not 0 < block.wc_dlen <= _MAXBSIZE or block.wc_dlen % unit:
                rule = f"must be a multiple of {unit} up to {_MAXBSIZE}"
                raise Corrupt(where, "wc_dlen", block.wc_dlen, rule)
            if not 0 <= block.wc_daddr <= sectors - block.wc_dlen // DEV_BSIZE:
                rule = f"the device has {sectors} sectors"
                raise Corrupt(where, "wc_daddr", block.wc_daddr, rule)

    def advance(self, offset: int, nbytes: int) -> int:
        """Return the offset in the log that lies `nbytes` bytes, at most a lap, behind another."""
        offset += nbytes
        return offset if offset < self._circ_end else offset - self._circ_end + self._circ_off

    def _enter(self, record: LogRecord, sectors: dict[int, int]) -> None:
        """Note for each sector that a record lists where in the log its content is."""
        offset = self.advance(record.offset, self._block)
        for block in record.entries:
            for daddr in _sectors(block):
                sectors[daddr] = offset
                offset = self.advance(offset, DEV_BSIZE)


def _sectors(block: Any) -> range:
    """Return the numbers of a block's sectors."""
    return range(block.wc_daddr, block.wc_daddr + block.wc_dlen // DEV_BSIZE)


def _extents(sectors: dict[int, int], start: int) -> list[Extent]:
    """Return sectors and their offsets in the log that starts at byte `start` as extents."""
    extents: list[Extent] = []
    for daddr, offset in sorted(sectors.items()):
        extent = Extent(daddr * DEV_BSIZE, DEV_BSIZE, start + offset)
        if extents:
            last = extents[-1]
            if last.start + last.length == extent.start and last.source + last.length == extent.source:
                extents[-1] = last._replace(length=last.length + DEV_BSIZE)
                continue
        extents.append(extent)
    return extents


def swapped(number: int) -> int:
    """Return 64 bits with their bytes in the other order."""
    return int.from_bytes(number.to_bytes(8, "little"), "big")
