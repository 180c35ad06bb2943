"""The server of one kernel: its listener, its clients, its end (NetBSD: librumpuser/rumpuser_sp.c)."""

from __future__ import annotations

import errno as host_errno
import logging
import os
import resource
import signal
import socket
import stat
import struct
from collections.abc import Callable
from typing import Any

import trio

from rumpfs.abi import errno
from rumpfs.abi.limits import RB_DUMP, RB_HALT
from rumpfs.kern.kernel import Kernel
from rumpfs.server import notify
from rumpfs.server.hub import Hub
from rumpfs.server.session import Session
from rumpfs.sysproxy.url import TcpUrl, UnixUrl, UrlError, parse

log = logging.getLogger(__name__)

BACKLOG = 256  # rumpuser_sp.c: MAXCLI
SNDBUF = 4 << 20
_ucred = struct.Struct("3i")


class Server:
    """Serves a kernel on a url.

    Args:
        kernel: a booted kernel.
        url: ``unix://PATH`` or ``tcp://ADDRESS:PORT/``.
        session: makes the session of a client.
    """

    def __init__(
        self, kernel: Kernel, url: str, session: Callable[[Hub, socket.socket, str], Session] = Session
    ) -> None:
        self.kernel = kernel
        self._session = session
        self.url = url
        self.hub = Hub(kernel, self.halt)
        self._listener: socket.socket | None = None
        self._path: str | None = None
        self._scope = trio.CancelScope()

    # --- binding ----------------------------------------------------------------------------------

    def bind(self) -> None:
        """Listen on the url.

        A unix socket that nobody listens on is replaced. Errors: UrlError with a NetBSD errno.
        """
        address = parse(self.url)
        try:
            self._listener = (
                self._bind_unix(address) if isinstance(address, UnixUrl) else self._bind_tcp(address)
            )
        except OSError as error:
            raise UrlError(f"rump_sp: failed to bind to URL {self.url}", errno.from_oserror(error)) from None
        self._listener.setblocking(False)
        self._listener.listen(BACKLOG)

    def _bind_unix(self, address: UnixUrl) -> socket.socket:
        path = address.path
        if not path:
            raise OSError(host_errno.EADDRINUSE, "an empty path")
        if _is_stale(path):
            os.unlink(path)
        sock = socket.socket(socket.AF_UNIX)
        old = os.umask(0o177)
        os.umask(old | 0o177)
        try:
            sock.bind(path)
        finally:
            os.umask(old)
        self._path = path
        return sock

    def _bind_tcp(self, address: TcpUrl) -> socket.socket:
        sock = socket.socket(socket.AF_INET)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((address.host, address.port))
        return sock

    def fini(self) -> None:
        """Remove the unix socket, if its place is known for sure, and stop listening."""
        if self._path is not None and self._path.startswith("/"):
            try:
                os.unlink(self._path)
            except OSError as error:
                log.warning("cannot remove the socket %s: %s", self._path, error.strerror)
        self._path = None
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    # --- serving ----------------------------------------------------------------------------------

    async def run(self) -> int:
        """Serve until the kernel is halted, by a client or by SIGTERM or SIGINT; return how (RB_ flags)."""
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # each client is a descriptor
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            async with trio.open_nursery() as nursery:
                self.hub.nursery = nursery
                with self._scope:
                    nursery.start_soon(self._signals, signals)
                    nursery.start_soon(self._accept)
                    await trio.sleep_forever()
                nursery.cancel_scope.cancel()
            self.hub.nursery = None
            self.fini()
            howto = self.kernel.howto or 0
            if howto & RB_DUMP:
                os.abort()
            if howto & RB_HALT:
                self.kernel.print("rump kernel halted (with RB_HALT, not exiting)")
                async for _ in signals:
                    break
            self.kernel.print("halted")
        return howto

    def halt(self) -> None:
        """The kernel is halted: take the socket away and end, after the present client has its answer."""
        notify.stopping("halted")
        if self._path is not None:
            self.fini()
        self._scope.cancel()

    async def _signals(self, signals: Any) -> None:
        async for _ in signals:
            self.kernel.reboot(0)
            self.halt()
            return

    async def _accept(self) -> None:
        listener = self._listener
        nursery = self.hub.nursery
        assert listener is not None
        assert nursery is not None
        while True:
            await trio.lowlevel.wait_readable(listener)
            try:
                sock, _ = listener.accept()
            except BlockingIOError:
                continue
            except OSError as error:
                log.warning("accept on %s: %s; trying again", self.url, error.strerror)
                await trio.sleep(0.1)
                continue
            sock.setblocking(False)
            if self._admit(sock):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SNDBUF)
                nursery.start_soon(self._session(self.hub, sock, f"client {sock.fileno()}").run)
            else:
                sock.close()

    def _admit(self, sock: socket.socket) -> bool:
        if sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return True
        _, uid, _ = _ucred.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _ucred.size))
        if uid in (0, os.geteuid()):
            return True
        log.warning("a client of user %d was refused on %s", uid, self.url)
        return False


def _is_stale(path: str) -> bool:
    """Whether a socket is there that nobody listens on."""
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            return False
    except FileNotFoundError:
        return False
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            return True
        except OSError:
            return False
    return False
