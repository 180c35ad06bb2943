"""Connections to servers (NetBSD: librumpclient/rumpclient.c, sp_common.c)."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from rumpfs.client.errors import connection_lost
from rumpfs.sysproxy import wire
from rumpfs.sysproxy.url import TcpUrl, UnixUrl

#: seconds without a word before a server's host is asked whether it is there, between such questions, and
#: without an answer before the connection ends (that one in ms), as tcp(7) has them
_KEEPALIVE: Final = {socket.TCP_KEEPIDLE: 20, socket.TCP_KEEPINTVL: 10, socket.TCP_USER_TIMEOUT: 40_000}


def _beyond_stdio(sock: socket.socket) -> socket.socket:
    """Return the socket under a number that no standard descriptor has, even when those are closed."""
    if sock.fileno() > 2:
        return sock
    import fcntl  # programs have standard descriptors

    with sock:
        return socket.socket(fileno=fcntl.fcntl(sock.fileno(), fcntl.F_DUPFD_CLOEXEC, 3))


@contextmanager
def _connecting(sock: socket.socket, address: UnixUrl | TcpUrl) -> Iterator[None]:
    """Close the socket when the block fails. Errors: as for `dial`."""
    try:
        yield
    except OSError as error:
        timeout = sock.gettimeout()
        sock.close()
        if isinstance(error, TimeoutError):
            raise connection_lost(f"{address}: no answer within {timeout:g} seconds") from error
        raise OSError(error.errno, error.strerror, str(address)) from error
    except BaseException:
        sock.close()
        raise


def dial(address: UnixUrl | TcpUrl, timeout: float) -> socket.socket:
    """Connect to an address; what is said there is not read yet.

    Errors:
        ConnectionLost: there is no answer in time.
        OSError: it cannot be reached (`filename` is the url).
    """
    if isinstance(address, UnixUrl):
        sock = _beyond_stdio(socket.socket(socket.AF_UNIX))
        where: Any = os.fsencode(address.path)
    else:
        sock = _beyond_stdio(socket.socket(socket.AF_INET))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # A host that is gone without a word ends the connection after a while, so no call waits for ever.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, seconds in _KEEPALIVE.items():
            sock.setsockopt(socket.IPPROTO_TCP, option, seconds)
        where = address.host, address.port
    sock.settimeout(timeout)
    with _connecting(sock, address):
        sock.connect(where)
    return sock


def connect(address: UnixUrl | TcpUrl, timeout: float) -> socket.socket:
    """Connect to a server and read its banner.

    Errors:
        OSError, ConnectionLost: as for RawClient.
    """
    sock = dial(address, timeout)
    with _connecting(sock, address):
        banner = sock.recv(wire.BANNER_MAX)
    if banner.startswith(b"RUMPSP-") and banner.endswith(b"\n"):
        return sock
    sock.close()
    if not banner:
        raise connection_lost(f"{address}: the server hung up at once: it has no room for one more client")
    raise connection_lost(f"{address}: something answers there that is not a rump kernel: {banner[:40]!r}")
