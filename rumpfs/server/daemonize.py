"""Detaching from the caller once the service runs (NetBSD: librumpuser/rumpuser_daemonize.c).

The caller's process stays in the foreground until the detached one says how its start went, and ends with
what it was told. So every message of the start appears where the user looks, and when the prompt is back
the server answers.
"""

from __future__ import annotations

import errno
import os
import signal
import struct
import sys
from typing import NoReturn

#: What the child sends: one 32-bit error number, 0 for success.
_RESULT = struct.Struct("=i")

#: Exit status of the foreground process when the other one died without a word.
EXIT_DIED = errno.ESRCH

_begun = False


class Daemon:
    """The detached process's side. Made by `daemonize_begin`.

    Args:
        fd: descriptor that leads to the process in the foreground.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def done(self, error: int = 0) -> None:
        """Let the process in the foreground end.

        On success the process leads a session of its own from now on, and standard input, output and error
        become /dev/null first; on failure they stay, so that messages reach the user.

        Args:
            error: NetBSD error number; 0 when the service runs.

        Raises:
            OSError: ENOENT when it was called before; what the host says.
        """
        if self._fd < 0:
            raise OSError(errno.ENOENT, "the process in the foreground has been told already")
        if error == 0:
            # Not before: the kernel lets a process mount on what systemd automounts by its process group.
            os.setsid()
            _flush()
            null = os.open(os.devnull, os.O_RDWR)
            for fd in (0, 1, 2):
                os.dup2(null, fd)
            if null > 2:
                os.close(null)
        try:
            os.write(self._fd, _RESULT.pack(error))
        except BrokenPipeError:
            pass  # it was killed; that does not concern the service
        os.close(self._fd)
        self._fd = -1


def daemonize_begin() -> Daemon:
    """Detach: fork, and return in the child.

    The working directory and the umask stay as they are. To be called before there are threads or an event
    loop.

    Raises:
        OSError: EINPROGRESS when it was called before; what the host says.
    """
    global _begun
    if _begun:
        raise OSError(errno.EINPROGRESS, os.strerror(errno.EINPROGRESS))
    _flush()
    reader, writer = os.pipe()
    if os.fork():
        os.close(writer)
        _wait(reader)
    os.close(reader)
    _begun = True
    return Daemon(writer)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:  # the caller had closed it
            stream.flush()


def _wait(fd: int) -> NoReturn:
    """Be the process in the foreground: wait for the result and end with it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    result = b""
    while len(result) < _RESULT.size:
        piece = os.read(fd, _RESULT.size - len(result))
        if not piece:
            os._exit(EXIT_DIED)
        result += piece
    os._exit(_RESULT.unpack(result)[0] & 0xFF)
