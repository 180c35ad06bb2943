"""Quotas as a file system shows them, and cursors that go through them.

NetBSD: vfs_quotactl.c, sys/sys/quota.h, and for the cursors ufs_quota2.c.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from struct import Struct
from typing import Final, NamedTuple, Protocol

from rumpfs.abi import errno
from rumpfs.abi.quota import (
    IDTYPE_NAMES,
    QUOTA_DEFAULTID,
    QUOTAKCURSOR_SIZE,
    Quotaval,
)
from rumpfs.base.errors import VfsError

#: the values of an id, by QUOTA_OBJTYPE_
Quotavals = tuple[Quotaval, Quotaval]


class QuotaFile(Protocol):
    """The quotas of one type of ids. The ids are in numbered buckets, whose order stays the same."""

    def default(self) -> Quotavals:
        """Return what new ids get. Errors: EIO."""

    def get(self, ident: int) -> Quotavals:
        """Return the values of an id. Errors: ENOENT, EIO."""

    def entries(self, first: int) -> Iterator[tuple[int, int, Quotavals]]:
        """Yield (bucket, id, values) of what is in bucket `first` and behind it. Errors: EIO."""


class Quotas(NamedTuple):
    """The quotas of a mounted file system.

    Args:
        implname: what the implementation is called.
        restrictions: QUOTA_RESTRICT_ flags.
        files: by QUOTA_IDTYPE_, for those types of ids that have quotas.
    """

    implname: bytes
    restrictions: int
    files: Mapping[int, QuotaFile]


#: magic, for each type of ids whether it is done, values of the bucket that are done, bucket
_CURSOR: Final = Struct("<IIIIQ")
_MAGIC: Final = 0x71756F74


@dataclass(slots=True)
class Cursor:
    """A place in the quotas of a file system: users first, then groups, of either first the default.

    Attributes:
        done: the types of ids that are behind, or skipped.
        bucket: 0 is the default, the others are one more than a bucket's number.
        taken: how many values of the bucket are behind.
    """

    done: set[int] = field(default_factory=set)
    bucket: int = 0
    taken: int = 0

    @classmethod
    def unpack(cls, data: bytes) -> Cursor:
        """Return the cursor in a struct quotakcursor, which anybody may have written. Errors: EINVAL."""
        magic, *done, taken, bucket = _CURSOR.unpack_from(data)
        if magic != _MAGIC or not set(done) <= {0, 1}:
            raise VfsError(errno.EINVAL)
        return cls({idtype for idtype in IDTYPE_NAMES if done[idtype]}, bucket, taken)

    def pack(self) -> bytes:
        """Return the cursor as a struct quotakcursor."""
        done = (int(idtype in self.done) for idtype in IDTYPE_NAMES)
        return _CURSOR.pack(_MAGIC, *done, self.taken, self.bucket).ljust(QUOTAKCURSOR_SIZE, b"\0")

    @property
    def atend(self) -> bool:
        """Whether nothing is left."""
        return self.done >= IDTYPE_NAMES.keys()

    def get(self, quotas: Quotas, count: int) -> list[tuple[int, int, int, Quotaval]]:
        """Return the next values, at most `count` and of one type of ids; none at the end.

        Returns:
            (idtype, id, objtype, value) of each.

        Errors: EIO, when nothing can be returned before the damage.
        """
        for idtype in IDTYPE_NAMES:
            if idtype not in self.done:
                found = self._get(quotas.files[idtype], count) if idtype in quotas.files else []
                if found or not count:
                    return [(idtype, *value) for value in found]
                self.done.add(idtype)
                self.bucket = self.taken = 0
        return []

    def _get(self, file: QuotaFile, count: int) -> list[tuple[int, int, Quotaval]]:
        """Return the next values (id, objtype, value) for one type of ids, and go behind them."""
        found: list[tuple[int, int, Quotaval]] = []
        bucket, index = self.bucket, 0
        start, skip = self.bucket, self.taken
        try:
            for at, ident, values in _entries(file, start):
                if at != bucket:
                    bucket, index = at, 0
                for objtype, value in enumerate(values):
                    index += 1
                    if bucket == start and index <= skip:
                        continue
                    if len(found) == count:
                        return found
                    found.append((ident, objtype, value))
                    self.bucket, self.taken = bucket, index
        except VfsError:
            if not found:
                raise
        return found


def _entries(file: QuotaFile, first: int) -> Iterator[tuple[int, int, Quotavals]]:
    """Yield (bucket, id, values) from a cursor's bucket on."""
    if first == 0:
        yield 0, QUOTA_DEFAULTID, file.default()
    for bucket, ident, values in file.entries(max(first - 1, 0)):
        yield bucket + 1, ident, values
