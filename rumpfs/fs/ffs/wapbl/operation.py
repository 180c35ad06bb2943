"""What is the same for every vnode operation that changes an FFS."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

from rumpfs.abi import errno
from rumpfs.base.errors import VfsError

F = TypeVar("F", bound=Callable[..., Any])


def operation(function: F) -> F:
    """Make a vnode operation of a method that starts with `begin`, and that an error leaves without effect.

    When it finds no room, and a log keeps what was freed from being used again, that is committed and it is
    tried once more. On a mount that is synchronous what it did is committed before it returns.
    """

    @functools.wraps(function)
    def body(self: Any, *args: Any) -> Any:
        mp = self.v_mount
        try:
            result = function(self, *args)
        except VfsError as error:
            if error.errno != errno.ENOSPC or not mp.make_room():
                raise
            result = function(self, *args)
        if mp.um_bufs.synchronous and mp.um_log is not None:
            mp.um_log.commit()
        return result

    return cast(F, body)
