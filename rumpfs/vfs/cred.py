"""Credentials, and the permission check of files (NetBSD: kern_auth.c, vfs_subr.c: vaccess)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from rumpfs.abi import errno
from rumpfs.abi.stat import S_IFDIR, S_IFMT
from rumpfs.base.errors import VfsError

VEXEC: Final = 0o1
VWRITE: Final = 0o2
VREAD: Final = 0o4


@dataclass(frozen=True, slots=True)
class Cred:
    """Who a process acts for: effective, real and saved ids, and the groups."""

    euid: int = 0
    egid: int = 0
    ruid: int = 0
    rgid: int = 0
    svuid: int = 0
    svgid: int = 0
    groups: tuple[int, ...] = ()

    def ingroup(self, gid: int) -> bool:
        """Whether `gid` is the effective group or one of the supplementary ones."""
        return gid == self.egid or gid in self.groups


ROOT: Final = Cred()


def vaccess(mode: int, uid: int, gid: int, want: int, cred: Cred) -> None:
    """Check `want` (VREAD|VWRITE|VEXEC) against a file's type, mode, owner and group.

    Errors:
        EACCES: not permitted. The superuser may read and write all, search every directory, and execute
            what has at least one execute bit.
    """
    if cred.euid == 0:
        if want & VEXEC and mode & S_IFMT != S_IFDIR and not mode & 0o111:
            raise VfsError(errno.EACCES)
        return
    shift = 6 if uid == cred.euid else 3 if cred.ingroup(gid) else 0
    if mode >> shift & want != want:
        raise VfsError(errno.EACCES)
