"""The transactions of a WAPBL log: what each has put where, and which inodes and names that has changed.

A log is a circle. What lies between its tail and its head is live: it counts when the file system is mounted.
Behind the head there are older transactions, which are in their places, until later ones overwrite them: they
tell what the file system looked like before.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from rumpfs.base.errors import BadMagic
from rumpfs.inspect.names import entries_in
from rumpfs.inspect.owners import Kind, Owners
from rumpfs.inspect.raw import Raw
from rumpfs.inspect.slack import Chunks
from rumpfs.ondisk.ufs.dinode import Dinode
from rumpfs.ondisk.ufs.fs import FS
from rumpfs.ondisk.ufs.wapbl import (
    DEV_BSIZE,
    WAPBL_WC_INODES,
    WAPBL_WC_REVOCATIONS,
    LogPosition,
    LogRecord,
    Wapbl,
    find_log,
)

#: Seconds before a transaction in which an inode is taken to be changed by it when nothing older is known of
#: the inode: the time after which sync(2) comes by itself.
_RECENT: Final = 30
_TIME: Final = FS.offset("fs_time")
_DOTS: Final = (b".", b"..")
#: Bytes that are read at a time; a multiple of every log block.
_READ: Final = 1 << 20
#: Bytes of a log beyond which it is not searched: newfs and mount make logs of 64 MiB at most.
_LARGEST: Final = 256 << 20


class Block(NamedTuple):
    """A block that a transaction holds.

    Attributes:
        address: byte of the device at which it belongs.
        data: its bytes.
    """

    address: int
    data: bytes


class InodeChange(NamedTuple):
    """An inode in a transaction.

    Attributes:
        ino: its number.
        change: made, removed, changed, replaced (by another file of its number), or perhaps: nothing older is
            known of it.
        dinode: as it is after it.
    """

    ino: int
    change: str
    dinode: Dinode


class NameChange(NamedTuple):
    """A name in a transaction; `directory` is 0 when it is not known which one."""

    directory: int
    name: bytes
    ino: int
    change: str


class Touch(NamedTuple):
    """What a block of a transaction is.

    Attributes:
        address, length: bytes of the device.
        kind: what it is for.
        ino: the inode that it belongs to; 0 for none, or when that is not known.
        inodes, names: what it has changed.
    """

    address: int
    length: int
    kind: Kind
    ino: int
    inodes: tuple[InodeChange, ...] = ()
    names: tuple[NameChange, ...] = ()


@dataclass(slots=True)
class Transaction:
    """What one commit has put into the log.

    Attributes:
        live: it lies between tail and head.
        offset: byte of the log at which it begins.
        length: bytes in the log.
        complete: its last record is there.
        records: its records.
        generation: of the header that has committed it, when that is still there.
        time: seconds since 1970, from the copy of the superblock in it; None without one.
    """

    live: bool
    offset: int
    length: int = 0
    complete: bool = False
    records: list[LogRecord] = field(default_factory=list)
    generation: int | None = None
    time: int | None = None

    @property
    def revoked(self) -> list[tuple[int, int]]:
        """(byte of the device, bytes) of what is metadata no more."""
        return [
            (block.wc_daddr * DEV_BSIZE, block.wc_dlen)
            for record in self.records
            if record.row.wc_type == WAPBL_WC_REVOCATIONS
            for block in record.entries
        ]

    @property
    def inodes(self) -> list[tuple[int, int]]:
        """(number, mode) of inodes that were allocated and had no name."""
        return [
            (entry.wc_inumber, entry.wc_imode)
            for record in self.records
            if record.row.wc_type == WAPBL_WC_INODES
            for entry in record.entries
        ]


class Log:
    """The log of a file system.

    Args:
        raw: the file system; one whose log is in use need not have been replayed.

    Attributes:
        position: where it lies.
        header: the header that counts, under the names of the BSD structure.
        order: byte order of the records.
        live: bytes from tail to head.
        in_use: the superblock says that it is to be replayed when mounted.
        transactions: the oldest first.
        damage: why the live part cannot be read to its end; empty when it can.

    Raises:
        DiskError: there is none, or its headers are damaged.
    """

    def __init__(self, raw: Raw) -> None:
        fs = raw.fs
        if not fs.fs_journal_version:
            raise BadMagic(fs.where, "the file system has no log")
        self.position: LogPosition = find_log(fs, raw.size)
        self._below = raw.below
        self._wapbl = Wapbl(raw.below.pread, raw.size, self.position, fs.where)
        self.order = self._wapbl.order
        self.header: Any = self._wapbl.header
        self.live = self._wapbl.live
        self.in_use = fs.has_wapbl
        self.damage = ""
        self._superblock = fs.fs_sblockloc
        self._seconds = struct.Struct(f"{fs.order}q")
        live = list(self._group(self._live(), True))
        self.transactions = [*self._group(self._wapbl.stale(), False), *live]
        for transaction in self.transactions:
            self._date(transaction)
        self.transactions = [*_by_age(self.transactions[: len(self.transactions) - len(live)]), *live]

    def _live(self) -> Iterator[LogRecord]:
        try:
            yield from self._wapbl.records()
        except BadMagic as error:
            self.damage = str(error)

    def remains(self) -> list[bytes]:
        """Return the log blocks of the circle that belong to no record, where they are not zero."""
        start, _, block = self.position
        begin, size = self.header.wc_circ_off, self.header.wc_circ_size
        if size > _LARGEST:
            return []
        taken: set[int] = set()
        spans = [(record.offset, record.row.wc_len) for each in self.transactions for record in each.records]
        for offset, length in [*spans, (self.header.wc_tail, self.live)]:
            taken.update(self._wapbl.advance(offset, done) for done in range(0, length, block))
        runs = [bytearray()]
        for piece in range(begin, begin + size, _READ):
            read = self._below.pread(min(_READ, begin + size - piece), start + piece)
            for at in range(0, len(read), block):
                data = read[at : at + block]
                if piece + at not in taken and any(data):
                    runs[-1] += data
                elif runs[-1]:
                    runs.append(bytearray())
        return [bytes(run) for run in runs if run]

    def blocks(self, transaction: Transaction) -> Iterator[Block]:
        """Yield what a transaction holds."""
        for record in transaction.records:
            for address, data in self._wapbl.content(record):
                yield Block(address, data)

    def _group(self, records: Iterable[LogRecord], live: bool) -> Iterator[Transaction]:
        """Yield the transactions that records belong to: each ends with the last of its lists of inodes."""
        current: Transaction | None = None
        after = -1
        for record in records:
            row = record.row
            first = row.wc_type == WAPBL_WC_INODES and row.wc_clear
            ends = current is not None and current.complete and (row.wc_type != WAPBL_WC_INODES or first)
            if current is None or ends or record.offset != after:
                if current is not None:
                    yield current
                current = Transaction(live, record.offset)
            current.records.append(record)
            current.length += row.wc_len
            current.complete = row.wc_type == WAPBL_WC_INODES
            after = self._wapbl.advance(record.offset, row.wc_len)
        if current is not None:
            yield current

    def _date(self, transaction: Transaction) -> None:
        """Enter in a transaction its time, and the generation of its header when that is there."""
        for block in self.blocks(transaction):
            place = self._superblock + _TIME - block.address
            if 0 <= place <= len(block.data) - self._seconds.size:
                (transaction.time,) = self._seconds.unpack_from(block.data, place)
        last = transaction.records[-1]
        end = self._wapbl.advance(last.offset, last.row.wc_len)
        for header in (self.header, self._wapbl.other):
            if header is not None and header.wc_head == end and transaction.complete:
                transaction.generation = int(header.wc_generation)
                break


class Reader:
    """Says what the blocks of transactions are, and what they have changed since the ones before.

    Args:
        raw: the file system.
        log: its log.
        owners: of the blocks as they are now.
    """

    def __init__(self, raw: Raw, log: Log, owners: Owners) -> None:
        self._raw = raw
        self._log = log
        self._owners = owners
        self._chunks = Chunks(raw.fs)
        self._before: dict[int, bytes] = {}
        #: inode -> (directory, name), as directories in the log have it
        self.names: dict[int, tuple[int, bytes]] = {}

    def read(self, transaction: Transaction) -> Iterator[Touch]:
        """Yield what a transaction has done; transactions are given in their order, none twice."""
        for block in self._log.blocks(transaction):
            before = self._known(block)
            yield self._touch(block, before, transaction.time)
            for start in range(0, len(block.data), DEV_BSIZE):
                self._before[block.address + start] = block.data[start : start + DEV_BSIZE]

    def _known(self, block: Block) -> bytes | None:
        """Return what the log had before of the bytes of a block; None when it is not all there."""
        pieces = [self._before.get(block.address + start) for start in range(0, len(block.data), DEV_BSIZE)]
        known = [piece for piece in pieces if piece is not None]
        return b"".join(known) if len(known) == len(pieces) else None

    def _touch(self, block: Block, before: bytes | None, time: int | None) -> Touch:
        raw = self._raw
        address, data = block
        number = address >> raw.fs.fs_fshift
        if address == raw.fs.fs_sblockloc:
            return Touch(address, len(data), Kind.SUPERBLOCK, 0)
        found = self._owners.at(number)
        owner = found[0] if found else None
        kind = owner.kind if owner else Kind.FREE
        if owner is not None and kind == Kind.INODES:
            first = (address - (owner.frag << raw.fs.fs_fshift)) // raw.codec.size
            first += owner.cgx * raw.fs.fs_ipg
            return Touch(address, len(data), kind, 0, tuple(self._inodes(first, data, before, time)))
        whose = self._directory(data)
        if kind == Kind.DIRECTORY or (kind not in _FIXED and whose is not None):
            ino = owner.ino if owner is not None and kind == Kind.DIRECTORY else whose or 0
            return Touch(address, len(data), Kind.DIRECTORY, ino, (), tuple(self._entries(ino, data, before)))
        return Touch(address, len(data), kind, owner.ino if owner else 0)

    def _directory(self, data: bytes) -> int | None:
        """Return the directory that begins with some bytes; None when none does."""
        whose = self._chunks.owner(data[: self._raw.fs.dirblksiz])
        return whose[0] if whose is not None else None

    def _inodes(
        self, first: int, data: bytes, before: bytes | None, time: int | None
    ) -> Iterator[InodeChange]:
        """Yield the inodes in a block that a transaction has changed."""
        codec = self._raw.codec
        size = codec.size
        for index in range(len(data) // size):
            piece = data[index * size : (index + 1) * size]
            di = codec.decode(piece)
            if before is None:
                if di.di_mode and (time is None or di.di_ctime >= time - _RECENT):
                    yield InodeChange(first + index, "perhaps", di)
                continue
            old = before[index * size : (index + 1) * size]
            if old != piece:
                was = codec.decode(old)
                if was.di_mode or di.di_mode:
                    yield InodeChange(first + index, _change(was, di), di)

    def _entries(self, ino: int, data: bytes, before: bytes | None) -> Iterator[NameChange]:
        """Yield the names in chunks of a directory that a transaction has changed."""
        now = self._names_in(data)
        for below, name in now:
            self.names[below] = ino, name
        if before is None:
            return
        was = self._names_in(before)
        for below, name in sorted(was - now):
            yield NameChange(ino, name, below, "removed")
        for below, name in sorted(now - was):
            yield NameChange(ino, name, below, "added")

    def _names_in(self, data: bytes) -> set[tuple[int, bytes]]:
        found = entries_in(self._raw, data)
        return {(ino, name) for _, ino, _, name in found if name not in _DOTS}


def _by_age(transactions: list[Transaction]) -> list[Transaction]:
    """Return transactions the oldest first, as far as their times tell.

    In the circle those of the last mount come before what is left of earlier ones, because a mount that
    finds the log empty begins at its start.
    """
    times: list[int] = []
    for transaction in transactions:
        known = transaction.time
        times.append(known if known is not None else times[-1] if times else 0)
    return [transactions[index] for index in sorted(range(len(times)), key=times.__getitem__)]


def _change(was: Dinode, now: Dinode) -> str:
    """Return what has become of an inode; its generation is another one for each file."""
    if not was.di_mode:
        return "made"
    if not now.di_mode:
        return "removed"
    return "changed" if was.di_gen == now.di_gen else "replaced"


#: what is at the same place as long as the file system is
_FIXED: Final = (Kind.BOOT, Kind.SUPERBLOCK, Kind.GROUP, Kind.INODES, Kind.SUMMARY, Kind.LOG)

__all__ = ["Block", "InodeChange", "Log", "NameChange", "Reader", "Touch", "Transaction"]
