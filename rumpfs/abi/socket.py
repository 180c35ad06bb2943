"""Sockets of the local domain (NetBSD: sys/socket.h, sys/un.h)."""

from __future__ import annotations

from typing import Final

PF_LOCAL: Final = 1
SOCK_STREAM: Final = 1

#: what socket(2) and socketpair(2) take together with the type
SOCK_CLOEXEC: Final = 0x10000000
SOCK_NONBLOCK: Final = 0x20000000
SOCK_NOSIGPIPE: Final = 0x40000000
SOCK_FLAGS_MASK: Final = 0xF0000000

SHUT_RD: Final = 0
SHUT_WR: Final = 1
SHUT_RDWR: Final = 2

#: the most that listen(2) lets wait
SOMAXCONN: Final = 128

#: the length of a struct sockaddr is one byte of it; the family another
SOCKADDR_MAX: Final = 255
SUN_PATH: Final = 2  # offset of sun_path in struct sockaddr_un


def sockaddr_un(path: bytes) -> bytes:
    """Return struct sockaddr_un, as long as its path; of a socket without a name the path is empty."""
    return bytes((SUN_PATH + len(path), PF_LOCAL)) + path


def parse_sockaddr(name: bytes) -> tuple[int, bytes]:
    """Return family and path of a struct sockaddr (uipc_syscalls.c: sockargs).

    The path ends at its NUL, or where the address does. With a family of 0 the address is 4.3BSD's, which has
    the family where the length is.
    """
    return name[1] or name[0], name[SUN_PATH:].split(b"\0", 1)[0]
