"""The syncer: what was changed is written some time, also when nobody asks for it (NetBSD: vfs_subr.c).

NetBSD has a thread that looks at lists of vnodes each second; here a mount that is changed enters itself, and
a callout syncs it. A kernel in which nothing changes does nothing.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Final

from rumpfs.base.callout import Callout, CalloutTable
from rumpfs.base.errors import VfsError

if TYPE_CHECKING:
    from rumpfs.vfs.mount import Mount

log = logging.getLogger(__name__)

#: seconds after which files are written; and metadata, as that of a mount with a log is (vfs_subr.c)
SYNCDELAY: Final = 30
METADELAY: Final = 10


class Syncer:
    """The mounts that wait to be synced.

    Args:
        callouts: the kernel's.

    Attributes:
        delay, metadelay: seconds (sysctl vfs.sync).
    """

    def __init__(self, callouts: CalloutTable) -> None:
        self._callouts = callouts
        self._waiting: dict[Mount, Callout] = {}
        self.delay = SYNCDELAY
        self.metadelay = METADELAY

    def add(self, mp: Mount, moment: float) -> None:
        """Sync a mount at a monotonic time (seconds), if it does not wait already."""
        if mp not in self._waiting:
            callout = self._waiting[mp] = Callout(partial(self._sync, mp))
            self._callouts.reset(callout, moment)

    def remove(self, mp: Mount) -> None:
        """A mount has been synced, or is gone."""
        callout = self._waiting.pop(mp, None)
        if callout is not None:
            self._callouts.stop(callout)

    def _sync(self, mp: Mount) -> None:
        del self._waiting[mp]
        try:
            mp.lazy_sync()
        except VfsError as error:
            log.debug("%s: %s", mp.mnt_from.decode(errors="replace"), error)
