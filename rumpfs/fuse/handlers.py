"""How pyfuse3 calls operations: coroutines, errors as the host's numbers, and no end of the mount."""

from __future__ import annotations

import errno as host_errno
import logging
from collections.abc import Callable
from typing import Any, Final

import pyfuse3
import trio

from rumpfs.abi.errno import TO_HOST
from rumpfs.base.errors import VfsError
from rumpfs.fuse.crew import begin
from rumpfs.fuse.operations import Operations
from rumpfs.fuse.tree import Tree

log = logging.getLogger(__name__)

#: the requests that have a handler. flush has none: there is nothing to do, and the host then does not ask
REQUESTS: Final = (
    "lookup", "mknod", "mkdir", "symlink", "link", "unlink", "rmdir", "rename", "getattr", "setattr",
    "readlink", "statfs", "open", "create", "read", "write", "release", "fsync", "opendir", "readdir",
    "releasedir", "fsyncdir", "getxattr", "listxattr", "setxattr", "removexattr",
)  # fmt: skip


def _failure(name: str, error: Exception) -> pyfuse3.FUSEError:
    """Return what the host is told of a request that failed; what was not foreseen is logged, and EIO."""
    if isinstance(error, VfsError):
        return pyfuse3.FUSEError(TO_HOST.get(error.errno, host_errno.EIO))
    log.error("%s failed unexpectedly", name, exc_info=error)
    return pyfuse3.FUSEError(host_errno.EIO)


def _inline(name: str, body: Callable[..., Any]) -> Callable[..., Any]:
    async def handler(*args: Any) -> Any:
        try:
            return body(*args)
        except Exception as error:  # noqa: BLE001 - it is logged, and this request's alone
            raise _failure(name, error) from None

    return handler


def _threaded(name: str, body: Callable[..., Any]) -> Callable[..., Any]:
    async def handler(*args: Any) -> Any:
        try:
            return await trio.to_thread.run_sync(body, *args)
        except Exception as error:  # noqa: BLE001 - it is logged, and this request's alone
            raise _failure(name, error) from None

    return handler


def _announced(name: str, body: Callable[..., Any]) -> Callable[..., Any]:
    async def handler(*args: Any) -> Any:
        await begin()
        try:
            return body(*args)
        except Exception as error:  # noqa: BLE001 - it is logged, and this request's alone
            raise _failure(name, error) from None

    return handler


def _begun(tree: Tree[Any, Any], body: Callable[..., Any]) -> Callable[..., Any]:
    def begun(*args: Any) -> Any:
        tree.begin()
        return body(*args)

    return begun


class Handlers(pyfuse3.Operations):
    """What pyfuse3 calls.

    Args:
        operations: what is done.
        started: called when the host's kernel has introduced itself: the mount can be used.
        crew: a crew carries them out, whose threads may wait; without it, those of a tree that waits are
            carried out in threads of trio's.
    """

    supports_dot_lookup = False
    enable_writeback_cache = False
    enable_acl = False

    def __init__(
        self,
        operations: Operations[Any, Any],
        started: Callable[[], None],
        crew: bool = False,
    ) -> None:
        super().__init__()
        tree = operations.tree
        wrap = _inline if not tree.waits else _announced if crew else _threaded
        for name in REQUESTS:
            body = getattr(operations, name)
            setattr(self, name, wrap(name, _begun(tree, body) if tree.waits else body))
        self._forget = operations.forget
        self._started = started

    def init(self) -> None:
        """The mount begins."""
        self._started()

    async def forget(self, inode_list: Any) -> None:
        """The host has forgotten files; it does not want to hear of errors."""
        try:
            self._forget(inode_list)
        except Exception:
            log.exception("forget failed unexpectedly")
