"""struct kevent and the numbers of kqueue(2) (sys/sys/event.h)."""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

#: struct kevent: ident, filter, flags, fflags, data, udata
KEVENT: Final = struct.Struct("<QIII4xqQ")
#: NetBSD 10 has four words for the user behind that (ext)
KEVENT100_SIZE: Final = 72


class Abi(NamedTuple):
    """What is different between the versions of kevent: the size of struct kevent, and struct timespec."""

    size: int
    timespec: struct.Struct


EVFILT_READ: Final = 0
EVFILT_WRITE: Final = 1
EVFILT_VNODE: Final = 3

# what is to be done
EV_ADD: Final = 0x0001
EV_DELETE: Final = 0x0002
EV_ENABLE: Final = 0x0004
EV_DISABLE: Final = 0x0008
# how events are reported
EV_ONESHOT: Final = 0x0010
EV_CLEAR: Final = 0x0020
EV_RECEIPT: Final = 0x0040
EV_DISPATCH: Final = 0x0080
# what only the kernel sets
EV_SYSFLAGS: Final = 0xF000
EV_ERROR: Final = 0x4000
EV_EOF: Final = 0x8000

# fflags of EVFILT_VNODE
NOTE_DELETE: Final = 0x0001
NOTE_WRITE: Final = 0x0002
NOTE_EXTEND: Final = 0x0004
NOTE_ATTRIB: Final = 0x0008
NOTE_LINK: Final = 0x0010
NOTE_RENAME: Final = 0x0020
NOTE_REVOKE: Final = 0x0040
