"""What inodes and directories were before: copies in the log, and below a log that is not replayed yet."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from rumpfs.base.errors import DiskError
from rumpfs.inspect.log import Log
from rumpfs.inspect.raw import Raw
from rumpfs.inspect.remains import Remains
from rumpfs.inspect.slack import Chunks
from rumpfs.ondisk.ufs.dinode import IFMT, Dinode

#: the source of what lies in the log without a record that lists it
REMAINS: Final = "a part of the log whose beginning is overwritten"


class Version(NamedTuple):
    """An inode as it was once.

    Attributes:
        ino: its number.
        age: versions of one inode with a larger one are younger.
        source: where it was found, in words.
        dinode: what it held.
        data: its bytes.
        time: of the transaction that has put it there; None when that is not known.
    """

    ino: int
    age: int
    source: str
    dinode: Dinode
    data: bytes
    time: int | None


class OldChunks(NamedTuple):
    """Chunks of a directory as they were once.

    Attributes:
        directory: whose, when they say it; else 0.
        address: byte of the device at which they were.
        data, source: the chunks, and where they were found, in words.
    """

    directory: int
    address: int
    data: bytes
    source: str


class Past:
    """Everything that is known of the past of a file system.

    Args:
        raw: the file system.

    Attributes:
        versions: inode -> its versions in use, the oldest first; those of files that still are there are left
            out.
        directories: blocks that look like those of directories.
    """

    def __init__(self, raw: Raw) -> None:
        self._raw = raw
        self._chunks = Chunks(raw.fs)
        self.versions: dict[int, list[Version]] = {}
        self.directories: list[OldChunks] = []
        log = _log(raw)
        if log is not None:
            self._remains(log)
            for age, (address, data, source, time) in enumerate(_blocks(raw, log), 1):
                self._block(address, data, source, time, age)

    def _remains(self, log: Log) -> None:
        """Take down what no record of the log lists any more; it is taken to be the oldest."""
        remains = Remains(self._raw, log.position.blksize, log.remains())
        for first, data in remains.inodes:
            self._inodes(first, data, REMAINS, None, 0)
        for directory, data in remains.directories:
            self.directories.append(OldChunks(directory, 0, data, REMAINS))

    def _block(self, address: int, data: bytes, source: str, time: int | None, age: int) -> None:
        raw, fs = self._raw, self._raw.fs
        number = address >> fs.fs_fshift
        cgx = fs.dtog(number)
        if not 0 <= cgx < raw.groups:
            return
        if fs.cgimin(cgx) <= number < fs.cgdmin(cgx):
            first = (address - (fs.cgimin(cgx) << fs.fs_fshift)) // raw.codec.size + cgx * fs.fs_ipg
            self._inodes(first, data, source, time, age)
        elif self._chunks.looks_right(data):
            whose = self._chunks.owner(data[: fs.dirblksiz])
            self.directories.append(OldChunks(whose[0] if whose else 0, address, data, source))

    def _inodes(self, first: int, data: bytes, source: str, time: int | None, age: int) -> None:
        raw = self._raw
        size = raw.codec.size
        for index, di in enumerate(raw.codec.decode_many(data[: len(data) // size * size])):
            if di.di_mode & IFMT and not self._is_there(first + index, di):
                piece = data[index * size : (index + 1) * size]
                version = Version(first + index, age, source, di, piece, time)
                self.versions.setdefault(first + index, []).append(version)

    def _is_there(self, ino: int, di: Dinode) -> bool:
        """True when an inode still is the file that it was."""
        now = self._raw.inode(ino)
        return (
            now is not None
            and now.di_mode & IFMT == di.di_mode & IFMT
            and now.di_gen == di.di_gen
            and now.di_birthtime == di.di_birthtime
        )


def _log(raw: Raw) -> Log | None:
    """Return the log; None without one that can be read."""
    if not raw.fs.fs_journal_version:
        return None
    try:
        return Log(raw)
    except DiskError:
        return None


def _blocks(raw: Raw, log: Log) -> Iterator[tuple[int, bytes, str, int | None]]:
    """Yield (byte of the device, bytes, source, time) of older copies of metadata, the oldest first."""
    live = [transaction for transaction in log.transactions if transaction.live]
    for transaction in log.transactions[: len(log.transactions) - len(live)]:
        for address, data in log.blocks(transaction):
            yield address, data, "the log", transaction.time
    for transaction in live:
        for address, data in log.blocks(transaction):
            below = raw.below.pread(len(data), address)
            yield address, below, "the disk, where the log is not replayed yet", None
    for transaction in live:
        for address, data in log.blocks(transaction):
            yield address, data, "the log", transaction.time
