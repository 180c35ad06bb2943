"""What a process wants of the directories that it reads: names alone, or the files' attributes as well.

The host takes attributes with each name, so that `ls -l` does not ask for every file. Who only looks for a
name pays for them: each file has to be found, and remembered until the host forgets it. So a process is
watched: in the first directory that it reads, the attributes of one file are held back. If nobody asks for
that file, the process gets names and types from the next directory on, except of directories, which it may go
down into; as soon as somebody asks for a file of one of those, it has all attributes again, for good. Of a
server, where each file costs a call in any case, names are given from the beginning.
"""

from __future__ import annotations

import ctypes
import struct
import threading
from typing import Final

import pyfuse3

from rumpfs.abi.stat import DT_DIR, DT_UNKNOWN

#: processes that are remembered
_PROCESSES: Final = 128
#: types of entries whose attributes are always given
GIVEN: Final = (DT_DIR, DT_UNKNOWN)
_MAGIC: Final = 0x5D3E_91A7_C26B_08F4
_WORD: Final = ctypes.sizeof(ctypes.c_uint64)


class Habit:
    """What is known of a process.

    Attributes:
        tried: the attributes of a file were held back, or need not be.
        curious: it, or somebody after it, asked for a file whose attributes were held back.
    """

    __slots__ = ("curious", "tried")

    def __init__(self, tried: bool) -> None:
        self.tried = tried
        self.curious = False


class Habits:
    """The processes that read directories, those that did so last.

    Args:
        tried: none of them has to be tried first.
    """

    def __init__(self, tried: bool) -> None:
        self._tried = tried
        self._lock = threading.Lock()
        self._by_pid: dict[int, Habit] = {}

    def of(self, pid: int) -> Habit:
        """Return what is known of a process."""
        with self._lock:
            habit = self._by_pid.pop(pid, None) or Habit(self._tried)
            self._by_pid[pid] = habit
            if len(self._by_pid) > _PROCESSES:
                del self._by_pid[next(iter(self._by_pid))]
            return habit


class Brief:
    """A directory's entry without the attributes of its file: number and type.

    libfuse's entry (struct fuse_entry_param) has the number twice: once as what the host is to know the file
    by, where 0 means that it is told of none, and once for the directory. pyfuse3 sets both together, so the
    second is set past it.
    """

    __slots__ = ("_entry", "_number")

    def __init__(self) -> None:
        self._entry = pyfuse3.EntryAttributes()
        self._entry.st_ino = 0
        self._number = ctypes.c_uint64()
        if _place is not None:
            self._number = ctypes.c_uint64.from_address(id(self._entry) + _place)

    def __call__(self, number: int, dtype: int) -> pyfuse3.EntryAttributes:
        """Return the entry, good until the next one is made.

        Args:
            number: of the file, as stat(2) would show it.
            dtype: its DT_ type.
        """
        self._number.value = number
        self._entry.st_mode = dtype << 12
        return self._entry


def _find_place() -> int | None:
    """Return where pyfuse3's entry has the number for the directory; None: not as thought."""
    entry = pyfuse3.EntryAttributes()
    entry.st_ino = _MAGIC
    size = type(entry).__basicsize__
    words = struct.unpack_from(f"{size // _WORD}Q", ctypes.string_at(id(entry), size))
    places = [index * _WORD for index, word in enumerate(words) if word == _MAGIC]
    if len(places) != 2:
        return None
    ctypes.c_uint64.from_address(id(entry) + places[1]).value = 0
    return places[1] if entry.st_ino == _MAGIC else None


_place: Final = _find_place()
#: whether there are entries without attributes
HAS_BRIEF: Final = _place is not None
