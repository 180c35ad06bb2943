"""Addresses of servers: unix://PATH and tcp://A.B.C.D:PORT/ (NetBSD: librumpuser/sp_common.c: parseurl)."""

from __future__ import annotations

import os
import re
from typing import NamedTuple

from rumpfs.abi import errno

SUN_PATH_MAX = 108  # Linux: sizeof(sun_path), with the NUL
SCHEME_MAX = 15
ADDRESS_MAX = 63


class UrlError(Exception):
    """A url cannot be used.

    Args:
        text: what the user is told.
        number: NetBSD errno.
    """

    def __init__(self, text: str, number: int) -> None:
        super().__init__(text)
        self.text = text
        self.errno = number


class UnixUrl(NamedTuple):
    """A unix-domain socket."""

    path: str

    def __str__(self) -> str:
        return f"unix://{self.path}"


class TcpUrl(NamedTuple):
    """A TCP address; host is a dotted quad."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"tcp://{self.host}:{self.port}/"


def parse(url: str, client: bool = False) -> UnixUrl | TcpUrl:
    """Parse a url.

    Args:
        client: whether the address is to be connected to; INADDR_ANY is refused then.

    Errors:
        UrlError with the text that the user sees and EINVAL, EOPNOTSUPP, ENAMETOOLONG or ERANGE.
    """
    scheme, separator, address = url.partition("://")
    if not separator:
        raise UrlError(f"rump_sp: invalid locator ``{url}''", errno.EINVAL)
    if len(scheme) > SCHEME_MAX:
        raise UrlError(f"rump_sp: identifier too long in ``{url}''", errno.EINVAL)
    if scheme == "unix":
        return _unix(url, address)
    if scheme == "tcp":
        return _tcp(address, client)
    if scheme == "tcp6":
        raise UrlError("rump_sp: support not yet implemented", errno.EOPNOTSUPP)
    raise UrlError(f"rump_sp: invalid identifier ``{url}''", errno.EINVAL)


def _unix(url: str, path: str) -> UnixUrl:
    absolute = path
    if path and not path.startswith("/"):
        try:
            absolute = os.path.join(os.getcwd(), path)
        except OSError:
            import logging  # not at the top: commands that start fast do without

            logging.getLogger(__name__).warning(
                "cannot determine the working directory; the socket %s will not be removed", path
            )
    if len(os.fsencode(absolute)) >= SUN_PATH_MAX:
        raise UrlError(
            f"rump_sp: the path of {url} is too long: {len(os.fsencode(absolute))} bytes with the working "
            f"directory, at most {SUN_PATH_MAX - 1}",
            errno.ENAMETOOLONG,
        )
    return UnixUrl(absolute)


def _tcp(address: str, client: bool) -> TcpUrl:
    host, separator, rest = address.partition(":")
    if not separator:
        raise UrlError("rump_sp_tcp: missing port specifier", errno.EINVAL)
    if len(host) > ADDRESS_MAX:
        raise UrlError("rump_sp_tcp: address too long", errno.EINVAL)
    if host in ("*", "0"):
        host = "0.0.0.0"  # noqa: S104 - INADDR_ANY is what the url asks for
    quad = host.split(".")
    # As inet_pton(3) has it: no part begins with a needless zero.
    if len(quad) != 4 or not all(re.fullmatch("0|[1-9][0-9]{0,2}", n) and int(n) < 256 for n in quad):
        raise UrlError(f"rump_sp_tcp: cannot parse {host}", errno.EINVAL)
    if client and host == "0.0.0.0":  # noqa: S104
        raise UrlError("rump_sp_tcp: client needs !INADDR_ANY", errno.EINVAL)
    digits = re.match("[0-9]*", rest)
    assert digits is not None
    if not digits[0]:
        raise UrlError(f"rump_sp_tcp: port now found: {address}", errno.EINVAL)
    if rest[digits.end() :][:1] not in ("", "/"):
        raise UrlError(f"rump_sp_tcp: junk at end of port: {address}", errno.EINVAL)
    port = int(digits[0][:20])
    if port >= 65536:
        raise UrlError(f"rump_sp_tcp: port {port} out of range", errno.ERANGE)
    return TcpUrl(host, port)
