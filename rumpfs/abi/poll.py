"""struct pollfd and the events of poll(2) (sys/sys/poll.h)."""

from __future__ import annotations

import struct
from typing import Final

#: struct pollfd: fd, events, revents
POLLFD: Final = struct.Struct("<iHH")

POLLIN: Final = 0x0001
POLLPRI: Final = 0x0002
POLLOUT: Final = 0x0004
POLLERR: Final = 0x0008
POLLHUP: Final = 0x0010
POLLNVAL: Final = 0x0020
POLLRDNORM: Final = 0x0040
POLLRDBAND: Final = 0x0080
POLLWRBAND: Final = 0x0100
POLLWRNORM: Final = POLLOUT
