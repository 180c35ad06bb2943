"""User and group ids of processes (NetBSD: kern_prot.c: do_setresuid, do_setresgid; kern_auth.c)."""

from __future__ import annotations

import struct
from dataclasses import replace

from rumpfs.abi import errno
from rumpfs.abi.limits import NGROUPS_MAX
from rumpfs.base.copy import Body, CopyIn, CopyOut
from rumpfs.base.errors import VfsError
from rumpfs.kern.proc import Proc
from rumpfs.kern.syscall import syscall
from rumpfs.vfs.cred import Cred

_SAME = 0xFFFFFFFF  # (uid_t)-1: an id that stays as it is


@syscall("getuid")
def sys_getuid(p: Proc) -> tuple[int, int]:
    """Return the real user id, and the effective one in retval[1]."""
    return p.cred.ruid, p.cred.euid


@syscall("geteuid")
def sys_geteuid(p: Proc) -> int:
    """Return the effective user id."""
    return p.cred.euid


@syscall("getgid")
def sys_getgid(p: Proc) -> tuple[int, int]:
    """Return the real group id, and the effective one in retval[1]."""
    return p.cred.rgid, p.cred.egid


@syscall("getegid")
def sys_getegid(p: Proc) -> int:
    """Return the effective group id."""
    return p.cred.egid


@syscall("issetugid")
def sys_issetugid(p: Proc) -> int:
    """Return 1 when the process has changed its ids, else 0 (no image of a client is set-id)."""
    return int(p.sugid)


def _set(p: Proc, cred: Cred) -> int:
    """Give `p` new credentials."""
    if cred != p.cred:
        p.cred = cred
        p.sugid = True
    return 0


def _check(p: Proc, *wanted: tuple[int, tuple[int, ...]]) -> None:
    """Check that each id is one of those it may become, or stays; the superuser may all. Errors: EPERM."""
    if p.cred.euid and any(new not in (_SAME, *allowed) for new, allowed in wanted):
        raise VfsError(errno.EPERM)


@syscall("setuid")
def sys_setuid(p: Proc, uid: int) -> int:
    """Set the real, effective and saved user id. Errors: EPERM (not the real one, and not root)."""
    _check(p, (uid, (p.cred.ruid,)))
    return 0 if uid == _SAME else _set(p, replace(p.cred, ruid=uid, euid=uid, svuid=uid))


@syscall("seteuid")
def sys_seteuid(p: Proc, euid: int) -> int:
    """Set the effective user id. Errors: EPERM (neither the real nor the saved one, and not root)."""
    _check(p, (euid, (p.cred.ruid, p.cred.svuid)))
    return 0 if euid == _SAME else _set(p, replace(p.cred, euid=euid))


@syscall("setreuid")
def sys_setreuid(p: Proc, ruid: int, euid: int) -> int:
    """Set the real and the effective user id; with a new real one the saved one follows the effective one.

    Errors:
        EPERM: an id that is none of the present ones (the real one: nor the saved one), and not root.
    """
    cred = p.cred
    _check(p, (ruid, (cred.ruid, cred.euid)), (euid, (cred.ruid, cred.euid, cred.svuid)))
    ruid = cred.ruid if ruid == _SAME else ruid
    euid = cred.euid if euid == _SAME else euid
    return _set(p, replace(cred, ruid=ruid, euid=euid, svuid=cred.svuid if ruid == cred.ruid else euid))


@syscall("setgid")
def sys_setgid(p: Proc, gid: int) -> int:
    """Set the real, effective and saved group id. Errors: EPERM (not the real one, and not root)."""
    _check(p, (gid, (p.cred.rgid,)))
    return 0 if gid == _SAME else _set(p, replace(p.cred, rgid=gid, egid=gid, svgid=gid))


@syscall("setegid")
def sys_setegid(p: Proc, egid: int) -> int:
    """Set the effective group id. Errors: EPERM (neither the real nor the saved one, and not root)."""
    _check(p, (egid, (p.cred.rgid, p.cred.svgid)))
    return 0 if egid == _SAME else _set(p, replace(p.cred, egid=egid))


@syscall("setregid")
def sys_setregid(p: Proc, rgid: int, egid: int) -> int:
    """Set the real and the effective group id; with a new real one the saved one follows the effective one.

    Errors:
        EPERM: an id that is none of the present ones (the real one: nor the saved one), and not root.
    """
    cred = p.cred
    _check(p, (rgid, (cred.rgid, cred.egid)), (egid, (cred.rgid, cred.egid, cred.svgid)))
    rgid = cred.rgid if rgid == _SAME else rgid
    egid = cred.egid if egid == _SAME else egid
    return _set(p, replace(cred, rgid=rgid, egid=egid, svgid=cred.svgid if rgid == cred.rgid else egid))


@syscall("getgroups", raw=True)
def sys_getgroups(p: Proc, gidsetsize: int, gidset: int) -> Body:
    """Store the supplementary groups (with a size of 0: do not) and return their number.

    Errors:
        EINVAL: there is no room for all of them.
        EFAULT.
    """
    groups = p.cred.groups
    if gidsetsize:
        if gidsetsize < len(groups):
            raise VfsError(errno.EINVAL)
        yield CopyOut(gidset, struct.pack(f"<{len(groups)}I", *groups))
    return len(groups)


@syscall("setgroups", raw=True)
def sys_setgroups(p: Proc, gidsetsize: int, gidset: int) -> Body:
    """Set the supplementary groups. Errors: EINVAL (negative, more than 16), EFAULT, EPERM."""
    if not 0 <= gidsetsize <= NGROUPS_MAX:
        raise VfsError(errno.EINVAL)
    data = (yield CopyIn(gidset, 4 * gidsetsize)) if gidsetsize else b""
    if p.cred.euid:
        raise VfsError(errno.EPERM)
    p.sugid = True  # whether they change or not (kern_auth.c: kauth_proc_setgroups)
    return _set(p, replace(p.cred, groups=struct.unpack(f"<{gidsetsize}I", data)))
