"""What a system call body may ask of whoever runs it, and how it answers.

A body that needs the caller's memory in an order that depends on the data, or that may sleep, is a
generator. It yields the requests below and is resumed with their results; a request that fails is thrown
into it as a `VfsError`. A front end (the socket server, an in-process caller) drives it.

=================  ===========================  ======================================
yields             is resumed with              fails with
=================  ===========================  ======================================
CopyIn(addr, n)    n bytes                      EFAULT
CopyInStr(addr,m)  the string without its NUL   EFAULT, ENAMETOOLONG (no NUL within m)
CopyOut(addr, d)   None                         EFAULT
Raise(signo)       None
Sleep(queue, t)    True; False at the deadline  EINTR (exec, disconnect)
=================  ===========================  ======================================
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Final, NamedTuple, TypeAlias

from rumpfs.base.waitq import WaitQueue

#: one piece of bytes, without a copy where possible
Buffer: TypeAlias = bytes | bytearray | memoryview
#: for isinstance: what Data is, as opposed to a generator
DATA_TYPES: Final = (bytes, memoryview, list, bytearray)
#: bytes on their way to a caller: one piece, or several that follow each other
Data: TypeAlias = Buffer | list[Buffer]


class CopyIn(NamedTuple):
    """Fetch `length` bytes (at most COPYIN_MAX) at the caller's address `addr`."""

    addr: int
    length: int


class CopyInStr(NamedTuple):
    """Fetch the NUL-terminated string at `addr`; it and its NUL have at most `maxlen` bytes."""

    addr: int
    maxlen: int = 1024


class CopyOut(NamedTuple):
    """Store `data` at the caller's address `addr`."""

    addr: int
    data: Data


class Raise(NamedTuple):
    """Send the caller a signal (NetBSD number)."""

    signo: int


class Sleep(NamedTuple):
    """Wait until `queue` is woken, or until the monotonic time `deadline` (seconds)."""

    queue: WaitQueue
    deadline: float | None = None


#: what one CopyIn may ask for; larger transfers are made of several
COPYIN_MAX = 4 << 20


class Done(NamedTuple):
    """The result of a body that also stores bytes: `data` at `addr`, then `retval`."""

    addr: int
    data: Data
    retval: int = 0


Request: TypeAlias = CopyIn | CopyInStr | CopyOut | Raise | Sleep
#: retval[0]; or both retvals; or Done
Result: TypeAlias = int | tuple[int, int] | Done
#: a body that has to be driven; what it is sent depends on the request, and it returns a Result (or, for
#: the read and write of a file, what those return)
Body: TypeAlias = Generator[Request, Any, Any]


def data_length(data: Data) -> int:
    """Return the number of bytes in `data`."""
    return sum(map(len, data)) if type(data) is list else len(data)
