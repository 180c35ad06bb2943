"""A connection as a process of the rump kernel: handshakes, system calls, fork and exec.

NetBSD: librumpclient/rumpclient.c.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, NoReturn, Self

from rumpfs.abi import errno
from rumpfs.base.copy import Buffer
from rumpfs.client import stubs
from rumpfs.client.errors import connection_lost, rump_error
from rumpfs.client.memory import MAXARGS, REGION
from rumpfs.sysproxy import wire
from rumpfs.sysproxy.url import parse

if TYPE_CHECKING:
    import socket

    from rumpfs.client.transport import Transport

#: how long a server may take for its banner and the handshake, in seconds
CONNECT_TIMEOUT: Final = 30.0

# What librumpclient reads in the environment.
RUMP_SERVER: Final = "RUMP_SERVER"
PARSEDSERVER: Final = "RUMP__PARSEDSERVER"
EXECFD: Final = "RUMPCLIENT__EXECFD"


def server_url(environ: dict[str, str] | os._Environ[str] = os.environ) -> str:
    """Return the url of the server that the environment names.

    Errors:
        FileNotFoundError: it names none (librumpclient: ENOENT).
    """
    url = environ.get(PARSEDSERVER) or environ.get(RUMP_SERVER)
    if url is None:
        raise FileNotFoundError(errno.TO_HOST[errno.ENOENT], f"{RUMP_SERVER} is not set")
    return url


def raise_signal(signo: int) -> None:
    """Raise the host's signal for a NetBSD signal number, unless it would end the program by default.

    NetBSD's client raises it in any case; the errno of the call says what is to be known.
    """
    import signal  # few programs ever come here

    from rumpfs.abi.signal import NAMES

    host = getattr(signal, NAMES[signo], None) if signo in NAMES else signo
    if host in signal.valid_signals() and signal.getsignal(host) is not signal.SIG_DFL:
        signal.raise_signal(host)


class Syscalls:
    """The system calls of a client, as attributes: see `stubs` for their arguments.

    Both names of a call work: NetBSD's own (`__stat50`) and the one that C programs use (`stat`).
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def __getattr__(self, name: str) -> Callable[..., Any]:
        transport = self._transport
        space = transport.space
        stub = stubs.bind(name, space.take, space.give, transport.conn.number, transport.transact)
        setattr(self, name, stub)
        return stub

    def __dir__(self) -> list[str]:
        return sorted(stubs.ROWS)


class RawClient:
    """A process in a rump kernel: system calls, and nothing else.

    It may be used by several threads; a call that blocks stops no other. The connection ends when a call is
    interrupted by an exception (as KeyboardInterrupt): what the server says next could not be placed.

    Args:
        url: address of the server; RUMP__PARSEDSERVER or RUMP_SERVER in the environment when None.
        comm: name of the process; that of the running program when None.
        timeout: how long the server may take to answer the connection, in seconds.
        on_signal: called with the NetBSD number of a signal that the kernel raises for the process.
        reentrant: a signal handler may make calls when it has interrupted one (see `reentrant`).

    Errors:
        UrlError: the url is malformed.
        OSError: the server cannot be reached (`filename` is the url).
        ConnectionLost: something answers that is not a rump kernel, or it has no room for a client.
    """

    def __init__(
        self,
        url: str | None = None,
        comm: str | bytes | None = None,
        *,
        timeout: float = CONNECT_TIMEOUT,
        on_signal: Callable[[int], None] = raise_signal,
        reentrant: bool = False,
    ) -> None:
        self.timeout = timeout
        self._reentrant = reentrant
        self._on_signal = on_signal
        inherited = os.environ.pop(EXECFD, None) if url is None else None
        self._where(url)
        name = _comm(comm)
        if inherited is None:
            self._open(wire.HANDSHAKE_GUEST, name + b"\0")
        else:
            self._adopt(inherited, name)

    # --- connecting -------------------------------------------------------------------------------

    def _where(self, url: str | None) -> None:
        self.url = server_url() if url is None else url
        # As it was when the connection was made: a relative path means something else after chdir(2).
        self._address = parse(self.url, client=True)

    def _open(self, handshake: int, payload: bytes) -> None:
        from rumpfs.client.dialling import connect  # the files of an image need no socket

        sock = connect(self._address, self.timeout)
        self._use(sock)
        try:
            self._transport.request(wire.HANDSHAKE, handshake, payload)
            sock.settimeout(None)
        except BaseException:
            self._transport.close()
            raise

    def _use(self, sock: socket.socket) -> None:
        self.forgotten: list[int] = []  # descriptors of streams that nobody closed
        self._transport = self._kind()(sock, self.url, self._on_signal)
        self.sys = Syscalls(self._transport)

    def _kind(self) -> type[Transport]:
        if not self._reentrant:
            from rumpfs.client.transport import Transport

            return Transport
        from rumpfs.client.reentrant import ReentrantTransport  # few programs need it

        return ReentrantTransport

    def _adopt(self, inherited: str, comm: bytes) -> None:
        """Go on with the connection of the program that executed this one."""
        import socket

        try:
            number = int(inherited.split(",")[0])
            sock = socket.socket(fileno=number)
        except (ValueError, OSError) as error:
            raise connection_lost(f"{EXECFD}={inherited}: no connection was left there ({error})") from error
        sock.set_inheritable(False)
        sock.setblocking(True)
        self._use(sock)
        self.exec(comm)

    @property
    def lost(self) -> bool:
        """Whether the connection is known to be gone; a call would raise ConnectionLost."""
        return self._transport.lost is not None

    def close(self) -> None:
        """End the process: the kernel closes its descriptors."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- system calls -----------------------------------------------------------------------------

    def call(self, name: str, *args: Any) -> Any:
        """Do a system call by its name: `call("pread", fd, 4096, 0)` is `sys.pread(fd, 4096, 0)`."""
        return getattr(self.sys, name)(*args)

    def syscall(self, number: int, *slots: int) -> tuple[int, int]:
        """Do a system call by its number, with its argument slots as they are.

        Returns:
            both return values.
        """
        transport = self._transport
        payload = b"".join((slot & 0xFFFF_FFFF_FFFF_FFFF).to_bytes(8, "little") for slot in slots)
        waiter = transport.space.take()
        waiter.reqno, frame = transport.conn.request(wire.SYSCALL, number, payload)
        first = transport.transact(waiter, frame)
        failed, second = waiter.error, waiter.rv1
        transport.space.give(waiter)
        if failed:
            raise rump_error(failed)
        return first, second

    @contextmanager
    def mapped(self, *buffers: Buffer) -> Iterator[tuple[int, ...]]:
        """Give buffers addresses, for pointers inside of structures.

        Writable buffers may be changed by system calls. The addresses hold until the context ends.
        """
        if len(buffers) > MAXARGS:
            raise ValueError(f"at most {MAXARGS} buffers can be mapped at once")
        space = self._transport.space
        waiter = space.take()
        waiter.memory = tuple(stubs.source(buffer) for buffer in buffers)
        try:
            yield tuple(waiter.base + index * REGION for index in range(len(buffers)))
        finally:
            space.give(waiter)

    # --- fork and exec ----------------------------------------------------------------------------

    def prefork(self) -> bytes:
        """Let the kernel copy the process and keep the copy; return the cookie that `from_cookie` takes.

        The copy has the descriptors, working directory and credentials that the process has now.
        """
        return self._transport.request(wire.PREFORK)

    @classmethod
    def from_cookie(cls, url: str | None, cookie: bytes, *, timeout: float = CONNECT_TIMEOUT) -> Self:
        """Return a client that is the process kept under a cookie. A cookie works once.

        Errors:
            RumpError: ESRCH: the kernel knows no such cookie.
        """
        if len(cookie) != wire.COOKIE_LEN:
            raise ValueError(f"a cookie has {wire.COOKIE_LEN} bytes, not {len(cookie)}")
        client = cls.__new__(cls)
        client.timeout = timeout
        client._on_signal = raise_signal
        client._reentrant = False
        client._where(url)
        client._open(wire.HANDSHAKE_FORK, wire.FORK_BODY.pack(cookie, 0))
        return client

    def prefork_cancel(self, cookie: bytes) -> None:
        """Let the kernel forget the process kept under a cookie."""
        from rumpfs.client.dialling import connect

        sock = connect(self._address, self.timeout)
        with sock:
            body = wire.FORK_BODY.pack(cookie, 1)
            sock.sendall(wire.frame(1, wire.REQ, wire.HANDSHAKE, wire.HANDSHAKE_FORK, body))
            answer = sock.recv(wire.HDRLEN)
        if answer:  # there is none when it worked
            raise rump_error(errno.ESRCH)

    def fork(self) -> int:
        """Fork the program and its process in the kernel (fork(2)); return 0 in the child."""
        cookie = self.prefork()
        pid = os.fork()
        if pid == 0:
            self._transport.sock.close()
            self._open(wire.HANDSHAKE_FORK, wire.FORK_BODY.pack(cookie, 0))
        return pid

    def exec(self, comm: str | bytes | None = None) -> None:
        """Tell the kernel that the process has a new program image (handshake EXEC).

        Descriptors with FD_CLOEXEC are closed, and calls that other threads have under way end with EINTR.
        """
        transport = self._transport
        transport.conn.restart()
        self.sys = Syscalls(transport)
        transport.abandon(errno.EINTR)
        transport.request(wire.HANDSHAKE, wire.HANDSHAKE_EXEC, _comm(comm) + b"\0")

    def execve(self, path: str, args: list[str], env: dict[str, str] | None = None) -> NoReturn:
        """Execute a host program that goes on with this process (librumpclient: rumpclient_exec).

        Its client, made without a url, has the descriptors that are not FD_CLOEXEC.
        """
        sock = self._transport.sock
        sock.set_inheritable(True)
        env = dict(os.environ if env is None else env)
        # The second number is a descriptor that librumpclient waits with; it takes any.
        env[EXECFD] = f"{sock.fileno()},{sock.fileno()}"
        env[PARSEDSERVER] = str(self._address)
        os.execve(path, args, env)


def _comm(comm: str | bytes | None) -> bytes:
    if comm is None:
        comm = os.path.basename(sys.argv[0]) if sys.argv else ""
        if comm in ("", "-c", "-m"):
            comm = "python"
    name = os.fsencode(comm)
    if b"\0" in name:
        raise ValueError("the name of a process cannot contain a NUL")
    return name
