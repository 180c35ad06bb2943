"""Telling a service manager how it goes (sd_notify(3)): a datagram to the socket that NOTIFY_SOCKET names.

Under systemd that is what a unit with Type=notify waits for. Without the variable nothing happens.
"""

from __future__ import annotations

import logging
import os
import socket

log = logging.getLogger(__name__)


def ready(status: str) -> None:
    """Say that the service can be used, and by which process it is done.

    Args:
        status: what it does, for people.
    """
    _notify(f"READY=1\nSTATUS={_line(status)}\nMAINPID={os.getpid()}")


def stopping(status: str) -> None:
    """Say that the service is about to end.

    Args:
        status: what it still does, for people.
    """
    _notify(f"STOPPING=1\nSTATUS={_line(status)}")


def _line(text: str) -> str:
    return text.replace("\n", "?")


def _notify(message: str) -> None:
    where = os.environ.get("NOTIFY_SOCKET", "")
    if not where.startswith(("/", "@")):
        return
    address = os.fsencode(where)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
        try:
            sock.sendto(os.fsencode(message), b"\0" + address[1:] if where[0] == "@" else address)
        except OSError as error:
            log.warning("NOTIFY_SOCKET=%s: %s", where, error.strerror)
