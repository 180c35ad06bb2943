"""Being connected to a server, also after it was gone for a while."""

from __future__ import annotations

import functools
import logging
import threading
import time
from collections.abc import Callable
from typing import Concatenate, Final, ParamSpec, TypeVar

from rumpfs.abi import errno
from rumpfs.base.errors import VfsError
from rumpfs.client.errors import ConnectionLost, RumpError
from rumpfs.fuse.remote.descriptors import IDLE
from rumpfs.fuse.remote.rnode import Rnode, Stale
from rumpfs.fuse.remote.session import Session

log = logging.getLogger(__name__)

#: seconds between attempts to reach a server that is gone
RETRY: Final = 0.25
#: how often a request is tried again when files move, or the server comes back, in the middle of it
_TRIES: Final = 3

_C = TypeVar("_C", bound="Connection")
_P = ParamSpec("_P")
_R = TypeVar("_R")


def remote(
    again: bool,
) -> Callable[[Callable[Concatenate[_C, Session, _P], _R]], Callable[Concatenate[_C, _P], _R]]:
    """Make a method of a function that works on a connection: with the one there is, and errors as a tree's.

    Args:
        again: it may be done once more when the connection ends in the middle of it.
    """

    def wrap(
        body: Callable[Concatenate[_C, Session, _P], _R],
    ) -> Callable[Concatenate[_C, _P], _R]:
        @functools.wraps(body)
        def method(self: _C, /, *args: _P.args, **kwargs: _P.kwargs) -> _R:
            tries = _TRIES
            while True:
                tries -= 1
                moves = self.moves
                session = self.session()
                try:
                    return body(self, session, *args, **kwargs)
                except Stale:
                    if not (self.moved_since(moves) and tries):
                        raise VfsError(errno.ESTALE) from None
                except ConnectionLost as error:
                    self.lost(session, error)
                    if not (again and tries):
                        raise VfsError(errno.EIO, str(error)) from None
                except RumpError as error:
                    raise VfsError(error.netbsd_errno) from None

        return method

    return wrap


class Connection:
    """A connection to a server, and another one when that has ended.

    Args:
        url: of the server.
        path: of the directory that is seen of it.

    Attributes:
        root: that directory.
        moves: how many files have been renamed.
        moving: held while a file is renamed.

    Errors:
        OSError: the server cannot be reached, or has no such directory.
    """

    def __init__(self, url: str, path: bytes) -> None:
        self._url = url
        self._path = path
        self._session: Session | None = Session(url, path)
        self._connecting = threading.Lock()
        self._not_before = 0.0  # when the server is tried again
        self._over = threading.Event()
        self.moves = 0
        self.moving = threading.Lock()
        self.root = Rnode(self._session.root_status)
        self._session.enter(self.root)
        threading.Thread(target=self._tidy, name="fuse-idle", daemon=True).start()

    def release(self) -> None:
        """Close the connection."""
        self._over.set()
        self.interrupt()

    def interrupt(self) -> None:
        """Let requests fail that wait for the server, and those that come."""
        self._not_before = float("inf")
        session = self._session
        if session is not None:
            session.client.close()

    def _tidy(self) -> None:
        while not self._over.wait(IDLE):
            session = self._session
            if session is not None:
                session.descriptors.shed(IDLE)

    def session(self) -> Session:
        """Return the connection, a new one when it has ended. Errors: VfsError: EIO: there is no server."""
        session = self._session
        if session is not None and not session.lost:
            return session
        with self._connecting:
            session = self._session
            if session is not None and not session.lost:
                return session
            if time.monotonic() < self._not_before:
                raise VfsError(errno.EIO)
            try:
                session = Session(self._url, self._path)
            except OSError as error:
                log.debug("%s: %s", self._url, error.strerror)
                self._not_before = max(self._not_before, time.monotonic() + RETRY)
                raise VfsError(errno.EIO) from None
            log.warning("%s: connected again", self._url)
            session.enter(self.root)
            former, self._session = self._session, session
        if former is not None:
            former.client.close()
        return session

    def lost(self, session: Session, error: ConnectionLost) -> None:
        """A connection has ended."""
        with self._connecting:
            if self._session is session:
                self._session = None
                if not self._over.is_set():
                    log.warning("%s; each request tries to reach the server again", error.strerror)
        session.client.close()

    def moved_since(self, moves: int) -> bool:
        """Whether a file has been renamed since there were so many `moves`; waits for one that is."""
        with self.moving:
            return self.moves != moves
