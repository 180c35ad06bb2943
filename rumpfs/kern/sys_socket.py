"""Sockets (NetBSD: uipc_syscalls.c). The only domain is the local one, and its sockets are streams."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from rumpfs.abi import errno
from rumpfs.abi.fcntl import O_NONBLOCK, O_NOSIGPIPE
from rumpfs.abi.socket import (
    PF_LOCAL,
    SOCK_CLOEXEC,
    SOCK_FLAGS_MASK,
    SOCK_NONBLOCK,
    SOCK_NOSIGPIPE,
    SOCK_STREAM,
    SOCKADDR_MAX,
    SUN_PATH,
    parse_sockaddr,
    sockaddr_un,
)
from rumpfs.base.copy import Body, CopyIn, CopyOut, Request, Sleep
from rumpfs.base.errors import VfsError
from rumpfs.kern.proc import Proc
from rumpfs.kern.syscall import syscall
from rumpfs.kern.uipc_usrreq import Socket, accept, connect2


def _socket(p: Proc, domain: int, type_: int, protocol: int) -> int:
    """Make a socket and return its descriptor (fsocreate, socreate)."""
    p.fd.slot()
    table = p.kernel.sockets
    if domain != PF_LOCAL or table is None:
        raise VfsError(errno.EAFNOSUPPORT)
    if type_ & ~SOCK_FLAGS_MASK != SOCK_STREAM or protocol:
        raise VfsError(errno.EPROTONOSUPPORT if protocol else errno.EPROTOTYPE)
    flag = (O_NONBLOCK if type_ & SOCK_NONBLOCK else 0) | (O_NOSIGPIPE if type_ & SOCK_NOSIGPIPE else 0)
    return p.fd.alloc(Socket(table, flag), cloexec=bool(type_ & SOCK_CLOEXEC))


@syscall("__socket30")
def sys_socket(p: Proc, domain: int, type_: int, protocol: int) -> int:
    """Make a socket.

    Errors: EMFILE, EAFNOSUPPORT (domain), EPROTOTYPE (type), EPROTONOSUPPORT.
    """
    return _socket(p, domain, type_, protocol)


@syscall("socketpair", raw=True)
def sys_socketpair(p: Proc, domain: int, type_: int, protocol: int, rsv: int) -> Body:
    """Make two sockets that are connected, and store their descriptors. Errors: those of socket; EFAULT."""
    fds = [_socket(p, domain, type_, protocol)]
    try:
        fds.append(_socket(p, domain, type_, protocol))
        connect2(_getsock(p, fds[0]), _getsock(p, fds[1]))
        yield CopyOut(rsv, b"".join(fd.to_bytes(4, "little") for fd in fds))
    except BaseException:
        for fd in fds:
            p.fd.close(fd)
        raise
    return 0


def _getsock(p: Proc, fd: int) -> Socket:
    """Return an open socket (fd_getsock). Errors: EBADF, ENOTSOCK."""
    so = p.fget(fd)
    if not isinstance(so, Socket):
        raise VfsError(errno.ENOTSOCK)
    return so


def _sockargs(name: int, namelen: int) -> Generator[Request, Any, tuple[int, bytes]]:
    """Fetch an address; return its family and path. Errors: EINVAL (length), EFAULT."""
    if not SUN_PATH < namelen <= SOCKADDR_MAX:
        raise VfsError(errno.EINVAL)
    return parse_sockaddr((yield CopyIn(name, namelen)))


def _local(family: int) -> None:
    if family != PF_LOCAL:
        raise VfsError(errno.EAFNOSUPPORT)


@syscall("bind", raw=True)
def sys_bind(p: Proc, s: int, name: int, namelen: int) -> Body:
    """Give a socket a name. Errors: EINVAL, EFAULT, EBADF, ENOTSOCK, EAFNOSUPPORT, those of `Socket.bind`."""
    family, path = yield from _sockargs(name, namelen)
    so = _getsock(p, s)
    _local(family)
    so.bind(p, path)
    return 0


@syscall("listen")
def sys_listen(p: Proc, s: int, backlog: int) -> int:
    """Let others connect to a socket. Errors: EBADF, ENOTSOCK, EINVAL (connected, or without a name)."""
    _getsock(p, s).listen(backlog)
    return 0


@syscall("connect", raw=True)
def sys_connect(p: Proc, s: int, name: int, namelen: int) -> Body:
    """Connect a socket to a name.

    Errors: EINVAL, EFAULT, EBADF, ENOTSOCK, EAFNOSUPPORT, those of `Socket.connect`.
    """
    family, path = yield from _sockargs(name, namelen)
    so = _getsock(p, s)
    _local(family)
    so.connect(p, path)
    return 0


@syscall("accept", raw=True)
def sys_accept(p: Proc, s: int, name: int, anamelen: int) -> Body:
    """Take a connection, and store the address of who made it.

    Errors: EBADF, ENOTSOCK, EMFILE, EINVAL (it does not listen; length), EAGAIN, ECONNABORTED, EINTR, EFAULT.
    """
    so = _getsock(p, s)
    return so.held(p.fd.using(s, so, _accept(p, so, name, anamelen)))


def _accept(p: Proc, so: Socket, name: int, anamelen: int) -> Generator[Request, Any, int]:
    p.fd.slot()
    while (new := accept(so)) is None:
        yield Sleep(so.so_rcv.readable)
    address = sockaddr_un(b"" if new.so_peer is None else new.so_peer.so_path)
    fd = p.fd.alloc(new)
    try:
        yield from _copyout_sockname(name, anamelen, address)
    except BaseException:
        p.fd.close(fd)
        raise
    return fd


def _copyout_sockname(asa: int, alen: int, address: bytes) -> Generator[Request, Any, None]:
    """Store an address in `*alen` bytes, and its length there. Errors: EFAULT, EINVAL."""
    if not asa:
        return
    room = int.from_bytes((yield CopyIn(alen, 4)), "little", signed=True)
    if room < 0:
        raise VfsError(errno.EINVAL)
    if room:
        yield CopyOut(asa, address[:room])
    yield CopyOut(alen, min(room, len(address)).to_bytes(4, "little"))


@syscall("getsockname", raw=True)
def sys_getsockname(p: Proc, s: int, asa: int, alen: int) -> Body:
    """Store the address of a socket. Errors: EBADF, ENOTSOCK, EFAULT, EINVAL (length)."""
    yield from _copyout_sockname(asa, alen, sockaddr_un(_getsock(p, s).so_path))
    return 0


@syscall("getpeername", raw=True)
def sys_getpeername(p: Proc, s: int, asa: int, alen: int) -> Body:
    """Store the address of the other end. Errors: EBADF, ENOTSOCK, ENOTCONN, EFAULT, EINVAL (length)."""
    peer = _getsock(p, s).so_peer
    if peer is None:
        raise VfsError(errno.ENOTCONN)
    yield from _copyout_sockname(asa, alen, sockaddr_un(peer.so_path))
    return 0


@syscall("shutdown")
def sys_shutdown(p: Proc, s: int, how: int) -> int:
    """End one direction of a connection, or both. Errors: EBADF, ENOTSOCK, EINVAL."""
    _getsock(p, s).shutdown(how)
    return 0
