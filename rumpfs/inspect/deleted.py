"""How much is left of deleted files, counted at little cost: for surveys, which say where to look closer."""

from __future__ import annotations

from typing import Final, NamedTuple

from rumpfs.inspect.names import chunks_of, directories, entries_in
from rumpfs.inspect.raw import Raw
from rumpfs.inspect.slack import Chunks

#: How often the size of the device directories may have together, which cannot be unless they share blocks.
_TWICE: Final = 2


class DeletedCounts(NamedTuple):
    """What is left of deleted files.

    Attributes:
        names: names that were removed from directories, and can be read still.
        inodes: free inodes that were in use once.
    """

    names: int
    inodes: int


def count_deleted(raw: Raw) -> DeletedCounts:
    """Return how many deleted names and inodes there are; `undelete.Search` says what each of them is.

    A name that was moved counts, and one that is left twice counts twice.
    """
    chunks = Chunks(raw.fs)
    names = 0
    left = _TWICE * raw.size
    for _, di in directories(raw):
        for _, _, data in chunks_of(raw, di):
            left -= len(data)
            names += _names(raw, chunks, data) if left > 0 else 0
    return DeletedCounts(names, sum(_inodes(raw, data) for _, data in raw.tables()))


def _names(raw: Raw, chunks: Chunks, data: bytes) -> int:
    """Return how many names are left in chunks of a directory that are not among its names now."""
    if not chunks.has_slack(data):
        return 0
    pieces = (data[start : start + chunks.size] for start in range(0, len(data), chunks.size))
    found = [(place.ino, place.name) for piece in pieces for place in chunks.deleted(piece)]
    here = {(ino, name) for _, ino, _, name in entries_in(raw, data)}
    return sum(each not in here for each in found)


def _inodes(raw: Raw, data: bytes) -> int:
    """Return how many inodes have no type, but a time at which they lost it."""
    modes = raw.codec.column("di_mode", data)
    times = raw.codec.column("di_ctime", data)
    return sum(1 for mode, time in zip(modes, times, strict=True) if time and not mode)


__all__ = ["DeletedCounts", "count_deleted"]
