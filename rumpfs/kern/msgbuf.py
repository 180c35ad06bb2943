"""The message buffer: what the kernel has printed (NetBSD: subr_log.c, sys/msgbuf.h)."""

from __future__ import annotations

import logging
from typing import Final

#: bytes that are kept (sys/rump/librump/rumpkern/rump.c)
MSGBUFSIZE: Final = 16384


class Msgbuf:
    """The last MSGBUFSIZE bytes."""

    __slots__ = ("_content",)

    def __init__(self) -> None:
        self._content = bytearray()

    def append(self, text: bytes) -> None:
        """Keep what is printed, and lose the oldest (logputchar)."""
        self._content += text
        del self._content[:-MSGBUFSIZE]

    def content(self) -> bytes:
        """Return the whole buffer: NULs while it is not full, and what is kept, the oldest first."""
        return bytes(self._content.rjust(MSGBUFSIZE, b"\0"))


class MsgbufHandler(logging.Handler):
    """Puts what is logged, as the warning of a file system, into a message buffer as well."""

    def __init__(self, msgbuf: Msgbuf) -> None:
        super().__init__()
        self._msgbuf = msgbuf

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the message alone: neither its level nor a traceback."""
        self._msgbuf.append(record.getMessage().encode(errors="surrogateescape") + b"\n")
